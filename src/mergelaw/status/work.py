"""What a study's jobs have spent and have left: seconds, GPU-seconds, merges an hour."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean

from mergelaw.costs.row import Row
from mergelaw.status.plan import PlannedJob
from mergelaw.status.states import JobState

WINDOW_SECONDS = 3600.0
"""Merges an hour are those of the last such time."""

Rows = Callable[[], Sequence[Row]]
"""Gives the rows of the model of costs; asked only where nothing was measured."""


@dataclass(frozen=True)
class Spent:
    """What attempts took, those before the last of each job included.

    Attributes
    ----------
    job_seconds, gpu_seconds : float
        All of it; a GPU counts while its job has it, whether it works or not.
    failed_gpu_seconds : float
        Of attempts that were not the last, or failed: what they had scored is kept all the same.
    """

    job_seconds: float
    gpu_seconds: float
    failed_gpu_seconds: float


def spent(states: Iterable[JobState]) -> Spent:
    """Return what all jobs with a record have spent."""
    jobs = gpus = failed = 0.0
    for state in states:
        if record := state.record:
            last = state.seconds * record.gpus
            jobs += record.earlier_wall_seconds + state.seconds
            gpus += record.earlier_gpu_seconds + last
            failed += record.earlier_gpu_seconds + last * (state.state == "failed")
    return Spent(jobs, gpus, failed)


def merges_per_hour(states: Iterable[JobState]) -> tuple[float, float] | None:
    """Return merges an hour and the hours that they were counted over; None for no merge.

    Counted over the last `WINDOW_SECONDS` before now, or before the sweep's last job ended where
    none runs, without times in which no job of the sweep ran. An attempt's merges count as spread
    evenly over it.
    """
    begun = [(s.record.started.timestamp(), s) for s in states if s.record and s.new_merges]
    spans = [(start, start + s.seconds, s.new_merges) for start, s in begun if s.seconds > 0]
    since = max((end for _, end, _ in spans), default=0.0) - WINDOW_SECONDS
    merges = busy = 0.0
    until = since
    for start, end, n in sorted(spans):
        merges += n * max(0.0, end - max(start, since)) / (end - start)
        busy += max(0.0, end - max(start, until))
        until = max(until, end)
    return (merges / busy * 3600, busy / 3600) if busy else None


@dataclass(frozen=True)
class Left:
    """What jobs have to do yet.

    Attributes
    ----------
    job_seconds, gpu_seconds : float
        Of all of them.
    by_model_seconds : float
        Of `job_seconds`, what the model of costs says; the rest was measured on this study.
    """

    job_seconds: float
    gpu_seconds: float
    by_model_seconds: float


Key = tuple[str, ...]


class Pace:
    """What a job of each rule takes: as jobs of this study took, else by the model of costs.

    Parameters
    ----------
    states : sequence of JobState
        All jobs.
    rows : callable
        The model's rows.
    """

    def __init__(self, states: Sequence[JobState], rows: Rows) -> None:
        self._states = [state for state in states if state.job]
        self._rows = rows
        self._merge_seconds = _merge_seconds(self._states)
        self._job_seconds = _means(self._states, lambda state: state.seconds)
        self._gpus = _means(self._states, lambda state: state.record.gpus if state.record else 0)

    def left(self) -> Left:
        """Return what is left, of the report's jobs that are not done.

        Raises
        ------
        ConfigError
            If the model is asked and does not know the size of a model.
        """
        total = gpus = modelled = 0.0
        for state in self._states:
            if state.job and state.state != "done":
                seconds, by_model = self._seconds(state, state.job)
                total += seconds
                modelled += seconds * by_model
                gpus += seconds * self._gpus_of(state.job)
        return Left(total, gpus, modelled)

    def _seconds(self, state: JobState, job: PlannedJob) -> tuple[float, bool]:
        """Return the seconds that a job has yet to run, and whether the model says so."""
        if job.n_merges:
            merges = job.n_merges - state.n_scored
            key: Key = (job.targets["size"], job.targets["method"])
            if key in self._merge_seconds:
                return merges * self._merge_seconds[key], False
            return merges * self._modelled_merge(key), True
        elapsed = state.seconds if state.state == "running" else 0.0
        for key in _keys(job):
            if key in self._job_seconds:
                return max(0.0, self._job_seconds[key] - elapsed), False
        row = self._row(job)
        return max(0.0, row.job_seconds / row.n_jobs - elapsed), True

    def _modelled_merge(self, key: Key) -> float:
        """Return the model's seconds of a merge, as far off as it is where merges were measured."""
        model: dict[Key, float] = {
            (row.size, row.method): row.job_seconds / row.n_merges
            for row in self._rows()
            if row.rule == "chunk" and row.n_merges
        }
        ratios = [seconds / model[known] for known, seconds in self._merge_seconds.items()]
        return model[key] * (fmean(ratios) if ratios else 1.0)

    def _row(self, job: PlannedJob) -> Row:
        size, method = job.targets.get("size", ""), job.targets.get("method", "")
        return next(
            row
            for row in self._rows()
            if row.rule == job.rule and row.size in ("", size) and row.method in ("", method)
        )

    def _gpus_of(self, job: PlannedJob) -> float:
        """Return the GPUs of such jobs; the model's where others of the study were granted some."""
        for key in _keys(job)[:-1]:
            if key in self._gpus:
                return self._gpus[key]
        return self._row(job).devices_per_job if self._has_gpus else 0.0

    @cached_property
    def _has_gpus(self) -> bool:
        return any(state.record and state.record.gpus for state in self._states)


def _keys(job: PlannedJob) -> list[Key]:
    """Return what a job is like, the likest first: of its rule and size, of its rule."""
    return [(job.rule, job.targets.get("size", "")), (job.rule,)]


def _means(states: Iterable[JobState], value: Callable[[JobState], float]) -> Mapping[Key, float]:
    """Return means over the jobs that are done and have a record."""
    found: defaultdict[Key, list[float]] = defaultdict(list)
    for state in states:
        if state.job and state.record and state.state == "done":
            for key in _keys(state.job):
                found[key].append(value(state))
    return {key: fmean(values) for key, values in found.items()}


def _merge_seconds(states: Iterable[JobState]) -> dict[Key, float]:
    """Return seconds of a job for each merge that it scored, its start included, by method."""
    seconds: defaultdict[Key, float] = defaultdict(float)
    merges: defaultdict[Key, int] = defaultdict(int)
    for state in states:
        if state.job and state.new_merges:
            key = (state.job.targets["size"], state.job.targets["method"])
            seconds[key] += state.seconds
            merges[key] += state.new_merges
    return {key: seconds[key] / merges[key] for key in merges}
