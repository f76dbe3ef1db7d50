"""Tied output heads: copies of the input embedding, which some checkpoints store."""

from collections.abc import Mapping
from dataclasses import dataclass

from mergelaw.checkpoints.store import TensorStore
from mergelaw.design import BASE
from mergelaw.preflight.findings import Findings

HEADS = frozenset({"lm_head", "embed_out", "output", "output_layer"})
EMBEDDINGS = frozenset(
    {"embed_tokens", "wte", "word_embeddings", "tok_embeddings", "embed_in", "token_embedding"}
    | {"embedding", "shared"}
)
"""The last part of a module's name, by its place in the model; the shapes must agree as well."""


@dataclass(frozen=True)
class Redundant:
    """A stored tensor that is to be a copy of another of the same checkpoint.

    Attributes
    ----------
    owner : str
        `base`, or an expert's name.
    name : str
        The copy; it is not merged, and the merged model does not have it.
    twin : str
        The tensor whose entries it must equal.
    """

    owner: str
    name: str
    twin: str


@dataclass(frozen=True)
class Tie:
    """What one checkpoint says of its output head: `tie_word_embeddings`, None if nothing."""

    store: TensorStore
    stated: bool | None


def module_of(name: str) -> str:
    """Return the last part of the name of the module whose weight this is; '' for other tensors."""
    module, _, kind = name.rpartition(".")
    return module.rpartition(".")[2] if kind == "weight" else ""


def redundant_heads(
    findings: Findings, base: Tie, experts: Mapping[str, Tie]
) -> tuple[Redundant, ...]:
    """Return the stored copies of tied embeddings; models that contradict each other are problems.

    A head is tied if one config.json says so and none denies it, or if none says anything and only
    some of the checkpoints store it: that it is a copy is verified when the data are read.
    """
    owners = {BASE: base} | dict(experts)
    for name, expert in experts.items():
        if None not in (base.stated, expert.stated) and base.stated != expert.stated:
            findings.problem(_contradiction(name, expert.stated is True))
    if {tie.stated for tie in owners.values()} >= {True, False}:
        return ()
    found = []
    for head in sorted({name for tie in owners.values() for name in tie.store.entries}):
        holders = [owner for owner, tie in owners.items() if head in tie.store.entries]
        stated = {tie.stated for tie in owners.values()}
        if False in stated or (True not in stated and len(holders) == len(owners)):
            continue
        twin = _twin(head, owners[holders[0]].store, base.store)
        if twin is not None:
            found += [Redundant(owner, head, twin) for owner in holders]
    return tuple(found)


def note_redundant(findings: Findings, found: tuple[Redundant, ...]) -> None:
    """Say which stored copies are left out of the merge, and on what condition."""
    for copy in found:
        owner = "the base" if copy.owner == BASE else f"expert {copy.owner!r}"
        findings.note(
            f"{owner} stores {copy.name} beside {copy.twin}, to which it is tied: it is left out "
            "if the two are equal, else the merge stops"
        )


def _contradiction(name: str, expert_ties: bool) -> str:
    ties, own = ("it", "the base") if expert_ties else ("the base", "it")
    return (
        f"expert {name!r}: by config.json (tie_word_embeddings) {ties} uses the input embedding as "
        f"its output head, and {own} has a head of its own; untie the one that is tied (store the "
        "embedding again as its head, and set tie_word_embeddings to false), then merge"
    )


def _twin(head: str, holder: TensorStore, base: TensorStore) -> str | None:
    """Return the one embedding of a head's shape in base and holder; None rather than a guess."""
    if module_of(head) not in HEADS:
        return None
    shape = holder.entries[head].shape
    twins = [
        name
        for name, entry in base.entries.items()
        if module_of(name) in EMBEDDINGS and entry.shape == shape and name in holder.entries
    ]
    return twins[0] if len(twins) == 1 else None
