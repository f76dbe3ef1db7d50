"""The command `mergelaw next`: what to measure next."""

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mergelaw.errors import ConfigError, MergeLawError, listing
from mergelaw.files import write_json
from mergelaw.tools.options import Json, Out, out_problems, problem_lines
from mergelaw.tools.points import Eps, Errors, Points, Pool, Subsets, pairs, told_once

if TYPE_CHECKING:
    from mergelaw.planning.next_states import Known


def next_measurement(
    points: Points = None,
    pool: Pool = None,
    errors: Errors = None,
    subsets: Subsets = None,
    sd: Annotated[
        str | None, typer.Option("--sd", help="Spread of losses over subsets at a k, as 2=0.03.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="A study in place of --points.")
    ] = None,
    method: Annotated[
        str | None, typer.Option("--method", help="A method; of a study its first, if not told.")
    ] = None,
    domain: Annotated[str, typer.Option("--domain", help="A domain of the study.")] = "macro",
    size: Annotated[
        list[str] | None, typer.Option("--size", help="Only this size of the study; repeatable.")
    ] = None,
    quantity: Annotated[
        str, typer.Option("--quantity", help="pool-loss, floor, k85, k90 or loss:K.")
    ] = "floor",
    cost_per_merge: Annotated[
        float | None,
        typer.Option("--cost-per-merge", help="In any unit; a study's own jobs tell it, else 1."),
    ] = None,
    batch: Annotated[
        int, typer.Option("--batch", help="Subsets of one k to measure at once.", min=1)
    ] = 12,
    top: Annotated[int, typer.Option("--top", help="Suggestions to print.", min=1)] = 3,
    eps: Eps = 0.01,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Say which k, and which subsets, to measure next to know a quantity better for its cost."""
    from mergelaw.planning.next_answer import quantity_problem, what_next
    from mergelaw.planning.next_words import next_facts, next_text

    problems = _option_problems(
        points, config, pool, {"--eps": eps, "--cost-per-merge": cost_per_merge}
    )
    problems += [*filter(None, [quantity_problem(quantity, pool)]), *out_problems(out)]
    known: list[Known] = []
    try:
        if config is not None and points is None:
            known, method = _of_study(config, method, domain, size)
        elif points is not None and config is None:
            known = [_of_points((points, errors, subsets, sd), pool, method, problems)]
    except MergeLawError as error:
        problems += problem_lines(error)
    if problems:
        raise ConfigError(listing("next", told_once(problems)))
    answer = what_next(known, quantity, method or "", top, eps, cost_per_merge, batch)
    facts = next_facts(answer)
    if out is not None:
        write_json(out, facts)
    print(json.dumps(facts, indent=2, allow_nan=False) if as_json else next_text(answer).rstrip())


def _option_problems(
    points: str | None, config: Path | None, pool: int | None, positive: dict[str, float | None]
) -> list[str]:
    problems = []
    if (points is None) == (config is None):
        problems.append(
            "give --points with their --errors, or the --config of a study: one of the two"
        )
    if points is not None and pool is None:
        problems.append("--pool is missing: the experts that subsets are drawn from")
    problems += [
        f"{name} {value:g}: must be a finite number above 0"
        for name, value in positive.items()
        if value is not None and not 0 < value < math.inf
    ]
    return problems


def _of_points(
    given: tuple[str | None, ...], pool: int | None, method: str | None, problems: list[str]
) -> "Known":
    """Return what the points tell; what cannot be read is added to the problems."""
    from mergelaw.planning.few_points import MOST_POOL
    from mergelaw.planning.forecasting import fit_law
    from mergelaw.planning.next_states import known_points, with_spreads

    names = ("--points", "--errors", "--subsets", "--sd")
    read = {name: pairs(name, text, problems) for name, text in zip(names, given, strict=True)}
    most = MOST_POOL if pool is None else pool  # its lack is told already
    wrong = [(k, sd) for k, sd in read["--sd"] if not _is_spread(k, sd, most)]
    problems += [
        f"--sd: k = {k:g} has {sd:g}: must be a spread above 0 at a k from 1 to {most - 1}"
        for k, sd in wrong
    ]
    sds = {int(k): sd for k, sd in read["--sd"] if (k, sd) not in wrong}
    told = with_spreads(read["--errors"], read["--subsets"], sds, most)
    law = fit_law(read["--points"], most, errors=told, n_subsets=read["--subsets"], method=method)
    return known_points(law, sds)


def _is_spread(k: float, sd: float, pool: int) -> bool:
    return 0 < sd < math.inf and 1 <= k < pool and k == int(k)


def _of_study(
    config: Path, method: str | None, domain: str, sizes: list[str] | None
) -> "tuple[list[Known], str]":
    from mergelaw.config import read_study
    from mergelaw.paths import StudyPaths
    from mergelaw.planning.next_states import known_study

    study = read_study(config)
    label = method or study.method_labels[0]
    problems = [
        f"{name} {value}: the study has no such; one of {', '.join(names)}"
        for name, value, names in (
            ("--method", label, study.method_labels),
            ("--domain", domain, [*study.domain_names, "macro"]),
            *(("--size", size, study.size_names) for size in sizes or ()),
        )
        if value not in names
    ]
    if problems:
        raise ConfigError(listing("next", problems))
    known = known_study(study, StudyPaths.of(study), label, domain, sizes or study.ladder)
    return known, label
