"""Multitask training against merging: scores and paired errors, computed another way."""

import numpy as np
import polars as pl
import pytest

from mergelaw.config.models import Multitask
from mergelaw.errors import NotMadeError, TableError
from mergelaw.laws.analyses.multitask import multitask
from mergelaw.laws.registry import analysis_paths
from mergelaw.laws.rows import prepare
from mergelaw.laws.schemas.training import MULTITASK as SCHEMA
from mergelaw.laws.stage import write_analysis
from mergelaw.laws.uncertainty import generator
from mergelaw.paths import StudyPaths
from mergelaw.tables import LOSSES, LOSSES_KEY, read_provenance, read_table, write_table

N_TOKENS = (10, 30, 20)
METHODS = ({"label": "avg", "method": "average"}, {"label": "dare", "method": "dare"})
ITEMS = {"base": (4.0, 3.0, 3.5), "e0": (1.0, 2.0, 1.4), "e1": (2.0, 2.6, 2.1)}
"""Nats per token of each item under the base and the single experts, on both domains."""


def item_losses(s, m, subset, d, seed):
    if len(subset) == 1 and m == "avg":
        return ITEMS[f"e{subset[0]}"]
    rest = np.array(ITEMS["base"]) - (0.2 + 0.1 * (m == "dare") + 0.02 * seed) * len(subset)
    return rest + 0.05 * d


def baseline_of(losses, domains=("d0", "d1"), experts="e0+e1", item=(1.2, 2.5, 1.5)):
    """The baseline's table: the sweep's row of the same experts with other losses."""
    nll = np.multiply(item, N_TOKENS)
    rows = losses.filter(subset=experts, method="avg", size="s0", mask_seed=0)
    rows = rows.filter(pl.col("domain").is_in(domains))
    return rows.with_columns(
        method=pl.lit("multitask"),
        nll_sum=pl.lit(nll.sum()),
        item_nll_sum=pl.Series([nll.tolist()] * rows.height, dtype=pl.List(pl.Float64)),
    )


@pytest.fixture
def given(make_study, make_losses):
    study = make_study(2, 2, ("s0",), METHODS, resamples=50)
    losses = make_losses(study, item_losses, mask_seeds=(0, 1), n_tokens=N_TOKENS)
    return study, losses


def made(study, losses, baseline):
    return multitask(prepare(losses, study), baseline, study)


def redrawn(study, domain, *models):
    """Losses of models under the curves' draws of a domain's items, stretched as they are."""
    draw, n = generator(study.seed, "items", domain), len(N_TOKENS)
    times = draw.multinomial(n, [1 / n] * n, size=study.laws.resamples)
    result = []
    for items in models:
        whole = np.dot(items, N_TOKENS) / sum(N_TOKENS)
        each = [(t * N_TOKENS) @ items / (t @ N_TOKENS) for t in times]
        result.append(whole + np.sqrt(n / (n - 1)) * (np.array(each) - whole))
    return result


def row(table, **cell):
    return table.filter([pl.col(k).eq_missing(v) for k, v in cell.items()]).row(0, named=True)


def test_scores_are_shares_of_the_specialists_gain(given):
    study, losses = given
    table = made(study, losses, baseline_of(losses))
    weigh = lambda items: np.dot(items, N_TOKENS) / 60  # noqa: E731
    base, own = weigh(ITEMS["base"]), weigh(ITEMS["e0"])
    found = row(table, size="s0", domain="d0", kind="multitask", method=None)
    assert found["experts"] == "e0+e1"
    assert found["loss"] == pytest.approx(weigh((1.2, 2.5, 1.5)))
    assert found["score"] == pytest.approx((base - weigh((1.2, 2.5, 1.5))) / (base - own))
    merged = row(table, size="s0", domain="d0", kind="merge", method="dare")
    assert merged["loss"] == pytest.approx(base - 2 * 0.31)  # the mean of both mask seeds
    assert merged["difference"] == pytest.approx(merged["loss"] - found["loss"])
    for kind, score in (("base", 0), ("specialist", 1)):
        ends = row(table, size="s0", domain="d0", kind=kind, method=None)
        assert (ends["score"], ends["score_se"]) == pytest.approx((score, 0), abs=1e-12)


def test_errors_are_of_paired_losses(given):
    study, losses = given
    table = made(study, losses, baseline_of(losses))
    merged = np.array(ITEMS["base"]) - 2 * 0.2 - 0.02  # two experts by Average, mean of seeds
    models = (ITEMS["base"], ITEMS["e0"], (1.2, 2.5, 1.5), merged)
    base, own, both, avg = redrawn(study, "d0", *models)
    found = row(table, size="s0", domain="d0", kind="merge", method="avg")
    assert found["token_se"] == pytest.approx(np.std(avg, ddof=1))
    assert found["difference_se"] == pytest.approx(np.std(avg - both, ddof=1))
    unpaired = np.hypot(np.std(avg, ddof=1), np.std(both, ddof=1))
    assert abs(found["difference_se"] / unpaired - 1) > 0.2  # the draws are common to both
    gain = np.dot(np.subtract(ITEMS["base"], ITEMS["e0"]), N_TOKENS) / 60
    expected = np.std((base - avg) / gain - found["score"] * (base - own) / gain, ddof=1)
    assert found["score_se"] == pytest.approx(expected)


def test_macro_is_the_mean_of_losses_and_not_of_scores(given):
    study, losses = given
    table = made(study, losses, baseline_of(losses))
    parts = {
        (kind, domain): row(table, domain=domain, kind=kind, method=None)
        for kind in ("base", "specialist", "multitask")
        for domain in ("d0", "d1", "macro")
    }
    mean = {
        kind: (parts[kind, "d0"]["loss"] + parts[kind, "d1"]["loss"]) / 2
        for kind in ("base", "specialist", "multitask")
    }
    macro = parts["multitask", "macro"]
    expected = (mean["base"] - mean["multitask"]) / (mean["base"] - mean["specialist"])
    assert macro["score"] == pytest.approx(expected)
    scores = [parts["multitask", domain]["score"] for domain in ("d0", "d1")]
    assert abs(macro["score"] - np.mean(scores)) > 1e-3
    draws = [redrawn(study, name, (1.2, 2.5, 1.5))[0] for name in ("d0", "d1")]
    assert macro["token_se"] == pytest.approx(np.std(np.mean(draws, axis=0), ddof=1))


@pytest.mark.parametrize(
    ("own", "words"),
    [((4.0, 3.0, 3.6), "no better than the base"), ((4.3, 2.5, 3.6), "not above 2 standard")],
)
def test_no_score_where_the_specialist_gains_nothing_certain(own, words, given, make_losses):
    study, _ = given

    def weak(s, m, subset, d, seed):
        return own if subset == (0,) else item_losses(s, m, subset, d, seed)

    losses = make_losses(study, weak, n_tokens=N_TOKENS)
    table = made(study, losses, baseline_of(losses))
    on_it = table.filter(domain="d0")
    assert on_it["score"].null_count() == on_it["score_se"].null_count() == on_it.height
    assert words in on_it["note"][0]
    assert on_it["difference"].null_count() == 0
    assert table.filter(domain="d1")["score"].null_count() == 0


def test_one_item_has_no_error_and_no_score(given, make_losses):
    study, _ = given
    losses = make_losses(study, lambda *cell: item_losses(*cell)[:1], n_tokens=N_TOKENS[:1])
    one = baseline_of(losses).with_columns(
        item_nll_sum=pl.Series([[12.0]] * 2, dtype=pl.List(pl.Float64))
    )
    table = made(study, losses, one)
    assert table["token_se"].null_count() == table["score"].null_count() == table.height
    assert "one item" in table["note"][0]


def test_only_merges_of_the_baselines_experts_stand_beside_it(make_study, make_losses):
    study = make_study(3, 2, ("s0", "s1"), METHODS)

    def third(s, m, subset, d, seed):
        return (3.0,) * 3 if subset == (2,) else item_losses(s, m, subset, d, seed)

    losses = make_losses(study, third, n_tokens=N_TOKENS)
    table = made(study, losses, baseline_of(losses))
    assert set(table["size"]) == {"s0"}
    assert set(table["experts"]) == {"e0+e1"}
    merged = row(table, domain="d0", kind="merge", method="avg")
    assert merged["loss"] == pytest.approx(np.dot(ITEMS["base"], N_TOKENS) / 60 - 0.4)


def test_what_is_missing_is_said(given, make_study, make_losses):
    study, losses = given
    no_single = losses.filter(pl.col("k") != 1)
    table = made(study, no_single, baseline_of(losses))
    assert set(table["note"]) == {"no expert at home here was scored by itself"}
    assert set(table["kind"]) == {"base", "multitask", "merge"}
    other = baseline_of(losses).with_columns(
        item_n_tokens=pl.Series([[30, 10, 20]] * 2, dtype=pl.List(pl.Int32))
    )
    for wrong in (other, baseline_of(losses, domains=("d0",))):
        with pytest.raises(TableError, match="score the baseline again"):
            made(study, losses, wrong)
    with pytest.raises(NotMadeError, match="was not scored"):
        made(study, losses, losses.clear())


def test_the_stage_reads_the_baselines_of_the_ladder_alone(given, tmp_path):
    study, losses = given
    paths = StudyPaths(tmp_path)
    assert analysis_paths(study, paths, "multitask") == [paths.losses]
    write_table(paths.losses, losses, LOSSES, LOSSES_KEY, {})
    write_analysis(study, paths, "multitask")
    reason = read_provenance(paths.law_table("multitask"))["not_made"]
    assert reason == "the config has no `multitask`"
    sizes = (*study.sizes, study.size("s0").under("half"))
    wider = study.model_copy(update={"multitask": Multitask(), "sizes": sizes})
    place = paths.multitask_losses("s0")
    assert analysis_paths(wider, paths, "multitask") == [paths.losses, place]
    write_table(place, baseline_of(losses), LOSSES, LOSSES_KEY, {})
    write_analysis(wider, paths, "multitask")
    table = read_table(paths.law_table("multitask"), SCHEMA.schema)
    assert table.equals(made(study, losses, baseline_of(losses)))
