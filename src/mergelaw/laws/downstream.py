"""Downstream scores of subsets: orientation per metric, repeated metrics dropped, means by k."""

from collections.abc import Collection, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
import polars as pl

from mergelaw.errors import TableError, listing
from mergelaw.laws.forms import Array

MEAN = "mean"
"""The `metric` of rows about the mean over metrics."""

BASE = "base"
"""The subset without experts."""

RESERVED = ("subset", "experts", "k", MEAN)
"""Names that no metric can have."""

COARSEST = 0.002
"""Metrics are compared at their own rounding, but never more coarsely than this."""


class Metric(NamedTuple):
    """A column of scores; `repeats` is the metric kept in its place, if there is one."""

    name: str
    higher_is_better: bool
    repeats: str | None = None

    @property
    def kept(self) -> bool:
        """Whether it enters the mean."""
        return self.repeats is None

    def oriented(self, values: Array) -> Array:
        """Return scores of which larger is better: 1 - value where lower is better."""
        return values if self.higher_is_better else 1 - values


def subset_scores(
    frame: pl.DataFrame, origin: str, subset: str, only: Sequence[str] | None = None
) -> pl.DataFrame:
    """Return checked scores with the columns `subset`, `experts`, `k` and the metrics.

    Parameters
    ----------
    frame : polars.DataFrame
        A row per subset. Experts are joined by '+', or by '-' where no '+' is in the column;
        `base` is k = 0.
    origin : str
        What errors call the frame.
    subset : str
        The column that names subsets.
    only : sequence of str, optional
        The metrics; every other column by default.

    Raises
    ------
    TableError
        With all problems: columns that are not there, cells that are no numbers in 0..1, a
        subset that occurs twice, an expert named twice or not at all.
    """
    names = [name for name in frame.columns if name != subset] if only is None else list(only)
    absent = [name for name in (subset, *names) if name not in frame.columns]
    problems = [
        f"has no column {name!r}; one of {', '.join(frame.columns)} (the subsets' is named by "
        "--subset, metrics by --metric)"
        for name in absent
    ]
    problems += [
        f"column {name!r}: has a name that means something else here; rename it, or name the "
        "metrics with --metric"
        for name in names
        if name in RESERVED
    ]
    if not problems and (frame.is_empty() or not names):
        problems = ["has no row" if names else "has no metric: a column beside the subsets'"]
    if problems:
        raise TableError(listing(origin, problems))
    labels = ["" if label is None else str(label).strip() for label in frame[subset]]
    experts = _experts(labels)
    columns = {name: frame[name].cast(pl.Float64, strict=False) for name in names}
    problems = _wrong_subsets(labels, experts, subset)
    problems += [
        text for name in names for text in _wrong_cells(labels, frame[name], columns[name])
    ]
    if problems:
        raise TableError(listing(origin, problems))
    known = {"subset": labels, "experts": experts, "k": [len(members) for members in experts]}
    return pl.DataFrame({**known, **columns})


def _experts(labels: Sequence[str]) -> list[list[str]]:
    joint = "+" if any("+" in label for label in labels) else "-"
    return [[] if label == BASE else sorted(label.split(joint)) for label in labels]


def _wrong_subsets(labels: Sequence[str], experts: list[list[str]], column: str) -> list[str]:
    problems: list[str] = []
    first: dict[tuple[str, ...], int] = {}
    for row, (label, members) in enumerate(zip(labels, experts, strict=True), start=1):
        where = f"row {row}, {column} = {label!r}"
        if not all(members):
            problems.append(f"{where}: an expert has no name; write names joined by '+' or '-'")
        elif len(set(members)) < len(members):
            problems.append(f"{where}: an expert is named twice; each can be merged once")
        elif first.setdefault(tuple(members), row) != row:
            problems.append(
                f"{where}: the same subset as row {first[tuple(members)]}; keep one row of each"
            )
    return problems


def _wrong_cells(labels: Sequence[str], given: pl.Series, values: pl.Series) -> list[str]:
    """Return what is wrong with a metric, by row."""
    problems = []
    for row, (label, cell, value) in enumerate(zip(labels, given, values, strict=True), start=1):
        where = f"row {row} ({label}), {given.name} = {cell!r}"
        if value is None or not np.isfinite(value):
            problems.append(f"{where}: is not a number; fill it in, or name the metrics (--metric)")
        elif not 0 <= value <= 1:
            problems.append(
                f"{where}: lies outside 0..1; give shares (percent / 100), or name the metrics "
                "that are shares with --metric"
            )
    return problems


def metrics_of(scores: pl.DataFrame, lower: Collection[str], origin: str) -> list[Metric]:
    """Return the metrics of a table of `subset_scores`, with those that repeat another one.

    Two metrics are one where, in every row, a = b or a + b = 1 within their rounding: the later
    one is dropped.

    Parameters
    ----------
    lower : collection of str
        Metrics of which lower is better; higher is assumed of the others.

    Raises
    ------
    TableError
        If `lower` names no metric, or a pair's orientations contradict each other; all are
        listed.
    """
    names = scores.columns[3:]
    problems = [
        f"--lower {name}: no such metric; one of {', '.join(names)}"
        for name in lower
        if name not in names
    ]
    repeats: dict[str, str] = {}
    for first, second in combinations(names, 2):
        if first in repeats or second in repeats:
            continue
        relation = _relation(scores[first].to_numpy(), scores[second].to_numpy())
        opposed = (first in lower) != (second in lower)
        if relation is None:
            continue
        repeats[second] = first
        if relation == "complements" and not opposed:
            problems.append(
                f"{first} + {second} = 1 in every row: higher cannot be better (or worse) of both; "
                "name one of them with --lower"
            )
        elif relation == "equal" and opposed:
            problems.append(
                f"{first} = {second} in every row: lower cannot be better of one of them only; "
                "name both with --lower, or neither"
            )
    if problems:
        raise TableError(listing(origin, problems))
    return [Metric(name, name not in lower, repeats.get(name)) for name in names]


def _relation(first: Array, second: Array) -> str | None:
    """Return "equal" (a = b), "complements" (a + b = 1) or None; a constant is related to none."""
    tolerance = min(COARSEST, (_unit(first) + _unit(second)) / 2) + 1e-9
    if min(np.ptp(first), np.ptp(second)) <= 10 * tolerance:
        return None
    if np.all(np.abs(first - second) <= tolerance):
        return "equal"
    if np.all(np.abs(first + second - 1) <= tolerance):
        return "complements"
    return None


def _unit(values: Array) -> float:
    """Return the unit of the last digit that the values have, at least 1e-9."""
    digits = (d for d in range(9) if np.allclose(values, np.round(values, d), rtol=0, atol=1e-11))
    return float(10.0 ** -next(digits, 9))


def subset_means(scores: pl.DataFrame, metrics: Sequence[Metric]) -> Array:
    """Return the mean of the kept metrics, oriented, of each row of `subset_scores`."""
    kept = [metric.oriented(scores[metric.name].to_numpy()) for metric in metrics if metric.kept]
    return np.asarray(np.mean(kept, axis=0))


def means_by_k(scores: pl.DataFrame, metrics: Sequence[Metric]) -> pl.DataFrame:
    """Return each metric's mean over the subsets of every k, and the mean over metrics.

    Columns `metric`, `higher_is_better`, `kept`, `k`, `n_subsets`, `value` (as reported) and
    `oriented` (larger is better). In the rows of `MEAN`, `oriented` is the mean of the oriented
    metrics that are kept, and `value` the plain mean of all columns, repeated and opposed ones
    too: what a table without orientation gives.
    """
    given = [(metric, scores[metric.name].to_numpy()) for metric in metrics]
    parts = [(metric, values, metric.oriented(values)) for metric, values in given]
    plain = np.mean([values for _, values in given], axis=0)
    parts.append((Metric(MEAN, higher_is_better=True), plain, subset_means(scores, metrics)))
    frames = [
        scores.select("k", value=pl.Series(values), oriented=pl.Series(oriented))
        .group_by("k")
        .agg(
            n_subsets=pl.len().cast(pl.Int64), value=pl.mean("value"), oriented=pl.mean("oriented")
        )
        .sort("k")
        .select(
            pl.lit(metric.name).alias("metric"),
            pl.lit(metric.higher_is_better).alias("higher_is_better"),
            pl.lit(metric.kept).alias("kept"),
            *("k", "n_subsets", "value", "oriented"),
        )
        for metric, values, oriented in parts
    ]
    return pl.concat(frames)
