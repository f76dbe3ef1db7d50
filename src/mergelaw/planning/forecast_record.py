"""A forecast as JSON, and as a law file that the planner reads."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from mergelaw.errors import FitError, listing
from mergelaw.laws.forms import Array
from mergelaw.planning import law_file
from mergelaw.planning.curve_errors import Spread
from mergelaw.planning.few_points import sampling_errors
from mergelaw.planning.fitted_law import GAP, ROUNDING, SHARES, FittedLaw
from mergelaw.planning.misfit import size as unit_of
from mergelaw.planning.parameter_intervals import parameter_intervals
from mergelaw.provenance import versions

NORMAL = 1000.0
"""More degrees of freedom than this are no different from endless ones."""

CAVEAT = (
    "laws through a few points; the curve's one number of degrees of freedom is the least of its "
    "k, so that intervals are as wide as the forecast's own, or wider"
)

METHOD, DOMAIN, SIZE = "any-method", "any-domain", "any-base"
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
        **_extrapolated(law, gap),
        "curve": [_at(law, k) for k in range(1, law.pool + 1)],
        "returns": [law.k_for_return(share)._asdict() for share in SHARES],
        "stop": asdict(law.stop(eps)),
    }


def _extrapolated(law: FittedLaw, gap: float) -> dict[str, Any]:
    """Return what is told of k without end: null where the floor would be below 0."""
    if not law.answers:
        return {"floor": None, "parameters": None, "near_floor": None}
    floor = _errors(law, law.doubt.floor)
    return {
        "floor": {"value": law.floor, **floor, **law.floor_interval._asdict()},
        "parameters": {
            name: {"value": getattr(law, name), **interval._asdict()}
            for name, interval in parameter_intervals(law).items()
        },
        "near_floor": {"gap": gap, "k": law.k_near_floor(gap)},
    }


def _at(law: FittedLaw, k: int) -> dict[str, Any]:
    measured = {point.k: point.loss for point in law.points}
    gain = None if k == law.pool else float(law.gains[k - 1])
    return {
        "k": k,
        "loss": float(law.loss(k)),
        **law.interval(k)._asdict(),
        **_errors(law, law.doubt.loss.part(slice(k - 1, k))),
        "measured": measured.get(k),
        "gain": gain,
        "gain_stderr": None if gain is None else law.gain_stderr[k - 1],
    }


def _errors(law: FittedLaw, spread: Spread) -> dict[str, float | None]:
    known = sampling_errors(law.points) is not None
    return {
        "stderr": _number(spread.total),
        "stderr_sampling": _number(spread.sampling) if known else None,
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

    Standard errors are the forecast's own. A curve's one `freedom` is the least of its k, so that
    no interval is narrower than the forecast's, at any probability.

    Raises
    ------
    FitError
        If a name is empty or has a "/", which `--law FILE/method/domain` could not reach, or two
        curves have the same names.
    """
    problems = [*_name_problems(laws, name)]
    if problems:
        raise FitError(listing("the law file", problems))
    sizes = dict.fromkeys(size or SIZE for (_, _, size), _ in laws)
    curves: dict[tuple[str, str], list[law_file.Curve]] = {}
    for (method, domain, size), law in laws:
        curves.setdefault((method or METHOD, domain or DOMAIN), []).append(
            curve_of(law, size or SIZE)
        )
    return law_file.LawFile(
        name=name,
        source="forecast from a few measured points",
        caveats=(CAVEAT,),
        metric=law_file.METRIC,
        pool=laws[0][1].pool,
        sizes=tuple(law_file.Size(name=size) for size in sizes),
        laws=tuple(
            law_file.Law(method=method, domain=domain, curves=tuple(mine))
            for (method, domain), mine in curves.items()
        ),
        provenance={"versions": versions()},
    )


def _name_problems(
    laws: Sequence[tuple[tuple[str, str, str], FittedLaw]], name: str
) -> Iterator[str]:
    if not name.strip():
        yield "--name '': must be a name, as `forecast`"
    for who in dict.fromkeys(who for who, _ in laws):
        for what, text in zip(("method", "domain"), who, strict=False):
            if "/" in text:
                yield (
                    f"{what} {text!r}: must have no '/': `plan --law FILE/method/domain` could not "
                    "name it"
                )
    for who, n in Counter(who for who, _ in laws).items():
        if n > 1:
            yield f"{', '.join(filter(None, who))}: {n} curves have these names"


def curve_of(law: FittedLaw, size_name: str) -> law_file.Curve:
    """Return a forecast as the curve of one size of a law file."""
    measured = {point.k: point.loss for point in law.points}
    pool = range(1, law.pool + 1)
    doubt = law.doubt
    floor = _told(doubt.floor)
    return law_file.Curve(
        size=size_name,
        floor=law.floor,
        floor_stderr=floor[0] if floor else None,
        tail=law.tail,
        offset=law.offset,
        identified=law.identified,
        notes=(*law.notes, *_unknown(law)),
        loss=tuple(float(law.loss(k)) for k in pool),
        stderr=_told(doubt.loss),
        gain_stderr=() if doubt.gain.total is None else law.gain_stderr,
        freedom=_freedom(law),
        measured=tuple(measured.get(k) for k in pool),
    )


def _freedom(law: FittedLaw) -> float | None:
    """Return one number of freedom for all k, the least; None: as good as normal.

    Where an error is 0, at a k that is fitted exactly, its freedom says nothing.
    """
    spreads = (law.doubt.loss, law.doubt.floor)
    degrees = np.concatenate([np.ravel(spread.degrees) for spread in spreads])
    errors = np.concatenate(
        [np.ravel(spread.law if spread.total is None else spread.total) for spread in spreads]
    )
    least = min(degrees[errors > ROUNDING], default=np.inf)
    return None if least > NORMAL else float(least)


def _told(spread: Spread) -> tuple[float | None, ...]:
    """Return standard errors as a law file has them: empty where they are not known."""
    if spread.total is None:
        return ()
    cleaned = (v if v > ROUNDING else 0.0 for v in np.ravel(spread.total).tolist())
    return tuple(v if np.isfinite(v) else None for v in cleaned)


def _unknown(law: FittedLaw) -> Iterator[str]:
    if len(law.points) < 4 and sampling_errors(law.points) is None:
        yield "the errors of the points are not known: no intervals"
    yield from draws_without_floor(law)


def draws_without_floor(law: FittedLaw) -> Iterator[str]:
    """Yield what draws of the points that have no floor do to the intervals."""
    lost = law.doubt.no_floor
    if lost:
        opened = ", so its interval has no ends" if law.floor_interval.high is None else ""
        yield (
            f"{lost:.1%} of the draws of the points by their errors have no floor{opened}; their "
            "curves are the nearest limits of the law: a straight line, an offset of 0, no fall"
        )
