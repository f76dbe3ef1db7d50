"""The fits of a table as JSON: everything that a later reader or planner needs."""

from collections.abc import Sequence
from typing import Any

from mergelaw.laws.estimates import Estimate, fit_record
from mergelaw.laws.given.answers import GAP, Answer, Refused
from mergelaw.laws.given.points import Points
from mergelaw.laws.given.remarks import EXACT
from mergelaw.provenance import versions


def fit_facts(points: Points, done: Sequence[Answer], refused: Sequence[Refused]) -> dict[str, Any]:
    """Return what `mergelaw fit --json` prints.

    Every fit has all that fits.json has of it (see `mergelaw.laws.schemas`), with the ends of the
    95% profile intervals among its parameters. Places are lines of a text file, the header being
    line 1, or rows of a parquet file. Loss is in nats per token, N in billions.
    """
    given = points.given
    return {
        "file": str(given.path),
        "sha256": given.sha256,
        "versions": versions(),
        "places": given.place,
        "n_rows": len(given.places),
        "pool": points.pool,
        "n_params_given_in": points.unit,
        "left_out": [{given.place: place, "reason": why} for place, why in points.left_out],
        "warnings": points.warnings,
        "fits": [_fit(answer) for answer in done],
        "refused": [item._asdict() for item in refused],
    }


def _fit(answer: Answer) -> dict[str, Any]:
    record: dict[str, Any] = fit_record(
        Estimate(answer.method or "", answer.domain or "", answer.size, answer.fit)
    )
    record |= {
        "method": answer.method,
        "domain": answer.domain,
        "identified": answer.identified,
    }
    if answer.fit.max_relative_error <= EXACT:  # a standard error would be rounding
        for parameter in record["parameters"].values():
            parameter["stderr"] = None
    for name, interval in answer.intervals.items():
        record["parameters"][name] |= {
            "low": interval.low,
            "high": interval.high,
            "interval_note": interval.note,
        }
    return record | {
        "end": answer.end._asdict(),
        "returns": [need._asdict() for need in answer.needs],
        "near_floor": {"gap": GAP, "k": answer.k_near_floor},
        "held_out": [held._asdict() for held in answer.held_out],
        "rivals": [rival._asdict() for rival in answer.rivals],
        "remarks": answer.remarks,
        "points": [point._asdict() for point in answer.points],
    }
