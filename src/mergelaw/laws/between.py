"""The curve between measured k, without a law: a quadratic in 1/k through the measured means."""

from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import ArrayLike
from scipy.stats import t as student

from mergelaw.errors import FitError
from mergelaw.laws.forms import Array
from mergelaw.laws.resampling import LEVEL

N_TERMS = 3


class Between(NamedTuple):
    """Mean losses at some k, and how far their intervals reach to each side; nats per token.

    Attributes
    ----------
    loss : array
    half : array, optional
        Of the 95% intervals for the mean over all subsets, on the same items; None: not known.
    """

    loss: Array
    half: Array | None


def between(
    k: ArrayLike, loss: ArrayLike, errors: ArrayLike, at: ArrayLike, freedom: float
) -> Between:
    """Return the mean loss over subsets at other k than those measured.

    For a loss of third order in the mean of the task vectors the mean over all subsets of k is a
    quadratic in 1/k: a mean of k drawn from M without replacement has the variance
    ``V (1/k - 1/M)``, and a third central moment that goes with ``(1/k - 1/M) (1/k - 2/M)``
    (Cochran 1977, Sampling Techniques, sections 2.6 and 2.15; for a loss of second order it is
    affine in 1/k). It is fitted by least squares. Its error has the errors of the points, carried
    to `at`, and the scatter about the curve, as it is at a point and at `at`. The scatter has as
    many degrees of freedom as there are points beyond three, one for four k: the interval's are
    Satterthwaite's (1946, Biometrics Bulletin 2), and few where the scatter rules.

    Parameters
    ----------
    k, loss, errors : array_like, shape (points,)
        Measured means and the standard errors from their choice of subsets; NaN: not known.
    at : array_like
        k from 1 on.
    freedom : float
        Degrees of freedom of the errors.

    Raises
    ------
    FitError
        If there are fewer than three k.
    """
    places, losses, known = (np.asarray(values, float) for values in (k, loss, errors))
    if len(np.unique(places)) < N_TERMS:
        raise FitError(f"a curve between the measured k needs {N_TERMS} of them")
    carried = _terms(np.asarray(at, float)) @ np.linalg.pinv(_terms(places))
    scatter = losses - _terms(places) @ np.linalg.pinv(_terms(places)) @ losses
    left = len(places) - N_TERMS
    if not left or not np.all(np.isfinite(known)):
        return Between(carried @ losses, None)
    sampled = carried**2 @ known**2
    scattered = (scatter @ scatter / left) * (1 + (carried**2).sum(axis=1))
    total = sampled + scattered
    shares = np.stack([sampled, scattered]) / np.where(total > 0, total, 1)
    uncertain = (shares**2).T @ (1 / np.array([freedom, left]))
    reach = student.ppf((1 + LEVEL) / 2, 1 / np.where(total > 0, uncertain, 1))
    return Between(carried @ losses, reach * np.sqrt(total))


def of_points(points: pl.DataFrame, at: ArrayLike) -> Between:
    """Return `between` of one curve's points: columns k, loss, subset_se, n_subsets and its pool's.

    The degrees of freedom are those of the k with the fewest subsets of those that are sampled.
    """
    errors = points["subset_se"].cast(pl.Float64).to_numpy()
    return between(points["k"], points["loss"], errors, at, freedom_of(points))


def freedom_of(points: pl.DataFrame) -> float:
    """Return the degrees of freedom of the errors of a curve's points."""
    sampled = points.filter(pl.col("n_subsets") < pl.col("n_subsets_pool"))
    return float(min([n - 1 for n in sampled["n_subsets"].to_list() if n > 1], default=1))


def _terms(k: Array) -> Array:
    return np.stack([np.ones_like(k), 1 / k, 1 / k**2], axis=-1)
