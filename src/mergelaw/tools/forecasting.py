"""The command `mergelaw forecast`: the whole curve from a few measured points."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mergelaw.errors import ConfigError, FitError, listing
from mergelaw.tools.options import Json

if TYPE_CHECKING:
    from mergelaw.planning.fitted_law import FittedLaw

Labelled = tuple[tuple[str, str, str], "FittedLaw"]
"""Method, domain and size of a curve, empty where they are not told, and its law."""

Numbers = Annotated[str | None, typer.Option("--points", help="Mean losses, as 1=2.267,2=1.899.")]


def forecast(
    points: Numbers = None,
    pool: Annotated[
        int | None, typer.Option("--pool", help="Experts that subsets are drawn from.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", help="A table in place of --points, as `fit` takes it.")
    ] = None,
    errors: Annotated[
        str | None,
        typer.Option("--errors", help="Standard errors of the losses from subsets, as 1=0.01."),
    ] = None,
    subsets: Annotated[
        str | None, typer.Option("--subsets", help="Subsets averaged at each k, as 1=9,2=12.")
    ] = None,
    text_error: Annotated[
        float, typer.Option("--text-error", help="Standard error from the choice of text.")
    ] = 0.0,
    method: Annotated[
        str | None,
        typer.Option("--method", help="average, task_arithmetic, dare, ties, or another name."),
    ] = None,
    domain: Annotated[str | None, typer.Option("--domain", help="Name of what is scored.")] = None,
    misfit: Annotated[
        float | None,
        typer.Option(
            "--misfit", help="What the law misses, a share of sqrt(fall * loss); 0: it is true."
        ),
    ] = None,
    gap: Annotated[
        float, typer.Option("--gap", help="Nats per token from the floor that k is told for.")
    ] = 0.01,
    eps: Annotated[
        float, typer.Option("--eps", help="The least gain that is worth one more expert.")
    ] = 0.01,
    name: Annotated[str, typer.Option("--name", help="Of the law file.")] = "forecast",
    out: Annotated[
        Path | None, typer.Option("--out", help="Write a law file, which `plan --law` reads.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Forecast the loss at every k from two, three or more measured ones, and say how sure."""
    from mergelaw.planning.forecast_record import forecast_facts
    from mergelaw.planning.forecast_words import forecast_text

    _require(points, file, pool, {"--gap": gap, "--eps": eps})
    laws = list(
        _from_table(file, pool, text_error, misfit)
        if file
        else _from_points((points or "", errors, subsets), pool or 0, text_error, method, misfit)
    )
    laws = [((method or who[0], domain or who[1], who[2]), law) for who, law in laws]
    if out is not None:
        _write(out, laws, name)
    if as_json:
        facts = [_label(who) | forecast_facts(law, gap, eps) for who, law in laws]
        print(json.dumps(facts[0] if file is None else facts, indent=2, allow_nan=False))
    else:
        words = (forecast_text(law, ", ".join(filter(None, who)), gap, eps) for who, law in laws)
        print("\n".join(words), end="")
    refused = [law for _, law in laws if law.case == "not_identified"]
    if len(refused) == len(laws):
        raise FitError("; ".join(dict.fromkeys(note for law in refused for note in law.notes)))


def _require(
    points: str | None, file: Path | None, pool: int | None, positive: dict[str, float]
) -> None:
    """Refuse options that do not go together."""
    problems = []
    if (points is None) == (file is None):
        problems.append("give --points, as 1=2.267,2=1.899,4=1.710, or --file: one of the two")
    if pool is None:
        problems.append("--pool is missing: the experts that subsets are drawn from")
    problems += [
        f"{name} {value:g}: must be positive, in nats per token"
        for name, value in positive.items()
        if not 0 < value < math.inf
    ]
    if problems:
        raise ConfigError(listing("forecast", problems))


def pairs(option: str, text: str | None, problems: list[str]) -> list[tuple[float, float]]:
    """Return the numbers of `1=2.267,2=1.899`; what cannot be read is added to the problems."""
    found = []
    for part in filter(None, (part.strip() for part in (text or "").split(","))):
        try:
            k, value = map(float, part.split("="))
            found.append((k, value))
        except ValueError:
            problems.append(f"{option}: {part!r} is not K=NUMBER, as in 1=2.267,2=1.899")
    return found


def _from_points(
    given: tuple[str, str | None, str | None],
    pool: int,
    text_error: float,
    method: str | None,
    misfit: float | None,
) -> Iterator[Labelled]:
    from mergelaw.planning.forecasting import fit_law

    problems: list[str] = []
    names = ("--points", "--errors", "--subsets")
    points, errors, subsets = (pairs(*item, problems) for item in zip(names, given, strict=True))
    if problems:
        raise ConfigError(listing("forecast", problems))
    allowed: dict[str, Any] = {"text_error": text_error, "method": method, "misfit": misfit}
    law = fit_law(points, pool, errors=errors, n_subsets=subsets, **allowed)
    yield ("", "", ""), law


def _from_table(
    file: Path, pool: int | None, text_error: float, misfit: float | None
) -> Iterator[Labelled]:
    """Yield a law for each method, domain and size of a table."""
    from mergelaw.laws.given.points import read_points
    from mergelaw.laws.given.reading import read_file
    from mergelaw.planning.forecasting import fit_law

    given = read_points(read_file(file), pool)
    for curve in given.curves:
        for size in dict.fromkeys(point.size for point in curve.points):
            mine = [point for point in curve.points if point.size == size]
            who = curve.method or "", curve.domain or "", size or ""
            try:
                law = fit_law(
                    [(point.k, point.loss) for point in mine],
                    pool or 0,
                    errors={point.k: point.se for point in mine if point.se is not None},
                    text_error=text_error,
                    method=curve.method,
                    misfit=misfit,
                )
            except FitError as error:
                raise FitError(f"{', '.join(filter(None, who)) or file}: {error}") from error
            yield who, law


def _label(who: tuple[str, str, str]) -> dict[str, str | None]:
    return {
        name: text or None for name, text in zip(("method", "domain", "size"), who, strict=True)
    }


def _write(out: Path, laws: list[Labelled], name: str) -> None:
    from mergelaw.planning.forecast_record import joined
    from mergelaw.planning.law_file import write_laws

    known = [(who, law) for who, law in laws if law.case != "not_identified"]
    if known:
        write_laws(out, joined(known, name))
