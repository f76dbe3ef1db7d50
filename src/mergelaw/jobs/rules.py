"""The rules of the workflow, by which jobs are named, counted and recorded."""

from collections.abc import Mapping
from typing import NamedTuple


class Rule(NamedTuple):
    """A rule of the workflow.

    Attributes
    ----------
    stage : str
        A key of `STAGE_VERSION`.
    targets : tuple of str
        Its wildcards, in the order of its output's path.
    on_device : bool
        Whether its jobs use a GPU where there is one.
    """

    stage: str
    targets: tuple[str, ...] = ()
    on_device: bool = False


RULES: Mapping[str, Rule] = {
    "design": Rule("design"),
    "items": Rule("data", ("domain",)),
    "tokenizer": Rule("data"),
    "pretraining": Rule("data"),
    "shards": Rule("data"),
    "base": Rule("experts", ("size",), on_device=True),
    "expert": Rule("experts", ("size", "expert"), on_device=True),
    "multitask": Rule("experts", ("size",), on_device=True),
    "multitask_losses": Rule("experts", ("size",), on_device=True),
    "snapshot_losses": Rule("experts", ("size",), on_device=True),
    "training_logs": Rule("experts", ("size",)),
    "chunk": Rule("sweep", ("size", "method", "chunk"), on_device=True),
    "losses": Rule("sweep"),
    "part": Rule("sweep", ("part",)),
    "scales": Rule("sweep", ("size",), on_device=True),
    "best_scales": Rule("sweep", ("size",), on_device=True),
    "orders": Rule("sweep", ("size",), on_device=True),
    "cell": Rule("merge", ("size", "method", "subset")),
    "cell_losses": Rule("merge", ("size", "method", "subset"), on_device=True),
    "task_vectors": Rule("merge", ("size",)),
    "curves": Rule("laws"),
    "part_curves": Rule("laws", ("part",)),
    "fits": Rule("laws"),
    "analysis": Rule("laws", ("analysis",)),
    "derivatives": Rule("theory", ("size",), on_device=True),
    "weights": Rule("theory", ("size",), on_device=True),
    "predictions": Rule("theory"),
    "law_file": Rule("planning"),
    "planner": Rule("planning"),
    "figure": Rule("report", ("figure",)),
    "costs": Rule("report"),
    "page": Rule("report", ("page",)),
}
"""Every rule that runs a job, by name."""
