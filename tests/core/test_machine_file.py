"""What a node has: keys, mistakes in words, and what its shell is told of the cache."""

import subprocess

import pytest
import yaml

from mergelaw.costs.devices import DEVICES
from mergelaw.costs.inputs import Machine
from mergelaw.costs.machine_file import read_machine_file
from mergelaw.errors import ConfigError
from tests.workflow.workspace import ROOT

GPUS = {"device": "H100", "gpus_per_node": 8, "node_memory_gb": 2000, "cpus_per_gpu": 8}
CPU = {"device": "cpu", "node_memory_gb": 64, "cpus_per_job": 16}


def node(tmp_path, **keys):
    path = tmp_path / "machine.yaml"
    path.write_text(
        yaml.safe_dump({key: value for key, value in keys.items() if value is not None})
    )
    return read_machine_file(path)


def problems(tmp_path, **keys):
    with pytest.raises(ConfigError) as error:
        node(tmp_path, **keys)
    headline, *found = str(error.value).split("\n  - ")
    assert headline == f"{tmp_path / 'machine.yaml'}: {len(found)} problem{'s'[: len(found) != 1]}"
    return found


def test_a_gpu_has_its_share_of_the_node_s_memory(tmp_path):
    expected = Machine(DEVICES["H100"], 0.4, 2400, 250e9, 50e9, 2e9)
    assert node(tmp_path, **GPUS).machine() == expected


def test_a_job_on_a_cpu_may_have_the_whole_node(tmp_path):
    assert node(tmp_path, **CPU).machine() == Machine(DEVICES["cpu"], 0.4, 2400, 64e9, 15e9, 2e9)


def test_rates_are_the_file_s(tmp_path):
    rates = {"utilisation": 0.25, "bandwidth_gb": 100, "disk_bandwidth_gb": 0.5}
    found = node(tmp_path, **GPUS | rates).machine(60)
    assert found == Machine(DEVICES["H100"], 0.25, 3600, 250e9, 100e9, 0.5e9)


def test_the_shipped_file_is_valid():
    assert read_machine_file(ROOT / "profiles" / "slurm" / "machine.yaml").gpus_per_node == 8


def test_all_mistakes_are_told_at_once_with_key_value_and_range(tmp_path):
    bad = {
        "node_memory_gb": 0,
        "gpus_per_node": -1,
        "utilisation": 2,
        "gpuss_per_node": 4,
        "cache": "tmp",
    }
    words = [
        "gpuss_per_node: unknown key; did you mean 'gpus_per_node'?",
        "node_memory_gb = 0: should be greater than 0 (allowed: > 0)",
        "gpus_per_node = -1: should be greater than 0 (allowed: > 0)",
        "utilisation = 2: should be less than or equal to 1 (allowed: > 0 and <= 1)",
        "device = 'h10': is unknown; allowed here: cpu, H100",
        "cache = 'tmp': must be an absolute folder",
    ]
    found = problems(tmp_path, **GPUS | bad | {"device": "h10"})
    assert len(found) == len(words)
    assert all(line.startswith(start) for line, start in zip(found, words, strict=True))


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (GPUS | {"gpus_per_node": None}, "gpus_per_node: is missing, and device H100 needs it"),
        (GPUS | {"cpus_per_gpu": None}, "cpus_per_gpu: is missing, and device H100 needs it"),
        (GPUS | {"node_memory_gb": None}, "node_memory_gb: is missing (Memory that"),
        (GPUS | {"device": None}, "device: is missing (What models run on: cpu, H100"),
        (GPUS | {"cpus_per_job": 3}, "cpus_per_job = 3: is not for device H100; leave it out"),
        (CPU | {"cpus_per_job": None}, "cpus_per_job: is missing, and device cpu needs it"),
        (CPU | {"gpus_per_node": 4}, "gpus_per_node = 4: is not for device cpu; leave it out"),
        (CPU | {"longest_hours": 0}, "longest_hours = 0: should be greater than 0"),
        (CPU | {"cache_gb": 5}, "cache_gb: is given without `cache`"),
    ],
)
def test_a_key_that_lacks_or_is_of_the_other_kind_of_machine(tmp_path, keys, words):
    (found,) = problems(tmp_path, **keys)
    assert found.startswith(words)


def test_a_file_that_is_not_there_or_holds_a_list(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.yaml: cannot be read"):
        read_machine_file(tmp_path / "none.yaml")
    (tmp_path / "machine.yaml").write_text("[1]")
    with pytest.raises(ConfigError, match="must be a mapping of keys, not list"):
        read_machine_file(tmp_path / "machine.yaml")


def told(found, **environ):
    """What a real shell's children see."""
    command = found.exports() + 'printf "%s\n%s" "$MERGELAW_CACHE" "${MERGELAW_CACHE_GB-none}"'
    done = subprocess.run(
        ["bash", "-c", command], env=environ, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return done.stdout.split("\n")


@pytest.mark.parametrize(
    ("cache", "folder"),
    [
        ("/scratch/mergelaw", "/scratch/mergelaw"),
        ("$TMP/a b/$USER", "/on node/a b/me"),
        ("/x/${USER}_${TMP}", "/x/me_/on node"),
        ("/x/$USER_2/y", ""),
        ("$TMP/$EMPTY", ""),
    ],
)
def test_variables_are_those_of_the_node_and_without_them_there_is_no_cache(
    tmp_path, cache, folder
):
    found = node(tmp_path, **CPU | {"cache": cache, "cache_gb": 1500})
    assert told(found, TMP="/on node", USER="me", EMPTY="") == [folder, "1500"]


def test_without_a_limit_or_a_cache_nothing_is_told(tmp_path):
    assert node(tmp_path, **CPU).exports() == ""
    assert told(node(tmp_path, **CPU | {"cache": "/c"})) == ["/c", "none"]


@pytest.mark.parametrize(
    "cache",
    ['/a"; touch x; "', "/a`id`", "/$(id)", "/a\nb", "/a\n", "/a'b", "/a\\b", "/${A:-b}", "a/b",
     "~/a", "/a{b}", "/$", "/a;b", "/a&b", "$1/a", ""],
)  # fmt: skip
def test_a_folder_by_which_a_shell_could_run_anything_is_refused(tmp_path, cache):
    (found,) = problems(tmp_path, **CPU | {"cache": cache})
    assert found.startswith(f"cache = {cache!r}: must be an absolute folder")
