"""What the searches for weights found, in sentences that take every number from the tables."""

from typing import Any

import polars as pl

from mergelaw.config import Study
from mergelaw.config.theory import Objective
from mergelaw.report import words
from mergelaw.report.captions.figure import WEIGHTS
from mergelaw.report.inputs import Tables, present, rows
from mergelaw.report.theory_choice import (
    BEST_SCALE,
    BEST_SUBSET,
    FULL_AVERAGE,
    NEWTON,
    searched,
    way_of,
    way_words,
)

NOTHING = "No weights were searched for."
CLEAR = 2.0
"""Standard errors from 0 at which a difference is told from it."""

BLIND = (
    "Newton's way takes curvature by Gauss-Newton products, which are never negative: where the "
    "loss bends down they do not see it; every step was accepted by its exact loss."
)
BREAKS = "breaks a limit"

Cell = dict[str, dict[str, Any]]
"""Rows of one size and objective by way."""


def cells(study: Study, frame: pl.DataFrame, objective: str) -> dict[str, Cell]:
    """Return the rows of an objective by size, then by way."""
    part = rows(frame, objective=objective)
    return {
        size: {row["way"]: row for row in rows(part, size=size).to_dicts()}
        for size in present(study.size_names, part, "size")
    }


def theory_weights(study: Study, tables: Tables) -> list[str]:
    """Set Newton's weights beside the other ways, size by size, on other text."""
    frame = tables[WEIGHTS]
    objectives = searched(study, rows(frame, way=NEWTON))
    if not objectives:
        return [NOTHING]
    found = {
        size: cell for size, cell in cells(study, frame, objectives[0]).items() if NEWTON in cell
    }
    result = [_tokens(frame, objectives[0])]
    result += [f"{size}: {_beside(cell)}." for size, cell in found.items()]
    result += [*_better(found), *_beyond(found), *_cost(found)]
    return [*result, BLIND, *_unconverged(found)]


def _tokens(frame: pl.DataFrame, objective: str) -> str:
    part = rows(frame, objective=objective)
    chosen, other = (
        words.span(part[name].to_list(), words.whole)
        for name in ("calibration_tokens", "heldout_tokens")
    )
    return (
        f"Weights for the objective {objective} were chosen on {chosen} scored tokens and are "
        f"judged on {other} others; neither is of the study's own evaluation text. Losses below "
        "are of this other text, in nats/token."
    )


def _beside(cell: Cell) -> str:
    """Return Newton's loss, its difference from the full average and from the simpler choices."""
    newton = cell[NEWTON]
    text = f"Newton's weights have {words.number(newton['heldout'])}"
    if FULL_AVERAGE in cell:
        change = newton["heldout"] - cell[FULL_AVERAGE]["heldout"]
        error = newton["heldout_stderr"]
        unclear = error is not None and abs(change) < CLEAR * error
        text += (
            f", the full average {words.number(cell[FULL_AVERAGE]['heldout'])} (difference "
            f"{words.with_error(change, error, 4)}"
            f"{', not told from 0 by this text' if unclear else ''})"
        )
    others = [
        f"the {way_words(way)} {words.number(cell[way]['heldout'])} "
        f"({_relative(newton['heldout'], cell[way]['heldout'])})"
        for way in (BEST_SCALE, BEST_SUBSET)
        if way in cell
    ]
    return f"{text}, {words.joined(others)}" if others else text


def _relative(loss: float, other: float) -> str:
    """Return how much lower a loss is than another, in percent of the other."""
    change = loss / other - 1
    kind = "lower" if change < 0 else "higher"
    return f"Newton's is {words.percent(abs(change), 2)} {kind}"


def _better(found: dict[str, Cell]) -> list[str]:
    """Name the ways that end below Newton's on other text, and where."""
    beaten = {
        way: [
            size
            for size, cell in found.items()
            if way in cell and cell[way]["heldout"] < cell[NEWTON]["heldout"]
        ]
        for way in dict.fromkeys(way for cell in found.values() for way in cell)
    }
    parts = [f"{way_words(way)} at {words.joined(sizes)}" for way, sizes in beaten.items() if sizes]
    if not parts:
        return ["On other text no other way ends lower than Newton's, at any size."]
    return [f"Lower than Newton's on other text: {'; '.join(parts)}."]


def _beyond(found: dict[str, Cell]) -> list[str]:
    """Name the ways that do not keep the objective's limits somewhere."""
    ways = [way for cell in found.values() for way, row in cell.items() if BREAKS in row["note"]]
    named = words.joined([way_words(way) for way in dict.fromkeys(ways)])
    return [f"Not within the limits that are set for Newton's: {named}."] if ways else []


def _cost(found: dict[str, Cell]) -> list[str]:
    """Give what each way cost, in forward passes over the text that weights were chosen on."""
    ways = dict.fromkeys(way for cell in found.values() for way in cell)
    parts = [
        f"{way_words(way)} {words.span(spent, words.whole)}"
        for way in ways
        if (spent := [cell[way]["forwards"] for cell in found.values() if way in cell])
    ]
    return [f"Cost in forward passes over that text, a gradient as 3: {', '.join(parts)}."]


def _unconverged(found: dict[str, Cell]) -> list[str]:
    lost = [size for size, cell in found.items() if cell[NEWTON]["converged"] is False]
    return [f"Newton's way stopped before it converged at {words.joined(lost)}."] if lost else []


def theory_objectives(study: Study, tables: Tables) -> list[str]:
    """Give, by objective, the gain where weights were chosen and on other text."""
    frame, result = tables[WEIGHTS], []
    for objective in searched(study, rows(frame, way=NEWTON)):
        found = cells(study, frame, objective)
        pairs = [
            (cell[NEWTON], cell[FULL_AVERAGE])
            for cell in found.values()
            if {NEWTON, FULL_AVERAGE} <= cell.keys()
        ]
        if not pairs:
            continue
        chosen, other = (
            words.span([full[name] - newton[name] for newton, full in pairs], words.small)
            for name in ("calibration", "heldout")
        )
        n_experts = words.span([newton["n_experts"] for newton, _ in pairs], words.whole)
        result.append(
            f"{objective} ({_described(study, objective)}): gains {chosen} nats/token on the text "
            f"it was chosen on and {other} on other text, over the sizes, with {n_experts} experts."
        )
    return result + _overfitted(study, frame) or [NOTHING]


def _described(study: Study, label: str) -> str:
    """Return what an objective asks for, in words."""
    asked = next(o for o in study.theory.objectives if o.label == label) if study.theory else None
    if asked is None:
        return label
    parts = [_target(asked)]
    parts += ["weights per group of layers"] if asked.groups == "layers" else []
    parts += ["weights that sum to 1"] if asked.sums_to_one else []
    parts += [f"at most {asked.max_experts} experts"] if asked.max_experts else []
    if asked.no_worse_than_base is not None:
        parts.append(f"no domain worse than the base by more than {asked.no_worse_than_base:g}")
    return ", ".join(parts)


def _target(asked: Objective) -> str:
    if asked.mixture is not None:
        return words.joined([f"{share:g} {name}" for name, share in asked.mixture.items()])
    return {"worst": "the worst domain"}.get(asked.target, asked.target)


def minimised(study: Study, label: str) -> str:
    """Return what an objective minimises, in words: `the macro loss`, `the loss of code`."""
    asked = next(o for o in study.theory.objectives if o.label == label) if study.theory else None
    if asked is None:
        return f"the loss of {label}"
    plain = asked.mixture is None and asked.target == "macro"
    return "the macro loss" if plain else f"the loss of {_target(asked)}"


def _overfitted(study: Study, frame: pl.DataFrame) -> list[str]:
    """Set searches per layer beside the first one: whether finer weights are worth it."""
    objectives = searched(study, rows(frame, way=NEWTON))
    asked = study.theory.objectives if study.theory else ()
    layered = {objective.label for objective in asked if objective.groups == "layers"}
    result = []
    for label in (name for name in objectives if name in layered and name != objectives[0]):
        one, many = (cells(study, frame, name) for name in (objectives[0], label))
        pairs = {
            size: (many[size][NEWTON], one[size][NEWTON])
            for size in many
            if NEWTON in many[size] and NEWTON in one.get(size, {})
        }
        chosen, other = (
            words.joined(
                [size for size, (fine, plain) in pairs.items() if fine[name] < plain[name]]
            )
            for name in ("calibration", "heldout")
        )
        result.append(
            f"Weights per group of layers ({label}) are better than one weight per expert "
            f"({objectives[0]}) on the text they were chosen on at {chosen or 'no size'}, on other "
            f"text at {other or 'no size'}."
        )
    return result


def theory_weights_found(study: Study, tables: Tables) -> list[str]:
    """Name, by objective, the experts with the largest and with negative weights."""
    frame = rows(tables[WEIGHTS], way=NEWTON)
    result = []
    for objective in searched(study, frame):
        found = [
            way_of(rows(frame, objective=objective, size=size), NEWTON)
            for size in present(study.size_names, rows(frame, objective=objective), "size")
        ]
        whole = [row for row in found if len(row["groups"]) == 1]
        if whole:
            sums = words.span([sum(row["weights"]) for row in whole], lambda x: words.number(x, 2))
            below = sum(weight < 0 for row in whole for weight in row["weights"])
            n_weights = sum(len(row["weights"]) for row in whole)
            result.append(
                f"{objective}: the weights sum to {sums} over the sizes; below 0 are "
                f"{words.share_of(below, n_weights, 'weight')}."
            )
    notes = [
        (row["note"], f"{row['objective']} {row['size']}")
        for row in frame.to_dicts()
        if row["note"]
    ]
    return result + [
        f"Note of the searches {words.joined(about)}: {note}."
        for note, about in words.grouped_notes(notes)
    ] or [NOTHING]
