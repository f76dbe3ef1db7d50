"""The command `mergelaw status`: finds the study, and shows how far it is until it is done."""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from mergelaw.config import Study, read_study
from mergelaw.errors import ConfigError
from mergelaw.paths import StudyPaths
from mergelaw.signals import EndedBySignal
from mergelaw.tools.options import Json

REFRESH_SECONDS = 5.0
"""Time between two looks at the study's files."""

QUEUE_SECONDS = 30.0
"""Time between two questions to Slurm's controller, which all users share."""

Folder = Annotated[
    Path | None,
    typer.Argument(
        help="The study's results, such as results/NAME; the only study in results/ when absent.",
        show_default=False,
    ),
]
Config = Annotated[
    Path | None, typer.Option("--config", help="The study's YAML file, in place of its results.")
]
Once = Annotated[
    bool, typer.Option("--once", help="Print it once; without a terminal, that is always so.")
]


def status(
    folder: Folder = None, config: Config = None, once: Once = False, as_json: Json = False
) -> None:
    """Tell how far a study is: its jobs, their pace, what is left, the last error."""
    facts = _facts_of(_opened(folder, config))
    if as_json:
        print(json.dumps(facts(), indent=2))
    elif once or not sys.stdout.isatty():
        _print(facts())
    else:
        _watch(facts)


class _Opened(NamedTuple):
    """A study, its results, and the folder that its workflow runs in."""

    study: Study
    paths: StudyPaths
    folder: Path


def _opened(folder: Path | None, config: Path | None) -> _Opened:
    if folder is not None and config is not None:
        raise ConfigError(f"status: give {folder} or --config {config}, not both")
    if config is not None:
        study = read_study(config)
        return _Opened(study, StudyPaths.of(study), Path())
    paths = StudyPaths(_only_study() if folder is None else folder)
    if not paths.config.is_file():
        raise ConfigError(
            f"{paths.root}: holds no study.json, which snakemake writes when it starts; give a "
            f"study's folder ({_known()}), or --config FILE"
        )
    study = read_study(paths.config)
    above = paths.root.absolute().parents[2 if study.seed else 1]
    return _Opened(study, paths, Path() if above == Path.cwd() else above)


def _only_study() -> Path:
    found = _studies()
    if len(found) != 1:
        raise ConfigError(
            f"status: results/ holds {len(found) or 'no'} studies; name one "
            f"({_known()}), or give --config FILE"
        )
    return found[0]


def _studies() -> list[Path]:
    patterns = ("*/study.json", "*/seed*/study.json")
    return sorted(file.parent for pattern in patterns for file in Path("results").glob(pattern))


def _known() -> str:
    return ", ".join(f"mergelaw status {path}" for path in _studies()) or "there is none here"


def _facts_of(opened: _Opened) -> Callable[[], dict[str, Any]]:
    """Return a function that looks at the study anew; Slurm is asked less often."""
    from mergelaw.status.facts import status_facts
    from mergelaw.status.plan import planned_jobs
    from mergelaw.status.queue import heads_of, read_queue

    study, paths, folder = opened
    jobs = planned_jobs(study, paths)
    queue, asked = read_queue(), time.monotonic()

    def facts() -> dict[str, Any]:
        nonlocal queue, asked
        if time.monotonic() - asked > QUEUE_SECONDS:
            queue, asked = read_queue(), time.monotonic()
        heads = heads_of(folder, queue.of_folder(folder))
        return status_facts(study, paths, folder, jobs, queue, heads, time.time())

    return facts


def _print(facts: dict[str, Any]) -> None:
    from rich.console import Console

    from mergelaw.status.show import status_view

    Console(highlight=False).print(status_view(facts))


def _watch(facts: Callable[[], dict[str, Any]]) -> None:
    """Show the study until it is done, or Ctrl-C."""
    from rich.console import Console
    from rich.live import Live

    from mergelaw.status.show import status_view

    found, console = facts(), Console(highlight=False)
    try:
        with Live(status_view(found), console=console, auto_refresh=False) as live:
            while any(row["done"] < row["jobs"] for row in found["stages"]):
                time.sleep(REFRESH_SECONDS)
                found = facts()
                live.update(status_view(found), refresh=True)
    except EndedBySignal as end:
        if end.status != 130:
            raise
    finally:
        console.show_cursor()
