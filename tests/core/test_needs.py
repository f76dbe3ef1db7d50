"""What jobs ask a scheduler for: by hand, against the estimate, and as a study grows."""

import itertools
import math
from dataclasses import replace

import pytest

from mergelaw.config import parse_study, read_study
from mergelaw.costs.estimate import Estimate
from mergelaw.costs.inputs import Case, text_length
from mergelaw.costs.job_rows import job_row
from mergelaw.costs.machine_file import MachineFile
from mergelaw.costs.memory import FIXED_BYTES, choose_holding
from mergelaw.costs.model import USABLE
from mergelaw.costs.needs import Needs
from mergelaw.costs.size_models import size_models
from mergelaw.costs.sweep import SweepSize
from mergelaw.design import chunks
from mergelaw.errors import ConfigError
from mergelaw.paths import StudyPaths
from tests.core.test_estimate import FULL, qwen_dict
from tests.helpers import METHODS, study_dict, study_of
from tests.workflow.workspace import ROOT

H100 = MachineFile(device="H100", gpus_per_node=8, node_memory_gb=2000, cpus_per_gpu=6)
CPU = MachineFile(device="cpu", node_memory_gb=64, cpus_per_job=16)
QWEN = ROOT / "config" / "qwen2.5.yaml"
EXPERTS = {name: f"org/{name}" for name in ("algebra", "biology", "code")}


def needs_of(study, node=H100):
    return Needs(study, StudyPaths.of(study), node, "machine.yaml", str(ROOT))


def given(n_params=10**9, *changes):
    """One size of so many parameters, stored in 2 bytes; chunks of 3, 3 and 2 subsets."""
    size = {"name": "one", "base": "org/one", "n_params": n_params, "chunk_size": 3}
    return study_of(
        ("sizes", [size | {"experts": EXPERTS}]),
        ("tokenizer", {"path": "org/one"}),
        ("dtype", "bfloat16"),
        *changes,
    )


def chunk(study, node=H100, method="ta", index="0", attempt=1, size="one"):
    targets = {"size": size, "method": method, "chunk": index}
    return needs_of(study, node).of("chunk", targets, attempt)


def test_a_chunk_worked_by_hand():
    """The base, algebra and biology: three models of 10^9 as float32, and a copy in bfloat16."""
    study = given(10**9, ("evaluation", {"tokens_per_domain": 3 * 10**8, "max_length": 96}))
    held, live, process, snakemake, driver = 3 * 4.0, 2.0, 0.6, 0.5, 2.0
    flops = 9e8 * (2 * 1e9 + 4 * 17 * 2201 * 96)  # a shape of 17 layers, 2201 wide, is assumed
    seconds = 5 + 3 * 2 / 2 + 3 * flops / (0.4 * 989.4e12)
    assert chunk(study) == {
        "mem_mb": 1000 * (held + live + process + snakemake + driver) / 0.9,
        "runtime": 5 * math.ceil((5 + 1.5 * seconds / 60) / 5),
        "gpu": 1,
        "disk_mb": 1000,
        "threads": 6,
    }
    assert chunk(study)["mem_mb"] == 19000
    assert chunk(study)["runtime"] == 350


def on_this_machine(study, node=H100):
    sizes, _ = size_models(study, StudyPaths.of(study))
    text = text_length(study, StudyPaths.of(study).shard_contents)
    return Case(study, node.machine(), text, sizes)


STUDIES = {
    "trained": study_of(("mask_seeds", [0, 1]), ("multitask", {}), *FULL),
    "given": given(),
    "the paper's": parse_study(qwen_dict()),
}


@pytest.mark.parametrize("name", STUDIES)
def test_jobs_cost_together_what_the_estimate_says_of_their_row(name):
    case = on_this_machine(STUDIES[name])
    rows = [row for row in Estimate(case).rows if row.rule == "chunk"]
    assert rows
    for row in rows:
        at = SweepSize(case, row.size)
        jobs = [
            job_row(at, "chunk", {"method": row.method, "chunk": str(found.index)})
            for found in chunks(case.study, row.size)
        ]
        for key in ("n_jobs", "n_merges", "bytes_read", "bytes_written", "job_seconds", "flops"):
            assert sum(getattr(job, key) for job in jobs) == pytest.approx(getattr(row, key))
        for key in ("longest_job_seconds", "host_bytes", "staged_bytes", "devices_per_job"):
            assert max(getattr(job, key) for job in jobs) == getattr(row, key)


@pytest.mark.parametrize(
    "rule",
    [
        *("base", "expert", "multitask", "multitask_losses", "snapshot_losses"),
        *("scales", "best_scales", "orders", "cell", "cell_losses", "task_vectors"),
        *("derivatives", "weights"),
    ],
)
def test_a_job_s_row_is_the_estimate_s(rule):
    case = on_this_machine(STUDIES["trained"])
    found = Estimate(case)
    rows = [row for row in (*found.rows, *found.full, *found.cells) if row.rule == rule]
    assert [row.size for row in rows] == ["small", "large"]
    targets = {"expert": "code", "method": "ta", "subset": "algebra+biology+code"}
    for row in rows:
        shared = ("longest_job_seconds", "host_bytes", "devices_per_job", "staged_bytes")
        job = job_row(SweepSize(case, row.size), rule, targets)
        assert [getattr(job, key) for key in shared] == [getattr(row, key) for key in shared]
        asked = needs_of(case.study).of(rule, targets | {"size": row.size})
        beside = 0.5e9 + 2e9 * (row.devices_per_job > 0)
        assert asked["mem_mb"] == 100 * math.ceil((row.host_bytes + beside) / 0.9 / 1e8)
        assert asked["gpu"] == row.devices_per_job


def test_memory_grows_with_parameters_experts_and_the_stored_and_live_types():
    less, more = chunk(given()), chunk(given(2 * 10**9))
    assert less["mem_mb"] < more["mem_mb"]
    assert chunk(given(), index="0")["mem_mb"] < chunk(given(), index="1")["mem_mb"], "3 experts"
    wide = chunk(given(10**9, ("dtype", "float32")))
    assert wide["mem_mb"] - less["mem_mb"] == pytest.approx(2e9 / 0.9 / 1e6, abs=100)
    running = chunk(given(10**9, ("sweep", {"incremental": True})))
    assert running["mem_mb"] - less["mem_mb"] == pytest.approx(4e9 / 0.9 / 1e6, abs=100)


LONG = ("evaluation", {"tokens_per_domain": 10**9, "max_length": 96})


def test_time_grows_with_text_subsets_parameters_type_and_mask_seeds():
    usual = chunk(given(10**9, LONG))["runtime"]
    assert usual > chunk(given())["runtime"] == 10
    assert usual > chunk(given(10**9, LONG), index="2")["runtime"], "two subsets of three"
    assert usual > chunk(given(10**9, LONG, ("sizes.0.chunk_size", 1)))["runtime"]
    assert usual < chunk(given(10**9, LONG, ("sizes.0.chunk_size", 8)))["runtime"]
    assert usual < chunk(given(2 * 10**9, LONG))["runtime"]
    assert usual < chunk(given(10**9, LONG, ("dtype", "float32")))["runtime"]
    masks = given(10**9, LONG, ("mask_seeds", [0, 1, 2]), ("methods", METHODS))
    assert chunk(masks)["runtime"] == usual
    assert chunk(masks, method="dare")["runtime"] > 2.5 * usual


def test_time_grows_with_k_where_merging_decides():
    sizes = ("sizes.0.chunk_size", 1)
    study = given(7 * 10**9, sizes, ("evaluation", {"tokens_per_domain": 10**5, "max_length": 96}))
    node = H100.model_copy(update={"bandwidth_gb": 0.1})
    found = chunks(study, "one")
    by_k = {c.subsets[0].k: chunk(study, node, index=str(c.index))["runtime"] for c in found}
    assert by_k[0] < by_k[1] < by_k[2] < by_k[3]


@pytest.mark.parametrize(("size", "gpus"), [("14b", 1), ("32b", 2), ("72b", 3)])
def test_a_model_too_large_for_one_gpu_has_several_and_their_cores(size, gpus):
    asked = chunk(read_study(QWEN), method="average", size=size)
    assert (asked["gpu"], asked["threads"]) == (gpus, 6 * gpus)


def test_rules_that_merge_on_disk_ask_for_no_gpu_and_a_cpu_machine_for_none_at_all():
    study = STUDIES["trained"]
    cell = {"size": "small", "method": "ta", "subset": "algebra+code"}
    for rule in ("cell", "task_vectors"):
        assert [needs_of(study).of(rule, cell)[key] for key in ("gpu", "threads")] == [0, 4]
    for rule in ("cell", "task_vectors", "base", "cell_losses", "orders"):
        asked = needs_of(study, CPU).of(rule, cell)
        assert (asked["gpu"], asked["threads"]) == (0, 16)


def test_a_merge_on_disk_reads_its_own_experts_alone():
    node, study = H100.model_copy(update={"disk_bandwidth_gb": 0.001}), given()
    minutes = [
        needs_of(study, node).of("cell", {"size": "one", "method": "ta", "subset": name})["runtime"]
        for name in ("algebra", "algebra+code", "algebra+biology+code")
    ]
    assert [later - earlier for earlier, later in itertools.pairwise(minutes)] == [
        pytest.approx(1.5 * 2e9 / 1e6 / 60, abs=5)
    ] * 2


@pytest.mark.parametrize("memory", [100, 200, 400, 800, 2000])
def test_a_job_that_has_what_it_asks_for_holds_the_pool_as_it_was_planned(memory):
    """Told by what the job itself asks: its limit, less what the process and Snakemake have."""
    study, node = parse_study(qwen_dict()), H100.model_copy(update={"node_memory_gb": memory})
    needs = needs_of(study, node)
    case = on_this_machine(study, node)
    for size in study.size_names[:5]:
        at = SweepSize(case, size)
        for found in chunks(study, size):
            asked = needs.of("chunk", {"size": size, "method": "ta", "chunk": str(found.index)})
            in_use = FIXED_BYTES + 2 * 170_000_000
            held = choose_holding(
                at.n_params,
                len(found.experts),
                2.0,
                other_bytes=at.host_other_bytes - FIXED_BYTES,
                available_bytes=int(USABLE * (asked["mem_mb"] * 10**6 - in_use)),
            )
            assert held == at.holding


def test_each_attempt_asks_for_more_until_the_node_and_the_partition_end():
    study = given(10**9, LONG)
    node = MachineFile(
        device="H100", gpus_per_node=1, node_memory_gb=40, cpus_per_gpu=1, longest_hours=40
    )
    first, second, third = (chunk(study, node, attempt=n) for n in (1, 2, 3))
    assert (first["mem_mb"], second["mem_mb"]) == (19000, 28500)
    assert third["mem_mb"] == 40e9 // 2**20, "in MiB, as Slurm takes it"
    assert second["runtime"] == 2 * first["runtime"] < 40 * 60
    assert third["runtime"] == 40 * 60


def test_a_sweep_s_job_longer_than_the_partition_asks_for_all_of_it():
    node = H100.model_copy(update={"longest_hours": 0.5})
    assert chunk(given(10**9, LONG), node)["runtime"] == 30


@pytest.mark.parametrize(("index", "experts"), [("0", 2), ("1", 3)])
def test_local_disk_is_for_copies_of_base_and_experts_where_the_node_keeps_any(index, experts):
    node = H100.model_copy(update={"cache": "/scratch"})
    assert chunk(given(), node, index=index)["disk_mb"] == (1 + experts) * 2000
    assert chunk(given(), index=index)["disk_mb"] == 1000
    cell = {"size": "one", "method": "ta", "subset": "algebra+code"}
    assert needs_of(given(), node).of("cell", cell)["disk_mb"] == 1000


def refused(study, rule, node=H100, **targets):
    with pytest.raises(ConfigError) as error:
        needs_of(study, node).of(rule, {"method": "ta", "chunk": "0"} | targets)
    headline, *found = str(error.value).split("\n  - ")
    assert headline.startswith(f"machine.yaml: cannot run jobs of rule {rule}: {len(found)} ")
    return found


def test_more_gpus_than_a_node_has_are_refused_for_all_sizes_at_once():
    node = H100.model_copy(update={"gpus_per_node": 1})
    found = refused(read_study(QWEN), "chunk", node, method="average", size="32b")
    assert [line.partition(", and")[0] for line in found] == [
        "size 32b: it needs 2 H100 at once",
        "size 72b: it needs 3 H100 at once",
    ]
    assert "a node has 1 (gpus_per_node): take nodes with more or larger GPUs" in found[0]


def test_memory_that_no_node_has_is_refused():
    node = CPU.model_copy(update={"node_memory_gb": 2.5})
    (found,) = refused(given(), "chunk", node, size="one")
    assert found.startswith("size one: it needs 3.5 GB of memory at the least, and a node has 2.5")


def test_unknown_parameters_are_told_as_the_estimate_tells_them():
    raw = study_dict(("sizes", [{"name": "one", "base": "org/none", "experts": EXPERTS}]),
                     ("tokenizer", {"path": "org/none"}))  # fmt: skip
    study = parse_study(raw)
    with pytest.raises(ConfigError) as error:
        size_models(study, StudyPaths.of(study))
    words = str(error.value).partition("  - ")[2]
    with pytest.raises(ConfigError) as error:
        chunk(study)
    assert words.startswith("sizes[0].n_params: is missing")
    assert str(error.value) == words


def test_without_a_machine_there_are_no_needs():
    assert Needs.of_file(study_of(), StudyPaths.of(study_of()), None, "/") is None


def test_the_machine_s_file_is_looked_for_here_and_then_in_the_project(tmp_path, monkeypatch):
    project, here = tmp_path / "project", tmp_path / "here"
    for folder, cores in ((project, 2), (here, 3)):
        folder.mkdir()
        (folder / "m.yaml").write_text(f"device: cpu\nnode_memory_gb: 8\ncpus_per_job: {cores}\n")
    monkeypatch.chdir(here)
    study = study_of()
    found = [Needs.of_file(study, StudyPaths.of(study), "m.yaml", str(project))]
    (here / "m.yaml").unlink()
    found.append(Needs.of_file(study, StudyPaths.of(study), "m.yaml", str(project)))
    assert [needs.node.cpus_per_job for needs in found if needs] == [3, 2]


def test_only_the_checkpoint_of_the_job_s_own_size_is_looked_at(tmp_path):
    """A job on a node parses the workflow: it must not open the checkpoints of all sizes."""
    sizes = [
        {"name": name, "base": base, "experts": EXPERTS} | extra
        for name, base, extra in (
            ("one", "org/one", {"n_params": 10**9}),
            ("two", str(tmp_path / "no-folder"), {}),
        )
    ]
    study = study_of(("sizes", sizes), ("tokenizer", {"path": "org/one"}))
    assert chunk(study)["gpu"] == 1
    with pytest.raises(ConfigError, match="n_params: is missing"):
        chunk(study, size="two")


def test_an_estimate_with_the_machine_s_own_rates_decides(tmp_path):
    slow = replace(H100.machine(), disk_bandwidth=1e6)
    node = H100.model_copy(update={"disk_bandwidth_gb": 1e-3})
    study = given()
    case = replace(on_this_machine(study), machine=slow)
    row = job_row(SweepSize(case, "one"), "chunk", {"method": "ta", "chunk": "0"})
    expected = 5 * math.ceil((5 + 1.5 * row.longest_job_seconds / 60) / 5)
    assert chunk(study, node)["runtime"] == expected > 100
