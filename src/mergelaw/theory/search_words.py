"""What a reader must know of a search for weights, in sentences without a semicolon."""

import numpy as np

from mergelaw.laws.forms import Array
from mergelaw.theory.judging import Judged
from mergelaw.theory.penalty import Choice

TOLD = 2.0
"""Standard errors from 0 at which a gain is told from it."""


def bent_down(n_negative: int, weights: Array, radius: float) -> str:
    """Say that the loss has negative curvature at the start."""
    return (
        f"the loss bends down along {n_negative} of {len(weights)} directions at the start: a step "
        f"moved a weight by {radius:g} at most, and its exact loss decided"
    )


def broken_promise(kept: float) -> str:
    """Say that the first step's exact loss was not what the quadratic models promised."""
    return (
        f"the first step tried brought {kept:.0%} of the fall that the quadratic models promise: "
        "they do not hold so far from the start, and exact losses decided"
    )


def fewer_is_worse(used: Array, judged: Judged) -> str:
    """Say that the best merge of fewer experts is worse than that of all."""
    return (
        f"the best merge found of {used.sum()} of {len(used)} experts is {judged.difference:.4f} "
        f"nats per token worse than the merge of all {len(used)} that the search began at "
        f"(standard error {judged.stderr:.4f}): fewer experts cost loss here"
    )


def untold(choice: Choice, n_tokens: int) -> str:
    """Say that the gain over the start is not told from 0 on items left out, and what would do."""
    if not np.isfinite(choice.stderr):
        return (
            "whether other text gains is not known from the text that weights were chosen on, as "
            "items of some domain are too few to leave some out: give two at least of each"
        )
    return (
        f"on items left out in turn (cross-validation) the gain over the start is "
        f"{choice.gain:.4f} +- {choice.stderr:.4f} nats per token, not told from 0"
        f"{enough(choice.gain, choice.stderr, n_tokens)}"
    )


def enough(gain: float, stderr: float, n_tokens: int) -> str:
    """Say how many tokens would tell a gain, as its error falls by their square root.

    Parameters
    ----------
    gain, stderr : float
        Nats per token, from `n_tokens` scored tokens.
    """
    if gain <= 0:
        return ""
    needed = n_tokens * (TOLD * stderr / gain) ** 2
    if needed <= n_tokens:
        return ""
    digits = 1 - int(np.floor(np.log10(needed)))
    return (
        f": about {round(needed, digits):,.0f} scored tokens would tell one of this size, these "
        f"are {n_tokens:,}"
    )
