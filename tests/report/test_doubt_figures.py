"""Figures of the full report draw the numbers of their tables, each where it belongs."""

import numpy as np
import polars as pl
import pytest

from mergelaw.report.colors import METHODS, method_look, size_look
from mergelaw.report.inputs import rows
from tests.report.drawing import draw, drawn_as, legend_texts, panel, whole_text

AVERAGE, TIES = (color.light for color in METHODS[:2])


def spans(axes, color):
    """Widest and narrowest (low, high) of the horizontal lines of a colour."""
    return sorted(
        (round(min(x), 6), round(max(x), 6))
        for line in axes.lines
        if line.get_color() == color
        for x, y in [(line.get_xdata(), line.get_ydata())]
        if len(x) == 2 and y[0] == y[1]
    )


def test_intervals_are_drawn_from_the_estimate(small_study, small_tables):
    figure = draw(small_study, small_tables[0], "intervals")
    for color in (AVERAGE, TIES):
        for quantity in ("floor", "tail", "loss at the pool"):
            found = spans(panel(figure, quantity), color)
            assert set(found) == {(-0.01, 0.01), (-0.02, 0.02), (-0.04, 0.04)}
            assert len(found) == 3 * len(small_study.sizes)
    assert legend_texts(figure) == ["this pool", "new text", "new experts"]


def test_a_missing_end_is_an_arrow_at_the_edge(small_study, small_tables):
    frames = dict(small_tables[0])
    table = frames["intervals.parquet"]
    pool = (pl.col("target") == "pool") & (pl.col("quantity") == "floor")
    frames["intervals.parquet"] = table.with_columns(low=pl.when(~pool).then("low"))
    axes = panel(draw(small_study, frames, "intervals"), "floor")
    left = axes.get_xlim()[0]
    arrows = [line for line in axes.lines if line.get_marker() == "<"]
    assert [list(line.get_xdata()) for line in arrows] == [[left]] * 4
    assert (round(left, 6), 0.01) in spans(axes, AVERAGE)
    assert not [line for line in axes.lines if line.get_marker() == ">"]


def test_smaller_pools_are_drawn_from_the_full_one(small_study, small_tables):
    figure = draw(small_study, small_tables[0], "pools")
    moves = {"floor": -0.125, "tail": 0.25, "loss of the whole pool": 0.05}
    for quantity, one in moves.items():
        points = [x for x, _ in drawn_as(panel(figure, quantity), AVERAGE, "o")]
        expected = sorted([[one], [2 * one]] * len(small_study.sizes))
        assert np.allclose(sorted(points), expected)
    assert legend_texts(figure) == [
        "a pool that lacks one expert",
        "a pool that lacks two experts",
    ]


def test_rivals_have_a_row_each_with_both_measures(small_study, small_tables):
    frames = small_tables[0]
    figure = draw(small_study, frames, "rivals")
    left, right = figure.axes
    names = [text.get_text() for text in left.get_yticklabels()]
    assert names[:2] == ["floor + tail", "floor + tail, offset 0"]
    assert names[4:] == ["joint law", "joint, one tail for all sizes"]
    look = method_look(small_study, "ties")
    for axes, column in ((left, "delta_aicc"), (right, "heldout_error")):
        drawn = {round(np.mean(y)): x for x, y in drawn_as(axes, look.color, look.marker)}
        for place, law in ((1, "zero_offset"), (5, "flat_tail")):
            part = rows(frames["rivals.parquet"], law=law, method="ties")
            assert drawn[place] == part[column].to_list()


def test_null_r2_draws_what_is_left_unexplained(small_study, small_tables):
    figure = draw(small_study, small_tables[0], "null_r2")
    for title, median in (("any falling curve", 0.85), ("falling, drops shrink with k", 0.956)):
        axes = panel(figure, title)
        look = size_look(small_study, "w48")
        assert [round(x[0], 9) for x, _ in drawn_as(axes, *look)] == [0.0088] * 2
        bars = {tuple(round(x, 9) for x in line.get_xdata()) for line in axes.lines}
        assert (round(1 - median - 0.04, 9), round(1 - median + 0.1, 9)) in bars
        assert (round(1 - median, 9),) in bars


def test_exponents_of_both_ways_are_drawn(small_study, small_tables):
    figure = draw(small_study, small_tables[0], "two_stage")
    look = method_look(small_study, "ties")
    for axes, stages, joint in zip(figure.axes, (0.222, -0.111), (0.45, 0.1), strict=True):
        drawn = [x for x, _ in drawn_as(axes, look.color, look.marker)]
        assert drawn == [[stages] * 5, [joint] * 5]


def test_domain_fits_are_drawn_beside_the_joint_law(small_study, small_tables):
    frames = small_tables[0]
    figure = draw(small_study, frames, "in_domain")
    names = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert names == ["macro", *small_study.domain_names]
    look = size_look(small_study, "w32")
    fits = rows(frames["fits.parquet"], law="floor_tail", method="average", size="w32")
    floors = {row["domain"]: row["value"] for row in rows(fits, parameter="floor").to_dicts()}
    drawn = drawn_as(figure.axes[0], look.color, look.marker)
    assert [x[0] for x, _ in drawn] == [floors[name] for name in names]
    curves = frames["curves.parquet"]
    n = rows(curves, size="w32")["n_params_billions"][0]
    bars = drawn_as(figure.axes[1], look.color, "|")
    assert np.allclose([x[0] for x, _ in bars], 0.1 * n**-0.1)


def test_a_fit_whose_offset_ran_away_has_no_floor_or_tail(small_study, small_tables):
    frames = dict(small_tables[0])
    lost = (pl.col("parameter") == "offset") & (pl.col("domain") == "algebra")
    frames["fits.parquet"] = frames["fits.parquet"].with_columns(
        value=pl.when(lost).then(20.0).otherwise("value"),
        maximum=pl.when(lost).then(20.0).otherwise("maximum"),
        at_bound=pl.col("at_bound") | lost,
    )
    axes = draw(small_study, frames, "in_domain").axes[0]
    rows_drawn = {round(y[0]) for line in axes.lines for y in [line.get_ydata()] if len(y) == 1}
    names = [text.get_text() for text in axes.get_yticklabels()]
    assert {names[row] for row in rows_drawn} == set(names) - {"algebra"}


def test_the_forecast_has_its_intervals_at_the_largest_size(small_study, small_tables):
    frames = small_tables[0]
    figure = draw(small_study, frames, "forecast_intervals")
    axes = panel(figure, "average, w48")
    curve = rows(
        frames["forecast_intervals.parquet"],
        size="w48",
        method="average",
        domain="macro",
        target="experts",
    )
    lines = [y for _, y in drawn_as(axes, AVERAGE)]
    for column in ("loss_predicted", "low", "high"):
        assert curve[column].to_list() in lines
    band = axes.collections[0].get_paths()[0].vertices[:, 1]
    text = curve["loss_predicted"].to_numpy()
    assert band.min() == pytest.approx(text.min() - 0.04)
    assert band.max() == pytest.approx(text.max() + 0.04)
    assert "this pool" in legend_texts(figure)


def test_this_pool_is_named_only_where_subsets_were_sampled(small_study, small_tables):
    frames = dict(small_tables[0])
    table = frames["forecast_intervals.parquet"]
    frames["forecast_intervals.parquet"] = table.filter(pl.col("target") != "pool")
    assert "this pool" not in legend_texts(draw(small_study, frames, "forecast_intervals"))


def test_triples_are_ringed_by_name(small_study, small_tables):
    axes = panel(draw(small_study, small_tables[0], "triples"), "average")
    rings = [
        (line.get_xdata()[0], line.get_ydata()[0])
        for line in axes.lines
        if line.get_markersize() == 6.5
    ]
    assert np.allclose(rings, [(4, 0.01 / 7), (6, 0.01 / 10), (6, 0.01 / 15)])
    named = [text.get_text() for text in axes.texts]
    assert named == ["{1, 2, 4}", "{1, 3, 6}", "{4, 5, 6}"]


def test_transfer_writes_every_error_in_percent(small_study, small_tables):
    axes = panel(draw(small_study, small_tables[0], "transfer"), "ties")
    written = [text.get_text() for text in axes.texts]
    assert written == ["1.00%", "−2.00%", "−2.00%", "1.00%", "3.00%", "3.00%"]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["w32", "w48", "offset 0"]


def test_gains_and_the_law_of_gains_are_drawn(small_study, small_tables):
    frames = dict(small_tables[0])
    table = frames["gains.parquet"].with_columns(
        gain=pl.when(pl.col("k") == 2).then(-0.1).otherwise("gain")
    )
    axes = panel(draw(small_study, frames | {"gains.parquet": table}, "gains"), "average")
    look = size_look(small_study, "w48")
    curve = rows(table, method="average", size="w48", domain="macro")
    ((x, y),) = drawn_as(axes, *look)
    assert x == [1, 3]
    assert y == curve.filter(pl.col("k") != 2)["gain"].to_list()
    assert curve["gain_law"].to_list() in [law for _, law in drawn_as(axes, look.color)]


def test_experts_out_of_reach_are_open(small_study, small_tables):
    axes = panel(draw(small_study, small_tables[0], "near_floor"), "average")
    look = size_look(small_study, "w48")
    faces = {
        (line.get_xdata()[0], line.get_ydata()[0]): line.get_markerfacecolor()
        for line in axes.lines
        if line.get_marker() == look.marker and line.get_color() == look.color
    }
    assert faces[0.1, 2] == look.color
    assert faces[0.01, 33] != look.color
    pool = [line for line in axes.lines if set(line.get_ydata()) == {4} and len(line.get_xdata())]
    assert len(pool) == 1


def test_a_table_that_was_not_made_gives_the_reason(small_study, drawn, tmp_path, monkeypatch):
    import shutil

    from mergelaw.laws.schemas.doubts import POOLS
    from mergelaw.paths import StudyPaths
    from mergelaw.report import figures, style
    from mergelaw.report.stage import write_figure
    from mergelaw.tables import write_table

    copy = StudyPaths(tmp_path / "tiny")
    shutil.copytree(drawn.laws, copy.laws)
    origin = {"not_made": "no pool is smaller"}
    write_table(copy.laws / POOLS.file, POOLS.frame([]), POOLS.schema, POOLS.key, origin)
    shown = []
    message = style.message
    monkeypatch.setattr(style, "message", lambda *text: shown.append(text) or message(*text))
    monkeypatch.setitem(figures.DRAW, "pools", None)
    write_figure(small_study, copy, "pools")
    assert shown == [("The same law on smaller pools", "Not made: no pool is smaller.")]


def test_a_long_reason_stays_inside_the_figure():
    from mergelaw.report import style

    with style.settings():
        figure = style.message("A title", "a long reason " * 30)
        figure.draw_without_rendering()
    text = figure.texts[0]
    assert text.get_window_extent().x1 < figure.bbox.x1
    assert "A title" in whole_text(figure)
