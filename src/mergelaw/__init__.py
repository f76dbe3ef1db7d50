"""Model merging scaling laws: merge subsets of experts, score them, fit the law, plan."""

__version__ = "0.1.0"
