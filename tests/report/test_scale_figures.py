"""Figures and sentences of the scale axis."""

import numpy as np
import polars as pl
import pytest
from matplotlib.colors import to_hex

from mergelaw.report import scale_words
from mergelaw.report.colors import size_look
from mergelaw.report.inputs import rows
from tests.report.subset_tables import CHECKED_SCALES, FITTED_SCALES, surface
from tests.report.test_figures import draw, drawn_as, panel


def marks(axes, look):
    return {
        to_hex(line.get_markerfacecolor()): line.get_data()
        for line in axes.lines
        if line.get_marker() == look.marker and to_hex(line.get_color()) == look.color
    }


def test_fitted_points_are_filled_and_others_open(small_study, small_tables):
    figure = draw(small_study, small_tables[0], "scale_curves")
    look = size_look(small_study, "w48")
    found = marks(panel(figure, "k = 2"), look)
    filled, empty = found[look.color], found["#fefefe"]
    assert filled[0].tolist() == list(FITTED_SCALES)
    assert filled[1].tolist() == pytest.approx([surface(c, 2) for c in FITTED_SCALES])
    assert empty[0].tolist() == list(CHECKED_SCALES)
    assert "average" in figure.legends[0].get_title().get_text()


def test_the_quadratic_is_drawn_solid_only_where_it_was_fitted(small_study, small_tables):
    axes = panel(draw(small_study, small_tables[0], "scale_curves"), "k = 4")
    color = size_look(small_study, "w32").color
    below, inside, above = drawn_as(axes, color)
    assert [(min(x), max(x)) for x, _ in (below, inside, above)] == [
        (0.0, 0.8),
        (0.8, 1.3),
        (1.3, 1.8),
    ]
    lines = [line for line in axes.lines if line.get_marker() in {"None", None}]
    assert [line.get_linestyle() for line in lines[:3]] == ["--", "-", "--"]
    for x, y in (below, inside, above):
        assert y == pytest.approx([surface(scale, 4) for scale in x])


def test_no_curve_without_a_fit(small_study, small_tables):
    frames = dict(small_tables[0])
    frames["scale_fits.parquet"] = frames["scale_fits.parquet"].clear()
    axes = panel(draw(small_study, frames, "scale_curves"), "k = 1")
    assert drawn_as(axes, size_look(small_study, "w32").color) == []


@pytest.mark.parametrize(
    ("name", "points", "line"),
    [("best_scales", "scale", "scale"), ("scale_gains", "gain", "gain_predicted")],
)
def test_best_scales_are_open_where_extrapolated(name, points, line, small_study, small_tables):
    frame = small_tables[0]["best_scales.parquet"]
    axes = panel(draw(small_study, small_tables[0], name), "ties")
    look = size_look(small_study, "w48")
    curve = rows(frame, method="ties", size="w48")
    found = marks(axes, look)
    for flag, face in ((True, look.color), (False, "#fefefe")):
        part = curve.filter(pl.col("inside") == flag)
        assert np.array_equal(found[face], [part["k"], part[points]])
    assert drawn_as(axes, look.color) == [(curve["k"].cast(float).to_list(), curve[line].to_list())]


def test_words_give_errors_inside_and_outside(small_study, small_tables):
    text = scale_words.scale_curves(small_study, small_tables[0])
    assert (
        "average: the surface misses the macro loss by up to 0.0% at the fitted scales, 20.0% at "
        "other scales above 0 and 20.0% at scale 0, the base."
    ) in text
    assert "by all 4 surfaces of a domain or macro" in text[-1]
    assert "b = 0.333" in text[-1]


def test_words_do_not_give_an_offset_that_is_not_identified(small_study, small_tables):
    frames = dict(small_tables[0])
    unknown = {"identified": pl.lit(value=False), "offset": pl.lit(None, dtype=pl.Float64)}
    frames["scale_fits.parquet"] = frames["scale_fits.parquet"].with_columns(**unknown)
    last = scale_words.scale_curves(small_study, frames)[-1]
    assert last == ("The best scale is identified by none of 4 surfaces of a domain or macro.")


def test_words_count_extrapolations_and_losses(small_study, small_tables):
    best = scale_words.best_scales(small_study, small_tables[0])[0]
    assert "1.000 at k = 1 and 1.375 at k = 4" in best
    assert "2 of 8 best scales lie outside the fitted scales" in best
    gains = scale_words.scale_gains(small_study, small_tables[0])[0]
    assert "over scale 1; predicted 0.031 to 0.12" in gains
    assert "at 4 of 8 pairs of a size and a k the loss is higher" in gains


@pytest.mark.parametrize("name", ["scale_curves", "best_scales", "scale_gains"])
def test_an_empty_table_is_said(name, small_study, small_tables):
    frames = {file: frame.clear() for file, frame in small_tables[0].items()}
    [text] = getattr(scale_words, name)(small_study, frames)
    assert text.startswith("No ")
