"""`make bench-laws`: how often the laws' intervals hold the truth, and what the stage takes."""

import argparse
import re
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks import laws_predictions_page, laws_timing
from benchmarks.laws_coverage import WORKLOADS, Trial
from benchmarks.laws_predictions import WORLDS, Judged, World, judge

PAGE = Path(__file__).parents[1] / "docs" / "coverage.md"
SEED = 1
NOMINAL = 0.95
STRIDE = 4
"""Jobs that a workload is cut into."""

SHARES = 40
"""Jobs that the studies of the predictions are cut into."""

MARK = "<!-- part: {} -->\n"
"""Begins a part of the page."""

ROUNDING = 1e-9
ALTERNATIVES = ("normal", "percentile")
OTHER_WEIGHTS = "weights uniform"
"""Intervals that the project does not use, measured beside those it does."""

HEAD = """# How far the intervals can be trusted

Written by `make bench-laws`, which makes up studies whose truth is known
(`benchmarks/laws_worlds.py`), asks for the intervals of `intervals.parquet` and
`forecast_intervals.parquet`, and counts how often they hold the truth. All are meant to hold it in
95% of studies.

Each interval answers one question, its *target*: **pool** (these experts and this text: how far
does the scatter of the points about the law let the answer move?), **experts** (would other experts
of the same kind give another answer?), **text** (would other evaluation items?). They do not add up
to one interval, and none of them knows of a law of the wrong form. The studies here are simpler
than real ones: experts are draws of one population, points scatter independently.

The predictions of the laws have intervals of their own, of everything that stands between a
prediction and the mean loss of this pool on new text: see the end of the page, and there what the
laws stage takes.

- The truth is the law of the whole population: of all experts that could have been drawn, of all
  items that there could be, of all subsets of the pool. A forecast is judged by the forecast from
  the true points.
- An end at a bound of the law counts as no end on that side; "no interval" is where none was given
  (a parameter at its bound in every refit, or a forecast that is not identified), and such studies
  are left out of the share.
- What to make of it. *Experts*: take `delete_1`; `delete_2` is wider and no better. Both hold for
  draws of one population; a pool with one expert for each domain is not quite that. *Text*: floors,
  losses and forecasts are safe from a few items on; tails and offsets are not, where items differ
  a lot. *Pool*: the profile can be trusted where the points scatter about the law and not where
  they leave it by a pattern, nor where sampled subsets meet points with all subsets in: these
  carry the fit, and what the law misses there is not seen.
- `normal` and `percentile` are other ways to make an interval from the same refits: they hold the
  truth less often. Uniform weights are another way to fit sampled subsets: worse where the law is
  true, better where it is only nearly true. The project uses none of the three.
"""

TABLE = """
| made-up study | interval | quantity | studies | holds the truth | median width | no interval |
|---|---|---|---|---|---|---|
"""


class Count(NamedTuple):
    """What became of one interval over all studies of a kind."""

    target: str
    world: str
    how: str
    quantity: str
    n: int
    covered: float
    width: float
    none: float

    @property
    def error(self) -> float:
        """Binomial standard error of the coverage."""
        return float(np.sqrt(self.covered * (1 - self.covered) / self.n))

    @property
    def used(self) -> bool:
        """Whether the project uses it."""
        return not (self.how.endswith(ALTERNATIVES) or self.world.endswith(OTHER_WEIGHTS))


def main() -> None:
    """Make the parts of the page asked for, print them and write them in the others' midst."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument(
        "--share", type=float, default=1.0, help="Of the studies, for a quick look."
    )
    parser.add_argument("--only", choices=PARTS, help="Only this part; the others stay.")
    parser.add_argument("--out", type=Path, default=PAGE)
    arguments = parser.parse_args()
    began = time.perf_counter()
    parts = read_parts(arguments.out) if arguments.only else {}
    for name in [arguments.only] if arguments.only else PARTS:
        parts[name] = PARTS[name](arguments.cores, arguments.share)
        print(parts[name], flush=True)
    arguments.out.write_text("".join(MARK.format(n) + parts[n] for n in PARTS), encoding="utf-8")
    print(f"{time.perf_counter() - began:.0f} s on {arguments.cores} cores")


def read_parts(path: Path) -> dict[str, str]:
    """Return the parts of a page by name, from the marks between them."""
    pieces = re.split(MARK.format("(.*)"), path.read_text(encoding="utf-8"))
    return dict(zip(pieces[1::2], pieces[2::2], strict=True))


def intervals_part(cores: int, share: float) -> str:
    """Return the head of the page and the coverage of intervals of parameters and forecasts."""
    jobs = [(name, i, share) for name in WORKLOADS for i in range(STRIDE)]
    trials: dict[tuple[str, ...], list[Trial]] = defaultdict(list)
    with ProcessPoolExecutor(cores) as pool:
        for part in pool.map(run, jobs):
            for trial in part:
                trials[trial[:4]].append(trial)
    return page([count(found) for found in trials.values()])


def predictions_part(cores: int, share: float) -> str:
    """Return the coverage of the predictions' intervals."""
    jobs = [(world, i, share) for world in WORLDS for i in range(SHARES)]
    with ProcessPoolExecutor(cores) as pool:
        judged = [one for part in pool.map(run_predictions, jobs) for one in part]
    return "\n".join(laws_predictions_page.section(judged)) + "\n\n"


def time_part(cores: int, share: float) -> str:
    """Return what the stage takes."""
    return "\n".join(laws_timing.section())


def run_predictions(job: tuple[World, int, float]) -> list[Judged]:
    """Make every SHARES-th study of the predictions."""
    world, first, share = job
    n_studies = max(SHARES, round(world.n_studies * share))
    return [
        one
        for i in range(first, n_studies, SHARES)
        for one in judge(i, np.random.default_rng([SEED, i]), world)
    ]


def run(job: tuple[str, int, float]) -> list[Trial]:
    """Make every STRIDE-th study of a workload; study i is the same whatever the others are."""
    name, first, share = job
    n_studies, study = WORKLOADS[name]
    return [
        trial
        for i in range(first, max(STRIDE, round(n_studies * share)), STRIDE)
        for trial in study(np.random.default_rng([SEED, i]))
    ]


def count(trials: list[Trial]) -> Count:
    """Count what holds; an interval that is open on one side has no end there."""
    given = [t for t in trials if not (t.low is None and t.high is None)]
    ends = [
        (-np.inf if t.low is None else t.low, np.inf if t.high is None else t.high) for t in given
    ]
    holds = [
        low - ROUNDING <= t.truth <= high + ROUNDING
        for t, (low, high) in zip(given, ends, strict=True)
    ]
    return Count(
        *trials[0][:4],
        n=len(trials),
        covered=float(np.mean(holds)) if holds else np.nan,
        width=float(np.median([high - low for low, high in ends])) if ends else np.nan,
        none=1 - len(given) / len(trials),
    )


def page(counts: list[Count]) -> str:
    """Return docs/coverage.md."""
    return "\n".join([HEAD, *verdicts(counts), *tables(counts)]) + "\n"


def verdicts(counts: list[Count]) -> Iterator[str]:
    """Yield what each interval is worth, in words, from the numbers."""
    yield "## In short\n"
    groups: dict[tuple[str, str, str], list[Count]] = defaultdict(list)
    for item in counts:
        if item.used and np.isfinite(item.covered):
            groups[item.target, item.how, item.world].append(item)
    for (target, how, world), items in sorted(groups.items()):
        low, high = min(i.covered for i in items), max(i.covered for i in items)
        span = f"{low:.0%}" if low == high else f"{low:.0%} to {high:.0%}"
        yield f"- **{target}**, `{how}` ({world}): {span}. {_judged(items)}"
    yield ""


def _judged(items: list[Count]) -> str:
    under = [i.quantity for i in items if i.covered + 2 * i.error < NOMINAL]
    over = [i.quantity for i in items if i.covered - 2 * i.error > NOMINAL]
    words = []
    if under:
        words.append(f"Holds the truth less often than it says: {', '.join(under)}.")
    if over:
        words.append(f"Wider than need be: {', '.join(over)}.")
    return " ".join(words) or "What it says."


def tables(counts: list[Count]) -> Iterator[str]:
    """Yield a table for each target, and one of the ways that the project does not use."""
    for target in sorted({item.target for item in counts}):
        yield f"## Target: {target}"
        yield _table([i for i in counts if i.target == target and i.used])
    yield "## Ways that are not used"
    yield _table([i for i in counts if not i.used])


def _table(counts: list[Count]) -> str:
    rows = [
        f"| {i.world} | {i.how} | {i.quantity} | {i.n} | {_percent(i)} | {_width(i.width)} "
        f"| {i.none:.0%} |"
        for i in counts
    ]
    return TABLE + "\n".join(rows) + "\n"


def _percent(item: Count) -> str:
    if not np.isfinite(item.covered):
        return "-"
    return f"{100 * item.covered:.1f}% ± {100 * item.error:.1f}"


def _width(width: float) -> str:
    if np.isnan(width):
        return "-"
    return "open" if np.isinf(width) else f"{width:.4f}"


PARTS = {"intervals": intervals_part, "predictions": predictions_part, "time": time_part}
"""Parts of the page, in its order, and how each is made."""


if __name__ == "__main__":
    main()
