"""From losses to curves: identities of the finite pool, errors against brute force, refusals."""

from itertools import combinations

import numpy as np
import polars as pl
import pytest

from mergelaw.errors import TableError
from mergelaw.laws.curves import curves, over_subsets, specialists
from mergelaw.laws.rows import prepare, subset_losses
from mergelaw.laws.schemas import CURVES
from mergelaw.laws.uncertainty import generator, resampled, token_errors

AVERAGE, DARE = {"label": "avg", "method": "average"}, {"label": "dare", "method": "dare"}


def curve(points: pl.DataFrame, domain: str, size: str = "s0", method: str = "avg") -> pl.DataFrame:
    return points.filter(
        (pl.col("domain") == domain) & (pl.col("size") == size) & (pl.col("method") == method)
    )


@pytest.fixture
def quadratic(make_study, make_losses, make_quadratic):
    """A study of six experts whose losses are quadratic in the mean task vector."""
    study = make_study(6, 2, ("s0",), (AVERAGE,))
    losses = make_quadratic(6, 4)
    table = make_losses(study, lambda s, m, subset, d, seed: losses(subset)[2 * d : 2 * d + 2])
    return study, table, losses


@pytest.mark.parametrize("domain", ["d0", "d1", "macro"])
def test_quadratic_curve_is_affine_in_one_over_k(quadratic, domain):
    study, table, _ = quadratic
    points = curve(curves(prepare(table, study), study), domain).filter(pl.col("k") > 0)
    line = np.polyfit(1 / points["k"].to_numpy(), points["loss"].to_numpy(), 1)
    np.testing.assert_allclose(
        np.polyval(line, 1 / points["k"].to_numpy()), points["loss"], atol=1e-12
    )
    assert line[0] > 0.01


def test_curve_is_the_mean_over_subsets(quadratic):
    study, table, losses = quadratic
    tokens = np.array([10, 30])
    points = curve(curves(prepare(table, study), study), "macro").filter(pl.col("k") == 3)
    each = [losses(s) for s in combinations(range(6), 3)]
    macro = [np.mean([x[:2] @ tokens / 40, x[2:] @ tokens / 40]) for x in each]
    row = points.to_dicts()[0]
    assert (row["n_subsets"], row["n_subsets_pool"], row["n_mask_seeds"]) == (20, 20, 1)
    assert row["loss"] == pytest.approx(np.mean(macro), rel=1e-13)
    assert row["sd"] == pytest.approx(np.std(macro, ddof=1), rel=1e-10)
    assert (row["minimum"], row["maximum"]) == pytest.approx((min(macro), max(macro)))
    assert row["subset_se"] == 0
    assert row["loss_se"] == pytest.approx(row["token_se"])


def test_base_is_at_k_0_of_every_method(make_study, make_losses):
    study = make_study(3, 2, ("s0", "s1"), (AVERAGE, DARE))
    table = make_losses(study, lambda s, m, subset, d, seed: [2 + s + d - 0.1 * len(subset)] * 2)
    base = curves(prepare(table, study), study).filter(pl.col("k") == 0)
    assert base.height == 2 * 2 * 3
    assert curve(base, "macro", "s1", "dare")["loss"].to_list() == pytest.approx([3.5])
    assert base["sd"].null_count() == base.height
    assert base["subset_se"].to_list() == [0.0] * base.height


@pytest.mark.parametrize("name", ["total", "nonembedding"])
def test_parameters_in_billions(make_study, make_losses, name):
    study = make_study(2, 1, ("s0", "s1"), n_params=name)
    table = make_losses(study, lambda *cell: [2.0, 2.0])
    found = curves(prepare(table, study), study)["n_params_billions"].unique().sort().to_list()
    extra = 1000 if name == "total" else 0
    assert found == pytest.approx([(10_000 + extra) / 1e9, (30_000 + extra) / 1e9])


def test_mask_seeds_are_averaged_within_a_subset(make_study, make_losses):
    study = make_study(3, 1, ("s0",), (DARE,))
    table = make_losses(
        study, lambda s, m, subset, d, seed: [2 + seed + sum(subset)] * 2, mask_seeds=(0, 1, 5)
    )
    rows = prepare(table, study)
    assert subset_losses(rows).filter(pl.col("subset") == "e0+e2")["loss"][0] == pytest.approx(6)
    point = (
        curve(curves(rows, study), "macro", method="dare").filter(pl.col("k") == 1).to_dicts()[0]
    )
    assert (point["n_subsets"], point["n_mask_seeds"]) == (3, 3)
    assert point["sd"] == pytest.approx(1)  # of 2, 3, 4 + 2: the seeds add no spread


def test_finite_population_error_against_enumeration():
    pool = 5
    values = {s: float(np.sin(7 * sum(s) + len(s))) for s in combinations(range(pool), 2)}
    estimates, variances = [], []
    for sample in combinations(values, 4):
        frame = pl.DataFrame({
            "size": "s", "n_params_billions": 1.0, "method": "m", "domain": "d", "k": 2,
            "n_mask_seeds": 1, "loss": [values[s] for s in sample],
        })  # fmt: skip
        point = over_subsets(frame, pool).to_dicts()[0]
        estimates.append(point["loss"])
        variances.append(point["subset_se"] ** 2)
    assert np.var(estimates) == pytest.approx(np.mean(variances), rel=1e-12)


def test_one_subset_of_many_has_no_error(make_study, make_losses):
    study = make_study(4, 1, ("s0",))
    table = make_losses(study, lambda *cell: [2.0, 2.5])
    table = table.filter((pl.col("k") != 2) | (pl.col("subset") == "e0+e1"))
    row = curve(curves(prepare(table, study), study), "d0", method="average").row(2, named=True)
    assert (row["k"], row["n_subsets"], row["n_subsets_pool"]) == (2, 1, 6)
    assert row["subset_se"] is None
    assert row["loss_se"] is None
    assert row["token_se"] > 0


def test_missing_k_are_missing_rows(make_study, make_losses):
    study = make_study(5, 1, ("s0",))
    table = make_losses(study, lambda *cell: [2.0, 2.5], ks=(1, 3, 5))
    points = curves(prepare(table, study), study)
    assert curve(points, "d0", method="average")["k"].to_list() == [1, 3, 5]
    assert points.schema == CURVES.schema


def test_token_errors_against_a_loop(make_study, make_losses):
    study = make_study(3, 2, ("s0",), (DARE,), resamples=25)
    draw = np.random.default_rng(3)
    noise = {}

    def losses(s, m, subset, d, seed):
        return noise.setdefault((subset, d, seed), 2 + draw.uniform(size=4))

    tokens, stretch = np.array([5, 10, 20, 40]), np.sqrt(4 / 3)
    table = make_losses(study, losses, mask_seeds=(0, 1), n_tokens=tokens)
    errors = token_errors(prepare(table, study), study)
    for k in (1, 2):
        subsets, macro = list(combinations(range(3), k)), np.zeros(25)
        for d in range(2):
            generated = generator(study.seed, "items", f"d{d}")
            times = generated.multinomial(4, [0.25] * 4, size=25)
            means = np.zeros(25)
            for r in range(25):
                items = np.repeat(np.arange(4), times[r])
                for s in subsets:
                    for seed in (0, 1):
                        nll = noise[s, d, seed][items] @ tokens[items]
                        means[r] += nll / tokens[items].sum() / len(subsets) / 2
            found = errors.filter((pl.col("k") == k) & (pl.col("domain") == f"d{d}"))
            assert found["token_se"][0] == pytest.approx(stretch * means.std(ddof=1), rel=1e-10)
            macro += means / 2
        found = errors.filter((pl.col("k") == k) & (pl.col("domain") == "macro"))
        assert found["token_se"][0] == pytest.approx(stretch * macro.std(ddof=1), rel=1e-10)


def test_token_noise_is_shared_over_k_and_methods():
    nll = np.array([[1.0, 2.0, 6.0], [2.0, 3.0, 7.0]])  # one nat per item between two merges
    draws = resampled(nll, np.ones((2, 3)), generator(0, "x"), 50)
    np.testing.assert_allclose(draws[:, 1] - draws[:, 0], 1, rtol=1e-12)
    assert draws[:, 0].std() > 0.5


def test_generators_depend_on_names_only():
    assert generator(1, "items", "d").random() == generator(1, "items", "d").random()
    others = {generator(*names).random() for names in [(1, "a", "b"), (1, "ab"), (2, "a", "b")]}
    assert len(others) == 3


def test_one_item_has_no_token_error(make_study, make_losses):
    study = make_study(2, 1, ("s0",))
    table = make_losses(study, lambda *cell: [2.0], n_tokens=(10,))
    points = curves(prepare(table, study), study)
    assert points["token_se"].null_count() == points["loss_se"].null_count() == points.height


def test_order_of_rows_does_not_matter(quadratic):
    study, table, _ = quadratic
    shuffled = table.sample(fraction=1, shuffle=True, seed=1)
    first, second = (curves(prepare(t, study), study) for t in (table, shuffled))
    assert first.equals(second)


def test_specialists(make_study, make_losses):
    study = make_study(3, 2, ("s0",))
    table = make_losses(study, lambda s, m, subset, d, seed: [1 + (d not in subset)] * 2)
    found = specialists(prepare(table, study), study)
    assert found.height == 6
    own = {(row["expert"], row["domain"]): row["is_own"] for row in found.to_dicts()}
    assert own["e0", "d0"] is True
    assert own["e0", "d1"] is False
    assert own["e2", "d0"] is None  # an expert without a home
    assert found.filter(pl.col("is_own"))["loss"].to_list() == [1, 1]


def test_every_problem_of_a_table_is_named(quadratic):
    study, table, _ = quadratic
    empty = table.tail(1).with_columns(subset=pl.lit("e0+e77"), n_tokens=pl.lit(0, pl.Int64))
    elsewhere = table.tail(1).with_columns(domain=pl.lit("d9"))
    wrong = pl.concat([table, table.head(1), elsewhere, empty])
    with pytest.raises(TableError) as caught:
        prepare(wrong, study)
    message = str(caught.value)
    for part in ("domain 'd9'", "expert 'e77'", "2 rows for size=s0", "1 rows without a token"):
        assert part in message


def test_a_subset_without_a_domain_is_refused(quadratic):
    study, table, _ = quadratic
    partial = table.filter((pl.col("subset") != "e0+e3") | (pl.col("domain") != "d1"))
    with pytest.raises(TableError, match=r"s0, avg, e0\+e3: 1 of 2 domains"):
        prepare(partial, study)


def test_items_must_be_the_same_everywhere(quadratic):
    study, table, _ = quadratic
    one = pl.col("subset") == "e0+e3"
    ragged = table.with_columns(
        pl.when(one).then(pl.col("item_nll_sum").list.head(1)).otherwise("item_nll_sum")
    )
    with pytest.raises(TableError, match=r"\[1, 2\] items in item_nll_sum"):
        curves(prepare(ragged, study), study)


def test_token_error_of_a_mean_is_the_textbook_one():
    nll = np.array([[1.0, 2.0, 6.0]])
    draws = resampled(nll, np.ones((1, 3)), generator(0, "x"), 200_000)
    assert draws.std() == pytest.approx(nll.std(ddof=1) / np.sqrt(3), rel=0.01)
