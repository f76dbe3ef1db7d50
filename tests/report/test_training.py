"""Figures and sentences of trainings and of the multitask baseline."""

import numpy as np
import polars as pl
import pytest

from mergelaw.report import multitask_words, training_words
from mergelaw.report.colors import method_look, size_look
from mergelaw.report.inputs import rows
from mergelaw.report.words import scientific
from tests.report.cost_tables import row as cost
from tests.report.drawing import draw, drawn_as, legend_texts, panel
from tests.report.training_tables import LAW

INK = "#1b1b1f"


def points(curve, x, y):
    return curve[x].cast(float).to_list(), curve[y].to_list()


def test_training_losses_are_drawn_against_the_share_done(small_study, small_tables):
    figure = draw(small_study, small_tables[0], "training_curves")
    frame = small_tables[0]["training_curves.parquet"]
    axes, color = panel(figure, "w48"), size_look(small_study, "w48").color
    part = rows(frame, size="w48")
    lines = drawn_as(axes, color)
    names = [*small_study.expert_names, None]
    assert lines == [points(rows(part, expert=name), "share", "loss") for name in names]
    widths = [line.get_linewidth() for line in axes.lines]
    assert widths[-2] > 2 * widths[0]  # the mean stands out
    assert drawn_as(axes, INK) == [points(rows(part, expert="multitask"), "share", "loss")]
    assert "multitask baseline" in legend_texts(figure)


def test_without_a_baseline_none_is_in_the_legend(small_study, small_tables):
    frames = dict(small_tables[0])
    curves = frames["training_curves.parquet"]
    alone = curves.filter(pl.col("expert").ne_missing("multitask"))
    frames["training_curves.parquet"] = alone
    assert "multitask baseline" not in legend_texts(draw(small_study, frames, "training_curves"))
    text = " ".join(training_words.training_curves(small_study, frames))
    assert "for the mean of the experts (nats/token)" in text
    assert "multitask" not in text


def test_own_losses_are_drawn_against_tokens_and_flops_with_errors(small_study, small_tables):
    figure = draw(small_study, small_tables[0], "post_training")
    frame = rows(small_tables[0]["post_training.parquet"], domain="macro", size="w48")
    curve = frame.filter(pl.col("point") > 0)
    color, marker = size_look(small_study, "w48")
    for axes, column in zip(figure.axes, ("training_tokens", "training_flops"), strict=True):
        assert axes.get_xscale() == "log"
        assert drawn_as(axes, color, marker) == [points(curve, column, "loss")]
        lines = drawn_as(axes, color)
        assert [y for _, y in lines if set(y) == {3.0}] == [[3.0, 3.0]]  # the base
        bars = [bar for part in axes.collections for bar in part.get_segments()]
        assert {round(float(np.ptp(bar[:, 1])), 9) for bar in bars} == {0.125}


def test_the_law_is_drawn_from_its_parameters(small_study, small_tables):
    figure = draw(small_study, small_tables[0], "post_training")
    color, n = size_look(small_study, "w48").color, 50e-6
    for axes, per_token in zip(figure.axes, (1, 6 * 50e3), strict=True):
        x, y = max(drawn_as(axes, color), key=lambda line: len(line[0]))
        d = np.array(x) / per_token / 1e9
        expected = (
            LAW["floor_limit"] + LAW["size_scale"] * n ** -LAW["size_exponent"]
            + LAW["data_scale"] * d ** -LAW["data_exponent"]
        )  # fmt: skip
        np.testing.assert_allclose(y, expected, rtol=1e-9)
        assert (d[0] * 1e9, d[-1] * 1e9) == pytest.approx((100, 400))
    frames = dict(small_tables[0])
    frames["post_training_fits.parquet"] = frames["post_training_fits.parquet"].clear()
    assert "fitted law" not in legend_texts(draw(small_study, frames, "post_training"))


def test_every_expert_has_a_panel(small_study, small_tables):
    figure = draw(small_study, small_tables[0], "post_training_domains")
    frame = small_tables[0]["post_training.parquet"]
    for expert in small_study.expert_names:
        for size in small_study.size_names:
            curve = rows(frame, expert=expert, size=size).filter(pl.col("point") > 0)
            found = drawn_as(panel(figure, expert), *size_look(small_study, size))
            assert found == [points(curve, "training_tokens", "loss")]


def test_scores_are_marks_with_bars_in_the_row_of_their_domain(small_study, small_tables):
    figure = draw(small_study, small_tables[0], "multitask")
    axes = panel(figure, "w32")
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["macro", *small_study.domain_names]
    for color, marker, score in (
        (INK, "*", 0.75),
        (*method_look(small_study, "average"), 0.25),
        (*method_look(small_study, "ties"), 0.375),
    ):
        [(x, y)] = drawn_as(axes, color, marker)
        assert x == [score] * 4  # macro and all domains but the last, which has no score
        assert sorted(round(place) for place in y) == [0, 1, 2, 3]
    bars = [bar for part in axes.collections for bar in part.get_segments()]
    assert {round(float(np.ptp(bar[:, 0])), 9) for bar in bars} == {0.0625}


def test_words_of_trainings_give_lengths_speeds_and_losses(small_study, small_tables):
    text = training_words.training_curves(small_study, small_tables[0])
    assert "4 steps on 400 tokens, of which 160 are of responses" in text[0]
    assert "200 at w32 and 200 at w48" in text[0]
    assert "from 3.250 to 1.750 for the mean of the experts" in text[1]
    assert "from 3.375 to 1.875 for the multitask baseline" in text[1]
    assert "peaks at 2.0 × 10⁻³" in text[-1]


def test_words_of_snapshots_give_falls_and_say_what_they_are_not(small_study, small_tables):
    text = training_words.post_training(small_study, small_tables[0])
    assert "falls from 3.000 (the base) to 1.250 ± 0.062 on average, with 400 tokens" in text[0]
    assert "6.0 × 10⁷ FLOPs" in text[0]
    assert "is 1.750 ± 0.031; the last 50% of the tokens bring 0.250 ± 0.031" in text[0]
    assert "identified by none of 5 fits" in text[2]
    assert "α = 0.250 ± 0.031 and β = 0.125 ± 0.016, R² 0.9875 of 6 points. Fewer than" in text[3]
    assert "no independent trainings" in text[-1]
    frames = dict(small_tables[0])
    frames["post_training_fits.parquet"] = frames["post_training_fits.parquet"].clear()
    assert "not identified" in " ".join(training_words.post_training(small_study, frames))


def test_words_count_experts_that_still_learn_and_name_those_that_rise(small_study, small_tables):
    frames = dict(small_tables[0])
    frame = frames["post_training.parquet"]
    last = (pl.col("point") == 3) & (pl.col("size") == "w32")
    fall = pl.when(last & (pl.col("expert") == "algebra")).then(-0.25).otherwise("fall")
    error = pl.when(last & (pl.col("expert") == "analysis")).then(0.25).otherwise("fall_se")
    frames["post_training.parquet"] = frame.with_columns(fall=fall, fall_se=error)
    text = training_words.post_training_domains(small_study, frames)
    assert text[0].endswith("for 2 of 4 experts; it rises for algebra.")
    assert text[1].endswith("for all 4 experts.")


def test_words_of_the_baseline_compare_with_the_best_merge(small_study, small_tables):
    text = multitask_words.multitask(small_study, small_tables[0])
    assert text[0] == (
        "w32: the multitask baseline has a macro loss of 1.500 ± 0.062, the merge of the same 4 "
        "experts by ties, the lowest of 2 methods, 2.250 ± 0.062: 0.750 ± 0.125 above it (more "
        "than 2 standard errors). Of the specialists' gain the one has a share of 0.750 ± 0.031, "
        "the other of 0.375 ± 0.031."
    )
    assert "is better on 4 of 4 domains, the merge by ties on 0" in text[1]
    assert "No score is defined for geometry at w32 and geometry at w48: the specialist" in text[4]


def test_words_say_where_the_merge_is_better_and_where_nothing_is_certain(
    small_study, small_tables
):
    frames = dict(small_tables[0])
    merged = (pl.col("method") == "ties") & (pl.col("size") == "w32")
    change = {"algebra": -0.5, "analysis": 0.125, "macro": -0.0625}
    other = pl.col("domain").replace_strict(change, default=None)
    frames["multitask.parquet"] = frames["multitask.parquet"].with_columns(
        difference=pl.when(merged & other.is_not_null()).then(other).otherwise("difference")
    )
    text = multitask_words.multitask(small_study, frames)
    assert "0.062 ± 0.125 below it (not more than 2 standard errors)" in text[0]
    assert "better on 2 of 4 domains, the merge by ties on 1 " in text[1]
    assert "geometry 0.750 ± 0.125 and algebra −0.500 ± 0.125)" in text[1]


def test_all_costs_are_told(small_study, small_tables):
    frames = dict(small_tables[0])
    both = cost(
        "experts", "multitask", n_jobs=1, size="w48", device="cpu", wall_seconds=300.0,
        device_hours=300 / 3600, flops=4e10,
    )  # fmt: skip
    table = frames["costs.parquet"]
    frames["costs.parquet"] = pl.concat([table, pl.DataFrame([both], schema=table.schema)])
    text = " ".join(multitask_words.multitask(small_study, frames))
    assert "1,600 and 1,600 at w32; 1,600 and 1,600 at w48 (all experts, and the" in text
    assert (
        "w48: training 4 experts took 7.2 min (0.12 h of cpu, 2.0 × 10¹⁰ FLOPs, 30.0 s of it in "
        "attempts that were ended); the multitask baseline 5.0 min (0.083 h of cpu, 4.0 × 10¹⁰ "
        "FLOPs); one merge 0.12 s"
    ) in text
    assert "w32: training 4 experts took 3.3 min" in text
    assert "of the multitask baseline it is not told" in text
    assert "the training of all of them and the merge" in text
    frames["costs.parquet"] = table.filter(pl.col("rule") != "expert")
    assert "the experts are given" in " ".join(multitask_words.multitask(small_study, frames))


def test_a_baseline_without_a_merge_of_its_experts(small_study, small_tables):
    frames = dict(small_tables[0])
    frame = frames["multitask.parquet"]
    frames["multitask.parquet"] = frame.filter(pl.col("kind") != "merge")
    text = multitask_words.multitask(small_study, frames)
    assert text[0].endswith("; no merge of all its experts is in the design.")
    assert multitask_words.grid(small_study, frames).head == (
        "size", "base", "specialists", "multitask")  # fmt: skip


def test_the_table_has_losses_and_shares(small_study, small_tables):
    grid = multitask_words.grid(small_study, small_tables[0])
    assert grid.rows[0] == [
        "w32",
        "3.000 ± 0.062 [0.00]",
        "1.000 ± 0.062 [1.00]",
        "1.500 ± 0.062 [0.75]",
        "2.500 ± 0.062 [0.25]",
        "2.250 ± 0.062 [0.38]",
    ]


@pytest.mark.parametrize("name", ["training_curves", "post_training_domains"])
def test_an_empty_table_is_said(name, small_study, small_tables):
    frames = {file: frame.clear() for file, frame in small_tables[0].items()}
    [text] = getattr(training_words, name)(small_study, frames)
    assert text.startswith(("No training", "With one scored item"))


def test_powers_of_ten():
    assert scientific(2.34e10, 1) == "2.3 × 10¹⁰"
    assert scientific(5e-7) == "5 × 10⁻⁷"
