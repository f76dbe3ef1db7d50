"""The tables of docs/designs.md: `python -m tests.core.design_table` prints them."""

import math

from mergelaw.design.budget import family, order_of_k

POOLS = range(3, 17)


def main() -> None:
    """Print both tables."""
    print(families(), budgets(), sep="\n")


def families() -> str:
    """Return how many subsets a budget buys together: a row per pool, a column per k."""
    last = max(POOLS)
    rows = [
        f"| M | {' | '.join(f'k = {k}' for k in range(2, last))} |",
        f"|---{'|---' * (last - 2)}|",
        *(
            f"| {m} | {' | '.join(_cell(m, k) if k < m else '' for k in range(2, last))} |"
            for m in POOLS
        ),
    ]
    return "\n".join(rows) + "\n"


def _cell(m: int, k: int) -> str:
    offered = family(m, k)
    n = len(offered.blocks)
    if n == math.comb(m, k):
        return f"*{n}*"
    return f"**{n}**" if offered.is_exact else f"{n}"


def budgets() -> str:
    """Return what budgets buy: a row per pool, the k in their order with the sum of merges."""
    rows = ["| M | k in the order of buying (merges in all) |", "|---|---|"]
    for m in POOLS:
        total, parts = 0, []
        for k in order_of_k(m)[:6]:
            total += len(family(m, k).blocks)
            parts.append(f"{k} ({total})")
        rows.append(f"| {m} | {', '.join(parts)} |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    main()
