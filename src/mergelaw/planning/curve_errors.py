"""How far a forecast is known, in two parts: the points' own errors, and what the law misses."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

from mergelaw.laws.forms import Array
from mergelaw.laws.resampling import LEVEL
from mergelaw.laws.uncertainty import generator
from mergelaw.planning.estimators import Through, tried
from mergelaw.planning.misfit import Misfit, Scale, correlation, sharpened, size

N_DRAWS = 1000
"""Draws of the points, and of curves."""

LEAST_IDENTIFIED = (1 + LEVEL) / 2
"""With fewer of the draws identified, those without a floor could be either end."""

OFFSET_SD = 1.0
"""Experts; fits of nine experts at one size had offsets from 0 to 2.15."""

SEED = 0
"""Of the draws; the same points have the same intervals."""


@dataclass(frozen=True)
class Spread:
    """Standard errors of quantities, in two parts that are independent of each other.

    Attributes
    ----------
    sampling
        From the points' own errors, shape (quantities,): subsets that were not measured, the
        evaluation text. None where they are not known; infinite where too many draws of the points
        have no floor.
    law
        From what the law misses, shape (quantities,), on `freedom` degrees of freedom.
    """

    sampling: Array | None
    law: Array
    freedom: float

    @property
    def total(self) -> Array | None:
        """Both parts; None where one is not known."""
        return None if self.sampling is None else np.hypot(self.sampling, self.law)

    @property
    def degrees(self) -> Array:
        """Degrees of freedom of the total (Satterthwaite 1946): the sampling part has no end."""
        total = self.law if self.total is None else self.total
        share = np.where(total > 0, self.law / np.where(total > 0, total, 1), 1.0)
        return self.freedom / np.maximum(share, 1e-3) ** 4

    @property
    def half(self) -> Array | None:
        """How far the interval reaches to each side: Student's t times the total."""
        if self.total is None:
            return None
        reach: Array = student.ppf((1 + LEVEL) / 2, self.degrees) * self.total
        return reach

    def part(self, where: slice) -> "Spread":
        """Return some of the quantities."""
        sampling = None if self.sampling is None else self.sampling[where]
        return Spread(sampling, self.law[where], self.freedom)


@dataclass(frozen=True)
class Doubt:
    """What is known of a forecast at k = 1..M, the floor, and the gains between them.

    Attributes
    ----------
    loss, floor, gain
        Gains are L(k) - L(k + 1).
    draws
        Curves that could be true, shape (draws, M): both parts; None where one is not known.
    parameters
        Floor, tail and offset of draws of two or three points, shape (draws, 3); else None.
    no_floor
        Share of those draws that have no law; None where nothing was drawn.
    """

    loss: Spread
    floor: Spread
    gain: Spread
    draws: Array | None
    parameters: Array | None
    no_floor: float | None


def doubt(
    curve: Through,
    points: tuple[Array, Array],
    errors: Array | None,
    pool: int,
    misfit: Misfit,
    text_error: float = 0.0,
    freedoms: Array | None = None,
) -> Doubt:
    """Return how far a forecast is known.

    Parameters
    ----------
    points : arrays of shape (points,)
        k and mean loss, by k.
    errors : array, shape (points,), optional
        Standard errors from sampled subsets. None: not known; with four points or more their
        scatter about the law tells of them, as part of what the law misses.
    text_error : float
        Standard error from the choice of evaluation text: it moves all losses alike.
    freedoms : array, shape (points,), optional
        Degrees of freedom that the errors were found with; endless where they are known.
    """
    ks, losses = points
    at = np.append(np.arange(1.0, pool + 1), np.inf)
    scale = scale_of(curve, ks, losses, errors, misfit)
    missed = _missed(curve, ks, at) * scale.value**2 + _held(curve, ks, at, scale.freedom)
    noise = None if errors is None else _noise(points, errors, freedoms)
    drawn = None if noise is None or len(ks) > 3 else tried(ks, losses + noise, at)
    moved = _moved(curve, ks, noise, at) if drawn is None else drawn[0] - curve.loss(at)
    wanted = np.vstack([np.eye(pool + 1), -np.diff(np.eye(pool + 1)[:pool], axis=0)])
    law = np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", wanted, missed, wanted), 0))
    sampling = None if moved is None else _sampling(moved)
    if sampling is not None:
        sampling[: pool + 1] = np.hypot(sampling[: pool + 1], text_error)
    spread = Spread(sampling, law, scale.freedom)
    return Doubt(
        loss=spread.part(slice(pool)),
        floor=spread.part(slice(pool, pool + 1)),
        gain=spread.part(slice(pool + 1, None)),
        draws=None if moved is None else _possible(curve.loss(at) + moved, missed, scale)[:, :-1],
        parameters=None if drawn is None else drawn[1],
        no_floor=None if drawn is None else float(np.isnan(drawn[1][:, 0]).mean()),
    )


def scale_of(
    curve: Through, ks: Array, losses: Array, errors: Array | None, misfit: Misfit
) -> Scale:
    """Return what is known of the law's departure from the points and their residuals."""
    known = np.zeros_like(losses) if errors is None else errors
    slopes = curve.slopes(ks) * curve.weights[:, None]
    return sharpened(
        misfit, size(losses), ks, known, (slopes, curve.weights), losses - curve.loss(ks)
    )


def _missed(curve: Through, ks: Array, at: Array) -> Array:
    """Return the covariance of forecast errors from a departure of sigma = 1, shape (at, at).

    A departure at the points moves the fit, and the one at `at` is missed: ``(H, -1) C (H, -1)'``.
    """
    error = np.hstack([curve.follow(ks, at), -np.eye(len(at))])
    every = np.append(ks, at)
    covariance: Array = error @ correlation(every, every) @ error.T
    return covariance


def _held(curve: Through, ks: Array, at: Array, freedom: float) -> Array:
    """Return the covariance from the offset that two points cannot tell; else 0, shape (at, at).

    It is scaled so that Student's t of this freedom gives it the interval of a normal.
    """
    if len(ks) > 2:
        return np.zeros((len(at), len(at)))
    free = curve._replace(case="free_offset")
    error = free.slopes(at)[:, 2] - curve.follow(ks, at) @ free.slopes(ks)[:, 2]
    reach = student.ppf((1 + LEVEL) / 2, np.inf) / student.ppf((1 + LEVEL) / 2, freedom)
    covariance: Array = np.outer(error, error) * (OFFSET_SD * reach) ** 2
    return covariance


def _noise(points: tuple[Array, Array], errors: Array, freedoms: Array | None) -> Array:
    """Return draws of the points' errors, shape (draws, points): Student's t of their freedom."""
    names = [f"{k:g}={loss!r}" for k, loss in zip(*(v.tolist() for v in points), strict=True)]
    draw = generator(SEED, "few points", *names)
    normal = draw.normal(size=(N_DRAWS, len(errors))) * errors
    if freedoms is None:
        return normal
    finite = np.where(np.isinf(freedoms), 1.0, freedoms)
    wide = np.sqrt(finite / draw.chisquare(finite, size=normal.shape))
    noise: Array = normal * np.where(np.isinf(freedoms), 1.0, wide)
    return noise


def _moved(curve: Through, ks: Array, noise: Array | None, at: Array) -> Array | None:
    """Return how draws of the points move the curve, to first order, shape (draws, at).

    None for two or three points, whose errors are not known.
    """
    if noise is None:
        return None if len(ks) < 4 else np.zeros((N_DRAWS, len(at)))
    moved: Array = noise @ curve.follow(ks, at).T
    return moved


def _sampling(moved: Array) -> Array:
    """Return the standard errors of losses, floor and gains from draws of the curve.

    They are those of a normal with the draws' own 95% range: a few wild draws do not count. The
    floor's has no end where more than 2.5% of the draws have none.
    """
    losses, floors = moved[:, :-1], moved[:, -1]
    known = floors[np.isfinite(floors)]
    enough = len(known) >= LEAST_IDENTIFIED * len(floors)
    floor = _normal(known[:, None]) if enough else np.array([np.inf])
    return np.concatenate([_normal(losses), floor, _normal(-np.diff(losses, axis=1))])


def _normal(draws: Array) -> Array:
    """Return the standard deviations of normals with the draws' 95% ranges."""
    ends = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    deviations: Array = (ends[1] - ends[0]) / (2 * student.ppf((1 + LEVEL) / 2, np.inf))
    return deviations


def _possible(curves: Array, missed: Array, scale: Scale) -> Array:
    """Return curves that could be true: draws of the points, and of what the law misses."""
    draw = generator(SEED, "departures", str(len(missed)))
    values, vectors = np.linalg.eigh(missed)
    root = vectors * np.sqrt(np.maximum(values, 0))
    wide = np.sqrt(scale.freedom / draw.chisquare(scale.freedom, size=(len(curves), 1)))
    possible: Array = curves + (draw.normal(size=curves.shape) @ root.T) * wide
    return possible
