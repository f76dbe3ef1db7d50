"""What the estimate of trainings starts from: launch files, and the items of each domain."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from mergelaw.config import Study
from mergelaw.config.data import FilesSource
from mergelaw.config.launch import LaunchFile, read_launch_file
from mergelaw.costs.prepared import count_training_items, shard_rows
from mergelaw.errors import ConfigError, listing
from mergelaw.paths import StudyPaths

ASSUMED_ITEMS = 20_000
"""ASSUME a domain has so many items, as each of the paper's sciences, where nothing tells it."""

Origin = Literal["counted", "stated", "assumed"]


@dataclass(frozen=True)
class TrainingInputs:
    """What is known of a study's trainings.

    Attributes
    ----------
    launches : mapping of str to LaunchFile
        By path, as `sizes[].launch` gives it.
    n_items : mapping of str to int
        Training items by domain, where they are prepared.
    item_tokens : mapping of str to float
        Mean tokens of a held-out item by domain, uncut, where text is prepared: the split is by
        chance, so that training items are as long.
    """

    launches: Mapping[str, LaunchFile] = field(default_factory=dict)
    n_items: Mapping[str, int] = field(default_factory=dict)
    item_tokens: Mapping[str, float] = field(default_factory=dict)


def training_inputs(study: Study, paths: StudyPaths, project: Path) -> TrainingInputs:
    """Return what is known here of a study's trainings.

    Parameters
    ----------
    study : Study
        The study.
    paths : StudyPaths
        Its tree: prepared items are counted where they are there.
    project : Path
        Folder below which launch files are looked for that are not in the current one.

    Raises
    ------
    ConfigError
        If launch files are missing or have problems; all are listed.
    """
    if not trained_domains(study):
        return TrainingInputs()
    lengths = _item_tokens(study, paths)
    return TrainingInputs(launch_files(study, project), _counted_items(study, paths), lengths)


def trained_domains(study: Study) -> tuple[str, ...]:
    """Return the home domains of experts, and of the multitask baseline, that are trained."""
    names = [name for size in study.size_names for name in trained_at(study, size)]
    domains = (study.expert(name).domain for name in (*names, *study.multitask_experts))
    return tuple(dict.fromkeys(domain for domain in domains if domain is not None))


def trained_at(study: Study, size: str) -> tuple[str, ...]:
    """Return the experts that are trained at a size."""
    given = study.size(size).experts
    return tuple(name for name in study.expert_names if name not in given)


def launch_files(study: Study, project: Path) -> dict[str, LaunchFile]:
    """Return the launch files of sizes that train experts or the multitask baseline, by path.

    Raises
    ------
    ConfigError
        If any of them is missing or has problems; all are listed.
    """
    found: dict[str, LaunchFile] = {}
    problems: dict[str, str] = {}
    for index, name in enumerate(study.ladder):
        path = study.size(name).launch
        trains = trained_at(study, name) or study.multitask_experts
        if path is None or path in found or not trains:
            continue
        here = Path(path).expanduser()
        try:
            found[path] = read_launch_file(here if here.exists() else project / here)
        except ConfigError as error:
            problems.setdefault(path, f"sizes[{index}].launch: {error}")
    if problems:
        raise ConfigError(listing("launch files", list(problems.values())))
    return found


def items_of(study: Study, known: TrainingInputs, domain: str) -> tuple[int, Origin]:
    """Return the training items of a domain, and how they are known."""
    if domain in known.n_items:
        return known.n_items[domain], "counted"
    source = study.domain(domain).source
    stated = None if isinstance(source, FilesSource) else source.items
    drawn = ASSUMED_ITEMS if stated is None else stated
    n_items = max(1, round(drawn * study.data.shares.train))
    return n_items, "assumed" if stated is None else "stated"


def _counted_items(study: Study, paths: StudyPaths) -> dict[str, int]:
    """Count training items of this config where they are prepared and a training asks for it."""
    settings = [study.expert_training(size) for size in study.size_names]
    if all(entry.epochs is None for entry in settings):
        return {}
    found = {name: count_training_items(study, paths, name) for name in trained_domains(study)}
    return {domain: count for domain, count in found.items() if count is not None}


def _item_tokens(study: Study, paths: StudyPaths) -> dict[str, float]:
    """Return the mean length of held-out items by domain, what was cut off counted too."""
    return {
        row["domain"]: (row["n_tokens"] + row["n_truncated"]) / row["n_items"]
        for row in shard_rows(study, paths.shard_contents) or ()
    }
