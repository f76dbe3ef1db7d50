"""The figures of `make bench-eval` as Markdown."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

AIMS = {
    "official": "speed at least 3",
    "real": "speed at least 1, memory at most 0.25",
    "long_prompt": "speed at least 1.2, memory at most 0.25",
    "ladder": "at most 1.15",
    "pool": "at most 1.05",
    "pool, held as stored": "at most 1.05",
}
WAYS = ("scored_per_second", "loss", "above_model_mb")
SWEEP = (
    "ratio",
    "ratio_to_scoring",
    "sweep_seconds",
    "forward_seconds",
    "merge_seconds",
    "merge_over_bandwidth",
    "prepare_seconds",
)


def page(figures: Mapping[str, Any]) -> str:
    """Return all parts that were measured."""
    parts = {"official": official, "harness": harness, "memory": memory, "sweep": sweep}
    lines = [
        f"{figures['model']}, vocabulary {figures['vocabulary']:,}; {figures['machine']}, "
        f"{figures['load_before']} processes of others running when it began; "
        f"medians of {figures['rounds']} rounds.",
    ]
    for name, part in parts.items():
        if name in figures:
            lines += ["", *part(figures)]
    if "cuda" in figures:
        lines += ["", f"On a GPU: {json.dumps(figures['cuda'])}"]
    return "\n".join(lines)


def official(figures: Mapping[str, Any]) -> Iterator[str]:
    """Yield the comparison with the paper's code."""
    found = figures["official"]
    yield (
        f"The official way (padded to 2,048, all logits, one item at a time); the first "
        f"{found['n_items']} items of `real`:"
    )
    yield from compared(found, AIMS["official"])


def harness(figures: Mapping[str, Any]) -> Iterator[str]:
    """Yield the comparisons with lm-evaluation-harness."""
    for name, found in figures["harness"].items():
        held = figures["requests"][name]
        yield (
            f"{figures['peer']}, softmax in float32; `{name}`: {held['n_items']} items, "
            f"{held['n_tokens']:,} tokens, {held['response_share']:.0%} of them response:"
        )
        yield from compared(found, AIMS[name])


def compared(found: Mapping[str, Any], aim: str) -> Iterator[str]:
    """Yield one comparison: a row per way, then the ratios to the best of the others."""
    ways = {name: row for name, row in found.items() if isinstance(row, Mapping)}
    yield from table(["way", *WAYS], ([name, *cells(row, WAYS)] for name, row in ways.items()))
    yield f"Speed {found['speed_ratio']}, memory {found['memory_ratio']} of theirs (aim: {aim})."


def memory(figures: Mapping[str, Any]) -> Iterator[str]:
    """Yield peaks by scored tokens, beside what their matrix of logits would take."""
    yield "Memory above the model's by scored tokens of one forward pass of 4,096:"
    rows = []
    for name, row in figures["memory"].items():
        n_scored = figures["requests"][name]["n_scored"]
        matrix = n_scored * figures["vocabulary"] * 4 / 1e6
        rows.append([f"{n_scored:,}", str(row["above_model_mb"]), f"{matrix:,.0f}"])
    yield from table(["scored", "above_model_mb", "float32 [tokens, vocabulary] in MB"], rows)


def sweep(figures: Mapping[str, Any]) -> Iterator[str]:
    """Yield the sweep's ratios at both sizes."""
    for name, found in figures["sweep"].items():
        yield (
            f"Sweep of {found['n_params_total']:,} parameters ({found['n_params_nonembedding']:,} "
            f"without embeddings), {found['dtype']}, {found['threads']} threads, "
            f"{found['n_scored']:,} scored tokens, {found['n_subsets']} subsets of k = "
            f"{found['mean_k']} on average, pool held as {found['holding']}; copying memory: "
            f"{found['copy_gb_per_second']} GB/s (aim for the ratio: {AIMS[name]}):"
        )
        rows = ([label, *cells(row, SWEEP)] for label, row in found["methods"].items())
        yield from table(["method", *SWEEP], rows)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield a Markdown table."""
    yield f"| {' | '.join(columns)} |"
    yield "|---" * len(columns) + "|"
    for row in rows:
        yield f"| {' | '.join(row)} |"


def cells(row: Mapping[str, Any], columns: Sequence[str]) -> list[str]:
    """Return a row's values as text."""
    return [f"{row[column]:.7g}" for column in columns]
