"""The command `mergelaw choose`: which experts to merge, from the losses of some subsets."""

import json
import math
import shlex
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mergelaw.errors import ConfigError, MergeLawError, TableError, listing
from mergelaw.files import atomic_file, write_json
from mergelaw.tools.options import Json, Mixture, problem_lines

if TYPE_CHECKING:
    from mergelaw.laws.ranking import Ranking
    from mergelaw.planning.loss_table import SubsetLosses

TABLES = (".parquet", ".csv", ".json")

Table = Annotated[
    Path | None,
    typer.Argument(
        help="Parquet, CSV or TSV with the columns subset (experts joined by '+') and loss, and, "
        "where it has them, domain, size, method, se; a study's sweep/losses.parquet is one.",
        show_default=False,
    ),
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
    top: Annotated[int, typer.Option("--top", help="Subsets that are shown.")] = 10,
    within: Annotated[
        float, typer.Option("--within", help="Nats per token that are as good as nothing.")
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

    problems = [*_option_problems(out, top, within)]
    losses, names = _losses(table, config, (size, method), problems)
    problems += target_problems(*names, target, mixture, k, max_k)
    if problems or losses is None:
        raise ConfigError(listing("the choice that is asked for", problems))
    weights = weights_of(losses.domains, target, mixture_of(mixture))
    ranking = ranked(losses, weights, k, max_k, within)
    if out is not None:
        _write(out, ranking)
    if as_json:
        print(json.dumps(ranking.facts(top), indent=2, allow_nan=False))
    else:
        print(ranking_text(ranking, losses, top), end="")


def _option_problems(out: Path | None, top: int, within: float) -> Iterator[str]:
    if out is not None and out.suffix not in TABLES:
        yield f"--out {out}: must end in {', '.join(TABLES)}"
    if top < 1:
        yield f"--top {top}: must be at least 1"
    if not 0 <= within < math.inf:
        yield f"--within {within:g}: must be 0 or a positive number, in nats per token"


def target_problems(
    domains: Sequence[str],
    n_experts: int,
    target: str | None,
    mixture: str | None,
    k: int | None,
    max_k: int | None,
) -> list[str]:
    """Return all that is wrong with a target and the k that are asked for.

    Where the domains or the number of experts (0) are not known, they are not asked.
    """
    from mergelaw.planning.choose import wanted_ks
    from mergelaw.planning.loss_table import weights_of

    problems = []
    checks: list[Callable[[], object]] = [lambda: mixture_of(mixture)]
    try:
        weights = mixture_of(mixture)
        if domains:
            checks = [lambda: weights_of(domains, target, weights)]
    except ConfigError:
        if domains and target is not None:
            checks.append(lambda: weights_of(domains, target))
    if n_experts:
        checks.append(lambda: wanted_ks(n_experts, k, max_k))
    for check in checks:
        try:
            check()
        except (ConfigError, TableError) as error:
            problems += problem_lines(error)
    return problems


def _losses(
    table: Path | None,
    config: Path | None,
    rows: tuple[str | None, str | None],
    problems: list[str],
) -> "tuple[SubsetLosses | None, tuple[Sequence[str], int]]":
    """Return the losses, and the domains and the number of experts that options may name.

    What is wrong is added to the problems; the names are told all the same, where they are known.
    """
    from mergelaw.planning.loss_table import names_in, read_losses

    found = _place(table, config, problems)
    if found is None:
        return None, ((), 0)
    path, experts, domains = found
    try:
        losses = read_losses(path, *rows, experts, domains)
    except TableError as error:
        problems += _of_table(path, error)
        if config is not None and not path.is_file():
            file = shlex.quote(str(config))
            problems[-1] += f"; make it first: snakemake --cores all --configfile {file}"
        there, pool = names_in(path)
        return None, (domains or there, len(experts or pool))
    return losses, (losses.domains, len(losses.experts))


def _of_table(path: Path, error: TableError) -> Iterator[str]:
    """Yield the problems of a table, each with its file."""
    for line in problem_lines(error):
        yield line if line.startswith(("--", str(path))) else f"{path}: {line}"


def _place(
    table: Path | None, config: Path | None, problems: list[str]
) -> tuple[Path, Sequence[str] | None, Sequence[str] | None] | None:
    """Return the table, and the pool and the domains of a study; None where that is a problem."""
    if (table is None) == (config is None):
        problems.append("choose: give a table of losses or --config STUDY, one of them")
    elif table is not None:
        return table, None, None
    elif config is not None:
        try:
            return _of_study(config)
        except MergeLawError as error:
            problems += problem_lines(error)
    return None


def _of_study(config: Path) -> tuple[Path, Sequence[str], Sequence[str]]:
    from mergelaw.config import read_study
    from mergelaw.paths import StudyPaths

    study = read_study(config)
    return StudyPaths.of(study).losses, study.expert_names, study.domain_names


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
            words = f"{name}{equals}{value}: must be DOMAIN=WEIGHT, WEIGHT a number from 0 to 1"
            problems.append(f"--mixture {words}")
    names = [name.strip() for name, _, _ in pairs]
    problems += [
        f"--mixture {text}: {name} is given twice"
        for name in sorted(set(names))
        if names.count(name) > 1
    ]
    if problems:
        raise ConfigError(listing("the mixture cannot be used", problems))
    return weights


def _write(out: Path, ranking: "Ranking") -> None:
    """Write every subset: as JSON with all that is known, else as a table."""
    if out.suffix == ".json":
        write_json(out, ranking.facts())
        return
    with atomic_file(out) as part:
        frame = ranking.table()
        frame.write_csv(part) if out.suffix == ".csv" else frame.write_parquet(part)
