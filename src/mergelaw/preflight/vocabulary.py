"""Vocabulary: whether base and expert give the same tokens the same ids, and cut text alike."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mergelaw.errors import CheckpointError
from mergelaw.preflight.findings import Findings, counted, json_object, some

MAIN = "tokenizer.json"
SETTINGS = "tokenizer_config.json"
OPAQUE = ("tokenizer.model", "spiece.model", "vocab.json", "vocab.txt", "merges.txt")
"""Files of tokenizers without a tokenizer.json: compared byte for byte."""

TEMPLATE = "chat_template.jinja"
SPECIAL = ("bos_token", "eos_token", "pad_token", "unk_token")
RULES = ("normalizer", "pre_tokenizer", "post_processor", "decoder")
"""Sections of tokenizer.json that act on text around the vocabulary."""


@dataclass(frozen=True)
class Tokenizer:
    """A tokenizer's files in a checkpoint; read when they are compared, and not before."""

    folder: Path

    @cached_property
    def raw(self) -> Mapping[str, Any]:
        """The parsed tokenizer.json."""
        return json_object(self.folder / MAIN) or {}

    @property
    def files(self) -> list[str]:
        """The files that hold a vocabulary."""
        return [name for name in (MAIN, *OPAQUE) if (self.folder / name).is_file()]

    @cached_property
    def tokens(self) -> dict[int, str]:
        """Token of each id, added ones included.

        Raises
        ------
        CheckpointError
            If tokenizer.json is not as the tokenizers library writes it.
        """
        try:
            vocab = (self.raw.get("model") or {}).get("vocab") or {}
            if isinstance(vocab, list):  # unigram: [token, score], the id is the place
                tokens = {place: entry[0] for place, entry in enumerate(vocab)}
            else:
                tokens = {place: token for token, place in vocab.items()}
            return tokens | self.added
        except (AttributeError, IndexError, KeyError, TypeError) as error:
            raise CheckpointError(f"{self.folder / MAIN}: is no tokenizer ({error!r})") from error

    @property
    def added(self) -> dict[int, str]:
        """Tokens beside the trained vocabulary, such as marks of a chat's turns."""
        return {entry["id"]: entry["content"] for entry in self.raw.get("added_tokens") or ()}

    def check(self) -> None:
        """Raise a CheckpointError if tokenizer.json is there and broken."""
        _ = self.tokens

    def cutting(self) -> tuple[Any, ...]:
        """Return what decides into which tokens of the vocabulary a word is cut."""
        model = self.raw.get("model") or {}
        vocab = model.get("vocab")
        merges = model.get("merges") or ()
        scores = vocab if isinstance(vocab, list) else None
        pairs = [" ".join(m) if isinstance(m, list) else m for m in merges]  # both are in use
        return model.get("type"), pairs, scores

    def conversation(self) -> dict[str, Any]:
        """Return special tokens, and the chat template wherever it is written."""
        config = json_object(self.folder / SETTINGS) or {}
        found = {key: config.get(key) for key in SPECIAL}
        found = {key: t.get("content") if isinstance(t, dict) else t for key, t in found.items()}
        found["chat template"] = config.get("chat_template")
        if (self.folder / TEMPLATE).is_file():
            text = (self.folder / TEMPLATE).read_text(encoding="utf-8", errors="replace")
            found["chat template"] = text
        return {key: value for key, value in found.items() if value is not None}


def check_tokenizer(
    findings: Findings, name: str, base: Tokenizer, expert: Tokenizer, *, may_lack: bool
) -> None:
    """Compare an expert's tokenizer with the base's.

    One id with two meanings is a problem, as the merged embedding would mix their vectors; where it
    is an added token's, whose places models often use anew, it is a doubt, and so are other merges.

    Parameters
    ----------
    may_lack : bool
        Whether an expert without a tokenizer (an adapter) goes without a note.

    Raises
    ------
    CheckpointError
        If a json file of one of the two is broken.
    """
    if not base.files:
        return
    if not expert.files:
        if not may_lack:
            findings.note(f"expert {name!r} has no tokenizer to compare with the base's")
        return
    if MAIN in base.files and MAIN in expert.files:
        if not _same_bytes(base.folder / MAIN, expert.folder / MAIN):
            _check_ids(findings, name, base, expert)
            _check_rules(findings, name, base, expert)
    else:
        _check_opaque(findings, name, base, expert)
    _check_conversation(findings, name, base, expert)


def _check_ids(findings: Findings, name: str, base: Tokenizer, expert: Tokenizer) -> None:
    mine, theirs = expert.tokens, base.tokens
    added = base.added.keys() | expert.added.keys()
    other = sorted(i for i in mine.keys() & theirs.keys() if mine[i] != theirs[i])
    trained = [i for i in other if i not in added]
    if trained:
        findings.problem(
            f"expert {name!r}: {_differs(trained, mine, theirs)}: these are two vocabularies; "
            "leave it out, or put the base's tokenizer files in its folder if its own are wrong"
        )
        return
    if other:
        findings.doubt(
            f"expert {name!r}: {_differs(other, mine, theirs)}; the merged model gets the base's"
        )
    beyond = [mine[i] for i in sorted(mine.keys() - theirs.keys())]
    if beyond:
        findings.note(
            f"expert {name!r}: its tokenizer adds {counted(len(beyond), 'token')}: {some(beyond)}; "
            "the merged model gets the base's tokenizer, without them"
        )
    if base.cutting() != expert.cutting():
        findings.doubt(
            f"expert {name!r}: its tokenizer cuts text into other tokens of the same vocabulary "
            "than the base's (their merges or scores differ)"
        )


def _check_rules(findings: Findings, name: str, base: Tokenizer, expert: Tokenizer) -> None:
    rules = [rule for rule in RULES if base.raw.get(rule) != expert.raw.get(rule)]
    if rules:
        findings.note(
            f"expert {name!r}: tokenizer.json differs from the base's in {', '.join(rules)}; "
            "the merged model gets the base's"
        )


def _check_opaque(findings: Findings, name: str, base: Tokenizer, expert: Tokenizer) -> None:
    shared = [file for file in base.files if file in expert.files]
    other = [file for file in shared if not _same_bytes(base.folder / file, expert.folder / file)]
    if other:
        findings.doubt(
            f"expert {name!r}: its tokenizer differs from the base's ({', '.join(other)})"
        )
    if not shared:
        findings.note(
            f"expert {name!r}: its tokenizer ({', '.join(expert.files)}) cannot be compared with "
            f"the base's ({', '.join(base.files)})"
        )


def _check_conversation(findings: Findings, name: str, base: Tokenizer, expert: Tokenizer) -> None:
    """Note special tokens and a chat template other than the base's."""
    mine, theirs = expert.conversation(), base.conversation()
    parts = [key for key in mine if mine[key] != theirs.get(key)]
    if parts:
        findings.note(
            f"expert {name!r}: its tokenizer has another {', '.join(parts)} than the base's; "
            "the merged model gets the base's"
        )


def _differs(ids: list[int], mine: Mapping[int, str], theirs: Mapping[int, str]) -> str:
    return (
        f"its tokenizer differs from the base's at {counted(len(ids), 'id')} "
        f"({ids[0]} is {mine[ids[0]]!r}, the base's {theirs[ids[0]]!r})"
    )


def _same_bytes(one: Path, other: Path) -> bool:
    """Compare two files; blobs that two folders share are not read."""
    if not (one.is_file() and other.is_file()):
        return False
    if one.samefile(other):
        return True
    return one.stat().st_size == other.stat().st_size and _digest(one) == _digest(other)


def _digest(path: Path) -> bytes:
    return hashlib.sha256(path.read_bytes()).digest()
