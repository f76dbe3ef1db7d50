"""The examples of docs/planning.md; `python -m tests.planning.examples` writes their output."""

import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "planning.md"
BLOCK = re.compile(r"```console\n\$ (?P<command>[^\n]+)\n(?P<shown>.*?)```", re.DOTALL)
CUT = "\n...\n"
"""How a shown output ends where the last paragraph, the caveats, is left out."""


class Block(NamedTuple):
    """A command and what the page shows of its output."""

    command: str
    shown: str


def blocks(page: Path) -> Sequence[Block]:
    """Return the examples of a page, their output cut as on the page."""
    found = BLOCK.finditer(page.read_text(encoding="utf-8"))
    return [Block(match["command"], match["shown"]) for match in found]


def run(command: str, shown: str) -> str:
    """Return what a command prints in the project's folder, cut where `shown` is."""
    words = shlex.split(command)
    done = subprocess.run(
        [sys.executable, "-m", *words], capture_output=True, text=True, cwd=ROOT, check=False
    )
    printed = done.stdout + done.stderr
    return printed.rsplit("\n\n", 1)[0] + "\n" + CUT if shown.endswith(CUT) else printed


def main() -> None:
    """Write the outputs anew."""
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(BLOCK.sub(_anew, text), encoding="utf-8")


def _anew(found: re.Match[str]) -> str:
    printed = run(found["command"], found["shown"])
    return f"```console\n$ {found['command']}\n{printed}```"


if __name__ == "__main__":
    main()
