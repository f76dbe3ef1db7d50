"""What to measure next: the variance it tells, the subsets it names, and that its advice pays."""

import json
import sys
from dataclasses import replace
from itertools import combinations
from math import comb

import numpy as np
import polars as pl
import pytest

from mergelaw import fit_law
from mergelaw.cli import _status
from mergelaw.design import Subset, two_design
from mergelaw.errors import TableError
from mergelaw.laws.schemas import CURVES
from mergelaw.paths import StudyPaths
from mergelaw.planning.law_file import Costs
from mergelaw.planning.next_answer import what_next
from mergelaw.planning.next_points import candidates, sampling_error, spreads, stderr, target_of
from mergelaw.planning.next_states import known_points, known_study
from mergelaw.planning.next_subsets import BatchSize, next_subsets
from mergelaw.planning.next_words import next_text
from mergelaw.tables import LOSSES, LOSSES_KEY, write_table
from tests.laws.conftest import losses_of, study_of
from tests.laws.curve_points import curve

POOL = 9
SPREAD = spreads({1: 0.15}, POOL)


def known_of(counts, misfit=None, pool=POOL, offset=0.3):
    points = {k: 1.5 + 0.8 / (k + offset) for k in counts}
    errors = {k: sampling_error(SPREAD[k], n, comb(pool, k)) for k, n in counts.items()}
    law = fit_law(points, pool, errors=errors, n_subsets=counts, method="average", misfit=misfit)
    return known_points(law, {1: 0.15})


def test_the_sampling_error_is_cochrans():
    assert sampling_error(0.1, 12, 36) == pytest.approx(0.1 * np.sqrt(1 / 12 - 1 / 36))
    assert sampling_error(None, 36, 36) == 0
    assert sampling_error(None, 12, 36) is None


def test_spreads_between_follow_the_finite_pool():
    assert SPREAD[1] == 0.15
    assert SPREAD[3] == pytest.approx(0.15 * np.sqrt((1 / 3 - 1 / 9) / (1 - 1 / 9)))
    assert SPREAD[9] == 0
    assert spreads({}, 3) == {1: None, 2: None, 3: None}


def test_more_subsets_never_tell_less_and_the_pool_itself_tells_all():
    state = known_of({1: 9, 2: 12, 4: 12}).state
    target = target_of("pool-loss", state.curve, POOL)
    before = stderr(state, target, state.errors)
    for item in candidates(state, target, BatchSize(POOL, 12), 1.0):
        assert item.after <= before * (1 + 1e-9)
    whole = stderr(state, target, {**state.errors, 9: 0.0})
    assert whole == pytest.approx(0, abs=1e-5)


def test_the_variance_is_that_of_least_squares_where_the_law_is_true():
    known = known_of({1: 6, 2: 6, 4: 6, 6: 6}, misfit=0)
    state = known.state._replace(sigma=0.0)
    target = target_of("loss:8", state.curve, POOL)
    ks = np.array([1.0, 2.0, 4.0, 6.0])
    slopes = state.curve._replace(case="free_offset").slopes(ks)
    weight = np.diag([1 / state.errors[int(k)] ** 2 for k in ks])
    prior = np.diag([0, 0, 1.0])  # the offset's own
    there = state.curve._replace(case="free_offset").slopes(np.array([8.0]))
    expected = there @ np.linalg.inv(slopes.T @ weight @ slopes + prior) @ there.T
    assert stderr(state, target, state.errors) == pytest.approx(np.sqrt(expected[0, 0]), rel=1e-3)


def test_a_return_is_known_as_draws_of_the_curve_say():
    state = known_of({1: 6, 2: 6, 4: 6, 6: 6}).state
    target = target_of("k90", state.curve, POOL)
    k = target.at[1]
    share = (state.curve.loss(np.array([1.0])) - state.curve.loss(np.array([k]))) / (
        state.curve.loss(np.array([1.0])) - state.curve.loss(np.array([9.0]))
    )
    assert share[0] == pytest.approx(0.9)
    moved = 1e-4  # a lower loss at the pool makes the fall larger: more experts are needed
    losses = state.curve.loss(np.arange(1, 10))
    slope = (losses[0] - (losses[8] - moved)) * 0.9
    at = np.linspace(k - 1, k + 1, 200_001)
    needed = at[np.argmax(losses[0] - state.curve.loss(at) >= slope)]
    assert -target.weights[2] * moved == pytest.approx(needed - k, abs=2e-4)


@pytest.mark.parametrize("text", ["floors", "loss:0", "loss:10", "loss:x", "k50", ""])
def test_other_quantities_are_none(text):
    assert target_of(text, known_of({1: 9, 2: 12, 4: 12}).state.curve, POOL) is None


def test_a_first_batch_is_a_whole_design_and_later_ones_see_the_rarest_pairs():
    names = [f"e{i}" for i in range(9)]
    first = next_subsets(names, 3, BatchSize(9, 12)(3, 84), ())
    assert len(first) == 12
    counts = [sum(set(pair) <= set(s.experts) for s in first) for pair in combinations(names, 2)]
    assert set(counts) == {1}
    lines = two_design(names, 3)
    rest = next_subsets(names, 3, 3, lines[:9])
    assert not {*rest} & {*lines[:9]}
    unseen = [
        p for p in combinations(names, 2) if not any(set(p) <= set(s.experts) for s in lines[:9])
    ]
    met = [p for p in unseen if any(set(p) <= set(s.experts) for s in rest)]
    assert len(met) >= 7  # the three lines left have nine
    assert next_subsets(names, 9, 1, ()) == (Subset(tuple(names)),)


def test_following_the_advice_shrinks_the_variance_more_per_merge_than_even_choice():
    start = {1: 3, 2: 3, 4: 3}
    target = target_of("floor", known_of(start).state.curve, POOL)
    advised, spent = known_of(start).state, 0
    while spent < 40:
        best = candidates(advised, target, BatchSize(POOL, 6), 1.0)[0]
        counts = {**advised.n_subsets, best.k: advised.n_subsets.get(best.k, 0) + best.n_new}
        error = sampling_error(SPREAD[best.k], counts[best.k], comb(POOL, best.k))
        errors = {**advised.errors, best.k: error}
        advised = advised._replace(n_subsets=counts, errors=errors)
        spent += best.n_new
    even = {k: min(comb(POOL, k), start.get(k, 0) + spent // 9 + 1) for k in range(1, 10)}
    uniform = {k: sampling_error(SPREAD[k], n, comb(POOL, k)) for k, n in even.items()}
    told = [stderr(advised, target, errors) for errors in (advised.errors, uniform)]
    assert told[0] < 0.95 * told[1]
    seen = [_scatter_of_floor(errors) for errors in (advised.errors, uniform)]
    assert seen[0] < 0.95 * seen[1]


def _scatter_of_floor(errors):
    """Return how far forecast floors of made-up measurements lie from the truth."""
    random = np.random.default_rng(11)
    ks = np.array(sorted(errors), float)
    known = np.array([errors[int(k)] for k in ks])
    weight = 1 / np.hypot(known, 0.002)
    found = []
    for _ in range(300):
        losses = 1.5 + 0.8 / (ks + 0.3) + random.normal(size=len(ks)) * known
        grid = np.linspace(0, 3, 61)
        fits = [
            np.linalg.lstsq(np.stack([weight, weight / (ks + b)], 1), losses * weight) for b in grid
        ]
        found.append(fits[int(np.argmin([fit[1][0] for fit in fits]))][0][0])
    return float(np.sqrt(np.mean((np.array(found) - 1.5) ** 2)))


def test_costs_decide_between_sizes():
    cheap, dear = known_of({1: 9, 2: 12, 4: 12}), known_of({1: 9, 2: 12, 4: 12})
    costs = [Costs(device="cpu", source="measured", merge=m, evaluate=0.0) for m in (1.0, 10.0)]
    both = [replace(cheap, size="s", costs=costs[0]), replace(dear, size="l", costs=costs[1])]
    answer = what_next(both, "pool-loss", "average", 2, 0.01)
    assert answer.suggestions[0].size == "s"
    assert answer.suggestions[0].batch.cost == 1.0
    assert answer.cost_unit == "device-hours"


def test_pointless_where_all_is_measured():
    every = {k: comb(POOL, k) for k in range(1, 10)}
    answer = what_next([known_of(every)], "pool-loss", "average", 3, 0.01)
    assert answer.pointless
    assert answer.suggestions == ()
    assert "every subset is measured" in next_text(answer)


def test_what_is_measured_exactly_is_known_and_nothing_is_suggested_for_it():
    answer = what_next([known_of({1: 9, 2: 12, 4: 126})], "loss:4", "average", 3, 0.01)
    assert answer.now[""][1] == 0
    assert answer.pointless
    assert answer.suggestions == ()
    assert "L(M), the loss of the whole pool: " in next_text(
        what_next([known_of({1: 9, 2: 12, 4: 12, 9: 1})], "pool-loss", "average", 3, 0.01)
    )


@pytest.mark.parametrize(
    ("errors", "counts", "sds"),
    [
        ({1: 0.0, 3: 0.003, 6: 0.0015}, {1: 9, 3: 12, 6: 12}, {3: 0.08, 6: 0.04}),
        ({1: 0.001, 3: 0.001, 6: 0.001}, None, {3: 0.03}),
        ({1: 0.01, 3: 0.01, 6: 0.01}, None, {}),
    ],
)
def test_measuring_more_is_never_told_to_make_things_worse(errors, counts, sds):
    points = {k: 1.5 + 0.8 / (k + 0.3) for k in errors}
    known = known_points(fit_law(points, POOL, errors=errors, n_subsets=counts), sds)
    for quantity in ("floor", "loss:3", "k90"):
        target = target_of(quantity, known.state.curve, POOL)
        found = candidates(known.state, target, BatchSize(POOL, 12), 1.0)
        assert min(item.shrinks for item in found) > -1e-6
        answer = what_next([known], quantity, "average", 9, 0.01)
        assert all(item.batch.shrinks >= 0.05 for item in answer.suggestions)
    assert next(c for c in candidates(known.state, target, BatchSize(POOL, 12), 1.0) if c.k == 3)


def test_subsets_that_nothing_counts_are_told_from_error_and_spread():
    points = {k: 1.5 + 0.8 / (k + 0.3) for k in (1, 2, 4)}
    errors = {k: sampling_error(SPREAD[k], 6, comb(POOL, k)) for k in points}
    known = known_points(fit_law(points, POOL, errors=errors), {1: 0.15})
    assert dict(known.state.n_subsets) == {1: 6, 2: 6, 4: 6}
    assert "not counted" in known.notes[0]


def test_points_without_a_law_are_planned_for_and_have_no_value():
    law = fit_law({1: 2.0, 2: 1.9, 4: 1.7}, POOL, errors=dict.fromkeys((1, 2, 4), 0.01))
    answer = what_next([known_points(law, {1: 0.1})], "floor", "average", 2, 0.01)
    assert answer.now[""][0] is None
    assert answer.suggestions[0].batch.k > 4
    assert answer.stops[""] is None
    assert "not identified" in next_text(answer)


@pytest.fixture
def measured(tmp_path, monkeypatch):
    """A study of six experts at two sizes, k = 1, 2, 3 measured and all of it quadratic."""
    monkeypatch.chdir(tmp_path)
    study = study_of(n_experts=6, sizes=("s0", "s1"))
    paths = StudyPaths(tmp_path / "results")
    losses = losses_of(study, _item_losses, ks=(0, 1, 2, 3))
    parts = [
        curve(
            {k: 1.5 + 0.6 / (k + 0.2) + s for k in (1, 2, 3)}, size=f"s{s}", domain="macro",
            sd={1: 0.1, 2: 0.05, 3: 0.03}, pool=6,
        )
        for s in (0, 1)
    ]  # fmt: skip
    write_table(paths.losses, losses, LOSSES, LOSSES_KEY, {})
    write_table(
        paths.laws / CURVES.file, CURVES.of(pl.concat(parts)), CURVES.schema, CURVES.key, {}
    )
    return study, paths


def _item_losses(s, method, subset, d, seed):
    return [1.0 + 1 / (1 + len(subset))] * 2


def test_a_study_tells_what_it_has_and_names_what_it_has_not(measured):
    study, paths = measured
    known = known_study(study, paths, "average", "macro", study.size_names)
    assert [one.size for one in known] == ["s0", "s1"]
    assert len(known[0].done[2]) == 15
    answer = what_next(known, "pool-loss", "average", 2, 0.01)
    assert answer.suggestions[0].batch.k == 6
    assert answer.suggestions[0].subsets == ("e0+e1+e2+e3+e4+e5",)


@pytest.fixture
def call(monkeypatch, capsys):
    """Return a function that runs a command and returns its exit code, output and errors."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["mergelaw", "next", *map(str, words)])
        capsys.readouterr()
        status = _status()
        streams = capsys.readouterr()
        return status, streams.out, streams.err

    return run


POINTS = ["--points", "1=2.267,2=1.899,4=1.710", "--pool", 9]


def test_the_command_ranks_in_words_and_json(call):
    words = [*POINTS, "--subsets", "1=9,2=12,4=12", "--errors", "1=0,2=0.01,4=0.008"]
    status, out, _ = call(*words)
    assert status == 0
    assert "1+2+3+4+5+6+7+8+9" in out
    status, out, _ = call(*words, "--json", "--quantity", "k90", "--top", 4)
    facts = json.loads(out)
    assert facts["unit"] == "experts"
    assert len(facts["measure"]) == 4
    worths = [(m["before"] ** 2 - m["after"] ** 2) / m["cost"] for m in facts["measure"]]
    assert worths == sorted(worths, reverse=True)


def test_spreads_stand_for_errors(call):
    given = call(*POINTS, "--subsets", "1=9,2=12,4=12", "--sd", "2=0.04", "--json")
    assert given[0] == 0
    assert json.loads(given[1])["now"][0]["stderr"] > 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (POINTS, "errors of k = 1, 2, 4 are not known"),
        (
            [*POINTS, "--errors", "1=0.1,2=0.1,4=0.1", "--quantity", "best"],
            "must be one of pool-loss",
        ),
        ([*POINTS, "--sd", "9=0.1"], "--sd: k = 9"),
        ([*POINTS, "--cost-per-merge", 0], "--cost-per-merge 0: must be a finite number above 0"),
        (["--pool", 9], "give --points"),
        (["--config", "none.yaml"], "none.yaml"),
    ],
)
def test_mistakes_end_in_words(call, words, told):
    status, _, error = call(*words)
    assert status == 1
    assert told in error
    assert "Traceback" not in error


def test_all_mistakes_are_told_at_once(call):
    wrong = ["--errors", "1=-1", "--sd", "2=-1", "--quantity", "loss:x", "--cost-per-merge", -1]
    status, _, error = call(*POINTS, *wrong, "--eps", 0, "--out", "/nowhere/x.json")
    assert status == 1
    for told in ("--eps 0", "--cost-per-merge -1", "--quantity 'loss:x'", "--sd: k = 2", "has -1",
                 "--out /nowhere/x.json: the folder /nowhere is not there"):  # fmt: skip
        assert told in error


def test_a_study_without_results_says_how_to_make_them(measured):
    study, paths = measured
    paths.losses.unlink()
    with pytest.raises(TableError, match="run it first"):
        known_study(study, paths, "average", "macro", study.size_names)
