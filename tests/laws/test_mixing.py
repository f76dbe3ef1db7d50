"""Losses by the number of blocks, where that number is known to matter or not to."""

import polars as pl
import pytest

from mergelaw.errors import NotMadeError
from mergelaw.laws.analyses.mixing import mixing
from mergelaw.laws.rows import prepare, subset_losses


def with_blocks(study, *blocks):
    pairs = zip(study.domains, blocks, strict=True)
    domains = tuple(domain.model_copy(update={"block": block}) for domain, block in pairs)
    return study.model_copy(update={"domains": domains})


@pytest.fixture
def study(make_study):
    return with_blocks(make_study(4, n_domains=4, sizes=["s0"]), "math", "math", "math", "code")


@pytest.fixture
def ready(make_losses):
    def build(study, loss, ks=None):
        made = make_losses(study, lambda s, m, subset, d, seed: [loss(subset, d)] * 2, ks)
        return subset_losses(prepare(made, study))

    return build


def bonus(subset, domain):
    """Return a loss that a mixture lowers by 0.1 and the sum of the experts' numbers raises."""
    mixed = 3 in subset and len(subset) > 1
    return 2 + domain + 1 / max(len(subset), 1) - 0.1 * mixed + 0.01 * sum(subset)


def cells(table, domain="d1"):
    rows = table.filter(pl.col("domain") == domain).to_dicts()
    return {(row["k"], row["n_blocks"]): row for row in rows}


def test_losses_are_grouped_by_k_and_blocks(study, ready):
    found = cells(mixing(ready(study, bonus), study))
    counts = {key: row["n_subsets"] for key, row in found.items()}
    assert counts == {(1, 1): 4, (2, 1): 3, (2, 2): 3, (3, 1): 1, (3, 2): 3, (4, 2): 1}
    pairs, mixed = found[2, 1], found[2, 2]
    assert pairs["loss"] == pytest.approx(3.5 + 0.02)  # {0, 1}, {0, 2}, {1, 2}
    assert mixed["loss"] == pytest.approx(3.4 + 0.04)  # {0, 3}, {1, 3}, {2, 3}
    assert mixed["sd"] == pytest.approx(0.01)
    assert pairs["against_k"] == pytest.approx(0.04)
    assert mixed["against_k"] == pytest.approx(-0.04)


def test_one_subset_has_no_sd_and_a_k_of_one_group_no_difference(study, ready):
    found = cells(mixing(ready(study, bonus), study))
    assert found[3, 1]["sd"] is None
    assert (found[4, 2]["sd"], found[4, 2]["against_k"]) == (None, 0.0)
    assert found[1, 1]["against_k"] == 0.0


def test_macro_is_the_mean_over_domains(study, ready):
    table = mixing(ready(study, bonus), study)
    macro, *domains = (
        cells(table, name)[3, 2]["loss"] for name in ("macro", "d0", "d1", "d2", "d3")
    )
    assert macro == pytest.approx(sum(domains) / 4)


def test_the_mean_of_k_counts_subsets_with_an_expert_without_a_block(study, ready):
    part = with_blocks(study, "math", "math", None, "code")
    found = cells(mixing(ready(part, bonus), part))
    assert found[2, 1]["n_subsets"] == 1  # {0, 1}
    assert found[2, 2]["n_subsets"] == 2
    of_all = 3.5 - 0.05 + 0.03
    assert found[2, 1]["against_k"] == pytest.approx(3.5 + 0.01 - of_all)
    assert not {k for k, _ in found} & {4}


def test_the_base_is_no_merge(study, ready):
    assert 0 not in mixing(ready(study, bonus), study)["k"]


@pytest.mark.parametrize("blocks", [(None,) * 4, ("math",) * 4, ("math", "math", None, None)])
def test_fewer_than_two_blocks_are_nothing_to_compare(study, ready, blocks):
    part = with_blocks(study, *blocks)
    with pytest.raises(NotMadeError, match="fewer than two blocks"):
        mixing(ready(part, bonus), part)


def test_subsets_that_all_have_an_expert_without_a_block_tell_nothing(study, ready):
    part = with_blocks(study, "math", None, None, "code")
    losses = ready(part, bonus, ks=(0, 3))
    with pytest.raises(NotMadeError, match="without a block"):
        mixing(losses, part)


def test_sampled_subsets_are_compared_among_themselves(study, ready):
    losses = ready(study, bonus).filter(pl.col("subset").is_in(["e0+e1", "e0+e3", "e1+e3"]))
    found = cells(mixing(losses, study))
    assert found[2, 1]["against_k"] == pytest.approx(3.51 - (3.51 + 3.43 + 3.44) / 3)
