"""What the law itself misses: a smooth departure from it, of a size that was calibrated.

The mean loss is the law plus a departure d(k), a Gaussian process (Kennedy & O'Hagan 2001, Journal
of the Royal Statistical Society B 63, "model discrepancy"; Rasmussen & Williams 2006, sections 2.7
and 4.2) over log k:

    cov(d(k), d(k')) = sigma^2 [(1 - n) exp(-(ln k - ln k')^2 / (2 l^2)) + n 1(k = k')]

with l = LENGTH and n = NUGGET. sigma^2 has a scaled inverse chi-squared prior, ``freedom sigma_0^2
/ chi^2_freedom`` (Gelman et al. 2013, Bayesian Data Analysis, section 2.6), with ``sigma_0 = share
sqrt(fall loss)``: fall is the measured one from the smallest to the largest k, loss the mean of the
points. What residuals there are sharpen it. Forecasts then err by Student's t.
"""

from typing import NamedTuple

import numpy as np

from mergelaw.laws.forms import Array

LENGTH = 0.5
"""Of the departure's correlation, in units of ln k."""

NUGGET = 0.01
"""Share of the departure's variance that no other k knows of."""


class Misfit(NamedTuple):
    """The prior of the departure's size; `share` 0 takes the law as true."""

    share: float
    freedom: float


CALIBRATED = {
    "linear": Misfit(0.005, 3.0),
    "ties": Misfit(0.008, 1.6),
    "any": Misfit(0.005, 1.9),
}
"""What `benchmarks/plan_calibration.py` finds on two studies: the default one's seed 1, without its
largest size, and config/capacity.yaml, seed 0; forecasts from k = 1, 2, 4 and 1, 3, 6 of every
method, size and domain. Other seeds judge it: docs/forecast.md."""

LINEAR = ("average", "task_arithmetic", "dare")
"""Methods whose merge is linear in the task vectors: the law is nearly exact for them."""


def calibrated(method: str | None) -> Misfit:
    """Return the departure to allow for: a method's own where it was measured."""
    if method in LINEAR:
        return CALIBRATED["linear"]
    return CALIBRATED["ties" if method == "ties" else "any"]


def correlation(k: Array, other: Array) -> Array:
    """Return the departure's covariance at sigma = 1, shape (k, other); k may be infinite."""
    first, second = np.log(np.asarray(k, float)), np.log(np.asarray(other, float))
    same = first[:, None] == second
    distance = np.subtract.outer(first, second, where=~same, out=np.zeros(same.shape))
    smooth = (1 - NUGGET) * np.exp(-(distance**2) / (2 * LENGTH**2))
    covariance: Array = smooth + NUGGET * same
    return covariance


def size(losses: Array) -> float:
    """Return sqrt(fall * loss), the unit of a departure, in nats per token (losses by k)."""
    return float(np.sqrt(abs(losses[0] - losses[-1]) * np.mean(losses)))


class Scale(NamedTuple):
    """What is known of sigma: its t scale in nats per token, and the degrees of freedom."""

    value: float
    freedom: float


def sharpened(
    prior: Misfit,
    unit: float,
    ks: Array,
    errors: Array,
    fitted: tuple[Array, Array],
    rest: Array,
) -> Scale:
    """Return what is known of sigma once the residuals of a fit are seen.

    The contrasts of the points that the law cannot follow are Gaussian with the covariance
    ``Q' (sigma^2 C + E) Q``; their likelihood times the prior is summed over a grid of sigma, and
    an inverse chi-squared with the same mean and variance of 1/sigma^2 stands for it (exact where
    E is 0).

    Parameters
    ----------
    unit : float
        `size` of the points.
    ks, errors : arrays, shape (points,)
        Errors are standard errors, 0 where the residuals alone tell of them.
    fitted : arrays, shape (points, parameters) and (points,)
        The law's derivatives by its free parameters, and the weights of the fit: square roots,
        that multiply both.
    rest : array, shape (points,)
        Residuals of the fit.
    """
    slopes, weights = fitted
    first = prior.share * unit
    n_contrasts = len(ks) - slopes.shape[1]
    if n_contrasts < 1 or first == 0:
        return Scale(first, prior.freedom)
    contrasts = np.linalg.svd(slopes)[0][:, slopes.shape[1] :].T * weights
    smooth = contrasts @ correlation(ks, ks) @ contrasts.T
    known = contrasts @ np.diag(errors**2) @ contrasts.T
    seen = contrasts @ rest
    sigma = first * np.geomspace(1e-3, 1e3, 400)
    weight = np.array([_log_density(seen, s**2 * smooth + known) for s in sigma])
    weight += -prior.freedom * (np.log(sigma) + first**2 / (2 * sigma**2))  # in d log sigma
    weight = np.exp(weight - weight.max())
    weight /= weight.sum()
    precision = 1 / sigma**2
    mean = float(weight @ precision)
    variance = float(weight @ (precision - mean) ** 2)
    return Scale(mean**-0.5, 2 * mean**2 / variance)


def _log_density(seen: Array, covariance: Array) -> float:
    """Return the log density of a Gaussian, but for a constant."""
    _, log_determinant = np.linalg.slogdet(covariance)
    return float(-0.5 * (log_determinant + seen @ np.linalg.solve(covariance, seen)))
