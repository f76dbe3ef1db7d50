"""Pre-flight: everything that headers and json files tell of a merge, before any data are read."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from mergelaw.checkpoints.headers import DTYPE_BITS, MERGED_DTYPES, Entry
from mergelaw.checkpoints.store import TensorStore
from mergelaw.config.base import Name
from mergelaw.design import BASE
from mergelaw.errors import CheckpointError, listing
from mergelaw.hub import Ref
from mergelaw.preflight.agreement import Entries
from mergelaw.preflight.checks import (
    check_base,
    check_functions,
    check_weights,
    check_words,
    merged_entries,
    tied_copies,
)
from mergelaw.preflight.findings import Findings, Lineage, counted
from mergelaw.preflight.heads import Redundant
from mergelaw.preflight.members import Opened, check_apart, entries, open_member, owner
from mergelaw.preflight.room import amount, check_room

OutDtype = Literal["base", "float32", "bfloat16", "float16"]

STORED_AS: Mapping[OutDtype, str] = {"float32": "F32", "bfloat16": "BF16", "float16": "F16"}
"""The format's name of an output type; `base` keeps each tensor's own."""


@dataclass(frozen=True)
class Preflight:
    """What a merge will do, and everything that speaks against it.

    Attributes
    ----------
    problems : tuple of str
        What stops the merge; the other attributes can be relied on only where there is none.
    notes : tuple of str
        What a reader should see.
    base : TensorStore
        The opened base.
    experts : mapping of str to TensorStore or LoraAdapter
        The opened experts; adapters are bound to the base's tensors.
    model_names : mapping of str to str
        For `base` and each expert its name on the Hub where that is known, else its folder's.
    tensors : tuple of str
        Names of the tensors that are merged, sorted: those of floating types.
    copied : tuple of str
        Names of the other tensors, sorted: the base's are taken over.
    redundant : tuple of Redundant
        Stored copies of tied embeddings: neither merged nor written, and to be verified equal.
    dtype : {"base", "float32", "bfloat16", "float16"}
        Type of the merged tensors in the output.
    """

    problems: tuple[str, ...]
    notes: tuple[str, ...]
    base: TensorStore
    experts: Mapping[str, Opened]
    model_names: Mapping[str, str]
    tensors: tuple[str, ...]
    copied: tuple[str, ...]
    redundant: tuple[Redundant, ...]
    dtype: OutDtype

    @property
    def n_params(self) -> int:
        """Entries of the merged tensors; tied ones count once."""
        return sum(self.base.entries[name].n for name in self.tensors)

    @property
    def bytes_read(self) -> int:
        """Bytes of one pass over all inputs."""
        models = (self.base, *self.experts.values())
        return sum(entry.n_bytes for model in models for entry in entries(model))

    @property
    def bytes_written(self) -> int:
        """Bytes of the output's tensors."""
        return _bytes_written(self.base.entries, (*self.tensors, *self.copied), self.dtype)

    @property
    def gathered_notes(self) -> list[str]:
        """Notes with those that several experts share as one."""
        return _gathered(self.notes, self.experts)

    def raise_problems(self) -> None:
        """Raise a CheckpointError that lists every problem, if there is one."""
        if self.problems:
            lines = [problem.replace("\n", "\n  ") for problem in self.problems]
            raise CheckpointError(listing("these models cannot be merged", lines))

    def facts(self) -> dict[str, Any]:
        """Return everything as plain data, for JSON."""
        return {
            "problems": list(self.problems),
            "notes": list(self.notes),
            "base": str(self.base.folder),
            "model_names": dict(self.model_names),
            "experts": {
                name: {"folder": str(expert.folder), "kind": _kind(expert)}
                for name, expert in self.experts.items()
            },
            "dtypes": dict(sorted(Counter(e.dtype for e in self.base.entries.values()).items())),
            "n_tensors": len(self.tensors),
            "copied": list(self.copied),
            "redundant": [f"{copy.owner}: {copy.name} = {copy.twin}" for copy in self.redundant],
            "n_params": self.n_params,
            "bytes_read": self.bytes_read,
            "bytes_written": self.bytes_written,
        }

    def text(self) -> str:
        """Return what will be merged, and the notes, as lines for a person."""
        dtypes = sorted({self.base.entries[name].dtype for name in self.tensors})
        lines = [
            f"base    {self.base.folder}: {counted(len(self.tensors), 'tensor')}, "
            f"{self.n_params:,} parameters, {' and '.join(dtypes)}",
        ]
        for name, expert in self.experts.items():
            lines.append(f"expert  {name}: {expert.folder}, {_kind(expert)}")
        lines.append(f"reads   {amount(self.bytes_read)}, writes {amount(self.bytes_written)}")
        lines += [f"note    {note}" for note in self.gathered_notes]
        return "\n".join(lines)


def preflight(
    base: Ref,
    experts: Mapping[str, Ref],
    *,
    out: Path | None = None,
    dtype: OutDtype = "base",
    lineage: Lineage = "strict",
    stand_in: str | None = None,
) -> Preflight:
    """Check a merge from headers and json files alone; problems are collected, none is raised.

    Parameters
    ----------
    base : str or Path
        Folder, or `org/name@revision` in the Hugging Face cache.
    experts : mapping of str to (str or Path)
        The same by expert; a folder may hold a LoRA adapter.
    out : Path, optional
        Where the merged model is to go.
    dtype : {"base", "float32", "bfloat16", "float16"}
        Type of the merged model's tensors.
    lineage : {"strict", "report"}
        Whether an expert that seems not to come from the base is a problem or a note.
    stand_in : str, optional
        The expert that `base` is, where the method needs no base.
    """
    findings = Findings(lineage)
    _check_names(findings, experts)
    trunk = open_member(findings, BASE, base)
    found = {name: open_member(findings, name, ref) for name, ref in experts.items()}
    members = {name: member for name, member in found.items() if member and name != BASE}
    if stand_in is not None:
        findings.note(f"the method needs no base: expert {stand_in!r} stands for it here")
    check_apart(findings, trunk, members, stand_in)
    plain = check_base(findings, trunk)
    redundant = tied_copies(findings, trunk, members)
    bound = {
        name: check_weights(findings, trunk if plain else None, member, redundant)
        for name, member in members.items()
    }
    check_functions(findings, trunk, members)
    check_words(findings, trunk, members, stand_in)
    store = (trunk and trunk.store) or TensorStore(Path(base), {})
    held = merged_entries(store, BASE, redundant)
    if out is not None:
        check_room(findings, out, _bytes_written(held, held, dtype))
    order = [owner(name) for name in (BASE, *experts)]
    return Preflight(
        problems=_sorted(findings.problems, order),
        notes=_sorted(findings.notes, order),
        base=store,
        experts={name: expert for name, expert in bound.items() if expert is not None},
        model_names={m.name: m.origin.label for m in (trunk, *members.values()) if m is not None},
        tensors=tuple(sorted(name for name in held if held[name].dtype in MERGED_DTYPES)),
        copied=tuple(sorted(name for name in held if held[name].dtype not in MERGED_DTYPES)),
        redundant=redundant,
        dtype=dtype,
    )


def _bytes_written(held: Entries, names: Iterable[str], dtype: OutDtype) -> int:
    return sum(held[name].n * DTYPE_BITS[out_dtype(held[name], dtype)] // 8 for name in names)


def out_dtype(entry: Entry, dtype: OutDtype) -> str:
    """Return the format's name of the type in which a tensor of the base is written."""
    merged = entry.dtype in MERGED_DTYPES
    return STORED_AS.get(dtype, entry.dtype) if merged else entry.dtype


def _kind(expert: Opened) -> str:
    if isinstance(expert, TensorStore):
        return "whole model"
    changed = {*expert.updates, *expert.replacements}
    return f"LoRA adapter of {counted(len(changed), 'tensor')}"


def _check_names(findings: Findings, experts: Iterable[str]) -> None:
    for name in experts:
        try:
            TypeAdapter(Name).validate_python(name)
        except ValidationError:
            findings.problem(
                f"expert {name!r}: a name is made of letters, digits, '_', '.' and '-', starts "
                "with a letter or digit, and has at most 64 characters"
            )
        if name == BASE:
            findings.problem(f"expert {BASE!r}: the name is taken by the base model; give another")


def _gathered(notes: Iterable[str], experts: Iterable[str]) -> list[str]:
    """Return notes with those that several experts share as one, in the place of the first."""
    about: dict[str, list[str]] = {}
    for note in notes:
        name = next((name for name in experts if note.startswith(owner(name))), None)
        about.setdefault(note.removeprefix(owner(name)) if name else note, []).extend(
            [name] if name else []
        )
    return [
        (f"each of {', '.join(names)}" if len(names) > 1 else "".join(map(owner, names))) + text
        for text, names in about.items()
    ]


def _sorted(lines: Iterable[str], owners: Sequence[str]) -> tuple[str, ...]:
    """Put what is said of one model together; the rest comes last."""

    def place(line: str) -> int:
        places = [i for i, name in enumerate(owners) if line.startswith(name)]
        return places[0] if places else len(owners)

    return tuple(sorted(lines, key=place))
