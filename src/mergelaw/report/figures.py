"""The function that draws each figure of the registry."""

from collections.abc import Callable

from matplotlib.figure import Figure

from mergelaw.config import Study
from mergelaw.report import curves, maps, sizes, spread, vectors
from mergelaw.report.inputs import Tables

DRAW: dict[str, Callable[[Study, Tables], Figure]] = {
    "loss_by_k": curves.loss_by_k,
    "floor_tail_by_n": sizes.floor_tail_by_n,
    "heldout": sizes.heldout,
    "forecast": sizes.forecast,
    "variance_by_k": spread.variance_by_k,
    "return_by_k": spread.return_by_k,
    "method_gap": spread.method_gap,
    "synergy": maps.synergy,
    "domains": curves.domains,
    "own_cross": maps.own_cross,
    "task_vectors": vectors.task_vectors,
    "merged_task_vectors": vectors.merged_task_vectors,
}
