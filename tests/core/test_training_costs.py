"""What trainings cost: memory and time by hand, steps, launch files, what jobs ask for."""

import math
from dataclasses import replace

import polars as pl
import pytest
import yaml

from mergelaw.config import parse_study, read_study
from mergelaw.config.launch import DeepSpeed, LaunchFile
from mergelaw.config.models import Architecture, ExpertTraining, Lora
from mergelaw.costs.devices import DEVICES
from mergelaw.costs.estimate import Estimate
from mergelaw.costs.inputs import Case, Machine, SizeModel, TextLength
from mergelaw.costs.machine_file import MachineFile
from mergelaw.costs.needs import Needs
from mergelaw.costs.shapes import ModelShape, assumed_shape, shape_of_architecture
from mergelaw.costs.sweep import SweepSize
from mergelaw.costs.training import PLAIN, TrainingJob, adapter_params
from mergelaw.costs.training_inputs import TrainingInputs, training_inputs
from mergelaw.costs.training_rows import (
    expert_job,
    multitask_job,
    snapshot_losses_row,
    training_row,
)
from mergelaw.costs.words import table_text
from mergelaw.errors import ConfigError
from mergelaw.paths import StudyPaths
from mergelaw.provenance import provenance
from mergelaw.tables import ITEMS, ITEMS_KEY, SHARDS, SHARDS_KEY, write_table
from tests.helpers import study_dict, study_of
from tests.workflow.workspace import ROOT

H100 = Machine(DEVICES["H100"], 0.4, 2400, 256e9, 50e9, 2e9)
CPU = Machine(DEVICES["cpu"], 0.4, 2400, 24e9, 15e9, 2e9)
NODE = MachineFile(device="H100", gpus_per_node=8, node_memory_gb=2000, cpus_per_gpu=6)
TEXT = TextLength(30, 3000, 3000, 3000.0, prepared=True)

N, LAYERS, WIDTH, WORDS = 10**9, 10, 1000, 10_000
SHAPE = ModelShape(N, N - WIDTH * WORDS, LAYERS, WIDTH, WORDS)
TOKENS = 4 * 1000
"""Tokens of a forward pass: four items of a thousand."""


def zero(processes=4, *, offload=False, offload_param=False, use_cpu=False):
    devices = {True: "cpu", False: "none"}
    deepspeed = DeepSpeed(
        zero_stage=3,
        offload_optimizer_device=devices[offload],
        offload_param_device=devices[offload_param],
    )
    return LaunchFile(num_processes=processes, use_cpu=use_cpu, deepspeed_config=deepspeed)


def job(launch=PLAIN, n_steps=100, n_tokens=16_000.0, **settings):
    usual = {"batch_rows": 16, "micro_batch_rows": 4, "max_length": 1000}
    chosen = ExpertTraining(**usual | settings)
    return TrainingJob(SHAPE, chosen, launch, n_steps, n_tokens, 16 * 1000.0**2)


LOGITS = 12 * TOKENS * WORDS
KEPT = 20 * LAYERS * TOKENS * WIDTH
"""Entries of all activations of a forward pass."""


def test_a_plain_process_holds_model_gradients_and_moments_and_all_activations():
    assert job().process_bytes == (4 + 4 + 8) * N + 4 * KEPT + LOGITS
    mixed = job(precision="bfloat16")
    assert mixed.process_bytes == (4 + 2 + 4 + 8) * N + 2 * KEPT + LOGITS
    assert mixed.host_bytes(on_gpus=True) == 600_000_000 + 4 * N
    assert mixed.host_bytes(on_gpus=False) == 600_000_000 + mixed.process_bytes


def test_checkpointing_keeps_a_vector_a_layer_and_token_and_one_layer():
    found = job(gradient_checkpointing=True)
    assert found.process_bytes == 16 * N + 4 * (LAYERS + 20) * TOKENS * WIDTH + LOGITS


def test_no_more_logits_than_a_chunk_at_once():
    shape = replace(SHAPE, vocabulary=150_000)
    assert replace(job(), shape=shape).activation_bytes == 4 * KEPT + 12 * 2**26


def test_packed_rows_have_a_mask_but_under_flash_attention():
    packed = job(precision="bfloat16", pack=True)
    assert packed.activation_bytes == 2 * KEPT + LOGITS + 3 * 4 * 1000**2
    flash = job(precision="bfloat16", pack=True, attention="flash_attention_2")
    assert flash.activation_bytes == 2 * KEPT + LOGITS


@pytest.mark.parametrize(
    ("processes", "micro", "rows"), [(1, None, 16), (4, None, 4), (4, 3, 3), (32, None, 1)]
)
def test_a_forward_pass_has_the_micro_batch_of_one_process(processes, micro, rows):
    launch = LaunchFile(num_processes=processes)
    assert job(launch, micro_batch_rows=micro).micro_rows == rows


def test_zero_shares_out_states_gradients_and_weights():
    """Rajbhandari et al. 2020, Figure 1, with float32 gradients; it also gathers weights."""
    found = job(zero(4), precision="bfloat16")
    gathered = 2 * (N + (N - WIDTH * WORDS) // LAYERS)
    assert found.process_bytes == 18 / 4 * N + gathered + 2 * KEPT + LOGITS


@pytest.mark.parametrize(("offload", "per_gpu"), [(True, 2), (False, 18)])
def test_shares_are_those_of_deepspeed_s_own_estimator(offload, per_gpu):
    """estimate_zero3_model_states_mem_needs: 2 or 18 N / GPUs, and 4 for the largest layer.

    Its host has 16 N to 24 N, the buffers that it adds.
    """
    shape = ModelShape(60_506_624, 60_506_624 - 16_449_536, 12, 512, 32_128)  # t5-small
    found = replace(job(zero(1, offload=offload), precision="bfloat16"), shape=shape)
    states = found.process_bytes - found.activation_bytes
    assert states == pytest.approx(
        per_gpu * shape.n_params + 2 * shape.n_params + 2 * 16_449_536, abs=1
    )  # as so small a model is gathered as a whole
    if offload:
        assert 16 <= found.offloaded_bytes / shape.n_params <= 24


def test_large_models_are_gathered_a_billion_weights_at_a_time():
    shape = ModelShape(72 * 10**9, 70 * 10**9, 100, 8000, 150_000)
    found = replace(job(zero(8, offload=True), precision="bfloat16"), shape=shape)
    largest = 8000 * 150_000  # the head, larger than a layer and than 10^9
    states = found.process_bytes - found.activation_bytes
    assert states == 2 * shape.n_params / 8 + 2 * (largest + largest)


def test_offloaded_states_and_weights_are_in_the_host_s_memory():
    found = job(zero(offload=True), precision="bfloat16")
    process = (4 + 1) * 600_000_000  # and the one that starts the four
    assert found.host_bytes(on_gpus=True) == process + 2 * N + (12 + 8) * N
    both = job(zero(offload=True, offload_param=True), precision="bfloat16")
    assert both.host_bytes(on_gpus=True) == process + 2 * N + (12 + 8 + 2) * N
    assert both.process_bytes == found.process_bytes - 2 * N // 4


def test_adapters_alone_have_gradients_and_states():
    lora = Lora(rank=8)
    adapters = adapter_params(SHAPE, lora)
    found = job(lora=lora)
    assert found.trained == adapters
    assert found.process_bytes == 4 * N + 12 * adapters + 4 * KEPT + LOGITS
    assert found.saved_bytes == 12 * adapters
    assert found.model_bytes == 4 * N, "they are merged into the saved expert"


def test_adapters_are_counted_as_peft_counts_them():
    peft = pytest.importorskip("peft")
    from transformers import Qwen2Config, Qwen2ForCausalLM

    model = Qwen2ForCausalLM(
        Qwen2Config(
            hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
            intermediate_size=48, vocab_size=50, tie_word_embeddings=True,
        )
    )  # fmt: skip
    adapted = peft.get_peft_model(model, peft.LoraConfig(r=4, target_modules="all-linear"))
    expected = sum(p.numel() for p in adapted.parameters() if p.requires_grad)
    architecture = Architecture(hidden_size=32, layers=2, heads=4, kv_heads=2, intermediate_size=48)
    found = adapter_params(shape_of_architecture(architecture, 50), Lora(rank=4))
    assert expected <= found < 1.02 * expected, "norms and biases count with the linear layers"


@pytest.mark.parametrize(
    ("settings", "weights", "attention"),
    [
        ({}, 6, 3),
        ({"gradient_checkpointing": True}, 8, 4),
        ({"lora": Lora(rank=1)}, 4, 3),
        ({"lora": Lora(rank=1), "gradient_checkpointing": True}, 6, 4),
    ],
)
def test_operations_of_a_training(settings, weights, attention):
    squares = 16 * 1000**2
    per_step = weights * N * 16_000 + attention * 4 * LAYERS * WIDTH * squares
    assert job(**settings).flops == 100 * per_step


def test_seconds_of_a_training_worked_by_hand():
    """Eight H100 at 40% of the bfloat16 peak; AdamW by the cores of eight GPUs, over PCIe."""
    found = job(zero(8, offload=True), precision="bfloat16", micro_batch_rows=1)
    computing = found.flops / 8 / (0.4 * 989.4e12)
    adam = 28 * N / (8 * 50e9) + (2 + 2) * N / (8 * 64e9)
    assert found.work_seconds(H100) == pytest.approx(computing + 100 * adam)
    shared = job(zero(8), precision="bfloat16", micro_batch_rows=1)
    assert shared.work_seconds(H100) == pytest.approx(computing + 100 * 28 * N / (8 * 3.35e12))


def test_precision_decides_the_peak_and_a_cpu_adds_its_launches():
    adam = 100 * 28 * N / 3.35e12
    fast, slow = (job(precision=p).work_seconds(H100) - adam for p in ("bfloat16", "float32"))
    assert slow / fast == pytest.approx(989.4 / 66.9)
    launches = 3 * 4 * 100 * LAYERS * 1.5e-3  # four forward passes a step, each with its backward
    expected = job().flops / (0.4 * 170e9) + launches + 100 * 28 * N / 15e9
    assert job().work_seconds(CPU) == pytest.approx(expected)


def test_processes_without_rows_wait_for_those_with_some():
    """Sixteen rows over eight processes, and over six; packed to a row each, over eight."""
    busy, idle, packed = (
        found.work_seconds(H100) - 100 * 28 * N / (found.launch.num_processes * 3.35e12)
        for found in (
            job(zero(8), precision="bfloat16"),
            job(zero(6), precision="bfloat16"),
            job(zero(8), precision="bfloat16", pack=True, max_length=4000),
        )
    )
    assert idle / busy == pytest.approx(3 / 2)
    assert packed == pytest.approx(busy)


def test_short_forward_passes_of_a_gpu_take_their_launches():
    tiny = replace(job(micro_batch_rows=1), shape=ModelShape(1000, 900, 50, 10, 10))
    assert tiny.work_seconds(H100) == pytest.approx(3 * 16 * 100 * 50 * 5e-4, rel=1e-3)
    packed = replace(
        job(micro_batch_rows=1, pack=True, n_tokens=3500.0), shape=tiny.shape
    )  # in four rows
    assert packed.work_seconds(H100) == pytest.approx(3 * 4 * 100 * 50 * 5e-4, rel=1e-3)


def case_of(study, machine=CPU, known=None):
    models = {
        size.name: SizeModel(
            shape_of_architecture(size.architecture, 300)
            if size.architecture
            else assumed_shape(size.n_params),
            2.0,
            "x",
        )
        for size in study.sizes
    }
    return Case(study, machine, TEXT, models, training=known or TrainingInputs())


EPOCHS = (("training.expert.epochs", 2.5), ("training.expert.steps", None))


def test_steps_of_epochs_are_those_over_the_items_that_the_source_states():
    at = SweepSize(case_of(study_of(*EPOCHS)), "small")
    assert expert_job(at, "code").n_steps == math.ceil(2.5 * 24 / 4), "0.4 of 60 items"
    row = training_row(at, "expert", ["algebra", "code"])
    assert row.flops == 2 * 15 * expert_job(at, "code").flops / 15
    assert row.n_jobs == 2


@pytest.mark.parametrize("n_items", [1, 7, 8, 24, 8000])
def test_steps_are_those_that_the_training_makes(n_items):
    known = TrainingInputs(n_items={"code": n_items})
    case = case_of(study_of(*EPOCHS), known=known)
    settings = case.study.training.expert
    assert expert_job(SweepSize(case, "small"), "code").n_steps == settings.n_steps(n_items)


def test_items_are_assumed_where_nothing_says_how_many_and_told(tmp_path):
    source = {"kind": "files", "files": ["code.json"]}
    study = study_of(*EPOCHS, ("domains.2.source", source))
    case = case_of(study)
    at = SweepSize(case, "small")
    assert expert_job(at, "code").n_steps == 2.5 * 8000 / 4, "0.4 of the paper's 20,000"
    row = training_row(at, "expert", ["algebra", "code"])
    assert row.longest_job_seconds == training_row(at, "expert", ["code"]).longest_job_seconds
    said = [line for line in Estimate(case).assumptions if line.startswith("items of an epoch")]
    assert [line.partition(" (")[0] for line in said] == [
        "items of an epoch: 24 in 2 of 3 domains",
        "items of an epoch: 8,000 in 1 of 3 domains",
    ]


def write_items(study, paths, domain, n_train, origin):
    rows = [
        {"item_id": f"{i}", "split": "train" if i < n_train else "heldout", "place": "x"}
        for i in range(n_train + 5)
    ]
    frame = pl.DataFrame([row | {"messages": [], "plain": "x"} for row in rows], schema=dict(ITEMS))
    write_table(paths.items(domain), frame, ITEMS, ITEMS_KEY, origin)


def test_prepared_items_are_counted_and_those_of_another_config_are_not(tmp_path):
    study, paths = study_of(*EPOCHS), StudyPaths(tmp_path)
    write_items(study, paths, "code", 40, provenance(study, "data", "items", domain="code"))
    other = study_of(("seed", 1))
    write_items(study, paths, "biology", 40, provenance(other, "data", "items", domain="biology"))
    known = training_inputs(study, paths, ROOT)
    assert known.n_items == {"code": 40}
    at = SweepSize(case_of(study, known=known), "small")
    assert expert_job(at, "code").n_steps == 25
    assert expert_job(at, "biology").n_steps == 15


def test_packed_items_are_as_long_as_held_out_ones_where_these_are_prepared(tmp_path):
    study, paths = study_of(("training.expert.pack", True)), StudyPaths(tmp_path)
    rows = [
        dict.fromkeys(SHARDS, 0)
        | {"domain": name, "n_items": 4, "n_tokens": tokens, "n_truncated": cut}
        for name, tokens, cut in (("algebra", 100, 20), ("biology", 300, 400), ("code", 40, 0))
    ]
    origin = provenance(study, "data", "shards")
    frame = pl.DataFrame(rows, schema=dict(SHARDS))
    write_table(paths.shard_contents, frame, SHARDS, SHARDS_KEY, origin)
    known = training_inputs(study, paths, ROOT)
    at = SweepSize(case_of(study, known=known), "small")
    lengths = {name: expert_job(at, name).n_tokens / 4 for name in study.expert_names}
    assert lengths == {"algebra": 30, "biology": 96, "code": 10}, "at most max_length"
    padded = SweepSize(case_of(study_of(), known=known), "small")
    assert expert_job(padded, "code").n_tokens == 4 * 96
    words = Estimate(at.case).assumptions
    assert "training items: as long as held-out ones, 10 to 175 tokens on average" in words


def test_the_multitask_baseline_has_the_steps_of_all_its_experts():
    study = study_of(*EPOCHS, ("multitask", {"experts": ["algebra", "code"]}))
    known = TrainingInputs(n_items={"algebra": 40, "code": 8})
    at = SweepSize(case_of(study, known=known), "small")
    assert multitask_job(at).n_steps == 25 + 5
    alone = sum(expert_job(at, name).flops for name in ("algebra", "code"))
    assert multitask_job(at).flops == pytest.approx(alone)


def test_experts_along_their_training_are_scored_on_their_own_domain():
    study = study_of(("training.expert.snapshots", [0.25, 0.5]))
    at = SweepSize(case_of(study), "small")
    row = snapshot_losses_row(at)
    texts = 3 * (1 + 3)  # the base, and each expert thrice, on one domain of three
    assert row.flops == pytest.approx(at.flops * texts / 3)
    assert row.bytes_read == 4 * at.n_params * (1 + 3 * 3)
    kept = training_row(at, "expert", ["code"]).bytes_written
    assert (
        kept
        == 3
        * training_row(SweepSize(case_of(study_of()), "small"), "expert", ["code"]).bytes_written
    )


def test_further_settings_train_experts_and_no_base():
    changes = ("training.settings", [{"name": "more", "steps": 9}, {"name": "half", "steps": 1}])
    rows = Estimate(case_of(study_of(changes))).rows
    assert [row.size for row in rows if row.rule == "base"] == ["small", "large"]
    found = {row.size: row.flops for row in rows if row.rule == "expert"}
    assert found["small@more"] == 3 * found["small"] == 9 * found["small@half"]
    assert [plan.size for plan in Estimate(case_of(study_of(changes))).plans] == ["small", "large"]


GIVEN = {"algebra": "org/algebra", "biology": "org/biology"}


def launched(launch=None, n_params=10**10, machine=H100, settings=None, **keys):
    """One given base; `code` is trained, by a launch file where one is given."""
    size = {"name": "one", "base": "org/one", "n_params": n_params, "experts": GIVEN} | keys
    known = TrainingInputs()
    if launch is not None:
        size["launch"] = "own.yaml"
        known = TrainingInputs(launches={"own.yaml": launch})
    raw = study_dict(("sizes", [size]), ("tokenizer", {"path": "org/one"}))
    raw["training"]["expert"] |= settings or {}
    return case_of(parse_study(raw), machine, known)


def expert_row(case):
    return training_row(SweepSize(case, "one"), "expert", ["code"])


def test_a_job_has_the_devices_of_its_launch_file():
    assert expert_row(launched()).devices_per_job == 1
    assert expert_row(launched(zero(8))).devices_per_job == 8
    assert expert_row(launched(zero(2, use_cpu=True))).devices_per_job == 0
    on_cpu = expert_row(launched(zero(2, use_cpu=True), machine=CPU))
    assert (on_cpu.devices_per_job, on_cpu.device_bytes, on_cpu.n_processes) == (1, 0, 2)


def cannot(case):
    return [note for note in Estimate(case).notes if "cannot be trained here" in note]


def test_training_beyond_one_device_is_told_with_the_ways_out():
    (said,) = cannot(launched())
    assert "expert at one cannot be trained here, though the totals count it" in said
    needed = 16 * 10**10 + 4 * 20 * 37 * 384 * 4743 + 12 * 384 * 152_064  # 37 layers are assumed
    assert f"it needs {needed / 1e9:.1f} GB of each H100, which has 80; what helps: " in said
    assert said.split("what helps: ")[1].split("; ") == [
        "`launch: workflow/launch/zero3.yaml` of the size, which shares it out over a node's GPUs",
        "training.expert.gradient_checkpointing: true",
        "a lower training.expert.micro_batch_rows",
        "a lower max_length",
        "a finished checkpoint under sizes[].experts",
    ]
    assert cannot(launched(n_params=10**9)) == []


def test_a_launch_file_makes_it_possible_and_a_weaker_one_is_told_how():
    bfloat16 = {"precision": "bfloat16"}
    assert cannot(launched(zero(8, offload=True), settings=bfloat16)) == []
    (said,) = cannot(launched(zero(8), 6 * 10**10, settings=bfloat16))
    assert "what helps: offload_optimizer_device: cpu in own.yaml; " in said


def test_a_launch_file_for_gpus_is_told_on_a_machine_without():
    (said,) = cannot(launched(zero(8), n_params=10**8, machine=CPU))
    assert "its launch file own.yaml is for 8 GPUs, and cpu has none" in said
    assert "`launch: workflow/launch/zero3_cpu.yaml`" in said


def test_more_host_memory_than_there_is_is_told():
    case = launched(zero(8, offload=True), settings={"precision": "bfloat16"})
    small = replace(case, machine=replace(H100, host_bytes=25e9))
    (said,) = cannot(small)
    assert "it needs 225.4 GB of host memory, and has 200.0 (--host-memory)" in said


def test_training_longer_than_a_job_may_be_goes_on_and_is_told():
    case = launched(zero(8, offload=True), settings={"precision": "bfloat16", "steps": 10**6})
    hours = expert_row(case).longest_job_seconds / 3600
    limited = replace(case, machine=replace(H100, longest_seconds=3600.0 * hours / 2.5))
    notes = [note for note in Estimate(limited).notes if "goes on from its last checkpoint" in note]
    assert len(notes) == 1
    assert notes[0].endswith("in 3 jobs; give the profile `retries: 2` or more")


def test_checkpoints_take_their_time():
    """A state has 12 bytes a parameter: 120 GB at 2 GB/s, after each 15 minutes of work."""
    often, seldom = (
        expert_row(launched(settings={"steps": 10**5, "save_minutes": minutes}))
        for minutes in (15, 10**6)
    )
    work = seldom.longest_job_seconds - 5 - 2e10 / 2e9 - 4e10 / 2e9
    saves = work // (15 * 60)
    assert saves > 10
    assert often.longest_job_seconds - seldom.longest_job_seconds == pytest.approx(60 * saves)
    assert often.least_seconds == pytest.approx(5 + 10 + 900 + 60)


def needs_of(study, node=NODE):
    return Needs(study, StudyPaths.of(study), node, "machine.yaml", str(ROOT))


def shipped(**training):
    raw = yaml.safe_load((ROOT / "config" / "qwen2.5.yaml").read_text(encoding="utf-8"))
    raw["training"]["expert"] |= training
    return parse_study(raw)


def asked(study, rule="expert", size="72b", node=NODE):
    return needs_of(study, node).of(rule, {"size": size, "expert": "algebra"})


def refused(study, node=NODE, rule="expert", size="72b"):
    with pytest.raises(ConfigError) as error:
        asked(study, rule, size, node)
    headline, *found = str(error.value).split("\n  - ")
    assert headline.startswith(f"machine.yaml: cannot run jobs of rule {rule}: {len(found)} ")
    return found


def test_the_paper_s_experts_and_baseline_ask_for_a_node_s_gpus(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # the launch file is the project's
    study = read_study(ROOT / "config" / "qwen2.5.yaml")
    for rule in ("expert", "multitask"):
        found = asked(study, rule, "0.5b")
        assert (found["gpu"], found["threads"]) == (8, 48)
    assert asked(study)["mem_mb"] > 20 * 72_706 / 0.9
    assert asked(study, "multitask_losses", "0.5b")["gpu"] == 1


def test_a_training_s_memory_is_asked_for_with_a_driver_a_process():
    n_params = 494_032_768
    host = (8 + 1) * 0.6e9 + 2 * n_params + 20 * n_params
    found = asked(shipped(), size="0.5b")["mem_mb"]
    assert found == 100 * math.ceil((host + 0.5e9 + 8 * 2e9) / 0.9 / 1e8)


def test_fewer_gpus_than_the_launch_file_asks_for_are_refused_with_the_way_out():
    found = refused(shipped(), NODE.model_copy(update={"gpus_per_node": 4}))
    assert len(found) == 7
    assert found[0] == (
        "size 0.5b: it needs 8 H100 at once, and a node has 4 (gpus_per_node): lower num_processes "
        "in its launch file workflow/launch/zero3.yaml"
    )


def test_what_one_process_cannot_hold_is_refused_and_given_experts_are_not():
    raw = yaml.safe_load((ROOT / "config" / "qwen2.5.yaml").read_text(encoding="utf-8"))
    for size in raw["sizes"]:
        del size["launch"]
    raw["sizes"][-1]["experts"] = {"algebra": "org/finished"}
    found = refused(parse_study(raw), size="32b")
    assert [line.split(":")[0] for line in found] == [f"size {n}" for n in ("7b", "14b", "32b")]
    assert "`launch: workflow/launch/zero3.yaml` of the size" in found[0]


def test_a_training_longer_than_the_partition_grants_asks_for_all_of_it():
    node = NODE.model_copy(update={"longest_hours": 12})
    assert asked(shipped(), node=node)["runtime"] == 12 * 60
    assert asked(shipped(), size="0.5b", node=node)["runtime"] < 12 * 60


def test_a_training_that_never_reaches_a_checkpoint_is_refused():
    """At 72b: an hour of work, then a state of 0.87 TB at 2 GB/s."""
    node = NODE.model_copy(update={"longest_hours": 1})
    found = refused(shipped(), node)
    minutes = 60 + (5 + 2 * 72.706 / 2 + 12 * 72.706 / 2) / 60
    assert found[-1].startswith("size 72b: its first checkpoint, from which it would go on")
    assert f" comes after {minutes:.0f} minutes, and the partition grants 1 hours" in found[-1]
    assert found[-1].endswith("lower training.expert.save_minutes")
    assert asked(shipped(save_minutes=20), node=node)["runtime"] == 60


def test_launch_files_that_are_missing_are_all_told():
    raw = yaml.safe_load((ROOT / "config" / "qwen2.5.yaml").read_text(encoding="utf-8"))
    raw["sizes"][0]["launch"], raw["sizes"][2]["launch"] = "none.yaml", "neither.yaml"
    with pytest.raises(ConfigError) as error:
        needs_of(parse_study(raw)).of("expert", {"size": "0.5b", "expert": "algebra"})
    said = str(error.value)
    assert said.startswith("launch files: 2 problems")
    assert "sizes[0].launch: " in said
    assert "sizes[2].launch: " in said


def test_a_study_that_trains_nothing_reads_no_launch_file():
    size = {"launch": "none.yaml", "experts": GIVEN | {"code": "org/code"}}
    study = launched(**size).study
    assert training_inputs(study, StudyPaths.of(study), ROOT) == TrainingInputs()


LENGTHS = {"3,600": 3600.0, "16,384": 16384.0}
"""Tokens of the problems of the paper's published samples, about, and of its longest items."""


def shipped_sizes(length):
    """The paper's study on H100, with items of so many tokens."""
    study = read_study(ROOT / "config" / "qwen2.5.yaml")
    known = training_inputs(study, StudyPaths.of(study), ROOT)
    known = replace(known, item_tokens=dict.fromkeys(study.domain_names, length))
    case = case_of(study, H100, known)
    return {name: SweepSize(case, name) for name in study.size_names}


@pytest.mark.parametrize(("length", "factor"), [("3,600", 1.5), ("16,384", 3)])
def test_the_paper_s_multitask_training_takes_hours_of_the_paper_s_order(length, factor):
    """About 1,300 GPU-hours of H800 at 72B (its Figure 2)."""
    at = shipped_sizes(LENGTHS[length])["72b"]
    hours = training_row(at, "multitask").device_seconds / 3600
    assert 1300 / factor < hours < 1300 * factor


def page(name):
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def hours_of_nine(at):
    return training_row(at, "expert", at.case.study.expert_names).device_seconds / 3600


def test_the_hours_of_training_in_the_docs_are_those_of_the_shipped_config():
    short, long = (shipped_sizes(length) for length in LENGTHS.values())
    all_short, all_long = (sum(map(hours_of_nine, sizes.values())) for sizes in (short, long))
    baseline = training_row(short["72b"], "multitask").device_seconds / 3600
    told = " ".join(page("estimate.md").split())
    assert f"Training takes {all_long:,.0f} GPU-hours of these" in told
    assert f"have, {all_short:,.0f}, in rows of two items" in told
    assert f"at 72b then takes {baseline:,.0f} GPU-hours" in told
    assert f"{all_short:,.0f} GPU-hours in place of {all_long:,.0f}" in page("studies.md")


@pytest.mark.parametrize("size", ["0.5b", "1.5b", "3b", "7b", "14b", "32b", "72b"])
def test_the_table_of_trainings_in_the_docs_is_the_estimate_s(size):
    at = shipped_sizes(LENGTHS["16,384"])[size]
    row = training_row(at, "expert", at.case.study.expert_names)
    cells = (
        f"{row.longest_job_seconds / 3600:.1f}",
        f"{hours_of_nine(at):,.0f}",
        f"{row.device_bytes / 1e9:.0f} GB",
        f"{row.host_bytes / 1e9:,.0f} GB",
    )
    assert f"| {size} | {' | '.join(cells)} |" in page("studies.md")


def test_a_training_is_in_the_table():
    case = launched(zero(8, offload=True), settings={"precision": "bfloat16"})
    (line,) = (line for line in table_text(Estimate(case)).splitlines() if line[:6] == "expert")
    assert line.split()[1:3] == ["one", "1"]
    assert " 8 " in line
