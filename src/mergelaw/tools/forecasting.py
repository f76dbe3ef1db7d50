"""The command `mergelaw forecast`: the whole curve from a few measured points, or one merge."""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mergelaw.errors import ConfigError, FitError, MergeLawError, listing
from mergelaw.tools.from_merge import forecast_from_merge
from mergelaw.tools.from_merge_inputs import Asked
from mergelaw.tools.from_merge_options import (
    FromMerge,
    MergeBatch,
    MergeDtype,
    MergeRoute,
    MergeShards,
    MergeSize,
    MergeStudy,
    Precision,
    Top,
)
from mergelaw.tools.merging import Base, Members
from mergelaw.tools.options import Json, out_problems, problem_lines
from mergelaw.tools.points import Eps, Errors, Pairs, Points, Pool, Subsets, pairs, told_once

if TYPE_CHECKING:
    from mergelaw.planning.fitted_law import FittedLaw

Labelled = tuple[tuple[str, str, str], "FittedLaw"]
"""Method, domain and size of a curve, empty where they are not told, and its law."""

Settings = dict[str, float | None]
"""`text_error` and `misfit`."""


def forecast(
    points: Points = None,
    pool: Pool = None,
    file: Annotated[
        Path | None, typer.Option("--file", help="A table in place of --points, as `fit` takes it.")
    ] = None,
    errors: Errors = None,
    subsets: Subsets = None,
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
    eps: Eps = 0.01,
    name: Annotated[str, typer.Option("--name", help="Of the law file.")] = "forecast",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="Write a law file, which `plan --law` reads; with --from-merge the predicted loss "
            "of every domain and k with its intervals as a table (.parquet, .csv), or all of "
            "--json (.json).",
        ),
    ] = None,
    as_json: Json = False,
    from_merge: FromMerge = False,
    base: Base = None,
    expert: Members = None,
    shard: MergeShards = None,
    config: MergeStudy = None,
    size: MergeSize = None,
    route: MergeRoute = None,
    dtype: MergeDtype = None,
    batch_tokens: MergeBatch = None,
    precision: Precision = None,
    top: Top = None,
) -> None:
    """Forecast the loss at every k from two, three or more measured ones, and say how sure.

    With --from-merge no points are needed: the curve, every subset and the best scale follow from
    derivatives of the loss at one merge, that of all experts, measured on the spot.
    """
    merge_options = {
        "--base": base, "--expert": expert or None, "--shard": shard or None, "--config": config,
        "--size": size, "--route": route, "--dtype": dtype, "--batch-tokens": batch_tokens,
        "--precision": precision, "--top": top,
    }  # fmt: skip
    if from_merge:
        others = {
            "--points": points, "--pool": pool, "--file": file, "--errors": errors,
            "--subsets": subsets, "--text-error": text_error or None, "--domain": domain,
            "--misfit": misfit, "--gap": _changed(gap, 0.01), "--eps": _changed(eps, 0.01),
            "--name": _changed(name, "forecast"),
        }  # fmt: skip
        asked = Asked(
            base, expert or (), method, shard or (), config, size, dtype, route or "hvp",
            batch_tokens, precision, top, out,
        )  # fmt: skip
        forecast_from_merge(asked, others, as_json)
        return
    from mergelaw.planning.forecast_record import forecast_facts
    from mergelaw.planning.forecast_words import forecast_text

    problems = _option_problems(points, file, pool, {"--gap": gap, "--eps": eps})
    problems += _merge_problems(merge_options)
    problems += _name_problems(out, name, {"--method": method, "--domain": domain})
    settings: Settings = {"text_error": text_error, "misfit": misfit}
    laws: list[Labelled] = []
    if file is not None and points is None:
        laws = _read(lambda: list(_from_table(file, pool, settings)), problems)
    elif points is not None and file is None:
        given = _numbers((points, errors, subsets), problems)
        laws = _read(lambda: _from_points(given, pool, method, settings), problems)
    if problems:
        raise ConfigError(listing("forecast", told_once(problems)))
    laws = [((method or who[0], domain or who[1], who[2]), law) for who, law in laws]
    not_written = "" if out is None else _write(out, laws, name)
    if as_json:
        facts = [_label(who) | forecast_facts(law, gap, eps) for who, law in laws]
        print(json.dumps(facts[0] if file is None else facts, indent=2, allow_nan=False))
    else:
        words = (forecast_text(law, ", ".join(filter(None, who)), gap, eps) for who, law in laws)
        print("\n".join(words), end="")
    refused = [law for _, law in laws if not law.answers]
    if len(refused) == len(laws):
        notes = dict.fromkeys(note for law in refused for note in law.notes)
        raise FitError("; ".join(filter(None, (*notes, not_written))))


def _option_problems(
    points: str | None, file: Path | None, pool: int | None, positive: dict[str, float]
) -> list[str]:
    """Return what is wrong with options that do not go together, or are out of range."""
    problems = []
    if (points is None) == (file is None):
        problems.append("give --points, as 1=2.267,2=1.899,4=1.710, or --file: one of the two")
    if pool is None:
        problems.append("--pool is missing: the experts that subsets are drawn from")
    problems += [
        f"{name} {value:g}: must be a finite number above 0, in nats per token"
        for name, value in positive.items()
        if not 0 < value < math.inf
    ]
    return problems


def _merge_problems(options: Mapping[str, object]) -> list[str]:
    given = [name for name, value in options.items() if value is not None]
    return [f"{', '.join(given)}: goes with --from-merge"] if given else []


def _changed(value: object, default: object) -> object | None:
    return None if value == default else value


def _name_problems(out: Path | None, name: str, names: dict[str, str | None]) -> list[str]:
    """Return what is wrong with the law file's name and place, and with the names in it."""
    problems = [
        f"{option} {text!r}: must have no '/', which `plan --law FILE/METHOD/DOMAIN` could not name"
        for option, text in names.items()
        if out is not None and text and "/" in text
    ]
    if not name.strip():
        problems.append("--name '': must be a name, as 'forecast'")
    return problems + out_problems(out)


def _read(laws: Callable[[], list[Labelled]], problems: list[str]) -> list[Labelled]:
    """Return laws; what keeps them from being made is added to the problems."""
    try:
        return laws()
    except MergeLawError as error:
        problems += problem_lines(error)
        return []


def _numbers(given: tuple[str | None, ...], problems: list[str]) -> list[Pairs]:
    """Return points, errors and counts; what cannot be read is added to the problems."""
    names = ("--points", "--errors", "--subsets")
    return [pairs(name, text, problems) for name, text in zip(names, given, strict=True)]


def _from_points(
    given: list[Pairs], pool: int | None, method: str | None, settings: Settings
) -> list[Labelled]:
    from mergelaw.planning.few_points import MOST_POOL
    from mergelaw.planning.forecasting import fit_law

    points, errors, subsets = given
    known = MOST_POOL if pool is None else pool  # its lack is told already
    law = fit_law(
        points, known, errors=errors, n_subsets=subsets, method=method,
        text_error=settings["text_error"] or 0.0, misfit=settings["misfit"],
    )  # fmt: skip
    return [(("", "", ""), law)]


def _from_table(file: Path, pool: int | None, settings: Settings) -> Iterator[Labelled]:
    """Yield a law for each method, domain and size of a table."""
    from mergelaw.laws.given.points import read_points
    from mergelaw.laws.given.reading import read_file
    from mergelaw.planning.few_points import MOST_POOL
    from mergelaw.planning.forecasting import fit_law

    given = read_points(read_file(file), pool)
    known = MOST_POOL if pool is None else pool  # its lack is told already
    problems: list[str] = []
    for curve in given.curves:
        for size in dict.fromkeys(point.size for point in curve.points):
            mine = [point for point in curve.points if point.size == size]
            who = curve.method or "", curve.domain or "", size or ""
            try:
                law = fit_law(
                    [(point.k, point.loss) for point in mine],
                    known,
                    errors={point.k: point.se for point in mine if point.se is not None},
                    text_error=settings["text_error"] or 0.0,
                    method=curve.method,
                    misfit=settings["misfit"],
                )
            except FitError as error:
                where = ", ".join(filter(None, who)) or file
                problems += [f"{where}: {line}" for line in problem_lines(error)]
            else:
                yield who, law
    if problems:
        raise FitError(listing(str(file), list(dict.fromkeys(problems))))


def _label(who: tuple[str, str, str]) -> dict[str, str | None]:
    return {
        name: text or None for name, text in zip(("method", "domain", "size"), who, strict=True)
    }


def _write(out: Path, laws: list[Labelled], name: str) -> str:
    """Write the law file; return in words that nothing was written, where there is no law."""
    from mergelaw.planning.forecast_record import joined
    from mergelaw.planning.law_file import write_laws

    known = [(who, law) for who, law in laws if law.answers]
    if known:
        write_laws(out, joined(known, name))
        return ""
    older = "; the file that is there is older" if out.exists() else ""
    return f"--out {out}: no law, so nothing is written{older}"
