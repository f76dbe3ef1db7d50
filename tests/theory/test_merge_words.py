"""What a forecast from one merge says in words, of losses that are known."""

import json
from dataclasses import replace

import numpy as np
import pytest

from mergelaw.theory.fold_draws import with_macro
from mergelaw.theory.forecast_facts import forecast_facts, forecast_table
from mergelaw.theory.measured_rows import MaskSpread
from mergelaw.theory.merge_forecast import MOST_RANKED, MergeForecast
from mergelaw.theory.surface import Spent
from mergelaw.theory.words import forecast_text, precision_problem, remarks
from tests.theory.polynomial import polynomial


def forecast(loss=None, bend=1.0, folds=(4, 4), n=4, route="hvp", masks=None, third=True):
    """Return the forecast of a polynomial loss, whose curvature may be turned over."""
    loss = loss or polynomial(n=n, folds=folds, cubic=0.1)
    found = loss.derivatives()
    found = replace(found, curvature=bend * found.curvature)
    curve = found.curve().with_third(loss.third()) if third else found.curve()
    base = with_macro(loss.folds, loss.at(np.zeros(4)))
    whole = None if route == "differences" else found
    return MergeForecast("average", route, curve, whole, None, base, masks, Spent(forwards=30))


def test_a_convex_loss_has_nothing_to_remark_but_how_far_the_base_is():
    loss = polynomial(n=4, folds=(4, 4))  # exactly quadratic: the base is predicted, too
    told = list(remarks(forecast(loss)))
    assert [note.split(" ")[0] for note in told] == ["intervals", "k85"]
    assert "rest on 4 items" in told[0]
    assert "k85 = 3 and k90 = 4 of 4 experts, those of any curve straight in 1/k" in told[1]
    assert len(list(remarks(forecast(polynomial(n=4, folds=(5, 5)), folds=(5, 5))))) == 1
    far = forecast(loss)
    told = list(remarks(replace(far, base=far.base * 1.3)))
    assert told[0].startswith("the base is far from the merge: ")
    assert f"{far.curve.base[-1]:.4f}" in told[0]
    assert f"{1.3 * far.base[-1]:.4f} (-23%)" in told[0]


def test_negative_curvature_is_said_in_words():
    found = forecast(bend=-1.0)
    told = "\n".join(remarks(found))
    assert "negative curvature along the scale on d0, d1, macro: there is no best scale" in told
    assert "negative mean curvature along the task vectors on d0, d1, macro" in told
    assert "of 4 directions of the weights have negative curvature of the macro loss" in told
    text = forecast_text(found)
    assert "none" in text  # the best scale
    assert all(law["best_scale"] is None for law in forecast_facts(found)["laws"])
    assert all(law["k85"] is None for law in forecast_facts(found)["laws"])


def test_gauss_newton_is_said_to_show_no_negative_curvature():
    assert any("never negative" in note for note in remarks(forecast(route="gauss_newton")))
    assert not any("never negative" in note for note in remarks(forecast()))


def test_facts_are_json_and_hold_the_table():
    probes = np.array([0.9, 1.1, 1.0])[:, None] * forecast().found.folds.n_tokens
    found = forecast(masks=((forecast().found, MaskSpread(probes)),))
    facts = json.loads(json.dumps(forecast_facts(found, 3), allow_nan=False))
    table = forecast_table(found)
    assert len(facts["points"]) == table.height == 2 * 3 * 4
    assert set(table["masks"]) == {"these", "mean"}
    assert len(facts["ranking"]["subsets"]) == 3
    assert facts["cost"]["forwards"] == 30
    assert facts["masks"]["n_probes"] == 3
    error = facts["masks"]["stderr_at_one"]["macro"]
    assert error == pytest.approx(0.1 / 3**0.5 / 2)
    words = f"from 3 random masks of the whole pool: the macro loss is +- {error:.4f} at k = 1"
    assert words in forecast_text(found)
    these = table.filter(masks="these")
    for column in ("sd_predicted", "sd_leading"):
        assert these.filter(k=4)[column].null_count() == 3  # one subset
        assert these.filter(k=3)[column].null_count() == 0
    near = these.filter(k=3)  # near the merge the gradient tells most of the spread
    assert (near["sd_leading"] / near["sd_predicted"] - 1).abs().max() < 0.5


def test_only_the_interval_on_other_text_has_a_rate():
    head = forecast_text(forecast()).split("  macro")[0]
    on_this, on_other = head.split("On other text of the kind")
    assert "95%" not in on_this
    assert "promises no rate" in on_this
    assert "95% for the choice of items" in on_other
    facts = forecast_facts(forecast())
    assert facts["level_other_text"] == 0.95
    assert "level" not in facts


def test_what_is_not_known_is_called_so():
    text = forecast_text(forecast(third=False, route="differences"), top=3)
    assert "not known" in text
    assert "no interval on this text: third derivatives were not measured" in text
    assert "subsets by predicted" not in text
    table = forecast_table(forecast(third=False, route="differences"))
    for column in ("low", "high", "error_order", "low_text", "sd_predicted"):
        assert table[column].null_count() == table.height
    assert table["stderr_text"].null_count() == 0


def test_precision_needs_text_as_the_square_of_the_width():
    found = forecast()
    half = found.band.text_half[-1, -1]
    assert precision_problem(found, half * 1.001) is None
    words = precision_problem(found, half / 3)
    n_tokens = int(found.found.folds.n_tokens.sum())
    assert f"known to +- {half:.4f} on other text, from {n_tokens:,} scored tokens" in words
    assert "prepare 9.0 times as much text" in words
    one = precision_problem(forecast(folds=(1, 4)), 0.1)
    assert "a domain has one item" in one


def test_the_ranking_of_a_large_pool_has_the_best_of_its_subsets():
    found = forecast(polynomial(n=13, folds=(3, 3)))
    ranking = found.ranking()
    assert len(ranking.rows) == MOST_RANKED
    losses = [row.loss_predicted for row in ranking.rows]
    assert losses == sorted(losses)
    assert any("2,000 of 8,191 subsets are ranked" in note for note in ranking.notes)
    shares = np.eye(13)[0]
    worst = found.subsets.losses(shares[None].astype(bool))
    assert losses[0] < worst[-1, 0]


@pytest.mark.parametrize(("top", "shown"), [(1, 1), (5, 5), (99, 15)])
def test_as_many_subsets_are_shown_as_asked(top, shown):
    text = forecast_text(forecast(), top)
    table = text.split("by predicted macro loss")[1].split("\n  predicted")[0]
    assert len(table.strip().splitlines()) == shown + 3  # the headline's rest, caption, head
    assert f"the first {shown}:" in table
