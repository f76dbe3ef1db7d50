"""Merges in several orders: bfloat16 sums in the order given; masks drawn anew in float32."""

import shutil

import polars as pl
import pytest
import torch
from safetensors.torch import load_file

from mergelaw.design import chunks
from mergelaw.errors import ConfigError
from mergelaw.merging.methods import recipe
from mergelaw.paths import StudyPaths, checkpoint_ref
from mergelaw.sweep.chunk import run_chunk
from mergelaw.sweep.engine import Engine
from mergelaw.sweep.orders import run_orders
from mergelaw.tables import LOSSES, read_table
from tests.helpers import study_of

ORDERS = ("orders", {"subsets_per_k": 2, "orders": 6, "mask_seeds": 3})


@pytest.fixture(scope="module")
def ordered(swept, tmp_path_factory):
    """The tiny study with merges in several orders; read only."""
    study, paths = study_of(ORDERS), StudyPaths(tmp_path_factory.mktemp("ordered"))
    shutil.copytree(swept[1].root, paths.root, dirs_exist_ok=True)
    run_orders(study, paths, "small")
    return study, paths, read_table(paths.orders("small"), LOSSES)


@pytest.mark.parametrize(
    "order", [("code", "algebra", "biology"), ("biology", "code", "algebra"), ("code", "biology")]
)
def test_the_sum_is_rounded_after_every_expert_in_the_order_given(ordered, order):
    study, paths, _ = ordered

    def flat(name):
        tensors = load_file(paths.trained("small", name) / "model.safetensors")
        return torch.cat([tensors[key].flatten() for key in sorted(tensors)])

    base, total = flat("base"), torch.zeros(())
    for name in order:
        total = (total + (flat(name) - base).bfloat16().float()).bfloat16().float()
    mean = (total * torch.tensor(1 / len(order))).bfloat16().float()
    refs = {name: checkpoint_ref(study, paths, "small", name) for name in study.expert_names}
    with Engine.open(study, checkpoint_ref(study, paths, "small", "base"), refs) as engine:
        average = recipe(study.method("average"), "")
        engine.use(average, accumulate="sequential_bfloat16")
        engine.merge(order)
        assert torch.equal(engine.live.weights, base + mean)
        engine.use(average)
        engine.merge(order)
        assert not torch.equal(engine.live.weights, base + mean), "the study sums in float32"


@pytest.mark.parametrize("method", ["average", "ta", "ties", "dare"])
def test_the_order_of_names_is_the_sweep_s_in_bfloat16(ordered, own_sweep, method):
    _, _, rows = ordered
    study, paths = study_of(("accumulate", "sequential_bfloat16")), own_sweep[1]
    tables = [run_chunk(study, paths, "small", method, c.index) for c in chunks(study, "small")]
    mine = rows.filter(
        (pl.col("order") == pl.col("subset")) & (pl.col("accumulate") == study.accumulate),
        method=method,
    )
    assert {3} <= set(mine["k"])
    usual = pl.concat(read_table(table, LOSSES) for table in tables)
    usual = usual.join(mine.select("subset").unique(), on="subset")
    assert mine.sort("subset", "domain").equals(usual.sort("subset", "domain"))


def test_every_order_of_a_subset_is_a_row(ordered):
    study, _, rows = ordered
    orders = rows.filter(accumulate="sequential_bfloat16")
    assert set(orders["method"]) == set(study.method_labels)
    three = orders.filter(k=3, method="ties", domain="code")
    assert three["order"].n_unique() == three.height == 6
    assert set(three["subset"]) == {"algebra+biology+code"}
    assert {tuple(sorted(o.split("+"))) for o in three["order"]} == {("algebra", "biology", "code")}


def test_orders_of_three_differ_and_of_two_never(ordered):
    _, _, rows = ordered
    orders = rows.filter(accumulate="sequential_bfloat16")
    spread = orders.group_by("method", "subset", "domain", "k").agg(pl.col("nll_sum").n_unique())
    assert set(spread.filter(k=2)["nll_sum"]) == {1}, "a + b is b + a"
    assert (spread.filter(k=3)["nll_sum"] > 1).all()


def test_masks_are_repeated_where_a_method_draws_them(ordered):
    study, paths, rows = ordered
    masks = rows.filter(accumulate="float32")
    assert set(masks["method"]) == {"dare"}
    assert (masks["order"] == masks["subset"]).all()
    assert set(masks["mask_seed"]) == {0, 1, 2}
    values = masks.group_by("subset", "domain").agg(pl.col("nll_sum").n_unique())
    assert set(values["nll_sum"]) == {3}
    usual = pl.concat(
        read_table(paths.chunk("small", "dare", c.index), LOSSES) for c in chunks(study, "small")
    )
    first = masks.filter(mask_seed=0)
    usual = usual.join(first.select("subset").unique(), on="subset")
    key = ("subset", "domain")
    assert first.sort(key).equals(usual.sort(key)), "seed 0 is the sweep's, to the last bit"


def test_orders_have_one_mask(ordered):
    _, _, rows = ordered
    assert set(rows.filter(accumulate="sequential_bfloat16")["mask_seed"]) == {0}


def test_a_config_without_orders_is_told(swept):
    study, paths = swept
    with pytest.raises(ConfigError, match="orders: is missing"):
        run_orders(study, paths, "small")
