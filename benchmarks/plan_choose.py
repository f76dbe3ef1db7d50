"""Subsets predicted from 34 balanced merges of an exhaustive study: errors, coverage, regret.

    python -m benchmarks.plan_choose results/default

Each relabelling of the nine experts is another design: k = 1 (9 merges), 3 (the 12 lines of the
affine plane), 6 (their complements), 9. Regret is on other text than the choice was made on: the
items of a domain are split in two random halves, one chooses and the other judges, and swapped.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import spearmanr

from benchmarks.of_results import print_figures
from mergelaw.design import two_design
from mergelaw.laws.resampling import LEVEL, reach
from mergelaw.laws.subset_model import fit_subsets
from mergelaw.laws.uncertainty import generator
from mergelaw.planning.choose import choose
from mergelaw.planning.loss_table import SubsetLosses, read_losses

Array = NDArray[Any]
RELABELLINGS = 40
KS = (3, 4, 5)
SURE_RELABELLINGS, SURE_K = 4, 4
"""Designs, and the k, that rankings with all their draws are made for."""

MACRO = "macro"
MOST_ERROR, MOST_REGRET = 0.005, 0.25
"""Aims for average, task_arithmetic and dare: median relative error; median share of regret."""

AIMED = ("average", "task_arithmetic", "dare")


class Cell(NamedTuple):
    """One size and method, with the designs that it is predicted from."""

    table: SubsetLosses
    designs: list[Array]


def measure(results: Path) -> dict[str, Any]:
    """Return the figures of a study's exhaustive table, by method and size.

    Parameters
    ----------
    results : Path
        The study's folder, with sweep/losses.parquet of nine experts.
    """
    path = results / "sweep" / "losses.parquet"
    names = pl.read_parquet(path, columns=["size", "method", "subset"])
    cells = (
        names.filter(pl.col("subset") != "base")
        .select("size", "method")
        .unique(maintain_order=True)
    )
    rows = []
    for size, method in cells.iter_rows():
        table = read_losses(path, size, method)
        cell = Cell(table, list(_designs(table)))
        place = {"size": size, "method": method}
        rows.append(place | _errors(cell) | _regrets(cell) | _sureness(cell))
    tokens = {name: int(items.n_tokens[0].sum()) for name, items in table.items.items()}
    return {
        "results": str(results),
        "relabellings": RELABELLINGS,
        "tokens_by_domain": tokens,
        "cells": rows,
        "by_method": _by_method(rows),
    }


def _designs(table: SubsetLosses) -> Iterator[Array]:
    """Yield which subsets each relabelling measures, shape (subsets,)."""
    experts = sorted(table.experts)
    rows = {name: i for i, name in enumerate(table.names(table.members))}
    for number in range(RELABELLINGS):
        order = generator(number, "relabelling").permutation(experts).tolist()
        names = [*experts, "+".join(experts)]
        names += [subset.name for k in (3, 6) for subset in two_design(order, k) or ()]
        seen = np.zeros(len(rows), bool)
        seen[[rows[name] for name in names]] = True
        yield seen


def _errors(cell: Cell) -> dict[str, Any]:
    """Return errors of predicted subsets, coverage of the intervals, and rank correlations."""
    table, ks = cell.table, cell.table.members.sum(axis=1)
    targets = np.column_stack([table.losses, table.losses.mean(axis=1)])
    errors, inside, ranks = [], [], {k: list[float]() for k in KS}
    for seen in cell.designs:
        for losses in targets.T:
            model = fit_subsets(table.members[seen], losses[seen])
            found, stderr = model.predict(table.members)
            left = np.abs(found - losses)
            errors.append((left / losses)[~seen])
            inside.append((left <= reach(model.freedom) * stderr)[~seen])
            for k in KS:
                at = ~seen & (ks == k)
                ranks[k].append(float(spearmanr(found[at], losses[at]).statistic))
    by_target = np.array(errors).reshape(len(cell.designs), targets.shape[1], -1)
    held = np.array(inside)
    of_k = ks[~cell.designs[0]]  # every design has as many subsets of each k, in the same order
    return {
        "median_error": float(np.median(by_target[:, :-1])),
        "median_error_macro": float(np.median(by_target[:, -1])),
        "p95_error": float(np.quantile(by_target[:, :-1], 0.95)),
        f"coverage_{LEVEL:.0%}": float(held.mean()),
        "coverage_by_k": {int(k): float(held[:, of_k == k].mean()) for k in np.unique(of_k)},
        "rank_correlation": {k: float(np.median(values)) for k, values in ranks.items()},
    }


def _regrets(cell: Cell) -> dict[str, Any]:
    """Return regrets on other text as shares of a random subset's, over domains and halves."""
    table, ks = cell.table, cell.table.members.sum(axis=1)
    shares: dict[int, list[float]] = {k: [] for k in KS}
    nats = []
    for number, seen in enumerate(cell.designs):
        for domain in table.domains:
            halves = _halves(cell.table, domain, number)
            for chosen_on, judged_on in (halves, halves[::-1]):
                model = fit_subsets(table.members[seen], chosen_on[seen])
                expected = np.where(seen, chosen_on, model.predict(table.members)[0])
                for k in KS:
                    at = np.flatnonzero(ks == k)
                    judged = judged_on[at] - judged_on[at].min()
                    regret = judged[np.argmin(expected[at])]
                    shares[k].append(float(regret / judged.mean()))
                    nats.append(float(regret))
    every = [share for values in shares.values() for share in values]
    return {
        "median_regret_share": float(np.median(every)),
        "mean_regret_share": float(np.mean(every)),
        "median_regret_share_by_k": {k: float(np.median(v)) for k, v in shares.items()},
        "median_regret_nats": float(np.median(nats)),
    }


def _sureness(cell: Cell) -> dict[str, Any]:
    """Return how P(best), the tied subsets and the expected regret compare with the truth.

    Of the subsets of `SURE_K` experts, by domain, on the measured text itself.
    """
    table, found = cell.table, []
    at = table.members.sum(axis=1) == SURE_K
    names = np.array(table.names(table.members[at]))
    for seen in cell.designs[:SURE_RELABELLINGS]:
        measured = replace(table, members=table.members[seen], losses=table.losses[seen], items={})
        for number, losses in enumerate(table.losses[at].T):
            ranking = choose(measured, np.eye(len(table.domains))[number], SURE_K)
            best = names[np.argmin(losses)]
            tied = {row.subset for row in ranking.rows if row.tied}
            regret = float(losses[names == ranking.best.subset][0] - losses.min())
            first = ranking.best
            found.append((first.p_best, first.subset == best, best in tied, first.regret, regret))
    told = ("p_best", "is_best", "best_among_tied", "regret_expected", "regret_found")
    return dict(zip(told, np.mean(found, axis=0).tolist(), strict=True))


def _halves(table: SubsetLosses, domain: str, number: int) -> tuple[Array, Array]:
    """Return the losses of all subsets on two random halves of a domain's items."""
    items = table.items[domain]
    n_items = items.n_tokens.shape[1]
    order = generator(number, "halves", domain).permutation(n_items)
    first, second = (
        items.nll_sum[:, part].sum(axis=1) / items.n_tokens[:, part].sum(axis=1)
        for part in (order[: n_items // 2], order[n_items // 2 :])
    )
    return first, second


def _by_method(rows: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Return each method's worst size of either aim."""
    methods = list(dict.fromkeys(row["method"] for row in rows))
    told = ("median_error", "median_error_macro", "median_regret_share")
    return {
        method: {name: max(row[name] for row in rows if row["method"] == method) for name in told}
        for method in methods
    }


def text(figures: dict[str, Any]) -> str:
    """Return the figures as a table, with whether the aims are met."""
    lines = [
        f"34 of 511 merges predict the other 477; {figures['relabellings']} relabellings; "
        f"{min(figures['tokens_by_domain'].values())} tokens a domain and more",
        f"{'size':8}{'method':18}{'error':>8}{'macro':>8}{'p95':>8}{'cover':>8}"
        f"{'rank 3':>8}{'rank 4':>8}{'rank 5':>8}{'regret':>8}{'nats':>9}"
        f"{'P(best)':>9}{'is best':>9}{'tied has it':>13}",
    ]
    for row in figures["cells"]:
        ranks = "".join(f"{row['rank_correlation'][k]:8.3f}" for k in KS)
        lines.append(
            f"{row['size']:8}{row['method']:18}{row['median_error']:8.2%}"
            f"{row['median_error_macro']:8.2%}{row['p95_error']:8.2%}"
            f"{row[f'coverage_{LEVEL:.0%}']:8.1%}{ranks}{row['median_regret_share']:8.1%}"
            f"{row['median_regret_nats']:9.4f}{row['p_best']:9.2f}{row['is_best']:9.2f}"
            f"{row['best_among_tied']:13.2f}"
        )
    for method, worst in figures["by_method"].items():
        kept = (worst["median_error"] <= MOST_ERROR, worst["median_regret_share"] <= MOST_REGRET)
        words = " and ".join(
            f"{name} {'kept' if good else 'missed'}"
            for name, good in zip(("error", "regret"), kept, strict=True)
        )
        lines.append(f"{method}: aims {words}" if method in AIMED else f"{method}: no aim")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print the figures of a study's results."""
    print_figures(__doc__, measure, text)


if __name__ == "__main__":
    main()
