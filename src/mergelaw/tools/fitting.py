"""The command `mergelaw fit`: a law from any table; it needs no study."""

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from mergelaw.files import write_json
from mergelaw.tools.options import Json, Out


def fit(
    file: Annotated[
        Path,
        typer.Argument(
            help="A CSV, TSV or parquet file with the columns k and loss, and, where it has them, "
            "n_params, method, domain, size, sd, n_subsets, se, subset."
        ),
    ],
    pool: Annotated[
        int | None,
        typer.Option(
            "--pool", help="Experts in the pool that subsets were drawn from.", min=1, max=10_000
        ),
    ] = None,
    weights: Annotated[
        Literal["uniform", "k", "measured"] | None,
        typer.Option(
            "--weights", help="How points weigh; measured where errors are known, else uniform."
        ),
    ] = None,
    law: Annotated[
        Literal["auto", "floor_tail", "joint"],
        typer.Option(
            "--law", help="floor_tail: each size by itself; joint: over sizes; auto: both."
        ),
    ] = "auto",
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Fit the law of merging to a table of losses, and tell what it shows and what it does not."""
    from mergelaw.laws.given.answers import answer_all
    from mergelaw.laws.given.points import read_points
    from mergelaw.laws.given.reading import read_file
    from mergelaw.laws.given.record import fit_facts
    from mergelaw.laws.given.words import fit_text

    points = read_points(read_file(file), pool)
    done, refused = answer_all(points, law, weights)
    facts = fit_facts(points, done, refused)
    if out is not None:
        write_json(out, facts)
    if as_json:
        print(json.dumps(facts, indent=2, allow_nan=False))
    else:
        print(fit_text(points, done, refused), end="")
