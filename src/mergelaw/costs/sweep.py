"""Time and memory of a sweep's jobs, and how many subsets fit in one of a stated length."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

from mergelaw.config.methods import Dropped, Method
from mergelaw.costs.inputs import Case, Measured
from mergelaw.costs.memory import Holding, choose_holding, holding_bytes, other_bytes
from mergelaw.costs.model import (
    DTYPE_BYTES,
    MASK_BYTES,
    SPARSE_BYTES,
    USABLE,
    devices_needed,
    forward_flops,
    forward_seconds,
    merge_bytes,
    sparsify_seconds,
    working_bytes,
)
from mergelaw.design import Subset, subsets
from mergelaw.errors import ConfigError

START_SECONDS = 5.0
"""A job that loads torch and transformers, before its work (measured: 4 to 6 s)."""


@dataclass(frozen=True)
class SweepSize:
    """The sweep of one size; what its jobs have in common.

    Attributes
    ----------
    case : Case
        The study and the machine.
    size : str
        Name of the size.
    """

    case: Case
    size: str

    @cached_property
    def flops(self) -> float:
        """FLOPs of scoring one merge."""
        text, shape = self.case.text, self.case.sizes[self.size].shape
        return forward_flops(shape, text.n_tokens, text.n_scored, text.squared_lengths)

    @cached_property
    def score_seconds(self) -> float:
        """Seconds of scoring one merge, by the model."""
        study, machine = self.case.study, self.case.machine
        n_passes = -(-self.case.text.n_tokens // study.evaluation.batch_tokens)
        shape = self.case.sizes[self.size].shape
        return forward_seconds(
            shape, self.flops, n_passes, machine.device, study.dtype, machine.utilisation
        )

    @cached_property
    def devices_per_job(self) -> int:
        """Devices that hold the live weights, layers spread over them.

        Raises
        ------
        ConfigError
            If one batch alone does not fit a device.
        """
        device, study = self.case.machine.device, self.case.study
        needed = devices_needed(self.live_bytes, self.working_bytes, device)
        if needed is None:
            raise ConfigError(
                f"evaluation.batch_tokens = {study.evaluation.batch_tokens}: a batch at size "
                f"{self.size!r} takes {self.working_bytes / 1e9:.1f} GB beside the weights, more "
                f"than {device.name} has; lower it"
            )
        return needed

    @property
    def n_params(self) -> int:
        """Parameters of one model."""
        return self.case.sizes[self.size].shape.n_params

    @property
    def checkpoint_bytes(self) -> int:
        """Bytes of one checkpoint on disk."""
        return round(self.n_params * self.case.sizes[self.size].stored_bytes_per_param)

    @property
    def live_bytes(self) -> int:
        """Bytes of the live weights."""
        return self.n_params * DTYPE_BYTES[self.case.study.dtype]

    @property
    def working_bytes(self) -> int:
        """Bytes of a forward pass beside the weights."""
        study, shape = self.case.study, self.case.sizes[self.size].shape
        return working_bytes(shape, study.evaluation.batch_tokens, study.dtype)

    @property
    def host_other_bytes(self) -> int:
        """Host memory of a job beside base and experts."""
        on_host = 0 if self.case.machine.device.is_gpu else self.working_bytes
        return other_bytes(
            self.n_params,
            DTYPE_BYTES[self.case.study.dtype],
            incremental=self.case.study.sweep.incremental,
            working_bytes=on_host,
        )

    @cached_property
    def holding(self) -> Holding:
        """How a job with the whole pool holds it, chosen as the sweep does."""
        model, machine = self.case.sizes[self.size], self.case.machine
        return choose_holding(
            self.n_params,
            len(self.case.study.experts),
            model.stored_bytes_per_param,
            other_bytes=self.host_other_bytes,
            available_bytes=int(USABLE * machine.host_bytes * self.devices_per_job),
        )

    def host_bytes(self, n_experts: int) -> int:
        """Return the peak memory on the host of a job in whose chunk so many experts occur."""
        stored = self.case.sizes[self.size].stored_bytes_per_param
        return self.host_other_bytes + holding_bytes(self.holding, self.n_params, n_experts, stored)

    @property
    def device_bytes(self) -> int:
        """Peak memory of each device; 0 on a CPU, whose memory is the host's."""
        if not self.case.machine.device.is_gpu:
            return 0
        return -(-self.live_bytes // self.devices_per_job) + self.working_bytes

    def merge_seconds(self, method: Method, k: int) -> float:
        """Return the seconds of merging k experts in the host's memory, by the model."""
        machine, stored = self.case.machine, self.case.sizes[self.size].stored_bytes_per_param
        per_param = 4.0 if self.holding == "float32" else stored
        moved = merge_bytes(k, self.n_params, per_param, DTYPE_BYTES[self.case.study.dtype])
        seconds = moved / machine.merge_bandwidth
        if self.holding == "streamed":
            seconds = max(seconds, (k + 1) * self.checkpoint_bytes / machine.disk_bandwidth)
        if self.holding != "float32":
            seconds += self.sparsify_seconds(method, k)
        if machine.device.link_bandwidth:
            seconds += self.live_bytes / machine.device.link_bandwidth
        return seconds

    def sparsify_seconds(self, method: Method, n_experts: int) -> float:
        """Return the seconds of trimming or masking the task vectors of experts once."""
        if not is_sparse(method):
            return 0.0
        per_entry = MASK_BYTES if isinstance(method.parameters, Dropped) else SPARSE_BYTES
        bandwidth = self.case.machine.merge_bandwidth
        return sparsify_seconds(self.n_params, n_experts, bandwidth, per_entry)


@dataclass(frozen=True)
class SweepMethod:
    """The sweep of one size with one method."""

    at: SweepSize
    method: Method

    @property
    def measured(self) -> Measured | None:
        """What finished jobs took, where there are any."""
        return self.at.case.measured.get((self.at.size, self.method.label))

    @property
    def n_mask_seeds(self) -> int:
        """How often every subset is merged."""
        return len(self.at.case.study.mask_seeds_of(self.method))

    def seconds(self, k: int) -> float:
        """Return the seconds of merging and scoring one subset once; on a GPU both at a time."""
        overlaps = self.at.case.machine.device.is_gpu
        if self.measured:
            return self.measured.seconds_per_merge(overlaps)
        parts = (self.at.merge_seconds(self.method, k), self.at.score_seconds)
        return max(parts) if overlaps else sum(parts)

    def setup_seconds(self, n_experts: int) -> float:
        """Return the seconds before the first merge: start, reading, task vectors made once.

        A measured merge has its share of the last of these in it already.
        """
        at, machine = self.at, self.at.case.machine
        models = 1 if at.holding == "streamed" else n_experts + 1
        seconds = START_SECONDS + models * at.checkpoint_bytes / machine.disk_bandwidth
        if at.holding == "float32" and not self.measured:
            seconds += self.n_mask_seeds * at.sparsify_seconds(self.method, n_experts)
        return seconds

    def job_seconds(self, chunk: Sequence[Subset]) -> float:
        """Return the seconds of the job of a chunk."""
        experts = {name for subset in chunk for name in subset.experts}
        merging = sum(count * self.seconds(k) for k, count in _counts(chunk).items())
        return self.setup_seconds(len(experts)) + self.n_mask_seeds * merging

    def read_bytes(self, chunk: Sequence[Subset]) -> int:
        """Return the bytes of checkpoints that the job of a chunk reads."""
        if self.at.holding == "streamed":
            reads = sum(count * (k + 1) for k, count in _counts(chunk).items())
            return (1 + self.n_mask_seeds * reads) * self.at.checkpoint_bytes
        experts = {name for subset in chunk for name in subset.experts}
        return (1 + len(experts)) * self.at.checkpoint_bytes


def chunk_size_for(at: SweepSize) -> int:
    """Return how many subsets a job merges so that none is longer than the machine's job length.

    The most at which any run of that many subsets, with the slowest method and the whole pool
    loaded, stays within it; then evened out over the jobs. At least 1, however long one takes.
    """
    study = at.case.study
    pool, ks = len(study.experts), [subset.k for subset in subsets(study, at.size)]
    most = len(ks)
    for method in study.methods:
        sweep = SweepMethod(at, method)
        seconds = {k: sweep.n_mask_seeds * sweep.seconds(k) for k in set(ks)}
        room = at.case.machine.job_seconds - sweep.setup_seconds(pool)
        most = min(most, _longest_run([seconds[k] for k in ks], room))
    return -(-len(ks) // -(-len(ks) // max(1, most)))


def is_sparse(method: Method) -> bool:
    """Say whether a method trims or masks task vectors, by its parameters."""
    whole = {"density": 1.0, "drop_rate": 0.0}
    return any(
        any(value != whole[name] for value in _values(getattr(method.parameters, name)))
        for name in whole.keys() & type(method.parameters).model_fields.keys()
    )


def _values(number: float | Mapping[str, float]) -> Sequence[float]:
    return list(number.values()) if isinstance(number, Mapping) else [number]


def _counts(chunk: Sequence[Subset]) -> dict[int, int]:
    """Return how many subsets there are of each k."""
    return Counter(subset.k for subset in chunk)


def _longest_run(seconds: Sequence[float], room: float) -> int:
    """Return the largest n such that no n neighbours take more than `room` together."""
    sums = [0.0, *accumulate(seconds)]
    least, most = 0, len(seconds)
    while least < most:
        n = (least + most + 1) // 2
        if max(sums[i + n] - sums[i] for i in range(len(seconds) - n + 1)) <= room:
            least = n
        else:
            most = n - 1
    return least
