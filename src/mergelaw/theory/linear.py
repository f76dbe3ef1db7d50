"""Which methods' merges are linear in the experts' weights, and which others are why not."""

from collections.abc import Sequence

from mergelaw.config.method_checks import has_equal_weights, is_equal_mean, is_mean
from mergelaw.config.methods import Method
from mergelaw.errors import ConfigError


def why_not_linear(method: Method) -> str | None:
    """Say why merges are not `base + sum_i w_i psi(v_i)`; None where they are.

    psi must hang on the expert alone, and the combination be a weighted mean.
    """
    if is_mean(method):
        return None
    if method.method == "layerwise":
        return (
            f"{method.label} (layerwise): is a sum with weights of its own in groups of tensors, "
            "so that no expert has one weight; take average (of a search: with groups: layers)"
        )
    return (
        f"{method.label} ({method.method}): what an expert adds depends on the other experts, so "
        "that merges are no weighted sums of task vectors; take a method whose combination is a "
        "weighted mean (average, task_arithmetic, dare, breadcrumbs, della_linear)"
    )


def refuse_nonlinear(method: Method) -> None:
    """Refuse a method whose merges are not linear in the weights.

    Raises
    ------
    ConfigError
    """
    reason = why_not_linear(method)
    if reason is not None:
        raise ConfigError(reason)


def why_no_curve(method: Method, experts: Sequence[str]) -> str | None:
    """Say why a merge of k experts is not `base + c/k sum psi(v_i)`; None where it is."""
    if is_equal_mean(method, experts):
        return None
    if not is_mean(method):
        return why_not_linear(method)
    if not has_equal_weights(method, experts):
        return (
            f"{method.label}: weights differ by expert, so that the mean over subsets is no "
            "function of k and the scale alone; give all experts one weight"
        )
    return (
        f"{method.label}: normalize is false, so that the merged delta grows with k and no "
        "curve with a floor is predicted; set it to true (the scale is then c)"
    )


def scale_of(method: Method) -> float:
    """Return the scale c of a method whose combination is a weighted mean."""
    if not is_mean(method):
        raise ValueError(f"{method.label} has no scale")
    return float(getattr(method.parameters, "scale", 1.0))
