"""Merges at several scales are the ordinary merges with that scale, to the last bit."""

import json
import shutil

import polars as pl
import pytest
import torch
from safetensors.torch import load_file

from mergelaw.cells import cell
from mergelaw.design import chunks
from mergelaw.errors import ConfigError, TableError
from mergelaw.laws.schemas.scales import SCALE_FITS
from mergelaw.merging.methods import recipe
from mergelaw.merging.stage import write_cell
from mergelaw.paths import StudyPaths, checkpoint_ref
from mergelaw.provenance import fingerprint
from mergelaw.sweep.chunk import run_chunk
from mergelaw.sweep.engine import Engine
from mergelaw.sweep.finished import Finished
from mergelaw.sweep.scales import run_best_scales, run_scales
from mergelaw.tables import LOSSES, SCALE_LOSSES, read_provenance, read_table, write_table
from mergelaw.variants import scale_series
from tests.helpers import study_of

SCALES = ("scales", {"fitted": [0.8, 1.0, 1.3], "k": [1, 2], "subsets_per_k": 2})
SCALE_IN_CONFIG = {
    "ta": "methods.1.parameters.scale",
    "ties": "methods.2.parameters.scale",
    "dare": "methods.3.parameters.scale",
}


@pytest.fixture(scope="module")
def scaled(swept, tmp_path_factory):
    """The tiny study with merges at several scales; read only."""
    study, paths = study_of(SCALES), StudyPaths(tmp_path_factory.mktemp("scaled"))
    shutil.copytree(swept[1].root, paths.root, dirs_exist_ok=True)
    run_scales(study, paths, "small")
    return study, paths


def losses_of(paths, study, method):
    return pl.concat(
        read_table(paths.chunk("small", method, chunk.index), LOSSES)
        for chunk in chunks(study, "small")
    )


def of_merges(frame):
    """Rows by subset and domain, without what tells the scale."""
    keep = [name for name in LOSSES if name != "method"]
    return frame.select(keep).sort("subset", "domain")


@pytest.mark.parametrize("method", ["ta", "ties", "dare"])
def test_losses_at_a_scale_are_the_sweep_s_with_that_scale(scaled, own_sweep, method):
    _, paths = scaled
    rows = read_table(paths.scales("small"), SCALE_LOSSES).filter(method=method)
    assert set(rows["scale"]) == {0.0, 0.8, 1.0, 1.3}
    for scale in (0.8, 1.3):
        at_scale = study_of((SCALE_IN_CONFIG[method], scale))
        _, own = own_sweep
        for chunk in chunks(at_scale, "small"):
            run_chunk(at_scale, own, "small", method, chunk.index)
        mine = rows.filter(scale=scale)
        usual = losses_of(own, at_scale, method).join(mine.select("subset").unique(), on="subset")
        assert of_merges(mine).equals(of_merges(usual))
        assert mine.height == 4 * 3, "two subsets at each of two k, on three domains"


@pytest.mark.parametrize("number", range(9))
def test_weights_at_a_scale_are_those_of_the_merge_on_disk(scaled, tmp_path, number):
    study, paths = scaled
    series = scale_series(study)[number]
    subset, label = series.merges[-1], series.method.label
    changed = study_of((SCALE_IN_CONFIG[label], series.scale))
    place = cell(changed, "small", label, subset.name)
    folder = paths.merged("small", label, place.name)
    if folder.exists():
        folder.rename(tmp_path / "former")
    written = load_file(write_cell(changed, paths, place) / "model.safetensors")
    refs = {e: checkpoint_ref(study, paths, "small", e) for e in subset.experts}
    with Engine.open(study, checkpoint_ref(study, paths, "small", "base"), refs) as engine:
        engine.use(recipe(series.method, f"{study.seed}/{series.mask_seed}"))
        engine.merge(subset.experts)
        parameters = dict(engine.model.named_parameters())
        assert all(torch.equal(parameters[name], tensor) for name, tensor in written.items())


def test_the_base_is_the_sweep_s_once_for_every_method(scaled):
    study, paths = scaled
    rows = read_table(paths.scales("small"), SCALE_LOSSES)
    base = rows.filter(scale=0.0)
    assert set(base["subset"]) == {"base"}
    assert rows.filter(subset="base").height == base.height == 3 * 3
    for method in ("ta", "ties", "dare"):
        usual = losses_of(paths, study, method).filter(k=0)
        assert of_merges(base.filter(method=method)).equals(of_merges(usual))


def test_running_sums_of_the_sweep_leave_these_merges_as_they_are(scaled, own_sweep):
    _, paths = scaled
    _, own = own_sweep
    run_scales(study_of(SCALES, ("sweep", {"incremental": True})), own, "small")
    assert own.scales("small").read_bytes() == paths.scales("small").read_bytes()


def test_an_interrupted_job_goes_on_and_gives_equal_bytes(scaled, own_sweep, monkeypatch):
    study, paths = scaled
    _, own = own_sweep
    add, count = Finished.add, [0]

    def stopping(self, key, sums):
        if count[0] == 10:
            raise KeyboardInterrupt
        count[0] += 1
        add(self, key, sums)

    with monkeypatch.context() as patch:
        patch.setattr(Finished, "add", stopping)
        with pytest.raises(KeyboardInterrupt):
            run_scales(study, own, "small")
    assert not own.scales("small").exists()
    run_scales(study, own, "small")
    assert own.scales("small").read_bytes() == paths.scales("small").read_bytes()
    cost = json.loads(own.scales("small").with_suffix(".cost.json").read_text())
    assert (cost["n_resumed"], cost["n_merges"]) == (10, 3 * (3 * 4 + 1) - 10)
    assert not own.scales("small").with_suffix(".progress").exists()


def test_provenance_tells_the_slice_and_the_text(scaled):
    study, paths = scaled
    origin = read_provenance(paths.scales("small"))
    assert origin["slice"] == fingerprint(study, "sweep", "scales", size="small")
    assert origin["text"] == read_provenance(paths.chunk("small", "ta", 0))["text"]


# --- the best scales ---


def fits_table(paths, fits, size="small"):
    """Write scale_fits.parquet: (method, domain) to level, slope, curvature, spread, identified."""
    rows = [
        {"size": size, "method": method, "domain": domain, "parameter": name, "value": value,
         "stderr": 0.1, "offset": None, "r2": 1.0, "n_points": 6, "identified": identified,
         "note": None}
        for (method, domain), (*values, identified) in fits.items()
        for name, value in zip(("level", "slope", "curvature", "spread"), values, strict=True)
    ]  # fmt: skip
    path = paths.law_table("scale_fits")
    write_table(path, SCALE_FITS.frame(rows), SCALE_FITS.schema, SCALE_FITS.key, {})


def test_merges_at_the_best_scales_of_the_macro_loss(scaled, own_sweep):
    study, paths = scaled
    _, own = own_sweep
    fits_table(
        own,
        {
            ("ta", "macro"): (3, -1, 0.6, 0.65, True),  # c* = 0.8 at k = 1, 1/0.925 at k = 2
            ("ta", "code"): (3, -9, 1, 1, True),
            ("ties", "macro"): (3, -1, 1, 1, False),
            ("dare", "macro"): (3, 1, 1, 1, True),  # lowest below 0
        },
    )
    run_best_scales(study, own, "small")
    rows = read_table(own.best_scales("small"), SCALE_LOSSES)
    assert set(rows["method"]) == {"ta"}
    found = dict(rows.select("k", "scale").unique().rows())
    assert found == {1: 0.8, 2: 1.081}
    usual = losses_of(own, study, "ta").join(
        rows.filter(k=1).select("subset").unique(), on="subset"
    )
    assert of_merges(rows.filter(k=1)).equals(of_merges(usual)), "the config's scale is 0.8"
    measured = read_table(paths.scales("small"), SCALE_LOSSES)
    assert set(rows["subset"]) == set(measured.filter(pl.col("k") > 0)["subset"])


def test_where_nothing_is_identified_the_table_is_empty(scaled, own_sweep):
    study, _ = scaled
    _, own = own_sweep
    fits_table(own, {("ta", "macro"): (3, -1, 1, 1, False)})
    run_best_scales(study, own, "small")
    assert read_table(own.best_scales("small"), SCALE_LOSSES).is_empty()
    cost = json.loads(own.best_scales("small").with_suffix(".cost.json").read_text())
    assert cost["n_merges"] == 0


def test_best_scales_need_the_fits(scaled, own_sweep):
    with pytest.raises(TableError, match=r"scale_fits\.parquet: is missing"):
        run_best_scales(scaled[0], own_sweep[1], "small")


@pytest.mark.parametrize("run", [run_scales, run_best_scales])
def test_a_config_without_scales_is_told(swept, run):
    study, paths = swept
    with pytest.raises(ConfigError, match="scales: is missing"):
        run(study, paths, "small")
