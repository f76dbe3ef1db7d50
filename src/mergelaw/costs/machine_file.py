"""What one node of a cluster has, from a YAML file: for `estimate`, and for what jobs ask for."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from mergelaw.config.base import Fraction, Section
from mergelaw.config.load import mapping_of, read_yaml, validate_sections
from mergelaw.config.messages import likeliest
from mergelaw.costs.devices import DEVICES, Device, device_of
from mergelaw.costs.inputs import (
    DISK_BANDWIDTH_GB,
    GPU_HOST_BANDWIDTH,
    HOST_BYTES_PER_GPU,
    JOB_MINUTES,
    UTILISATION,
    Machine,
)
from mergelaw.costs.memory import available_bytes
from mergelaw.errors import ConfigError, listing

VARIABLE = r"\$(?:[A-Za-z_]\w*|\{[A-Za-z_]\w*\})"
FOLDER = rf"(?:/|{VARIABLE})(?:[\w ./,:=+@%~-]|{VARIABLE})*"
"""An absolute folder with $VARIABLES; no character by which a shell would run anything."""

ON_GPUS, ON_CPU = ("gpus_per_node", "cpus_per_gpu"), ("cpus_per_job",)
"""Keys that a machine with GPUs needs, and one without; neither takes the other's."""


class MachineFile(Section):
    """One node of a cluster, and what its scheduler allows."""

    device: str = Field(description=f"What models run on: {', '.join(DEVICES)}.")
    node_memory_gb: float = Field(
        gt=0, description="Memory that jobs of one node may have together, as the scheduler counts."
    )
    gpus_per_node: int | None = Field(None, gt=0, description="GPUs of one node.")
    cpus_per_gpu: int | None = Field(None, gt=0, description="Cores that a job has for each GPU.")
    cpus_per_job: int | None = Field(None, gt=0, description="Cores of a job, on a `cpu` machine.")
    longest_hours: float | None = Field(
        None, gt=0, description="Longest walltime that the partition grants; no limit when absent."
    )
    utilisation: Fraction = Field(
        UTILISATION, description="Share of the device's peak FLOP/s that is reached."
    )
    bandwidth_gb: float | None = Field(
        None, gt=0, description="GB/s of host memory in merging; the device's when absent."
    )
    disk_bandwidth_gb: float = Field(
        DISK_BANDWIDTH_GB, gt=0, description="GB/s at which checkpoints are read and written."
    )
    cache: str | None = Field(
        None,
        description="Folder on a node's own disk for copies of checkpoints; $VARIABLES are the "
        "node's. None is kept when absent.",
    )
    cache_gb: float | None = Field(None, gt=0, description="The most that `cache` may hold.")

    @property
    def kind(self) -> Device:
        """The device."""
        return device_of(self.device)

    @property
    def host_bytes(self) -> float:
        """Memory of the host for each device of a job: a GPU's share, or the whole node's."""
        return 1e9 * self.node_memory_gb / (self.gpus_per_node or 1)

    def machine(self, job_minutes: float = JOB_MINUTES, **given: Any) -> Machine:
        """Return the node as the cost model takes it; fields of `Machine` that are given win."""
        kind = self.kind
        usual = GPU_HOST_BANDWIDTH if kind.is_gpu else kind.memory_bandwidth
        own: dict[str, Any] = {
            "device": kind,
            "utilisation": self.utilisation,
            "job_seconds": 60 * job_minutes,
            "host_bytes": self.host_bytes,
            "merge_bandwidth": usual if self.bandwidth_gb is None else 1e9 * self.bandwidth_gb,
            "disk_bandwidth": 1e9 * self.disk_bandwidth_gb,
            "longest_seconds": None if self.longest_hours is None else 3600 * self.longest_hours,
        }
        return Machine(**own | given)

    def exports(self) -> str:
        """Return shell commands, each ended by ';', that tell jobs of the node's cache.

        Variables are the node's; where one of them is unset or empty there, there is no cache.
        """
        if self.cache is None:
            return ""
        folder = self.cache
        for name in re.findall(r"\$\{?(\w+)", self.cache):
            folder = f"${{{name}:+{folder}}}"
        commands = f'export MERGELAW_CACHE="{folder}"; '
        return commands + (
            f"export MERGELAW_CACHE_GB={self.cache_gb:.15g}; " if self.cache_gb else ""
        )


def usual_machine(device: str) -> MachineFile:
    """Return one device, with the memory that a host has for it, or this one.

    Raises
    ------
    ConfigError
        If the device is unknown.
    """
    memory = HOST_BYTES_PER_GPU if device_of(device).is_gpu else available_bytes()
    return MachineFile(device=device, node_memory_gb=memory / 1e9)


def read_machine_file(path: Path) -> MachineFile:
    """Read what a node has.

    Raises
    ------
    ConfigError
        If the file is missing or is not YAML, or has keys that are unknown, missing or out of
        range; all are listed.
    """
    raw = mapping_of("keys", read_yaml(path), str(path))
    values, problems = validate_sections(MachineFile, raw)
    problems += _cross_problems(values)
    if problems:
        raise ConfigError(listing(str(path), problems))
    return MachineFile.model_validate(values)


def _cross_problems(values: Mapping[str, Any]) -> Iterator[str]:
    """Yield what does not go together, of the keys that are valid on their own."""
    device, cache = values.get("device"), values.get("cache")
    known = {name.lower(): DEVICES[name] for name in DEVICES}
    if device is not None and device.lower() not in known:
        yield f"device = {device!r}: is unknown; {likeliest(device, DEVICES)}"
    elif device is not None:
        yield from _other_kind(values, known[device.lower()])
    if cache is not None and not re.fullmatch(FOLDER, cache):
        yield (
            f"cache = {cache!r}: must be an absolute folder, of letters, digits and _ . , : = + @ "
            "% ~ - and blanks, in which $NAME or ${NAME} stands for a variable of the node"
        )
    if values.get("cache_gb") is not None and "cache" in values and cache is None:
        yield "cache_gb: is given without `cache`, the folder that it bounds; give both or neither"


def _other_kind(values: Mapping[str, Any], device: Device) -> Iterator[str]:
    """Yield keys that a machine of this kind lacks, and those that are of the other kind."""
    own, other = (ON_GPUS, ON_CPU) if device.is_gpu else (ON_CPU, ON_GPUS)
    for name in own:
        if name in values and values[name] is None:
            words = MachineFile.model_fields[name].description
            yield f"{name}: is missing, and device {device.name} needs it ({words})"
    for name in other:
        if values.get(name) is not None:
            yield (
                f"{name} = {values[name]}: is not for device {device.name}; leave it out, and give "
                f"{' and '.join(own)}"
            )
