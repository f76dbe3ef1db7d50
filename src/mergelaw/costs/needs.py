"""What each job asks a scheduler for: memory, time, GPUs, local disk, from the study."""

from collections.abc import Mapping
from typing import Self

from mergelaw.config import Study
from mergelaw.paths import StudyPaths

RESOURCES = ("mem_mb", "runtime", "gpu", "disk_mb")


class Needs:
    """Needs of a study's jobs on one machine."""

    @classmethod
    def of_file(
        cls, study: Study, paths: StudyPaths, machine: str | None, project: str
    ) -> Self | None:
        """Return the needs on the machine of a file, relative to here or to the project."""
        return cls() if machine else None

    def of(self, rule: str, targets: Mapping[str, str], attempt: int) -> dict[str, int]:
        """Return what a job asks for, by resource and `threads`."""
        gpu = int(rule not in ("cell", "task_vectors"))
        return {"mem_mb": 2000 * attempt, "runtime": 30, "gpu": gpu, "disk_mb": 1000, "threads": 1}
