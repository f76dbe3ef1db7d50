"""Checks of balanced designs: each yields problems in words, key first."""

from collections.abc import Iterator

from mergelaw.config.design import BalancedPart

FEWEST_TO_BALANCE = 3
"""Experts below which there is nothing to balance."""


def unbalanced(key: str, part: BalancedPart, n_experts: int) -> Iterator[str]:
    """Yield why a balanced part can have no design."""
    if n_experts < FEWEST_TO_BALANCE:
        yield (
            f"{key}.kind = 'balanced': {n_experts} experts in the pool, allowed "
            f"{FEWEST_TO_BALANCE} and more; all their subsets are {2**n_experts - 1} merges: use "
            "`kind: exhaustive`"
        )
    elif part.k is None and part.merges <= n_experts:
        yield (
            f"{key}.merges = {part.merges}: allowed {n_experts + 1} and more: a curve needs its "
            f"ends, the {n_experts} experts alone (k = 1) and the whole pool (k = {n_experts}, 1 "
            "merge); give more, or list the `k` that you want"
        )
    elif part.k is not None and part.merges < len(part.k):
        yield (
            f"{key}.merges = {part.merges}: allowed {len(part.k)} and more, a merge for every k of "
            f"{list(part.k)}; give more, or list fewer k"
        )
