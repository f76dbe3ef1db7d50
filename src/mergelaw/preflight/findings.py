"""What a check has found: problems that stop a merge, and notes that a reader should see."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from mergelaw.checkpoints.store import read_json
from mergelaw.errors import CheckpointError

Lineage = Literal["strict", "report"]
"""Whether a doubt that an expert comes from the base stops the merge, or is only told."""


@dataclass
class Findings:
    """Problems and notes in the order in which they were found.

    Attributes
    ----------
    lineage : {"strict", "report"}
        Where `doubt` puts a text: among the problems or among the notes.
    """

    lineage: Lineage = "strict"
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def problem(self, text: str) -> None:
        """Add what stops the merge, in any case; the same text is added once."""
        if text not in self.problems:
            self.problems.append(text)

    def note(self, text: str) -> None:
        """Add what a reader should see."""
        self.notes.append(text)

    def doubt(self, text: str) -> None:
        """Add what speaks against an expert's coming from the base."""
        if self.lineage == "strict":
            self.problem(f"{text}; if that is meant, use lineage: report")
        else:
            self.note(text)


def counted(n: int, noun: str) -> str:
    """Return a number and its noun, in the plural where it is one: `1,204 tensors`."""
    return f"{n:,} {noun}{'s'[: n != 1]}"


def some(names: Sequence[str], shown: int = 5) -> str:
    """Return the first of many names, and how many more there are."""
    more = len(names) - shown
    return ", ".join(names[:shown]) + (f", and {more:,} more" if more > 0 else "")


def json_object(path: Path) -> dict[str, Any] | None:
    """Return the object in a checkpoint's JSON file, or None where there is no such file.

    Raises
    ------
    CheckpointError
        If the file cannot be read or holds no JSON object.
    """
    if not path.exists():
        return None
    value = read_json(path)
    if not isinstance(value, dict):
        raise CheckpointError(f"{path}: must hold a JSON object, not {type(value).__name__}")
    return value
