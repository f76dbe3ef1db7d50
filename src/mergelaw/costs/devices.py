"""What devices can do, as their makers print it; "cpu" is measured."""

from collections.abc import Mapping
from dataclasses import dataclass

from mergelaw.errors import ConfigError


@dataclass(frozen=True)
class Device:
    """One device that a model is scored or trained on.

    Attributes
    ----------
    name : str
        As `estimate --device` takes it.
    peak_flops : mapping of str to float
        Dense FLOP per second by type, without sparsity and without TF32.
    memory_bytes : int or None
        Its own memory; None for a CPU, which has the host's.
    memory_bandwidth : float
        Bytes per second of the memory that holds the live weights.
    link_bandwidth : float or None
        Bytes per second, one way, from the host's memory to its own: PCIe; None for a CPU.
    layer_seconds : float
        Time to launch the operations of one layer, which no batch shortens.
    source : str
        Where the figures are from.
    """

    name: str
    peak_flops: Mapping[str, float]
    memory_bytes: int | None
    memory_bandwidth: float
    link_bandwidth: float | None
    layer_seconds: float
    source: str

    @property
    def is_gpu(self) -> bool:
        """Whether it has memory of its own."""
        return self.memory_bytes is not None

    def is_named(self, recorded: str) -> bool:
        """Say whether a job's record, such as "NVIDIA H100 80GB HBM3" or "cpu", means it."""
        words = recorded.lower().replace("-", " ").replace(":", " ").split()
        return self.name.lower() in {*words, "".join(words[-2:])}


def _gpu(
    name: str, bfloat16: float, float32: float, memory: float, bandwidth: float, pcie: int, by: str
) -> Device:
    """Return a GPU; TFLOP/s, GB, GB/s, and the generation of its 16 PCIe lanes."""
    # ASSUME half a millisecond a layer: eager transformers, about 25 kernels a layer.
    peaks = {"bfloat16": bfloat16 * 1e12, "float32": float32 * 1e12}
    link = {4: 32e9, 5: 64e9}[pcie]
    return Device(name, peaks, int(memory * 1e9), bandwidth * 1e9, link, 5e-4, by)


DEVICES: Mapping[str, Device] = {
    device.name: device
    for device in (
        Device(
            "cpu",
            {"bfloat16": 730e9, "float32": 170e9},
            None,
            15e9,
            None,
            1.5e-3,
            "measured: two cores of a Xeon with AMX, torch 2.13, 2048 x 2048 products, copies of "
            "256 MB, jobs of the default study",
        ),
        _gpu("H100", 989.4, 66.9, 80, 3350, 5, "NVIDIA H100 GPU architecture paper, SXM5"),
        _gpu("H200", 989.4, 66.9, 141, 4800, 5, "NVIDIA H200 data sheet, SXM"),
        _gpu("A100", 312, 19.5, 80, 2039, 4, "NVIDIA A100 data sheet, SXM, 80 GB"),
        _gpu("L40S", 362.05, 91.6, 48, 864, 4, "NVIDIA L40S data sheet"),
        _gpu("RTX4090", 165.2, 82.6, 24, 1008, 4, "NVIDIA Ada GPU architecture paper"),
    )
}
"""Devices by name."""


def device_of(name: str) -> Device:
    """Return the device of a name, in upper or lower case.

    Raises
    ------
    ConfigError
        If there is none; lists those that there are.
    """
    known = {key.lower(): device for key, device in DEVICES.items()}
    if name.lower() not in known:
        raise ConfigError(f"--device {name}: is unknown; must be one of {', '.join(DEVICES)}")
    return known[name.lower()]
