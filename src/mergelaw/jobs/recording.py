"""Records are written while jobs run; one that cannot be written stops no job."""

import contextlib
import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from mergelaw.config import Study
from mergelaw.costs.gpus import gpu_used
from mergelaw.costs.report import measured
from mergelaw.errors import BusyError, MergeLawError
from mergelaw.jobs.record import (
    JobRecord,
    cost_path,
    n_scored,
    progress_path,
    read_record,
    record_path,
)
from mergelaw.jobs.rules import RULES
from mergelaw.paths import StudyPaths
from mergelaw.processes import Process
from mergelaw.provenance import fingerprint
from mergelaw.signals import EndedBySignal

BEAT_SECONDS = 30.0
"""Time between two signs of life of a running job."""

ERROR_LINES = 8
"""Lines of an error that a record keeps: its first."""


@contextmanager
def recorded(study: Study, paths: StudyPaths, rule: str, **targets: Any) -> Iterator[None]:
    """Keep the record of the job that the block is; one that cannot be written stops nothing.

    What a job cost that writes no cost.json of its own is measured too, and kept with its record.
    An error of the block goes on with a note that tells what of the job's work is kept.
    """
    names = {name: str(target) for name, target in targets.items()}
    path = record_path(paths, rule, names)
    progress = progress_path(paths, rule, names)
    keeper = _Keeper(path, _begun(study, path, rule, names, n_scored(progress)))
    facts = {"stage": RULES[rule].stage, **names, "slice": keeper.slice}
    try:
        with keeper.beating(), measured(**facts) as cost:
            yield
    except BusyError:
        keeper.give_back()
        raise
    except BaseException as error:
        _tell_what_is_kept(error, progress)
        keeper.end("failed", error_words(error))
        raise
    keeper.end("done")
    place = cost_path(paths, rule, names)
    if path.parent in place.parents:  # others lie with the output, and their jobs wrote them
        keeper.keep_cost(place, cost)


def error_words(error: BaseException) -> str:
    """Return an error as users read it, with its notes."""
    words = f"{type(error).__name__}: {error}"
    if isinstance(error, EndedBySignal | MergeLawError):
        words = str(error)
    elif isinstance(error, OSError):
        words = f"{error.strerror or error}" + (f": {error.filename}" if error.filename else "")
    return "\n".join([words, *getattr(error, "__notes__", ())])


def _tell_what_is_kept(error: BaseException, progress: Path | None) -> None:
    scored = n_scored(progress)
    if scored:
        merges = "1 scored merge is" if scored == 1 else f"{scored} scored merges are"
        error.add_note(f"{merges} kept in {progress}: the same job, run again, goes on after that")
    elif isinstance(error, EndedBySignal) and not getattr(error, "__notes__", ()):
        error.add_note("nothing of this job is kept: run again, it begins anew")


def _begun(
    study: Study, path: Path, rule: str, targets: dict[str, str], merges_before: int
) -> JobRecord:
    """Return the record of an attempt that begins, counting on from the one that lies there."""
    process = Process.own()
    digest = fingerprint(study, RULES[rule].stage, rule, **targets)
    return JobRecord(
        state="running",
        rule=rule,
        targets=targets,
        stage=RULES[rule].stage,
        slice=digest,
        **_before(path, digest),
        process=process,
        cuda_visible_devices=os.environ.get("CUDA_VISIBLE_DEVICES"),
        gpus=_granted_gpus(here=RULES[rule].on_device and process.slurm_job is None),
        merges_before=merges_before,
        started=datetime.now(UTC),
        log=_log(),
    )


def _before(path: Path, digest: str) -> dict[str, Any]:
    """Return what a record says of earlier attempts, from the record of the last one."""
    before, wall = read_record(path), 0.0
    if before is None:
        return {
            "attempt": 1,
            "failed_attempts": 0,
            "earlier_wall_seconds": 0.0,
            "earlier_gpu_seconds": 0.0,
        }
    with contextlib.suppress(OSError):
        wall = before.seconds(path.stat().st_mtime)
    failed, gpu_seconds = before.state != "done", wall * before.gpus
    found = {
        "attempt": before.attempt + 1,
        "failed_attempts": before.failed_attempts + failed,
        "earlier_wall_seconds": before.earlier_wall_seconds + wall,
        "earlier_gpu_seconds": before.earlier_gpu_seconds + gpu_seconds,
    }
    if failed and before.slice == digest:
        found["tries"] = before.tries + 1
        found["tries_wall_seconds"] = before.tries_wall_seconds + wall
        found["tries_gpu_seconds"] = before.tries_gpu_seconds + gpu_seconds
    return found


def _granted_gpus(*, here: bool) -> int:
    """Return the GPUs of CUDA_VISIBLE_DEVICES; where it is unset, the machine's if `here`."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return len(list(Path("/dev").glob("nvidia[0-9]*"))) if here else 0
    names = [name.strip() for name in visible.split(",")]
    none = next((i for i, name in enumerate(names) if name in ("", "-1", "NoDevFiles")), len(names))
    return none  # as in CUDA, a name of no device hides those after it


def _log() -> str | None:
    """Return the file that standard output goes to, from here where it lies below."""
    try:
        path = Path(os.readlink("/proc/self/fd/1"))
    except OSError:
        return None
    if not path.is_file():
        return None
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


class _Keeper:
    """Writes a record, and renews it while its job runs."""

    def __init__(self, path: Path, record: JobRecord) -> None:
        self._path, self._record = path, record
        self._start = time.monotonic()
        self._stop = threading.Event()
        self._former = b""
        with contextlib.suppress(OSError):
            self._former = path.read_bytes()
        self._write()

    @property
    def slice(self) -> str:
        """Digest of the config that decides the job's output."""
        return self._record.slice

    @contextmanager
    def beating(self) -> Iterator[None]:
        """Show signs of life during the block."""
        thread = threading.Thread(target=self._beat, name="job record", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()

    def _beat(self) -> None:
        while not self._stop.wait(BEAT_SECONDS):
            if gpu_used() != self._record.gpu_used:
                self._record.gpu_used = not self._record.gpu_used
                self._renew()
            else:
                with contextlib.suppress(OSError):
                    os.utime(self._path)

    def end(self, state: Literal["done", "failed"], error: str | None = None) -> None:
        """Write how the job ended."""
        self._record.state, self._record.ended = state, datetime.now(UTC)
        self._record.wall_seconds = round(time.monotonic() - self._start, 3)
        self._record.gpu_used |= gpu_used()
        if error is not None:
            self._record.error = "\n".join(error.splitlines()[:ERROR_LINES])
        self._renew()

    def keep_cost(self, path: Path, cost: dict[str, Any]) -> None:
        """Write what the job cost, unless another attempt is at it."""
        if not self._is_followed():
            self._replace(path, json.dumps(cost, indent=2).encode() + b"\n")

    def give_back(self) -> None:
        """Bring back the record that was there: the process that it tells of does the job."""
        if self._is_followed():
            return
        if self._former:
            self._replace(self._path, self._former)
        else:
            with contextlib.suppress(OSError):
                self._path.unlink()

    def _is_followed(self) -> bool:
        """Say whether another attempt at the job keeps its record there now."""
        found, own = read_record(self._path), self._record
        return found is not None and (found.process, found.started) != (own.process, own.started)

    def _renew(self) -> None:
        if not self._is_followed():
            self._write()

    def _write(self) -> None:
        self._replace(self._path, self._record.model_dump_json(indent=2).encode() + b"\n")

    def _replace(self, path: Path, content: bytes) -> None:
        """Write a file whole, but leave it to the system when it reaches the disk."""
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            part.write_bytes(content)
            os.replace(part, path)
        except OSError as error:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
            print(f"{path}: `mergelaw status` is not told ({error})", file=sys.stderr)
