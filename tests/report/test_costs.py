"""What the page says of costs: sums of the table, and merge times beside the paper's."""

import polars as pl
import pytest

from mergelaw.laws import published
from mergelaw.report import cost_words, costs_figures, merge_times, style
from mergelaw.report.captions.figure import COSTS
from tests.report import cost_tables


@pytest.fixture
def frames(small_tables):
    return dict(small_tables[0])


def test_all_jobs_are_summed_and_failed_attempts_are_apart(small_study, frames):
    text = cost_words.costs(small_study, frames)
    # items 8; w32: 100 + 200 + 2 methods x 50; w48: twice that
    assert text[0].startswith("22 jobs took 20.1 min one after another and 23.1 min of processor")
    assert "Models ran on cpu for 20.0 min. Tokens that they read: 480K" in text[0]
    assert "FLOPs, by the formulas of `mergelaw estimate`: 6.6 × 10¹⁰." in text[0]
    assert text[1] == (
        "On devices, over all sizes: experts 10.0 min and merging and scoring of the sweep 5.0 min."
    )
    assert text[2].startswith("2 attempts failed or were killed after 60.0 s in all")
    assert text[3].startswith("Energy is not told")


def test_energy_is_told_where_every_model_s_job_told_it(small_study, frames):
    models = pl.col("device").is_not_null()
    frames[COSTS] = frames[COSTS].with_columns(
        energy_joules=pl.when(models).then(1e6).otherwise(None)
    )
    assert "Jobs that ran models used 2.22 kWh" in cost_words.costs(small_study, frames)[3]


def test_the_table_has_a_row_per_stage_and_size_and_the_sum(small_study, frames):
    grid = cost_words.costs_grid(small_study, frames)
    assert [row[:3] for row in grid.rows] == [
        ["data", "–", "4"],
        ["experts", "w32", "5"],
        ["experts", "w48", "5"],
        ["sweep", "w32", "4"],
        ["sweep", "w48", "4"],
        ["all", "", "22"],
    ]
    cells = dict(zip(grid.head, grid.rows[2], strict=True))
    assert cells["device-time"] == "10.0 min"
    assert cells["FLOPs"] == "4.0 × 10¹⁰"
    assert cells["energy"] == "not told"
    assert (cells["failed"], cells["their wall"]) == ("2", "60.0 s")
    text = dict(zip(grid.head, grid.rows[0], strict=True))
    assert (text["device-time"], text["tokens read"], text["failed"]) == ("–", "–", "0")


def test_merge_times_are_per_merge_and_the_misprint_is_told(small_study, frames):
    sizes = merge_times.n_by_vectors(frames)
    found = merge_times.merge_times(small_study, frames)
    assert [(t.method, t.size, t.n_params) for t in found] == [
        (method, size, sizes[size]) for size in sizes for method in ("average", "ties")
    ]
    assert found[0].seconds == pytest.approx(1.6 / 32)
    assert found[0].with_preparation == pytest.approx((1.6 + 0.64) / 32)
    assert found[-1].seconds == pytest.approx(3.2 / 32)
    text = merge_times.merge_seconds(small_study, frames)
    assert "average 50 ms at " in text[0]
    assert "task_arithmetic 32 s at 500M, 2,686 s at 72B (84 times as long" in text[1]
    assert text[2].count("misprint") == 1
    assert "dare 1.120 h (printed as 1.112, a misprint)" in text[2]


def test_growth_of_merges_that_are_all_overhead_is_not_identified(small_study, frames):
    frames[COSTS] = frames[COSTS].with_columns(pl.col("merge_seconds") / 100)
    text = merge_times.merge_seconds(small_study, frames)
    assert "times as long" not in text[0]
    assert "average 0.5 ms at " in text[0]
    assert text[1].startswith("How merges of less than 10 ms grow with N is not identified")


def test_merges_on_disk_have_a_row_of_their_own(small_study, frames):
    cell = cost_tables.row(
        "merge", "cell", size="w32", method="ties", n_jobs=2, wall_seconds=9.0, n_merges=2,
        merge_seconds=8.0,
    )  # fmt: skip
    frames[COSTS] = pl.concat([frames[COSTS], cost_tables.frame([cell])])
    rows = merge_times.merge_grid(small_study, frames).rows
    assert [row[0] for row in rows] == (
        ["this study, in memory"] * 2 + ["this study, to disk"] + ["the paper, to disk"] * 7
    )
    assert rows[2][3:] == ["–", "4 s", "–", "–", "cpu"]


def test_the_paper_s_seconds_stand_under_the_study_s_labels(small_study, frames):
    grid = merge_times.merge_grid(small_study, frames)
    assert grid.head[3:-1] == ("average", "ties", "task_arithmetic", "dare")
    printed = {
        (row["method"], float(row["n_params_billions"])): row for row in published.rows("13")
    }
    last = grid.rows[-1]
    assert last[1:3] == ["72B", "72B"]
    assert last[3:-1] == [f"{printed[m, 72]['seconds']:,} s" for m in grid.head[3:-1]]
    assert last[-1] == "not printed"


def test_nothing_measured_is_said(small_study, frames):
    frames[COSTS] = cost_tables.frame([])
    assert cost_words.costs(small_study, frames) == ["No job has told what it took."]
    assert merge_times.merge_seconds(small_study, frames)[0].startswith("No merge of this study")
    for draw in (costs_figures.costs, costs_figures.merge_seconds):
        style.to_svg(draw(small_study, frames))


def test_bars_are_as_long_as_the_table_says(small_study, frames):
    cores, devices = costs_figures.costs(small_study, frames).axes
    width = {panel.get_title(loc="left"): bar_ends(panel) for panel in (cores, devices)}
    assert cores.get_xlabel() == "minutes"
    # w32: 100 + 200 + 2 x 80 seconds; w48 twice; no one size: 6
    assert width["processor cores"] == pytest.approx([460 / 60, 920 / 60, 0.1])
    assert width["devices that ran models"] == pytest.approx([400 / 60, 800 / 60, 0])


def bar_ends(panel) -> list[float]:
    """Return where the stacked bar of each row ends."""
    ends: dict[float, float] = {}
    for bar in panel.patches:
        row = bar.get_y() + bar.get_height() / 2
        ends[row] = max(ends.get(row, 0.0), bar.get_x() + bar.get_width())
    return [ends[row] for row in sorted(ends)]
