"""Figures of the theory page draw the numbers of their tables, each where it belongs."""

import numpy as np
import polars as pl
import pytest

from mergelaw.report.colors import method_look, size_look
from mergelaw.report.inputs import rows
from mergelaw.report.theory_choice import LOOKS
from tests.report import tables
from tests.report.drawing import draw, drawn_as, legend_texts, panel, whole_text
from tests.report.theory_tables import WAYS, error_at

CURVES, WEIGHTS = "theory/curves.parquet", "theory/weights.parquet"


def own(frames, **values):
    """Rows of the predicted curves at average's own scale, by Hessian-vector products."""
    part = rows(frames[CURVES], **{"route": "hvp", "domain": "macro", "method": "average"} | values)
    return part.filter(pl.col("scale") == 1.0)


def band_of(axes):
    """Lower and upper edge of the panel's first band, by x."""
    corners = axes.collections[0].get_paths()[0].vertices
    return {
        x: (corners[corners[:, 0] == x][:, 1].min(), corners[corners[:, 0] == x][:, 1].max())
        for x in np.unique(corners[:, 0])
    }


def test_curves_have_points_prediction_band_law_and_the_merge_ringed(small_study, small_tables):
    frames = small_tables[0]
    figure = draw(small_study, frames, "theory_curves")
    axes, curve = panel(figure, "average, w48"), own(frames, size="w48")
    look = method_look(small_study, "average")
    assert [y for _, y in drawn_as(axes, *look)] == [curve["loss"].to_list()]
    assert curve["loss_predicted"].to_list() in [y for _, y in drawn_as(axes, look.color)]
    lines = [line.get_ydata().tolist() for line in axes.lines if line.get_linestyle() == "--"]
    assert curve["loss_fitted"].to_list() in lines
    edges = band_of(axes)
    for k, low, high in curve.select("k", "low", "high").iter_rows():
        assert edges[k] == pytest.approx((low, high))
    ring = next(line for line in axes.lines if line.get_markersize() == 8)
    assert ring.get_xdata().tolist() == [4]
    assert ring.get_ydata().tolist() == [curve["loss_predicted"][-1]]


def test_only_the_study_s_own_scale_and_masks_are_in_the_curves(small_study, small_tables):
    frames = dict(small_tables[0])
    other = frames[CURVES].with_columns(masks=pl.lit("mean"), loss=pl.col("loss") + 5)
    both = draw(small_study, frames | {CURVES: pl.concat([frames[CURVES], other])}, "theory_curves")
    alone = draw(small_study, frames, "theory_curves")
    for one, two in zip(both.axes, alone.axes, strict=True):
        assert len(one.lines) == len(two.lines)
        assert one.get_ylim() == two.get_ylim()
        assert all(len(line.get_xdata()) <= 4 for line in one.lines)


def test_a_method_that_is_not_predicted_has_no_panel(small_study, small_tables):
    figure = draw(small_study, small_tables[0], "theory_curves")
    titles = {axes.get_title(loc="left") for axes in figure.axes if axes.get_visible()}
    assert titles == {"average, w32", "average, w48"}


def test_errors_stand_by_route_and_beside_the_law(small_study, small_tables):
    figure = draw(small_study, small_tables[0], "theory_errors")
    axes = panel(figure, "w32")
    for route in ("hvp", "gauss_newton", "differences"):
        ((x, y),) = drawn_as(axes, *LOOKS[route])
        assert x == [1, 2, 3, 4]
        assert y == [error_at(route, k, 4) for k in (1, 2, 3, 4)]
    law = [line for line in axes.lines if line.get_linestyle() == "--"]
    assert law[0].get_ydata().tolist() == [0.001] * 4
    low, high = axes.get_ylim()
    assert low == -high
    assert high > 0.05 * 2 * (1 - 1 / 4) ** 2
    assert legend_texts(figure)[-1] == "law fitted to the points"


def test_scales_have_a_panel_per_k_that_was_measured_at_several(small_study, small_tables):
    frames = small_tables[0]
    figure = draw(small_study, frames, "theory_scales")
    shown = [axes.get_title(loc="left") for axes in figure.axes if axes.get_visible()]
    assert shown == ["k = 2", "k = 4"]
    look = size_look(small_study, "w32")
    part = rows(frames[CURVES], route="hvp", domain="macro", method="average", size="w32", k=4)
    part = part.sort("scale")
    axes = panel(figure, "k = 4")
    assert (part["scale"].to_list(), part["loss"].to_list()) in drawn_as(axes, *look)
    line = (part["scale"].to_list(), part["loss_predicted"].to_list())
    assert line in drawn_as(axes, look.color)


def test_without_other_scales_there_is_a_sentence(small_study, small_tables):
    frames = dict(small_tables[0])
    frames[CURVES] = frames[CURVES].filter(pl.col("scale") == 1.0)
    text = whole_text(draw(small_study, frames, "theory_scales"))
    assert "No merge was scored at several scales." in text


def test_every_subset_is_a_point_and_single_experts_are_open(small_study, small_tables):
    frames = small_tables[0]
    axes = panel(draw(small_study, frames, "theory_subsets"), "w48")
    part = rows(frames["theory/subsets.parquet"], route="hvp", method="average", size="w48")
    points = {
        (x, y)
        for line in axes.lines
        if line.get_marker() == "o"
        for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)
    }
    assert points == set(part.select("loss_predicted", "loss").iter_rows())
    single = set(rows(part, k=1).select("loss_predicted", "loss").iter_rows())
    hollow = {
        (x, y)
        for line in axes.lines
        if line.get_marker() == "o" and line.get_markerfacecolor() != line.get_color()
        for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)
    }
    assert hollow == single


def test_rank_correlations_are_drawn_by_route_and_domain(small_study, small_tables):
    frames = dict(small_tables[0])
    macro = (pl.col("domain") == "macro") & (pl.col("route") == "hvp")
    table = frames["theory/rankings.parquet"]
    frames["theory/rankings.parquet"] = table.with_columns(
        rank_correlation=pl.when(macro).then(0.5).otherwise("rank_correlation")
    )
    axes = panel(draw(small_study, frames, "theory_rankings"), "w32")
    assert [y for _, y in drawn_as(axes, *LOOKS["hvp"])] == [[0.5] * 3]
    assert [y for _, y in drawn_as(axes, *LOOKS["gauss_newton"])] == [[0.25, 0.96875, 0.96875]]
    thin = [line for line in axes.lines if line.get_linewidth() == 0.6]
    assert len(thin) == len(small_study.domains)
    assert all(len(line.get_xdata()) == 3 for line in thin)


def test_both_maps_of_synergy_have_their_own_numbers(small_study, small_tables):
    figure = draw(small_study, small_tables[0], "theory_synergy")
    for title, own_gain, other in (
        ("predicted from one merge", ".11", "−.01"),
        ("measured", ".12", "−.01"),
    ):
        written = [text.get_text() for text in panel(figure, title).texts]
        assert len(written) == 4 * 5
        assert written.count(own_gain) == 4
        assert written.count(other) == 16
    left, right = (panel(figure, t) for t in ("predicted from one merge", "measured"))
    limits = [axes.collections[0].get_clim() for axes in (left, right)]
    assert limits[0] == limits[1] == (-0.12, 0.12)


def test_gains_are_filled_at_home(small_study, small_tables):
    axes = panel(draw(small_study, small_tables[0], "theory_synergy_pairs"), "w48")
    look = method_look(small_study, "average")
    faces = {
        (x, y): line.get_markerfacecolor() == look.color
        for line in axes.lines
        if line.get_marker() == look.marker
        for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)
    }
    assert faces == {(0.11, 0.12): True, (-0.012, -0.013): False}


def test_terms_are_drawn_by_size_with_the_fitted_tail_open(small_study, small_tables):
    frames = dict(small_tables[0])
    lost = (pl.col("size") == "w48") & (pl.col("route") == "hvp")
    frames["theory/terms.parquet"] = frames["theory/terms.parquet"].with_columns(
        trace=pl.when(lost).then(-0.4).otherwise("trace")
    )
    figure = draw(small_study, frames, "theory_terms")
    look = method_look(small_study, "average")
    n = [tables.n_params(small_study, size) for size in small_study.size_names]
    for title, values in (("Tr(HΣ)", [0.4, -0.4]), ("g′μ", [-0.125] * 2)):
        ((x, y),) = drawn_as(panel(figure, title), *look)
        assert np.allclose(x, n)
        assert y == values
    tails = [y for _, y in drawn_as(panel(figure, "tail A"), *look)]
    assert tails == [[0.2] * 2, [0.21] * 2]


def test_residuals_are_drawn_by_size(small_study, small_tables):
    axes = panel(draw(small_study, small_tables[0], "theory_updates"), "ties")
    look = size_look(small_study, "w32")
    assert drawn_as(axes, *look) == [([1, 2, 3], [0.9, 0.45, 0.3])]


def test_a_study_without_elections_has_no_residuals(small_tables):
    study = tables.make_study(2, ("average",), 4)
    frames = {"theory/updates.parquet": small_tables[0]["theory/updates.parquet"].clear()}
    assert "No method of the study elects signs" in whole_text(
        draw(study, frames, "theory_updates")
    )


def test_gains_of_ways_are_from_the_full_average_with_costs(small_study, small_tables):
    figure = draw(small_study, small_tables[0], "theory_weights")
    axes = panel(figure, "w32")
    names = [text.get_text() for text in axes.get_yticklabels()]
    assert names[0] == "full average"
    assert "macro" in whole_text(figure)
    place = names.index("quadratic through losses")
    points = {
        round(float(line.get_xdata()[0]), 6)
        for line in axes.lines
        if line.get_marker() == "o" and list(line.get_ydata()) == [place]
    }
    assert points == {-0.002, -0.009}
    bars = [c.get_segments()[0] for c in axes.collections if len(c.get_segments())]
    found = {round(float(s[0][1])): (s[0][0], s[1][0]) for s in bars}
    assert found[place] == pytest.approx((-0.0045, 0.0005))
    costs = {round(text.xy[1]): text.get_text() for text in axes.texts}
    assert costs[place] == "56"
    assert len(costs) == len(WAYS)


def test_objectives_show_what_overfits(small_study, small_tables):
    axes = panel(draw(small_study, small_tables[0], "theory_objectives"), "w48")
    names = [text.get_text() for text in axes.get_yticklabels()]
    assert names == ["macro", "worst", "three", "layers"] or names == [""] * 4
    points = {
        (round(float(line.get_ydata()[0])), round(float(line.get_xdata()[0]), 6))
        for line in axes.lines
        if line.get_marker() == "o"
    }
    assert (3, -0.044) in points
    assert (3, -0.016) in points


def test_weights_stand_under_their_experts(small_study, small_tables):
    frames = dict(small_tables[0])
    table = frames[WEIGHTS]
    chosen = (pl.col("objective") == "macro") & (pl.col("size") == "w48")
    chosen &= pl.col("way") == "newton"
    weights = pl.Series([[0.9, 0.1, -0.3, 0.4]])
    frames[WEIGHTS] = pl.concat(
        [table.filter(~chosen), table.filter(chosen).with_columns(weights=weights)]
    )
    figure = draw(small_study, frames, "theory_weights_found")
    written = [text.get_text() for text in panel(figure, "macro").texts]
    # the config's order is algebra, analysis, discrete, geometry: here that of the alphabet too
    assert written[4:] == ["0.90", "0.10", "−0.30", "0.40"]
    layers = panel(figure, "layers, w48")
    assert [t.get_text() for t in layers.get_yticklabels()] == ["embeddings", "layer 0", "rest"]


def test_an_expert_out_of_the_alphabet_keeps_its_weight(small_tables):
    study = tables.make_study(1, ("average",), 7)  # number_theory before biology, physics in config
    frames = tables.build(study)[0]
    table = frames[WEIGHTS].filter(pl.col("way") == "newton", pl.col("objective") == "macro")
    experts = sorted(study.expert_names)
    weights = pl.Series([[float(name == "biology") for name in experts]])
    frames = frames | {WEIGHTS: table.with_columns(weights=weights)}
    figure = draw(study, frames, "theory_weights_found")
    written = [text.get_text() for text in panel(figure, "macro").texts]
    assert written.index("1.00") == study.expert_names.index("biology")
    assert [t.get_text() for t in figure.axes[0].get_xticklabels()] == list(study.expert_names)
