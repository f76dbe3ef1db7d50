"""A law through a few points: what it says at every k of the pool, and how far that is known."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from mergelaw.errors import FitError
from mergelaw.laws import forms
from mergelaw.laws.forms import Array
from mergelaw.laws.resampling import LEVEL
from mergelaw.planning.curve_errors import Doubt, Spread, doubt
from mergelaw.planning.estimators import Case, Through
from mergelaw.planning.few_points import Measured, freedoms, sampling_errors
from mergelaw.planning.law_file import LawFile
from mergelaw.planning.misfit import Misfit
from mergelaw.planning.stopping import Stop, stop_at

SHARES = (0.85, 0.9)
"""Shares of the fall from k = 1 to the pool that k is told for, as in the paper."""

GAP = 0.01
"""Nats per token from the floor that k is told for, and the least gain worth an expert."""


ROUNDING = 1e-12
"""Nats per token; a smaller error is what rounding leaves of none."""


class Interval(NamedTuple):
    """A 95% interval; an end is None where there is none."""

    low: float | None
    high: float | None


class Need(NamedTuple):
    """The smallest k for a share of the fall from k = 1 to the pool, and its 95% interval."""

    share: float
    k: int
    low: int | None
    high: int | None


@dataclass(frozen=True)
class FittedLaw:
    """A law through a few points: ``L(k) = floor + tail / (k + offset)``, nats per token.

    Attributes
    ----------
    pool
        M, the experts that there are; every answer is for k = 1..M.
    points
        What was measured.
    case
        "free_offset"; "zero_offset": the offset is 0, held or at its bound; "not_identified":
        there is no law, and every question to it raises `FitError`.
    identified, notes
        Whether the points determine the law's parameters, and in words what they cannot tell.
    misfit
        What is allowed for beside the points' errors (`mergelaw.planning.misfit`).
    """

    pool: int
    points: tuple[Measured, ...]
    case: Case
    identified: bool
    notes: tuple[str, ...]
    misfit: Misfit
    curve: Through
    text_error: float

    @property
    def answers(self) -> bool:
        """Whether there is a law with a floor that a loss can have; else k beyond is not told."""
        return self.case != "not_identified" and self.curve.floor >= 0

    @property
    def floor(self) -> float:
        """The law at endless k: an extrapolation, which the pool does not reach."""
        return self._known.floor

    @property
    def tail(self) -> float:
        """Nats per token times experts."""
        return self._known.tail

    @property
    def offset(self) -> float:
        """In experts."""
        return self._known.offset

    def loss(self, k: float | Array) -> Array:
        """Return the law's loss at k, 1 to the pool.

        Raises
        ------
        FitError
            If there is no law, or k is no number of experts of the pool.
        """
        return self._known.loss(self._in_pool(k))

    def stderr(self, k: int) -> float | None:
        """Return the standard error of L(k); None where it is not known."""
        return _stderr(self.doubt.loss, self._index(k))

    def interval(self, k: int) -> Interval:
        """Return the 95% interval of L(k): the points' errors, and what the law misses."""
        return around(float(self.loss(k)), self.doubt.loss, self._index(k))

    @property
    def floor_interval(self) -> Interval:
        """The 95% interval of the floor."""
        return around(self.floor, self.doubt.floor, 0)

    @property
    def gains(self) -> Array:
        """L(k) - L(k + 1) at k = 1..M - 1."""
        gains: Array = -np.diff(self.loss(np.arange(1, self.pool + 1)))
        return gains

    @property
    def gain_stderr(self) -> tuple[float | None, ...]:
        """Standard errors of the gains, from the joint errors of the curve."""
        return tuple(_stderr(self.doubt.gain, i) for i in range(self.pool - 1))

    def k_for_return(self, share: float) -> Need:
        """Return the experts that realise a share of the fall from k = 1 to the pool.

        The interval holds the k of 95% of the curves that could be true.

        Raises
        ------
        FitError
            If there is no law, or the share is not from 0 to 1.
        """
        if not 0 <= share <= 1:
            raise FitError(f"share = {share:g}: must be from 0 to 1, of the fall from k = 1 to M")
        k = forms.k_for_return(share, self.offset, self.pool) if self.pool > 1 else 1
        return Need(share, k, *self._range_of(share))

    def k_near_floor(self, gap: float = GAP) -> int:
        """Return the smallest k within `gap` of the floor; it may exceed the pool.

        Raises
        ------
        FitError
            If there is no law, or the gap is not positive.
        """
        if not gap > 0:
            raise FitError(
                f"gap = {gap:g}: must be positive, in nats per token: no k is at the floor"
            )
        return forms.k_near_floor(gap, self.tail, self.offset)

    def stop(self, eps: float = GAP) -> Stop:
        """Return where one more expert is not worth it (`mergelaw.planning.stopping`)."""
        if not eps > 0:
            raise FitError(f"eps = {eps:g}: must be positive, in nats per token")
        return stop_at(self.gains.tolist(), self.gain_stderr, eps)

    def law_file(self, name: str, *, method: str = "", domain: str = "", size: str = "") -> LawFile:
        """Return the law as a law file, which `plan` and `write_laws` take.

        Raises
        ------
        FitError
            If there is no law.
        """
        from mergelaw.planning.forecast_record import joined

        return joined([((method, domain, size), self)], name)

    @cached_property
    def doubt(self) -> Doubt:
        """How far the forecast is known, in its two parts."""
        errors = sampling_errors(self.points)
        known = None if errors is None else np.array(errors)
        return doubt(
            self._known,
            self.arrays,
            known,
            self.pool,
            self.misfit,
            self.text_error,
            np.array(freedoms(self.points)),
        )

    @property
    def arrays(self) -> tuple[Array, Array]:
        """Numbers of experts, and losses, of the points."""
        return np.array([p.k for p in self.points], float), np.array([p.loss for p in self.points])

    @property
    def _known(self) -> Through:
        if self.case == "not_identified":
            raise FitError("; ".join(self.notes))
        return self.curve

    def _index(self, k: int) -> int:
        return int(self._in_pool(k)) - 1

    def _in_pool(self, k: float | Array) -> Array:
        at = np.asarray(k, float)
        if not np.all((at >= 1) & (at <= self.pool)):
            raise FitError(f"k must be from 1 to the pool of {self.pool}: {k} is not")
        return at

    def _range_of(self, share: float) -> tuple[int | None, int | None]:
        """Return the 95% range of the smallest k with a share of the fall."""
        draws = self.doubt.draws
        if draws is None or self.pool < 2:
            return None, None
        falls = draws[draws[:, 0] > draws[:, -1]]
        if len(falls) < (1 + LEVEL) / 2 * len(draws):
            return None, None
        shares = (falls[:, :1] - falls) / (falls[:, :1] - falls[:, -1:])
        needed = np.argmax(shares >= share - forms.TOLERANCE, axis=1) + 1
        ends = np.quantile(needed, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], method="nearest")
        return int(ends[0]), int(ends[1])


def around(value: float, spread: Spread, index: int) -> Interval:
    """Return the interval of a quantity with a spread; losses are positive."""
    half = spread.half
    if half is None:
        return Interval(None, None)
    reach = float(half[index])
    if not np.isfinite(reach):
        return Interval(None, None)
    return Interval(max(value - reach, 0.0), value + reach)


def _stderr(spread: Spread, index: int) -> float | None:
    total = spread.total
    if total is None or not np.isfinite(total[index]):
        return None
    return float(total[index]) if total[index] > ROUNDING else 0.0
