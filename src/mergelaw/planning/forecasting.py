"""`fit_law`: the whole curve from a few measured points, and how far it is known."""

import numpy as np

from mergelaw.errors import FitError
from mergelaw.planning.estimators import estimate
from mergelaw.planning.few_points import Pairs, measured_points, sampling_errors
from mergelaw.planning.fitted_law import FittedLaw
from mergelaw.planning.misfit import Misfit, calibrated


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
    measured = measured_points(points, pool, errors, n_subsets)
    allowed = _allowed(method, misfit, text_error)
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


def _allowed(method: str | None, share: float | None, text_error: float) -> Misfit:
    problems = [
        f"{name} = {value:g}: must be 0 or positive"
        for name, value in {"misfit": share or 0.0, "text_error": text_error}.items()
        if not 0 <= value < np.inf
    ]
    if problems:
        raise FitError("; ".join(problems))
    default = calibrated(method)
    return default if share is None else default._replace(share=share)
