"""Which methods' merges are linear in the experts' weights, and which others are why not."""

from collections.abc import Sequence

from mergelaw.config.methods import Method, of_expert
from mergelaw.merging.methods import recipe


def why_not_linear(method: Method) -> str | None:
    """Say why merges are not `base + sum_i w_i psi(v_i)`; None where they are.

    psi must hang on the expert alone, and the combination be a weighted mean.
    """
    if recipe(method, "").mean is not None:
        return None
    return (
        f"{method.label} ({method.method}): what an expert adds depends on the other experts, so "
        "that merges are no weighted sums of task vectors; take a method whose combination is a "
        "weighted mean (average, task_arithmetic, dare, breadcrumbs, della_linear)"
    )


def why_no_curve(method: Method, experts: Sequence[str]) -> str | None:
    """Say why a merge of k experts is not `base + c/k sum psi(v_i)`; None where it is."""
    reason, mean = why_not_linear(method), recipe(method, "").mean
    if mean is None:
        return reason
    if len({of_expert(mean.weight, expert) for expert in experts}) > 1:
        return (
            f"{method.label}: weights differ by expert, so that the mean over subsets is no "
            "function of k and the scale alone; give all experts one weight"
        )
    if not mean.normalize:
        return (
            f"{method.label}: normalize is false, so that the merged delta grows with k and no "
            "curve with a floor is predicted; set it to true (the scale is then c)"
        )
    return None


def scale_of(method: Method) -> float:
    """Return the scale c of a method whose combination is a weighted mean."""
    mean = recipe(method, "").mean
    if mean is None:
        raise ValueError(f"{method.label} has no scale")
    return mean.scale
