"""Base and experts as a merge is given them: found, and opened from their headers."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mergelaw.checkpoints.headers import Entry
from mergelaw.checkpoints.lora import LoraAdapter, is_adapter
from mergelaw.checkpoints.store import TensorStore
from mergelaw.design import BASE
from mergelaw.errors import CheckpointError
from mergelaw.hub import Ref, download_command, hub_name, resolve
from mergelaw.preflight.findings import Findings, json_object
from mergelaw.preflight.lineage import Origin
from mergelaw.preflight.settings import tied

Opened = TensorStore | LoraAdapter


@dataclass(frozen=True)
class Member:
    """A base or an expert while it is checked.

    Attributes
    ----------
    name : str
        `base`, or the expert's name.
    origin : Origin
        What was asked for, and its folder.
    opened : TensorStore, LoraAdapter or None
        None where it could not be opened.
    config : mapping or None
        Its config.json, where there is one.
    """

    name: str
    origin: Origin
    opened: Opened | None
    config: Mapping[str, Any] | None

    @property
    def store(self) -> TensorStore | None:
        """Its tensors, if it is a whole model."""
        return self.opened if isinstance(self.opened, TensorStore) else None

    @property
    def tied(self) -> bool | None:
        """Whether its output head is its input embedding; None where it is not said."""
        return tied(self.config)

    @property
    def files(self) -> frozenset[tuple[int, int]]:
        """The files that hold its weights, whatever the paths that lead to them."""
        stats = [path.stat() for path in {entry.path for entry in entries(self.opened)}]
        return frozenset((stat.st_dev, stat.st_ino) for stat in stats)


def owner(name: str) -> str:
    """Return what messages call a member."""
    return "the base" if name == BASE else f"expert {name!r}"


def entries(opened: Opened | None) -> Iterator[Entry]:
    """Yield every stored tensor of a model, or of an adapter bound or not."""
    if isinstance(opened, TensorStore):
        yield from opened.entries.values()
    elif opened is not None:
        yield from opened.replacements.values()
        for update in opened.updates.values():
            yield from (update.a, update.b)


def open_member(findings: Findings, name: str, ref: Ref) -> Member | None:
    """Find a model and read its headers and config; None if there is no such folder."""
    try:
        origin = Origin(str(ref), resolve(ref))
    except CheckpointError as error:
        findings.problem(f"{owner(name)}: {error}")
        return None
    opened: Opened | None = None
    config = None
    try:
        if name != BASE and is_adapter(origin.folder):
            opened = LoraAdapter.open(origin.folder)
        else:
            opened = TensorStore.open(origin.folder)
    except CheckpointError as error:
        findings.problem(f"{owner(name)}: {error}{_again(origin)}")
    try:
        config = json_object(origin.folder / "config.json")
    except CheckpointError as error:
        findings.problem(f"{owner(name)}: {error}")
    return Member(name, origin, opened, config)


def check_apart(
    findings: Findings, base: Member | None, experts: Mapping[str, Member], stand_in: str | None
) -> None:
    """Refuse the same weights given twice, whatever the paths that lead to them."""
    seen = {} if base is None or stand_in is not None else {base.files: BASE}
    for name, expert in experts.items():
        if not expert.files:
            continue
        first = seen.setdefault(expert.files, name)
        if first == BASE:
            findings.problem(
                f"{owner(name)} is the base itself ({expert.origin.ref}): its task vector is 0; "
                "leave it out"
            )
        elif first != name:
            findings.problem(
                f"{owner(name)} is the same checkpoint as {owner(first)} ({expert.origin.ref}): "
                "it would count twice; leave one out"
            )


def _again(origin: Origin) -> str:
    """Return how to complete a model of the cache of which only some files were fetched."""
    repo = hub_name(origin.folder)
    return f"; to complete it, run: {download_command(repo, None)}" if repo else ""
