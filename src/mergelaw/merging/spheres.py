"""Merges that are linear combinations whose coefficients follow from dot products alone.

A combination of the base and k task vectors is given by k + 1 coefficients, the base's first.
Everything on the sphere happens in the span of the models: a matrix of dot products suffices.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
Coefficients = NDArray[np.float64]

LINEAR_ABOVE = 0.9995
"""Cosine from which slerp is taken as linear: nearly parallel weights define no plane."""
COLLINEAR = 1 - 1e-9
"""The same where nothing else is customary."""
OPPOSED = 1e-3
"""Angle in radians from the antipode, to which no shortest path leads."""


def model_stock(gram: Matrix) -> Coefficients:
    """Return t / k for every task vector, t = k cos / (1 + (k - 1) cos).

    cos is the mean of the pairwise cosines of the task vectors; where the denominator vanishes,
    the base is kept. Source: Jang et al., "Model Stock", arXiv 2403.19522, equation 2 and
    appendix for k > 2.

    Parameters
    ----------
    gram : float64 array, shape (k + 1, k + 1)
        Dot products of the base and the task vectors.
    """
    dots, k = gram[1:, 1:], len(gram) - 1
    lengths = np.sqrt(np.diag(dots))
    cosines = dots / np.maximum(np.outer(lengths, lengths), np.finfo(np.float64).tiny)
    cosine = float(np.clip(cosines, -1, 1)[np.triu_indices(k, 1)].mean())
    denominator = 1 + (k - 1) * cosine
    share = k * cosine / denominator if abs(denominator) > 1e-6 else 0.0
    return np.array([0.0, *[share / k] * k])


def slerp(gram: Matrix, t: float) -> Coefficients:
    """Return the point at t on the great circle from the base to one expert's weights.

    sin((1 - t) theta) / sin(theta) times the base plus sin(t theta) / sin(theta) times the expert;
    linear where |cos theta| > 0.9995. Source: Shoemake, "Animating rotation with quaternion
    curves", SIGGRAPH 1985.

    Parameters
    ----------
    gram : float64 array, shape (2, 2)
        Dot products of the base and the task vector.
    t : float
        0 is the base, 1 the expert.
    """
    weights = np.array([[1.0, 0.0], [1.0, 1.0]])  # base and expert, by base and task vector
    arc = _arc(weights @ gram @ weights.T, t, LINEAR_ABOVE)
    return _offset(arc @ weights, of_weights=True)


def nuslerp(gram: Matrix, weights: Sequence[float], of_weights: bool) -> Coefficients:
    """Return the point between two experts at t = w_2 / (w_1 + w_2), as `slerp`.

    Parameters
    ----------
    gram : float64 array, shape (3, 3)
        Dot products of the base and the task vectors.
    weights : sequence of float
        Of the two experts.
    of_weights : bool
        Whether the circle is through the experts' weights, or through their task vectors.
    """
    vectors = _vectors(2, of_weights)
    t = weights[1] / sum(weights) if abs(sum(weights)) > 1e-6 else 0.5
    return _offset(_arc(vectors @ gram @ vectors.T, t, COLLINEAR) @ vectors, of_weights)


def karcher(
    gram: Matrix,
    weights: Sequence[float],
    of_weights: bool,
    max_iterations: int,
    tolerance: float,
) -> Coefficients:
    """Return the weighted mean on the sphere, times the weighted mean of the lengths.

    The point from which the logarithms of all unit vectors have the weighted mean 0, found by
    steps along that mean. Source: Karcher, "Riemannian center of mass and mollifier smoothing",
    Communications on Pure and Applied Mathematics 30 (1977).

    Parameters
    ----------
    gram : float64 array, shape (k + 1, k + 1)
        Dot products of the base and the task vectors.
    weights : sequence of float
        Of the experts.
    of_weights : bool
        Whether the sphere is that of the experts' weights, or of their task vectors.
    max_iterations : int
        Steps at most.
    tolerance : float
        Length of a step, in radians, that ends the iteration.
    """
    vectors = _vectors(len(gram) - 1, of_weights)
    dots = vectors @ gram @ vectors.T
    lengths = np.sqrt(np.maximum(np.diag(dots), 0))
    shares = np.asarray(weights) / sum(weights)
    there = lengths > 0
    if not there.any():
        return _offset(np.zeros(len(gram)), of_weights)
    dots = dots[np.ix_(there, there)] / np.outer(lengths[there], lengths[there])
    mean = _spherical_mean(dots, shares[there] / shares[there].sum(), max_iterations, tolerance)
    point = np.zeros(len(lengths))
    point[there] = mean / lengths[there] * float(shares @ lengths)
    return _offset(point @ vectors, of_weights)


def _spherical_mean(
    cosines: Matrix, shares: NDArray[np.float64], max_iterations: int, tolerance: float
) -> NDArray[np.float64]:
    """Return the mean of unit vectors as a combination of them."""

    def length(combination: NDArray[np.float64]) -> float:
        return math.sqrt(max(float(combination @ cosines @ combination), 0.0))

    mean: Coefficients = np.eye(len(shares))[0]
    if length(shares) > tolerance:
        mean = shares / length(shares)
    for _ in range(max_iterations):
        dots = np.clip(cosines @ mean, -1, 1)
        angles = np.arccos(dots)
        far = (angles > tolerance) & (angles < np.pi - OPPOSED)  # neither has a direction
        factors = np.where(far, shares * angles / np.where(far, np.sin(angles), 1), 0)
        step = factors - float(factors @ dots) * mean
        size = length(step)
        if size < tolerance:
            break
        mean = np.cos(size) * mean + np.sin(size) / size * step
        mean = mean / length(mean)
    return mean


def _vectors(k: int, of_weights: bool) -> Matrix:
    """Return the experts' weights, or task vectors, as rows over base and task vectors."""
    return np.hstack([np.full((k, 1), float(of_weights)), np.eye(k)])


def _offset(combination: NDArray[np.float64], of_weights: bool) -> Coefficients:
    """Return what is to be added to the base."""
    base: Coefficients = np.eye(len(combination))[0] * of_weights
    return combination - base


def _arc(dots: Matrix, t: float, linear_above: float) -> NDArray[np.float64]:
    """Return the coefficients of two vectors at t on the arc between them."""
    lengths = np.sqrt(np.maximum(np.diag(dots), 0))
    product = float(lengths[0] * lengths[1])
    cosine = float(np.clip(dots[0, 1] / product, -1, 1)) if product > 0 else 0.0
    if abs(cosine) > linear_above:
        return np.array([1 - t, t])
    angle = np.arccos(cosine)
    both: Coefficients = np.sin(np.array([1 - t, t]) * angle) / np.sin(angle)
    return both
