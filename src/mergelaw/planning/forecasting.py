"""`fit_law`: the whole curve from a few measured points, and how far it is known."""

import math
from collections.abc import Iterator, Mapping
from numbers import Real

import numpy as np

from mergelaw.planning.estimators import estimate
from mergelaw.planning.few_points import Pairs, measured_points, sampling_errors
from mergelaw.planning.fitted_law import FittedLaw
from mergelaw.planning.misfit import calibrated


def fit_law(
    points: Pairs,
    pool: int,
    *,
    errors: Pairs | None = None,
    n_subsets: Pairs | None = None,
    text_error: float = 0.0,
    method: str | None = None,
    misfit: float | None = None,
) -> FittedLaw:
    """Fit the law of merging to a few mean losses of one size, method and domain.

    Two points hold the offset at 0; three have a closed form, for any three k; four or more are
    fitted by least squares (`mergelaw.laws.fitting.fit`).

    Parameters
    ----------
    points : mapping of int to float, or pairs
        Mean loss over subsets by k, nats per token.
    pool : int
        Experts that subsets are drawn from, M.
    errors : mapping of int to float, or pairs, optional
        Standard errors of the mean losses from subsets that were not measured.
    n_subsets : mapping of int to int, or pairs, optional
        Subsets averaged; where they are all C(M, k), the mean has no sampling error.
    text_error : float
        Standard error from the choice of evaluation text, which moves all losses alike.
    method : str, optional
        `average`, `task_arithmetic`, `dare` or `ties`: what the law misses was measured for these.
    misfit : float, optional
        What the law misses, as a share of sqrt(fall * loss), in place of the calibrated one; 0
        takes the law as true.

    Returns
    -------
    FittedLaw
        With `case` "not_identified", and the reason in its notes, where the points allow no law.

    Raises
    ------
    FitError
        Listing every problem of the points.

    Examples
    --------
    >>> law = fit_law({1: 2.267, 2: 1.899, 4: 1.710}, pool=9)
    >>> round(float(law.loss(9)), 3), law.k_for_return(0.9).k
    (1.605, 6)
    """
    problems = [*_problems({"misfit": misfit, "text_error": text_error})]
    measured = measured_points(points, pool, errors, n_subsets, problems)
    default = calibrated(method)
    allowed = default if misfit is None else default._replace(share=misfit)
    ks = np.array([point.k for point in measured], float)
    losses = np.array([point.loss for point in measured])
    known = sampling_errors(measured)
    curve = estimate(ks, losses, None if known is None else np.array(known))
    return FittedLaw(
        pool=pool,
        points=measured,
        case=curve.case,
        identified=curve.identified,
        notes=curve.notes,
        misfit=allowed,
        curve=curve,
        text_error=text_error,
    )


def _problems(settings: Mapping[str, object]) -> Iterator[str]:
    for name, value in settings.items():
        number = isinstance(value, Real) and 0 <= float(value) < math.inf
        if value is not None and not number:
            yield f"{name} = {value!r}: must be a finite number, 0 or more"
