"""Spread over orders, mask seeds and subsets: components by hand, and of simulated losses."""

import numpy as np
import polars as pl
import pytest

from mergelaw.errors import NotMadeError
from mergelaw.laws.analyses.order import components, order
from mergelaw.laws.schemas.subsets import ORDER
from mergelaw.tables import LOSSES
from mergelaw.variants import order_series

AVERAGE = {"label": "avg", "method": "average"}
DARE = {"label": "dare", "method": "dare"}

# --- components ---


def test_components_by_hand():
    found = components(np.array([[1.0, 3.0], [5.0, 11.0]]))
    assert found.within == (2 + 18) / 2
    assert found.largest_range == 6
    # means 2 and 8: variance 18. Residuals of rows and columns are +-1: their mean square is 4
    assert found.between == 18 - 4 / 2


def test_without_spread_within_the_rest_is_between():
    found = components(np.array([[1.0, 1.0, 1.0], [3.0, 3.0, 3.0]]))
    assert found == (0, 2, 0)


def test_between_is_never_below_0():
    assert components(np.array([[1.0, 9.0], [9.0, 1.0]])).between == 0


def test_one_subset_says_nothing_of_subsets():
    found = components(np.array([[1.0, 2.0, 4.0]]))
    assert found.within == pytest.approx(np.var([1, 2, 4], ddof=1))
    assert found.between is None


@pytest.mark.parametrize("shared", [0.0, 0.8], ids=["orders", "mask seeds"])
def test_simulated_components_come_back(shared):
    """A share of the repeats' variance may be the same for all subsets, as a mask seed's is."""
    draw = np.random.default_rng(3)
    found = []
    for _ in range(3000):
        subset = draw.normal(0, 2.0, (4, 1))
        own = draw.normal(0, np.sqrt(1 - shared), (4, 4))
        found.append(components(5 + subset + own + draw.normal(0, np.sqrt(shared), (1, 4))))
    assert np.mean([part.within for part in found]) == pytest.approx(1.0, rel=0.03)
    # held at 0 from below in a few draws of a hundred: a little above 4
    assert np.mean([part.between for part in found]) == pytest.approx(4.0, rel=0.04)


# --- the table ---


@pytest.fixture
def study(make_study):
    made = make_study(n_experts=5, sizes=("s0",), methods=[AVERAGE, DARE])
    raw = made.model_dump(mode="json")
    raw["orders"] = {"k": [2, 3, 5], "subsets_per_k": 3, "orders": 4, "mask_seeds": 3}
    return type(made).model_validate(raw)


def losses(study, loss):
    """Return a table with loss(method, subset, order, mask seed, accumulate, domain)."""
    rows = []
    for part in order_series(study):
        for merge in part.merges:
            subset = "+".join(sorted(merge.experts))
            for domain in study.domain_names:
                place = part.method.label, subset, merge.name, part.mask_seed, part.accumulate
                nll = 50 * loss(*place, domain)
                rows.append(
                    ("s0", 2000, 1000, place[0], subset, merge.k, *place[2:], domain, nll, 50,
                     [nll], [50])
                )  # fmt: skip
    return pl.DataFrame(rows, schema=LOSSES, orient="row")


def number(*names):
    """Return a number in [0, 1) that depends on names."""
    return np.random.default_rng([ord(letter) for letter in "/".join(map(str, names))]).random()


def noisy(method, subset, order, seed, accumulate, domain):
    if accumulate == "float32":
        return 2 + number(subset, domain) + 0.1 * number(subset, seed, domain)
    return 2 + number(subset, domain) + 0.01 * number(order, domain)


def test_every_source_is_measured_with_its_own_sums(study):
    rows = losses(study, noisy)
    table = order(rows, study)
    assert table.schema == ORDER.schema
    assert set(table.filter(method="avg")["source"]) == {"order", "subset"}
    assert set(table.filter(method="dare")["source"]) == {"order", "mask_seed", "subset"}
    cell = {"method": "dare", "domain": "d1", "k": 3}
    for source, sums in (("order", "sequential_bfloat16"), ("mask_seed", "float32")):
        part = rows.filter(accumulate=sums, **cell).with_columns(
            loss=pl.col("nll_sum") / pl.col("n_tokens")
        )
        by_subset = part.group_by("subset").agg(
            variance=pl.col("loss").var(), range=pl.col("loss").max() - pl.col("loss").min()
        )
        row = table.filter(source=source, **cell).to_dicts()[0]
        assert row["sd"] ** 2 == pytest.approx(by_subset["variance"].mean())
        assert row["largest_range"] == pytest.approx(by_subset["range"].max())
        assert (row["n_subsets"], row["n_repeats"]) == (3, {"order": 4, "mask_seed": 3}[source])


def test_shares_add_up_to_1_and_follow_the_variances(study):
    table = order(losses(study, noisy), study).filter(pl.col("k") < 5)
    sums = table.group_by("method", "domain", "k").agg(
        pl.col("share").sum(), total=(pl.col("sd") ** 2).sum()
    )
    np.testing.assert_allclose(sums["share"], 1)
    both = table.join(sums.drop("share"), on=("method", "domain", "k"))
    np.testing.assert_allclose(both["share"], both["sd"] ** 2 / both["total"])


def test_one_subset_has_neither_a_share_nor_a_row_of_subsets(study):
    table = order(losses(study, noisy), study).filter(k=5)
    assert set(table["source"]) == {"order", "mask_seed"}
    assert table["share"].is_null().all()
    assert set(table["n_subsets"]) == {1}


def test_the_macro_is_the_spread_of_mean_losses(study):
    def opposite(method, subset, order, seed, accumulate, domain):
        return 2 + (1 if domain == "d0" else -1) * number(order, seed)

    table = order(losses(study, opposite), study)
    single = table.filter(source="order", domain="d0", k=3)
    assert (single["sd"] > 0.01).all()
    whole = table.filter(source="order", domain="macro")
    np.testing.assert_allclose(whole["sd"], 0, atol=1e-12)


def test_the_rows_order_does_not_matter(study):
    rows = losses(study, noisy)
    assert order(rows.sample(fraction=1, shuffle=True, seed=1), study).equals(order(rows, study))


def test_without_losses_the_reason_is_told(study):
    with pytest.raises(NotMadeError, match="no method merges the k of `orders`"):
        order(pl.DataFrame(schema=dict(LOSSES)), study)
