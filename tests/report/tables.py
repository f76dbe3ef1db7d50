"""A small study with the laws' tables, made from a known quadratic loss, and real merges'."""

import itertools
import json
import math
from pathlib import Path

import numpy as np
import polars as pl
import torch

from mergelaw.config import Study, parse_study
from mergelaw.laws import schemas
from mergelaw.laws.schemas import theory
from mergelaw.merging import statistics
from mergelaw.merging.pool import segments
from mergelaw.merging.stream import Merge
from mergelaw.merging.task_vectors import TaskVectors
from mergelaw.paths import StudyPaths
from mergelaw.report.captions.figure import (
    COSTS,
    MERGED_TENSORS,
    TASK_VECTORS,
    THEORY,
    TRAINING,
)
from mergelaw.report.inputs import SCHEMAS
from mergelaw.report.registry import table_paths
from mergelaw.tables import (
    COSTS_KEY,
    LOSSES,
    LOSSES_KEY,
    MERGED_TENSORS_KEY,
    SHARDS,
    SHARDS_KEY,
    TASK_VECTORS_KEY,
    TRAINING_LOG_KEY,
    write_table,
)
from tests.report import (
    cost_tables,
    doubt_tables,
    subset_tables,
    theory_tables,
    training_tables,
)

GENERATORS = (
    "algebra",
    "analysis",
    "discrete",
    "geometry",
    "number_theory",
    "biology",
    "physics",
    "chemistry",
    "code",
)
METHODS = {
    "average": {"label": "average", "method": "average"},
    "task_arithmetic": {"label": "task_arithmetic", "method": "task_arithmetic"},
    "ties": {"label": "ties", "method": "ties", "parameters": {"density": 0.8}},
    "dare": {"label": "dare", "method": "dare"},
    "ties_half": {"label": "ties_half", "method": "ties", "parameters": {"scale": 0.5}},
    "dare_half": {"label": "dare_half", "method": "dare", "parameters": {"drop_rate": 0.5}},
}
PROVENANCE = {
    "study": "tiny",
    "seed": "0",
    "stage": "laws",
    "stage_version": "1",
    "fingerprint": "0123456789abcdef",
    "versions": json.dumps({"mergelaw": "0.1.0"}),
}
REASON = "the study has no such data"
"""Why the empty tables of the full report are empty."""

TOKENS = 120
"""Scored tokens of every domain."""


def make_study(
    n_sizes: int = 2, methods: tuple[str, ...] = ("average", "ties"), pool: int = 4, **more: object
) -> Study:
    """A ladder of sizes with one expert per domain."""
    names = [GENERATORS[i] if i < 9 else f"domain{i}" for i in range(pool)]
    source = lambda i: {"kind": "procedural", "generator": GENERATORS[i % 9]}  # noqa: E731
    raw = {
        "name": "tiny",
        "domains": [{"name": name, "source": source(i)} for i, name in enumerate(names)],
        "experts": [{"name": name, "domain": name} for name in names],
        "data": {"shares": {"base": 0.45, "train": 0.45, "heldout": 0.1}},
        "tokenizer": {"vocab_size": 512},
        "sizes": [
            {
                "name": f"w{32 + 16 * i}",
                "architecture": {
                    "hidden_size": 32,
                    "layers": 2 + i,
                    "heads": 2,
                    "kv_heads": 2,
                    "intermediate_size": 86,
                },
            }
            for i in range(n_sizes)
        ],
        "methods": [METHODS[m] for m in methods],
        "design": [{"kind": "exhaustive"}],
        "laws": {"n_params": "nonembedding", "forecast_k": [1, 2, min(4, pool)]},
        "theory": {},
    } | more
    return parse_study(raw)


def n_params(study: Study, size: str) -> int:
    return int(25_056 * 2.5 ** study.size_names.index(size))


def subsets_of(pool: int) -> list[tuple[int, ...]]:
    """The base and the first 40 subsets of every k: all of them for a small pool."""
    return [
        s
        for k in range(pool + 1)
        for s in itertools.islice(itertools.combinations(range(pool), k), 40)
    ]


class World:
    """Loss of any subset: quadratic in the mean of the experts' vectors, falling with the size."""

    def __init__(self, study: Study, seed: int = 0) -> None:
        self.study = study
        rng = np.random.default_rng(seed)
        self.vectors = rng.normal(size=(len(study.experts), 6)) * 0.45 + 0.25
        self.targets = self.vectors[: len(study.domains)] * 1.1

    def loss(self, size: str, method: str, subset: tuple[int, ...], domain: int) -> float:
        rank = self.study.size_names.index(size)
        scale = 1 + 0.03 * self.study.method_labels.index(method)
        mean = scale * self.vectors[list(subset)].mean(0) if subset else np.zeros(6)
        bowl = 0.35 * 0.8**rank * float(((mean - self.targets[domain]) ** 2).sum())
        return 1.4 * 0.75**rank + 0.05 * domain + bowl


def build(study: Study) -> tuple[dict[str, pl.DataFrame], dict]:
    """All tables by file name, and the content of fits.json."""
    world, pool = World(study), len(study.experts)
    lost: dict[tuple, dict[tuple, float]] = {}
    subsets = subsets_of(pool)
    domains = [*study.domain_names, schemas.MACRO]
    for size, method in itertools.product(study.size_names, study.method_labels):
        each = {
            s: [world.loss(size, method, s, d) for d in range(len(study.domains))] for s in subsets
        }
        for index, domain in enumerate(study.domain_names):
            lost[size, method, domain] = {s: v[index] for s, v in each.items()}
        lost[size, method, schemas.MACRO] = {s: float(np.mean(v)) for s, v in each.items()}
    out: dict[str, list[dict]] = {table.file: [] for table in schemas.TABLES}
    fits, refused = [], []
    for (size, method, domain), losses in lost.items():
        cell = {"size": size, "method": method, "domain": domain}
        at = {k: np.array([v for s, v in losses.items() if len(s) == k]) for k in range(pool + 1)}
        _cell(study, cell, at, out, fits)
        _synergy(study, cell, losses, out)
        if domain != schemas.MACRO:
            out["specialists.parquet"] += [
                {
                    "size": size,
                    "method": method,
                    "expert": e.name,
                    "domain": domain,
                    "loss": losses[(i,)],
                    "is_own": e.domain == domain,
                }
                for i, e in enumerate(study.experts)
            ]
    for method, domain in itertools.product(study.method_labels, domains):
        _joint(study, method, domain, out, fits, refused)
    reference = next(
        (m.label for m in study.methods if m.method == "average"), study.method_labels[0]
    )
    of = {
        (r["size"], r["domain"], r["k"]): r["loss"]
        for r in out["curves.parquet"]
        if r["method"] == reference
    }
    out["gaps.parquet"] = [
        {c: r[c] for c in ("size", "method", "domain", "k")}
        | {
            "reference": reference,
            "gap_percent": 100 * (r["loss"] / of[r["size"], r["domain"], r["k"]] - 1),
        }
        for r in out["curves.parquet"]
        if r["k"]
    ]
    frames = {table.file: table.frame(out[table.file]) for table in schemas.TABLES}
    frames |= doubt_tables.build(study, frames)
    frames |= subset_tables.build(study)
    frames |= vector_frames(study)
    frames |= {COSTS: cost_tables.build(study)}
    frames |= training_tables.build(study)
    frames |= theory_tables.build(study, frames)
    return frames, {"provenance": PROVENANCE, "fits": fits, "refused": refused}


def _cell(study: Study, cell: dict, at: dict, out: dict, fits: list) -> None:
    pool, n = len(study.experts), n_params(study, cell["size"]) / 1e9
    mean = {k: float(v.mean()) for k, v in at.items()}
    for k, values in at.items():
        sd = float(values.std(ddof=1)) if len(values) > 1 else None
        out["curves.parquet"].append(
            cell
            | {
                "n_params_billions": n,
                "k": k,
                "n_subsets": len(values),
                "n_mask_seeds": 1,
                "n_subsets_pool": math.comb(pool, k),
                "loss": mean[k],
                "sd": sd,
                "minimum": float(values.min()),
                "maximum": float(values.max()),
                "subset_se": 0.0,
                "token_se": 0.02,
                "loss_se": 0.02,
            }
        )
    ks = range(1, pool + 1)
    tail = (mean[1] - mean[pool]) / (1 - 1 / pool)
    floor = mean[1] - tail
    law = {k: floor + tail / k for k in ks}
    out["predictions.parquet"] += [
        cell
        | {
            "law": "floor_tail",
            "n_params_billions": n,
            "k": k,
            "loss_predicted": law[k],
            "loss": mean[k],
            "residual": mean[k] - law[k],
        }
        for k in ks
    ]
    found = {"floor": floor, "tail": tail, "offset": 0.0}
    _fit(out, fits, "floor_tail", cell, found, ["offset is at its bound 0"])
    used = study.laws.forecast_k
    out["forecast.parquet"] += [
        cell
        | {
            "k": k,
            "points": ",".join(map(str, used)),
            "ratio": 2.0,
            "case": "free_offset",
            "floor": floor,
            "tail": tail,
            "offset": 0.0,
            "loss": mean[k],
            "loss_predicted": law[k],
            "relative_error": law[k] / mean[k] - 1,
        }
        for k in ks
    ]
    v0 = float(at[1].var(ddof=1)) / (1 - 1 / pool)
    out["variance.parquet"] += [
        cell
        | {
            "k": k,
            "n_subsets": len(at[k]),
            "variance": float(at[k].var(ddof=1)),
            "variance_fitted": v0 * (1 / k - 1 / pool),
            "v0": v0,
        }
        for k in range(1, pool)
    ]
    share = {k: (mean[1] - mean[k]) / (mean[1] - mean[pool]) for k in ks}
    first = lambda q: next(k for k in ks if share[k] >= q - 1e-9)  # noqa: E731
    out["returns.parquet"] += [
        cell | {"k": k, "return": share[k], "k85": first(0.85), "k90": first(0.9)} for k in ks
    ]


def _fit(out: dict, fits: list, law: str, cell: dict, found: dict, notes: list[str]) -> None:
    named = {"law": law, "method": cell["method"], "domain": cell["domain"], "size": cell["size"]}
    rows = [
        {
            "value": v,
            "stderr": None if v == 0 else 0.05 * abs(v),
            "minimum": 0.0,
            "maximum": None,
            "at_bound": v == 0,
            "identified": v != 0,
        }
        for v in found.values()
    ]
    out["fits.parquet"] += [
        named | {"parameter": p} | row for p, row in zip(found, rows, strict=True)
    ]
    fits.append(
        named
        | {
            "formula": "floor + tail/(k + offset)",
            "parameters": dict(zip(found, rows, strict=True)),
            "correlations": [],
            "r2": 0.9991,
            "rmse": 0.0042,
            "max_relative_error": 0.0123,
            "n_points": 9,
            "weights": "uniform",
            "n_starts": 8,
            "n_basins": 1,
            "identified": not notes,
            "notes": notes,
        }
    )


def _joint(study: Study, method: str, domain: str, out: dict, fits: list, refused: list) -> None:
    cell = {"method": method, "domain": domain, "size": None}
    if len(study.sizes) < 2:
        refused.append({"law": "joint", **cell, "reason": "needs at least 2 sizes, has 1"})
        return
    found = {
        "floor_limit": 0.3,
        "size_scale": 0.01,
        "size_exponent": 0.45,
        "tail_scale": 0.1,
        "tail_exponent": 0.1,
        "offset": 0.0,
    }
    _fit(out, fits, "joint", cell, found, ["offset is at its bound 0", "fewer than 4 sizes"])
    curves = [r for r in out["curves.parquet"] if r["method"] == method and r["domain"] == domain]
    for row in curves:
        if row["k"]:
            n, k = row["n_params_billions"], row["k"]
            loss = 0.3 + 0.01 * n**-0.45 + 0.1 * n**-0.1 / k
            key = {c: row[c] for c in ("size", "method", "domain", "k")}
            out["predictions.parquet"].append(
                key
                | {
                    "law": "joint",
                    "n_params_billions": n,
                    "loss_predicted": loss,
                    "loss": row["loss"],
                    "residual": row["loss"] - loss,
                }
            )
            if row["size"] == study.size_names[-1]:
                out["heldout.parquet"].append(
                    key
                    | {
                        "law": "joint",
                        "left_out": "largest_size",
                        "loss": row["loss"],
                        "loss_predicted": loss,
                        "relative_error": loss / row["loss"] - 1,
                    }
                )


def _synergy(study: Study, cell: dict, losses: dict, out: dict) -> None:
    pool = len(study.experts)
    for donor in range(pool):
        gains = [
            losses[s] - losses[tuple(sorted((*s, donor)))]
            for s in losses
            if s and donor not in s and tuple(sorted((*s, donor))) in losses
        ]
        out["synergy.parquet"].append(
            {
                "size": cell["size"],
                "method": cell["method"],
                "donor": study.expert_names[donor],
                "receiver": cell["domain"],
                "gain": float(np.mean(gains)) if gains else None,
                "n_pairs": len(gains),
                "n_k": pool - 1,
            }
        )


def vector_frames(study: Study) -> dict[str, pl.DataFrame]:
    """Task vectors and merged tensors of the whole pool, from real merges of random weights."""
    merges = [
        (
            statistics.task_vector_table(*found, names, **cell),
            statistics.merged_table(*found, **cell),
        )
        for size in study.size_names
        for found, names, cell in _merges(study, size)
    ]
    vectors, merged = zip(*merges, strict=True)
    return {TASK_VECTORS: pl.concat(vectors), MERGED_TENSORS: pl.concat(merged)}


def _merges(study: Study, size: str):
    """Yield sums and segments, experts and cell of every method: each merges the whole pool."""
    rank, names = study.size_names.index(size), sorted(study.expert_names)
    make = torch.Generator().manual_seed(rank)
    parts = segments({"embed": (20, 4), "norm": (6,)})
    draw = lambda: torch.randn(parts[-1].span.stop, generator=make)  # noqa: E731
    common = draw()
    pool = TaskVectors(
        parts, draw(), {name: 0.1 * (common + (1 + rank) * draw()) for name in names}
    )
    for method in study.methods:
        dtypes = dict.fromkeys(("embed", "norm"), torch.bfloat16)
        merge = Merge.plan(pool, names, method, "0/0", dtypes, statistics=True)
        sums = statistics.by_tensor(
            (span.tensor, part) for span, part in merge.run(merge.spans(), None)
        )
        yield (sums, parts), names, {"size": size, "method": method.label}


def losses_frame(study: Study) -> pl.DataFrame:
    """losses.parquet of the study; the losses of its rows are those of the world."""
    world, pool, rows = World(study), len(study.experts), []
    cells = itertools.product(study.size_names, study.method_labels, subsets_of(pool))
    for size, method, subset in cells:
        names = [study.expert_names[i] for i in subset]
        for index, domain in enumerate(study.domain_names):
            nll = world.loss(size, method, subset, index) * TOKENS
            rows.append(
                {
                    "size": size,
                    "n_params_total": n_params(study, size) + 16_384,
                    "n_params_nonembedding": n_params(study, size),
                    "method": method,
                    "subset": "+".join(names) or "base",
                    "k": len(subset),
                    "order": "+".join(names) or "base",
                    "mask_seed": 0,
                    "accumulate": "float32",
                    "domain": domain,
                    "nll_sum": nll,
                    "n_tokens": TOKENS,
                    "item_nll_sum": [nll],
                    "item_n_tokens": [TOKENS],
                }
            )
    return pl.DataFrame(rows, schema=dict(LOSSES), orient="row")


def contents_frame(study: Study) -> pl.DataFrame:
    """data/shards/contents.parquet: one item a domain, 7 tokens cut off in the first."""
    rows = [
        (domain, 5, 1, int(i == 1), TOKENS + 10, TOKENS, 7 * (i == 0), int(i == 0))
        for i, domain in enumerate(study.domain_names)
    ]
    return pl.DataFrame(rows, schema=dict(SHARDS), orient="row")


def write_all(study: Study, paths: StudyPaths, frames: dict, fits: dict) -> None:
    """Write every input of the report below the study's tree."""
    for table in schemas.TABLES + schemas.FULL_TABLES:
        frame = frames[table.file]
        left_out = table in schemas.FULL_TABLES and frame.is_empty()
        origin = PROVENANCE | ({"not_made": REASON} if left_out else {})
        write_table(paths.laws / table.file, frame, table.schema, table.key, origin)
    (paths.laws / "fits.json").write_text(json.dumps(fits), encoding="utf-8")
    by_size = {
        TASK_VECTORS: TASK_VECTORS_KEY,
        MERGED_TENSORS: MERGED_TENSORS_KEY,
        TRAINING: TRAINING_LOG_KEY,
        **{f"{THEORY}{table.file}": table.key for table in theory.SIZE_TABLES},
    }
    for file, key in by_size.items():
        for size, path in zip(study.size_names, table_paths(study, paths, file), strict=True):
            frame = frames[file].filter(pl.col("size") == size)
            write_table(path, frame, SCHEMAS[file], key, PROVENANCE)
    for table in theory.TABLES:
        (path,) = table_paths(study, paths, f"{THEORY}{table.file}")
        write_table(path, frames[f"{THEORY}{table.file}"], table.schema, table.key, PROVENANCE)
    write_table(paths.losses, losses_frame(study), LOSSES, LOSSES_KEY, PROVENANCE)
    write_table(paths.costs, frames[COSTS], SCHEMAS[COSTS], COSTS_KEY, PROVENANCE)
    write_table(paths.shard_contents, contents_frame(study), SHARDS, SHARDS_KEY, PROVENANCE)


def tree(study: Study, folder: Path) -> StudyPaths:
    """A results tree with every input of the report."""
    paths = StudyPaths(folder / "tiny")
    write_all(study, paths, *build(study))
    return paths
