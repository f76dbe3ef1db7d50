"""DeepSpeed ZeRO-3 for real: two processes on the processor, AdamW offloaded, killed in every way.

The reference is the same training in one plain process. In float32 all numbers agree to 1e-4, with
adapters too; in bfloat16 losses agree to 2% over these few steps.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from transformers import AutoModelForCausalLM

from mergelaw.config import parse_study
from mergelaw.experts.log import read_log
from mergelaw.experts.stage import train_base, train_expert
from mergelaw.experts.state import last_state
from mergelaw.paths import StudyPaths
from mergelaw.tables import TRAINING_LOG, read_table
from tests.helpers import ARCHITECTURE, run_data, study_dict

pytest.importorskip("deepspeed")
LAUNCH = str(Path(__file__).parents[2] / "workflow" / "launch" / "zero3_cpu.yaml")
N_STEPS = 24
WIDE = ARCHITECTURE | {"hidden_size": 384, "intermediate_size": 400, "layers": 2}
"""Its larger weights have more than the 100,000 entries below which ZeRO-3 keeps them whole."""
SECONDS = 240
"""The most that one launch may take."""


def raw_study(launch, **changes):
    """Return the config of a study whose experts take a while: many small passes a step."""
    training = {
        "steps": N_STEPS,
        "batch_rows": 8,
        "max_length": 96,
        "truncate": True,
        "pack": True,
        "micro_batch_rows": 1,
        "learning_rate": 0.005,
        "gradient_checkpointing": True,
        "save_minutes": 1e-9,
    }
    size = {"name": "small", "architecture": WIDE} | ({"launch": launch} if launch else {})
    return study_dict(("training.expert", training | changes), ("sizes", [size]))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with results/tiny: data and base, and the expert `code` trained plainly."""
    root = tmp_path_factory.mktemp("zero3")
    study = parse_study(raw_study(None))
    paths = StudyPaths(root / "results" / "tiny")
    run_data(study, paths)
    train_base(study, paths, "small")
    train_expert(study, paths, "small", "code")
    shutil.move(paths.trained("small", "code"), root / "plain")
    return root, paths


class Job:
    """`mergelaw experts expert` as a process of its own."""

    def __init__(self, root: Path, raw: dict) -> None:
        config = root / "study.json"
        config.write_text(json.dumps(raw))
        command = ["experts", "expert", "--config", str(config), "--size", "small"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mergelaw", *command, "--expert", "code"],
            cwd=root,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            env=os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        )

    def end(self) -> tuple[int, str]:
        """Wait for the end; return the status and what was printed."""
        try:
            printed, _ = self.process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            printed, _ = self.process.communicate()
            pytest.fail(f"did not end: {printed[-3000:]}")
        return self.process.returncode, printed

    def processes(self) -> list[psutil.Process]:
        """Return the launched processes in the order of their start: the first is rank 0."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        ranks = [p for p in children if "mergelaw.experts.worker" in " ".join(p.cmdline())]
        return sorted(ranks, key=lambda process: int(process.environ()["RANK"]))


def await_step(job: Job, paths: StudyPaths, step: int) -> None:
    """Wait until a state of this step or a later one is kept."""
    deadline = time.monotonic() + SECONDS
    while (last_state(paths.training_progress("small", "code")) or 0) < step:
        assert job.process.poll() is None, job.end()[1][-3000:]
        assert time.monotonic() < deadline, "no such state"
        time.sleep(0.02)


def all_gone(processes) -> bool:
    _, alive = psutil.wait_procs(processes, timeout=60)
    return not alive


def test_killed_in_every_way_it_goes_on_to_the_plain_training_s_end(place):
    root, paths = place
    raw, folder = raw_study(LAUNCH), paths.trained("small", "code")
    progress = paths.training_progress("small", "code")

    one = Job(root, raw)
    await_step(one, paths, 2)
    ranks = one.processes()
    assert len(ranks) == 2
    ranks[1].send_signal(signal.SIGKILL)
    status, printed = one.end()
    assert status == 1
    assert all_gone(ranks), "the other process does not stay behind"
    assert "process 1 was ended by SIGKILL" in printed, printed[-3000:]
    assert "goes on from its last state" in printed
    assert not folder.exists()

    second, kept = Job(root, raw), last_state(progress)
    await_step(second, paths, kept + 3)
    ranks = second.processes()
    for process in (*ranks, psutil.Process(second.process.pid)):
        process.send_signal(signal.SIGKILL)
    second.end()
    assert all_gone(ranks)
    assert not folder.exists()

    orphans, kept = Job(root, raw), last_state(progress)
    await_step(orphans, paths, kept + 2)
    ranks = orphans.processes()
    orphans.process.kill()
    orphans.end()
    assert all_gone(ranks), "processes end when their job was killed alone"

    third, kept = Job(root, raw), last_state(progress)
    await_step(third, paths, kept + 3)
    third.process.send_signal(signal.SIGTERM)
    status, printed = third.end()
    kept = last_state(progress)
    assert status == 143, printed[-3000:]
    assert f"{kept} of {N_STEPS} steps are kept in" in printed
    assert "Traceback" not in printed
    assert read_log(progress / "log.jsonl", "small", "code").height == kept
    assert not folder.exists()

    status, printed = Job(root, raw).end()
    assert status == 0, printed[-3000:]
    assert f"goes on after {kept} of {N_STEPS} steps" in printed
    assert not progress.exists()
    compare(root / "plain", folder, 1e-4)
    cost = json.loads((folder / "cost.json").read_text())
    assert (cost["n_processes"], cost["n_resumed"]) == (2, kept)


def compare(plain: Path, folder: Path, tolerance: float) -> None:
    """Check that two trainings have the same curve, and near enough the same weights."""
    one, two = (read_table(at / "training.parquet", TRAINING_LOG) for at in (plain, folder))
    for column in ("step", "learning_rate", "n_scored", "n_tokens"):
        assert one[column].to_list() == two[column].to_list()
    for column in ("loss", "gradient_norm"):
        assert two[column].to_list() == pytest.approx(one[column].to_list(), rel=tolerance)
    assert one["loss"][-1] < 0.8 * one["loss"][0]
    first, second = (AutoModelForCausalLM.from_pretrained(at) for at in (plain, folder))
    names = [name for name, _ in first.named_parameters()]
    assert names == [name for name, _ in second.named_parameters()]
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=10 * tolerance, atol=1e-4)
    assert (folder / "tokenizer.json").exists()


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto")
    return {name: parameter.detach() for name, parameter in model.named_parameters()}


def moved(folder: Path, base: Path) -> torch.Tensor:
    """Return the task vector of a checkpoint, in float32."""
    ours, start = weights_of(folder), weights_of(base)
    assert ours.keys() == start.keys()
    return torch.cat([(ours[name].float() - start[name]).flatten() for name in ours])


@pytest.mark.parametrize(
    ("changes", "apart", "cosine"),
    [
        ({"precision": "bfloat16"}, 0.02, 0.9),
        ({"lora": {"rank": 4, "alpha": 8}}, 1e-4, 0.999),
    ],
    ids=["bfloat16", "adapters"],
)
def test_bfloat16_and_adapters_are_near_the_plain_training(place, tmp_path, changes, apart, cosine):
    root, paths = place
    changes |= {"steps": 6, "save_minutes": 10, "snapshots": [0.5]}
    expert, base = paths.trained("small", "code"), paths.trained("small", "base")
    shutil.rmtree(expert, ignore_errors=True)
    status, printed = Job(root, raw_study(LAUNCH, **changes)).end()
    assert status == 0, printed[-3000:]
    shared = shutil.move(expert, tmp_path / "shared")
    train_expert(parse_study(raw_study(None, **changes)), paths, "small", "code")
    one, two = (
        read_table(at / "training.parquet", TRAINING_LOG)["loss"].to_numpy()
        for at in (shared, expert)
    )
    assert np.abs(one / two - 1).max() < apart
    dtype = getattr(torch, changes.get("precision", "float32"))
    for part in (".", "step-3"):
        assert {tensor.dtype for tensor in weights_of(shared / part).values()} == {dtype}
        ours, plain = (moved(at / part, base) for at in (shared, expert))
        assert plain.norm() > 0.1, "it was trained"
        assert torch.dot(ours, plain) / (ours.norm() * plain.norm()) > cosine


def test_a_loss_that_is_not_finite_is_told_once_and_in_words(place, tmp_path):
    from tests.helpers import edit_weights

    root, paths = place
    shutil.copytree(root / "results", tmp_path / "results")
    broken = StudyPaths(tmp_path / "results" / "tiny")
    shutil.rmtree(broken.trained("small", "code"), ignore_errors=True)
    edit_weights(broken.trained("small", "base"), "model.norm.weight", lambda t: t * float("nan"))
    status, printed = Job(tmp_path, raw_study(LAUNCH)).end()
    assert status == 1
    assert printed.count("the loss of step 1 is nan (at code[") == 1
    assert "Traceback" not in printed
    assert not broken.trained("small", "code").exists()
    del paths
