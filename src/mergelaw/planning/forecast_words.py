"""A forecast in words."""

from collections.abc import Iterator

import numpy as np

from mergelaw.laws.law import FLOOR_TAIL
from mergelaw.planning.few_points import Measured, sampling_errors
from mergelaw.planning.fitted_law import GAP, SHARES, FittedLaw, Interval, Need
from mergelaw.planning.forecast_record import draws_without_floor
from mergelaw.planning.parameter_intervals import parameter_intervals

EXACT = 1e-9
"""A smaller share of the loss is rounding."""

NO_ERRORS = (
    "no intervals: the errors of the points are not known, and {n} points leave {left} to judge "
    "by; --errors K=ERROR,... tells them, or --subsets K=N,... where all subsets are in"
)


def forecast_text(law: FittedLaw, label: str = "", gap: float = GAP, eps: float = GAP) -> str:
    """Return what `mergelaw forecast` prints of one curve."""
    lines = [f"{label}: " * bool(label) + f"a forecast from {_points(law.points)}, pool {law.pool}"]
    body = _refused(law) if law.case == "not_identified" else _answer(law, gap, eps)
    return "\n".join([*lines, *(f"  {line}" for line in body)]) + "\n"


def _points(points: tuple[Measured, ...]) -> str:
    return "k = " + ", ".join(str(point.k) for point in points)


def _refused(law: FittedLaw) -> Iterator[str]:
    yield from law.notes
    last = law.points[-1]
    yield f"last measured: L({last.k}) = {last.loss:.5g}; nothing is told of other k"
    yield from _straight(law)
    yield "measure a larger k: the whole pool is one merge"


def _straight(law: FittedLaw) -> Iterator[str]:
    """Yield how low a curve that bends as the law does can go from the last two points."""
    before, last = law.points[-2:]
    slope = (before.loss - last.loss) / (last.k - before.k)
    if slope > 0 and law.pool > last.k:
        least = last.loss - slope * (law.pool - last.k)
        yield (
            f"if its falls grow smaller from here, L({law.pool}) is not below {max(least, 0):.5g}, "
            f"on the straight line through k = {before.k} and {last.k}"
        )


def _answer(law: FittedLaw, gap: float, eps: float) -> Iterator[str]:
    yield FLOOR_TAIL.formula + ", nats per token"
    yield from _parameters(law)
    yield from _curve(law)
    needs = ", ".join(_need(law.k_for_return(share)) for share in SHARES)
    yield f"return (share of the law's fall from k = 1 to {law.pool}): {needs}"
    if law.answers:
        yield _near(law, gap)
    stop = law.stop(eps)
    yield f"stop at k = {stop.k}{'' if stop.in_pool else ', the whole pool'}: {stop.reason}"
    yield from (f"note: {note}" for note in (*law.notes, *_notes(law)))


def _parameters(law: FittedLaw) -> Iterator[str]:
    if not law.answers:
        yield "floor, tail and offset are not told: the floor would be below 0, which no loss is"
        return
    beyond = "extrapolated to k without end: the pool does not reach it"
    yield f"floor   {law.floor:<8.5g} {_interval(law.floor_interval):20} {beyond}"
    intervals = parameter_intervals(law)
    for name in ("tail", "offset"):
        value = getattr(law, name)
        told = _interval(intervals[name]) if any(intervals[name]) else ""
        yield f"{name:7} {value:<8.5g} {told:20} if this is the law"


def _interval(interval: Interval) -> str:
    if interval == (None, None):
        return "[not known]"
    low, high = ("..." if end is None else f"{end:.5g}" for end in interval)
    return f"[{low}, {high}]"


def _curve(law: FittedLaw) -> Iterator[str]:
    yield "standard errors by what makes them: the points' own errors, and what the law misses"
    head = f"{'k':>4} {'loss':>8}  {'95% interval':20} {'points':>8} {'law':>8}"
    yield f"{head} {'gain':>8} {'+-':>7}  measured"
    measured = {point.k: f"{point.loss:.5g}" for point in law.points}
    spread, gains = law.doubt.loss, law.gains.tolist()
    errors_known = sampling_errors(law.points) is not None
    for k in range(1, law.pool + 1):
        part = spread.part(slice(k - 1, k))
        told = part.sampling if errors_known else None
        sampling = None if told is None else float(told[0])
        gain = " " * 16
        if k < law.pool:
            gain = f"{gains[k - 1]:8.2g}{_error(law.gain_stderr[k - 1])}"
        yield (
            f"{k:>4} {float(law.loss(k)):>8.5g}  {_interval(law.interval(k)):20} "
            f"{_error(sampling)} {_error(float(part.law[0]))} {gain}  {measured.get(k, '')}"
        ).rstrip()


def _error(value: float | None) -> str:
    text = "-" if value is None else "0" if value < 1e-12 else f"{value:.2g}"
    return f"{text:>8}"


def _need(need: Need) -> str:
    text = f"{need.share:.0%} at k = {need.k}"
    return text if need.low is None else f"{text} ({need.low} to {need.high})"


def _near(law: FittedLaw, gap: float) -> str:
    k = law.k_near_floor(gap)
    beyond = f", which needs more experts than the pool's {law.pool}" if k > law.pool else ""
    return f"within {gap:g} of the floor at k = {k:,}{beyond}"


def _contradicted(law: FittedLaw) -> str:
    """Return by how much the points miss the law, where that is more than three errors."""
    ks, losses = law.arrays
    missed = np.abs(losses - law.loss(ks))
    errors = np.array(sampling_errors(law.points) or np.zeros(len(ks)))
    beyond = missed > 3 * errors + EXACT * losses
    if not beyond.any():
        return ""
    return (
        f", and misses the points by up to {missed.max():.2g}, more than their errors: these "
        "intervals are too narrow"
    )


def _notes(law: FittedLaw) -> Iterator[str]:
    if sampling_errors(law.points) is None and len(law.points) < 4:
        one_left = len(law.points) == 3 and law.case == "zero_offset"
        left = "one residual, too little" if one_left else "nothing"
        yield NO_ERRORS.format(n=len(law.points), left=left)
    yield from draws_without_floor(law)
    if law.misfit.share == 0:
        yield f"the law is taken as true (--misfit 0){_contradicted(law)}"
    elif len(law.points) > 3 and sampling_errors(law.points) is None:
        yield "the scatter of the points about the law stands for their errors, under `law`"
