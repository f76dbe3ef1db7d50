"""Strengths and block means from gains written down by hand."""

import polars as pl
import pytest

from mergelaw.errors import NotMadeError
from mergelaw.laws.analyses.synergy_blocks import synergy_blocks, synergy_strengths
from mergelaw.laws.schemas.subsets import SYNERGY_ESTIMATORS

GAINS = {  # e0, e1, e2 at home in d0, d1, d2; e3 has no home
    "e0": (10.0, 1.0, 2.0),
    "e1": (3.0, 20.0, 4.0),
    "e2": (5.0, 6.0, 30.0),
    "e3": (7.0, 8.0, 9.0),
}


def estimators(names=("balanced",), left_out=()):
    rows = [
        {"size": "s0", "method": "average", "estimator": estimator, "donor": donor,
         "receiver": f"d{d}", "gain": gain, "stderr": None}
        for estimator in names for donor, row in GAINS.items() for d, gain in enumerate(row)
        if (estimator, donor) not in left_out
    ]  # fmt: skip
    return SYNERGY_ESTIMATORS.frame(rows)


def with_blocks(study, *blocks):
    pairs = zip(study.domains, blocks, strict=True)
    domains = tuple(domain.model_copy(update={"block": block}) for domain, block in pairs)
    return study.model_copy(update={"domains": domains})


@pytest.fixture
def study(make_study):
    return make_study(4, n_domains=3, sizes=["s0"])


def strengths(table, role, estimator="balanced"):
    chosen = table.filter(pl.col("role") == role, pl.col("estimator") == estimator)
    return dict(chosen.select("name", "strength").iter_rows())


def test_strengths_are_sums_off_the_diagonal(study):
    table = synergy_strengths(estimators(), study)
    assert strengths(table, "donor") == {"e0": 3, "e1": 7, "e2": 11, "e3": 24}
    assert strengths(table, "receiver") == {"d0": 15, "d1": 15, "d2": 15}


def test_a_sum_that_lacks_a_gain_is_not_told(study):
    both = estimators(("balanced", "trajectory"), left_out=[("trajectory", "e1")])
    table = synergy_strengths(both, study)
    assert strengths(table, "donor", "trajectory") == {"e0": 3, "e2": 11, "e3": 24}
    assert strengths(table, "receiver", "trajectory") == {"d1": 15}  # e1 is at home there
    assert len(strengths(table, "receiver", "balanced")) == 3


def test_block_means_with_the_home_domains_and_without(study):
    table = synergy_blocks(estimators(), with_blocks(study, "math", "math", "code"))
    rows = {
        (row["donor_block"], row["receiver_block"]): (
            row["n_pairs"], row["mean_gain"], row["mean_gain_cross"]
        )
        for row in table.to_dicts()
    }  # fmt: skip
    assert rows == {
        ("math", "math"): (4, 34 / 4, 2),  # 10, 1, 3, 20
        ("math", "code"): (2, 3, 3),
        ("code", "math"): (2, 5.5, 5.5),
        ("code", "code"): (1, 30, None),
    }


def test_experts_and_domains_without_a_block_are_left_out(study):
    table = synergy_blocks(estimators(), with_blocks(study, "math", None, "code"))
    assert table["n_pairs"].to_list() == [1, 1, 1, 1]  # e1, e3 and d1 are in none
    assert table["mean_gain"].to_list() == [10, 2, 5, 30]


@pytest.mark.parametrize("blocks", [(None, None, None), ("math", "math", None)])
def test_fewer_than_two_blocks_are_nothing_to_compare(study, blocks):
    with pytest.raises(NotMadeError, match="fewer than two blocks"):
        synergy_blocks(estimators(), with_blocks(study, *blocks))


def test_without_gains_there_are_no_sums_and_no_means(study):
    nothing = SYNERGY_ESTIMATORS.frame([])
    with pytest.raises(NotMadeError, match="not its home"):
        synergy_strengths(nothing, study)
    with pytest.raises(NotMadeError, match="no gain"):
        synergy_blocks(nothing, with_blocks(study, "math", "math", "code"))


def test_the_order_of_rows_changes_no_number(study):
    blocked = with_blocks(study, "math", "math", "code")
    for make in (synergy_strengths, synergy_blocks):
        table, back = (make(e, blocked) for e in (estimators(), estimators().reverse()))
        assert back.sort(pl.all()).equals(table.sort(pl.all()))
