"""What a study costs: rows, totals and chunk sizes; the command `mergelaw estimate`."""

import json
import re
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
import yaml

from mergelaw.config import parse_study, read_study
from mergelaw.costs.devices import DEVICES
from mergelaw.costs.estimate import Estimate
from mergelaw.costs.inputs import Case, Machine, Measured, SizeModel, TextLength, text_length
from mergelaw.costs.measured import measured_jobs
from mergelaw.costs.shapes import assumed_shape, shape_of_architecture
from mergelaw.costs.sweep import SweepMethod, SweepSize, chunk_size_for, is_sparse
from mergelaw.costs.words import duration, number, size_of, table_text
from mergelaw.design import chunks
from mergelaw.errors import ConfigError
from mergelaw.files import write_json
from mergelaw.paths import StudyPaths
from mergelaw.planned import study_counts
from mergelaw.provenance import fingerprint, provenance
from mergelaw.tables import SHARDS, SHARDS_KEY, write_table
from mergelaw.variants import order_series, scale_series, scale_subsets, scaled_methods
from tests.helpers import METHODS, study_dict, study_of

ROOT = Path(__file__).parents[2]
QWEN = {
    "0.5b": 494032768, "1.5b": 1543714304, "3b": 3085938688, "7b": 7615616512,
    "14b": 14770033664, "32b": 32763876352, "72b": 72706203648,
}  # fmt: skip
NINE = [f"expert{i}" for i in range(1, 10)]
TEXT = TextLength(
    n_items=9000, n_tokens=9_000_000, n_scored=8_000_000, squared_lengths=9e9, prepared=True
)
CPU = Machine(DEVICES["cpu"], 0.4, 2400, 24e9, 15e9, 2e9)
H100 = Machine(DEVICES["H100"], 0.4, 2400, 256e9, 50e9, 2e9)


FULL = (
    ("scales", {"checked": [0.5]}),
    ("orders", {"subsets_per_k": 2}),
    ("theory", {"objectives": [{"label": "macro"}]}),
)


def ladder(machine=CPU, text=TEXT, *changes):
    study = study_of(*changes)
    models = {
        size.name: SizeModel(shape_of_architecture(size.architecture, 300), 4.0, "x")
        for size in study.sizes
    }
    return Case(study, machine, text, models, n_figures=2)


def qwen_dict():
    """The paper's study: every subset up to 7B, prefixes of 15 permutations above."""
    sampled = [{"kind": "max_min_hamming", "permutations": 15, "candidates": 20}]
    sizes = [
        {"name": name, "base": f"Qwen/Qwen2.5-{name}", "n_params": n}
        | ({"design": sampled} if n > 8e9 else {})
        | {"experts": {expert: f"org/{name}-{expert}" for expert in NINE}}
        for name, n in QWEN.items()
    ]
    return study_dict(
        ("experts", [{"name": name} for name in NINE]),
        ("sizes", sizes),
        ("dtype", "bfloat16"),
        ("tokenizer", {"path": "Qwen/Qwen2.5-0.5B"}),
        ("evaluation", {"tokens_per_domain": 30_000_000, "max_length": 4096}),
        ("design", [{"kind": "exhaustive"}]),
    )


def qwen(machine=H100, text=TEXT):
    study = parse_study(qwen_dict())
    models = {name: SizeModel(assumed_shape(n), 2.0, "n_params") for name, n in QWEN.items()}
    return Case(study, machine, text, models)


@pytest.fixture(scope="module")
def planned():
    return Estimate(qwen())


def test_the_paper_s_study_has_the_merges_that_its_design_says(planned):
    sampled = sum(
        len(chunk.subsets)
        for size in ("14b", "32b", "72b")
        for chunk in chunks(planned.case.study, size)
    )
    assert planned.total["n_merges"] == 4 * (4 * 511 + sampled - 3)
    assert planned.total["n_merges"] == study_counts(planned.case.study)["merges"]
    assert 9_000 < planned.total["n_merges"] < 11_000


def test_totals_are_sums_over_rows(planned):
    for key in ("n_jobs", "bytes_read", "bytes_written", "job_seconds", "flops"):
        assert planned.total[key] == sum(getattr(row, key) for row in planned.rows)
    devices = sum(row.job_seconds * row.devices_per_job for row in planned.rows)
    assert planned.total["device_seconds"] == pytest.approx(devices)
    assert planned.total["host_bytes"] == max(row.host_bytes for row in planned.rows)


def test_rows_of_the_sweep_are_the_chunks_of_the_design(planned):
    for row in planned.rows:
        if row.rule == "chunk":
            assert row.n_jobs == len(chunks(planned.case.study, row.size))


def test_gpus_of_a_job_grow_where_one_cannot_hold_the_model(planned):
    devices = {row.size: row.devices_per_job for row in planned.rows if row.rule == "chunk"}
    assert devices == {"0.5b": 1, "1.5b": 1, "3b": 1, "7b": 1, "14b": 1, "32b": 1, "72b": 3}
    for row in planned.rows:
        assert row.device_bytes <= 0.9 * 80e9
    assert planned.n_devices == 3


def test_the_pool_is_held_in_the_fastest_way_that_nine_tenths_of_the_host_hold(planned):
    held = {row.size: row.holding for row in planned.rows if row.rule == "chunk"}
    assert held["3b"] == "float32"  # 10 * 4 * 3.1e9 + 2 * 3.1e9 < 230e9
    assert held["7b"] == "stored"  # 10 * 4 * 7.6e9 > 230e9
    assert held["72b"] == "streamed"  # 10 * 2 * 72.7e9 > 3 * 230e9
    for row in planned.rows:
        assert row.host_bytes <= 0.9 * 256e9 * max(1, row.devices_per_job)


def test_a_split_model_has_all_its_gpus_for_the_time_of_one(planned):
    row = next(row for row in planned.rows if row.rule == "chunk" and row.size == "72b")
    assert row.device_seconds == 3 * row.job_seconds
    at = SweepSize(planned.case, "72b")
    assert at.score_seconds == pytest.approx(at.flops / (989.4e12 * 0.4))


def test_more_gpus_make_the_wall_time_shorter_and_the_work_the_same(planned):
    more = Estimate(qwen(replace(H100, n_devices=30)))
    assert more.total["device_seconds"] == planned.total["device_seconds"]
    longest = {}
    for row in planned.rows:
        key = row.rule, row.size
        longest[key] = max(longest.get(key, 0.0), row.longest_job_seconds)
    assert sum(longest.values()) <= more.wall_seconds < planned.wall_seconds / 2


def test_fewer_gpus_than_a_job_needs_are_refused():
    with pytest.raises(ConfigError, match=r"--gpus 2: a job of rule chunk at 72b needs 3 H100"):
        Estimate(qwen(replace(H100, n_devices=2)))


def test_a_batch_that_fits_no_device_is_refused_by_its_key():
    case = qwen()
    study = case.study.model_copy(
        update={"evaluation": case.study.evaluation.model_copy(update={"batch_tokens": 2**20})}
    )
    with pytest.raises(ConfigError, match=r"evaluation\.batch_tokens = 1048576: a batch at size"):
        Estimate(replace(case, study=study))


CASES = {
    "gpu": qwen(replace(H100, job_seconds=14400)),
    "cpu, stored": qwen(replace(CPU, host_bytes=24e9, job_seconds=3e7)),
    "streamed": qwen(replace(H100, host_bytes=160e9, job_seconds=30000, disk_bandwidth=0.05e9)),
    "masks": ladder(
        replace(CPU, job_seconds=60),
        TEXT,
        ("mask_seeds", [0, 1, 2]),
        ("methods", METHODS[::-1]),  # the slowest comes first
    ),
    "two parts": ladder(
        replace(CPU, job_seconds=60),
        TEXT,
        ("design", [{"kind": "exhaustive", "k": [1]}, {"kind": "exhaustive"}]),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_every_job_of_the_advised_chunk_size_is_within_the_length(name):
    """Told by jobs of the design itself, not by the search's own sums."""
    case = CASES[name]
    for size in case.study.size_names:
        at = SweepSize(case, size)
        advised = chunk_size_for(at)
        sizes = tuple(
            s.model_copy(update={"chunk_size": advised}) if s.name == size else s
            for s in case.study.sizes
        )
        study = case.study.model_copy(update={"sizes": sizes})
        longest = max(
            SweepMethod(at, method).job_seconds(chunk.subsets)
            for method in study.methods
            for chunk in chunks(study, size)
        )
        assert advised == 1 or longest <= case.machine.job_seconds


def test_the_advised_size_is_the_largest_but_for_evening_out():
    at = SweepSize(CASES["gpu"], "1.5b")
    advised, limit = chunk_size_for(at), CASES["gpu"].machine.job_seconds
    jobs = -(-512 // advised)
    fewer = -(-512 // (jobs - 1))  # the size with which one job less would do
    order = [s for chunk in chunks(at.case.study, "1.5b") for s in chunk.subsets]
    assert 1 < advised < 512
    assert any(
        SweepMethod(at, method).setup_seconds(9)
        + sum(SweepMethod(at, method).seconds(subset.k) for subset in order[i : i + fewer])
        > limit
        for method in at.case.study.methods
        for i in range(512 - fewer)
    )


def test_a_length_too_short_for_one_merge_gives_chunk_1_and_says_so():
    found = Estimate(qwen(replace(H100, job_seconds=60)))
    assert [plan.chunk_size for plan in found.plans] == [1] * 7
    said = [note for note in found.notes if "longer than the 1 min asked for" in note]
    assert len(said) == sum(plan.longest_job_seconds > 60 for plan in found.plans) > 0
    assert "chunk_size 1 is the least: give a longer --job-minutes" in said[0]


def test_the_printed_lines_are_config(planned):
    text = table_text(planned)
    lines = text[text.index("\nsizes:\n") : text.index("\n(a changed")]
    put = {entry["name"]: entry["chunk_size"] for entry in yaml.safe_load(lines)["sizes"]}
    assert put == {plan.size: plan.chunk_size for plan in planned.plans}
    raw = qwen_dict()
    for entry in raw["sizes"]:
        entry["chunk_size"] = put[entry["name"]]
    again = Estimate(replace(planned.case, study=parse_study(raw)))
    assert [p.chunk_size_now for p in again.plans] == [p.chunk_size for p in planned.plans]
    assert again.wall_seconds == again.advised_wall_seconds == planned.advised_wall_seconds
    assert table_text(again).count("as it is now") == 7


def test_table_and_json_have_the_same_numbers(planned):
    facts = json.loads(json.dumps(planned.facts()))
    lines = table_text(planned).splitlines()
    rows = [line.split() for line in lines if line.startswith("chunk ")]
    found = [row for row in facts["rows"] if row["rule"] == "chunk"]
    assert len(rows) == len(found) == 28
    for cells, row in zip(rows, found, strict=True):
        assert cells[1:3] == [row["size"], row["method"]]
        assert cells[3:6] == [
            f"{row['n_jobs']:,}", f"{row['n_merges']:,}", number(row["seconds_per_merge"])
        ]  # fmt: skip
        assert number(row["device_seconds"] / 3600) in cells
        assert size_of(row["bytes_read"]) == " ".join(cells[10:12])
    total = next(line for line in lines if line.startswith("total"))
    assert number(facts["total"]["device_seconds"] / 3600) in total
    assert size_of(facts["total"]["bytes_read"]) in total
    for words in (*facts["assumptions"], *facts["notes"]):
        assert words in "\n".join(lines)


ALONE = {"part", "part_curves"}
"""Rules of tables that other rules make, too, in a second: for a target only."""


def test_every_rule_of_the_workflow_has_a_row():
    text = "".join(path.read_text() for path in (ROOT / "workflow" / "rules").glob("*.smk"))
    rules = set(re.findall(r"^rule (\w+):", text, re.MULTILINE))
    found = Estimate(ladder(CPU, TEXT, *FULL, ("multitask", {})))
    assert {row.rule for row in (*found.rows, *found.cells, *found.full)} == rules - ALONE


def test_the_full_report_costs_the_merges_that_its_jobs_make():
    case = ladder(CPU, TEXT, *FULL)
    rows = {(row.rule, row.size): row for row in Estimate(case).full}
    made = {"scales": scale_series(case.study), "orders": order_series(case.study)}
    for rule, series in made.items():
        merges = [subset for part in series for subset in part.merges]
        row = rows[rule, "small"]
        assert row.n_merges == sum(subset.k > 0 for subset in merges)
        assert row.flops == len(merges) * SweepSize(case, "small").flops
        assert row.job_seconds > len(merges) * SweepSize(case, "small").score_seconds
    entries = len(scaled_methods(case.study))
    subsets = sum(map(len, scale_subsets(case.study).values()))
    assert rows["best_scales", "small"].n_merges == entries * subsets
    assert "snakemake full" in table_text(Estimate(case))


def full_rules(*changes):
    return [(row.rule, row.size) for row in Estimate(ladder(CPU, TEXT, *changes)).full]


def test_the_full_report_costs_what_the_study_has():
    """Experts are scored where they are trained; a baseline is trained once for each base."""
    scored = [("snapshot_losses", "small"), ("snapshot_losses", "large")]
    last = [("law_file", ""), ("planner", ""), ("costs", "")]
    assert full_rules() == [*scored, ("training_logs", ""), *last]
    setting = ("training.settings", [{"name": "more", "steps": 9}])
    found = full_rules(("multitask", {}), setting)
    assert found[:4] == [
        (rule, size) for size in ("small", "large") for rule in ("multitask", "multitask_losses")
    ]
    assert [size for rule, size in found if rule == "snapshot_losses"] == [
        *("small", "large"),
        *("small@more", "large@more"),
    ]
    assert [row.rule for row in Estimate(qwen()).full] == ["law_file", "planner", "costs"]


def test_finished_checkpoints_are_not_trained(planned):
    assert not {row.rule for row in planned.rows} & {"base", "expert", "pretraining"}


def test_training_is_counted_where_the_study_trains():
    case = ladder()
    rows = {row.rule: row for row in Estimate(case).rows if row.size == "small"}
    n = case.sizes["small"].shape.n_params
    attention = 3 * 4 * 1 * 16 * 96  # three passes of 4 L d T for each token
    assert rows["base"].flops == (6 * n + attention) * 3 * 4 * 96
    assert rows["expert"].flops == 3 * rows["base"].flops
    assert rows["expert"].bytes_written == 3 * 4 * n
    assert rows["base"].bytes_written == 4 * n


def test_masks_repeat_the_methods_that_draw_them():
    once = {(r.size, r.method): r for r in Estimate(ladder()).rows if r.rule == "chunk"}
    case = ladder(CPU, TEXT, ("mask_seeds", [0, 1, 2]))
    thrice = {(r.size, r.method): r for r in Estimate(case).rows if r.rule == "chunk"}
    assert thrice["small", "dare"].n_merges == 3 * once["small", "dare"].n_merges
    assert thrice["small", "ta"].n_merges == once["small", "ta"].n_merges


def worked(machine, *changes):
    """One size of 10^9 parameters stored in 2 bytes, scored on so much text that 1000 s pass."""
    size = {"name": "one", "base": "org/one", "n_params": 10**9, "chunk_size": 3}
    experts = {name: f"org/{name}" for name in ("algebra", "biology", "code")}
    study = study_of(
        ("sizes", [size | {"experts": experts}]),
        ("tokenizer", {"path": "org/one"}),
        ("dtype", "bfloat16"),
        *changes,
    )
    text = TextLength(1, 4096 * 10, 0, 0.0, prepared=True)
    shape = replace(assumed_shape(10**9), layers=200_000)  # 10 passes, half a millisecond a layer
    return SweepSize(Case(study, machine, text, {"one": SizeModel(shape, 2.0, "x")}), "one")


MERGE_BANDWIDTHS = replace(H100, merge_bandwidth=1e9, disk_bandwidth=0.5e9)


@pytest.mark.parametrize(
    ("host_gb", "held", "plain", "sparse"),
    [
        (100, "float32", 4 * 3 + 2, 4 * 3 + 2),
        (14, "stored", 2 * 3 + 2, 2 * 3 + 2 + 24 * 2),
        (4, "streamed", 2 * 3 / 0.5, 2 * 3 / 0.5 + 24 * 2),
    ],
)
def test_seconds_of_merging_two_experts_worked_by_hand(host_gb, held, plain, sparse):
    at = worked(replace(MERGE_BANDWIDTHS, host_bytes=host_gb * 1e9))
    over_pcie = 2e9 / 64e9
    assert at.holding == held
    assert at.merge_seconds(at.case.study.method("ta"), 2) == pytest.approx(plain + over_pcie)
    assert at.merge_seconds(at.case.study.method("dare"), 2) == pytest.approx(sparse + over_pcie)


def test_seconds_of_a_job_worked_by_hand():
    at = worked(MERGE_BANDWIDTHS, ("mask_seeds", [0, 1]))
    jobs = {m.label: SweepMethod(at, m) for m in at.case.study.methods}
    chunk = chunks(at.case.study, "one")[0].subsets  # the base, algebra, biology
    assert at.score_seconds == pytest.approx(1000)
    assert jobs["ta"].seconds(3) == pytest.approx(1000)  # the merge is made meanwhile
    reading = 5 + 3 * 2 / 0.5
    assert jobs["ta"].job_seconds(chunk) == pytest.approx(reading + 3000)
    assert jobs["dare"].job_seconds(chunk) == pytest.approx(reading + 2 * (2 * 24 + 3000))


def test_on_a_cpu_merging_and_scoring_follow_each_other():
    at = worked(replace(CPU, host_bytes=100e9))
    method = at.case.study.method("ta")
    one = at.merge_seconds(method, 3)
    assert one == pytest.approx((4 * 4 + 2) / 15)
    assert SweepMethod(at, method).seconds(3) == one + at.score_seconds


@pytest.mark.parametrize(
    ("size", "host_gb", "held"),
    [
        ("3b", 145, "float32"),  # 123.4 + 6.2 + 0.6 = 130.2 = 0.9 * 144.7
        ("3b", 144, "stored"),
        ("72b", 593, "stored"),  # on 3 GPUs: 1454.1 + 145.4 + 0.6 = 0.9 * 3 * 592.7
        ("72b", 592, "streamed"),
    ],
)
def test_the_host_s_memory_for_all_devices_of_a_job_less_a_tenth(size, host_gb, held):
    assert SweepSize(qwen(replace(H100, host_bytes=host_gb * 1e9)), size).holding == held


def test_streaming_reads_k_plus_one_checkpoints_for_every_merge():
    at = worked(replace(H100, host_bytes=4e9), ("mask_seeds", [0, 1]))
    rows = {row.method: row for row in Estimate(at.case).rows if row.rule == "chunk"}
    # three jobs of 3, 3 and 2 subsets: one base, three of k = 1, three of 2, one of 3
    assert rows["ta"].n_jobs == 3
    text = 3 * 5 * 4096 * 10
    assert rows["ta"].bytes_read == (1 + 3 * 2 + 3 * 3 + 4 + 3) * 2 * 10**9 + text
    assert rows["dare"].bytes_read == (2 * 20 + 3) * 2 * 10**9 + text


def test_a_held_pool_is_read_once_a_job_and_only_the_experts_of_its_chunk():
    at = worked(H100)
    row = next(row for row in Estimate(at.case).rows if row.rule == "chunk")
    models = [1 + len(chunk.experts) for chunk in chunks(at.case.study, "one")]
    assert models == [3, 4, 4]
    assert row.bytes_read == sum(models) * 2 * 10**9 + 3 * 5 * 4096 * 10


def test_a_trim_that_keeps_all_and_a_mask_that_drops_none_are_no_work():
    study = study_of(
        ("methods.2.parameters.density", 1.0),
        ("methods.3.parameters.drop_rate", 0.0),
    )
    assert [is_sparse(method) for method in study.methods] == [False] * 4
    assert [is_sparse(method) for method in study_of().methods] == [False, False, True, True]


def default_case():
    study = read_study(ROOT / "config" / "default.yaml")
    models = {
        size.name: SizeModel(shape_of_architecture(size.architecture, 512), 4.0, "x")
        for size in study.sizes
    }
    text = TextLength(27, 2686, 1762, 268_602.0, prepared=True)  # what its shards hold
    return Case(study, replace(CPU, host_bytes=20e9), text, models)


@pytest.mark.parametrize(
    ("size", "n_params", "measured"),
    [("w32", 41440, 7.3), ("w48", 80400, 9.5), ("w80", 195760, 14.7), ("w128", 462208, 21.3)],
)
def test_the_default_study_s_jobs_take_what_was_measured_within_a_factor(size, n_params, measured):
    """Mean over four methods of the seconds of 512 merges, on two cores: within 1.4 times."""
    case = default_case()
    assert case.sizes[size].shape.n_params == n_params
    rows = [r for r in Estimate(case).rows if r.rule == "chunk" and r.size == size]
    mean = sum(512 * (row.seconds_per_merge or 0.0) for row in rows) / 4
    assert measured / 1.4 < mean < measured * 1.4


def test_a_checkpoint_of_the_pool_takes_the_paper_s_seconds_at_its_bandwidth():
    """Table 13 of arXiv 2509.24244, Average, nine experts: 0.65 GB/s fits all but the smallest."""
    paper = {"1.5b": 73, "3b": 168, "7b": 265, "14b": 421, "32b": 843, "72b": 2280}
    found = Estimate(qwen(replace(H100, disk_bandwidth=0.65e9)))
    seconds = {row.size: row.job_seconds for row in found.cells if row.rule == "cell"}
    for size, expected in paper.items():
        assert expected / 1.6 < seconds[size] < expected * 1.6


TIMES = {
    "n_merges": 10, "merge_seconds": 20.0, "score_seconds": 30.0, "device": "cpu",
    "n_tokens": TEXT.n_tokens,
}  # fmt: skip
UNPREPARED = replace(TEXT, prepared=False)


def write_costs(paths, study, size, method, **facts):
    """Write the records of all chunks of a size and method, as jobs of this config would."""
    for chunk in chunks(study, size):
        targets = {"size": size, "method": method, "chunk": chunk.index}
        current = {"slice": fingerprint(study, "sweep", "chunk", **targets)}
        write_json(paths.chunk_cost(size, method, chunk.index), current | facts)


def test_measured_seconds_replace_estimated_ones_on_the_same_device(tmp_path):
    case, paths = ladder(), StudyPaths(tmp_path)
    write_costs(paths, case.study, "small", "ta", **TIMES)
    write_costs(paths, case.study, "large", "ta", **TIMES | {"n_merges": 0})  # all was resumed
    found, notes = measured_jobs(case.study, paths, CPU, TEXT)
    assert (list(found), notes) == ([("small", "ta")], [])
    rows = {
        (row.size, row.method): row
        for row in Estimate(replace(case, measured=found)).rows
        if row.rule == "chunk"
    }
    assert rows["small", "ta"].seconds_per_merge == 5.0
    assert [key for key, row in rows.items() if row.measured] == [("small", "ta")]
    assert "  5*  " in table_text(Estimate(replace(case, measured=found)))


def test_jobs_of_another_device_count_only_when_asked_for(tmp_path):
    case, paths = ladder(), StudyPaths(tmp_path)
    write_costs(paths, case.study, "small", "ta", **TIMES | {"device": "NVIDIA H200"})
    found, notes = measured_jobs(case.study, paths, CPU, TEXT)
    assert found == {}
    assert notes == ["jobs of this study were measured on NVIDIA H200; --measured uses their times"]
    found, notes = measured_jobs(case.study, paths, replace(CPU, any_device=True), TEXT)
    assert found["small", "ta"].seconds_per_merge(overlaps=True) == 3.0
    assert found["small", "ta"].n_jobs == len(chunks(case.study, "small")) == 2
    assert notes == []


def test_jobs_of_another_config_are_left_out_and_told(tmp_path):
    case, paths = ladder(), StudyPaths(tmp_path)
    write_costs(paths, study_of(("dtype", "bfloat16")), "small", "ta", **TIMES)
    write_costs(paths, case.study, "small", "average", **TIMES)
    older = {key: value for key, value in TIMES.items() if key != "n_tokens"}
    write_json(paths.chunk_cost("small", "dare", 0), older)  # no slice
    for text in (TEXT, UNPREPARED):
        found, notes = measured_jobs(case.study, paths, CPU, text)
        assert list(found) == [("small", "average")]
        assert len(notes) == 1
        assert notes[0].startswith("not counted as measured: 3 of 5 finished jobs of the sweep")


@pytest.mark.parametrize(
    ("text", "counts"),
    [
        (TEXT, True),
        (replace(TEXT, n_tokens=TEXT.n_tokens + 1), False),
        (replace(UNPREPARED, n_tokens=1), True),  # its length is not known
        (replace(UNPREPARED, changed=True), False),
    ],
)
def test_jobs_over_other_text_are_left_out(tmp_path, text, counts):
    case, paths = ladder(), StudyPaths(tmp_path)
    write_costs(paths, case.study, "small", "ta", **TIMES)
    found, notes = measured_jobs(case.study, paths, CPU, text)
    assert (list(found), len(notes)) == (([("small", "ta")], 0) if counts else ([], 1))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ('{"n_merges": 4, "merge', "no JSON: "),
        ("[1, 2]", "no JSON object"),
        ({"device": None}, "device = None: must be a device's name"),
        ({"merge_seconds": "2"}, "merge_seconds must be a number"),
        ({"n_merges": float("nan"), "score_seconds": -1}, "n_merges, score_seconds must be"),
    ],
)
def test_a_broken_record_is_named_with_the_way_out_and_the_others_count(tmp_path, content, why):
    case, paths = ladder(), StudyPaths(tmp_path)
    write_costs(paths, case.study, "small", "ta", **TIMES)
    path = paths.chunk_cost("small", "ta", 0)
    if isinstance(content, dict):
        content = json.dumps(json.loads(path.read_text()) | content)
    path.write_text(content)
    found, notes = measured_jobs(case.study, paths, CPU, TEXT)
    assert found["small", "ta"] == Measured(1, 10, 20.0, 30.0)
    assert len(notes) == 1
    assert notes[0].startswith(f"{path}: is no record of a finished job ({why}")
    assert notes[0].endswith("delete it, or run its job again")


@pytest.mark.parametrize(("n_jobs", "words"), [(1, "1 job"), (2, "2 jobs")])
def test_measured_jobs_are_counted_in_words(n_jobs, words):
    case = replace(ladder(), measured={("small", "ta"): Measured(n_jobs, 1, 1.0, 1.0)})
    said = Estimate(case).assumptions[-1]
    assert said == f"small, ta: seconds per merge measured in {words} of this study"


def write_contents(path, study, origin):
    """Write what the prepared shards hold: in each domain 4 items of 10 tokens."""
    rows = [
        dict.fromkeys(SHARDS, 0) | {"domain": domain, "n_items": 4, "n_tokens": 40, "n_scored": 30}
        for domain in study.domain_names
    ]
    write_table(path, pl.DataFrame(rows, schema=dict(SHARDS)), SHARDS, SHARDS_KEY, origin)


def test_prepared_text_is_counted_and_other_text_is_its_limit(tmp_path):
    study, path = study_of(), tmp_path / "contents.parquet"
    limit = text_length(study, path)
    assert (limit.n_tokens, limit.n_scored, limit.prepared) == (600, 600, False)
    assert limit.squared_lengths == 600 * 96
    write_contents(path, study, provenance(study, "data", "shards"))
    text = text_length(study, path)
    assert (text.n_items, text.n_tokens, text.n_scored) == (12, 120, 90)
    assert text.squared_lengths == 3 * 4 * 10**2
    assert (text.prepared, text.changed) == (True, False)


@pytest.mark.parametrize("told", [True, False])
def test_text_prepared_under_another_config_is_not_counted_and_told(tmp_path, told):
    study, path = study_of(("evaluation.tokens_per_domain", 2000)), tmp_path / "contents.parquet"
    write_contents(path, study, provenance(study_of(), "data", "shards") if told else {})
    text = text_length(study, path)
    assert text == replace(text_length(study, tmp_path / "none"), changed=True)
    assert text.n_tokens == 6000
    said = [note for note in Estimate(ladder(CPU, text)).notes if "is of another config" in note]
    assert len(said) == 1
    assert Estimate(ladder(CPU, replace(text, changed=False))).notes == []


def test_nonsense_is_refused_all_at_once():
    with pytest.raises(ConfigError) as error:
        Machine(DEVICES["cpu"], 1.2, -60, float("nan"), 0.0, float("inf"), 0)
    said = str(error.value)
    assert said.startswith("estimate: 6 problems")
    assert "--utilisation 1.2: must be above 0 and at most 1" in said
    for option in ("job-minutes -1", "host-memory nan", "bandwidth 0", "disk-bandwidth inf"):
        assert f"--{option}: must be a number above 0" in said


@pytest.mark.parametrize(
    ("value", "words"), [(999.4e12, "999 TB"), (1e15, "1 PB"), (5.43e9, "5.43 GB"), (0, "")]
)
def test_bytes_in_words(value, words):
    assert size_of(value) == words


def test_durations_in_words():
    said = [duration(s) for s in (119.9, 120, 7199, 7200, 172_800)]
    assert said == ["119.9 s", "2.0 min", "120.0 min", "2.0 h", "2.0 d"]
