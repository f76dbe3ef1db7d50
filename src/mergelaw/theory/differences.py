"""Second and third differences of the loss in the weights: curvature from forward passes alone."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from mergelaw.laws.forms import Array
from mergelaw.theory.derivatives import CurveDerivatives, Derivatives, Folds

Losses = Callable[[Array], Array]
"""Summed loss of each fold, shape (folds,), at weights of shape (experts,)."""

STEP = 0.35
"""Share of a task vector that losses are differenced over."""

LARGEST_STEP = 1.0

NOISE_SHARE = 0.02
"""Noise of a second difference, as a share of it, from which the step is enlarged."""

TINY = 2**-6
"""Step along the scale that shows the noise of a loss: what is left of its second difference."""


@dataclass(frozen=True)
class Stencil:
    """How differences are taken.

    Attributes
    ----------
    step : float
        Share of a task vector.
    noise : float
        Standard deviation of a domain's loss by rounding alone, in nats per token.
    notes : tuple of str
        What a reader should see.
    """

    step: float
    noise: float = 0.0
    notes: tuple[str, ...] = ()


def chosen_stencil(
    losses: Losses, folds: Folds, weights: Array, along: Array, step: float
) -> Stencil:
    """Return the step at which noise is at most `NOISE_SHARE` of a second difference, up to 1.

    Five evaluations. Over a step of `TINY` of the whole merge nearly all of a second difference is
    noise: sqrt(6) times a loss's. Both are root mean squares over domains.

    Parameters
    ----------
    losses : callable
    folds : Folds
    weights : array, shape (experts,)
        Where derivatives are taken.
    along : array, shape (experts,)
        The first direction, whose curvature stands for the others'.
    step : float
        The step that is enough without noise.
    """
    at = losses(weights)
    tiny = _second(losses, folds, weights, TINY * weights, at)
    wide = _second(losses, folds, weights, step * along, at)
    noise, share = tiny / np.sqrt(6), tiny / wide if wide else np.inf
    if share <= NOISE_SHARE:
        return Stencil(step, noise)
    larger = float(min(LARGEST_STEP, step * np.sqrt(share / NOISE_SHARE)))
    left = share * (step / larger) ** 2
    words = (
        f"a loss is noisy ({noise:.1g} nats per token by rounding): differences over "
        f"{larger:.2f} of a task vector in place of {step:g}"
    )
    if left > NOISE_SHARE * 1.01:
        words += f"; noise is still {left:.0%} of the curvature"
    return Stencil(larger, noise, (words,))


def curve_differences(
    losses: Losses,
    experts: Sequence[str],
    folds: Folds,
    scale: float,
    step: float = STEP,
    gradient: Array | None = None,
) -> CurveDerivatives:
    """Return what the curve needs, at the merge of equal weights: 3 + 2 M evaluations.

    With ``f(e) = L(w + e d)``: ``f'' = (f(e) - 2 f(0) + f(-e)) / e^2``, wrong by e^2/12 times the
    fourth derivative; along the merged task vector ``f' = (f(e) - f(-e)) / 2e`` too. With the exact
    gradient the rest of the odd part is the third derivative:
    ``f(e) - f(-e) = 2 e f' + e^3/3 f'''``.

    Parameters
    ----------
    losses : callable
    experts : sequence of str
        Sorted.
    folds : Folds
    scale : float
        Of the merge.
    step : float
        Share of each `d_i`, and of the merged task vector at scale 1.
    gradient : array, shape (domains, experts), optional
        Exact, at the merge; without it there is no third derivative, and the slope is the
        difference's. With it a domain's slope is exact, and folds differ by their differences.
    """
    n = len(experts)
    mean = np.full(n, 1 / n)
    at, apart = losses(scale * mean), np.eye(n) - 1 / n
    odd, radial = _differences(losses, scale * mean, mean, step, at)
    pairs = [_differences(losses, scale * mean, d, step, at) for d in apart]
    slope, third = odd, None
    if gradient is not None:
        odds = folds.membership @ np.stack([pair[0] for pair in pairs], 1)
        slope, third = folds.moved(odd, gradient @ mean), 6 * (odds - gradient @ apart.T) / step**2
    return CurveDerivatives(
        tuple(experts),
        scale,
        folds,
        at,
        slope=slope,
        radial=radial,
        spread=np.stack([pair[1] for pair in pairs], 1),
        third=third,
    )


def pair_differences(
    losses: Losses,
    experts: Sequence[str],
    groups: Sequence[str],
    folds: Folds,
    weights: Array,
    step: float = STEP,
) -> Derivatives:
    """Return loss, gradient and curvature: 1 + 2 n + n (n - 1) / 2 evaluations for n weights.

    A pair is evaluated at ``w + e (e_i - e_j)``: with the odd parts of the single steps taken off,
    ``-e^2 H_ij`` and ``e^3/2 (T_ijj - T_iij)`` are left, whose terms cancel for like experts.

    Parameters
    ----------
    losses, folds, step
        As in `curve_differences`.
    experts, groups : sequences of str
        That the weights belong to.
    weights : array, shape (groups * experts,)
        Where the derivatives are taken.
    """
    n, at = len(weights), losses(weights)
    singles = [_differences(losses, weights, unit, step, at) for unit in np.eye(n)]
    gradient = np.stack([odd for odd, _ in singles], 1)
    curvature = np.zeros((len(at), n, n))
    for i, j in _pairs(n):
        both = losses(weights + step * (np.eye(n)[i] - np.eye(n)[j])) - at
        alone = [step * odd for odd in (singles[i][0], -singles[j][0])]
        bent = 2 * (both - sum(alone)) / step**2
        curvature[:, i, j] = curvature[:, j, i] = (singles[i][1] + singles[j][1] - bent) / 2
    curvature[:, range(n), range(n)] = np.stack([second for _, second in singles], 1)
    return Derivatives(
        tuple(experts), tuple(groups), np.array(weights), folds, at, gradient, curvature
    )


GRADIENT_STEP = {"float32": 2**-7, "bfloat16": 2**-2}
"""Share of a task vector over which gradients are differenced, by the type of the forward pass."""


def gradient_differences(gradient: Losses, weights: Array, step: float) -> Array:
    """Return the curvature of each fold, from 2 n gradients: shape (folds, n, n).

    ``H e_i = (g(w + e e_i) - g(w - e e_i)) / 2e``, wrong by e^2/6 times the fourth derivative;
    made symmetric.

    Parameters
    ----------
    gradient : callable
        Gradient of each fold at some weights, shape (folds, n).
    """
    rows = [
        (gradient(weights + step * unit) - gradient(weights - step * unit)) / (2 * step)
        for unit in np.eye(len(weights))
    ]
    found = np.stack(rows, 1)
    curvature: Array = (found + found.transpose(0, 2, 1)) / 2
    return curvature


def _pairs(n: int) -> Iterator[tuple[int, int]]:
    return ((i, j) for i in range(n) for j in range(i))


def _differences(
    losses: Losses, weights: Array, along: Array, step: float, at: Array
) -> tuple[Array, Array]:
    """Return the first and the second difference along a direction, shape (folds,)."""
    after, before = losses(weights + step * along), losses(weights - step * along)
    return (after - before) / (2 * step), (after - 2 * at + before) / step**2


def _second(losses: Losses, folds: Folds, weights: Array, move: Array, at: Array) -> float:
    """Return the second difference of the loss per token, root mean square over domains."""
    sums = losses(weights + move) - 2 * at + losses(weights - move)
    return float(np.sqrt((folds.per_token(sums) ** 2).mean()))
