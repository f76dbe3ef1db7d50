"""Surfaces whose losses are known functions of the weights, with exact derivatives."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from mergelaw.theory.derivatives import Derivatives, Folds
from mergelaw.theory.surface import Spent


@dataclass
class Toy:
    """Loss per token of each fold: ``level + |R (w - best)|^2 / 2 + cubic * sum (w - best)^3``.

    `curved` adds any further curvature, also one that bends down, and `quartic * sum(w^4)` what
    bounds it. Noise of a fold moves its best point.
    """

    best: np.ndarray  # (domains, weights)
    curvature_by_domain: np.ndarray  # (domains, weights, weights)
    level: np.ndarray  # (domains,)
    n_folds: int = 4
    noise: float = 0.0
    cubic: float = 0.0
    quartic: float = 0.0
    groups: tuple[str, ...] = ("model",)
    seed: int = 0
    price: float = 9.0
    spent: Spent = field(default_factory=Spent)

    def __post_init__(self):
        n_domains, n = self.best.shape
        self.experts = tuple(f"e{i}" for i in range(n // len(self.groups)))
        names = [f"d{d}" for d in range(n_domains) for _ in range(self.n_folds)]
        draw = np.random.default_rng(self.seed)
        tokens = draw.integers(50, 90, len(names))
        self.folds = Folds(tuple(names), np.ones(len(names), dtype=int), tokens)
        self.row = np.repeat(np.arange(n_domains), self.n_folds)
        self.slopes = self.noise * draw.standard_normal((len(names), n))

    def _parts(self, weights):
        tokens = self.folds.n_tokens
        step = weights - self.best[self.row]
        bent = np.einsum("fij,fj->fi", self.curvature_by_domain[self.row], step)
        loss = self.level[self.row] + (step * bent).sum(1) / 2 + (self.slopes * step).sum(1)
        loss = loss + self.cubic * (step**3).sum(1) + self.quartic * (weights**4).sum()
        slope = bent + self.slopes + 3 * self.cubic * step**2 + 4 * self.quartic * weights**3
        eye = np.eye(len(weights))
        hessian = self.curvature_by_domain[self.row] + 6 * self.cubic * step[:, None] * eye
        hessian = hessian + 12 * self.quartic * weights**2 * eye
        return loss * tokens, slope * tokens[:, None], hessian * tokens[:, None, None]

    def losses(self, weights):
        self.spent.n_losses += 1
        self.spent.forwards += 1
        return self._parts(weights)[0]

    def gradient(self, weights):
        self.spent.n_gradients += 1
        self.spent.forwards += 3
        return self._parts(weights)[:2]

    def curvature(self, weights, folds: Sequence[int] | None = None):
        self.spent.n_products += len(weights)
        self.spent.forwards += 1 + self.price
        parts = self._parts(weights)
        return Derivatives(self.experts, self.groups, np.array(weights), self.folds, *parts)

    def truth(self, weights):
        """Return the losses without noise, shape (domains,)."""
        step = weights - self.best
        bent = np.einsum("di,dij,dj->d", step, self.curvature_by_domain, step)
        return self.level + bent / 2 + self.cubic * (step**3).sum(1)


def toy(n_experts=4, n_domains=3, seed=0, **settings):
    """Return a convex toy with a best point of its own for every domain."""
    draw = np.random.default_rng([seed, n_experts, n_domains])
    n = n_experts * len(settings.get("groups", ("model",)))
    roots = draw.standard_normal((n_domains, n, n))
    curvature = roots @ roots.transpose(0, 2, 1) / n + 0.2 * np.eye(n)
    best = 1 / n_experts + 0.3 * draw.standard_normal((n_domains, n))
    level = 1 + 0.1 * draw.standard_normal(n_domains)
    return Toy(best, curvature, level, seed=seed, **settings)
