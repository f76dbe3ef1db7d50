"""Options that several commands take."""

from typing import Annotated

import typer

from mergelaw.errors import MergeLawError

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def problem_lines(error: MergeLawError) -> list[str]:
    """Return the problems that an error lists, else its words; they are told with others."""
    listed = [line.removeprefix("  - ") for line in str(error).splitlines()[1:]]
    return listed or [str(error)]
