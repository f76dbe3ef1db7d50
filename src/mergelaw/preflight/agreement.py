"""Whether an expert's tensors are the base's: names, shapes and types, from headers alone."""

from collections import Counter
from collections.abc import Mapping

from mergelaw.checkpoints.headers import DTYPE_BITS, MERGED_DTYPES, Entry
from mergelaw.checkpoints.lora import LoraAdapter
from mergelaw.preflight.findings import Findings, counted, some
from mergelaw.preflight.heads import EMBEDDINGS, HEADS, module_of

Entries = Mapping[str, Entry]

QUANTISED_DTYPES = frozenset(
    name for name in DTYPE_BITS if name.startswith(("F8_", "F6_")) or name == "F4"
)
"""Floating types that hold numbers only together with scales kept elsewhere."""


def check_quantised(findings: Findings, owner: str, entries: Entries, method: str | None) -> bool:
    """Refuse quantised weights by the name of their type; say whether they were refused.

    Parameters
    ----------
    owner : str
        `the base` or `expert 'code'`.
    method : str or None
        The quantisation that config.json names.
    """
    types = Counter(e.dtype for e in entries.values() if e.dtype in QUANTISED_DTYPES)
    held = [f"{counted(n, 'tensor')} of type {dtype}" for dtype, n in sorted(types.items())]
    named = [f"config.json says {method!r}"] if method else []
    if held or named:
        findings.problem(
            f"{owner} is quantised ({', '.join(named + held)}); only tensors of type "
            f"{', '.join(sorted(MERGED_DTYPES))} can be added: give the checkpoint that it was "
            "quantised from, or dequantise it and save it"
        )
    return bool(held or named)


def check_tensors(
    findings: Findings, name: str, base: Entries, expert: Entries, n_tokens: int | None
) -> None:
    """Compare names, shapes and types of all tensors, tied copies aside.

    Parameters
    ----------
    n_tokens : int or None
        The base's `vocab_size`, by which matrices with one row per token are known.
    """
    _check_names(findings, name, base, expert)
    shared = sorted(base.keys() & expert.keys())
    other = [key for key in shared if base[key].shape != expert[key].shape]
    rows = [key for key in other if _is_vocabulary(key, base[key], expert[key], n_tokens)]
    if rows:
        sizes = sorted({(expert[key].shape[0], base[key].shape[0]) for key in rows})
        findings.problem(
            f"expert {name!r}: its vocabulary has "
            + " and ".join(f"{mine:,} rows, the base's {theirs:,}" for mine, theirs in sizes)
            + f" ({some(rows)}); resize it to the base's tokens "
            "(transformers: resize_token_embeddings) or leave it out"
        )
    _list(
        findings,
        "shapes",
        [
            f"expert {name!r}: {key} has shape {list(expert[key].shape)}, "
            f"the base {list(base[key].shape)}"
            for key in other
            if key not in rows
        ],
    )
    _check_types(findings, name, base, expert, shared)


def check_adapter(
    findings: Findings, name: str, adapter: LoraAdapter, base: Entries, ties: bool | None
) -> LoraAdapter:
    """Return an adapter under the base's names; what does not fit is a problem.

    Parameters
    ----------
    ties : bool or None
        Whether the base's output head is its input embedding.
    """
    bound, problems = adapter.bind({key: entry.shape for key, entry in base.items()})
    for problem in problems:
        findings.problem(f"expert {name!r}: {problem}")
    changed = sorted({*bound.updates, *bound.replacements})
    heads = [key for key in changed if module_of(key) in HEADS and key not in base]
    if ties and heads:
        findings.problem(
            f"expert {name!r}: the adapter changes {some(heads)}, and the base uses its input "
            "embedding there; merge it (peft: merge_and_unload) into an untied base, and give that"
        )
    embeddings = [key for key in changed if module_of(key) in EMBEDDINGS]
    replaced = [key for key in embeddings if key not in bound.updates]
    if ties and replaced:
        findings.problem(
            f"expert {name!r}: the adapter stores its own {some(replaced)}, which the base uses "
            "as its output head too: peft unties them then, and a tied merge would be another "
            "model; merge it (peft: merge_and_unload) into an untied base, and give that"
        )
    elif ties and embeddings:
        findings.note(
            f"expert {name!r}: the adapter changes {some(embeddings)}, which the base uses as its "
            "output head too: both change in the merged model"
        )
    held = [key for key in changed if key in base and base[key].dtype not in MERGED_DTYPES]
    if held:
        findings.problem(
            f"expert {name!r}: the adapter changes {some(held)}, of type {base[held[0]].dtype} in "
            "the base: only floating types are merged"
        )
    return bound


def _check_names(findings: Findings, name: str, base: Entries, expert: Entries) -> None:
    missing, extra = sorted(base.keys() - expert.keys()), sorted(expert.keys() - base.keys())
    hint = _hint(base, expert)
    if missing:
        findings.problem(
            f"expert {name!r} lacks {counted(len(missing), 'tensor')} of the base: {some(missing)}"
            + hint
        )
    if extra:
        findings.problem(
            f"expert {name!r} has {counted(len(extra), 'tensor')} that the base lacks: "
            f"{some(extra)}{hint}"
        )


def _hint(base: Entries, expert: Entries) -> str:
    """Return the way out where the names differ by how the model was saved, not by its weights."""
    missing, extra = base.keys() - expert.keys(), expert.keys() - base.keys()
    tails = [{_tail(key) for key in keys} for keys in (missing, extra)]
    stale = all(key.endswith(("inv_freq", ".masked_bias", ".attn.bias")) for key in missing | extra)
    if stale or (missing and extra and len(tails[0] & tails[1]) * 2 > len(tails[0])):
        return (
            "; these are other names or stale buffers: load both with one version of transformers "
            "(from_pretrained) and save them again (save_pretrained)"
        )
    return ""


def _tail(name: str) -> str:
    """Return a tensor's name from its layer's number on, or its last two parts."""
    parts = name.split(".")
    numbers = [place for place, part in enumerate(parts) if part.isdigit()]
    return ".".join(parts[numbers[0] if numbers else -2 :])


def _is_vocabulary(name: str, base: Entry, expert: Entry, n_tokens: int | None) -> bool:
    if len(base.shape) != 2 or len(expert.shape) != 2 or base.shape[1] != expert.shape[1]:
        return False
    return module_of(name) in EMBEDDINGS | HEADS or base.shape[0] == n_tokens


def _check_types(
    findings: Findings, name: str, base: Entries, expert: Entries, shared: list[str]
) -> None:
    floating = {key for key in shared if {base[key].dtype, expert[key].dtype} <= MERGED_DTYPES}
    other = [key for key in shared if base[key].dtype != expert[key].dtype]
    _list(
        findings,
        "types",
        [
            f"expert {name!r}: {key} has type {expert[key].dtype}, the base {base[key].dtype}: "
            "only floating types are converted"
            for key in other
            if key not in floating
        ],
    )
    pairs = Counter((expert[k].dtype, base[k].dtype) for k in other if k in floating)
    for (mine, theirs), n in sorted(pairs.items()):
        findings.note(
            f"expert {name!r} stores {counted(n, 'tensor')} as {mine} where the base has {theirs}; "
            "sums are made in F32 either way"
        )


def _list(findings: Findings, what: str, problems: list[str], shown: int = 5) -> None:
    """Add the first of many problems of a kind, and how many more there are."""
    for problem in problems[:shown]:
        findings.problem(problem)
    if len(problems) > shown:
        expert = problems[0].partition(":")[0]
        more = len(problems) - shown
        findings.problem(f"{expert}: {counted(more, 'more tensor')} of other {what}")
