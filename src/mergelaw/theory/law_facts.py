"""Floor, tail and best scale of a forecast from one merge, a domain at a time, as plain data."""

from typing import TYPE_CHECKING, Any

from mergelaw.theory.curve_prediction import law_sums, scale_error
from mergelaw.theory.curve_rows import known

if TYPE_CHECKING:
    from mergelaw.theory.merge_forecast import MergeForecast

SHARES = (0.85, 0.9)
"""Of the fall from one expert to all, for which k is told."""


def law_facts(found: "MergeForecast", d: int) -> dict[str, Any]:
    """Return what is told of a domain, by its number: floor, tail, k of the returns, best scale."""
    one, curve, draws = found.text, found.curve, found.draws
    floor, tail = law_sums(one)
    wanted = {f"k{share * 100:.0f}": curve.k_for_return(share)[d] for share in SHARES}
    return {
        "domain": curve.domains[d],
        "floor": float(curve.floor[d]),
        "floor_stderr": known(draws.stderr(floor)[d]),
        "tail": float(curve.tail[d]),
        "tail_stderr": known(draws.stderr(tail)[d]),
        "loss_pool": float(curve.loss[d]),
        **wanted,
        "best_scale": known(curve.best_scale()[d]),
        "best_scale_stderr": known(scale_error(found.found, draws, one)[d]),
        "base": float(found.base[d]),
        "base_predicted": float(curve.base[d]),
    }
