"""How the laws were fitted, choice by choice, and the analyses that the data do not allow.

The choices are those that change a scaling law's conclusions and are often left unsaid: Li et al.
2025, "(Mis)Fitting: A Survey of Scaling Laws" (arXiv 2502.18969).
"""

from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl

from mergelaw.config import Study
from mergelaw.laws.registry import ANALYSES
from mergelaw.laws.schemas import CURVES, HELDOUT
from mergelaw.laws.schemas.doubts import INTERVALS, RIVALS
from mergelaw.report import words
from mergelaw.report.context import Facts
from mergelaw.report.doubt_words import TARGETS, law_words
from mergelaw.report.grids import Grid
from mergelaw.report.inputs import Tables, n_by_size

WEIGHTS = {
    "uniform": "every point alike (with all subsets in, no point has a sampling error)",
    "measured": "by the points' errors from sampled subsets and one lack of fit for all",
    "k": "in proportion to k",
}
"""Weights of points, in words, by their name in fits.json."""


def checklist(study: Study, tables: Tables, fits: Mapping[str, Any], facts: Facts) -> Grid:
    """Tabulate the choices behind the fits, each with this study's answer."""
    made = fits["fits"]
    body = [
        [
            "Form",
            "; ".join(dict.fromkeys(fit["formula"] for fit in made)) or "none fitted",
        ],
        ["Other forms tried", _rivals(tables)],
        ["What is predicted", _predicted(study, facts)],
        ["Models", _models(study, tables)],
        ["Points", _points(study, tables)],
        ["Points left out", "The base (k = 0) is no point of a fit; no other is left out."],
        ["Loss of the fit", "Squared error in nats per token, not in logarithms; no robust loss."],
        ["Weights", _weights(made)],
        ["Start", _starts(made)],
        [
            "Optimiser",
            "Variable projection: linear parameters by non-negative least squares at each value "
            "of the others; Levenberg–Marquardt at the end. Second minima: "
            f"{words.share_of(sum(f['n_basins'] > 1 for f in made), len(made), 'fit')}.",
        ],
        ["Bounds", _bounds(made)],
        ["Uncertainty", _uncertainty(study, tables)],
        ["Held-out points", _heldout(study, tables)],
        [
            "Sensitivity",
            "To the form, to experts left out, to two stages instead of one fit, to the three k of "
            "a forecast: the sections above. To the seed of training: not in this report.",
        ],
        ["To make it again", "Versions, config and data hashes: section “Provenance”."],
    ]
    return Grid("Choices of the fits, and this study's answers.", ("choice", "answer"), body)


def _rivals(tables: Tables) -> str:
    laws = tables[RIVALS.file]["law"].unique(maintain_order=True).to_list()
    others = [law_words(law) for law in laws if law not in ("floor_tail", "joint")]
    return "; ".join(others) or "None: no rival form was fitted."


def _predicted(study: Study, facts: Facts) -> str:
    items = words.span(facts.contents["n_items"].to_list(), words.whole)
    return (
        f"Mean cross-entropy over subsets of k experts, in nats per token, on {items} held-out "
        f"items in each of {words.plural(len(facts.tokens), 'domain')}; macro is their unweighted "
        "mean."
    )


def _models(study: Study, tables: Tables) -> str:
    n_params = n_by_size(tables[CURVES.file])
    kind = {"nonembedding": "without embeddings", "total": "with embeddings"}[study.laws.n_params]
    counts = [f"{size} {words.count(n * 1e9)}" for size, n in n_params.items()]
    return (
        f"N is the parameter count {kind}, in billions in the formula: {words.joined(counts)}. "
        f"{words.plural(len(study.experts), 'expert')} per size, {words.plural(1, 'seed')}."
    )


def _points(study: Study, tables: Tables) -> str:
    curves = tables[CURVES.file].filter(pl.col("k") > 0)
    ks = words.span(curves["k"].to_list(), words.whole)
    complete = (curves["n_subsets"] == curves["n_subsets_pool"]).all()
    subsets = "all subsets of each k" if complete else "sampled subsets of each k"
    return (
        f"k = {ks}, a mean over {subsets}; a fit has "
        f"{words.span(_counts(curves, ('method', 'domain', 'size')), words.whole)} points at one "
        f"size, {words.span(_counts(curves, ('method', 'domain')), words.whole)} over all sizes."
    )


def _counts(curves: pl.DataFrame, by: Iterable[str]) -> list[float | None]:
    return curves.group_by(list(by)).len()["len"].to_list()


def _weights(made: list[Mapping[str, Any]]) -> str:
    names = list(dict.fromkeys(fit["weights"] for fit in made))
    text = "; ".join(WEIGHTS.get(name, name) for name in names)
    return f"{text[:1].upper()}{text[1:]}." if text else words.MISSING


def _starts(made: list[Mapping[str, Any]]) -> str:
    starts = words.span([fit["n_starts"] for fit in made], words.whole)
    return (
        "A grid over the parameters that are not linear; its local minima are polished "
        f"({starts} per fit)."
    )


def _bounds(made: list[Mapping[str, Any]]) -> str:
    """Give the range of every parameter and how many fits end at it."""
    seen: dict[str, list[Mapping[str, Any]]] = {}
    for fit in made:
        for name, found in fit["parameters"].items():
            seen.setdefault(name, []).append(found)
    parts = []
    for name, found in seen.items():
        low, high = found[0]["minimum"], found[0]["maximum"]
        ends = f"{low:g} or more" if high is None else f"{low:g} to {high:g}"
        at_bound = sum(parameter["at_bound"] for parameter in found)
        parts.append(f"{name} {ends} (at a bound in {at_bound} of {len(found)})")
    return f"{'; '.join(parts)}." if parts else words.MISSING


def _uncertainty(study: Study, tables: Tables) -> str:
    targets = set(tables[INTERVALS.file]["target"].to_list())
    if not targets:
        return "No interval could be made."
    how = {
        "pool": "profile of the scatter about the law (this pool and text)",
        "text": f"{study.laws.resamples} resamples of the items (new text)",
        "experts": "jackknife over experts (new experts)",
    }
    return f"95% intervals: {words.joined([how[name] for name in TARGETS if name in targets])}."


def _heldout(study: Study, tables: Tables) -> str:
    left_out = set(tables[HELDOUT.file]["left_out"].to_list())
    parts = ["the largest size"] if "largest_size" in left_out else []
    parts += [f"k ≥ {study.laws.heldout_k}"] if any(n.startswith("k_ge") for n in left_out) else []
    return f"{words.joined(parts)}, in turn: section “The law”." if parts else "None could be made."


def not_made(reasons: Mapping[str, str]) -> Grid:
    """Tabulate the analyses that the data do not allow.

    Parameters
    ----------
    reasons : mapping of str to str
        Why, by the file of the empty table (`mergelaw.report.inputs.not_made`).
    """
    names = {file: file.removesuffix(".parquet") for file in reasons}
    return Grid(
        "Analyses that were not made.",
        ("analysis", "why not", "needs"),
        [[names[file], reasons[file], ANALYSES[names[file]].needs] for file in reasons],
    )
