"""A few mean losses on the command line, as 1=2.267,2=1.899: options and how they are read."""

from typing import Annotated

import typer

Points = Annotated[str | None, typer.Option("--points", help="Mean losses, as 1=2.267,2=1.899.")]
Pool = Annotated[int | None, typer.Option("--pool", help="Experts that subsets are drawn from.")]
Errors = Annotated[
    str | None,
    typer.Option("--errors", help="Standard errors of the losses from subsets, as 1=0.01."),
]
Subsets = Annotated[
    str | None, typer.Option("--subsets", help="Subsets averaged at each k, as 1=9,2=12.")
]
Eps = Annotated[float, typer.Option("--eps", help="The least gain that is worth one more expert.")]

Pairs = list[tuple[float, float]]
"""k and a number."""


def pairs(option: str, text: str | None, problems: list[str]) -> Pairs:
    """Return the numbers of `1=2.267,2=1.899`; what cannot be read is added to the problems."""
    found = []
    for part in filter(None, (part.strip() for part in (text or "").split(","))):
        try:
            k, value = map(float, part.split("="))
            found.append((k, value))
        except ValueError:
            problems.append(f"{option}: {part!r} is not K=NUMBER, as in 1=2.267,2=1.899")
    return found


def told_once(problems: list[str]) -> list[str]:
    """Return the problems, without those that only follow from points that cannot be read."""
    unread = any(problem.startswith("--points:") for problem in problems)
    follow = ("two k at least", "has no loss among the points") if unread else ()
    kept = (one for one in problems if not any(words in one for words in follow))
    return list(dict.fromkeys(kept))
