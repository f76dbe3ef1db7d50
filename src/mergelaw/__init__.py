"""Model merging scaling laws: merge subsets of experts, score them, fit the law, plan."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mergelaw.planning.forecasting import fit_law as fit_law
    from mergelaw.planning.plan import plan as plan

__version__ = "0.1.0"

_FROM = {"fit_law": "mergelaw.planning.forecasting", "plan": "mergelaw.planning.plan"}
"""What is imported when it is asked for, so that `import mergelaw` stays quick."""


def __getattr__(name: str) -> Any:
    """Import a function of the Python interface, by its name."""
    if name not in _FROM:
        raise AttributeError(f"module 'mergelaw' has no attribute {name!r}")
    return getattr(import_module(_FROM[name]), name)
