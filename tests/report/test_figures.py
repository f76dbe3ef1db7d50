"""Figures draw the tables' numbers, name everything, and are the same bytes every time."""

import re
import subprocess
import sys

import numpy as np
import polars as pl
import pytest
from matplotlib.collections import QuadMesh
from matplotlib.colors import to_hex

from mergelaw.paths import StudyPaths
from mergelaw.report.colors import method_look, size_look
from mergelaw.report.figures import DRAW
from mergelaw.report.inputs import SCHEMAS, rows
from mergelaw.report.registry import FIGURES, README_FIGURE, table_paths
from mergelaw.report.stage import write_figure
from tests.report import tables
from tests.report.drawing import draw, drawn_as, legend_texts, panel, whole_text


def xy(frame, y):
    return frame["k"].cast(float).to_list(), frame[y].to_list()


def test_registry_and_drawing_agree():
    assert list(DRAW) == list(FIGURES)
    assert README_FIGURE in FIGURES
    files = {file for figure in FIGURES.values() for file in figure.tables}
    assert files <= SCHEMAS.keys()


def test_registry_is_light():
    code = (
        "import sys, mergelaw.report.registry; print([m for m in sys.modules if m in "
        "('matplotlib', 'seaborn', 'polars', 'jinja2', 'torch')])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_names_itself_and_its_axes(name, small_study, small_tables):
    figure = draw(small_study, small_tables[0], name)
    assert FIGURES[name].title in whole_text(figure)
    if all(small_tables[0][file].is_empty() for file in FIGURES[name].tables):
        return  # a message; such figures have tests with tables of their own
    shown = [axes for axes in figure.axes if axes.get_visible()]
    labels = [axes.get_xlabel() + axes.get_ylabel() for axes in shown]
    assert any(axes.get_xlabel() for axes in shown)
    known = r"nats/token|against average|share of the fall|^cosine$|of the merged norm|AICc|R²"
    known += "|exponent|median error|offset from|error of the mean|scale|merged experts"
    known += "|claims checked|minutes|seconds of one merge|specialist's gain|^weight$"
    assert any(re.search(known, text) for text in labels)


def test_loss_by_k_draws_points_fits_floors_and_joint_law(small_study, small_tables):
    frames, _ = small_tables
    figure = draw(small_study, frames, "loss_by_k")
    for method in small_study.method_labels:
        axes = panel(figure, method)
        for size in small_study.size_names:
            look = size_look(small_study, size)
            cell = {"method": method, "size": size, "domain": "macro"}
            curve = rows(frames["curves.parquet"], **cell).filter(pl.col("k") > 0)
            assert xy(curve, "loss") in drawn_as(axes, look.color, look.marker)
            lines = drawn_as(axes, look.color)
            for law in ("floor_tail", "joint"):
                fitted = rows(frames["predictions.parquet"], law=law, **cell)
                assert xy(fitted, "loss_predicted") in lines
            floor = rows(frames["fits.parquet"], law="floor_tail", parameter="floor", **cell)
            assert any(set(y) == set(floor["value"]) for _, y in lines)
    assert axes.get_xlabel() == "k, merged experts"
    assert "w32 (N = 25.1K)" in legend_texts(figure)
    assert "its floor, extrapolated" in legend_texts(figure)


def test_error_bars_are_the_standard_errors(small_study, small_tables):
    frames = dict(small_tables[0])
    frames["curves.parquet"] = frames["curves.parquet"].with_columns(
        loss_se=pl.when(pl.col("k") == 2).then(0.125)
    )
    axes = panel(draw(small_study, frames, "loss_by_k"), "average")
    bars = [segment for bar in axes.collections for segment in bar.get_segments()]
    assert [round(float(np.ptp(segment[:, 1])), 9) for segment in bars] == [0.25, 0.25]
    assert {float(x) for segment in bars for x in segment[:, 0]} == {2.0}


def test_floor_and_tail_are_the_fits(small_study, small_tables):
    frames, _ = small_tables
    figure = draw(small_study, frames, "floor_tail_by_n")
    for part in ("floor", "tail"):
        axes = panel(figure, part)
        assert axes.get_xscale() == "log"
        assert "non-embedding parameters" in axes.get_xlabel()
        for method in small_study.method_labels:
            look = method_look(small_study, method)
            values = rows(
                frames["fits.parquet"],
                law="floor_tail",
                method=method,
                domain="macro",
                parameter=part,
            )["value"].to_list()
            points = [y for _, (y,) in drawn_as(axes, look.color, look.marker)]
            assert sorted(points) == sorted(values)
    line_x, line_y = drawn_as(panel(figure, "floor"), method_look(small_study, "ties").color)[-1]
    assert line_y == pytest.approx([0.3 + 0.01 * n**-0.45 for n in line_x])


@pytest.mark.parametrize(
    ("name", "file", "column"),
    [
        ("variance_by_k", "variance.parquet", "variance"),
        ("return_by_k", "returns.parquet", "return"),
        ("forecast", "forecast.parquet", "loss_predicted"),
    ],
)
def test_panels_by_method_draw_the_table(name, file, column, small_study, small_tables):
    frames, _ = small_tables
    figure = draw(small_study, frames, name)
    for method in small_study.method_labels:
        lines = [
            np.round([line.get_xdata(), line.get_ydata()], 12)
            for line in panel(figure, method).lines
        ]
        drawn = {(k, value) for x, y in lines for k, value in zip(x, y, strict=True)}
        expected = rows(frames[file], method=method, domain="macro")
        assert set(zip(expected["k"], np.round(expected[column], 12), strict=True)) <= drawn


def test_forecast_tells_used_from_unused_points(small_study, small_tables):
    figure = draw(small_study, small_tables[0], "forecast")
    look = size_look(small_study, "w32")
    marked = [
        line
        for line in panel(figure, "average").lines
        if line.get_marker() == look.marker and to_hex(line.get_color()) == look.color
    ]
    faces = {tuple(line.get_xdata()): to_hex(line.get_markerfacecolor()) for line in marked}
    assert faces == {(1, 2, 4): look.color, (3,): "#fefefe"}


def test_heldout_draws_prediction_and_measurement(small_study, small_tables):
    frames, _ = small_tables
    axes = panel(draw(small_study, frames, "heldout"), "ties, w48")
    look = method_look(small_study, "ties")
    expected = rows(frames["heldout.parquet"], method="ties", domain="macro")
    assert drawn_as(axes, look.color, look.marker) == [xy(expected, "loss")]
    assert drawn_as(axes, look.color) == [xy(expected, "loss_predicted")]


def test_gap_leaves_out_the_reference(small_study, small_tables):
    frames, _ = small_tables
    figure = draw(small_study, frames, "method_gap")
    look = method_look(small_study, "ties")
    expected = rows(frames["gaps.parquet"], method="ties", size="w48", domain="macro")
    axes = panel(figure, "w48")
    assert drawn_as(axes, look.color, look.marker) == [xy(expected, "gap_percent")]
    assert len(axes.lines) == 2
    assert legend_texts(figure) == ["average (reference)", "ties"]


def test_synergy_is_centred_and_holds_the_table(small_study, small_tables):
    frames, _ = small_tables
    axes = panel(draw(small_study, frames, "synergy"), "w48")
    mesh = next(item for item in axes.collections if isinstance(item, QuadMesh))
    assert mesh.norm.vmin == -mesh.norm.vmax
    cells = rows(frames["synergy.parquet"], size="w48", method="average")
    donors, receivers = small_study.expert_names, [*small_study.domain_names, "macro"]
    values = np.asarray(mesh.get_array()).reshape(len(donors), len(receivers))
    for row in cells.to_dicts():
        place = donors.index(row["donor"]), receivers.index(row["receiver"])
        assert values[place] == row["gain"]
    assert f"{cells['gain'][0]:.2f}" in {text.get_text() for text in axes.texts}


def test_own_cells_are_framed_at_the_largest_size(small_study, small_tables):
    figure = draw(small_study, small_tables[0], "own_cross")
    axes = figure.axes[0]
    assert "w48" in figure.get_suptitle()
    assert sorted(patch.get_xy() for patch in axes.patches) == [(i, i) for i in range(4)]


def test_domains_have_a_panel_each(small_study, small_tables):
    figure = draw(small_study, small_tables[0], "domains")
    titles = [axes.get_title(loc="left") for axes in figure.axes if axes.get_visible()]
    assert titles == list(small_study.domain_names)


def drawn_map(figure, title):
    axes = panel(figure, title)
    mesh = next(item for item in axes.collections if isinstance(item, QuadMesh))
    names = [label.get_text() for label in axes.get_yticklabels()]
    values = np.ma.filled(np.ma.asarray(mesh.get_array()), np.nan)
    return axes, values.reshape(len(names), -1), names


def test_cosines_stand_beside_norms_in_the_studys_order():
    study = tables.make_study(1, ("average", "ties"), 7)
    frames = tables.vector_frames(study)
    found = rows(frames["task_vectors.parquet"], method="ties", tensor="*")
    frames["task_vectors.parquet"] = frames["task_vectors.parquet"].reverse()
    axes, values, names = drawn_map(draw(study, frames, "task_vectors"), "w32")
    assert names == list(study.expert_names) != sorted(names)
    texts = [text.get_text() for text in axes.texts]
    for row in found.to_dicts():
        place = names.index(row["expert"])
        for other, cosine in zip(sorted(names), row["cosines"], strict=True):
            if other == row["expert"]:
                assert np.isnan(values[place, place])
            else:
                assert values[place, names.index(other)] == pytest.approx(cosine, rel=1e-12)
                assert f"{cosine:.2f}" in texts
        norm = next(t for t in axes.texts if t.get_position() == (place + 0.5, place + 0.5))
        assert norm.get_text() == f"{row['norm']:#.3g}"
    assert len(texts) == len(names) ** 2


def test_maps_of_cosines_share_their_colours(small_study, small_tables):
    figure = draw(small_study, small_tables[0], "task_vectors")
    vectors = rows(small_tables[0]["task_vectors.parquet"], tensor="*")
    off = [c for row in vectors["cosines"].to_list() for c in row if c < 0.999999]
    for size in small_study.size_names:
        mesh = panel(figure, size).collections[0]
        assert (mesh.norm.vmin, mesh.norm.vmax) == (min(off), max(off))


def test_colours_do_not_blow_up_small_differences(small_study, small_tables):
    frames = dict(small_tables[0])
    alike = pl.col("cosines").list.eval(0.5 + pl.element() * 0.001)
    frames["task_vectors.parquet"] = frames["task_vectors.parquet"].with_columns(cosines=alike)
    mesh = panel(draw(small_study, frames, "task_vectors"), "w32").collections[0]
    assert mesh.norm.vmax - mesh.norm.vmin == pytest.approx(0.1)


def test_cosines_that_mean_nothing_are_left_empty(small_study, small_tables):
    frames = dict(small_tables[0])
    is_base = pl.col("expert") == "algebra"
    frames["task_vectors.parquet"] = frames["task_vectors.parquet"].with_columns(
        norm=pl.when(~is_base).then("norm").otherwise(0.0),
        cosines=pl.col("cosines").map_elements(
            lambda row: [None, *row[1:]], return_dtype=pl.List(pl.Float64)
        ),
    )
    _, values, names = drawn_map(draw(small_study, frames, "task_vectors"), "w32")
    assert np.isnan(values[1:, names.index("algebra")]).all()
    assert np.isfinite(values[1, 2])


@pytest.mark.parametrize(
    ("title", "file", "column"),
    [
        ("entries kept", "task_vectors.parquet", "density"),
        ("squared norm", "task_vectors.parquet", "squared_norm_kept"),
        ("sign agreement", "merged_tensors.parquet", "sign_agreement"),
        ("merged norm", "merged_tensors.parquet", "norm_over_mean"),
        ("merged direction", "merged_tensors.parquet", "cosine_with_mean"),
        ("rounding loss", "merged_tensors.parquet", "rounding_loss"),
    ],
)
def test_merges_of_the_pool_are_drawn_by_method_and_size(
    title, file, column, small_study, small_tables
):
    frames = small_tables[0]
    axes = panel(draw(small_study, frames, "merged_task_vectors"), title)
    for size in small_study.size_names:
        look = size_look(small_study, size)
        [(x, y)] = drawn_as(axes, look.color, look.marker)
        for place, method in enumerate(small_study.method_labels):
            drawn = [value for value, at in zip(x, y, strict=True) if round(at) == place]
            whole = rows(frames[file], tensor="*", size=size, method=method)
            assert drawn == sorted(whole[column])
    low, high = axes.get_xlim()
    assert low < min(x) <= max(x) < high


def test_tables_of_the_merge_stage_lie_in_one_folder_per_size(small_study, tmp_path):
    paths = StudyPaths(tmp_path)
    assert table_paths(small_study, paths, "curves.parquet", "task_vectors.parquet") == [
        tmp_path / "laws" / "curves.parquet",
        tmp_path / "merge" / "w32" / "task_vectors.parquet",
        tmp_path / "merge" / "w48" / "task_vectors.parquet",
    ]


def test_colours_of_series_differ_and_are_constant(small_study):
    wide = tables.make_study(7, tuple(tables.METHODS), 4)
    assert len({size_look(wide, name) for name in wide.size_names}) == 7
    assert len({method_look(wide, name).color for name in wide.method_labels}) == 6


def test_bytes_are_equal_twice(small_study, drawn, tmp_path):
    again = tables.tree(small_study, tmp_path)
    for name in ("loss_by_k", "synergy"):
        write_figure(small_study, again, name)
        svg = (drawn.figures / f"{name}.svg").read_bytes()
        assert (again.figures / f"{name}.svg").read_bytes() == svg
        assert b"<dc:date>" not in svg
        assert b"<text" not in svg
        assert b"font-family" not in svg
        assert b"<image" not in svg
    png = (drawn.figures / "loss_by_k.png").read_bytes()
    assert (again.figures / "loss_by_k.png").read_bytes() == png
    assert {path.suffix for path in again.figures.iterdir()} == {".svg", ".png"}


@pytest.mark.parametrize(("sizes", "methods", "pool"), [(1, 1, 3), (3, 6, 5), (7, 1, 16)])
@pytest.mark.parametrize("name", FIGURES)
def test_other_shapes_of_studies(name, sizes, methods, pool):
    study = tables.make_study(sizes, tuple(tables.METHODS)[:methods], pool)
    figure = draw(study, cached(sizes, methods, pool), name)
    assert FIGURES[name].title in whole_text(figure)


BUILT = {}


def cached(*shape):
    if shape not in BUILT:
        sizes, methods, pool = shape
        study = tables.make_study(sizes, tuple(tables.METHODS)[:methods], pool)
        BUILT[shape] = tables.build(study)[0]
    return BUILT[shape]


@pytest.mark.parametrize("name", FIGURES)
def test_empty_and_null_tables_are_drawn(name, small_study, small_tables):
    frames = dict(small_tables[0])
    optional = {
        "sd",
        "subset_se",
        "token_se",
        "loss_se",
        "stderr",
        "maximum",
        "ratio",
        "floor",
        "tail",
        "offset",
        "loss_predicted",
        "relative_error",
        "return",
        "k85",
        "k90",
        "is_own",
        "gain",
        "squared_norm_kept",
        "norm_over_mean",
        "cosine_with_mean",
        "sign_agreement",
        "low",
        "high",
        "delta_aicc",
        "heldout_error",
        "size_exponent",
        "r2",
        "k_floor",
        "k_pool",
        "gain_se",
        "gain_law",
        "median_error",
    }
    nulled = {
        file: frame.with_columns(
            pl.lit(None, dtype=frame.schema[c]).alias(c) for c in optional & set(frame.columns)
        )
        for file, frame in frames.items()
    }
    nothing = pl.col("cosines").list.eval(pl.lit(None, dtype=pl.Float64))
    vectors = nulled["task_vectors.parquet"]
    nulled["task_vectors.parquet"] = vectors.with_columns(cosines=nothing)
    refused = pl.lit("not_identified")
    nulled["forecast.parquet"] = nulled["forecast.parquet"].with_columns(case=refused)
    emptied = {f: frame if f == "curves.parquet" else frame.clear() for f, frame in frames.items()}
    for case in (nulled, emptied):
        assert FIGURES[name].title in whole_text(draw(small_study, case, name))


def test_a_refused_forecast_is_named(small_study, small_tables):
    frames = dict(small_tables[0])
    refused = pl.col("size") == "w48"
    frames["forecast.parquet"] = frames["forecast.parquet"].with_columns(
        case=pl.when(refused).then(pl.lit("not_identified")).otherwise("case"),
        loss_predicted=pl.when(~refused).then("loss_predicted"),
    )
    axes = panel(draw(small_study, frames, "forecast"), "average")
    assert [text.get_text() for text in axes.texts] == ["no forecast: w48"]
