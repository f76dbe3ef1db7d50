"""A training of several processes that Slurm takes its node from: it goes on where it was."""

import json

import polars as pl

from tests.slurm.cluster import ask
from tests.slurm.heads import fact
from tests.slurm.side_by_side import Scene, together
from tests.workflow.workspace import CONFIG, ROOT, edited

N_STEPS = 100
EXPERT = "results/smoke/experts/w32/code"
SLOW = edited(
    CONFIG,
    sizes=[
        size | {"launch": str(ROOT / "workflow" / "launch" / "zero3_cpu.yaml")}
        for size in CONFIG["sizes"]
    ],
    training=CONFIG["training"]
    | {"expert": CONFIG["training"]["expert"] | {"steps": N_STEPS, "micro_batch_rows": 1}},
)
"""The smoke study with longer trainings, each by two processes under DeepSpeed."""


@together
def test_a_training_that_is_requeued_goes_on_from_the_step_it_was_in(scene: Scene) -> None:
    study = scene.prepared.copy(scene.folder / "training")
    head = study.head_of(SLOW, EXPERT)
    scene.heads.append(head)
    log = study.folder / f"{EXPERT}.progress" / "log.jsonl"
    head.until(lambda: log.is_file() and log.read_bytes().count(b"\n") >= 5, "five steps")
    ask("scontrol", "requeue", head.job())
    head.succeeds()
    assert fact(head.job(), "Restarts") == "1"
    folder = study.folder / EXPERT
    cost = json.loads((folder / "cost.json").read_text())
    assert cost["n_processes"] == 2
    assert 5 <= cost["n_resumed"] < N_STEPS
    steps = pl.read_parquet(folder / "training.parquet")["step"].to_list()
    assert steps == list(range(1, N_STEPS + 1))
    assert not log.exists()
