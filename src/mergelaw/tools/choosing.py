"""The command `mergelaw choose`: which experts to merge, from the losses of some subsets."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mergelaw.errors import ConfigError, TableError, listing
from mergelaw.files import atomic_file, write_json
from mergelaw.tools.options import Json, problem_lines

if TYPE_CHECKING:
    from mergelaw.planning.loss_table import SubsetLosses
    from mergelaw.planning.ranking import Ranking

TABLES = (".parquet", ".csv", ".json")

Table = Annotated[
    Path | None,
    typer.Argument(
        help="Parquet, CSV or TSV with the columns subset (experts joined by '+') and loss, and, "
        "where it has them, domain, size, method, se; a study's sweep/losses.parquet is one.",
        show_default=False,
    ),
]
Mixture = Annotated[
    str | None, typer.Option("--mixture", help="Weights of domains, as a=0.5,b=0.5.")
]


def choose(
    table: Table = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="A study, in place of a table.")
    ] = None,
    size: Annotated[str | None, typer.Option("--size", help="Which size's merges.")] = None,
    method: Annotated[str | None, typer.Option("--method", help="Which method's merges.")] = None,
    target: Annotated[
        str | None,
        typer.Option("--target", help="The domain whose loss shall be small; macro when absent."),
    ] = None,
    mixture: Mixture = None,
    k: Annotated[int | None, typer.Option("--k", help="Only subsets of k experts.")] = None,
    max_k: Annotated[
        int | None, typer.Option("--max-k", help="Only subsets of at most so many experts.")
    ] = None,
    top: Annotated[int, typer.Option("--top", help="Subsets that are shown.", min=1)] = 10,
    within: Annotated[
        float,
        typer.Option("--within", help="Nats/token that are as good as nothing.", min=0),
    ] = 0.01,
    as_json: Json = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", help=f"Write all subsets to this file: {', '.join(TABLES)}."),
    ] = None,
) -> None:
    """Predict the loss of every subset of experts from those measured, and rank them."""
    from mergelaw.planning.choose import choose as ranked
    from mergelaw.planning.choose_words import ranking_text
    from mergelaw.planning.loss_table import weights_of

    if out is not None and out.suffix not in TABLES:
        raise ConfigError(f"--out {out}: must end in {', '.join(TABLES)}")
    losses = _losses(table, config, size, method)
    problems = target_problems(losses.domains, len(losses.experts), target, mixture, k, max_k)
    if problems:
        raise ConfigError(listing("the choice that is asked for", problems))
    weights = weights_of(losses.domains, target, mixture_of(mixture))
    ranking = ranked(losses, weights, k, max_k, within)
    if out is not None:
        _write(out, ranking)
    if as_json:
        print(json.dumps(ranking.facts(top), indent=2, allow_nan=False))
    else:
        print(ranking_text(ranking, losses, top), end="")


def target_problems(
    domains: Sequence[str],
    n_experts: int,
    target: str | None,
    mixture: str | None,
    k: int | None,
    max_k: int | None,
) -> list[str]:
    """Return all that is wrong with a target and the k that are asked for."""
    from mergelaw.planning.choose import wanted_ks
    from mergelaw.planning.loss_table import weights_of

    problems = []
    checks: list[Callable[[], object]] = [lambda: weights_of(domains, target, mixture_of(mixture))]
    if n_experts:
        checks.append(lambda: wanted_ks(n_experts, k, max_k))
    for check in checks:
        try:
            check()
        except (ConfigError, TableError) as error:
            problems += problem_lines(error)
    return problems


def _losses(
    table: Path | None, config: Path | None, size: str | None, method: str | None
) -> "SubsetLosses":
    from mergelaw.config import read_study
    from mergelaw.paths import StudyPaths
    from mergelaw.planning.loss_table import read_losses

    if table is not None and config is None:
        return read_losses(table, size, method)
    if table is not None or config is None:
        raise ConfigError("choose: give a table of losses or --config STUDY, one of them")
    study = read_study(config)
    path = StudyPaths.of(study).losses
    return read_losses(path, size, method, study.expert_names, study.domain_names)


def mixture_of(text: str | None) -> dict[str, float] | None:
    """Return weights by domain from a=0.5,b=0.5.

    Raises
    ------
    ConfigError
        If it is written in another way.
    """
    if text is None:
        return None
    pairs = [part.partition("=") for part in text.split(",")]
    problems, weights = [], dict[str, float]()
    for name, equals, value in pairs:
        try:
            weights[name.strip()] = float(value)
        except ValueError:
            problems.append(f"{name}{equals}{value}: must be DOMAIN=WEIGHT, WEIGHT a number")
    names = [name.strip() for name, _, _ in pairs]
    problems += [f"{name} is given twice" for name in sorted(set(names)) if names.count(name) > 1]
    if problems:
        raise ConfigError(listing(f"--mixture {text}", problems))
    return weights


def _write(out: Path, ranking: "Ranking") -> None:
    """Write every subset: as JSON with all that is known, else as a table."""
    if out.suffix == ".json":
        write_json(out, ranking.facts())
        return
    with atomic_file(out) as part:
        frame = ranking.table()
        frame.write_csv(part) if out.suffix == ".csv" else frame.write_parquet(part)
