"""The merge stage: it writes what the sweep scores, bit for bit, and goes on after a kill."""

import json
import logging
import multiprocessing
import os
import shutil
import signal
import time
import warnings

import numpy as np
import polars as pl
import pytest
import torch
import transformers
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from mergelaw.cells import cell
from mergelaw.checkpoints import journal
from mergelaw.checkpoints.store import TensorStore
from mergelaw.checkpoints.writer import CheckpointWriter
from mergelaw.config.methods import METHODS
from mergelaw.costs.memory import HOLDINGS, Holding
from mergelaw.errors import CheckpointError, ConfigError
from mergelaw.merging.methods import recipe
from mergelaw.merging.stage import write_cell, write_pool_statistics
from mergelaw.merging.task_vectors import TaskVectors
from mergelaw.paths import StudyPaths
from mergelaw.provenance import fingerprint
from mergelaw.sweep.engine import Engine
from mergelaw.tables import (
    ALL_TENSORS,
    MERGED_TENSORS,
    TASK_VECTORS,
    read_provenance,
    read_table,
)
from tests.given import EXPERTS, given_study, write_models
from tests.helpers import edit_weights

VARIANTS = {
    "ties_tensor": ("ties", {"density": 0.4, "scope": "tensor", "keep": "threshold"}),
    "ties_majority": ("ties", {"density": 0.3, "zero_sign": "majority"}),
    "dare_l1": ("dare", {"drop_rate": 0.4, "rescale": "l1"}),
    "della_l1": ("della", {"rescale": "l1"}),
    "sce_half": ("sce", {"density": 0.5}),
    "karcher_vectors": ("karcher", {"space": "task_vectors"}),
    "weighted": ("average", {"weight": {"algebra": 2.0, "biology": 0.5, "code": -1.0}}),
}
SETTINGS = {name: (name, {}) for name in METHODS} | VARIANTS


def entry(label: str) -> dict:
    method, parameters = SETTINGS[label]
    return {"label": label, "method": method, "parameters": parameters}


def study_with(folder, *labels: str, **changes):
    """Return a study of methods, whose design has only such k as they all take."""
    ks = [k for k in (1, 2, 3) if all(_takes(label, k) for label in labels)]
    design = {"design": [{"kind": "exhaustive", "k": ks}]}
    return given_study(folder, [entry(n) for n in labels], *(design | changes).items())


def _takes(label: str, k: int) -> bool:
    least, most = METHODS[SETTINGS[label][0]].k_range
    return least <= k <= (most or k)


def most_of(label: str) -> str:
    """Return the largest subset that a method takes; a single one is the adapter."""
    k = max(k for k in (1, 2, 3) if _takes(label, k))
    return {1: "biology", 2: "biology+code", 3: "+".join(EXPERTS)}[k]


@pytest.fixture(scope="module")
def models(tmp_path_factory, tokenizer):
    return write_models(tmp_path_factory.mktemp("models"), tokenizer)


@pytest.fixture(scope="module")
def bfloat16_models(tmp_path_factory, tokenizer):
    return write_models(tmp_path_factory.mktemp("models16"), tokenizer, torch.bfloat16)


def scored_weights(study, method: str, name: str, holding: Holding | None = None) -> torch.Tensor:
    """Return what lies in the sweep's live model when it scores a cell."""
    size, found = study.size("own"), cell(study, "own", method, name)
    with Engine.open(study, size.base, {e: size.experts[e] for e in EXPERTS}, holding) as engine:
        engine.use(recipe(study.method(method), f"{study.seed}/{found.mask_seed}"))
        engine.merge(found.subset.experts)
        return engine.live.weights


def written(study, paths, method: str, name: str) -> torch.Tensor:
    """Return the weights of a cell's checkpoint in the same order."""
    folder = write_cell(study, paths, cell(study, "own", method, name))
    assert folder == paths.merged("own", method, name)
    tensors = load_file(folder / "model.safetensors")
    return torch.cat([tensors[name].flatten() for name in sorted(tensors)])


def bits(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.view(torch.int32 if tensor.dtype == torch.float32 else torch.int16)


@pytest.mark.parametrize("accumulate", ["float32", "sequential_bfloat16"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("label", SETTINGS)
def test_a_checkpoint_is_what_the_sweep_scores(
    models, bfloat16_models, tmp_path, label, dtype, accumulate
):
    folder = models if dtype == "float32" else bfloat16_models
    study = study_with(folder, label, dtype=dtype, accumulate=accumulate, seed=3)
    found = written(study, StudyPaths(tmp_path), label, most_of(label))
    assert found.dtype == getattr(torch, dtype)
    for holding in HOLDINGS:
        scored = scored_weights(study, label, most_of(label), holding)
        assert torch.equal(bits(found), bits(scored)), holding
    base = load_file(folder / "base" / "model.safetensors")
    flat = torch.cat([base[name].flatten() for name in sorted(base)])
    assert (found != flat.to(found.dtype)).float().mean() > 0.05


@pytest.mark.parametrize("label", METHODS)
def test_the_base_is_a_cell_of_every_method(models, tmp_path, label):
    study = study_with(models, label, dtype="bfloat16")
    found = written(study, StudyPaths(tmp_path), label, "base")
    base = load_file(models / "base" / "model.safetensors")
    flat = torch.cat([base[name].flatten() for name in sorted(base)])
    assert torch.equal(bits(found), bits(flat.bfloat16()))
    assert torch.equal(bits(found), bits(scored_weights(study, label, "base")))


def test_a_single_expert_is_itself(models, tmp_path):
    study = study_with(models, "average")
    written(study, StudyPaths(tmp_path), "average", "algebra")
    tensors = load_file(tmp_path / "merge" / "own" / "average" / "algebra" / "model.safetensors")
    expert = load_file(models / "algebra" / "model.safetensors")
    assert tensors.keys() == expert.keys()
    for name, tensor in expert.items():
        torch.testing.assert_close(tensors[name], tensor, rtol=0, atol=1e-7)


def test_mask_seeds_have_checkpoints_of_their_own(models, tmp_path):
    study = study_with(models, "dare", mask_seeds=[4, 9])
    cells = [
        written(study, StudyPaths(tmp_path), "dare", name)
        for name in ("algebra+code", "algebra+code~mask9")
    ]
    assert not torch.equal(*cells)
    for found, name in zip(cells, ("algebra+code", "algebra+code~mask9"), strict=True):
        assert torch.equal(bits(found), bits(scored_weights(study, "dare", name)))


class Heard(logging.Handler):
    def __init__(self):
        super().__init__(logging.WARNING)
        self.lines = []

    def emit(self, record):
        self.lines.append(record.getMessage())


@pytest.mark.parametrize("name", ["base", "algebra+biology+code"])
def test_it_loads_with_transformers_without_a_warning(models, tmp_path, name):
    study = study_with(models, "ties", dtype="bfloat16")
    folder = write_cell(study, StudyPaths(tmp_path), cell(study, "own", "ties", name))
    heard = Heard()
    transformers.logging.get_logger().addHandler(heard)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            model, found = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
            tokenizer = AutoTokenizer.from_pretrained(folder)
    finally:
        transformers.logging.get_logger().removeHandler(heard)
    assert heard.lines == []
    assert not any(found.values())
    assert model.dtype == torch.bfloat16
    theirs = AutoTokenizer.from_pretrained(models / "base")
    assert tokenizer("Add 12 and 7").input_ids == theirs("Add 12 and 7").input_ids
    assert tokenizer.chat_template == theirs.chat_template


def test_what_it_cost_lies_beside_the_folder(models, tmp_path):
    study = study_with(models, "dare", mask_seeds=[1])
    write_cell(study, StudyPaths(tmp_path), cell(study, "own", "dare", "algebra"))
    assert sorted(os.listdir(tmp_path / "merge" / "own" / "dare")) == [
        "algebra",
        "algebra.cost.json",
    ]
    cost = json.loads(StudyPaths(tmp_path).merged_cost("own", "dare", "algebra").read_text())
    assert (cost["stage"], cost["size"], cost["method"]) == ("merge", "own", "dare")
    assert (cost["subset"], cost["mask_seed"]) == ("algebra", 1)
    assert cost["bytes_written"] == 4 * cost["n_params"] > 4 * 10**5
    assert cost["n_merges"] == 1
    assert 0 < cost["merge_seconds"] <= cost["wall_seconds"]
    assert cost["device_hours"] == {}, "no model was run"


def test_a_folder_that_exists_is_not_written_over(models, tmp_path):
    study, paths = study_with(models, "average"), StudyPaths(tmp_path)
    merge = cell(study, "own", "average", "algebra+code")
    (write_cell(study, paths, merge) / "mine.txt").write_text("x")
    with pytest.raises(CheckpointError, match=r"algebra\+code.* exists"):
        write_cell(study, paths, merge)
    assert (paths.merged("own", "average", "algebra+code") / "mine.txt").exists()


@pytest.mark.parametrize("check", ["strict", "report"])
def test_an_expert_of_another_base_is_refused_or_told(models, tmp_path, tokenizer, capsys, check):
    folder = write_models(tmp_path / "own", tokenizer)
    (folder / "algebra" / "README.md").write_text("---\nbase_model: org/other\n---\n")
    lineage = {"check": check, "reason": "the card is wrong"}
    study = study_with(folder, "average", lineage=lineage)
    merge, paths = cell(study, "own", "average", "algebra"), StudyPaths(tmp_path)
    if check == "strict":
        with pytest.raises(CheckpointError, match="'algebra' says that it was made from 'org/oth"):
            write_cell(study, paths, merge)
        with pytest.raises(CheckpointError, match="'algebra' says that it was made from 'org/oth"):
            write_pool_statistics(study, paths, "own")
    else:
        write_cell(study, paths, merge)
        write_pool_statistics(study, paths, "own")
        told = capsys.readouterr().err
        assert told.count("note: expert 'algebra' says that it was made from 'org/other'") == 2


def test_a_head_that_is_no_copy_is_refused(tmp_path, tokenizer):
    folder = write_models(tmp_path / "own", tokenizer)
    edit_weights(folder / "code", "lm_head.weight", lambda tensor: tensor + 1e-3)
    study, paths = study_with(folder, "average"), StudyPaths(tmp_path)
    for refused in (
        lambda: write_cell(study, paths, cell(study, "own", "average", "code")),
        lambda: write_pool_statistics(study, paths, "own"),
    ):
        with pytest.raises(CheckpointError, match=r"lm_head\.weight is to be a copy"):
            refused()
    assert not list(tmp_path.rglob("*cost.json"))


# --- a kill ---


def killed_after_three_tensors(study, paths, merge) -> None:
    real = CheckpointWriter.record

    def record(self, span, facts):
        real(self, span, facts)
        if len(self.done) == 3:
            time.sleep(0.3)  # until the records are on the disk
            os.kill(os.getpid(), signal.SIGKILL)

    journal.SYNC_SECONDS = 0.01
    CheckpointWriter.record = record
    write_cell(study, paths, merge)


def overwrite(entry, value: float) -> None:
    """Fill a float32 tensor of a file in its place."""
    with entry.path.open("r+b") as file:
        file.seek(entry.start)
        file.write(np.full(entry.n, value, dtype="<f4").tobytes())


def renew(folder):
    """Give all files other inodes, as they have on another node, and keep their times."""
    for file in [path for path in folder.rglob("*") if path.is_file()]:
        shutil.copy2(file, file.with_suffix(".new"))
        os.replace(file.with_suffix(".new"), file)


@pytest.mark.parametrize("on_another_node", [False, True])
def test_a_killed_merge_goes_on_from_what_it_wrote(models, tmp_path, on_another_node):
    models = shutil.copytree(models, tmp_path / "models")
    study, paths = study_with(models, "ties"), StudyPaths(tmp_path / "study")
    merge = cell(study, "own", "ties", "algebra+code")
    process = multiprocessing.get_context("fork").Process(
        target=killed_after_three_tensors, args=(study, paths, merge)
    )
    process.start()
    process.join(30)
    assert process.exitcode == -signal.SIGKILL
    place = paths.merged("own", "ties", "algebra+code").parent
    [part] = place.glob(".algebra+code.*.part")
    done, _ = journal.read_journal(part / "journal", part.name.split(".")[2])
    assert len(done) == 3
    first = min(tensor for tensor, _, _ in done)
    overwrite(TensorStore.open(part).entries[first], 7.0)  # lost, if it were merged anew
    if on_another_node:
        renew(models)
    found = load_file(write_cell(study, paths, merge) / "model.safetensors")
    assert (found.pop(first) == 7).all()
    assert sorted(os.listdir(place)) == ["algebra+code", "algebra+code.cost.json"]
    again = StudyPaths(tmp_path / "again")
    expected = load_file(write_cell(study, again, merge) / "model.safetensors")
    assert all(torch.equal(tensor, expected[name]) for name, tensor in found.items())


# --- statistics of the pool ---


@pytest.fixture(scope="module")
def statistics(models, tmp_path_factory):
    """Return the two tables of a study with all methods that merge three experts."""
    labels = [label for label in SETTINGS if _takes(label, 3)]
    study = study_with(models, *labels, dtype="bfloat16", mask_seeds=[2, 1])
    paths = StudyPaths(tmp_path_factory.mktemp("statistics"))
    write_pool_statistics(study, paths, "own")
    assert sorted(os.listdir(paths.root / "merge" / "own")) == [
        "merged_tensors.parquet",
        "task_vectors.cost.json",
        "task_vectors.parquet",
    ]
    vectors = read_table(paths.task_vectors("own"), TASK_VECTORS)
    return study, paths, vectors, read_table(paths.merged_tensors("own"), MERGED_TENSORS)


def test_every_method_tensor_and_expert_has_a_row(models, statistics):
    study, paths, vectors, merged = statistics
    n_tensors = len(load_file(models / "base" / "model.safetensors")) + 1
    assert n_tensors == 15
    assert merged.height == len(study.methods) * n_tensors
    assert vectors.height == 3 * merged.height
    assert set(vectors["size"]) == set(merged["size"]) == {"own"}
    assert tuple(merged["method"].unique(maintain_order=True)) == study.method_labels
    for path in (paths.task_vectors("own"), paths.merged_tensors("own")):
        origin = read_provenance(path)
        assert origin["slice"] == fingerprint(study, "merge", "task_vectors", size="own")
        assert (origin["stage"], origin["study"]) == ("merge", "tiny")


def deltas_of(models) -> dict[str, np.ndarray]:
    vectors = TaskVectors.load(models / "base", {name: models / name for name in EXPERTS})
    return {name: delta.double().numpy() for name, delta in vectors.deltas.items()}


def test_norms_and_cosines_are_those_of_the_task_vectors(models, statistics):
    _, _, vectors, _ = statistics
    deltas = deltas_of(models)
    norms = {name: np.linalg.norm(delta) for name, delta in deltas.items()}
    for row in vectors.filter(tensor=ALL_TENSORS).to_dicts():
        mine = deltas[row["expert"]]
        assert row["n"] == mine.size
        assert row["norm"] == pytest.approx(norms[row["expert"]], rel=1e-5)
        dots = [mine @ deltas[name] for name in EXPERTS]
        assert row["dots"] == pytest.approx(dots, rel=1e-4, abs=1e-4 * norms[row["expert"]] ** 2)
        others = [d / norms[row["expert"]] / norms[n] for d, n in zip(dots, EXPERTS, strict=True)]
        assert row["cosines"] == pytest.approx(others, abs=1e-4)


def test_what_a_method_keeps_and_rounding_loses_is_told(models, statistics):
    study, _, vectors, merged = statistics
    whole = {row["method"]: row for row in merged.filter(tensor=ALL_TENSORS).to_dicts()}
    mean = np.mean(list(deltas_of(models).values()), axis=0)
    assert whole["average"]["norm"] == pytest.approx(np.linalg.norm(mean), rel=1e-5)
    assert whole["average"]["norm_over_mean"] == pytest.approx(1)
    assert whole["task_arithmetic"]["norm_over_mean"] == pytest.approx(0.8)
    assert whole["task_arithmetic"]["cosine_with_mean"] == pytest.approx(1)
    base = load_file(models / "base" / "model.safetensors")
    flat = torch.cat([base[name].flatten() for name in sorted(base)])
    exact = flat + torch.from_numpy(mean).float()
    lost = (scored_weights(study, "average", "+".join(EXPERTS)).float() - exact).norm()
    assert whole["average"]["rounding_loss"] == pytest.approx(
        float(lost) / np.linalg.norm(mean), rel=1e-4
    )
    for method, density in (("average", 1), ("ties_tensor", 0.4), ("dare_l1", 0.6)):
        kept = vectors.filter(tensor=ALL_TENSORS, method=method, expert="algebra")["density"].item()
        assert kept == pytest.approx(density, abs=0.01)


def test_masks_are_those_of_the_first_mask_seed(models, statistics, tmp_path):
    _, _, vectors, _ = statistics
    for seeds, same in (([2], True), ([1, 2], False)):
        other = study_with(models, "dare", dtype="bfloat16", mask_seeds=seeds)
        write_pool_statistics(other, StudyPaths(tmp_path), "own")
        found = read_table(StudyPaths(tmp_path).task_vectors("own"), TASK_VECTORS)
        assert found.equals(vectors.filter(method="dare")) == same


def test_statistics_do_not_depend_on_the_number_of_workers(models, statistics, tmp_path):
    _, _, vectors, merged = statistics
    study = study_with(models, "ties_majority", dtype="bfloat16")
    torch.set_num_threads(3)
    try:
        write_pool_statistics(study, StudyPaths(tmp_path), "own")
    finally:
        torch.set_num_threads(1)
    for path, before in (
        (StudyPaths(tmp_path).task_vectors("own"), vectors),
        (StudyPaths(tmp_path).merged_tensors("own"), merged),
    ):
        assert pl.read_parquet(path).equals(before.filter(method="ties_majority"))


def test_methods_that_do_not_merge_the_pool_have_no_statistics(models, tmp_path):
    study, paths = study_with(models, "average", "slerp"), StudyPaths(tmp_path)
    write_pool_statistics(study, paths, "own")
    methods = pl.read_parquet(paths.merged_tensors("own"))["method"]
    assert set(methods) == {"average"}
    with pytest.raises(ConfigError, match="no method of the study merges its 3 experts at once"):
        write_pool_statistics(study_with(models, "slerp"), paths, "own")
