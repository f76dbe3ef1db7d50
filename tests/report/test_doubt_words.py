"""Sentences of the full report: their numbers are those of the tables, each in its place."""

import polars as pl
import pytest

from mergelaw.laws import schemas
from mergelaw.report import check_words, doubt_grids, doubt_words, words

ALL = [
    *(doubt_words.in_domain, doubt_words.intervals, doubt_words.rivals, doubt_words.null_r2),
    *(doubt_words.two_stage, doubt_words.pools, check_words.forecast_intervals),
    *(check_words.triples, check_words.transfer, check_words.gains, check_words.near_floor),
]
GRIDS = [
    *(doubt_grids.in_domain, doubt_grids.intervals, doubt_grids.rivals),
    *(doubt_grids.forecast_intervals, doubt_grids.triples),
]


@pytest.mark.parametrize("words_of", ALL, ids=lambda f: f.__name__)
def test_an_empty_table_has_one_sentence_that_says_so(words_of, small_study, small_tables):
    frames = {file: frame.clear() for file, frame in small_tables[0].items()}
    (text,) = words_of(small_study, frames)
    assert text.startswith("No ")
    assert words.MISSING not in text


@pytest.mark.parametrize("grid", GRIDS, ids=lambda f: f.__name__)
def test_an_empty_table_has_an_empty_grid(grid, small_study, small_tables):
    frames = {file: frame.clear() for file, frame in small_tables[0].items()}
    assert not grid(small_study, frames).rows


@pytest.mark.parametrize("grid", GRIDS, ids=lambda f: f.__name__)
def test_rows_are_as_long_as_their_head(grid, small_study, small_tables):
    found = grid(small_study, small_tables[0])
    assert found.rows
    assert {len(row) for row in found.rows} == {len(found.head)}


def test_bounds_of_joint_fits_are_counted_by_side(small_study, small_tables):
    frames = dict(small_tables[0])
    lost = (pl.col("law") == "joint") & (pl.col("domain") == "algebra")
    lost &= pl.col("parameter") == "offset"
    frames["fits.parquet"] = frames["fits.parquet"].with_columns(
        value=pl.when(lost).then(20.0).otherwise("value"),
        maximum=pl.when(lost).then(20.0).otherwise("maximum"),
    )
    first, *others = doubt_words.in_domain(small_study, frames)
    assert first.startswith("8 joint fits of single domains")
    assert others == [
        "b ends at its lower bound 0 in 6 of 8 fits and at its upper bound 20 in 2 of 8 fits."
    ]


def test_widths_are_told_by_target(small_study, small_tables):
    text = " ".join(doubt_words.intervals(small_study, small_tables[0]))
    widths = "0.02 for this pool and text, 0.08 for new text and 0.04 for new experts."
    assert text.count(widths) == 2
    assert "Width of the 95% interval of the loss at the pool, macro loss" in text


def test_notes_of_intervals_are_split_and_counted(small_study, small_tables):
    frames = dict(small_tables[0])
    table = frames["intervals.parquet"]
    notes = pl.when(pl.col("target") == "pool").then(
        pl.when(pl.col("quantity") == "floor")
        .then(pl.lit("at its bound 0 in 30% of the refits"))
        .otherwise(pl.lit("at its bound 0 in 75% of the refits"))
    )
    frames["intervals.parquet"] = table.with_columns(note=notes.otherwise("note"))
    text = doubt_words.intervals(small_study, frames)
    macro = table.filter(pl.col("domain") == "macro").height
    third = macro // 3
    assert f"Note of {third} of {macro} intervals: cut at the bound." in text
    assert f"Note of {third} of {macro} intervals: rough: 5 items a domain." in text
    merged = f"Note of {third} of {macro} intervals: at its bound 0 in 30 to 75% of the refits."
    assert merged in text


def test_rivals_that_cannot_be_told_apart_are_named(small_study, small_tables):
    text = doubt_words.rivals(small_study, small_tables[0])
    assert text[0] == (
        "Of forms of k, the floor + tail has the lowest AICc in all 4 curves of the macro loss; "
        "lowest, or within 2 of it: floor + tail, offset 0 (all 4 curves)."
    )
    assert text[1] == (
        "Of forms of size and k, the joint law has the lowest AICc in all 2 surfaces of the macro "
        "loss."
    )
    assert "a ranking, not as odds" in text[2]
    assert text[3].endswith(
        "floor + tail 0.10%; floor + tail, offset 0 0.20%; floor + power of k 0.30%; "
        "constant 0.40%."
    )


def test_the_r2_of_drawn_curves_is_set_beside_the_measured(small_study, small_tables):
    falling, convex = doubt_words.null_r2(small_study, small_tables[0])
    assert "fall in any way have a median R² of 0.8500, and 5% of them 0.8900 or more" in falling
    assert "of drawn curves: all 4 macro curves, all 16 curves of single domains." in falling
    assert "drops shrink with k have a median R² of 0.9560, and 5% of them 0.9960" in convex
    assert "of drawn curves: none of 4 macro curves, none of 16 curves" in convex


def test_both_ways_of_fitting_exponents_are_told(small_study, small_tables):
    text = doubt_words.two_stage(small_study, small_tables[0])
    assert "β of the macro loss, over methods: 0.222 by two stages, 0.450 by one joint fit." in text
    assert "R² of the two stages' lines: floors 0.9876, tails 0.4321." in text
    assert "Note: fewer than 4 sizes." in text


def test_smaller_pools_move_floor_and_loss(small_study, small_tables):
    one, two = doubt_words.pools(small_study, small_tables[0])
    assert "the floor moves by −0.125 and the loss of the whole pool by +0.050" in one
    assert "90% of the fall is reached at k = 2." in one
    assert "the floor moves by −0.250 and the loss of the whole pool by +0.100" in two


def test_forecast_intervals_that_hold_the_loss_are_counted(small_study, small_tables):
    frames = dict(small_tables[0])
    table = frames["forecast_intervals.parquet"]
    away = pl.when(pl.col("domain") == "algebra").then(0.03).otherwise(0.0)
    frames["forecast_intervals.parquet"] = table.with_columns(loss=pl.col("loss_predicted") + away)
    text = check_words.forecast_intervals(small_study, frames)
    assert "The interval for new text of the forecast macro loss at k = 4 is 0.080" in text[1]
    assert (
        "lies inside the interval in 12 of 16 curves for this pool, all 16 curves for new text and "
        "12 of 16 curves for new experts"
    ) in text[3]


def test_the_best_triple_up_to_a_largest_k_is_named(small_study, small_tables):
    text = check_words.triples(small_study, small_tables[0])
    assert text[0] == (
        "average, median error at the whole pool: {1, 2, 4} 0.14%, {1, 3, 6} 0.10%, up to k = 4, "
        "{2, 3, 4} 0.11% and up to k = 6, {4, 5, 6} 0.07%; 6 triples gave no forecast for some "
        "curve."
    )


def test_transfer_parts_own_other_and_no_offset(small_study, small_tables):
    text = check_words.transfer(small_study, small_tables[0])
    assert text[1] == (
        "ties: largest error of the macro loss 2.00% with another size's offset, 1.00% with the "
        "size's own offset and 3.00% with offset 0."
    )


def test_steps_that_gain_nothing_are_counted(small_study, small_tables):
    frames = dict(small_tables[0])
    gain = pl.when(pl.col("k") == 1).then(0.25).when(pl.col("k") == 3).then(-0.125).otherwise(0.1)
    frames["gains.parquet"] = frames["gains.parquet"].with_columns(gain=gain)
    assert check_words.gains(small_study, frames)[0] == (
        "average: one more expert gains 0.250 from k = 1 to 2 and −0.125 from k = 3 to 4 "
        "(nats/token, all sizes); at 2 of 6 steps nothing is gained."
    )


def test_the_way_to_the_floor_and_to_the_pool_are_told_apart(small_study, small_tables):
    near, nearer = check_words.near_floor(small_study, small_tables[0])
    assert near == (
        "Within 0.1 nats/token of the floor: k = 2 by the law, in reach of the pool of 4 for all 4 "
        "macro curves; of L(4): measured k = 2."
    )
    assert "Within 0.01 nats/token of the floor: k = 33 by the law" in nearer
    assert "for none of 4 macro curves" in nearer


def test_intervals_are_tabulated_with_their_open_sides(small_study, small_tables):
    found = doubt_grids.intervals(small_study, small_tables[0])
    cells = {tuple(row[:3]): row[3:] for row in found.rows}
    assert cells["ties", "joint", "β"] == [
        *("0.450", "0.440 to 0.460"),
        *("0.410 to 0.490", "0.430 to 0.470"),
    ]
    assert cells["ties", "w48", "offset"][1] == "below 0.010"
    assert ("ties", "w32", "floor") not in cells


def test_forms_are_tabulated_with_how_often_they_are_as_good(small_study, small_tables):
    found = {row[0]: row for row in doubt_grids.rivals(small_study, small_tables[0]).rows}
    assert found["floor + tail, offset 0"][2:] == ["3", "4", "0", "4", "1.5", "0.20%"]
    assert found["joint law"][1:6] == ["size and k", "2", "2", "2", "2"]


def test_words_of_shares_and_intervals():
    counts = [words.share_of(part, 3, "curve") for part in (0, 2, 3)]
    assert counts == ["none of 3 curves", "2 of 3 curves", "all 3 curves"]
    assert words.share_of(1, 1, "curve") == "the one curve"
    assert words.share_of(0, 1, "curve") == "not the one curve"
    assert words.interval(None, None) == words.MISSING
    assert words.interval(1, None) == "above 1.000"
    assert words.interval(-1, 2) == "−1.000 to 2.000"


def test_every_table_of_the_doubts_is_filled_here(small_tables):
    empty = {file for file, frame in small_tables[0].items() if frame.is_empty()}
    known = {table.file for table in schemas.doubts.TABLES}
    assert empty & known == {"triples.parquet"}
