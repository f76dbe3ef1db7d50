"""Figures of the full report: what the study's jobs took."""

from mergelaw.report.captions.figure import COSTS, TASK_VECTORS, Figure

FIGURES: dict[str, Figure] = {
    "costs": Figure(
        "What the jobs took, by size and kind",
        "Left: time of processor cores. Right: time of the devices that models ran on, a GPU for "
        "as long as its job had it; of a job on the processor its wall time. Attempts that failed "
        "are left out. Other: scores of trained models, statistics, text, laws and report.",
        (COSTS,),
        full=True,
    ),
    "merge_seconds": Figure(
        "Seconds of one merge, beside the paper's (Table 13)",
        "Filled: this study, mean over all merges of the sweep, made in memory from models that "
        "are held there, without reading or writing files. Half-filled: this study, to a "
        "checkpoint on disk, where such cells were made. Open: printed by Wang et al., arXiv "
        "2509.24244, nine experts to a checkpoint, on hardware that is not printed with it.",
        (COSTS, TASK_VECTORS),
        full=True,
    ),
}
"""By name, in the page's order."""
