"""How long the laws stage takes: one joint fit with its intervals, and the default study."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from mergelaw.config.load import read_study
from mergelaw.laws.fitting import fit
from mergelaw.laws.forms import Array
from mergelaw.laws.law import JOINT
from mergelaw.laws.profile import profile_intervals
from mergelaw.laws.registry import REPORT_ANALYSES
from mergelaw.paths import StudyPaths
from mergelaw.tables import LOSSES

ROOT = Path(__file__).parents[1]
CONFIG = ROOT / "config" / "default.yaml"
REPEATS = 5
CORES = 2
N_ITEMS = 3
FULL_ANALYSIS = "intervals"
"""Of the full report, the analysis that takes longest."""

TRUTH = {
    "floor_limit": 0.35,
    "size_scale": 0.5,
    "size_exponent": 0.36,
    "tail_scale": 0.3,
    "tail_exponent": 0.1,
    "offset": 0.4,
}


def section(folder: Path | None = None) -> Iterator[str]:
    """Yield the lines of the page."""
    yield "## Time\n"
    yield f"- {joint_line()}"
    with tempfile.TemporaryDirectory(prefix="mergelaw-bench-") as made:
        seconds = stage(folder or Path(made))
    core = [name for name in seconds if name not in ("analyses", FULL_ANALYSIS)]
    each = ", ".join(f"{name} {seconds[name]:.1f}" for name in core)
    total = sum(seconds[name] for name in ("curves", "fits", "analyses"))
    yield (
        f"- The laws stage of a study of the default's size ({shape()}): {total:.0f} s on {CORES} "
        "cores, with the predictions' intervals and the analyses of every report, each a process "
        f"of its own as in the workflow (seconds: {each}). Aim: 60 s. The full report's intervals "
        f"of parameters: {seconds[FULL_ANALYSIS]:.0f} s on one core."
    )
    yield ""


def joint_line() -> str:
    """Return what a joint fit with profile intervals takes, in words."""
    spans = []
    for repeat in range(REPEATS):  # other sizes each time: nothing is known from the fit before
        n, k = np.meshgrid(np.geomspace(0.5, 72, 4) + repeat / 100, np.arange(1.0, 10))
        variables = {"n_params_billions": n.ravel(), "k": k.ravel()}
        noise = 0.002 * np.random.default_rng(repeat).normal(size=n.size)
        loss = JOINT.function(**variables, **TRUTH) + noise
        began = time.perf_counter()
        fit(JOINT, variables, loss)
        profile_intervals(JOINT, variables, loss, at={"n_params_billions": 72, "k": 9})
        spans.append(time.perf_counter() - began)
    return (
        "A joint fit of one method (4 sizes, 9 k) with the profile intervals of its six "
        f"parameters and of one loss: {np.median(spans):.2f} s on one core (the median of "
        f"{REPEATS}; the slowest {max(spans):.2f} s). Aim: 1 s."
    )


def shape() -> str:
    """Return the size of the default study in words."""
    study = read_study(CONFIG)
    n = len(study.experts)
    return (
        f"{n} experts, {2**n - 1} subsets, {len(study.sizes)} sizes, {len(study.methods)} methods, "
        f"{len(study.domains)} domains and their mean, {N_ITEMS} items a domain, "
        f"{study.laws.resamples} resamples"
    )


def stage(folder: Path) -> dict[str, float]:
    """Run the laws stage on made-up losses; return the seconds of each job, and of all analyses."""
    study = read_study(CONFIG)
    path = StudyPaths(folder / "results" / study.name).losses
    path.parent.mkdir(parents=True)
    losses().write_parquet(path)
    seconds = {name: _job(folder, name) for name in ("curves", "fits")}
    began = time.perf_counter()
    with ThreadPoolExecutor(CORES) as pool:
        spans = pool.map(lambda name: _job(folder, "analysis", name), REPORT_ANALYSES)
        seconds |= dict(zip(REPORT_ANALYSES, spans, strict=True))
    seconds["analyses"] = time.perf_counter() - began
    return seconds | {FULL_ANALYSIS: _job(folder, "analysis", FULL_ANALYSIS)}


def _job(folder: Path, command: str, analysis: str | None = None) -> float:
    named = [] if analysis is None else ["--analysis", analysis]
    line = ["mergelaw", "laws", command, "--config", str(CONFIG), *named]
    began = time.perf_counter()
    subprocess.run([sys.executable, "-m", *line], cwd=folder, check=True, capture_output=True)
    return time.perf_counter() - began


def losses() -> pl.DataFrame:
    """Return a table of losses of the default study's shape, which follow the joint law."""
    study = read_study(CONFIG)
    draw = np.random.default_rng(0)
    names = study.expert_names
    subsets = [s for k in range(len(names) + 1) for s in combinations(range(len(names)), k)]
    k = np.array([len(subset) for subset in subsets])
    experts = draw.normal(size=(len(study.domains), len(names)))
    own = np.array([[e[list(s)].mean() if s else 0 for s in subsets] for e in experts])
    labels = ["+".join(names[i] for i in subset) or "base" for subset in subsets]
    parts = [
        _rows(place, method, domain, labels, k, own[d], draw)
        for place in enumerate(study.size_names)
        for method in study.method_labels
        for d, domain in enumerate(study.domain_names)
    ]
    return pl.concat(parts)


def _rows(
    place: tuple[int, str],
    method: str,
    domain: str,
    labels: list[str],
    k: Array,
    own: Array,
    draw: np.random.Generator,
) -> pl.DataFrame:
    """Return the rows of one size, method and domain."""
    n = 1e-5 * 3 ** place[0]
    loss = JOINT.function(1e4 * n, np.maximum(k, 0.5), **TRUTH) * (1 + 0.03 * own)
    tokens = np.array([60, 70, 50][:N_ITEMS])
    items = loss[:, None] * (1 + 0.02 * draw.normal(size=N_ITEMS))
    nll = items * tokens
    columns: dict[str, Any] = {
        "size": place[1],
        "n_params_total": round(1e9 * n) + 1000,
        "n_params_nonembedding": round(1e9 * n),
        "method": method,
        "subset": labels,
        "k": k,
        "order": labels,
        "mask_seed": 0,
        "accumulate": "float32",
        "domain": domain,
        "nll_sum": nll.sum(axis=1),
        "n_tokens": int(tokens.sum()),
        "item_nll_sum": nll.tolist(),
        "item_n_tokens": [tokens.tolist()] * len(k),
    }
    return pl.DataFrame(columns, schema=LOSSES)
