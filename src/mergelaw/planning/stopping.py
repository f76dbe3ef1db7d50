"""When to stop merging more experts: the next one's gain is small, and not clear of its error."""

from collections.abc import Sequence
from dataclasses import dataclass

CLEAR = 2.0
"""Standard errors that a gain has to exceed to be clear."""


@dataclass(frozen=True)
class Stop:
    """Where to stop.

    Attributes
    ----------
    eps
        The least gain that is worth one more expert, nats per token.
    k
        Experts to stop at: the pool, where no smaller k will do.
    in_pool
        Whether that is below the pool.
    errors_known
        Whether the gains' standard errors are known; where one is not, `eps` alone decides.
    reason
        The same in words.
    """

    eps: float
    k: int
    in_pool: bool
    errors_known: bool
    reason: str


def stop_at(gains: Sequence[float], stderr: Sequence[float | None], eps: float) -> Stop:
    """Return the smallest k at which one more expert's expected gain is not worth it.

    ``gain(k) = L(k) - L(k + 1)`` must be below `eps` and below two of its standard errors: a gain
    that is small and clear is still a gain.

    Parameters
    ----------
    gains : sequence of float
        At k = 1..M - 1, nats per token.
    stderr : sequence of float or None
        Of the gains; empty where none is known.
    eps : float
        Nats per token.
    """
    errors = list(stderr) or [None] * len(gains)
    known = None not in errors
    for k, (gain, error) in enumerate(zip(gains, errors, strict=True), start=1):
        if gain < eps and (error is None or gain < CLEAR * error):
            bound = "its error is not known" if error is None else f"two errors are {2 * error:.2g}"
            told = f"gain {_below(gain, eps)} nats per token, below {eps:g}"
            words = f"expert {k + 1} is expected to {told}; {bound}"
            return Stop(eps, k, True, known, words)
    small = next((k for k, gain in enumerate(gains, start=1) if gain < eps), None)
    words = (
        f"every expert of the pool is expected to gain {eps:g} or more{_unclear(gains, errors)}"
        if small is None
        else f"gains fall below {eps:g} at k = {small}, but are still clear of their errors"
    )
    return Stop(eps, len(gains) + 1, False, known, words)


def _below(gain: float, eps: float) -> str:
    """Return a gain with two digits, or as many as show that it is below `eps`."""
    texts = (f"{gain:.{digits}g}" for digits in range(2, 17))
    return next((text for text in texts if float(text) < eps), f"{gain!r}")


def _unclear(gains: Sequence[float], errors: Sequence[float | None]) -> str:
    """Return how many of the gains, large as they are, could be none."""
    pairs = zip(gains, errors, strict=True)
    lost = sum(error is not None and gain < CLEAR * error for gain, error in pairs)
    return f"; {lost} of {len(gains)} gains are not clear of their errors" if lost else ""
