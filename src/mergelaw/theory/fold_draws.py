"""What would be measured on other text of the kind: folds of items resampled, domain by domain."""

from dataclasses import dataclass

import numpy as np

from mergelaw.laws.forms import Array
from mergelaw.laws.resampling import reach
from mergelaw.laws.uncertainty import generator
from mergelaw.theory.derivatives import Folds

N_DRAWS = 200
"""Resamples of the folds."""

UNKNOWN = 1.0
"""Degrees of freedom where no domain has two folds; no error is told then."""


@dataclass(frozen=True)
class FoldDraws:
    """Resamples of the folds, each domain's apart, the same for all that is computed from them.

    Attributes
    ----------
    folds : Folds
    counts : int array, shape (draws, folds)
        How often each fold is counted.
    """

    folds: Folds
    counts: Array

    @classmethod
    def of(cls, folds: Folds, seed: int = 0, count: int = N_DRAWS) -> "FoldDraws":
        """Draw as many folds of each domain as it has, with repetition.

        Parameters
        ----------
        folds : Folds
        seed : int
            With the domain's name it decides the draw.
        count : int
            Draws.
        """
        counts = np.zeros((count, len(folds.domains)))
        for name, mine in zip(folds.names, folds.membership.astype(bool), strict=True):
            n = int(mine.sum())
            draw = generator(seed, "folds", name)
            counts[:, mine] = draw.multinomial(n, np.full(n, 1 / n), size=count)
        return cls(folds, counts)

    @property
    def n_folds(self) -> Array:
        """Folds of each domain, shape (domains,)."""
        number: Array = self.folds.membership.sum(axis=1)
        return number

    @property
    def freedom(self) -> Array:
        """Degrees of freedom of errors, of each domain and of macro, shape (domains + 1,)."""
        each = self.n_folds - 1
        freedom: Array = np.maximum(np.append(each, each.sum()), UNKNOWN)
        return freedom

    @property
    def reach(self) -> Array:
        """Standard errors that an interval reaches to each side, shape (domains + 1,)."""
        return np.array([reach(freedom) for freedom in self.freedom])

    def means(self, sums: Array) -> Array:
        """Return means per token under every draw, of each domain and of macro.

        Deviations from the mean of all folds are stretched by sqrt(n / (n - 1)), n the domain's
        folds, as `mergelaw.laws.uncertainty.resampled` has it. NaN for a domain of one fold, whose
        noise cannot be seen, and then for macro.

        Parameters
        ----------
        sums : array, shape (folds, ...)

        Returns
        -------
        array, shape (draws, domains + 1, ...)
        """
        flat = sums.reshape(len(sums), -1)
        found = np.empty((len(self.counts), len(self.folds.names) + 1, flat.shape[1]))
        for d, mine in enumerate(self.folds.membership.astype(bool)):
            counts, tokens = self.counts[:, mine], self.folds.n_tokens[mine]
            centre = flat[mine].sum(axis=0) / tokens.sum()
            drawn = (counts @ flat[mine]) / (counts @ tokens)[:, None]
            n = int(mine.sum())
            stretch = np.sqrt(n / (n - 1)) if n > 1 else np.nan
            found[:, d] = centre + stretch * (drawn - centre)
        found[:, -1] = found[:, :-1].mean(axis=1)
        return found.reshape(*found.shape[:2], *sums.shape[1:])

    def stderr(self, sums: Array) -> Array:
        """Return the standard error of means per token, shape (domains + 1, ...); NaN: unknown."""
        error: Array = self.means(sums).std(axis=0, ddof=1)
        return error


def with_macro(folds: Folds, sums: Array) -> Array:
    """Return means per token of each domain and of macro, shape (domains + 1, ...)."""
    return _and_macro(folds.per_token(sums))


def totals_with_macro(folds: Folds, totals: Array) -> Array:
    """Return the same of sums over whole domains, shape (domains, experts)."""
    return _and_macro(totals / (folds.membership @ folds.n_tokens)[:, None])


def _and_macro(means: Array) -> Array:
    return np.concatenate([means, means.mean(axis=0, keepdims=True)])
