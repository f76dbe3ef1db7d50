"""Options that several commands take."""

from pathlib import Path
from typing import Annotated

import typer

from mergelaw.errors import MergeLawError

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Out = Annotated[Path | None, typer.Option("--out", help="Write the JSON to this file, too.")]
Mixture = Annotated[
    str | None, typer.Option("--mixture", help="Weights of domains, as a=0.5,b=0.5.")
]


def problem_lines(error: MergeLawError) -> list[str]:
    """Return the problems that an error lists, else its words; they are told with others."""
    listed = [line.removeprefix("  - ") for line in str(error).splitlines()[1:]]
    return listed or [str(error)]


def out_problems(out: Path | None) -> list[str]:
    """Return what is wrong with the place of a file to write: its folder must be there."""
    if out is None or out.absolute().parent.is_dir():
        return []
    return [f"--out {out}: the folder {out.parent} is not there: make it, or name another"]
