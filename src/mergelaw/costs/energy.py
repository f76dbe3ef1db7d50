"""Energy of a job: of its GPUs by NVML, else of the processors by RAPL; None if none tells it."""

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

POWERCAP = Path("/sys/class/powercap")
"""Where Linux shows the counters of RAPL; most systems let only the administrator read them."""

PROCESSOR_TIMES = Path("/proc/stat")

SAMPLE_SECONDS = 60.0
"""A counter of 262 kJ, as many processors have, goes round in 6 minutes at 700 W."""


class Energy(NamedTuple):
    """Joules, and what told them: `nvml` or `rapl`."""

    joules: float
    told_by: str


class EnergyMeter:
    """Counts from its making on."""

    def __init__(self) -> None:
        self._gpus = gpu_joules()
        self._processors = ProcessorEnergy()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Read counters that go round often enough during the block."""
        if not self._processors.is_told:
            yield
            return
        stop = threading.Event()
        thread = threading.Thread(target=self._sample, args=(stop,), name="energy", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def _sample(self, stop: threading.Event) -> None:
        while not stop.wait(SAMPLE_SECONDS):
            self._processors.sample()

    def used(self, gpus: Sequence[str], cpu_seconds: float) -> Energy | None:
        """Return the energy of a job, None where it is not known.

        Parameters
        ----------
        gpus : sequence of str
            The UUID of each of its GPUs; with some, their energy alone counts.
        cpu_seconds : float
            Processor time of the job.
        """
        if not gpus:
            joules = self._processors.share(cpu_seconds)
            return None if joules is None else Energy(joules, "rapl")
        now = gpu_joules()
        if not now.keys() & self._gpus.keys() >= set(gpus):
            return None
        return Energy(sum(now[uuid] - self._gpus[uuid] for uuid in gpus), "nvml")


class ProcessorEnergy:
    """Energy of all processors of the machine since this was made, by RAPL's counters."""

    def __init__(self) -> None:
        self._counters = list(_counters())
        self._busy = busy_seconds()
        self._joules = 0.0

    @property
    def is_told(self) -> bool:
        """Whether there are counters that can be read."""
        return bool(self._counters)

    def sample(self) -> None:
        """Add what was used since the last reading; a counter that is lower now has gone round."""
        for counter in self._counters:
            now = _number(counter.file)
            if now is not None:
                round_ = counter.range if now < counter.reading else 0
                self._joules += (now - counter.reading + round_) / 1e6
                counter.reading = now

    def share(self, cpu_seconds: float) -> float | None:
        """Return the joules of a job: its share of the processor time that the machine spent.

        Jobs side by side have then shares of one sum, and no joule counts twice.
        """
        busy = busy_seconds()
        if not self.is_told or busy is None or self._busy is None:
            return None
        self.sample()
        spent = max(busy - self._busy, cpu_seconds)
        return self._joules * cpu_seconds / spent if spent else None


@dataclass
class Counter:
    """A processor's counter, in microjoules: its last reading, and the one after which it is 0."""

    file: Path
    reading: int
    range: int


def _counters() -> Iterator[Counter]:
    """Yield each processor's counter; those of its parts, and of the platform, are left out."""
    for domain in sorted(POWERCAP.glob("*rapl:*")):
        file = domain / "energy_uj"
        reading, most = _number(file), _number(domain / "max_energy_range_uj")
        with suppress(OSError):
            is_processor = (domain / "name").read_text().startswith("package")
            if is_processor and reading is not None and most is not None:
                yield Counter(file, reading, most)


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


IDLE = slice(3, 5)
"""Place of idle and of waiting time in the first line of /proc/stat."""


def busy_seconds() -> float | None:
    """Return the time that all processors of this machine have worked since it was started."""
    try:
        ticks = [int(word) for word in PROCESSOR_TIMES.read_text().split("\n")[0].split()[1:9]]
    except (OSError, ValueError):
        return None
    return (sum(ticks) - sum(ticks[IDLE])) / os.sysconf("SC_CLK_TCK")


def gpu_joules() -> dict[str, float]:
    """Return what each GPU of this machine has used since its driver was loaded, by UUID.

    GPUs that do not tell it, as those before Volta and parts of a GPU, are left out.
    """
    try:
        import pynvml  # package nvidia-ml-py, which no job needs
    except ImportError:
        return {}
    try:
        pynvml.nvmlInit()
        handles = [
            pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())
        ]
    except pynvml.NVMLError:
        return {}
    return dict(filter(None, (_told(pynvml, handle) for handle in handles)))


def _told(pynvml: Any, handle: Any) -> tuple[str, float] | None:
    try:
        uuid = pynvml.nvmlDeviceGetUUID(handle)
        return uuid, pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1e3
    except pynvml.NVMLError:
        return None
