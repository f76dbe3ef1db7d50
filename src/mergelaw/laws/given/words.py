"""The fits of a table in words: a block for each, then a summary, then what is to be minded."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from mergelaw.laws.given.answers import GAP, Answer, End, Refused
from mergelaw.laws.given.heldout import HeldOut
from mergelaw.laws.given.points import Points
from mergelaw.laws.given.ranking import Rival
from mergelaw.laws.given.reading import N_NAMED
from mergelaw.laws.given.remarks import EXACT
from mergelaw.laws.law import FLOOR_TAIL, JOINT
from mergelaw.laws.result import Parameter

NO_INTERVAL = "[no interval]"

ROUNDING = 1e-12
"""Shares below this are rounding."""

UNITS = {
    "billions": "N is in billions, as given",
    "counts": "N was given as counts and is in billions here",
}
EXTRAPOLATED = {
    "floor": "extrapolated to k without end",
    "floor_limit": "extrapolated to N and k without end",
}


def fit_text(points: Points, done: Sequence[Answer], refused: Sequence[Refused]) -> str:
    """Return all that `mergelaw fit` prints."""
    blocks = ["\n".join(_head(points, done))]
    blocks += ["\n".join(_block(answer, points.pool)) for answer in done]
    if refused:
        blocks.append("\n".join(["not fitted:", *map(_refusal, refused)]))
    if len(done) > 1:
        blocks.append("\n".join(_summary(done)))
    return "\n\n".join(blocks) + "\n"


def _head(points: Points, done: Sequence[Answer]) -> Iterator[str]:
    n_rows, n_points = len(points.given.places), sum(len(c.points) for c in points.curves)
    pool = f"a pool of {points.pool}" if points.pool else "the pool's size not known (--pool)"
    yield (
        f"{Path(points.given.path).name}: {n_rows} rows, {n_points} points, "
        f"{len(points.curves)} curve{'s'[: len(points.curves) != 1]}; {pool}"
    )
    weights = sorted({answer.fit.weights for answer in done})
    yield f"losses in nats per token; weights: {' or '.join(weights)}"
    yield (
        "+- is a standard error, [ ] a 95% profile interval: of this pool and text, for points "
        "that scatter independently"
    )
    if points.unit:
        yield UNITS[points.unit]
    reasons = dict.fromkeys(reason for _, reason in points.left_out)
    for reason in reasons:
        places = [str(place) for place, other in points.left_out if other == reason]
        place = points.given.place + "s"[: len(places) != 1]
        yield f"left out: {place} {', '.join(places[:N_NAMED])}{_more(places)}: {reason}"
    for warning in points.warnings:
        yield f"warning: {warning}"


def _more(places: list[str]) -> str:
    more = len(places) - N_NAMED
    return f" and {more} more" if more > 0 else ""


def _label(answer: Answer | Refused) -> str:
    """Return whose fit it is; the joint law is of all sizes."""
    joint = (answer.law if isinstance(answer, Refused) else answer.fit.law) == JOINT.name
    size = "all sizes" if joint else answer.size
    return ", ".join(filter(None, (answer.method, answer.domain, size)))


def _refusal(item: Refused) -> str:
    label = _label(item)
    return f"  {label + ': ' if label else ''}{item.law}: {item.reason}"


def _block(answer: Answer, pool: int | None) -> Iterator[str]:
    fitted, label = answer.fit, _label(answer)
    ks = sorted({point.k for point in answer.points})
    yield (f"{label + ': ' if label else ''}{fitted.formula} ({fitted.law})")
    yield f"  {fitted.n_points} points, k = {_listed(ks)}"
    yield from _table(_parameters(answer))
    yield from _fit_quality(answer)
    yield from _needs(answer, pool)
    yield _rivals(answer.rivals)
    yield f"  parameters, if this is the law: {'' if answer.identified else 'not '}identified"
    yield from (f"  note: {note}" for note in (*fitted.notes, *answer.remarks))


def _listed(ks: list[int]) -> str:
    if len(ks) > 2 and ks == list(range(ks[0], ks[-1] + 1)):
        return f"{ks[0]} to {ks[-1]}"
    return ", ".join(map(str, ks))


def _parameters(answer: Answer) -> Iterator[tuple[str, ...]]:
    for parameter in answer.fit.parameters:
        yield (
            parameter.name,
            f"{parameter.value:.5g}",
            _stderr(answer, parameter),
            _interval(answer, parameter),
            EXTRAPOLATED.get(parameter.name, ""),
        )
    yield _end_cells(answer.end)


def _end_cells(end: End) -> tuple[str, ...]:
    at = (
        f"L({end.k})"
        if end.n_params_billions is None
        else f"L({end.n_params_billions:g}B, {end.k})"
    )
    measured = "not measured" if end.measured is None else f"measured {end.measured:.5g}"
    return (at, f"{end.loss:.5g}", "", _end_range(end), measured)


def _end_range(end: End) -> str:
    if end.low is None and end.high is None:
        return NO_INTERVAL
    return f"[{_bounded(end.low, None)}, {_bounded(end.high, None)}]"


def _stderr(answer: Answer, parameter: Parameter) -> str:
    if parameter.stderr is not None and answer.fit.max_relative_error > EXACT:
        return f"+- {parameter.stderr:.2g}"
    return "at its bound" if parameter.at_bound else "+- not known"


def _interval(answer: Answer, parameter: Parameter) -> str:
    """Return the interval; in place of an end that there is not, the bound, which fits as well."""
    if parameter.name not in answer.intervals:
        return ""
    if not answer.judged:
        return NO_INTERVAL
    low, high, _ = answer.intervals[parameter.name]
    return f"[{_bounded(low, parameter.minimum)}, {_bounded(high, parameter.maximum)}]"


def _bounded(end: float | None, bound: float | None) -> str:
    if end is not None:
        return f"{end:.5g}"
    return "..." if bound is None else f"{bound:g} (bound)"


def _fit_quality(answer: Answer) -> Iterator[str]:
    fitted = answer.fit
    r2 = "not defined, as the losses are all the same" if fitted.r2 is None else f"{fitted.r2:.5f}"
    yield f"  R2 {r2}, largest error {_percent(fitted.max_relative_error)}, of the fitted points"
    for held in answer.held_out:
        yield f"  {_held(held)}"


def _held(held: HeldOut) -> str:
    if held.largest_error is None:
        return f"held out, {held.left_out}: {held.reason}"
    text = f"held out, {held.left_out}: largest error {_percent(held.largest_error)}"
    if held.repeat_last is not None:
        text += f" (repeating the last fitted loss: {_percent(held.repeat_last)})"
    return text


def _percent(share: float) -> str:
    return f"{100 * share:.2g}%" if share >= ROUNDING else "0%"


def _needs(answer: Answer, pool: int | None) -> Iterator[str]:
    end = answer.end
    if not answer.needs or answer.k_near_floor is None:
        yield "  k for 85% and 90% of the fall: not defined"
        return
    shares = ", ".join(
        f"{need.share:.0%} at k = {need.k}"
        + (f" ({need.low} to {need.high})" if need.low != need.high and need.low else "")
        for need in answer.needs
    )
    yield f"  of the law's fall from k = 1 to {end.k}{_if_it_falls(answer)}: {shares}"
    near = f"  within {GAP:g} of the floor at k = {answer.k_near_floor}"
    if pool is not None and answer.k_near_floor > pool:
        near += f", which needs more experts than the pool's {pool}"
    elif pool is None and answer.k_near_floor > end.k:
        near += f", beyond the {end.k} measured"
    yield near


def _if_it_falls(answer: Answer) -> str:
    """Return a caution where a tail of 0, no fall at all, fits the points as well."""
    tail = "tail_scale" if answer.fit.law == JOINT.name else "tail"
    falls = not answer.judged or (answer.intervals[tail].low or 0) > 0
    return "" if falls else ", if it falls at all (a tail of 0 fits as well)"


def _rivals(rivals: Sequence[Rival]) -> str:
    known = [rival for rival in rivals if rival.delta_aicc is not None]
    if len(known) < 2:
        return "  AICc ranks no rivals: too few points, or laws that go through all of them"
    ranks = ", ".join(f"{rival.law} +{rival.delta_aicc:.1f}" for rival in known)
    others = ", ".join(rival.law for rival in rivals if rival.delta_aicc is None)
    why = "too few points for them, or they go through all"
    return f"  AICc above the least: {ranks}" + (f"; none for {others} ({why})" if others else "")


def _summary(done: Sequence[Answer]) -> Iterator[str]:
    yield "summary"
    ends = {answer.end.k for answer in done}
    last = f"L({ends.pop()})" if len(ends) == 1 else "L(end)"
    rows: list[tuple[str, ...]] = [
        ("law", "curve", "floor", last, "measured", "R2", "held out", "k85", "k90", "identified")
    ]
    for answer in done:
        end, held = answer.end, answer.held_out[-1]
        needs = [str(need.k) for need in answer.needs] or ["-", "-"]
        rows.append(
            (
                answer.fit.law,
                _label(answer),
                f"{end.floor:.5g}",
                f"{end.loss:.5g}",
                "-" if end.measured is None else f"{end.measured:.5g}",
                "-" if answer.fit.r2 is None else f"{answer.fit.r2:.4f}",
                "-" if held.largest_error is None else _percent(held.largest_error),
                *needs,
                "yes" if answer.identified else "no",
            )
        )
    yield from _table(rows)
    if any(answer.fit.law == JOINT.name for answer in done):
        yield (
            f"  {JOINT.name}: floor and L at the largest N, held out is the largest size; "
            f"{FLOOR_TAIL.name}: held out are the largest k"
        )


def _table(rows: Iterator[tuple[str, ...]] | Sequence[tuple[str, ...]]) -> Iterator[str]:
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield ("  " + "  ".join(cells)).rstrip()
