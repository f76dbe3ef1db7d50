"""Figures of every report: what was measured, and the laws fitted to it."""

from mergelaw.report.captions.figure import (
    CURVES,
    FITS,
    MERGED_TENSORS,
    PREDICTIONS,
    TASK_VECTORS,
    Figure,
)

FIGURES: dict[str, Figure] = {
    "loss_by_k": Figure(
        "Loss against the number of merged experts",
        "Points: mean macro loss over the subsets of k experts, with standard errors where they "
        "are defined. Solid lines: the law floor + tail/(k + offset), fitted to each size. "
        "Dashed lines: its floor, an extrapolation that no pool reaches. Pale dash-dotted lines: "
        "one joint law for all sizes.",
        (CURVES, FITS, PREDICTIONS),
    ),
    "floor_tail_by_n": Figure(
        "Floor and tail against model size",
        "Floor and tail of the law fitted to each size (points, with standard errors of the fit "
        "where they are defined: scatter about the curve, not token error) against N. Lines: floor "
        "and tail that one joint law gives. Open points are at a bound of the fit.",
        (CURVES, FITS, PREDICTIONS),
    ),
    "heldout": Figure(
        "The largest size, predicted from the smaller ones",
        "Points: measured macro loss of the largest size. Dash-dotted lines: the joint law fitted "
        "without that size. The distance between them is the honest test of the law across sizes.",
        ("heldout.parquet",),
    ),
    "forecast": Figure(
        "Loss forecast from three small k",
        "Lines: the law through three small k (filled points), solved in closed form; dash-dotted "
        "where it is extrapolated. Open points: measured, not used by the forecast. Macro loss.",
        ("forecast.parquet",),
    ),
    "variance_by_k": Figure(
        "Variance over subsets against the number of merged experts",
        "Points: variance of the macro loss over the subsets of k experts. Lines: "
        "V0 (1/k - 1/M), the law for subsets drawn without replacement from a pool of M experts; "
        "it reaches 0 at k = M, where one subset exists.",
        ("variance.parquet",),
    ),
    "return_by_k": Figure(
        "Share of the realized improvement against the number of merged experts",
        "Share of the drop in macro loss from one expert to the whole pool that k experts "
        "already reach, on the running minimum of the measured loss. Dashed lines: 85% and 90%.",
        ("returns.parquet",),
    ),
    "method_gap": Figure(
        "Loss of each method relative to the reference method",
        "Difference in macro loss from the reference method, in percent, at the same size and k. "
        "Below zero the method is better than the reference.",
        ("gaps.parquet",),
    ),
    "synergy": Figure(
        "What each expert adds to each domain",
        "Mean fall of a domain's loss when the row's expert joins a subset, over all measured "
        "pairs of subsets, balanced over k; reference method. Blue: the expert helps; red: it "
        "hurts.",
        ("synergy.parquet",),
    ),
    "domains": Figure(
        "Loss of each domain against the number of merged experts",
        "Points: mean loss of the domain over the subsets of k experts, with standard errors where "
        "they are defined; lines: the law floor + tail/(k + offset), fitted to each domain and "
        "size; reference method. Every panel has its own loss scale.",
        (CURVES, PREDICTIONS),
    ),
    "own_cross": Figure(
        "Loss of each single expert on each domain",
        "Loss of every expert alone (k = 1) at the largest size; reference method. Framed cells: "
        "the expert's own domain. Lighter is better.",
        ("specialists.parquet",),
    ),
    "task_vectors": Figure(
        "Cosines between the experts' task vectors",
        "A task vector is an expert's weights minus the base's. Off the diagonal: the cosine of "
        "two experts' task vectors over all weights; 1 is one direction, 0 none in common. On the "
        "diagonal, without a colour: the task vector's norm. All maps share one scale of colours, "
        "which starts at the lowest cosine and need not hold 0.",
        (TASK_VECTORS,),
    ),
    "merged_task_vectors": Figure(
        "What each method keeps of the task vectors",
        "The whole pool merged, over all weights. Entries kept and squared norm: of each expert's "
        "task vector after trimming or dropping, a mark per expert. Sign agreement: of what is "
        "kept, |sum of signs| over their number, the mean over entries; 100% where no two experts "
        "disagree. The others are of the merged task vector: its norm and direction against the "
        "plain mean of the experts' task vectors, and the norm of what rounding to the stored type "
        "changes.",
        (TASK_VECTORS, MERGED_TENSORS),
    ),
}
