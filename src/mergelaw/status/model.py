"""The model of costs for what was not measured: which machine it is asked for."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from mergelaw.config import Study
from mergelaw.costs.inputs import Case, Machine, text_length
from mergelaw.costs.machine_file import read_machine_file, usual_machine
from mergelaw.costs.row import Row
from mergelaw.costs.rows import study_rows
from mergelaw.costs.size_models import size_models
from mergelaw.costs.training_inputs import training_inputs
from mergelaw.laws.registry import REPORT_ANALYSES
from mergelaw.paths import StudyPaths
from mergelaw.report.registry import figures_of
from mergelaw.status.states import JobState

MACHINE_FILE = Path("profiles") / "slurm" / "machine.yaml"
"""Where the profile of a Slurm cluster says what a node has."""


def machine_of(folder: Path, states: Iterable[JobState]) -> Machine:
    """Return the machine that jobs run on: the profile's where Slurm ran one, else this one.

    Raises
    ------
    ConfigError
        If the profile's file cannot be read.
    """
    records = [state.record for state in states if state.record]
    file = folder / MACHINE_FILE
    if any(record.process.slurm_job for record in records) and file.exists():
        return read_machine_file(file).machine()
    return usual_machine("H100" if any(record.gpus for record in records) else "cpu").machine()


def model_rows(study: Study, paths: StudyPaths, machine: Machine, folder: Path) -> Sequence[Row]:
    """Return the model's rows of a study that runs in a folder, without what was measured.

    Raises
    ------
    ConfigError
        If the number of parameters of a size is not known, or a launch file has problems.
    """
    sizes, _ = size_models(study, paths)
    text = text_length(study, paths.shard_contents)
    n_figures, n_analyses = len(figures_of("report")), len(REPORT_ANALYSES)
    case = Case(
        study,
        machine,
        text,
        sizes,
        n_figures=n_figures,
        n_analyses=n_analyses,
        training=training_inputs(study, paths, folder),
    )
    return study_rows(case)
