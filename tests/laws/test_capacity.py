"""Training settings: laws over N leave them out; changes against the reference, errors, the law."""

from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from mergelaw.config.models import Training
from mergelaw.errors import NotMadeError
from mergelaw.laws import forms
from mergelaw.laws.analyses.capacity_fits import capacity_fits
from mergelaw.laws.analyses.functions import MAKE
from mergelaw.laws.curves import curves
from mergelaw.laws.estimates import estimate_all, fit_table, prediction_table
from mergelaw.laws.point_noise import sources
from mergelaw.laws.rows import prepare, subset_losses
from mergelaw.laws.schemas import CURVES, MACRO
from mergelaw.laws.schemas.capacity import CAPACITY, CAPACITY_FITS
from mergelaw.laws.training_settings import same_but_longer
from mergelaw.tables import TASK_VECTORS, TRAINING_LOG
from tests.laws.conftest import losses_of, n_params, quadratic_pool, study_of

SHIFT = 0.1
SETTINGS = [
    {"name": "shifted", "steps": 80},
    {"name": "doubled", "learning_rate": 0.5, "lora": {"rank": 2}},
]
DIMENSION = 5


def with_settings(study, settings):
    """The study with training settings, as a config that has them is read."""
    training = Training.model_validate({"settings": settings})
    return study.model_copy(update={"training": training}).with_settings()


def losses_under(study, pools) -> pl.DataFrame:
    """Losses of the pools under every setting: all `SHIFT` higher, or twice as high."""

    def losses(s, method, subset, d, seed):
        size = study.sizes[s]
        loss = pools[d](subset) * 0.9 ** study.ladder.index(size.base_size)
        return loss * 2 if size.setting == "doubled" else loss + SHIFT * (size.setting == "shifted")

    table = losses_of(study, losses, n_tokens=(10, 30, 20, 5))
    rank = pl.col("size").replace_strict(
        {size.name: n_params(study.ladder.index(size.base_size)) for size in study.sizes}
    )
    return table.with_columns(n_params_total=rank + 1000, n_params_nonembedding=rank)


def logs_of(study, steps=lambda size: 3) -> pl.DataFrame:
    """Logs in which every expert sees 10 tokens a step more than the one before; and the base."""
    rows = [
        {"size": size, "expert": expert, "step": step + 1, "n_tokens": 100 + 10 * place}
        for size in study.size_names
        for place, expert in enumerate((*study.expert_names, "base"))
        for step in range(steps(size))
    ]
    return pl.DataFrame(rows, schema=dict(TRAINING_LOG))


def vectors_of(study, task_vectors: np.ndarray) -> pl.DataFrame:
    """The same task vectors at every size, and a tensor of them that must not count."""
    dots = task_vectors @ task_vectors.T
    rows = [
        {"size": size, "method": method, "tensor": tensor, "expert": expert,
         "norm": float(np.sqrt(dots[i, i])), "dots": dots[i].tolist()}
        for size in study.size_names for method in study.method_labels for tensor in ("*", "a")
        for i, expert in enumerate(study.expert_names)
    ]  # fmt: skip
    return pl.DataFrame(rows, schema=dict(TASK_VECTORS))


def given_of(study, table: pl.DataFrame) -> SimpleNamespace:
    """What `mergelaw.laws.inputs.Inputs` gives."""
    rows = prepare(table, study)
    points = curves(rows, study)
    vectors = np.random.default_rng(0).normal(size=(len(study.experts), DIMENSION))
    return SimpleNamespace(
        study=study,
        rows=rows,
        losses=subset_losses(rows),
        curves=points,
        fits=fit_table(estimate_all(points, study.off_ladder)[0]),
        training=logs_of(study),
        task_vectors=vectors_of(study, vectors),
        vectors=vectors,
    )


@pytest.fixture(scope="module")
def pair():
    """A study of four sizes and five experts, and the same with two settings more."""
    study = study_of(n_experts=5, n_domains=2, resamples=25, heldout_k=4, forecast_k=[1, 2, 4])
    pools = [quadratic_pool(5, 4, seed=seed) for seed in (1, 2)]
    wide = with_settings(study, SETTINGS)
    return given_of(study, losses_under(study, pools)), given_of(wide, losses_under(wide, pools))


LAWS_OVER_N = ("heldout", "rivals", "two_stage", "transfer", "triple_errors", "variance_fits")


@pytest.mark.parametrize("name", [*LAWS_OVER_N, "intervals"])
def test_settings_change_nothing_about_the_ladder(pair, name):
    alone, wide = pair
    expected, found = MAKE[name](alone), MAKE[name](wide)
    for column in {"size", "target", "source"} & set(found.columns):
        found = found.filter(~pl.col(column).is_in(wide.study.off_ladder).fill_null(value=False))
    assert found.equals(expected)


@pytest.mark.parametrize("name", ["heldout", "rivals", "intervals", "gains", "triples"])
def test_every_setting_has_its_own_curves(pair, name):
    sizes = set(MAKE[name](pair[1])["size"].drop_nulls())
    assert sizes == set(pair[1].study.size_names)


def test_the_joint_law_is_that_of_the_ladder(pair):
    alone, wide = pair
    joint = pl.col("law") == "joint"
    assert wide.fits.filter(joint).equals(alone.fits.filter(joint))
    estimates = estimate_all(wide.curves, wide.study.off_ladder)[0]
    noise = sources(wide.rows, wide.study)
    predicted = prediction_table(estimates, wide.curves, noise, wide.study.off_ladder)
    assert set(predicted.filter(joint)["size"]) == set(alone.study.size_names)
    assert set(predicted.filter(~joint)["size"]) == set(wide.study.size_names)


@pytest.fixture(scope="module")
def table(pair):
    return MAKE["capacity"](pair[1])


def at(table: pl.DataFrame, size: str, quantity: str, domain: str = "d0") -> dict:
    return table.filter(size=size, quantity=quantity, domain=domain, method="average").row(
        0, named=True
    )


def test_the_table_has_its_schema_and_key(table, pair):
    assert dict(table.schema) == CAPACITY.schema
    assert not table.select(CAPACITY.key).is_duplicated().any()
    assert table["domain"].unique().sort().to_list() == ["d0", "d1", MACRO]
    quantities = {"loss_own", "loss_1", "loss_pool", "floor", "tail", "offset"}
    assert set(table["quantity"]) == quantities
    assert set(table["size"]) == set(pair[1].study.size_names)


def test_how_experts_were_trained(table, pair):
    row = at(table, "s1@doubled", "floor")
    assert (row["base_size"], row["setting"]) == ("s1", "doubled")
    assert (row["learning_rate"], row["lora_rank"]) == (0.5, 2)
    assert (row["steps"], row["training_tokens"]) == (3, 3 * (100 + 10 * 2))  # five experts' mean
    vectors = pair[1].vectors
    assert row["task_vector_norm"] == pytest.approx(np.linalg.norm(vectors, axis=1).mean())
    assert row["mean_vector_norm"] == pytest.approx(np.linalg.norm(vectors.mean(axis=0)))
    reference = at(table, "s1", "floor")
    assert (reference["base_size"], reference["setting"], reference["lora_rank"]) == (
        "s1",
        None,
        None,
    )


def test_values_are_those_of_curves_and_fits(table, pair):
    curve = pair[1].curves.filter(size="s2@doubled", domain="d1").sort("k")
    ends = at(table, "s2@doubled", "loss_1", "d1"), at(table, "s2@doubled", "loss_pool", "d1")
    for row, k in zip(ends, (1, 5), strict=True):
        point = curve.filter(k=k).row(0, named=True)
        assert (row["value"], row["stderr"]) == (point["loss"], point["loss_se"])
        assert row["identified"] is None
    fit = pair[1].fits.filter(law="floor_tail", size="s2@doubled", domain="d1", parameter="tail")
    tail = at(table, "s2@doubled", "tail", "d1")
    for column in ("value", "stderr", "identified"):
        assert tail[column] == fit[column][0]


def test_experts_at_home(table, pair):
    """e0 is at home in d0 and e1 in d1."""
    losses = pair[1].losses.filter(size="s1@shifted", k=1)
    homes = [
        losses.filter(subset=f"e{i}", domain=f"d{i}", method="average")["loss"][0] for i in (0, 1)
    ]
    for domain, expected in {"d0": homes[0], "d1": homes[1], MACRO: np.mean(homes)}.items():
        row = at(table, "s1@shifted", "loss_own", domain)
        assert row["value"] == pytest.approx(expected)
        assert row["change"] == pytest.approx(SHIFT)
        assert (row["stderr"], row["change_text_se"], row["identified"]) == (None, None, None)


def test_the_reference_has_no_change(table):
    reference = table.filter(pl.col("setting").is_null())
    assert reference["change"].null_count() == reference.height
    assert table.filter(pl.col("setting").is_not_null())["change"].null_count() == 0


def test_a_shift_of_every_loss_is_known_without_error(table):
    """Both settings share items and experts: unpaired, the error would be that of a loss."""
    for quantity, change in (
        ("loss_1", SHIFT),
        ("loss_pool", SHIFT),
        ("floor", SHIFT),
        ("tail", 0),
    ):
        row = at(table, "s0@shifted", quantity)
        assert row["change"] == pytest.approx(change, abs=1e-6)
        assert row["change_text_se"] == pytest.approx(0, abs=1e-6)
        assert row["change_experts_se"] == pytest.approx(0, abs=1e-6)


def test_a_doubled_loss_changes_by_itself(table, pair):
    """So the change's error is that of the reference itself."""
    point = pair[1].curves.filter(size="s0", domain="d0", k=5)
    row = at(table, "s0@doubled", "loss_pool")
    assert row["change"] == pytest.approx(point["loss"][0])
    assert row["change_text_se"] == pytest.approx(point["token_se"][0])
    single = pair[1].losses.filter(size="s0", domain="d0", k=1)["loss"].to_numpy()
    assert at(table, "s0@doubled", "loss_1")["change_experts_se"] == pytest.approx(
        single.std(ddof=1) / np.sqrt(5)  # the jackknife of a mean is its standard error
    )
    for quantity in ("floor", "tail"):
        spread = MAKE["intervals"](pair[0]).filter(
            law="floor_tail", size="s0", domain="d0", quantity=quantity
        )
        changed = at(table, "s0@doubled", quantity)
        for how, column in (("items", "change_text_se"), ("delete_1", "change_experts_se")):
            assert changed[column] == pytest.approx(spread.filter(how=how)["stderr"][0], rel=1e-4)


def test_a_study_of_one_way_of_training_has_no_such_table(tmp_path, make_study):
    from mergelaw.laws.inputs import Inputs
    from mergelaw.paths import StudyPaths

    for name in ("capacity", "capacity_fits"):
        with pytest.raises(NotMadeError, match=r"the config has no `training.settings`"):
            MAKE[name](Inputs(make_study(), StudyPaths(tmp_path)))


TRUTH = (1.5, 0.4, 0.6, 0.3, -0.5, 0.4)
"""Floor and tail against tokens: the floor falls, the tail grows."""


def lengths(n_settings: int):
    """A study whose training differs in length, and once in the learning rate."""
    settings = [{"name": f"l{i}", "steps": 50 * 2**i} for i in range(n_settings - 1)]
    study = study_of(n_experts=6, sizes=("s0",))
    return with_settings(study, [*settings, {"name": "fast", "learning_rate": 0.5}])


def on_the_law(study, rise=0.0):
    """Logs, curves and fits on a known law over tokens; another learning rate is far from it."""
    tokens = {size: study.expert_training(size).steps * 125 for size in study.size_names}
    points = [
        {"size": size, "n_params_billions": n_params(0), "method": "average", "domain": MACRO,
         "k": k, "loss": float(forms.capacity(n / 1e6, k, *TRUTH)) + 3 * size.endswith("fast")
         + rise * size.endswith("l0"),
         "subset_se": 0.0}
        for size, n in tokens.items() for k in range(1, 7)
    ]  # fmt: skip
    logs = logs_of(study, lambda size: study.expert_training(size).steps)
    frame = CURVES.frame(points)
    return logs, frame, fit_table(estimate_all(frame, study.off_ladder)[0])


def test_the_law_over_tokens_comes_back():
    study = lengths(6)
    found = capacity_fits(*on_the_law(study), study)
    assert dict(found.schema) == CAPACITY_FITS.schema
    assert found["n_settings"].to_list() == [6] * 6
    assert found["base_size"].unique().to_list() == ["s0"]
    assert found["value"].to_list() == pytest.approx(TRUTH, rel=1e-3)
    assert found["identified"].all()
    assert found["largest_error"].max() < 1e-6


def test_floors_that_do_not_fall_are_no_law_whatever_its_fit():
    """s0 has 40 steps, l0 50: a floor that is higher there belies a law whose floor falls."""
    study = lengths(6)
    found = capacity_fits(*on_the_law(study, rise=2.0), study)
    assert found["note"][0].startswith("the floors of single settings do not fall from s0 to s0@l0")
    assert not found["identified"].any()


def test_few_settings_are_told_and_two_are_no_law():
    study = lengths(3)
    note = capacity_fits(*on_the_law(study), study)["note"][0]
    assert "fewer than 5 capacities" in note
    study = lengths(2)
    with pytest.raises(NotMadeError, match=r"needs 3 settings .* and there are 2"):
        capacity_fits(*on_the_law(study), study)


def test_settings_of_one_length_series():
    study = lengths(3)
    assert same_but_longer(study, "s0") == ["s0", "s0@l0", "s0@l1"]
    other = with_settings(
        study_of(sizes=("s0", "s1")),
        [{"name": "e", "epochs": 2.0}, {"name": "b", "batch_rows": 3, "steps": 9}],
    )
    assert same_but_longer(other, "s1") == ["s1", "s1@e"]
