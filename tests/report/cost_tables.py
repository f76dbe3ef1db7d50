"""What the small study's jobs took: rows by hand, whose sums are easy to tell."""

import polars as pl

from mergelaw.config import Study
from mergelaw.tables import COSTS

NOTHING = dict.fromkeys(COSTS) | {"n_failed": 0, "failed_seconds": 0.0}


def row(stage: str, rule: str, **values: object) -> dict:
    return NOTHING | {"stage": stage, "rule": rule} | values


def frame(rows: list[dict]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=dict(COSTS))


def build(study: Study) -> pl.DataFrame:
    """Text without a model, then, by size, a base, experts and a chunk for each method."""
    rows = [row("data", "items", n_jobs=4, wall_seconds=8.0, cpu_seconds=6.0)]
    for index, size in enumerate(study.size_names):
        scale = 1.0 + index
        model = {"size": size, "device": "cpu", "peak_memory_bytes": 500_000_000}
        rows += [
            row(
                "experts", rule, n_jobs=n, wall_seconds=seconds, cpu_seconds=seconds,
                device_hours=seconds / 3600, n_tokens=100_000, flops=scale * 1e10,
                n_failed=index, failed_seconds=30.0 * index,
                failed_device_hours=30.0 * index / 3600, **model,
            )
            for rule, n, seconds in (("base", 1, 100 * scale), ("expert", 4, 200 * scale))
        ]  # fmt: skip
        rows += [
            row(
                "sweep", "chunk", method=method, n_jobs=2, wall_seconds=50 * scale,
                cpu_seconds=80 * scale, device_hours=50 * scale / 3600, n_tokens=20_000,
                flops=scale * 1e9, n_merges=32, prepare_seconds=0.64, merge_seconds=1.6 * scale,
                failed_device_hours=0.0, **model,
            )
            for method in study.method_labels
        ]  # fmt: skip
    return frame(rows)
