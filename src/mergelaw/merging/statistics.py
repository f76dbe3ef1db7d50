"""What a merge tells of its task vectors: sums of blocks, and the tables made of them."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from mergelaw.merging.passes import dot_products
from mergelaw.merging.pool import Segment
from mergelaw.tables import ALL_TENSORS, MERGED_TENSORS, TASK_VECTORS

Sums = dict[str, Any]
"""Numbers and (nested) lists of numbers by name, each a sum over entries."""


class BlockSums:
    """The sums of one block, gathered as its task vectors pass by.

    Parameters
    ----------
    counted : bool
        Whether entries are counted that psi sets to 0.
    full : bool
        Whether dot products and signs are gathered, too: all task vectors are then held.
    """

    def __init__(self, counted: bool, full: bool) -> None:
        self._counted, self._full = counted, full
        self._sums: Sums = {"nonzero": [], "kept": []} if counted else {}
        self._deltas: list[Tensor] = []
        self._rows: list[Tensor] = []

    def seen(self, delta: Tensor, row: Tensor) -> Tensor:
        """Take note of an expert's task vector and psi of it; return the latter."""
        if self._counted:
            self._sums["nonzero"].append(_n_nonzero(delta))
            self._sums["kept"].append(_n_nonzero(row))
        if self._full:
            self._deltas.append(delta)
            self._rows.append(row)
        return row

    def of_merged(self, merged: Tensor) -> Sums:
        """Return all sums, given what is added to the base, float32, shape (n,)."""
        sums = self._sums
        sums["merged"] = square(merged)
        if self._rows:
            mean = torch.stack(self._deltas).mean(0)
            signs = torch.stack([row.sign() for row in self._rows])
            voting = signs.abs().sum(0)
            sums["dots"] = dot_products([merged, mean, *self._deltas]).tolist()
            sums["kept_squares"] = [square(row) for row in self._rows]
            sums["moved"] = [_n_nonzero(row) for row in self._rows]
            sums["votes"] = float((signs.sum(0).abs() / voting.clamp(min=1)).sum())
            sums["voted"] = _n_nonzero(voting)
        return sums


def add(total: Sums, part: Mapping[str, Any]) -> None:
    """Add the sums of one part to those of another, in place."""
    for name, value in part.items():
        both = value if name not in total else np.add(total[name], value)
        total[name] = both.tolist() if isinstance(both, np.ndarray | np.generic) else both


def by_tensor(parts: Iterable[tuple[str, Mapping[str, Any]]]) -> dict[str, Sums]:
    """Return the sums of each tensor, and of all as `*`, from those of its spans, in order."""
    sums: dict[str, Sums] = {}
    for tensor, part in parts:
        add(sums.setdefault(tensor, {}), part)
        add(sums.setdefault(ALL_TENSORS, {}), part)
    return sums


def rounding_loss(sums: Mapping[str, Any]) -> float:
    """Return the norm of what rounding changed over the norm of the merged task vector.

    0 where nothing was merged.
    """
    return math.sqrt(sums["rounding"] / sums["merged"]) if sums["merged"] else 0.0


def densities(sums: Mapping[str, Any], n: int) -> list[float]:
    """Return, by expert, the share of all n entries that are not 0 after psi."""
    return [kept / n for kept in sums.get("kept", ())]


def drop_rates(sums: Mapping[str, Any]) -> list[float]:
    """Return, by expert, the share of nonzero entries that psi set to 0."""
    pairs = zip(sums.get("kept", ()), sums.get("nonzero", ()), strict=True)
    return [1 - kept / nonzero if nonzero else 0.0 for kept, nonzero in pairs]


def task_vector_table(
    sums: Mapping[str, Sums], parts: Sequence[Segment], experts: Sequence[str], **names: str
) -> pl.DataFrame:
    """Return a row for each tensor (and `*`, all of them) and expert (columns `TASK_VECTORS`)."""
    rows = []
    for tensor, n in _sizes(parts).items():
        dots = np.asarray(sums[tensor]["dots"])[2:, 2:]
        norms = np.sqrt(np.diag(dots))
        for index, expert in enumerate(experts):
            energy = float(dots[index, index])
            rows.append(
                {
                    **names,
                    "tensor": tensor,
                    "expert": expert,
                    "n": n,
                    "norm": float(norms[index]),
                    "dots": dots[index].tolist(),
                    "cosines": [
                        _ratio(dot, norms[index] * norm)
                        for dot, norm in zip(dots[index], norms, strict=True)
                    ],
                    "density": sums[tensor]["moved"][index] / n if n else 0.0,
                    "squared_norm_kept": _ratio(sums[tensor]["kept_squares"][index], energy),
                }
            )
    return pl.DataFrame(rows, schema=dict(TASK_VECTORS))


def merged_table(sums: Mapping[str, Sums], parts: Sequence[Segment], **names: str) -> pl.DataFrame:
    """Return a row for each tensor, and `*` for all of them (columns of `MERGED_TENSORS`)."""
    rows = []
    for tensor, n in _sizes(parts).items():
        dots, total = np.asarray(sums[tensor]["dots"]), sums[tensor]
        merged, mean = math.sqrt(dots[0, 0]), math.sqrt(dots[1, 1])
        rows.append(
            {
                **names,
                "tensor": tensor,
                "n": n,
                "norm": merged,
                "norm_over_mean": _ratio(merged, mean),
                "cosine_with_mean": _ratio(dots[0, 1], merged * mean),
                "sign_agreement": _ratio(total["votes"], total["voted"]),
                "rounding_loss": rounding_loss(total),
            }
        )
    return pl.DataFrame(rows, schema=dict(MERGED_TENSORS))


def _sizes(parts: Sequence[Segment]) -> dict[str, int]:
    sizes = {part.name: part.n for part in parts if part.n}
    return {ALL_TENSORS: sum(sizes.values())} | sizes


def _ratio(above: float, below: float) -> float | None:
    """Return the ratio, or None where it means nothing."""
    return float(above / below) if below else None


def square(row: Tensor) -> float:
    """Return the sum of squares; in float64 where float32 cannot hold it."""
    square = float(torch.dot(row, row))
    return square if math.isfinite(square) else float(row.double().square().sum())


def _n_nonzero(row: Tensor) -> int:
    return int(np.count_nonzero(row.numpy() != 0))  # an order faster than torch's
