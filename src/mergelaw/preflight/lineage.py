"""Lineage: whether what an expert's own files say of its base agrees with the base given."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mergelaw.hub import NAME, hub_name
from mergelaw.preflight.findings import Findings, json_object

CARD = "README.md"
WEAK = "config.json"
JSON_KEYS = {
    "adapter_config.json": "base_model_name_or_path",
    WEAK: "_name_or_path",
}
"""Where json files name a model's base; the weak one often names the model itself."""


@dataclass(frozen=True)
class Origin:
    """A model as it was asked for, and where it lies.

    Attributes
    ----------
    ref : str
        A folder or `org/name@revision`, as the user gave it.
    folder : Path
        What it resolved to.
    """

    ref: str
    folder: Path

    @property
    def hub_names(self) -> set[str]:
        """Its names on the Hub, where they are known."""
        asked = NAME.fullmatch(self.ref)
        found = {hub_name(self.folder), hub_name(self.folder.resolve())}
        if asked and hub_name(self.folder):
            found.add(asked["repo"])
        return {name for name in found if name}

    @property
    def label(self) -> str:
        """The name to print: on the Hub where it is known, else the folder's."""
        return min(self.hub_names, default=self.folder.resolve().name)

    @property
    def names(self) -> set[str]:
        """Every name it goes by: on the Hub, else its folder's."""
        return self.hub_names or {self.folder.name, self.folder.resolve().name}


@dataclass(frozen=True)
class Claim:
    """What one file says of the base: the names of one model, or of several merged ones."""

    file: str
    names: tuple[str, ...]

    def __str__(self) -> str:
        return f"{' and '.join(map(repr, self.names))} ({self.file})"


def claims(folder: Path) -> list[Claim]:
    """Return what a checkpoint's files say of its base, the most reliable first.

    Raises
    ------
    CheckpointError
        If a json file is broken. A card whose front matter is no YAML says nothing.
    """
    found = {
        file: _texts((json_object(folder / file) or {}).get(key)) for file, key in JSON_KEYS.items()
    }
    weak = found.pop(WEAK)
    found |= {CARD: _card_names(folder / CARD), WEAK: weak}
    return [Claim(file, names) for file, names in found.items() if names]


@dataclass(frozen=True)
class Parent:
    """What experts are compared with.

    Attributes
    ----------
    folder : Path
        The base's.
    names : frozenset of str
        Every name by which an expert may call it.
    said : str
        How a contradiction speaks of it.
    """

    folder: Path
    names: frozenset[str]
    said: str


def check_lineage(findings: Findings, name: str, expert: Origin, parent: Parent) -> None:
    """Compare an expert's claims with the base; a contradiction is a doubt, silence a note.

    `config.json` counts only where no other file speaks, and not where it names the expert itself
    or a folder of another machine: training scripts leave such names behind.

    Raises
    ------
    CheckpointError
        If a json file of the expert is broken.
    """
    found = claims(expert.folder)
    firm = [claim for claim in found if claim.file != WEAK]
    if any(_agrees(claim, parent) for claim in firm or found):
        return
    contradicting = firm or [claim for claim in found if not _is_weak(claim, expert)]
    if contradicting:
        findings.doubt(
            f"expert {name!r} says that it was made from "
            f"{', and from '.join(map(str, contradicting))}; {parent.said}"
        )
    else:
        findings.note(
            f"expert {name!r} does not say what it was made from"
            + "".join(f" ({c.file} names {c.names[0]!r}, which tells nothing)" for c in found)
        )


def parent_of(base: Origin) -> Parent:
    """Return the base as experts may call it; a local one's config.json may know its Hub name.

    Raises
    ------
    CheckpointError
        If a json file of the base is broken.
    """
    own = (json_object(base.folder / WEAK) or {}).get(JSON_KEYS[WEAK])
    names = base.names if base.hub_names else base.names | set(_texts(own))
    return Parent(base.folder, frozenset(names), f"the base is {base.ref}")


def parent_of_siblings(name: str, expert: Origin) -> Parent | None:
    """Return what an expert that stands for a base was made from; None if it does not say.

    Raises
    ------
    CheckpointError
        If a json file of the expert is broken.
    """
    found = claims(expert.folder)
    names = expert.names | {said for claim in found for said in claim.names}
    said = f"expert {name!r} from {' and '.join(map(str, found))}"
    return Parent(expert.folder, frozenset(names), said) if found else None


def _agrees(claim: Claim, parent: Parent) -> bool:
    return any(
        _same_folder(said, parent.folder) or any(_same_name(said, name) for name in parent.names)
        for said in claim.names
    )


def _same_name(one: str, other: str) -> bool:
    """Compare two names of models, in full or by their last parts, whatever the case.

    A folder may be called by its full name on the Hub, with `--` or `_` for the slash.
    """
    one, other = (hub_name(Path(name)) or name for name in (one, other))
    whole = [name.strip("/").casefold() for name in (one, other)]
    if whole[0].rpartition("/")[2] == whole[1].rpartition("/")[2]:
        return True
    return any(whole[0].replace("/", mark) == whole[1].replace("/", mark) for mark in ("--", "_"))


def _same_folder(said: str, folder: Path) -> bool:
    try:
        return Path(said).samefile(folder)
    except (OSError, ValueError):  # no such folder here, or no path at all
        return False


def _is_weak(claim: Claim, expert: Origin) -> bool:
    """Say whether a name in config.json is the expert's own, a checkpoint's, or another disk's."""
    (said,) = claim.names
    checkpoint = said.strip("/").rpartition("/")[2].startswith("checkpoint")
    if checkpoint or not NAME.fullmatch(hub_name(Path(said)) or said):
        return True
    return any(_same_name(said, own) for own in expert.names)


def _card_names(path: Path) -> tuple[str, ...]:
    """Return `base_model` of a model card's front matter."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ()
    start, _, rest = text.lstrip("\ufeff").partition("---\n")
    if start.strip() or "\n---" not in rest:
        return ()
    try:
        front = yaml.safe_load(rest.partition("\n---")[0])
    except yaml.YAMLError:
        return ()
    return _texts(front.get("base_model")) if isinstance(front, dict) else ()


def _texts(value: Any) -> tuple[str, ...]:
    """Return a text, or the texts in a list, without blanks."""
    values = value if isinstance(value, list) else [value]
    return tuple(text.strip() for text in values if isinstance(text, str) and text.strip())
