"""One row of an estimate."""

from dataclasses import dataclass

from mergelaw.costs.memory import FIXED_BYTES


@dataclass(frozen=True)
class Row:
    """Jobs of one rule, at one size and with one method where it has these.

    Attributes
    ----------
    rule, size, method : str
        What they are jobs of; "" where the rule has no size or method.
    n_jobs : int
        Jobs.
    bytes_read, bytes_written : int
        Of all jobs; what is written stays on disk.
    job_seconds : float
        Of all jobs together.
    longest_job_seconds : float
        Of the longest job.
    devices_per_job : int
        Devices that a job has for its whole time; 0: none.
    host_bytes, device_bytes : int
        Peak memory of one job on the host and on each device.
    n_merges : int
        Merges scored; the base counts as none.
    seconds_per_merge : float or None
        Mean over all merges, of merging and scoring.
    flops : float
        FLOPs of all jobs' models.
    holding : str
        How base and experts are held.
    staged_bytes : int
        Bytes of the base and of the experts that occur in one job of the sweep, each once: what a
        node's own disk holds of them.
    measured : bool
        Whether the seconds of merges were measured; else all are the model's.
    n_processes : int
        Processes of one job.
    least_seconds : float
        Time that a job needs to get anywhere: to what it goes on from after a kill.
    """

    rule: str
    size: str = ""
    method: str = ""
    n_jobs: int = 1
    bytes_read: int = 0
    bytes_written: int = 0
    job_seconds: float = 0.0
    longest_job_seconds: float = 0.0
    devices_per_job: int = 0
    host_bytes: int = FIXED_BYTES
    device_bytes: int = 0
    n_merges: int = 0
    seconds_per_merge: float | None = None
    flops: float = 0.0
    holding: str = ""
    staged_bytes: int = 0
    measured: bool = False
    n_processes: int = 1
    least_seconds: float = 0.0

    @property
    def device_seconds(self) -> float:
        """Seconds of devices that the jobs have."""
        return self.job_seconds * self.devices_per_job
