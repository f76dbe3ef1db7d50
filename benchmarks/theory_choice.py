"""Regret, on other text, of the subset that derivatives choose for a domain at a fixed k."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.bars import Bar
from benchmarks.theory_scores import other_text
from mergelaw.config import read_study

KS = (3, 4, 5)
MOST = 0.15
"""Aim: median regret as a share of that of a subset taken at random."""

METHOD, ROUTE = "average", "hvp"


def measure(folders: Sequence[Path]) -> dict[str, Any]:
    """Return regrets of the subsets that derivatives on the study's text choose, on other text.

    The judging text is that which weights are judged on. As a yardstick, the same for the subset
    that is best on the study's text as measured, which only a sweep of all subsets can tell.

    Parameters
    ----------
    folders : sequence of Path
        Studies whose predictions and sweeps are made.
    """
    frame = pl.DataFrame([row for folder in folders for row in _regrets(folder)])
    shares = frame["regret"] / frame["regret_random"]
    frame = frame.with_columns(share=shares, share_measured=_share(frame, "regret_measured"))
    bar = Bar("regret on other text, share of a random subset's: median", _median(shares), MOST)
    rows = frame.group_by("size", "k", maintain_order=True).agg(
        pl.len().alias("choices"),
        pl.col("share").median(),
        pl.col("share_measured").median(),
        pl.col("regret").median(),
        pl.col("regret_random").median(),
        (pl.col("regret") == 0).mean().alias("named_best"),
    )
    over = frame.filter(pl.col("share") > MOST)
    return {
        "bars": [bar.facts()],
        "rows": rows.to_dicts(),
        "choices_above_aim": over.height,
        "choices": frame.height,
        "median_share_of_measured_choice": _median(frame["share_measured"]),
    }


def _share(frame: pl.DataFrame, column: str) -> pl.Series:
    return frame[column] / frame["regret_random"]


def _median(values: pl.Series) -> float:
    return float(np.median(values.to_numpy()))


def _regrets(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield a row per size, target domain and k."""
    study = read_study(folder / "study.json")
    predicted = pl.read_parquet(folder / "theory" / "subsets.parquet")
    predicted = predicted.filter(method=METHOD, route=ROUTE)
    for size in study.size_names:
        judged = other_text(folder, size).drop("k")
        judged = judged.rename({"loss": "loss_other"})
        both = predicted.filter(size=size).join(judged, ["subset", "domain"])
        for (domain, k), part in both.partition_by(
            "domain", "k", as_dict=True, maintain_order=True
        ).items():
            if k in KS:
                yield {"study": str(folder), "size": size, "domain": domain, "k": k, **_of(part)}


def _of(part: pl.DataFrame) -> dict[str, float]:
    """Return regrets in nats per token: of the choice, of the best as measured, of chance."""
    part = part.sort("subset")
    other = part["loss_other"].to_numpy()
    above = other - other.min()
    found = {"regret": float(above[int(np.argmin(part["loss_predicted"].to_numpy()))])}
    found["regret_measured"] = float(above[int(np.argmin(part["loss"].to_numpy()))])
    return found | {"regret_random": float(above.mean())}
