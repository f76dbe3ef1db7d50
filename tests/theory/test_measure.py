"""The stage's derivatives: rows of every linear method and route, what they cost, and masks."""

import json
import shutil

import numpy as np
import polars as pl
import pytest

from mergelaw.config.theory import Theory
from mergelaw.errors import ConfigError
from mergelaw.laws.schemas.theory import DERIVATIVES, UPDATES
from mergelaw.paths import StudyPaths
from mergelaw.tables import read_provenance, read_table
from mergelaw.theory import masks
from mergelaw.theory.measure import write_derivatives
from tests.theory.surfaces import surface_of


@pytest.fixture(scope="module")
def measured(trained, tmp_path_factory):
    study, paths = trained
    root = tmp_path_factory.mktemp("measured")
    shutil.copytree(paths.root, root, dirs_exist_ok=True)
    study = study.model_copy(update={"theory": Theory(mask_probes=3)})
    write_derivatives(study, StudyPaths(root), "large")
    return study, StudyPaths(root)


def test_every_linear_method_and_route_has_a_row_for_each_fold(measured):
    study, paths = measured
    table = read_table(paths.derivatives("large"), DERIVATIVES.schema)
    counts = table.group_by("method", "route", maintain_order=True).len()
    assert counts.select("method", "route").rows() == [
        (method, route)
        for method in ("average", "ta", "dare")
        for route in ("hvp", "gauss_newton", "differences")
    ]
    for domain in study.domain_names:
        for route, folds in (("hvp", 1), ("gauss_newton", 3), ("differences", 3)):
            rows = table.filter(method="average", route=route, domain=domain)
            assert rows["fold"].to_list() == list(range(folds)), "few where passes go backward"
    assert table["third"].null_count() == 0, "measured once, told with every route"
    curves = table.filter(route="differences")
    assert curves["curvature"].null_count() == curves.height
    assert table.filter(route="hvp")["curvature"].list.len().unique().to_list() == [9]
    assert set(table.filter(method="ta")["scale"]) == {0.8}


def test_rows_are_what_a_surface_of_the_method_measures(measured):
    """Task Arithmetic is measured on Average's surface, at its own point; DARE on its own."""
    study, paths = measured
    table = read_table(paths.derivatives("large"), DERIVATIVES.schema)
    for label, scale in (("ta", 0.8), ("dare", 1.0)):
        with surface_of(study, paths, method=label, most_folds=1) as surface:
            found = surface.curvature(surface.full(scale))
        rows = table.filter(method=label, route="hvp")
        curvature = np.asarray(rows["curvature"].to_list()).reshape(-1, 3, 3)
        np.testing.assert_allclose(curvature, found.curvature, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(rows["nll_sum"], found.nll)
        np.testing.assert_allclose(rows["slope"], found.curve().slope, rtol=1e-4, atol=1e-4)


def test_folds_of_all_routes_are_of_the_same_text(measured):
    """Losses and what masks add sum to the same over few folds as over many, domain by domain."""
    _, paths = measured
    table = read_table(paths.derivatives("large"), DERIVATIVES.schema)
    sums = table.group_by("method", "domain", "route").agg(
        pl.col("nll_sum", "mask_spread", "slope", "n_tokens").sum(), pl.col("third").n_unique()
    )
    for _, rows in sums.group_by("method", "domain"):
        assert rows.height == 3
        for name in ("nll_sum", "mask_spread", "n_tokens"):
            np.testing.assert_allclose(rows[name], rows[name][0], rtol=1e-6)
        np.testing.assert_allclose(rows["slope"], rows["slope"][0], rtol=1e-4)  # one gradient
        assert (rows["third"] == 1).all(), "of the whole domain"


def test_masks_are_told_for_the_method_that_draws_them(measured):
    _, paths = measured
    table = read_table(paths.derivatives("large"), DERIVATIVES.schema)
    told = table.filter(pl.col("mask_spread").is_not_null())
    assert set(told["method"]) == {"dare"}
    assert set(told["mask_probes"].list.len()) == {3}
    np.testing.assert_allclose(told["mask_spread"], told["mask_probes"].list.mean())
    assert told["mask_probes"].list.std().min() > 0


def test_updates_and_costs_lie_beside(measured):
    _, paths = measured
    updates = read_table(paths.updates("large"), UPDATES.schema)
    assert updates.select("method", "k").rows() == [("ties", 1), ("ties", 2)]
    assert updates["residual"].min() > 0
    cost = json.loads(paths.derivatives("large").with_suffix(".cost.json").read_text())
    assert [(r["method"], r["route"]) for r in cost["routes"]][:2] == [
        ("average", "hvp"),
        ("average", "gauss_newton"),
    ]
    by_route = {r["route"]: r for r in cost["routes"] if r["method"] == "average"}
    assert by_route["gauss_newton"]["forwards"] == pytest.approx(4)
    assert by_route["differences"]["n_losses"] == 2 * 3 + 2
    assert cost["tokens_read"] > 20 * cost["n_tokens"]
    assert cost["flops"] > 0


def test_what_was_measured_otherwise_stands_with_the_table(measured, tmp_path):
    study, paths = measured
    shutil.copytree(paths.root, tmp_path, dirs_exist_ok=True)
    plain = json.loads(read_provenance(paths.derivatives("large"))["notes"])
    (attention,) = plain  # of all methods as one; on a processor torch's own is not enough
    assert attention.startswith("large, average, ta, dare, hvp: taken: transformers' plain")
    theory = Theory(routes=("differences",), mask_probes=2)
    low = study.model_copy(update={"dtype": "bfloat16", "theory": theory})
    table = write_derivatives(low, StudyPaths(tmp_path), "large")
    notes = json.loads(read_provenance(table)["notes"])
    assert any(note.startswith("large, ta, differences: ") and "noisy" in note for note in notes)


def test_without_the_section_the_config_is_refused(trained):
    study, paths = trained
    with pytest.raises(ConfigError, match="theory: is missing"):
        write_derivatives(study, paths, "large")


def test_probes_find_the_curvature_of_masks(trained):
    """Held against the exact mean for a quadratic loss: n has variance v^2 p / (1 - p)."""
    study, paths = trained
    rng = np.random.default_rng(0)
    with surface_of(study, paths, method="dare") as surface:
        engine = surface.passes.engine
        bend = rng.uniform(0.5, 1.5, engine.live.weights.shape)

        def losses():
            w = engine.live.weights.double().numpy()
            return np.asarray([1e6 * (bend * w**2).sum(), 0.0])

        probes = masks.mask_probes(engine, study.method("dare"), 0, 1.0, 40, losses)
        mean, stderr = probes.mean(0), probes.std(0, ddof=1) / np.sqrt(len(probes))
        part = engine.raw.segments
        expected = 0.0
        for segment in part:
            from mergelaw.merging.pool import whole

            _, rows = engine.raw.read(whole(segment), ["algebra", "biology", "code"])
            square = sum(row.double().numpy() ** 2 for row in rows) / 3
            expected += 2e6 * (bend[segment.span] * square).sum() * 0.3 / 0.7
    assert abs(mean[0] - expected) < 4 * stderr[0]
    assert stderr[0] < 0.1 * expected
    assert mean[1] == stderr[1] == 0


def test_masks_whose_mean_is_not_the_task_vector_are_refused(trained):
    study, _ = trained
    dare = study.method("dare")
    parameters = dare.parameters.model_copy(update={"rescale": "none"})
    assert masks.why_no_masks(dare) is None
    assert "rescale" in str(masks.why_no_masks(dare.model_copy(update={"parameters": parameters})))
    assert "draws no masks" in str(masks.why_no_masks(study.method("average")))
