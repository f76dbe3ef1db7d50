"""What the paper's own numbers say, in sentences that take every number from the tables."""

import polars as pl

from mergelaw.config import Study
from mergelaw.laws.schemas import MACRO
from mergelaw.laws.schemas.published import (
    PUBLISHED_CHECKS,
    PUBLISHED_CURVES,
    PUBLISHED_DOWNSTREAM,
    PUBLISHED_FITS,
    PUBLISHED_LAWS,
)
from mergelaw.report import words
from mergelaw.report.grids import Grid
from mergelaw.report.inputs import Tables, rows

NOTHING = ["The table of published numbers is empty."]


def published_laws(study: Study, tables: Tables) -> list[str]:
    """Give the ends of the printed macro laws and the k that they need, by method."""
    frame = rows(tables[PUBLISHED_LAWS.file], domain=MACRO)
    result = []
    for method in frame["method"].unique(maintain_order=True):
        part = rows(frame, method=method)
        sizes = sorted(set(part["n_params_billions"].to_list()))
        falls = []
        for n in dict.fromkeys((sizes[0], sizes[-1])):
            curve = part.filter(pl.col("n_params_billions") == n)
            falls.append(
                f"at {n:g}B from {words.number(curve['loss'][0])} at k = {curve['k'][0]} to "
                f"{words.number(curve['loss'][-1])} at k = {curve['k'][-1]}"
            )
        near, k90 = (
            words.span(part[name].to_list(), words.whole) for name in ("k_near_floor", "k90")
        )
        result.append(
            f"{method}: the macro loss goes {words.joined(falls)}; 90% of the fall from one to all "
            f"takes {k90} experts, 0.01 nats/token from the floor {near} (over the sizes)."
        )
    return result or NOTHING


def published_curves(study: Study, tables: Tables) -> list[str]:
    """Say how the free offset changes the fits of printed curves."""
    frame = tables[PUBLISHED_FITS.file]
    if tables[PUBLISHED_CURVES.file].is_empty() or frame.is_empty():
        return NOTHING
    result = []
    for source, series, name in _fits(frame):
        part = rows(frame, source=source, series=series, fit=name)
        offset = rows(part, parameter="offset").to_dicts()
        if not offset or offset[0]["r2"] is None:
            continue
        bound = " (at its bound)" if offset[0]["at_bound"] else ""
        result.append(
            f"{source}, {series}, {name}: offset {words.number(offset[0]['value'])}{bound}, R² "
            f"{words.number(offset[0]['r2'], 4)}."
        )
    return result


def _fits(frame: pl.DataFrame) -> list[tuple[str, str, str]]:
    return frame.select("source", "series", "fit").unique(maintain_order=True).rows()


def fits_grid(study: Study, tables: Tables) -> Grid:
    """Tabulate printed and new fits of the printed curves."""
    frame, body = tables[PUBLISHED_FITS.file], []
    for source, series, name in _fits(frame):
        part = rows(frame, source=source, series=series, fit=name)
        values = {row["parameter"]: row for row in part.to_dicts()}
        cells = [
            words.MISSING
            if (row := values.get(parameter)) is None
            else f"{words.number(row['value'], 4)}{'*' if row['at_bound'] else ''}"
            for parameter in ("floor", "tail", "offset")
        ]
        body.append([source, series, name, *cells, words.number(part["r2"][0], 4)])
    return Grid(
        "floor + tail/(k + offset) of the paper's curves (* at a bound). Table 24 prints other "
        "offsets for the curves of Table 23.",
        ("table", "curve", "fit", "floor", "tail", "offset", "R²"),
        body,
        3,
    )


def published_downstream(study: Study, tables: Tables) -> list[str]:
    """Compare the plain mean with the oriented one, and name metrics that get worse with k."""
    frame = tables[PUBLISHED_DOWNSTREAM.file]
    if frame.is_empty():
        return NOTHING
    result = []
    for series in frame["series"].unique(maintain_order=True):
        part = rows(frame, series=series)
        mean = rows(part, metric="mean")
        ends = [
            f"{label} from {words.number(mean[column][0])} to {words.number(mean[column][-1])}"
            for label, column in (
                ("the plain mean of all columns goes", "value"),
                ("the mean of metrics with one orientation and none repeated", "oriented"),
            )
        ]
        result.append(f"{series}, k = {mean['k'][0]} to {mean['k'][-1]}: {words.joined(ends)}.")
        dropped = part.filter(~pl.col("kept"))["metric"].unique(maintain_order=True).to_list()
        if dropped:
            result.append(f"Left out, as they repeat another metric: {words.joined(dropped)}.")
        worse = _worse(part)
        if worse:
            result.append(f"Worse with all experts than with one: {words.joined(worse)}.")
    return result


def _worse(part: pl.DataFrame) -> list[str]:
    """Return the kept metrics whose oriented score is lower at the last k than at the first."""
    kept = part.filter(pl.col("kept") & (pl.col("metric") != "mean"))
    return [
        f"{name} ({words.number(curve['oriented'][0])} to {words.number(curve['oriented'][-1])})"
        for name in kept["metric"].unique(maintain_order=True)
        if (curve := rows(kept, metric=name))["oriented"][-1] < curve["oriented"][0]
    ]


def published_checks(study: Study, tables: Tables) -> list[str]:
    """Count the claims that other printed numbers give."""
    frame = tables[PUBLISHED_CHECKS.file]
    if frame.is_empty():
        return NOTHING
    agree = frame.filter("agrees").height
    return [
        f"{words.plural(frame.height, 'check')}: the printed number follows from other printed "
        f"numbers in {agree}, and does not in {frame.height - agree}.",
        "A number that does not follow may be a matter of rounding in between, of another reading "
        "of the text (some claims are tried in two), or an error; the remark says what it was "
        "computed from.",
    ]


def _digits(value: float) -> str:
    text = f"{value:,.0f}" if abs(value) >= 1e4 else f"{value:.4g}"
    return words.number(value, 3) if "e" in text else text.replace("-", "−")


def checks_grid(study: Study, tables: Tables) -> Grid:
    """Tabulate every claim with both numbers."""
    body = [
        [
            row["claim"],
            row["place"],
            _digits(row["published"]),
            _digits(row["computed"]),
            "yes" if row["agrees"] else "no",
            row["remark"],
        ]
        for row in tables[PUBLISHED_CHECKS.file].to_dicts()
    ]
    return Grid(
        "Claims of the paper beside the same numbers computed from other printed ones. Agrees: "
        "within what the rounding of the printed digits can explain.",
        ("claim", "place", "published", "computed", "agrees", "remark"),
        body,
    )
