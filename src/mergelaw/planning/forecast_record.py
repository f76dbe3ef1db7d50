"""A forecast as JSON, and as a law file that the planner reads."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from scipy.stats import t as student

from mergelaw.laws.forms import Array
from mergelaw.laws.resampling import LEVEL
from mergelaw.planning import law_file
from mergelaw.planning.curve_errors import Spread
from mergelaw.planning.few_points import sampling_errors
from mergelaw.planning.fitted_law import GAP, SHARES, FittedLaw
from mergelaw.planning.misfit import size as unit_of
from mergelaw.planning.parameter_intervals import parameter_intervals
from mergelaw.provenance import versions

NORMAL = 1000.0
"""More degrees of freedom than this are no different from endless ones."""

METHOD, DOMAIN, SIZE = "method", "domain", "base"
"""Names in a law file, where none is told."""


def forecast_facts(law: FittedLaw, gap: float = GAP, eps: float = GAP) -> dict[str, Any]:
    """Return what `mergelaw forecast --json` prints of one curve; losses in nats per token.

    `low` and `high` are 95% intervals of both parts; `stderr_sampling` is the part of the points'
    own errors, `stderr_law` that of what the law misses. What is not known is null.
    """
    known = {
        "pool": law.pool,
        "points": [point._asdict() for point in law.points],
        "case": law.case,
        "identified": law.identified,
        "notes": list(law.notes),
    }
    if law.case == "not_identified":
        return known | {"last_measured": law.points[-1]._asdict()}
    return known | {
        "misfit": {
            **law.misfit._asdict(),
            "unit": unit_of(law.arrays[1]),
            "freedom_with_residuals": law.doubt.loss.freedom,
        },
        "draws_without_floor": law.doubt.no_floor,
        "floor": {"value": law.floor, **_errors(law.doubt.floor), **law.floor_interval._asdict()},
        "parameters": {
            name: {"value": getattr(law, name), **interval._asdict()}
            for name, interval in parameter_intervals(law).items()
        },
        "curve": [_at(law, k) for k in range(1, law.pool + 1)],
        "returns": [law.k_for_return(share)._asdict() for share in SHARES],
        "near_floor": {"gap": gap, "k": law.k_near_floor(gap)},
        "stop": asdict(law.stop(eps)),
    }


def _at(law: FittedLaw, k: int) -> dict[str, Any]:
    measured = {point.k: point.loss for point in law.points}
    gain = None if k == law.pool else float(law.gains[k - 1])
    return {
        "k": k,
        "loss": float(law.loss(k)),
        **law.interval(k)._asdict(),
        **_errors(law.doubt.loss.part(slice(k - 1, k))),
        "measured": measured.get(k),
        "gain": gain,
        "gain_stderr": None if gain is None else law.gain_stderr[k - 1],
    }


def _errors(spread: Spread) -> dict[str, float | None]:
    return {
        "stderr": _number(spread.total),
        "stderr_sampling": _number(spread.sampling),
        "stderr_law": _number(spread.law),
    }


def _number(values: Array | None) -> float | None:
    """Return a single number; None where it is not known or has no end."""
    if values is None:
        return None
    value = float(np.ravel(values)[0])
    return value if np.isfinite(value) else None


def joined(laws: Sequence[tuple[tuple[str, str, str], FittedLaw]], name: str) -> law_file.LawFile:
    """Return forecasts of one pool, by method, domain and size, as a law file.

    Standard errors of losses and floor are those whose Student's t interval, with the curve's one
    `freedom`, is the forecast's own 95% interval; those of gains are the forecast's own.
    """
    sizes = dict.fromkeys(size or SIZE for (_, _, size), _ in laws)
    curves: dict[tuple[str, str], list[law_file.Curve]] = {}
    for (method, domain, size), law in laws:
        curves.setdefault((method or METHOD, domain or DOMAIN), []).append(
            curve_of(law, size or SIZE)
        )
    return law_file.LawFile(
        name=name,
        source="forecast from a few measured points",
        caveats=("laws through a few points: see the notes of each curve",),
        metric=law_file.METRIC,
        pool=laws[0][1].pool,
        sizes=tuple(law_file.Size(name=size) for size in sizes),
        laws=tuple(
            law_file.Law(method=method, domain=domain, curves=tuple(mine))
            for (method, domain), mine in curves.items()
        ),
        provenance={"versions": versions()},
    )


def curve_of(law: FittedLaw, size_name: str) -> law_file.Curve:
    """Return a forecast as the curve of one size of a law file."""
    measured = {point.k: point.loss for point in law.points}
    pool = range(1, law.pool + 1)
    doubt = law.doubt
    freedom = _freedom(doubt.loss)
    floor = _equivalent(doubt.floor, freedom)
    return law_file.Curve(
        size=size_name,
        floor=law.floor,
        floor_stderr=floor[0] if floor else None,
        tail=law.tail,
        offset=law.offset,
        identified=law.identified,
        notes=(*law.notes, *_unknown(law)),
        loss=tuple(float(law.loss(k)) for k in pool),
        stderr=_equivalent(doubt.loss, freedom),
        gain_stderr=() if doubt.gain.total is None else law.gain_stderr,
        freedom=freedom,
        measured=tuple(measured.get(k) for k in pool),
    )


def _freedom(spread: Spread) -> float | None:
    """Return one number of freedom for all k, the median; None: as good as normal."""
    middle = float(np.median(spread.degrees))
    return None if middle > NORMAL else middle


def _equivalent(spread: Spread, freedom: float | None) -> tuple[float | None, ...]:
    """Return the standard errors that give the same intervals with one number of freedom."""
    half = spread.half
    if half is None:
        return ()
    reach = student.ppf((1 + LEVEL) / 2, np.inf if freedom is None else freedom)
    return tuple(float(v) if np.isfinite(v) else None for v in np.ravel(half) / reach)


def _unknown(law: FittedLaw) -> tuple[str, ...]:
    few = len(law.points) < 4 and sampling_errors(law.points) is None
    return ("the errors of the points are not known: no intervals",) if few else ()
