"""The tables of predictions, from a study whose losses are known functions of the merges."""

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from mergelaw.config.methods import METHODS as METHODS_BY_NAME
from mergelaw.config.study import Scales
from mergelaw.config.theory import Theory
from mergelaw.errors import TableError
from mergelaw.laws.analyses.scale_curves import scale_curves
from mergelaw.laws.analyses.scale_fits import scale_fits
from mergelaw.laws.schemas import SYNERGY
from mergelaw.laws.schemas import theory as schemas
from mergelaw.laws.schemas.scales import SCALE_CURVES, SCALE_FITS
from mergelaw.laws.stage import write_analysis, write_curves, write_fits
from mergelaw.paths import StudyPaths
from mergelaw.tables import (
    ALL_TENSORS,
    LOSSES,
    LOSSES_KEY,
    SCALE_LOSSES,
    TASK_VECTORS,
    TASK_VECTORS_KEY,
    read_provenance,
    read_table,
    write_table,
)
from mergelaw.theory.curve_prediction import Curve
from mergelaw.theory.measured_rows import read_derivatives, second_route
from mergelaw.theory.refusals import nonlinear_words, refusals
from mergelaw.theory.stage import write_predictions
from mergelaw.theory.study_facts import StudyFacts
from mergelaw.variants import scale_series
from tests.laws.conftest import AVERAGE, DARE, losses_of, study_of
from tests.theory.polynomial import polynomial

TOKENS = (30, 20, 40)
SCALE = {"average": 1.0, "ta": 0.8, "ties": 1.0, "dare": 1.0}
METHODS = (
    AVERAGE,
    {"label": "ta", "method": "task_arithmetic", "parameters": {"scale": 0.8}},
    {"label": "ties", "method": "ties"},
    DARE,
)
N = 4


def loss_of(size, method, cubic=0.0):
    """Return the loss behind a size; DARE has other vectors, TIES no vectors at all."""
    loss = polynomial(seed=size, n=N, folds=(3, 3), cubic=cubic)
    loss.folds.n_tokens[:] = TOKENS * 2
    if method == "dare":
        noise = 0.2 * np.random.default_rng([size, 7]).standard_normal(loss.vectors.shape)
        loss = replace(loss, vectors=loss.vectors + noise)
    return loss


def item_losses(cubic, scale=None):
    def losses(s, method, subset, d, mask_seed):
        loss = loss_of(s, method, cubic)
        at = SCALE[method] if scale is None else scale
        x = at * loss.vectors[list(subset)].mean(axis=0) if subset else np.zeros(4)
        if method == "ties":
            x = x * (1 + 0.1 * len(subset))
        mine = slice(3 * d, 3 * d + 3)
        return (loss.at(x) / loss.folds.n_tokens)[mine]

    return losses


def derivative_rows(study, size, cubic, third, masks=0.1):
    """Yield exact rows of all routes; those by differences tell the curve alone."""
    for method in ("average", "ta", "dare"):
        loss = loss_of(study.size_names.index(size), method, cubic)
        found = loss.derivatives(SCALE[method])
        curve = found.curve()
        for route in ("hvp", "differences"):
            whole = route == "hvp"
            for f, domain in enumerate(loss.folds.domains):
                tokens = int(loss.folds.n_tokens[f])
                yield {
                    **{"size": size, "method": method, "mask_seed": 0, "route": route},
                    **{"domain": domain, "fold": f % 3, "experts": list(loss.experts)},
                    **{"scale": SCALE[method], "n_items": 1, "n_tokens": tokens},
                    "nll_sum": found.nll[f],
                    "gradient": found.gradient[f].tolist() if whole else None,
                    "curvature": found.curvature[f].ravel().tolist() if whole else None,
                    **{"slope": curve.slope[f], "radial": curve.radial[f]},
                    "spread": curve.spread[f].tolist(),
                    "third": loss.third()[f // 3].tolist() if third and not whole else None,
                    "mask_spread": masks * tokens if method == "dare" else None,
                    "mask_probes": [(masks - 0.01) * tokens, (masks + 0.01) * tokens]
                    if method == "dare"
                    else None,
                }


def scale_rows(study, cubic):
    parts = []
    for scale in sorted({*study.scales.fitted, *study.scales.checked}):
        ks = study.scales.ks(N)
        rows = losses_of(study, item_losses(cubic, scale), ks=(0, *ks), n_tokens=TOKENS)
        parts.append(rows.with_columns(scale=pl.lit(scale)))
    rows = pl.concat(parts).select(list(SCALE_LOSSES))
    wanted = pl.DataFrame(
        [
            (series.method.label, merge.name, series.scale)
            for series in scale_series(study)
            for merge in series.merges
        ],
        schema=["method", "subset", "scale"],
        orient="row",
    )
    base = (pl.col("k") == 0) & (pl.col("scale") == rows["scale"].min())
    merges = rows.filter(pl.col("k") > 0).join(wanted, on=["method", "subset", "scale"])
    found = pl.concat(
        [rows.filter(base, pl.col("method").is_in(wanted["method"].to_list())), merges]
    )
    at_base = pl.when(pl.col("k") == 0).then(0.0).otherwise(pl.col("scale"))
    return found.with_columns(scale=at_base)


def vector_rows(study, size):
    for method in study.method_labels:
        vectors = loss_of(study.size_names.index(size), "average").vectors
        gram = vectors @ vectors.T
        for i, expert in enumerate(study.expert_names):
            yield {
                **{"size": size, "method": method, "tensor": ALL_TENSORS, "expert": expert},
                **{"n": 4, "norm": gram[i, i] ** 0.5, "dots": gram[i].tolist()},
                **{"cosines": [None] * N, "density": 1.0},
                "squared_norm_kept": 1.25 if method == "dare" else 1.0,
            }


def make(root, cubic=0.0, third=True, methods=METHODS, residual=0.9, scales=True):
    """Write all that predictions read, of losses that are known; return study and paths."""
    sections = {"theory": Theory(), "scales": Scales(fitted=(0.8, 1.0, 1.3)) if scales else None}
    study = study_of(N, 2, ("s0", "s1"), methods).model_copy(update=sections)
    paths = StudyPaths(root)
    losses = losses_of(study, item_losses(cubic), n_tokens=TOKENS)
    write_table(paths.losses, losses, LOSSES, (*LOSSES_KEY, "subset"), {})
    write_curves(study, paths)
    write_fits(study, paths)
    write_analysis(study, paths, "synergy")
    if scales:
        rows = scale_rows(study, cubic)
        fits = scale_fits(rows, study)
        write(paths.laws / SCALE_FITS.file, fits, SCALE_FITS)
        write(paths.laws / SCALE_CURVES.file, scale_curves(rows, fits, study), SCALE_CURVES)
    for size in study.size_names:
        rows = [r for r in derivative_rows(study, size, cubic, third) if r["method"] in
                study.method_labels]  # fmt: skip
        write(paths.derivatives(size), schemas.DERIVATIVES.frame(rows), schemas.DERIVATIVES)
        updates = [
            {"size": size, "method": "ties", "k": k, "n_subsets": 4, "residual": residual}
            for k in range(1, N)
            if "ties" in study.method_labels
        ]
        write(paths.updates(size), schemas.UPDATES.frame(updates), schemas.UPDATES)
        vectors = pl.DataFrame(list(vector_rows(study, size)), schema=dict(TASK_VECTORS))
        write_table(paths.task_vectors(size), vectors, TASK_VECTORS, TASK_VECTORS_KEY, {})
    return study, paths


def write(path, frame, table):
    write_table(path, frame, table.schema, table.key, {})


def read(paths, table):
    return read_table(paths.theory_table(table.file.removesuffix(".parquet")), table.schema)


@pytest.fixture(scope="module")
def exact(tmp_path_factory):
    """A study of quadratic losses, predicted."""
    study, paths = make(tmp_path_factory.mktemp("exact"))
    assert write_predictions(study, paths) == paths.theory_table("curves")
    return study, paths


def test_curves_of_a_quadratic_loss_are_exact_at_every_scale(exact):
    curves = read(exact[1], schemas.PREDICTED_CURVES)
    these = curves.filter(pl.col("masks") == "these", pl.col("loss").is_not_null())
    own_scale = pl.col("scale") == pl.col("method").replace_strict(SCALE)
    # at other scales few subsets were merged, and a route of the curve alone tells all of k
    few = these.filter(pl.col("k") == 2, pl.col("route") == "differences", ~own_scale)
    assert few["relative_error"].abs().max() > 1e-4
    rest = these.join(few, on=schemas.PREDICTED_CURVES.key, how="anti")
    assert rest["relative_error"].abs().max() < 1e-10
    own = these.filter(pl.col("scale") == pl.col("method").replace_strict(SCALE))
    assert set(own["k"]) == {1, 2, 3, 4}
    assert set(own["method"]) == {"average", "ta", "dare"}
    assert own.filter(route="hvp", k=2)["sd_predicted"].to_numpy() == pytest.approx(
        own.filter(route="hvp", k=2)["sd"].to_numpy(), rel=1e-9
    )
    assert own.filter(route="differences")["sd_predicted"].null_count() == own.height // 2
    other = these.filter(pl.col("scale") != pl.col("method").replace_strict(SCALE))
    assert {0.0, 0.8, 1.0, 1.3} == set(other["scale"])
    assert other["low"].null_count() == other.height  # nothing was measured of what is missed
    notes = json.loads(read_provenance(exact[1].theory_table("curves"))["notes"])
    assert sum("not of the few that were merged" in note for note in notes) == 6


def test_average_is_compared_with_task_arithmetic_at_other_scales(exact):
    curves = read(exact[1], schemas.PREDICTED_CURVES).filter(method="average", route="hvp")
    assert set(curves["scale"]) == {0.0, 0.8, 1.0, 1.3}


def test_laws_and_terms_are_those_of_the_loss(exact):
    _study, paths = exact
    laws = read(paths, schemas.PREDICTED_LAWS)
    assert laws.height == 2 * 3 * 2 * 3
    fit = laws.filter(pl.col("tail_fitted").is_not_null(), method="average")
    assert fit.height >= 8  # the fit of some domains is not identified
    np.testing.assert_allclose(fit["tail"], fit["tail_fitted"], rtol=1e-3)
    np.testing.assert_allclose(fit["floor"], fit["floor_fitted"], rtol=1e-3)
    for k in ("k85", "k90"):
        assert (laws[k] == laws[f"{k}_measured"]).all()
    told = laws.filter(pl.col("best_scale_fitted").is_not_null())
    assert told.height
    np.testing.assert_allclose(
        told["best_scale"], told["best_scale_fitted"], rtol=0.03
    )  # few subsets
    terms = read(paths, schemas.TERMS)
    np.testing.assert_allclose(terms["base_predicted"], terms["base"], rtol=1e-10)
    shares = terms.select("^order_share_.*$").to_numpy().astype(float)
    assert np.nanmax(np.abs(shares)) < 1e-8
    vectors = loss_of(0, "average").vectors
    row = terms.filter(size="s0", method="ta", route="hvp", domain="d1").row(0, named=True)
    assert row["mean_norm"] == pytest.approx(np.linalg.norm(vectors.mean(axis=0)))
    assert row["spread_norm"] == pytest.approx(np.trace(np.cov(vectors.T)) ** 0.5)
    assert row["tail"] == pytest.approx(0.8**2 / 2 * row["trace"])
    rest = terms["mean_curvature"] - terms["trace"] / N
    offset = (terms["trace"] / rest).set(rest <= 0, None)  # else no law at the best scale
    assert 0 < offset.null_count() < terms.height
    assert terms["offset"].to_list() == pytest.approx(offset.to_list())


def test_masks_lengthen_the_vectors_and_not_their_mean_products(exact):
    rows = read(exact[1], schemas.TERMS).filter(size="s0", route="hvp", domain="d0")
    norms = {row["method"]: row["spread_norm"] for row in rows.iter_rows(named=True)}
    vectors = loss_of(0, "average").vectors
    gram = vectors @ vectors.T
    gram += 0.25 * np.diag(np.diag(gram))
    wanted = (np.trace(gram) - gram.sum() / N) / (N - 1)
    assert norms["dare"] == pytest.approx(wanted**0.5)


def test_the_mean_over_masks_stands_above_the_unmasked_curve(exact):
    curves = read(exact[1], schemas.PREDICTED_CURVES)
    mean = curves.filter(masks="mean").sort("size", "route", "domain", "k")
    plain = curves.filter(method="average", masks="these", scale=1.0)
    plain = plain.sort("size", "route", "domain", "k")
    added = mean["loss_predicted"] - plain["loss_predicted"]
    np.testing.assert_allclose(added, 0.1 / (2 * mean["k"].to_numpy()), atol=1e-12)
    assert mean["loss"].null_count() == mean.height  # one draw of masks is no mean over them


def test_every_subset_is_predicted_and_ranked(exact):
    _study, paths = exact
    subsets = read(paths, schemas.PREDICTED_SUBSETS)
    np.testing.assert_allclose(subsets["loss_predicted"], subsets["loss"], rtol=1e-10)
    assert subsets.height == 2 * 3 * 3 * 15
    sums = subsets.group_by("size", "method", "domain").agg(pl.col("p_best").sum())
    np.testing.assert_allclose(sums["p_best"], 1)
    rankings = read(paths, schemas.RANKINGS)
    assert set(rankings["k"]) == {0, 1, 2, 3, 4}
    told = rankings.filter(pl.col("n_subsets") > 2)
    np.testing.assert_allclose(told["rank_correlation"], 1)
    assert rankings.filter(k=4)["rank_correlation"].null_count() == rankings.height // 5
    assert rankings["regret"].max() == 0
    assert (rankings["chosen"] == rankings["best"]).all()
    one = subsets.filter(size="s0", method="average", domain="macro", k=2)
    row = rankings.filter(size="s0", method="average", domain="macro", k=2).row(0, named=True)
    assert row["regret_random"] == pytest.approx(one["loss"].mean() - one["loss"].min())


def test_synergy_is_the_measured_one(exact):
    _study, paths = exact
    found = read(paths, schemas.CROSS_CURVATURE)
    np.testing.assert_allclose(found["gain_predicted"], found["gain"], atol=1e-10)
    measured = read_table(paths.laws / SYNERGY.file, SYNERGY.schema)
    both = found.join(measured, on=["size", "method", "donor", "receiver"], suffix="_laws")
    assert both.height == found.height == 2 * 3 * N * 3
    np.testing.assert_allclose(both["gain"], both["gain_laws"])


def test_what_is_refused_stands_with_the_tables(exact):
    notes = json.loads(read_provenance(exact[1].theory_table("laws"))["notes"])
    words = [note for note in notes if "ties is not predicted: " in note]
    assert len(words) == 1  # of both sizes
    assert "At k = 1 to 3 they lie 0.90 of their distance" in words[0]
    assert "ties" not in set(read(exact[1], schemas.PREDICTED_CURVES)["method"])


def test_every_method_without_a_curve_has_its_reason_and_ties_its_number(tmp_path):
    others = (
        {"label": "stock", "method": "model_stock"},
        {"label": "sum", "method": "task_arithmetic", "parameters": {"normalize": False}},
        {
            "label": "uneven",
            "method": "average",
            "parameters": {"weight": {"e0": 2, "e1": 1, "e2": 1, "e3": 1}},
        },
    )
    study, paths = make(tmp_path, methods=METHODS[:3], scales=False, residual=0.0)
    entries = [METHODS_BY_NAME[o["method"]].model_validate(o) for o in others]
    study = study.model_copy(update={"methods": (*study.methods, *entries)})
    notes = refusals(StudyFacts(study, paths))
    told = [note for note in notes if "no derivatives, no curve" in note]
    assert [note.split(": ")[0] for note in told] == [
        "all sizes, stock",
        "all sizes, sum",
        "all sizes, uneven",
    ]
    for note, reason in zip(told, ("depends on", "normalize is false", "differ by"), strict=True):
        assert reason in note
    assert sum("ties is not predicted" in note for note in notes) == 1  # residual 0: still refused


def test_higher_orders_are_covered_by_the_interval_and_shared_out(tmp_path):
    study, paths = make(tmp_path, cubic=0.15)
    write_predictions(study, paths)
    curves = read(paths, schemas.PREDICTED_CURVES).filter(pl.col("low").is_not_null())
    few = curves.filter(pl.col("loss").is_not_null(), k=1)
    assert few["relative_error"].abs().min() > 1e-6
    assert (few["loss"] >= few["low"]).all()
    assert (few["loss"] <= few["high"]).all()
    assert (few["low_text"] <= few["low"]).all()
    every = read(paths, schemas.TERMS)
    terms = every.filter(pl.col("order_share_1").is_not_null())
    assert set(terms["route"]) == {"hvp"}  # others err at second order too
    assert set(every["route"]) == {"hvp", "differences"}
    loss = loss_of(0, "average", 0.15)
    curve = Curve.of(loss.derivatives().curve().with_third(loss.third()))
    measured = [loss.enumerated(k, 1.0).mean(0)[-1] for k in range(1, N + 1)]
    row = terms.filter(size="s0", method="average", route="hvp", domain="macro")
    share = curve.third[-1].mean() / 6 / (measured[0] - measured[-1])  # kappa(1) = 1
    assert row["order_share_1"][0] == pytest.approx(share)


def test_without_third_derivatives_no_interval_is_told(tmp_path):
    study, paths = make(tmp_path, third=False, methods=METHODS[:2], scales=False)
    write_predictions(study, paths)
    curves = read(paths, schemas.PREDICTED_CURVES)
    assert curves["low"].null_count() == curves.height
    assert curves["stderr_text"].null_count() == 0
    notes = json.loads(read_provenance(paths.theory_table("curves"))["notes"])
    assert any("no interval on this text" in note for note in notes)


def test_masks_without_an_unmasked_method_are_told_as_they_are(tmp_path):
    study, paths = make(tmp_path, methods=METHODS[2:], scales=False)
    write_predictions(study, paths)
    curves = read(paths, schemas.PREDICTED_CURVES)
    assert set(curves["masks"]) == {"these"}
    notes = json.loads(read_provenance(paths.theory_table("curves"))["notes"])
    assert any("the mean over masks is not predicted" in note for note in notes)


def test_a_missing_table_is_named(tmp_path):
    study, paths = make(tmp_path, methods=METHODS[:1], scales=False)
    paths.derivatives("s1").unlink()
    with pytest.raises(TableError, match=r"s1/derivatives.parquet: is missing"):
        write_predictions(study, paths)


# --- derivatives read back ---


def rows_of(third=True):
    study = study_of(N, 2, ("s0",), METHODS)
    return schemas.DERIVATIVES.frame(list(derivative_rows(study, "s0", 0.1, third)))


def test_routes_share_third_derivatives_and_are_compared():
    found = read_derivatives(rows_of())
    by_route = {(one.method, one.route): one for one in found}
    one, other = by_route["average", "hvp"], by_route["average", "differences"]
    np.testing.assert_array_equal(one.curve.third, other.curve.third)
    assert other.whole is None
    assert second_route(one, found) is other
    loss = loss_of(0, "average", 0.1)
    np.testing.assert_allclose(one.whole.curvature, loss.derivatives().curvature)
    np.testing.assert_allclose(one.whole.curve().spread, one.curve.spread)


def test_mask_seeds_are_averaged():
    rows = rows_of().filter(method="dare", route="hvp")
    moved = rows.with_columns(
        mask_seed=pl.lit(1, pl.Int64), nll_sum=pl.col("nll_sum") + 2, radial=pl.col("radial") + 4
    )
    (both,) = read_derivatives(pl.concat([rows, moved]))
    (one,) = read_derivatives(rows)
    np.testing.assert_allclose(both.curve.nll, one.curve.nll + 1)
    np.testing.assert_allclose(both.curve.radial, one.curve.radial + 2)
    np.testing.assert_allclose(both.curve.spread, one.curve.spread)
    assert len(both.curve.folds.domains) == 6


def test_elections_are_refused_however_near_they_are_with_the_number():
    words = nonlinear_words("ties", [(1, 0.31), (2, 0.2), (3, 0.35), (1, 0.4)])
    assert words.startswith("ties is not predicted: what an expert adds depends on the signs")
    assert "At k = 1 to 3 they lie 0.20 to 0.40 of their distance" in words
    assert "At k = 1 they lie 0.00 of their distance" in nonlinear_words("ties", [(1, 0.0)])
