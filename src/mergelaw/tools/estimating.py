"""The command `mergelaw estimate`: looks models up where they are here, and prints the estimate."""

import json
from pathlib import Path
from typing import Annotated

import typer

from mergelaw.config import Study, read_study
from mergelaw.costs.devices import DEVICES
from mergelaw.costs.estimate import Estimate
from mergelaw.costs.inputs import (
    DISK_BANDWIDTH_GB,
    JOB_MINUTES,
    UTILISATION,
    Case,
    Machine,
    text_length,
)
from mergelaw.costs.machine_file import read_machine_file, usual_machine
from mergelaw.costs.measured import measured_jobs
from mergelaw.costs.size_models import size_models
from mergelaw.costs.training_inputs import training_inputs
from mergelaw.files import write_json
from mergelaw.paths import StudyPaths
from mergelaw.tools.options import Json, Out

Config = Annotated[Path, typer.Option("--config", help="The study's YAML file.")]
JobMinutes = Annotated[
    float, typer.Option("--job-minutes", help="Longest job of the sweep that is wanted.")
]
MachineYaml = Annotated[
    Path | None,
    typer.Option(
        "--machine", help="A profile's machine.yaml; the options below win over what it says."
    ),
]
DeviceName = Annotated[
    str | None,
    typer.Option("--device", help=f"What models run on: {', '.join(DEVICES)}; cpu when absent."),
]
Utilisation = Annotated[
    float | None,
    typer.Option(
        "--utilisation",
        help=f"Share of the device's peak FLOP/s that is reached; {UTILISATION:g} when absent.",
    ),
]
Gpus = Annotated[
    int | None,
    typer.Option("--gpus", help="Devices at hand; as many as one job needs when absent."),
]
Bandwidth = Annotated[
    float | None,
    typer.Option("--bandwidth", help="GB/s of host memory in merging; the device's when absent."),
]
DiskBandwidth = Annotated[
    float | None,
    typer.Option(
        "--disk-bandwidth",
        help=f"GB/s at which checkpoints are read and written; {DISK_BANDWIDTH_GB:g} when absent.",
    ),
]
HostMemory = Annotated[
    float | None,
    typer.Option("--host-memory", help="GB of host memory for each device of a job."),
]
AnyMeasured = Annotated[
    bool,
    typer.Option("--measured", help="Use times of the study's finished jobs on any device."),
]


def estimate(
    config: Config,
    job_minutes: JobMinutes = JOB_MINUTES,
    machine: MachineYaml = None,
    device: DeviceName = None,
    utilisation: Utilisation = None,
    gpus: Gpus = None,
    bandwidth: Bandwidth = None,
    disk_bandwidth: DiskBandwidth = None,
    host_memory: HostMemory = None,
    measured: AnyMeasured = False,
    as_json: Json = False,
    out: Out = None,
) -> None:
    """Tell what a study costs, rule by rule, and the chunk sizes for jobs of a stated length."""
    from mergelaw.costs.words import table_text

    study = read_study(config)
    node = usual_machine(device or "cpu") if machine is None else read_machine_file(machine)
    options = {
        "device": device,
        "utilisation": utilisation,
        "bandwidth_gb": bandwidth,
        "disk_bandwidth_gb": disk_bandwidth,
    }
    node = node.model_copy(
        update={key: value for key, value in options.items() if value is not None}
    )
    host = {} if host_memory is None else {"host_bytes": host_memory * 1e9}
    planned = node.machine(job_minutes, n_devices=gpus, any_device=measured, **host)
    found = Estimate(case_of(study, planned, project=config.resolve().parent.parent))
    if out is not None:
        write_json(out, found.facts())
    print(json.dumps(found.facts(), indent=2) if as_json else table_text(found), end="\n" * as_json)


def case_of(study: Study, machine: Machine, project: Path) -> Case:
    """Return the study with all that is known here of its models, text and finished jobs.

    A study of the project lies in its folder `config`, and launch files below the same folder.
    """
    from mergelaw.laws.registry import REPORT_ANALYSES
    from mergelaw.report.registry import figures_of

    paths = StudyPaths.of(study)
    sizes, notes = size_models(study, paths)
    text = text_length(study, paths.shard_contents)
    timed, left_out = measured_jobs(study, paths, machine, text)
    return Case(
        study,
        machine,
        text,
        sizes,
        timed,
        n_figures=len(figures_of("report")),
        n_analyses=len(REPORT_ANALYSES),
        notes=(*notes, *left_out),
        training=training_inputs(study, paths, project),
    )
