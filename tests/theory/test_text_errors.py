"""Few folds where passes go backward: the error from the choice of text is another route's."""

import numpy as np
import polars as pl
import pytest

from mergelaw.laws.schemas import theory as schemas
from mergelaw.tables import read_table, write_table
from mergelaw.theory.curve_prediction import point_sums, scale_error
from mergelaw.theory.derivatives import CurveDerivatives, Derivatives, Folds
from mergelaw.theory.fold_draws import FoldDraws, with_macro
from mergelaw.theory.intervals import band
from mergelaw.theory.measured_rows import read_derivatives, text_route
from mergelaw.theory.stage import write_predictions
from mergelaw.theory.subset_prediction import SubsetPredictor, members_of
from tests.theory.polynomial import polynomial
from tests.theory.test_prediction_tables import METHODS, make, read

SUMS = ("n_items", "n_tokens", "nll_sum", "slope", "radial", "mask_spread")
LISTS = ("gradient", "curvature", "spread", "mask_probes")


def summed(found):
    """Return the same derivatives with one fold a domain."""
    mine = found.folds.membership
    folds = Folds(found.folds.names, mine @ found.folds.n_items, mine @ found.folds.n_tokens)
    parts = (found.nll, found.gradient, found.curvature)
    sums = [np.tensordot(mine, part, 1) for part in parts]
    return Derivatives(found.experts, found.groups, found.weights, folds, *sums)


# --- curves and subsets ---


@pytest.fixture
def both():
    """Return a route of few folds, and one of many that is off by a known share."""
    found = polynomial(folds=(5, 6), cubic=0.1).derivatives(0.9)
    other = Derivatives(
        found.experts, found.groups, found.weights, found.folds,
        found.nll, found.gradient, 1.2 * found.curvature,
    )  # fmt: skip
    return summed(found), other


def test_a_curve_keeps_its_place_and_takes_the_others_error(both):
    few, many = (found.curve() for found in both)
    ks = np.arange(1, 6)
    draws = FoldDraws.of(many.folds)
    alone, told = band(few, FoldDraws.of(few.folds)), band(few, draws, text=many)
    assert np.isnan(alone.text_error).all()
    np.testing.assert_array_equal(told.loss, alone.loss)
    np.testing.assert_allclose(told.text_error, draws.stderr(point_sums(many, ks)))
    assert (told.text_error > 0).all()
    np.testing.assert_array_equal(told.reach, draws.reach)


def test_the_best_scale_takes_the_others_error(both):
    few, many = (found.curve() for found in both)
    draws = FoldDraws.of(many.folds)
    assert np.isnan(scale_error(few, FoldDraws.of(few.folds))).all()
    assert (scale_error(few, draws, many) > 0).all()
    same = summed(both[1]).curve()  # few folds of the very same: the error is that of the many
    np.testing.assert_allclose(scale_error(same, draws, many), scale_error(many, draws))


def test_draws_of_subsets_are_moved_to_the_prediction(both):
    few, many = map(SubsetPredictor, both)
    draws, members = FoldDraws.of(both[1].folds), members_of(5, 2)
    names = [str(i) for i in range(len(members))]
    told = few.predicted(members, names, draws, text=many)
    own = many.predicted(members, names, draws)
    for d, (one, other) in enumerate(zip(told, own, strict=True)):
        np.testing.assert_allclose(one.losses, few.losses(members)[d])
        np.testing.assert_allclose(one.stderr, other.stderr)
        np.testing.assert_allclose(one.draws - one.losses, other.draws - other.losses, atol=1e-12)
    assert np.abs(told[0].losses - own[0].losses).min() > 1e-3, "or it could be either"


def test_folds_are_moved_to_a_total_by_so_much_per_token():
    folds = Folds(("a", "a", "b"), np.ones(3, int), np.array([10, 30, 20]))
    found = folds.moved(np.array([1.0, 2.0, 3.0]), np.array([4.0, 2.5]))
    np.testing.assert_allclose(found, [1.25, 2.75, 2.5])
    rows = folds.moved(np.array([[1.0], [2.0], [3.0]]), np.array([[4.0], [2.5]]))
    np.testing.assert_allclose(rows[:, 0], found)


# --- tables ---


def coarse(paths, size, routes):
    """Write the table of a size again: products of one fold a domain, and some other routes."""
    path = paths.derivatives(size)
    table = read_table(path, schemas.DERIVATIVES.schema)
    few, many = table.filter(route="hvp"), table.filter(route="differences")
    products = few.group_by("method", "domain", maintain_order=True).map_groups(_one_fold)
    full = few.with_columns(route=pl.lit("gauss_newton"))  # of folds, and all that products tell
    by_route = {"hvp": products, "gauss_newton": full, "differences": many}
    rows = pl.concat([by_route[route].select(table.columns) for route in routes])
    key = schemas.DERIVATIVES.key
    write_table(path, rows.sort(key), schemas.DERIVATIVES.schema, key, {})
    return rows


def _one_fold(rows):
    first = rows.head(1)
    told = [name for name in LISTS if rows[name].null_count() == 0]
    lists = {name: [np.sum(rows[name].to_list(), axis=0).tolist()] for name in told}
    return first.with_columns(
        *(pl.lit(rows[n].sum() if rows[n].null_count() == 0 else None, rows[n].dtype).alias(n)
          for n in SUMS),
        *(pl.Series(name, values) for name, values in lists.items()),
    )  # fmt: skip


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """Return tables of predictions, by the routes that were measured."""

    def predicted(*routes):
        study, paths = make(tmp_path_factory.mktemp("text"), methods=METHODS)
        for size in study.size_names:
            coarse(paths, size, routes)
        write_predictions(study, paths)
        return paths

    return {routes: predicted(*routes) for routes in (
        ("hvp", "gauss_newton", "differences"), ("hvp", "differences"), ("hvp",),
    )}  # fmt: skip


def test_with_other_routes_every_error_of_few_folds_is_known(told):
    paths = told["hvp", "gauss_newton", "differences"]
    curves = read(paths, schemas.PREDICTED_CURVES)
    place = ["size", "method", "masks", "domain", "k", "scale"]
    errors = {r: curves.filter(route=r).sort(place)["stderr_text"] for r in set(curves["route"])}
    assert errors["hvp"].null_count() == 0
    np.testing.assert_allclose(errors["hvp"], errors["gauss_newton"])
    laws = read(paths, schemas.PREDICTED_LAWS).filter(route="hvp")
    assert laws.select("floor_stderr", "tail_stderr").null_count().sum_horizontal()[0] == 0
    subsets = read(paths, schemas.PREDICTED_SUBSETS)
    place = ["size", "method", "domain", "subset"]
    rows = {route: subsets.filter(route=route).sort(place) for route in ("hvp", "gauss_newton")}
    for name in ("stderr", "p_best"):
        np.testing.assert_allclose(rows["hvp"][name], rows["gauss_newton"][name], atol=1e-9)
    assert rows["hvp"]["stderr"].min() > 0


def test_curves_take_theirs_from_differences_and_subsets_then_have_none(told):
    paths = told["hvp", "differences"]
    curves = read(paths, schemas.PREDICTED_CURVES).filter(route="hvp", masks="these")
    own = curves.filter(scale=1.0, method="average")
    assert own["stderr_text"].null_count() == 0
    subsets = read(paths, schemas.PREDICTED_SUBSETS)
    assert set(subsets["route"]) == {"hvp"}
    for name in ("stderr", "p_best"):
        assert subsets[name].null_count() == subsets.height, "not known: neither 0 nor a number"
    assert subsets["loss_predicted"].null_count() == 0


def test_without_another_route_the_error_is_not_known(told):
    paths = told["hvp",]
    curves = read(paths, schemas.PREDICTED_CURVES)
    for name in ("stderr_text", "low_text", "high_text"):
        assert curves[name].null_count() == curves.height
    laws = read(paths, schemas.PREDICTED_LAWS)
    assert laws["floor_stderr"].null_count() == laws["tail_stderr"].null_count() == laws.height
    assert laws["floor"].null_count() == 0


def test_third_derivatives_go_from_many_folds_to_few(tmp_path):
    study, paths = make(tmp_path, cubic=0.1, methods=METHODS[:1], scales=False)
    rows = coarse(paths, study.size_names[0], ("hvp", "gauss_newton", "differences"))
    by_route = {one.route: one for one in read_derivatives(rows)}
    few, many = by_route["hvp"], by_route["differences"]
    assert len(few.curve.folds.domains) < len(many.curve.folds.domains)
    np.testing.assert_array_equal(few.curve.third, many.curve.third)
    assert few.curve.third.shape == (2, 4)
    assert isinstance(few.curve, CurveDerivatives)
    found = list(by_route.values())
    assert text_route(few, found).route == "gauss_newton"
    assert text_route(few, [few, many]).route == "differences"
    assert text_route(few, [few, many], whole=True) is few
    assert text_route(many, found) is many
    np.testing.assert_allclose(
        with_macro(few.curve.folds, few.curve.nll), with_macro(many.curve.folds, many.curve.nll)
    )
