"""The planner's formulas, one small function each; the page mirrors this module in JavaScript.

A curve gives the law's loss L(k) at k = 1..M, in nats per token, with standard errors s(k) where
they are known. Chances are Student's t with `freedom` degrees of freedom, and normal where there is
none:

- chance(k) = T((target - L(k)) / s(k)); 0 or 1 where s(k) = 0;
- needed = min{k : chance(k) >= probability}, without errors min{k : L(k) <= target};
- beyond the pool, k = ceil(A / (target - floor) - b), if target > floor (`k_near_floor`);
- return R(k) = (L(1) - L(k)) / (L(1) - L(M)); gain(k) = L(k) - L(k + 1), k = 1..M - 1;
- stop = min{k : gain(k) < eps and gain(k) < 2 s_gain(k)}.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mergelaw.laws.forms import LEVEL, TOLERANCE, k_near_floor
from mergelaw.planning.law_file import Curve

COVERED = 2.0
"""Standard errors below the law's floor within which a target may still be above the true one."""

ALMOST = 0.0005
"""How near to 0 or 1 a chance is told as below or above only."""

COUNTED = 1e15
"""Experts up to which a number is told; far above, floating point no longer counts."""

Status = Literal["met", "unlikely", "beyond pool", "unreachable", "not identified"]


@dataclass(frozen=True)
class Needed:
    """How many experts a target needs.

    Attributes
    ----------
    target, probability
        The loss, in nats per token, and the least chance that is asked for; None: not asked.
    status
        `met`: by k experts. `unlikely`: the pool's law reaches it, or its floor may lie below it
        (by less than two of the floor's standard errors), with less chance than asked. `beyond
        pool`: by more experts than there are, k by the law alone. `unreachable`: under the floor.
        `not identified`: below what the pool reaches, and the floor is not known.
    k
        Experts; None where no number is known.
    chance
        That k experts, at most the pool, reach it; None where the errors are not known.
    reason
        The same in words.
    """

    target: float
    probability: float | None
    status: Status
    k: int | None
    chance: float | None
    reason: str


def chance_at_most(target: float, loss: float, stderr: float, freedom: float | None) -> float:
    """Return the chance that a loss known with a standard error is at most the target."""
    if stderr == 0:
        return float(loss <= target)
    from scipy.special import ndtr, stdtr

    reach = (target - loss) / stderr
    return float(ndtr(reach) if freedom is None else stdtr(freedom, reach))


def chance_words(chance: float | None) -> str:
    """Return a chance in words; one that is nearly certain is not called certain."""
    if chance is None:
        return "not known"
    if not ALMOST < chance < 1 - ALMOST:
        return f"below {2 * ALMOST:g}" if chance < ALMOST else f"above {1 - 2 * ALMOST:g}"
    return f"{chance:.3g}"


def half_width(stderr: float, freedom: float | None, level: float = LEVEL) -> float:
    """Return how far the interval reaches to each side of the loss."""
    from scipy.special import ndtri, stdtrit

    upper = (1 + level) / 2
    reach = ndtri(upper) if freedom is None else stdtrit(freedom, upper)
    return float(reach) * stderr


def chance_of(curve: Curve, k: int, target: float) -> float | None:
    """Return the chance that k experts reach a target; None where the errors are not known."""
    stderr = stderr_of(curve, k)
    if stderr is None:
        return None
    return chance_at_most(target, curve.loss[k - 1], stderr, curve.freedom)


def stderr_of(curve: Curve, k: int) -> float | None:
    """Return the standard error of the law's loss at k; None where it is not known."""
    return curve.stderr[k - 1] if curve.stderr else None


def needed(curve: Curve, target: float, probability: float | None) -> Needed:
    """Return how many experts reach a target loss with a probability.

    Without errors, or without a probability, the law's own loss decides.
    """
    pool = range(1, len(curve.loss) + 1)
    chances = {k: chance_of(curve, k, target) for k in pool}
    for k in pool:
        chance = chances[k]
        if probability is None or chance is None:
            if curve.loss[k - 1] <= target:
                return _met(curve, k, target, probability, chance)
        elif chance >= probability:
            return _met(curve, k, target, probability, chance)
    return _not_met(curve, target, probability, chances)


def _met(
    curve: Curve, k: int, target: float, probability: float | None, chance: float | None
) -> Needed:
    loss = f"the law's loss there is {curve.loss[k - 1]:.4f}"
    kind = "normal" if curve.freedom is None else f"Student t, {curve.freedom:.3g} degrees"
    words = (
        f"{loss}; the law's errors are not known, so no probability can be told"
        if chance is None
        else f"{loss}, and the target is met with probability {chance_words(chance)} ({kind})"
    )
    return Needed(target, probability, "met", k, chance, words)


def _not_met(
    curve: Curve, target: float, probability: float | None, chances: dict[int, float | None]
) -> Needed:
    best = min(chances, key=lambda k: curve.loss[k - 1])
    chance, reached = chances[best], curve.loss[best - 1]
    if reached <= target:
        words = (
            f"the pool's best, k = {best}, has {reached:.4f} by the law, but meets the target "
            f"with probability {chance_words(chance)} only"
        )
        return Needed(target, probability, "unlikely", None, chance, words)
    pool = len(curve.loss)
    least = f"the pool of {pool} reaches {reached:.4f}, at k = {best}"
    if not curve.identified:
        words = f"{least}, and what more experts would reach is not identified"
        return Needed(target, probability, "not identified", None, chance, words)
    if target <= curve.floor:
        return _not_above_floor(curve, target, probability, chance, least)
    k = _experts(curve, target - curve.floor)
    k = None if k is None else max(k, pool + 1)
    words = f"by the law it needs {_counted(k)} experts, more than there are; {least}"
    return Needed(target, probability, "beyond pool", k, chance, words)


def _not_above_floor(
    curve: Curve, target: float, probability: float | None, chance: float | None, least: str
) -> Needed:
    """Return that a target is out of reach, or only unlikely: the floor is known with an error."""
    error = curve.floor_stderr
    known = "" if error is None else f" (standard error {error:.2g})"
    words = f"it is not above the law's floor of {curve.floor:.4f}{known}"
    if error is None or chance is None or target <= curve.floor - COVERED * error:
        return Needed(target, probability, "unreachable", None, chance, f"{words}; {least}")
    words += f", whose error covers it; {least}, and meets it with probability"
    words += f" {chance_words(chance)}"
    return Needed(target, probability, "unlikely", None, chance, words)


def _experts(curve: Curve, gap: float) -> int | None:
    """Return the smallest k within a gap of the floor; None where there are too many to count."""
    if curve.tail / gap > COUNTED:
        return None
    return k_near_floor(gap, curve.tail, curve.offset)


def _counted(k: int | None) -> str:
    return f"more than {COUNTED:g}" if k is None else f"{k:,}"


@dataclass(frozen=True)
class Near:
    """Experts for a loss within a gap of the floor.

    k is by the law; None where it is not identified, or too large to be told.
    """

    gap: float
    k: int | None
    in_pool: bool
    reason: str


def near_floor(curve: Curve, gap: float) -> Near:
    """Return the smallest k within `gap` of the floor (the paper, appendix J.1)."""
    if not curve.identified:
        return Near(gap, None, False, "the floor is not identified")
    pool, k = len(curve.loss), _experts(curve, gap)
    if k is None or k > pool:
        left = curve.loss[-1] - curve.floor
        words = f"more than the pool of {pool}, which stays {left:.4f} above the floor"
        words += f"; it takes {_counted(k)}" if k is None else ""
        return Near(gap, k, False, words)
    return Near(gap, k, True, f"the law's loss there is {curve.loss[k - 1]:.4f}")


def returns(loss: Sequence[float]) -> tuple[float, ...] | None:
    """Return R(k), the share of the pool's improvement that k experts realise; None: there is none.

    ``R(k) = (L(1) - L(k)) / (L(1) - L(M))``, of the law's own losses (see
    `mergelaw.laws.forms.fractional_return`).
    """
    whole = loss[0] - loss[-1]
    return tuple((loss[0] - value) / whole for value in loss) if whole > 0 else None


def k_of_return(loss: Sequence[float], share: float) -> int | None:
    """Return the smallest k with ``R(k) >= share``; None where there is no improvement."""
    shares = returns(loss)
    if shares is None:
        return None
    return next(k for k, part in enumerate(shares, 1) if part >= share - TOLERANCE)


def gains(loss: Sequence[float]) -> tuple[float, ...]:
    """Return L(k) - L(k + 1), what one more expert is worth after k = 1..M - 1."""
    return tuple(loss[k - 1] - loss[k] for k in range(1, len(loss)))
