"""What merging costs at a study's sizes: as its own jobs took, as far as they have run."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from mergelaw.config import Study
from mergelaw.costs.devices import DEVICES, Device
from mergelaw.costs.inputs import UTILISATION, Measured, text_length
from mergelaw.costs.machine_file import usual_machine
from mergelaw.costs.measured import measured_jobs
from mergelaw.costs.model import compute_seconds
from mergelaw.costs.spent import jobs_spent
from mergelaw.paths import StudyPaths
from mergelaw.planning.law_file import Costs

HOUR = 3600.0
BILLION = 1e9

COUNTED = ("expert", "multitask", "chunk")
"""Rules whose jobs tell hours: all of them are done before the laws are, so that no job that is
still running changes what is told."""

Spent = list[dict[str, Any]]
"""Rows of jobs, with the columns of `mergelaw.tables.COSTS`."""


class _Took(NamedTuple):
    """What finished jobs of one size took."""

    device: str
    spent: Spent
    merged: dict[str, Measured]

    def hours_per_job(self, rule: str) -> float | None:
        """Return the device-hours of one job of a rule; None where none has told."""
        rows = [row for row in self.spent if row["rule"] == rule and row["n_jobs"]]
        hours = [row["device_hours"] for row in rows if row["device_hours"] is not None]
        return sum(hours) / len(hours) if hours else None

    @property
    def devices_per_job(self) -> float:
        """Devices that a chunk's job has for its time."""
        rows = [row for row in self.spent if row["rule"] == "chunk" and row["device_hours"]]
        wall = sum(row["wall_seconds"] for row in rows)
        return sum(row["device_hours"] for row in rows) * HOUR / wall if wall else 1.0


def study_costs(
    study: Study, paths: StudyPaths, n_params_billions: dict[str, float]
) -> dict[str, Costs]:
    """Return device-hours by size; sizes no job of which has told its device are left out.

    An expert's training is the mean of the jobs that trained one; a merge and its scoring are means
    over the sweep's merges, of all k. Serving is by the cost model, 2 N FLOPs a token. Not measured
    is null.
    """
    spent = [row for row in jobs_spent(study, paths).jobs if row["rule"] in COUNTED]
    machine = usual_machine("cpu").machine(any_device=True)
    text = text_length(study, paths.shard_contents)
    merged, _ = measured_jobs(study, paths, machine, text)
    found = {}
    for size in study.size_names:
        mine = [row for row in spent if row["size"] == size]
        device = _device(mine)
        if device is not None:
            own = {method: took for (name, method), took in merged.items() if name == size}
            took = _Took(device, mine, own)
            found[size] = _costs(study, took, n_params_billions.get(size))
    return found


def _device(rows: Spent) -> str | None:
    """Return the device that most of a size's hours are of."""
    hours: dict[str, float] = {}
    for row in rows:
        if row["device"] and row["device_hours"]:
            hours[row["device"]] = hours.get(row["device"], 0.0) + row["device_hours"]
    return max(hours, key=lambda name: hours[name], default=None)


def _costs(study: Study, took: _Took, n: float | None) -> Costs:
    each = took.devices_per_job / HOUR
    known = _known(took.device)
    return Costs(
        device=took.device if known is None else known.name,
        source="measured by the study's jobs; serving estimated",
        train_expert=took.hours_per_job("expert"),
        train_multitask=took.hours_per_job("multitask"),
        merge_by_method={
            method: each * one.merge_seconds / one.n_merges for method, one in took.merged.items()
        },
        evaluate=_mean_score(took.merged.values(), each),
        serve_per_billion_tokens=(
            None if n is None or known is None else serving_hours(n, known, study.dtype)
        ),
    )


def _mean_score(merged: Iterable[Measured], each: float) -> float | None:
    jobs = list(merged)
    n_merges = sum(one.n_merges for one in jobs)
    return each * sum(one.score_seconds for one in jobs) / n_merges if n_merges else None


def _known(device: str) -> Device | None:
    return next((known for known in DEVICES.values() if known.is_named(device)), None)


def serving_hours(
    n_params_billions: float, device: Device, dtype: str, utilisation: float = UTILISATION
) -> float:
    """Return the device-hours of serving a billion tokens: 2 N FLOPs a token (Kaplan et al. 2020).

    The same for every k: a merge is one model. ASSUME the share of the peak that scoring reaches.
    """
    flops = 2 * n_params_billions * BILLION * BILLION
    return compute_seconds(flops, device.peak_flops[dtype], utilisation) / HOUR
