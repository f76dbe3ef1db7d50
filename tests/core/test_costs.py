"""cost.json: facts, time, memory, devices, work and energy of a block that succeeded."""

import json
import os
import sys
import time
from types import SimpleNamespace

import pytest

from mergelaw.costs import add_work, cost_report, energy, gpus
from mergelaw.costs.report import measured


def test_a_block_s_cost(tmp_path):
    path = tmp_path / "a" / "cost.json"
    with cost_report(path, stage="experts", n_tokens=12) as cost:
        time.sleep(0.2)
        cost["last_loss"] = 1.5
        block = bytearray(200 * 2**20)
        block[:: 2**12] = b"x" * (len(block) // 2**12)
    report = json.loads(path.read_text())
    assert (report["stage"], report["n_tokens"], report["last_loss"]) == ("experts", 12, 1.5)
    assert 0.2 <= report["wall_seconds"] < 10
    assert report["cpu_seconds"] < report["wall_seconds"]  # sleeping costs no CPU time
    assert 200 * 2**20 < report["peak_memory_bytes"] < 64 * 2**30


def test_cpu_time_is_counted(tmp_path):
    with cost_report(tmp_path / "cost.json"):
        end = time.process_time() + 0.1
        while time.process_time() < end:
            pass
    assert json.loads((tmp_path / "cost.json").read_text())["cpu_seconds"] >= 0.1


def test_a_failed_block_leaves_no_report(tmp_path):
    with pytest.raises(RuntimeError), cost_report(tmp_path / "cost.json", stage="x"):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_block_that_tells_no_tokens_ran_no_model(tmp_path):
    with measured(stage="merge") as cost:
        pass
    assert cost["device_hours"] == {}
    assert cost["tokens_read"] is cost["flops"] is cost["peak_device_bytes"] is None


def test_a_block_on_the_processor_has_its_wall_time_as_device_hours():
    with measured(n_tokens=12) as cost:
        time.sleep(0.05)
    assert cost["device_hours"] == {"cpu": cost["wall_seconds"] / 3600}
    assert cost["tokens_read"] == 12


def test_work_is_added_to_the_job_that_runs():
    add_work(7, 7.0)  # of none: it is not measured
    with measured() as outer, measured(tokens_read=0, flops=0.0, n_tokens=100) as inner:
        add_work(3, 10.0)
        add_work(4, 20.0)
    assert (inner["tokens_read"], inner["flops"]) == (7, 30.0)
    assert outer["tokens_read"] is None
    add_work(7, 7.0)
    assert inner["tokens_read"] == 7


class Cuda:
    """torch.cuda of a process that has used the second of three GPUs."""

    names = ("NVIDIA A100", "NVIDIA H100", "NVIDIA H100")
    reserved = (0, 5_000, 0)
    forgotten: list[int]

    def __init__(self) -> None:
        self.forgotten = []

    def is_initialized(self) -> bool:
        return True

    def device_count(self) -> int:
        return len(self.names)

    def max_memory_reserved(self, index: int) -> int:
        return self.reserved[index]

    def reset_peak_memory_stats(self, index: int) -> None:
        self.forgotten.append(index)

    def get_device_properties(self, index: int) -> SimpleNamespace:
        return SimpleNamespace(name=self.names[index], uuid=f"uuid-{index}")


@pytest.fixture
def cuda(monkeypatch):
    cuda = Cuda()
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return cuda


def test_gpus_of_a_process_are_those_that_it_has_memory_of(cuda):
    with measured(n_tokens=1) as cost:
        time.sleep(0.01)
    assert cost["device_hours"] == {"NVIDIA H100": cost["wall_seconds"] / 3600}
    assert cost["peak_device_bytes"] == 5_000
    assert cuda.forgotten == [0, 1, 2]


def test_gpus_of_several_processes_are_the_first_ones(cuda):
    assert [gpu.uuid for gpu in gpus.gpus_of_job(2)] == ["GPU-uuid-0", "GPU-uuid-1"]


def test_granted_gpus_count_whether_used_or_not(cuda, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2")
    with measured(n_tokens=1) as cost:
        time.sleep(0.01)
    hour = cost["wall_seconds"] / 3600
    assert cost["device_hours"] == pytest.approx({"NVIDIA A100": hour, "NVIDIA H100": 2 * hour})


def test_gpus_of_other_processes_are_told_by_them():
    with measured(n_tokens=1, n_processes=2) as cost:
        cost |= {"gpus": [["NVIDIA H100", "GPU-a"]] * 2, "peak_device_bytes": 77}
        time.sleep(0.01)
    assert cost["device_hours"] == {"NVIDIA H100": 2 * cost["wall_seconds"] / 3600}
    assert cost["peak_device_bytes"] == 77
    assert "gpus" not in cost


class NVMLError(Exception):
    """As pynvml's."""


def nvml(millijoules: dict[str, list[int]], broken: bool = False) -> SimpleNamespace:
    """Return a pynvml whose counters give one reading after another; an empty list tells none."""

    def init() -> None:
        if broken:
            raise NVMLError

    def energy_of(uuid: str) -> int:
        if not millijoules[uuid]:
            raise NVMLError
        return millijoules[uuid].pop(0)

    return SimpleNamespace(
        NVMLError=NVMLError,
        nvmlInit=init,
        nvmlDeviceGetCount=lambda: len(millijoules),
        nvmlDeviceGetHandleByIndex=lambda index: list(millijoules)[index],
        nvmlDeviceGetUUID=lambda uuid: uuid,
        nvmlDeviceGetTotalEnergyConsumption=energy_of,
    )


def test_the_energy_of_a_job_is_that_of_its_gpus(cuda, monkeypatch):
    counters = {"GPU-uuid-0": [1, 2], "GPU-uuid-1": [4_000, 9_500], "GPU-uuid-2": [1, 2]}
    monkeypatch.setitem(sys.modules, "pynvml", nvml(counters))
    with measured(n_tokens=1) as cost:
        pass
    assert (cost["energy_joules"], cost["energy_told_by"]) == (5.5, "nvml")


@pytest.mark.parametrize(
    "module",
    [None, nvml({}, broken=True), nvml({"GPU-uuid-1": []}), nvml({"GPU-uuid-0": [1, 2]})],
    ids=["not installed", "no driver", "not told by this GPU", "another GPU"],
)
def test_energy_that_is_not_told_is_null_and_never_0(cuda, monkeypatch, module):
    monkeypatch.setitem(sys.modules, "pynvml", module)
    with measured(n_tokens=1) as cost:
        pass
    assert cost["energy_joules"] is cost["energy_told_by"] is None


@pytest.fixture
def rapl(tmp_path, monkeypatch):
    """Write counters of microjoules and of the machine's processor time."""
    monkeypatch.setattr(energy, "POWERCAP", tmp_path)
    monkeypatch.setattr(energy, "PROCESSOR_TIMES", tmp_path / "stat")
    ticks = os.sysconf("SC_CLK_TCK")

    def write(busy_seconds: float, **microjoules: int) -> None:
        user = round(busy_seconds * ticks) - 3  # nice, system and steal below have one each
        (tmp_path / "stat").write_text(f"cpu  {user} 1 1 999 999 0 0 1 5 5\ncpu0 1 1\n")
        for place, (name, value) in enumerate(microjoules.items()):
            folder = tmp_path / f"intel-rapl:{place}"
            folder.mkdir(exist_ok=True)
            (folder / "name").write_text(name.replace("_", "-") + "\n")
            (folder / "energy_uj").write_text(f"{value}\n")
            (folder / "max_energy_range_uj").write_text("10000000\n")

    return write


def test_a_job_has_its_share_of_the_processors_energy(rapl):
    rapl(100, package_0=1_000_000, package_1=0, psys=0)
    meter = energy.EnergyMeter()
    rapl(104, package_0=3_000_000, package_1=6_000_000, psys=9_000_000)
    assert meter.used([], cpu_seconds=1.0) == (pytest.approx(8.0 / 4), "rapl")


def test_a_counter_that_goes_round_is_followed(rapl):
    rapl(0, package_0=9_000_000)
    meter = energy.ProcessorEnergy()
    for reading in (2_000_000, 8_000_000, 1_000_000):  # + 3, + 6, + 3 joules
        rapl(10, package_0=reading)
        meter.sample()
    assert meter.share(10.0) == pytest.approx(12.0)


def test_counters_are_read_while_the_job_runs(rapl, monkeypatch):
    readings, sample = [], energy.ProcessorEnergy.sample
    monkeypatch.setattr(energy, "SAMPLE_SECONDS", 0.001)
    monkeypatch.setattr(
        energy.ProcessorEnergy, "sample", lambda self: (sample(self), readings.append(None))
    )
    rapl(0, package_0=0)
    meter = energy.EnergyMeter()
    with meter.watching():
        for microjoules in (6_000_000, 2_000_000):  # once round, which two readings cannot tell
            rapl(1, package_0=microjoules)
            begun = len(readings)
            while len(readings) < begun + 2:
                time.sleep(0.001)
    assert meter.used([], cpu_seconds=1.0).joules == pytest.approx(12.0)


def test_counters_that_cannot_be_read_tell_nothing(rapl, tmp_path):
    rapl(1, psys=5)
    assert energy.EnergyMeter().used([], cpu_seconds=1.0) is None
    (tmp_path / "intel-rapl:0" / "name").write_text("package-0")
    (tmp_path / "intel-rapl:0" / "energy_uj").unlink()
    assert energy.EnergyMeter().used([], cpu_seconds=1.0) is None
