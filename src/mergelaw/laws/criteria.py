"""Comparing laws fitted to the same points: AICc and Akaike weights."""

from collections.abc import Sequence

import numpy as np

EXACT = 1e-9
"""A root mean square below this share of the values is rounding: there is no residual left."""


def aicc(rss: float, n_points: int, n_parameters: int, size: float) -> float | None:
    """Return the corrected Akaike criterion of a least squares fit; differences mean something.

    ``n log(rss/n) + 2(p + 1) + 2(p + 1)(p + 2)/(n - p - 2)``, where p + 1 counts the parameters
    and the residual variance (Hurvich & Tsai 1989).

    Parameters
    ----------
    n_parameters
        p, the free parameters of the law.
    size
        Of the fitted values, such as their mean: what rounding is relative to.

    Returns
    -------
    None with n <= p + 2, or where the law goes through every point.
    """
    n, p = n_points, n_parameters
    if n <= p + 2 or rss <= n * (EXACT * size) ** 2:
        return None
    return float(n * np.log(rss / n) + 2 * (p + 1) + 2 * (p + 1) * (p + 2) / (n - p - 2))


def akaike_weights(values: Sequence[float | None]) -> tuple[list[float | None], list[float | None]]:
    """Return differences to the lowest AICc, and the weights ``exp(-delta/2)``, of sum 1.

    Burnham & Anderson 2002, section 2.9. None stays None.
    """
    known = np.array([value for value in values if value is not None])
    if not known.size:
        return list(values), list(values)
    total = float(np.sum(np.exp(-(known - known.min()) / 2)))
    deltas = [None if value is None else float(value - known.min()) for value in values]
    weights = [None if d is None else float(np.exp(-d / 2)) / total for d in deltas]
    return deltas, weights
