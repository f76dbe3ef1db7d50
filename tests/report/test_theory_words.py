"""Sentences and tables of the theory page: their numbers are those of the tables."""

import polars as pl
import pytest

from mergelaw.report import (
    theory_context,
    theory_costs,
    theory_grids,
    theory_limits,
    theory_subset_words,
    theory_term_words,
    theory_weights_grids,
    theory_weights_words,
    theory_words,
    words,
)
from tests.report import tables

CURVES, WEIGHTS = "theory/curves.parquet", "theory/weights.parquet"
ALL = [
    *(theory_words.theory_curves, theory_words.theory_errors, theory_words.theory_scales),
    *(theory_term_words.theory_terms, theory_subset_words.theory_subsets),
    *(theory_subset_words.theory_rankings, theory_subset_words.theory_synergy),
    *(theory_subset_words.theory_synergy_pairs, theory_weights_words.theory_weights),
    *(theory_weights_words.theory_objectives, theory_weights_words.theory_weights_found),
    *(theory_context.headline, theory_context.how),
]
GRIDS = [
    *(theory_grids.answer, theory_grids.errors, theory_grids.rankings, theory_grids.terms),
    *(theory_grids.updates, theory_weights_grids.weights, theory_weights_grids.objectives),
]


@pytest.fixture(scope="module")
def emptied(small_tables):
    return {file: frame.clear() for file, frame in small_tables[0].items()}


@pytest.mark.parametrize("words_of", ALL, ids=lambda f: f.__name__)
def test_an_empty_table_has_one_sentence_that_says_so(words_of, small_study, emptied):
    (text,) = words_of(small_study, emptied)
    assert text.startswith("No ")
    assert words.MISSING not in text


@pytest.mark.parametrize("grid", [*GRIDS, theory_costs.costs], ids=lambda f: f.__name__)
def test_an_empty_table_has_an_empty_grid(grid, small_study, emptied):
    assert not grid(small_study, emptied).rows


@pytest.mark.parametrize("grid", [*GRIDS, theory_costs.costs], ids=lambda f: f.__name__)
def test_rows_are_as_long_as_their_head(grid, small_study, small_tables):
    found = grid(small_study, small_tables[0])
    assert found.rows
    assert {len(row) for row in found.rows} == {len(found.head)}


def test_ways_are_called_as_the_tool_calls_them():
    from mergelaw.report.theory_choice import WAYS
    from mergelaw.theory.ways import WAY_TITLES

    assert WAYS == WAY_TITLES


def test_every_route_has_a_name():
    from typing import get_args

    from mergelaw.config.theory import Route
    from mergelaw.report.theory_choice import LOOKS, ROUTES

    assert ROUTES.keys() == LOOKS.keys() == set(get_args(Route))


def moved(frames, **when):
    """Predicted curves in which some losses lie a whole nat above what is predicted."""
    test = pl.all_horizontal(pl.col(name) == value for name, value in when.items())
    loss = pl.when(test).then(pl.col("loss_predicted") + 1).otherwise("loss")
    changed = frames[CURVES].with_columns(loss=loss)
    error = pl.col("loss_predicted") / pl.col("loss") - 1
    return frames | {CURVES: changed.with_columns(relative_error=error)}


def test_errors_are_told_by_k_and_the_merge_itself_is_not_counted(small_study, small_tables):
    text = theory_words.theory_curves(small_study, small_tables[0])[0]
    assert text == (
        "average (Hessian-vector products): the predicted macro loss is off by up to 2.81% at "
        "k = 1, 0.31% at k = 2 and 0.03% at k ≥ 3, over 2 sizes; the law, fitted to these points, "
        "by up to 0.10% at k = 1, 0.10% at k = 2 and 0.10% at k ≥ 3."
    )
    far = theory_words.theory_curves(small_study, moved(small_tables[0], k=4))
    assert far[0] == text


def test_means_outside_their_interval_are_counted_and_listed(small_study, small_tables):
    frames = moved(small_tables[0], k=3, size="w48", domain="macro")
    text = theory_words.theory_curves(small_study, frames)
    assert (
        "in none of 10 means at k = 1, all 10 means at k = 2 and 9 of 10 means at k ≥ 3" in text[1]
    )
    assert text[2].startswith("Outside their intervals, of 6 macro means: average w48 k = 3 (−")
    assert "average w32 k = 1 (−2.81%, interval ± " in text[2]


def test_no_miss_is_said(small_study, small_tables):
    frames = dict(small_tables[0])
    frames[CURVES] = frames[CURVES].with_columns(low=pl.lit(0.0), high=pl.lit(9.0))
    text = theory_words.theory_curves(small_study, frames)
    assert "in all 10 means at k = 1, all 10 means at k = 2 and all 10 means at k ≥ 3" in text[1]
    assert text[2] == "No measured macro mean lies outside its interval."


def test_many_misses_are_cut_and_counted(small_tables):
    study = tables.make_study(2, ("average", "task_arithmetic", "dare"), 5)
    frames = tables.build(study)[0]
    frames[CURVES] = frames[CURVES].with_columns(low=pl.lit(8.0), high=pl.lit(9.0))
    text = theory_words.theory_curves(study, frames)[-1]
    assert text.startswith("Outside their intervals, of 24 macro means: ")
    assert text.count("interval ±") == theory_words.MOST_MISSES
    assert text.endswith("; and 12 more, with smaller errors.")


def test_predictions_without_an_interval_say_so(small_study, small_tables):
    frames = dict(small_tables[0])
    nothing = pl.lit(None, dtype=pl.Float64)
    frames[CURVES] = frames[CURVES].with_columns(low=nothing, high=nothing)
    assert theory_words.theory_curves(small_study, frames)[1:] == [
        "No prediction has an interval: the third order was not measured."
    ]
    assert "Predictions have no interval" in " ".join(theory_limits.limits(small_study, frames))


def test_every_route_has_its_errors(small_study, small_tables):
    text = theory_words.theory_errors(small_study, small_tables[0])
    assert (
        text[1] == "Gauss-Newton: off by up to 5.62% at k = 1, 0.62% at k = 2 and 0.07% at k ≥ 3."
    )
    assert text[2].startswith("differences, forward only: off by up to 1.41% at k = 1")


def test_the_first_route_that_was_asked_for_is_the_main_one(small_tables):
    study = tables.make_study(theory={"routes": ["differences", "hvp"]})
    text = theory_words.theory_curves(study, small_tables[0])[0]
    assert text.startswith("average (differences, forward only): ")


def test_scales_and_best_scales_are_told(small_study, small_tables):
    frames = dict(small_tables[0])
    text = theory_words.theory_scales(small_study, frames)
    assert text[0] == (
        "average, expanded at scale 1: the macro loss is off by up to 0.9% (k = 2), 0.6% (k = 4) "
        "at scale 0.75 and 1.25."
    )
    far = frames | {CURVES: frames[CURVES].with_columns(scale=pl.col("scale") * 2 - 1)}
    near = pl.concat([frames[CURVES], far[CURVES].filter(pl.col("scale") != 1)])
    text_far = theory_words.theory_scales(small_study, frames | {CURVES: near})
    assert text_far[0].endswith(
        "at scale 0.75 and 1.25; by up to 0.9% (k = 2), 0.6% (k = 4) at scale 0.5 and 1.5."
    )
    assert text[1] == (
        "average: predicted best scale of the whole pool 1.375 over the sizes; fitted to merges at "
        "several scales 1.312."
    )
    laws = frames["theory/laws.parquet"]
    for lost, said in (
        (pl.lit(True), "average: no best scale is identified"),
        (pl.col("size") == "w48", "; not identified at 1 size."),
    ):
        best = pl.when(~lost).then("best_scale")
        frames["theory/laws.parquet"] = laws.with_columns(best_scale=best)
        assert said in theory_words.theory_scales(small_study, frames)[-1]


def test_terms_name_tails_base_orders_and_routes(small_study, small_tables):
    tail, base, orders, routes = theory_term_words.theory_terms(small_study, small_tables[0])
    assert "the predicted tail is 0.95 times the fitted one, which has an offset" in tail
    assert "the law's offset at the best scale of each k is predicted as 0.500." in tail
    assert base == (
        "The base's loss by the same expansion, for the one measured (average): w32 2.750 for "
        "3.500 and w48 2.750 for 3.500; off by more than 5% at w32 and w48."
    )
    assert "−15.0% at k = 1, −3.0% at k = 2 and +0.4% at k = 3." in orders
    assert routes == (
        "In units of the tail by Hessian-vector products: 2.00 by Gauss-Newton and 0.50 by "
        "differences, forward only."
    )


def test_a_base_within_reach_is_said_to_be_so(small_study, small_tables):
    frames = dict(small_tables[0])
    terms = frames["theory/terms.parquet"]
    frames["theory/terms.parquet"] = terms.with_columns(base=pl.col("base_predicted") * 1.04)
    text = theory_term_words.theory_terms(small_study, frames)[1]
    assert text.endswith("; within 5% of it at every size.")
    one = pl.when(pl.col("size") == "w48").then(9.0).otherwise(pl.col("base_predicted") * 1.04)
    frames["theory/terms.parquet"] = terms.with_columns(base=one)
    text = theory_term_words.theory_terms(small_study, frames)[1]
    assert text.endswith("; off by more than 5% at w48.")


@pytest.mark.parametrize("fitted", [0.0, None])
def test_a_tail_that_is_not_fitted_is_no_ratio(fitted, small_study, small_tables):
    frames = dict(small_tables[0])
    lost = pl.lit(fitted, dtype=pl.Float64)
    frames["theory/terms.parquet"] = frames["theory/terms.parquet"].with_columns(
        tail_fitted=lost, offset=pl.lit(None, dtype=pl.Float64)
    )
    assert theory_term_words.theory_terms(small_study, frames)[0] == (
        "average, 2 sizes: no fitted tail is identified beside the predicted one; an offset at "
        "the best scale of each k is not identified."
    )


def test_higher_orders_that_are_not_known_are_left_out(small_study, small_tables):
    frames = dict(small_tables[0])
    terms = frames["theory/terms.parquet"]
    shares = [f"order_share_{k}" for k in (1, 2, 3)]
    exact = pl.col("route") == "hvp"
    only = [pl.when(exact).then(name).alias(name) for name in shares]
    frames["theory/terms.parquet"] = terms.with_columns(only)
    text = " ".join(theory_term_words.theory_terms(small_study, frames))
    assert "by exact curvature" in text
    grid = theory_grids.terms(small_study, frames)
    assert [row[-3:] == [words.MISSING] * 3 for row in grid.rows] == [
        "Hessian" not in row[2] for row in grid.rows
    ]
    frames["theory/terms.parquet"] = terms.with_columns(
        pl.lit(None, dtype=pl.Float64).alias(name) for name in shares
    )
    assert "higher orders" not in " ".join(theory_term_words.theory_terms(small_study, frames))


def test_a_method_that_elects_signs_is_refused_with_its_numbers(small_study, small_tables):
    (text,) = theory_term_words.theory_updates(small_study, small_tables[0])
    assert text.startswith("ties is not linear in its task vectors and is not predicted: ")
    assert "by 0.90 at k = 1, 0.45 at k = 2 and 0.30 at k = 3 over the sizes." in text
    frames = dict(small_tables[0])
    table = frames["theory/updates.parquet"]
    frames["theory/updates.parquet"] = table.with_columns(residual=pl.lit(0.0))  # however near
    assert "is not predicted" in theory_term_words.theory_updates(small_study, frames)[0]
    frames["theory/updates.parquet"] = table.clear()
    assert theory_term_words.theory_updates(small_study, frames) == [
        "No method of the study elects signs."
    ]


def test_the_subset_that_is_named_is_counted_as_best_or_by_its_regret(small_study, small_tables):
    frames = dict(small_tables[0])
    text = theory_subset_words.theory_subsets(small_study, frames)
    assert text == [
        "average (Hessian-vector products): of 15 subsets at each size, half are predicted within "
        "0.25% and 95% within 1.25%; the subset predicted to be the best is the best as measured "
        "at 2 of 2 sizes."
    ]
    other = (pl.col("size") == "w48") & (pl.col("k") == 0)
    frames["theory/rankings.parquet"] = frames["theory/rankings.parquet"].with_columns(
        chosen=pl.when(other).then(pl.lit("code")).otherwise("chosen"),
        regret=pl.when(other).then(0.0625).otherwise("regret"),
    )
    (text,) = theory_subset_words.theory_subsets(small_study, frames)
    assert text.endswith("at 1 of 2 sizes, elsewhere 0.062 nats/token above it.")


def test_rank_correlations_and_regrets_are_told(small_study, small_tables):
    frames = dict(small_tables[0])
    third = (pl.col("k") == 3) & (pl.col("domain") != "macro")
    frames["theory/rankings.parquet"] = frames["theory/rankings.parquet"].with_columns(
        regret=pl.when(third).then(0.006).otherwise("regret")
    )
    text = theory_subset_words.theory_rankings(small_study, frames)
    assert text[0].endswith("0.25 at k = 1, 0.97 at k = 2 and 0.97 at k ≥ 3.")
    assert "over domains and sizes at most 20% at k = 3 (median 20%)." in text[2]


def test_gains_with_a_wrong_sign_are_counted(small_study, small_tables):
    frames = dict(small_tables[0])
    wrong = (pl.col("donor") == "algebra") & (pl.col("receiver") == "geometry")
    table = frames["theory/synergy.parquet"]
    frames["theory/synergy.parquet"] = table.with_columns(
        gain=pl.when(wrong).then(0.5).otherwise("gain")
    )
    (text,) = theory_subset_words.theory_synergy(small_study, frames)
    assert text.startswith("At w48 the sign is right for 15 of 16 gains of an expert to a domain")
    assert "algebra to geometry (−0.01 for 0.50 as measured)" in text
    pairs = theory_subset_words.theory_synergy_pairs(small_study, small_tables[0])
    assert len(pairs) == 2
    assert "half of the 16 gains are off by at most" in pairs[0]


def test_weights_are_set_beside_simpler_choices_and_better_ways_are_named(
    small_study, small_tables
):
    frames = dict(small_tables[0])
    text = theory_weights_words.theory_weights(small_study, frames)
    assert "were chosen on 480 scored tokens and are judged on 960 others" in text[0]
    assert text[1] == (
        "w32: Newton's weights have 1.784, the full average 1.800 (difference −0.0160 ± 0.0025), "
        "the best scale 1.796 (Newton's is 0.67% lower) and the best subset 1.802 (Newton's is "
        "1.00% lower)."
    )
    assert text[3] == "On other text no other way ends lower than Newton's, at any size."
    assert "greedy soup 19, gradient descent (Adam) 90" in text[4]
    table = frames[WEIGHTS]
    better = (pl.col("way") == "gradient") & (pl.col("size") == "w32")
    unclear = pl.col("way") == "newton"
    frames[WEIGHTS] = table.with_columns(
        heldout=pl.when(better).then(1.7).otherwise("heldout"),
        heldout_stderr=pl.when(unclear).then(0.01).otherwise("heldout_stderr"),
        converged=pl.when(unclear).then(False).otherwise("converged"),
    )
    text = theory_weights_words.theory_weights(small_study, frames)
    assert "Lower than Newton's on other text: gradient descent (Adam) at w32." in text
    assert "(difference −0.0160 ± 0.0100, not told from 0 by this text)" in text[1]
    assert text[-1] == "Newton's way stopped before it converged at w32 and w48."
    assert not any("limits" in line for line in text)
    broken = pl.col("way").is_in(["gradient", "greedy_soup"]) & (pl.col("size") == "w48")
    limit = pl.when(broken).then(pl.lit("19 steps; breaks a limit: 3 experts, where 2 are allowed"))
    frames[WEIGHTS] = table.with_columns(note=limit.otherwise("note"))
    text = theory_weights_words.theory_weights(small_study, frames)
    told = (
        "Not within the limits that are set for Newton's: greedy soup and gradient descent (Adam)."
    )
    assert told in text


def test_a_higher_loss_is_called_higher(small_study, small_tables):
    frames = dict(small_tables[0])
    newton = pl.col("way") == "newton"
    frames[WEIGHTS] = frames[WEIGHTS].with_columns(
        heldout=pl.when(newton).then(1.9).otherwise("heldout")
    )
    text = theory_weights_words.theory_weights(small_study, frames)
    assert "(Newton's is 5.79% higher)" in text[1]
    objectives = theory_weights_words.theory_objectives(small_study, frames)
    assert "and −0.1 on other text" in objectives[0]


def test_objectives_are_described_and_overfitting_is_named(small_study, small_tables):
    frames = dict(small_tables[0])
    text = theory_weights_words.theory_objectives(small_study, frames)
    assert text[2] == (
        "three (macro, at most 3 experts): gains 0.022 nats/token on the text it was chosen on and "
        "0.016 on other text, over the sizes, with 3 experts."
    )
    assert text[3].startswith("layers (macro, weights per group of layers): gains 0.044")
    assert text[4] == (
        "Weights per group of layers (layers) are better than one weight per expert (macro) on the "
        "text they were chosen on at w32 and w48, on other text at no size."
    )
    better = (pl.col("objective") == "layers") & (pl.col("way") == "newton")
    frames[WEIGHTS] = frames[WEIGHTS].with_columns(
        heldout=pl.when(better & (pl.col("size") == "w48")).then(1.7).otherwise("heldout")
    )
    text = theory_weights_words.theory_objectives(small_study, frames)
    assert text[4].endswith("chosen on at w32 and w48, on other text at w48.")


def test_notes_of_searches_are_shown_once(small_study, small_tables):
    text = theory_weights_words.theory_weights_found(small_study, small_tables[0])
    assert text[0] == (
        "macro: the weights sum to 1.00 over the sizes; below 0 are none of 8 weights."
    )
    assert text[-1] == (
        "Note of the searches layers w32 and layers w48: a direction of negative curvature was "
        "left alone."
    )


def test_the_headline_is_of_the_reference_method(small_study, small_tables):
    first, second, third = theory_context.headline(small_study, small_tables[0])
    assert first == (
        "The study tiny merged 15 subsets of 4 experts at each of 2 sizes. Of each size one merge, "
        "the whole pool's (average), with the loss's derivatives there by Hessian-vector products, "
        "predicts the mean macro loss of all others within 2.81% at k = 1, 0.31% at k = 2 and "
        "0.03% at k ≥ 3."
    )
    assert "a rank correlation of 0.97, and names the best of all at 2 of 2 sizes" in second
    assert "−1.00% from the best subset and −0.67% from the best scale alone" in third
    assert theory_context.title(small_study, small_tables[0]).endswith("measured with 15")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({}, "change the macro loss on"),
        ({"target": "worst"}, "change the loss of the worst domain on"),
        ({"target": "algebra"}, "change the loss of algebra on"),
        ({"mixture": {"algebra": 0.5, "geometry": 2}}, "loss of 0.5 algebra and 2 geometry on"),
    ],
)
def test_the_headline_is_about_what_was_minimised(asked, said, small_tables):
    study = tables.make_study(theory={"objectives": [{"label": "macro", **asked}]})
    assert said in theory_context.headline(study, small_tables[0])[-1]


def test_how_tells_place_text_and_routes(small_tables):
    study = tables.make_study(2, ("average", "dare"), 4, theory={"step": 0.5, "mask_probes": 6})
    text = " ".join(theory_context.how(study, tables.build(study)[0]))
    assert "at the scale 1 (average) and 1 (dare), once for each of 2 sizes" in text
    assert "10 items and 120 scored tokens of each domain, dealt into folds, 2 by route" in text
    assert "by Hessian-vector products, Gauss-Newton and differences, forward only." in text
    assert "Differences step by 0.5 of a task vector" in text
    assert "estimated from 6 random ones" in text


def test_limits_name_what_fails(small_study, small_tables):
    text = " ".join(theory_limits.limits(small_study, small_tables[0]))
    assert "macro loss 2.81% at k = 1" in text
    assert "They hold 66.7% of 30 measured means" in text
    assert "Nothing is predicted of ties; the notes of the jobs say why." in text
    assert "not checked here" in text
    assert "All models are tiny" in text
    assert "best scale is not identified" not in text
    assert "standard errors of the difference" not in text


def test_limits_depend_on_the_tables(small_study, small_tables):
    frames = dict(small_tables[0])
    frames[CURVES] = frames[CURVES].with_columns(low=pl.lit(0.0), high=pl.lit(9.0))
    lost = (pl.col("size") == "w48") & (pl.col("domain") == "macro")
    frames["theory/laws.parquet"] = frames["theory/laws.parquet"].with_columns(
        best_scale=pl.when(~lost).then("best_scale"),
        tail=pl.when(lost).then(-0.1).otherwise("tail"),
    )
    frames[WEIGHTS] = frames[WEIGHTS].with_columns(heldout_stderr=pl.lit(0.01))
    text = " ".join(theory_limits.limits(small_study, frames))
    assert "They hold 100.0% of 30 measured means" in text
    assert "not identified for 1 of 10 curves" in text
    assert "The tail is not above 0 for 1 of 10 curves" in text
    assert "8 of 8 gain less on other text than 2 standard errors" in text
