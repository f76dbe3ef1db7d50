"""Figures and sentences of subsets: every mark and number is a row of the tables."""

import numpy as np
import polars as pl
import pytest
from matplotlib.colors import to_hex

from mergelaw.report import balanced_words, subset_words, synergy_words
from mergelaw.report.colors import method_look, size_look
from mergelaw.report.inputs import rows
from tests.report.test_figures import draw, drawn_as, drawn_map, legend_texts, panel, xy


def faces(axes, color):
    """(x, y) of the marks of a colour, by the colour that fills them."""
    return {
        to_hex(line.get_markerfacecolor()): sorted(zip(*line.get_data(), strict=True))
        for line in axes.lines
        if to_hex(line.get_color()) == color and line.get_linestyle() == "None"
    }


def test_forms_are_drawn_against_the_finite_pool(small_study, small_tables):
    figure = draw(small_study, small_tables[0], "variance_forms")
    left, right = figure.axes[:2]
    names = [label.get_text() for label in left.get_yticklabels()]
    assert names == ["finite pool", "curved finite pool", "1/k", "the paper's, of N and k"]
    look = method_look(small_study, "average")
    [(x, y)] = drawn_as(left, look.color, look.marker)
    by_row = sorted((round(place), value) for value, place in zip(x, y, strict=True))
    assert by_row == [(0, 0.0), (0, 0.0), (1, -4.5), (1, -4.5), (2, 0.0), (2, 0.0)]
    [(x, _)] = drawn_as(right, look.color, look.marker)
    assert sorted(x) == [0.0, 0.0, 0.0, 0.0, 0.0003, 0.0003, 0.0004]


def test_words_name_the_best_form_and_those_that_miss_the_pool(small_study, small_tables):
    best, fits, at_pool = subset_words.variance_forms(small_study, small_tables[0])
    assert "curved finite pool (all 4 curves)." in best
    assert "finite pool 0.9000, curved finite pool 0.9100 and 1/k 0.9200" in fits
    assert "1/k 3.0 × 10⁻⁴ and the paper's, of N and k 4.0 × 10⁻⁴" in at_pool
    assert "curved" not in at_pool


def test_dispersion_draws_measured_and_both_laws(small_study, small_tables):
    frames = small_tables[0]
    axes = panel(draw(small_study, frames, "dispersion"), "ties")
    look = size_look(small_study, "w48")
    curve = rows(frames["dispersion.parquet"], method="ties", size="w48")
    assert drawn_as(axes, look.color, look.marker) == [xy(curve, "sd")]
    laws = drawn_as(axes, look.color)
    assert laws == [xy(curve, "sd_fitted"), xy(curve, "sd_finite_pool")]
    text = " ".join(subset_words.dispersion(small_study, frames))
    assert "0.0600 at k = 1 and 0.0200 at k = 3" in text
    assert "b = 2, on all 4 curves" in text


def test_order_draws_every_source_and_leaves_zeros_out(small_study, small_tables):
    frames = dict(small_tables[0])
    zero = (pl.col("k") == 2) & (pl.col("source") == "order")
    frames["order.parquet"] = frames["order.parquet"].with_columns(
        sd=pl.when(zero).then(0.0).otherwise("sd")
    )
    figure = draw(small_study, frames, "order")
    axes, color = panel(figure, "average"), size_look(small_study, "w32").color
    [(x, y)] = drawn_as(axes, color, "o")
    assert ([round(place) for place in x], y) == ([0, 1], [0.02, 0.02])
    [(x, y)] = drawn_as(axes, color, "x")
    assert ([round(place) for place in x], y) == ([1], [0.0001])
    assert "over mask seeds" not in legend_texts(figure)
    text = " ".join(subset_words.order(small_study, frames))
    assert "k = 2: the standard deviation of the macro loss is 0 over orders" in text
    assert "k = 3: the standard deviation of the macro loss is 1.0 × 10⁻⁴ over orders" in text
    assert "bfloat16 at most 1.0000%" in text


def test_estimators_are_paired_by_expert_and_domain(small_study, small_tables):
    frames = dict(small_tables[0])
    frames["synergy_estimators.parquet"] = frames["synergy_estimators.parquet"].reverse()
    axes = panel(draw(small_study, frames, "synergy_estimators"), "trajectory mean")
    marks = faces(axes, method_look(small_study, "average").color)
    own, cross = marks[method_look(small_study, "average").color], marks["#fefefe"]
    assert own == [(0.5, 0.5)] * 4
    assert len(cross) == 12
    assert all(y == -x for x, y in cross)
    regression, trajectory = synergy_words.synergy_estimators(small_study, frames)
    assert "the balanced mean's for all 64 pairs" in regression
    assert "at most 0.000" in regression
    assert "16 of 64 pairs; they lie at most 0.060 nats/token apart" in trajectory
    assert "its standard error is 0.020" in trajectory


def test_strengths_stand_in_their_rows(small_study, small_tables):
    frames = small_tables[0]
    axes = panel(draw(small_study, frames, "synergy_strengths"), "expert gives")
    assert [t.get_text() for t in axes.get_yticklabels()] == list(small_study.expert_names)
    look = size_look(small_study, "w32")
    assert drawn_as(axes, look.color, look.marker) == [([0.25, 0.125, 0.0, -0.125], [0, 1, 2, 3])]
    text = synergy_words.synergy_strengths(small_study, frames)[0]
    assert "at w32 algebra most (0.250) and geometry least (−0.125)" in text
    assert "2 of 8 sums are below 0" in text


def test_blocks_with_and_without_own_domains():
    from tests.report import tables

    source = {"kind": "procedural", "generator": "algebra"}
    blocks = ("math", "math", "science", "science")
    domains = [
        {"name": f"d{i}", "source": source, "block": block} for i, block in enumerate(blocks)
    ]
    experts = [{"name": f"d{i}", "domain": f"d{i}"} for i in range(4)]
    study = tables.make_study(1, domains=domains, experts=experts)
    frames = tables.subset_tables.build(study)
    figure = draw(study, frames, "synergy_blocks")
    _, values, names = drawn_map(figure, "own domains included")
    assert names == ["math", "science"]
    assert values.tolist() == [[0.375, -0.125], [-0.125, 0.375]]
    _, values, _ = drawn_map(figure, "own domains left out")
    assert np.isnan(values[1, 1])
    assert values[0].tolist() == [-0.0625, -0.0625]
    [text] = synergy_words.synergy_blocks(study, frames)
    assert "is the highest of 3 means" in text


def test_mixing_marks_are_the_numbers_of_blocks(small_study, small_tables):
    frames = small_tables[0]
    figure = draw(small_study, frames, "mixing")
    assert "w48" in figure.get_suptitle()
    color = method_look(small_study, "ties").color
    for n_blocks in (1, 2):
        curve = rows(frames["mixing.parquet"], method="ties", size="w48", n_blocks=n_blocks)
        assert drawn_as(panel(figure, "ties"), color, f"${n_blocks}$") == [xy(curve, "against_k")]
    first = subset_words.mixing(small_study, frames)[0]
    assert "1 block 0.010 to 0.020 (3 subsets) and 2 blocks −0.010 to −0.005 (3 subsets)" in first
    assert "lower with 2 in all 4 cases" in first


def test_designs_draw_errors_and_leave_exact_ones_out(small_study, small_tables):
    frames = small_tables[0]
    axes = panel(draw(small_study, frames, "designs"), "average")
    color = method_look(small_study, "average").color
    [(x, y)] = drawn_as(axes, color, "^")
    assert (x, y) == ([2.0, 3.0], [0.0005, 0.001 / 3])
    algorithm, cyclic = subset_words.designs(small_study, frames)
    assert "Algorithm 1: error 0.067% to 0.400%" in algorithm
    assert "a uniform sample of as many subsets has 2.0 times its variance" in algorithm
    assert "has 20 times" in cyclic


def test_a_balanced_design_is_drawn_against_all_subsets(small_study, small_tables):
    frames = small_tables[0]
    axes = panel(draw(small_study, frames, "balanced"), "average")
    color = method_look(small_study, "average").color
    filled, hollow = drawn_as(axes, color, "o")
    assert filled[1] == pytest.approx([0, 0.001, 0])
    assert (hollow[0], hollow[1][0]) == ([3.0], pytest.approx(-0.004))
    first, measured, between = balanced_words.balanced(small_study, frames)
    assert "9 merges of each size and method (4 at k = 1, 4 at k = 2 and 1 at k = 4)" in first
    assert "against all 15: 1.7 times fewer" in first
    assert "average 0.10%" in measured
    assert "interval at 100.0% of" in measured
    assert "average 0.40%" in between
    assert "interval at 0.0% of" in between
    table = balanced_words.grid(small_study, frames)
    assert list(table.rows[0][2:]) == ["0.100%", "0.400%", "0.500%", "1 of 2 points"]


@pytest.mark.parametrize(
    ("words_of", "file"),
    [
        (balanced_words.balanced, "balanced"),
        (subset_words.variance_forms, "variance_fits"),
        (subset_words.dispersion, "dispersion"),
        (subset_words.order, "order"),
        (subset_words.mixing, "mixing"),
        (subset_words.designs, "designs"),
        (synergy_words.synergy_estimators, "synergy_estimators"),
        (synergy_words.synergy_strengths, "synergy_strengths"),
        (synergy_words.synergy_blocks, "synergy_blocks"),
    ],
)
def test_an_empty_table_is_said(words_of, file, small_study, small_tables):
    empty = small_tables[0][f"{file}.parquet"].clear()
    [text] = words_of(small_study, {f"{file}.parquet": empty})
    assert text.startswith(("No ", "At no "))
    assert text.endswith(".")
