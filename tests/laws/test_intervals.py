"""Intervals by target: what each is made from, and where none can be given."""

import numpy as np
import polars as pl
import pytest
from scipy.stats import t as student

from mergelaw.errors import NotMadeError
from mergelaw.laws.analyses.intervals import Spread, intervals, spread_rows, subject_of
from mergelaw.laws.curves import curves
from mergelaw.laws.estimates import estimate_all
from mergelaw.laws.law import FLOOR_TAIL
from mergelaw.laws.profile import profile_intervals
from mergelaw.laws.rows import prepare, subset_losses
from mergelaw.laws.schemas.doubts import INTERVALS
from mergelaw.laws.uncertainty import item_draws
from mergelaw.laws.weighting import pose
from tests.laws.conftest import losses_of, quadratic_pool, study_of

KEY = {"law": "floor_tail", "size": "s0", "domain": "d0"}


def table_of(study, table):
    """Return intervals and curves of a table of losses."""
    rows = prepare(table, study)
    points = curves(rows, study)
    return intervals(rows, subset_losses(rows), points, study), points, rows


@pytest.fixture(scope="module")
def bowl():
    """Five experts merged by averaging in a quadratic bowl, all subsets, one size."""
    study = study_of(n_experts=5, n_domains=2, sizes=("s0",), resamples=40)
    pools = [quadratic_pool(5, 4, seed=seed) for seed in (1, 2)]
    losses = losses_of(
        study, lambda size, method, subset, d, seed: pools[d](subset), n_tokens=(10, 30, 20, 5)
    )
    return study, *table_of(study, losses)


def rows_of(found: pl.DataFrame, **where: str) -> dict[str, dict]:
    return {row["quantity"]: row for row in found.filter(**where).iter_rows(named=True)}


def test_the_table_has_its_schema_key_and_all_targets(bowl):
    _, found, _, _ = bowl
    assert dict(found.schema) == INTERVALS.schema
    assert not found.select(INTERVALS.key).is_duplicated().any()
    kinds = set(found.select("target", "how").unique().iter_rows())
    assert kinds == {
        ("pool", "profile"),
        ("experts", "delete_1"),
        ("experts", "delete_2"),
        ("text", "items"),
    }


def test_estimates_are_those_of_the_fits(bowl):
    _, found, points, _ = bowl
    for estimate in estimate_all(points)[0]:
        for target in ("pool", "experts", "text"):
            mine = rows_of(found, law="floor_tail", domain=estimate.domain, target=target)
            for name, value in estimate.fit.values.items():
                assert mine[name]["estimate"] == pytest.approx(value, abs=1e-6)
            pool = float(estimate.fit.predict(k=5.0))
            assert mine["loss_pool"]["estimate"] == pytest.approx(pool)


def test_profile_rows_are_the_profile_intervals(bowl):
    _, found, points, _ = bowl
    mine = points.filter(pl.col("k") > 0, domain="d0")
    expected = profile_intervals(
        FLOOR_TAIL, {"k": mine["k"].to_numpy()}, mine["loss"].to_numpy(), at={"k": 5}
    )
    rows = rows_of(found, **KEY, how="profile")
    for name, interval in expected.items():
        row = rows["loss_pool" if name == "loss_at" else name]
        assert (row["low"], row["high"], row["note"]) == tuple(interval)
        assert row["stderr"] is None


def test_the_jackknife_refits_every_smaller_pool(bowl):
    """Averages in a bowl lie on floor + tail/k exactly, so two points of each pool suffice."""
    _, found, _, rows = bowl
    losses = subset_losses(rows).filter(pl.col("k") > 0, domain="d0")
    floors, tails = [], []
    for left_out in range(5):
        kept = losses.filter(~pl.col("subset").str.contains(f"e{left_out}"))
        means = dict(kept.group_by("k").agg(pl.col("loss").mean()).iter_rows())
        tails.append(2 * (means[1] - means[2]))
        floors.append(means[1] - tails[-1])
    mine = rows_of(found, **KEY, how="delete_1")
    for name, values in {"floor": floors, "tail": tails}.items():
        stderr = np.sqrt(4 / 5 * np.sum((values - np.mean(values)) ** 2))
        row, half = mine[name], student.ppf(0.975, 4) * stderr
        assert row["stderr"] == pytest.approx(stderr, rel=1e-4)
        assert row["low"] == pytest.approx(max(0, row["estimate"] - half), rel=1e-4)
        assert row["high"] == pytest.approx(row["estimate"] + half, rel=1e-4)
        assert row["n_refits"] == 5


def test_leaving_two_out_gives_no_more_degrees_of_freedom(bowl):
    _, found, _, _ = bowl
    row = rows_of(found, **KEY, how="delete_2")["floor"]
    assert row["n_refits"] == 10
    half = row["high"] - row["estimate"]
    assert half == pytest.approx(student.ppf(0.975, 4) * row["stderr"])


def test_the_loss_of_the_pool_under_the_jackknife_is_the_law_at_the_whole_pool(bowl):
    _, found, _, _ = bowl
    mine = rows_of(found, **KEY, how="delete_1")
    floor, tail = mine["floor"], mine["tail"]
    value = floor["estimate"] + tail["estimate"] / 5
    assert mine["loss_pool"]["estimate"] == pytest.approx(value)
    assert mine["loss_pool"]["stderr"] > 0


def test_text_errors_are_those_of_refits_to_resampled_items(bowl):
    study, found, _, rows = bowl
    draws = item_draws(rows, study)
    merges = (draws.groups["k"] > 0).to_numpy()
    k = draws.groups["k"].to_numpy()[merges]
    curves_drawn = draws.losses["d0"][:, merges]
    lines = np.array([np.polyfit(1 / k, curve, 1) for curve in curves_drawn])
    mine = rows_of(found, **KEY, target="text")
    assert mine["tail"]["stderr"] == pytest.approx(lines[:, 0].std(ddof=1), rel=1e-3)
    assert mine["floor"]["stderr"] == pytest.approx(lines[:, 1].std(ddof=1), rel=1e-3)
    half = (mine["floor"]["high"] - mine["floor"]["low"]) / 2
    assert half == pytest.approx(student.ppf(0.975, 3) * mine["floor"]["stderr"])
    assert "rough: 4 items a domain" in mine["floor"]["note"]


def test_macro_text_intervals_reach_as_far_as_all_items_together_allow(bowl):
    _, found, _, _ = bowl
    row = rows_of(found, law="floor_tail", domain="macro", target="text")["loss_pool"]
    half = (row["high"] - row["low"]) / 2
    assert half == pytest.approx(student.ppf(0.975, 6) * row["stderr"])


def test_a_parameter_at_its_bound_in_every_refit_has_no_interval(make_study, make_losses):
    """A tail that steepens towards small k more than 1/k does puts every offset at 0."""
    study = make_study(n_experts=4, n_domains=1, sizes=("s0",), resamples=20)

    def items(size, method, subset, domain, seed):
        noise = np.random.default_rng([*subset]).normal(scale=1e-3, size=2)
        return 2 + len(subset) ** -2.0 + noise if subset else [4.0, 4.0]

    found, _, _ = table_of(study, make_losses(study, items))
    row = rows_of(found, **KEY, how="delete_1")["offset"]
    assert (row["estimate"], row["stderr"], row["low"], row["high"]) == (0, None, None, None)
    assert row["note"] == "at its bound 0 in every refit: no interval"


def test_an_interval_stops_at_the_bound_and_says_so(bowl):
    _, found, _, _ = bowl
    cut = found.filter(pl.col("note").str.contains("cut at the bound"))
    assert cut.height > 0
    assert (cut["low"] >= 0).all()


def subject_on_the_law() -> tuple:
    """Return a fit of points on the law, and 100 refits that are all the same."""
    ks = np.arange(1.0, 10)
    loss = FLOOR_TAIL.function(ks, 1.8, 0.3, 0.1)
    subject = subject_of(pose(FLOOR_TAIL, {"k": ks}, loss).problem, {"k": np.array([9.0])})
    return subject, np.tile(subject.estimates, (100, 1))


@pytest.mark.parametrize(("n_at_bound", "noted"), [(5, False), (11, True)])
def test_a_bound_that_many_refits_end_at_is_noted(n_at_bound: int, noted: bool) -> None:
    subject, refits = subject_on_the_law()
    refits[:n_at_bound, 2] = 0
    row = spread_rows(subject, Spread("text", "items", refits, np.full(4, 0.01), 20))[2]
    assert (row["note"] == f"at its bound 0 in {n_at_bound}% of the refits") == noted
    assert row["stderr"] == 0.01


def test_ends_beyond_a_bound_are_cut() -> None:
    subject, refits = subject_on_the_law()
    rows = spread_rows(subject, Spread("text", "items", refits, np.full(4, 0.1), 20, "why"))
    offset = rows[2]
    assert offset["low"] == 0
    assert offset["high"] == pytest.approx(0.1 + student.ppf(0.975, 20) * 0.1)
    assert offset["note"] == "cut at the bound; why"
    assert rows[0]["note"] == "why"


def test_smaller_pools_with_too_few_k_for_the_offset_are_another_law(make_study, make_losses):
    """With 3 experts the pools of 2 have two k: the offset would be held at 0."""
    study = make_study(n_experts=3, n_domains=1, sizes=("s0",), resamples=20)

    def items(size, method, subset, domain, seed):
        noise = np.random.default_rng([*subset]).normal(scale=0.01, size=2)
        return 2 + (1 / (len(subset) + 0.5) if subset else 2) + noise

    found, _, _ = table_of(study, make_losses(study, items))
    assert set(found["target"]) == {"pool", "text"}


def test_sampled_subsets_say_nothing_about_new_experts(make_study, make_losses):
    study = make_study(n_experts=5, n_domains=1, sizes=("s0",), resamples=20)

    def items(size, method, subset, domain, seed):
        noise = np.random.default_rng([*subset]).normal(scale=0.01, size=2)
        return 2 + (1 / len(subset) if subset else 2) + noise

    losses = make_losses(study, items).filter(pl.col("subset") != "e0+e1")
    found, _, _ = table_of(study, losses)
    assert set(found["target"]) == {"pool", "text"}


def test_one_item_a_domain_says_nothing_about_new_text(make_study, make_losses):
    study = make_study(n_experts=4, n_domains=1, sizes=("s0",), resamples=20)

    def items(size, method, subset, domain, seed):
        return [2 + (1 / len(subset) if subset else 2) + 0.01 * len(subset) * (0 in subset)]

    found, _, _ = table_of(study, make_losses(study, items, n_tokens=(10,)))
    assert set(found["target"]) == {"pool", "experts"}


def test_joint_intervals_are_of_the_macro_loss_at_the_largest_size(make_study, make_losses):
    study = make_study(n_experts=4, n_domains=2, resamples=20)

    def items(size, method, subset, domain, seed):
        noise = np.random.default_rng([size, domain, *subset]).normal(scale=0.005, size=2)
        return 1 + 0.8**size + (1 / (len(subset) + 0.3) if subset else 2) + noise

    found, points, _ = table_of(study, make_losses(study, items))
    joint = found.filter(law="joint")
    assert joint.select("domain", "size").unique().rows() == [("macro", None)]
    row = rows_of(joint, how="delete_1")["loss_pool"]
    largest = points.filter(domain="macro", size="s3", k=4)["loss"][0]
    assert row["estimate"] == pytest.approx(largest, abs=0.02)
    assert row["n_refits"] == 4


def test_too_few_k_are_refused_with_the_reason(make_study, make_losses):
    study = make_study(n_experts=2, n_domains=1, sizes=("s0",), resamples=20)
    losses = make_losses(study, lambda *_: [1.0, 2.0], ks=[0, 1])
    with pytest.raises(NotMadeError, match="three distinct k"):
        table_of(study, losses)
