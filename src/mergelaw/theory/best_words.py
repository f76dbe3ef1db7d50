"""The result of a search for weights as text: a table, and what a reader must know of it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mergelaw.theory.comparison import BREAKS
from mergelaw.theory.search_words import TOLD, enough
from mergelaw.theory.ways import NEWTON, WAY_TITLES

Row = Mapping[str, Any]

MOST_SHOWN = 12
"""Weights that a line of the table shows."""

BLIND = (
    "note: curvature by Gauss-Newton products is never negative: where the loss bends down they do "
    "not see it (--route hvp does), and every step was accepted by its exact loss"
)


def best_text(rows: Sequence[Row], route: str, notes: Sequence[str]) -> str:
    """Return a table of ways and the sentences below it: the gain on held-out text first.

    Parameters
    ----------
    rows : sequence of mapping
        Columns of `mergelaw.laws.schemas.theory.WEIGHTS` but for the size, and `seconds`; the
        search first.
    route : str
        How curvature was measured.
    notes : sequence of str
        What was measured otherwise than asked.
    """
    told = [*_sentences(rows), *_notes(rows)]
    told += [BLIND] * (route == "gauss_newton") + [f"note: {note}" for note in notes]
    return "\n".join([*_table(rows), "", *told]) + "\n"


def _table(rows: Sequence[Row]) -> Iterator[str]:
    yield f"{'way':30}{'calibration':>12}{'held-out':>10}{'+-':>8}{'cost':>6}{'s':>7}  weights"
    for row in rows:
        error = row["heldout_stderr"]
        told = "" if error is None else f"{error:.4f}"
        yield (
            f"{_title(row):30}{row['calibration']:12.4f}{row['heldout']:10.4f}{told:>8}"
            f"{row['forwards']:6.0f}{row['seconds']:7.1f}  {_weights(row)}"
        )


def _title(row: Row) -> str:
    title = WAY_TITLES[row["way"]]
    if row["way"] == NEWTON and row["objective"] == "model":
        return f"{title}, without layers"
    return title


def _weights(row: Row) -> str:
    """Return the weights by expert; with groups of layers their means."""
    n, n_groups = len(row["experts"]), len(row["groups"])
    means = [sum(row["weights"][i::n]) / n_groups for i in range(n)]
    used = [(name, w) for name, w in zip(row["experts"], means, strict=True) if w]
    shown = " ".join(f"{name}={weight:.2f}" for name, weight in used[:MOST_SHOWN])
    more = f" and {len(used) - MOST_SHOWN} more" if len(used) > MOST_SHOWN else ""
    return f"{shown}{more}{' (means over layers)' if n_groups > 1 else ''}"


def _sentences(rows: Sequence[Row]) -> Iterator[str]:
    first = rows[0]
    average = next(row for row in rows if row["way"] == "full_average")
    yield _gain(first, average)
    yield (
        f"losses in nats per token, on {first['calibration_tokens']:,} tokens for calibration and "
        f"{first['heldout_tokens']:,} held out; +- is the standard error of the difference from "
        "the full average; cost in forward passes over the calibration text, a gradient as 3; s: "
        "seconds, as if each way were alone"
    )
    for row in rows[1:]:
        if row["way"] == NEWTON:
            yield (
                f"weights by layer gain {average['calibration'] - first['calibration']:.4f} where "
                f"they were chosen and {average['heldout'] - first['heldout']:.4f} on held-out "
                f"text; one weight per expert {average['calibration'] - row['calibration']:.4f} "
                f"and {average['heldout'] - row['heldout']:.4f}"
            )


def _notes(rows: Sequence[Row]) -> Iterator[str]:
    """Yield the search's notes, and which limits the other ways break."""
    first = rows[0]
    yield from (f"note: {note}" for note in first["note"].split("; ") if note)
    if not first["converged"]:
        yield "note: the search ended at the most steps that it may take"
    broken: dict[str, list[str]] = {}
    for row in rows[1:]:
        for note in row["note"].split("; "):
            if note.startswith(BREAKS):
                broken.setdefault(note.removeprefix(BREAKS), []).append(_title(row))
    for limit, titles in broken.items():
        yield f"note: not within the limits ({limit}): {'; '.join(titles)}"


def _gain(first: Row, average: Row) -> str:
    gain, error = average["heldout"] - first["heldout"], first["heldout_stderr"]
    if error is None:
        unknown = (
            "its error is not known, as some domain has one item held out: give more text, two "
            "items at least of every domain"
        )
        return f"gain over the full average on held-out text: {gain:.4f}, {unknown}{_worse(gain)}"
    told = f"gain over the full average on held-out text: {gain:.4f} +- {error:.4f}"
    if abs(gain) > TOLD * error:
        return f"{told}{_worse(gain)}"
    more = enough(gain, error, first["heldout_tokens"]) or ": give more text"
    return f"{told}, not told from 0 by this text{more}"


def _worse(gain: float) -> str:
    return "; these weights are worse there than the full average" if gain < 0 else ""
