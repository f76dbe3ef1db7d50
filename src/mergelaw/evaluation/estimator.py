"""The difference of two models' losses on a text, estimated from some of its items."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class DomainDifference:
    """Difference of two models' losses on one domain, in nats per token.

    Attributes
    ----------
    domain : str
        Name of the domain.
    difference : float
        Loss of the one less that of the other, on the scored items: sum(a - b) / sum(n).
    standard_error : float
        Of `difference`, as an estimate of the one on all items; 0 when all are scored.
    n_items, n_tokens : int
        Items that were scored, and their scored tokens.
    of_items, of_tokens : int
        What the domain holds.
    """

    domain: str
    difference: float
    standard_error: float
    n_items: int
    n_tokens: int
    of_items: int
    of_tokens: int


@dataclass(frozen=True)
class Difference:
    """Difference of two models' macro losses, and of each domain's.

    Attributes
    ----------
    difference : float
        Mean of the domains' differences, in nats per token.
    standard_error : float
        Of `difference`, as an estimate of the one on the whole text.
    domains : tuple of DomainDifference
    """

    difference: float
    standard_error: float
    domains: tuple[DomainDifference, ...]

    @property
    def stopped(self) -> bool:
        """Whether items were left out."""
        return any(domain.n_items < domain.of_items for domain in self.domains)

    def facts(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "difference": self.difference,
            "standard_error": self.standard_error,
            "stopped": self.stopped,
            "domains": [dict(vars(domain)) for domain in self.domains],
        }

    @classmethod
    def of(cls, domains: Sequence[DomainDifference]) -> "Difference":
        """Return the macro difference: the mean over domains, whose errors are independent."""
        mean = sum(domain.difference for domain in domains) / len(domains)
        error = sum(domain.standard_error**2 for domain in domains) ** 0.5 / len(domains)
        return cls(mean, error, tuple(domains))


def domain_difference(
    domain: str, differences: NDArray[np.float64], n_tokens: NDArray[np.int32]
) -> DomainDifference:
    """Estimate a domain's difference from its first items, which stand in a random order.

    Parameters
    ----------
    domain : str
        Name of the domain.
    differences : float64 array, shape (scored items,)
        Summed loss of the one model less that of the other.
    n_tokens : int array, shape (items,)
        Scored tokens of all items of the domain.

    Notes
    -----
    The ratio estimator r = sum(d) / sum(n) with its linearised standard error (Cochran, Sampling
    Techniques, 3rd ed., eq. 6.13): sqrt((1 - m/M) / m * sum((d - r n)^2) / (m - 1)) / mean(n) for m
    of M items. The factor 1 - m/M makes it the error towards the text at hand, not towards others
    of its kind.
    """
    m, counts = len(differences), n_tokens[: len(differences)]
    ratio = float(differences.sum() / counts.sum())
    residuals = differences - ratio * counts
    left = 1 - m / len(n_tokens)
    spread = float(residuals @ residuals) / (m - 1) if left else 0.0
    return DomainDifference(
        domain,
        ratio,
        (left * spread / m) ** 0.5 / float(counts.mean()),
        m,
        int(counts.sum()),
        len(n_tokens),
        int(n_tokens.sum()),
    )
