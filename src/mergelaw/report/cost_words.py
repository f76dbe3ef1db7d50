"""What the study cost, in sentences and a table."""

from collections.abc import Iterator

from mergelaw.config import Study
from mergelaw.costs.sums import rows_of, summed
from mergelaw.costs.words import duration, energy, size_of
from mergelaw.report import words
from mergelaw.report.captions.figure import COSTS
from mergelaw.report.grids import Grid
from mergelaw.report.inputs import Tables, present, rows

NOT_TOLD = "not told"


def costs(study: Study, tables: Tables) -> list[str]:
    """Say what all jobs took, which kinds of them took most, and what is not in the numbers."""
    frame = tables[COSTS]
    total = summed(frame)
    if not total["n_jobs"]:
        return ["No job has told what it took."]
    devices = sorted(set(frame["device"].drop_nulls().to_list()))
    time = "not told" if total["cpu_seconds"] is None else duration(total["cpu_seconds"])
    result = [
        f"{words.plural(total['n_jobs'], 'job')} took {duration(total['wall_seconds'])} one after "
        f"another and {time} of processor cores. Models ran on {words.joined(devices) or 'nothing'}"
        f" for {_hours(total['device_hours'])}. Tokens that they read: "
        f"{_count(total['n_tokens'])}; FLOPs, by the formulas of `mergelaw estimate`: "
        f"{_flops(total['flops'])}."
    ]
    result += _training(tables)
    if total["n_failed"]:
        result.append(
            f"{words.plural(total['n_failed'], 'attempt')} failed or were killed after "
            f"{duration(total['failed_seconds'])} in all; a training or a sweep goes on from what "
            "they had done. They are in no sum, but in the table's last columns."
        )
    return [*result, _energy(total["energy_joules"]), NOT_IN_IT]


NOT_IN_IT = (
    "Not in it: a job's start and its imports, its wait in a queue, processes of Snakemake, and "
    "jobs that ended after the sum was made, as this page and most figures. An hour on a device is "
    "an hour that a job had it, busy or not: hours on different devices are not the same work."
)


def _training(tables: Tables) -> Iterator[str]:
    """Say what training took, against merging and scoring."""
    names = {"experts": ("expert",), "the multitask baseline": ("multitask",)}
    names |= {"merging and scoring of the sweep": ("chunk",)}
    found = {name: summed(rows_of(tables[COSTS], *rules)) for name, rules in names.items()}
    parts = [
        f"{name} {_hours(total['device_hours'])}"
        for name, total in found.items()
        if total["n_jobs"]
    ]
    if parts:
        yield f"On devices, over all sizes: {words.joined(parts)}."


def _energy(joules: float | None) -> str:
    if joules is None:
        return (
            "Energy is not told: no counter of the devices could be read on every machine (NVML of "
            "GPUs, by the package nvidia-ml-py; RAPL of processors, mostly the administrator's)."
        )
    return (
        f"Jobs that ran models used {energy(joules)}: of a GPU what it drew while the job had it, "
        "of processors the job's share of their time."
    )


def _hours(hours: float | None) -> str:
    return NOT_TOLD if hours is None else duration(3600 * hours)


def _count(value: float | None) -> str:
    return NOT_TOLD if value is None else words.count(value)


def _flops(value: float | None) -> str:
    """Return FLOPs as `2.3 × 10¹⁵`: their letters mean other things to different readers."""
    if value is None:
        return NOT_TOLD
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa} × 10{str(int(exponent)).translate(words.SUPERSCRIPT)}"


def costs_grid(study: Study, tables: Tables) -> Grid:
    """Tabulate what jobs took by stage and size."""
    frame, body = tables[COSTS], []
    for stage in frame["stage"].unique(maintain_order=True):
        part = rows(frame, stage=stage)
        sizes = [None] * (part["size"].null_count() > 0)
        for size in [*sizes, *present(study.size_names, part, "size")]:
            total = summed(rows(part, size=size))
            body.append([stage, size or words.MISSING, *_cells(total)])
    body.append(["all", "", *_cells(summed(frame))])
    head = (
        "stage", "size", "jobs", "wall", "cores", "device-time", "memory", "tokens read", "FLOPs",
        "energy", "failed", "their wall",
    )  # fmt: skip
    return Grid(
        "What jobs took, by stage and size. Wall: one job after another; cores: processor time; "
        "device-time: of GPUs, or of the processor, while a job had them to run models; memory: "
        "the largest job's on its host. Tokens, FLOPs, device-time and energy are those of jobs "
        "that ran models. Failed: attempts, in no other column.",
        head,
        body,
        2,
    )


def _cells(total: dict[str, float | None]) -> list[str]:
    memory, failed = total["peak_memory_bytes"], total["n_failed"]
    return [
        words.whole(total["n_jobs"]),
        duration(total["wall_seconds"] or 0.0),
        words.MISSING if total["cpu_seconds"] is None else duration(total["cpu_seconds"]),
        words.MISSING if total["device_hours"] is None else _hours(total["device_hours"]),
        words.MISSING if memory is None else size_of(memory),
        words.MISSING if total["n_tokens"] is None else words.count(total["n_tokens"]),
        words.MISSING if total["flops"] is None else _flops(total["flops"]),
        NOT_TOLD if total["energy_joules"] is None else energy(total["energy_joules"]),
        words.whole(failed),
        duration(total["failed_seconds"] or 0.0) if failed else words.MISSING,
    ]
