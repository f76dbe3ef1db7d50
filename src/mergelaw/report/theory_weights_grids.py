"""The theory page's tables of numbers: the searches for weights."""

from typing import Any

from mergelaw.config import Study
from mergelaw.report import words
from mergelaw.report.captions.figure import WEIGHTS
from mergelaw.report.grids import Grid
from mergelaw.report.inputs import Tables
from mergelaw.report.theory_choice import BEST_SCALE, FULL_AVERAGE, NEWTON, searched, way_words
from mergelaw.report.theory_weights_words import cells


def weights(study: Study, tables: Tables) -> Grid:
    """Tabulate every way of finding weights for the first objective, by size."""
    objectives = searched(study, tables[WEIGHTS])
    found = cells(study, tables[WEIGHTS], objectives[0]) if objectives else {}
    body = [
        [size, way_words(way), *_way(row, cell.get(FULL_AVERAGE))]
        for size, cell in found.items()
        for way, row in cell.items()
    ]
    return Grid(
        "Ways of finding weights for the first objective. Losses in nats/token; difference: from "
        "the full average on other text ± standard error over items. Cost: forward passes over the "
        "text that weights were chosen on, a gradient as 3, a direction of curvature as 1.",
        (
            *("size", "way", "chosen on", "other text", "difference", "experts"),
            *("forwards", "losses", "gradients", "directions"),
        ),
        body,
        2,
    )


def objectives(study: Study, tables: Tables) -> Grid:
    """Tabulate Newton's way for every objective, by size."""
    body = []
    for label in searched(study, tables[WEIGHTS]):
        for size, cell in cells(study, tables[WEIGHTS], label).items():
            body += [
                [label, size, way_words(way), *_way(row, cell.get(FULL_AVERAGE))]
                for way, row in cell.items()
                if way in (BEST_SCALE, NEWTON)
            ]
    return Grid(
        "Newton's way and the best scale for every objective; columns as above, losses of the "
        "objective.",
        (
            *("objective", "size", "way", "chosen on", "other text", "difference", "experts"),
            *("forwards", "losses", "gradients", "directions"),
        ),
        body,
        3,
    )


def _way(row: dict[str, Any], full: dict[str, Any] | None) -> list[str]:
    change = row["heldout"] - full["heldout"] if full else None
    own = row["way"] == FULL_AVERAGE
    return [
        words.number(row["calibration"], 4),
        words.number(row["heldout"], 4),
        words.MISSING if own else words.with_error(change, row["heldout_stderr"], 4),
        *(words.whole(row[name]) for name in ("n_experts", "forwards")),
        *(words.whole(row[name]) for name in ("n_losses", "n_gradients", "n_products")),
    ]
