"""What a study will do, told from its config alone: the subset list and the number of merges."""

import json
from math import comb
from pathlib import Path
from typing import Any

import polars as pl

from mergelaw.config import Study
from mergelaw.config.design import BalancedPart
from mergelaw.design import Level, chunks, levels_of, merges_for
from mergelaw.design.budget import FEWEST_K
from mergelaw.paths import StudyPaths
from mergelaw.provenance import provenance
from mergelaw.tables import SUBSETS, SUBSETS_KEY, write_table


def write_subsets(study: Study, paths: StudyPaths) -> Path:
    """Write the subset list of all sizes; its metadata tell how balanced its balanced parts are."""
    rows = [
        {
            "size": size,
            "subset": subset.name,
            "k": subset.k,
            "experts": list(subset.experts),
            "chunk": chunk.index,
        }
        for size in study.size_names
        for chunk in chunks(study, size)
        for subset in chunk.subsets
    ]
    frame = pl.DataFrame(rows, schema=dict(SUBSETS))
    origin = provenance(study, "design", "design")
    balance = {size: balanced_parts(study, size) for size in study.size_names}
    if any(balance.values()):
        origin |= {"balanced": json.dumps(balance, sort_keys=True)}
    write_table(paths.subsets, frame, SUBSETS, SUBSETS_KEY, origin)
    return paths.subsets


def study_counts(study: Study) -> dict[str, Any]:
    """Return the number of merges (the base counts as none) and chunks, by size and in all."""
    methods = len(study.methods)
    sizes = [
        {
            "size": size,
            "merges": methods * (sum(len(c.subsets) for c in chunks(study, size)) - 1),
            "chunks": methods * len(chunks(study, size)),
            "balanced": balanced_parts(study, size),
        }
        for size in study.size_names
    ]
    return {
        "study": study.name,
        "sizes": sizes,
        "merges": sum(row["merges"] for row in sizes),
        "chunks": sum(row["chunks"] for row in sizes),
    }


def balanced_parts(study: Study, size: str) -> list[dict[str, Any]]:
    """Return what every balanced part of a size's design has at each k, and how balanced it is.

    Returns
    -------
    list of dict
        `budget` and `used` (subsets), `missing` (listed k that the budget does not reach),
        `merges_for_a_law` (a budget with a third k, where this one has none), and `levels`: k,
        n_subsets, n_subsets_pool, families, is_exact (every expert and every pair equally often),
        the fewest and most subsets that an expert, and a pair, is in, and `cut_from` (subsets of
        the whole family, where the budget ended within it).
    """
    parts = [p for p in study.size(size).design or study.design if isinstance(p, BalancedPart)]
    return [_balanced(part, levels_of(study, part), len(study.experts)) for part in parts]


def _balanced(part: BalancedPart, found: tuple[Level, ...], n_experts: int) -> dict[str, Any]:
    reached = {level.k for level in found}
    short = part.k is None and len(found) < FEWEST_K
    return {
        "budget": part.merges,
        "used": sum(len(level.subsets) for level in found),
        "missing": [k for k in part.k or () if k not in reached],
        "levels": [
            {
                "k": level.k,
                "n_subsets": len(level.subsets),
                "n_subsets_pool": comb(n_experts, level.k),
                "families": list(level.families),
                "is_exact": level.is_exact,
                "subsets_of_expert": list(level.experts),
                "subsets_of_pair": list(level.pairs),
                "cut_from": level.cut_from,
            }
            for level in found
        ],
        "merges_for_a_law": merges_for(n_experts, FEWEST_K) if short else None,
    }


def balance_lines(part: dict[str, Any]) -> list[str]:
    """Return one of `balanced_parts` in words, a line per k."""
    left = part["budget"] - part["used"]
    lines = [
        f"balanced: {part['used']} of at most {part['budget']} merges a method"
        + (f"; {left} buy no further whole design" if left else "")
    ]
    for level in part["levels"]:
        pairs = "" if level["k"] == 1 else f", a pair in {_range(level['subsets_of_pair'])}"
        lines.append(
            f"  k = {level['k']}: {level['n_subsets']} of {level['n_subsets_pool']}, "
            f"{_balance(level)}: an expert in "
            f"{_range(level['subsets_of_expert'])}{pairs} ({', '.join(level['families'])})"
        )
    if part["missing"]:
        ks = ", ".join(map(str, part["missing"]))
        lines.append(f"  k = {ks}: none, the budget is used up before; raise `merges`")
    if part["merges_for_a_law"] is not None:
        lines.append(
            f"  {len(part['levels'])} k only: no law can be fitted, which needs {FEWEST_K}; "
            f"`merges: {part['merges_for_a_law']}` has a whole third one"
        )
    return lines


def _balance(level: dict[str, Any]) -> str:
    if level["is_exact"]:
        return "exact"
    whole = level["cut_from"]
    return f"cut short of the {whole} that are balanced" if whole else "nearly balanced"


def _range(ends: list[int]) -> str:
    return str(ends[0]) if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"
