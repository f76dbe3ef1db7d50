"""Numbers and findings in plain words: pure functions, so that the page's text can be tested."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

MISSING = "–"
"""What a table shows where a number is not defined."""


SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def number(value: float | None, digits: int = 3) -> str:
    """Return a number with so many digits after the point; tiny ones in powers of ten."""
    if value is None:
        return MISSING
    if value and abs(value) < 0.5 * 10**-digits:
        return scientific(value, 1)
    return f"{value:.{digits}f}".replace("-", "−")


def scientific(value: float, digits: int = 0) -> str:
    """Return a number with a power of ten and so many digits after the point."""
    mantissa, exponent = f"{value:.{digits}e}".split("e")
    return f"{mantissa} × 10{str(int(exponent)).translate(SUPERSCRIPT)}".replace("-", "−")


def with_error(value: float | None, stderr: float | None, digits: int = 3) -> str:
    """Return `value ± stderr`, or the value alone where no error is defined."""
    if value is None or stderr is None:
        return number(value, digits)
    return f"{number(value, digits)} ± {number(stderr, digits)}"


def percent(value: float | None, digits: int = 1, signed: bool = False) -> str:
    """Return a share (1 is 100%) in percent."""
    if value is None:
        return MISSING
    text = f"{100 * value:{'+' if signed else ''}.{digits}f}%"
    return text.replace("-", "−")


def count(value: float) -> str:
    """Return a parameter count as it is spoken: 25.1K, 397K, 7B.

    At most three digits stand before the letter, three significant ones in all.
    """
    for letter, unit in (("T", 1e12), ("B", 1e9), ("M", 1e6), ("K", 1e3)):
        if float(f"{value:.3g}") >= unit:
            return f"{float(f'{value / unit:.3g}'):g}{letter}"
    return f"{value:.3g}"


def whole(value: float | None) -> str:
    """Return a whole number with commas."""
    return MISSING if value is None else f"{value:,.0f}"


def plural(value: int, noun: str) -> str:
    """Return `1 expert`, `9 experts`."""
    return f"{value:,} {noun}{'' if value == 1 else 's'}"


def joined(items: Sequence[str]) -> str:
    """Return `a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, [", ".join(items[:-1]), *items[-1:]]))


def span(values: Sequence[float | None], show: Callable[[float], str] | None = None) -> str:
    """Return `low to high` of the defined numbers, or the one number that all of them print as."""
    known = sorted(value for value in values if value is not None)
    if not known:
        return MISSING
    low, high = map(show or number, (known[0], known[-1]))
    return low if low == high else f"{low} to {high}"


def rises(losses: Mapping[int, float]) -> list[int]:
    """Return the k whose loss is above the loss of the measured k before it."""
    ks = sorted(losses)
    return [k for before, k in pairwise(ks) if losses[k] > losses[before]]


def monotone_words(method: str, by_size: Mapping[str, Mapping[int, float]]) -> str:
    """Say whether a method's measured macro loss falls at every step of k, size by size."""
    rising = {size: rises(losses) for size, losses in by_size.items() if len(losses) > 1}
    if not rising:
        return f"{method}: one k only, so nothing can be said."
    bad = {size: ks for size, ks in rising.items() if ks}
    if not bad:
        where = "every size" if len(rising) > 1 else next(iter(rising))
        return f"{method}: the loss falls at every step of k at {where}."
    parts = [f"at {size} when k reaches {joined([str(k) for k in ks])}" for size, ks in bad.items()]
    return f"{method}: the loss is not monotone in k: it rises {joined(parts)}."


def trend_words(what: str, method: str, values: Sequence[tuple[str, float]]) -> str:
    """Say whether a fitted quantity falls with every step of the size (sizes in rising order)."""
    if len(values) < 2:
        return f"{method}: one size only, so nothing can be said of its {what}."
    ups = [
        f"{first} to {second}" for (first, low), (second, high) in pairwise(values) if high >= low
    ]
    if not ups:
        return f"{method}: the {what} falls at every step of the size."
    return f"{method}: the {what} does not fall at every step of the size: not from {joined(ups)}."


FLOAT = re.compile(r"\d+\.\d+(?:e[-+]?\d+)?|\d+(?=%)")


def grouped_notes(notes: Sequence[tuple[str, str]]) -> list[tuple[str, list[str]]]:
    """Group (note, which fit) by notes that differ in decimal numbers and percentages only.

    Returns
    -------
    list of (str, list of str)
        The note, with the range of each number, and the fits that it is about; the note of most
        fits first.
    """
    groups: dict[str, list[tuple[list[str], str]]] = {}
    for note, fit in notes:
        groups.setdefault(FLOAT.sub("{}", note), []).append((FLOAT.findall(note), fit))
    result = []
    for template, members in groups.items():
        columns = zip(*(numbers for numbers, _ in members), strict=True)
        ranges = [_range(sorted(column, key=float)) for column in columns]
        pieces = template.split("{}")
        text = pieces[0] + "".join(a + b for a, b in zip(ranges, pieces[1:], strict=True))
        result.append((text, [fit for _, fit in members]))
    return sorted(result, key=lambda group: -len(group[1]))


def _range(texts: Sequence[str]) -> str:
    return texts[0] if texts[0] == texts[-1] else f"{texts[0]} to {texts[-1]}"


def triple_words(points: str) -> str:
    """Return three k as a set: `1,2,4` is {1, 2, 4}."""
    return "{" + points.replace(",", ", ") + "}"


def interval(low: float | None, high: float | None, digits: int = 3) -> str:
    """Return `low to high`; one end alone where the other is missing."""
    if low is None and high is None:
        return MISSING
    if low is None or high is None:
        return f"below {number(high, digits)}" if low is None else f"above {number(low, digits)}"
    return f"{number(low, digits)} to {number(high, digits)}"


def share_of(part: int, whole: int, noun: str) -> str:
    """Return `none of 16 curves`, `3 of 16 curves`, `all 16 curves`, `the one curve`."""
    if whole == 1:
        return f"the one {noun}" if part else f"not the one {noun}"
    if part == whole:
        return f"all {whole} {noun}s"
    return f"{part or 'none'} of {whole} {noun}s"


def largest_error(errors: Sequence[float | None]) -> float | None:
    """Return the largest absolute value of the defined numbers."""
    known = [abs(error) for error in errors if error is not None and math.isfinite(error)]
    return max(known, default=None)


def mean_size(values: Sequence[float]) -> float:
    """Return the mean of the absolute values."""
    return sum(map(abs, values)) / len(values)


def small(value: float) -> str:
    """Return a number of any magnitude with two significant digits."""
    if value and abs(value) < 0.01:
        return number(value, 1)
    return f"{value:.2g}".replace("-", "−")
