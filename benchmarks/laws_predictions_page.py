"""What became of the predictions' intervals, as a section of docs/coverage.md."""

from collections.abc import Iterator

import numpy as np

from benchmarks.laws_predictions import (
    KS,
    N_ITEMS,
    PER_K,
    RESAMPLES,
    SIZES,
    Judged,
)
from benchmarks.laws_worlds import POOL, Array

POOLED = 0.93, 0.97
CELLS = 0.91, 0.98
BIAS = 0.2
ITEMS = f"{', '.join(map(str, N_ITEMS[:-1]))} or {N_ITEMS[-1]}"

HEAD = f"""## Predictions of the joint law

`predictions.parquet` gives an interval for every prediction of both laws. It is meant to hold the
mean loss over *all* subsets of this pool on *new* text. The studies are made up subset by subset
(`benchmarks/laws_predictions.py`):

- {POOL} experts, {len(SIZES)} sizes from {SIZES[0]:g}B to {SIZES[-1]:g}B, k = 1 to {POOL}. The loss
  of a subset comes from the mean of its experts' task vectors: subsets that overlap have losses
  alike, and a subset has like losses at all sizes. Of the means over all subsets the law is true,
  or, where it is nearly true, the tail is a power of k that the law only comes near.
- The smaller sizes have all subsets and the three larger ones {PER_K} of each k (or all sizes
  have), the same subsets at all of them. The errors are not given but measured, from the {PER_K}
  losses.
- {ITEMS} items of one domain, in turn. Levels and tails of items are heavy-tailed (t
  with 4 degrees of freedom; log-normal of sigma 0.8), the same for all subsets and nearly so at
  all sizes: what is not known of the text moves whole curves, and is the larger part of the errors
  here. {RESAMPLES} resamples.
- *grid*: predictions at all points, of a fit to all. *Size held out*: those of the largest size, of
  a fit to the others.

The interval is the prediction -+ t times its standard error, which comes from the covariance of the
points (items, the same draw at all points; sampled subsets, the same at all sizes; lack of fit)
through the weights of the fit. It takes what the law misses for independent from point to point:
a law that misses a whole size does worse than shown here. Bias is the mean error of a cell in units
of its root mean square standard error. Aims: {POOLED[0]:.0%} to {POOLED[1]:.0%} of all points,
{CELLS[0]:.0%} to {CELLS[1]:.0%} in every cell (size and k), bias under {BIAS:g}.
"""

COLUMNS = "made-up study,points,studies,holds the truth,lowest cell,highest cell,largest bias"


def section(judged: list[Judged]) -> Iterator[str]:
    """Yield the lines of the section."""
    yield HEAD
    groups = [
        (f"{world}", held_out, [j for j in judged if (j.world, j.held_out) == (world, held_out)])
        for world in dict.fromkeys(j.world for j in judged)
        for held_out in (False, True)
    ]
    columns = [*COLUMNS.split(","), *(f"{n} items" for n in N_ITEMS), "aims"]
    yield _line(columns)
    yield _line(["---"] * len(columns))
    for world, held_out, found in groups:
        yield _line(_summary(world, "size held out" if held_out else "grid", found))
    for world, held_out, found in groups:
        yield from _cells(world, held_out, found)


def _summary(world: str, points: str, found: list[Judged]) -> list[str]:
    holds = np.array([j.holds for j in found])
    cells = holds.mean(axis=0)
    bias = bias_of(found)
    # intervals of one study are not independent: the error is that over studies
    error = holds.mean(axis=1).std(ddof=1) / np.sqrt(len(found))
    items = np.array([j.n_items for j in found])
    by_items = [f"{holds[items == n].mean():.1%}" for n in N_ITEMS]
    met = (
        POOLED[0] <= holds.mean() <= POOLED[1]
        and CELLS[0] <= cells.min()
        and cells.max() <= CELLS[1]
        and np.abs(bias).max() < BIAS
    )
    worst = bias[np.abs(bias).argmax()]
    return [
        *(world, points, str(len(found)), f"{holds.mean():.1%} ± {100 * error:.1f}"),
        *(f"{cells.min():.1%}", f"{cells.max():.1%}", f"{worst:+.3f}"),
        *by_items,
        "met" if met else "missed",
    ]


def bias_of(found: list[Judged]) -> Array:
    """Return the mean error of each cell in units of its root mean square standard error."""
    errors = np.array([j.error for j in found])
    scale = np.sqrt(np.mean([j.stderr**2 for j in found], axis=0))
    return np.asarray(errors.mean(axis=0) / scale)


def _cells(world: str, held_out: bool, found: list[Judged]) -> Iterator[str]:
    """Yield a table of sizes by k."""
    sizes = SIZES[-1:] if held_out else SIZES
    shares = np.mean([j.holds for j in found], axis=0).reshape(len(sizes), len(KS))
    where = "the largest size held out" if held_out else "grid"
    yield f"\nHolds the truth, {where} ({world}):\n"
    yield _line(["N", *(f"k = {k:g}" for k in KS)])
    yield _line(["---"] * (len(KS) + 1))
    for size, row in zip(sizes, shares, strict=True):
        yield _line([f"{size:g}B", *(f"{share:.1%}" for share in row)])


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
