"""The stage end to end: every table written, keyed and sensible, whatever is missing."""

import json

import numpy as np
import polars as pl
import pytest

from mergelaw.errors import ConfigError, TableError
from mergelaw.laws import schemas
from mergelaw.laws.registry import ANALYSES, CURVES_AND_FITS, READS, REPORT_ANALYSES
from mergelaw.laws.stage import write_analysis, write_curves, write_fits, write_part_curves
from mergelaw.paths import StudyPaths
from mergelaw.tables import LOSSES, LOSSES_KEY, read_provenance, read_table, write_table

METHODS = ({"label": "avg", "method": "average"}, {"label": "dare", "method": "dare"})


def run(study, losses, folder):
    """Write the losses, run the three commands, and return all tables and fits.json."""
    paths = StudyPaths(folder)
    paths.losses.parent.mkdir(parents=True)
    losses.write_parquet(paths.losses)
    for write in (write_curves, write_fits):
        assert write(study, paths).is_file()
    for name in REPORT_ANALYSES:
        assert write_analysis(study, paths, name).is_file()
    tables = {
        t.file.split(".")[0]: read_table(paths.laws / t.file, t.schema) for t in schemas.TABLES
    }
    return tables, json.loads((paths.laws / schemas.FITS_JSON).read_text())


def falling(s, m, subset, d, seed):
    spread = 0.1 * np.sin(5 * sum(subset) + d) / max(1, len(subset))
    return np.array([2.0, 2.4]) * (1 + 1 / (s + 1)) + 1 / (len(subset) + 0.3) + spread + 0.01 * seed


def test_everything_is_written(tmp_path, make_study, make_losses):
    study = make_study(6, 2, methods=METHODS)
    tables, fits = run(study, make_losses(study, falling, mask_seeds=(0, 1)), tmp_path)
    assert not [name for name, table in tables.items() if table.is_empty()]
    origin = fits["provenance"]
    assert (origin["seed"], origin["stage"]) == ("7", "laws")
    assert len(origin["data_hash"]) == 16
    assert fits["refused"] == []
    assert len(fits["fits"]) == 2 * 3 * (4 + 1)
    for table in schemas.TABLES:
        assert {*origin} == {*read_provenance(tmp_path / "laws" / table.file)}
    keys = "law method domain size formula r2 rmse max_relative_error n_points weights n_starts"
    keys = {*keys.split(), "n_basins", "identified", "parameters", "correlations", "notes"}
    keys |= {"misfit", "starts", "basins", "covariance"}
    assert all(set(fit) == keys for fit in fits["fits"])
    assert tables["fits"].height == 2 * 3 * (4 * 3 + 6)
    assert set(tables["curves"]["n_mask_seeds"].to_list()) == {2}


def test_curves_of_a_part_are_those_rows_of_all_curves(tmp_path, make_study, make_losses):
    study = make_study(6, 2, methods=METHODS)
    losses = make_losses(study, falling, ks=(0, 1, 2, 4, 6))
    paths = StudyPaths(tmp_path)
    tables, _ = run(study, losses, tmp_path)
    size = study.size_names[1]
    for part, columns in ((size, {}), (f"{size}/dare", {"method": "dare"})):
        mine = losses.filter(size=size, **columns)
        paths.part_losses(part).parent.mkdir(parents=True, exist_ok=True)
        mine.write_parquet(paths.part_losses(part))
        frame = read_table(write_part_curves(study, paths, part), schemas.CURVES.schema)
        assert frame.height
        assert frame.equals(tables["curves"].filter(size=size, **columns))
        assert read_provenance(paths.part_curves(part))["data_hash"]
    with pytest.raises(ConfigError, match="no such part"):
        write_part_curves(study, paths, f"{size}/slerp")
    with pytest.raises(TableError, match="is missing"):
        write_part_curves(study, paths, f"{size}/avg")


def test_predictions_follow_the_fits(tmp_path, make_study, make_losses):
    study = make_study(6, 2, methods=METHODS)
    tables, fits = run(study, make_losses(study, falling, ks=(0, 1, 2, 4, 6)), tmp_path)
    predictions = tables["predictions"]
    assert predictions.height == 2 * 2 * 3 * 4 * 6
    assert set(predictions.filter(pl.col("loss").is_null())["k"]) == {3, 5}
    record = next(f for f in fits["fits"] if f["law"] == "joint" and f["domain"] == "macro")
    values = {name: p["value"] for name, p in record["parameters"].items()}
    mine = predictions.filter(
        (pl.col("law") == "joint")
        & (pl.col("domain") == "macro")
        & (pl.col("method") == record["method"])
    )
    n, k = mine["n_params_billions"].to_numpy(), mine["k"].to_numpy()
    expected = (
        values["floor_limit"] + values["size_scale"] * n ** -values["size_exponent"]
        + values["tail_scale"] * n ** -values["tail_exponent"] / (k + values["offset"])
    )  # fmt: skip
    np.testing.assert_allclose(mine["loss_predicted"], expected, rtol=1e-12)
    rms = mine.select((pl.col("residual") ** 2).mean().sqrt()).item()
    assert rms == pytest.approx(record["rmse"], rel=1e-9)
    assert record["n_points"] == 16


def test_predictions_have_intervals_around_them(tmp_path, make_study, make_losses):
    study = make_study(6, 2)
    predictions = run(study, make_losses(study, falling), tmp_path)[0]["predictions"]
    assert not predictions["stderr"].null_count()
    low, value, high = (predictions[name].to_numpy() for name in ("low", "loss_predicted", "high"))
    assert np.all(low < value)
    inside = low > 0
    assert np.all(low >= 0)  # a loss is not negative; two items leave wide intervals
    assert 0 < inside.sum() < len(low)
    np.testing.assert_allclose((high - value)[inside], (value - low)[inside])
    curves = run(study, make_losses(study, falling), tmp_path / "again")[0]["curves"]
    points = predictions.join(curves, on=["size", "method", "domain", "k"])
    # all subsets are in, and the law follows these curves: items are what is not known
    ratio = (points["stderr"] / points["token_se"]).median()
    assert ratio == pytest.approx(1, abs=0.2)


def test_one_item_leaves_predictions_without_intervals(tmp_path, make_study, make_losses):
    study = make_study(5, 1)
    losses = make_losses(study, lambda *c: falling(*c)[:1], n_tokens=(10,))
    predictions = run(study, losses, tmp_path)[0]["predictions"]
    assert (
        predictions.height == predictions["stderr"].null_count() == predictions["low"].null_count()
    )
    assert not predictions["loss_predicted"].null_count()


def test_one_size_has_no_joint_law(tmp_path, make_study, make_losses):
    study = make_study(5, 1, ("s0",))
    tables, fits = run(study, make_losses(study, falling), tmp_path)
    assert set(tables["fits"]["law"]) == {"floor_tail"}
    assert {(r["law"], r["domain"], r["size"]) for r in fits["refused"]} == {
        ("joint", "d0", None), ("joint", "macro", None)}  # fmt: skip
    assert "needs 3 sizes and there are 1" in fits["refused"][0]["reason"]
    assert not tables["predictions"].is_empty()


def test_two_experts(tmp_path, make_study, make_losses):
    study = make_study(2, 1)
    tables, fits = run(study, make_losses(study, falling), tmp_path)
    assert all("fewer than 4 distinct k" in fit["notes"] for fit in fits["fits"])
    assert not any(fit["identified"] for fit in fits["fits"])
    assert tables["forecast"].is_empty()
    origin = read_provenance(tmp_path / "laws" / "forecast.parquet")
    assert "the three k of `laws.forecast_k`" in origin["not_made"]
    assert tables["variance"]["k"].unique().to_list() == [1]


def test_only_the_base_and_one_k(tmp_path, make_study, make_losses):
    study = make_study(3, 1)
    tables, fits = run(study, make_losses(study, falling, ks=(0, 2)), tmp_path)
    assert tables["curves"]["k"].unique().sort().to_list() == [0, 2]
    assert tables["fits"].is_empty()
    assert tables["predictions"].is_empty()
    assert len(fits["refused"]) == 2 * (4 + 1)


def test_rising_losses_are_said(tmp_path, make_study, make_losses):
    study = make_study(5, 1)
    rising = make_losses(study, lambda s, m, subset, d, seed: [2.0 + s + 0.1 * len(subset)] * 2)
    tables, fits = run(study, rising, tmp_path)
    for fit in fits["fits"]:
        assert any("the loss does not fall with k" in note for note in fit["notes"])
    assert tables["returns"]["return"].null_count() == tables["returns"].height > 0
    assert set(tables["forecast"]["case"]) == {"not_identified"}


def test_equal_work_is_equal_bytes(tmp_path, make_study, make_losses):
    study = make_study(5, 2, methods=METHODS)
    losses = make_losses(study, falling)
    for name in "ab":
        run(study, losses, tmp_path / name)
    for file in [table.file for table in schemas.TABLES] + [schemas.FITS_JSON]:
        first, second = (tmp_path / name / "laws" / file for name in "ab")
        assert first.read_bytes() == second.read_bytes(), file


def test_the_data_hash_follows_the_data(tmp_path, make_study, make_losses):
    study = make_study(3, 1)
    first = run(study, make_losses(study, falling), tmp_path / "a")[1]["provenance"]
    second = run(study, make_losses(study, lambda *c: falling(*c) * 2), tmp_path / "b")[1]
    assert first | {"data_hash": ""} == second["provenance"] | {"data_hash": ""}
    assert first["data_hash"] != second["provenance"]["data_hash"]


def test_duplicate_rows_are_refused(tmp_path, make_study, make_losses):
    study = make_study(3, 1)
    losses = make_losses(study, falling)
    twice = pl.concat([losses, losses.filter(pl.col("k") == 1).head(1)])
    with pytest.raises(TableError, match="2 rows for"):
        run(study, twice, tmp_path)


def test_the_made_up_losses_have_the_sweeps_shape(tmp_path, make_study, make_losses):
    study = make_study(3, 2, methods=METHODS)
    losses = make_losses(study, falling, mask_seeds=(0, 1))
    path = tmp_path / "losses.parquet"
    write_table(path, losses, LOSSES, LOSSES_KEY, {})
    assert read_table(path, LOSSES).equals(losses)


def test_every_analysis_has_a_table_of_its_name():
    assert set(ANALYSES) == set(schemas.BY_NAME) - set(CURVES_AND_FITS)
    assert all(read in READS for entry in ANALYSES.values() for read in entry.reads)
