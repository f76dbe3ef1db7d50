"""Checkpoints of the experts stage: whole, equal bytes, loadable by transformers, or not there."""

import json
import logging
import math
import shutil
import signal
import warnings

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as transformers_logging

from mergelaw.config.models import Architecture
from mergelaw.data.stage import read_pretraining
from mergelaw.errors import BusyError, CheckpointError, ConfigError, DataError, TrainingError
from mergelaw.experts import stage
from mergelaw.experts.log import read_log
from mergelaw.experts.logs import join_logs
from mergelaw.experts.pretrain import new_model, stream_rows
from mergelaw.experts.text import TrainingText
from mergelaw.owner import Owner
from mergelaw.signals import EndedBySignal
from mergelaw.tables import TRAINING_LOG, read_table
from tests.helpers import ARCHITECTURE, edit_weights, study_of


def test_a_new_base_has_weights_of_the_config_s_spread(tokenizer):
    torch.manual_seed(5)
    one = new_model(Architecture(**ARCHITECTURE), tokenizer).state_dict()
    assert one["model.embed_tokens.weight"].std().item() == pytest.approx(0.08, rel=0.1)


def test_weights_depend_on_the_seed_and_on_no_random_number_before(own_copy):
    study, paths = own_copy
    found = {}
    for state, seed in ((5, 0), (6, 0), (6, 1)):
        shutil.rmtree(paths.trained("small", "base"))
        torch.manual_seed(state)
        stage.train_base(study.model_copy(update={"seed": seed}), paths, "small")
        found[state, seed] = (paths.trained("small", "base") / "model.safetensors").read_bytes()
    assert found[5, 0] == found[6, 0] != found[6, 1]


def test_pretraining_reads_the_stream_row_by_row(own_copy):
    study, paths = own_copy
    rows = stream_rows(np.arange(24, dtype=np.int32), 4)
    assert [row.input_ids.tolist() for row in rows] == np.arange(24).reshape(6, 4).tolist()
    assert all(row.scored.tolist() == [False, True, True, True] for row in rows)
    told = []
    texts = {}

    def look(run, launch):
        texts[run.expert] = [
            item.input_ids
            for step in range(run.n_steps)
            for item in TrainingText(run.text, 4).items(step)
        ]
        told.append((run.expert, run.n_steps, launch))
        raise TrainingError("seen enough")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage, "execute", look)
        with pytest.raises(TrainingError, match="seen enough"):
            stage.train_base(study, paths, "small")
    assert told == [("base", 3, None)]
    stream = read_pretraining(paths)[: 3 * 4 * 96]
    assert np.array_equal(np.concatenate(texts["base"]), stream)


def test_two_trainings_give_equal_bytes(trained, own_copy):
    study, paths = own_copy
    before = {
        expert: (paths.trained("small", expert) / "model.safetensors").read_bytes()
        for expert in ("base", "code", "biology")
    }
    assert before["base"] != before["code"] != before["biology"]
    shutil.rmtree(paths.trained("small", "base"))
    stage.train_base(study, paths, "small")
    stage.train_expert(study, paths, "small", "code")
    for expert in ("base", "code"):
        assert (paths.trained("small", expert) / "model.safetensors").read_bytes() == before[
            expert
        ], expert


def test_a_saved_expert_loads_in_transformers_without_a_warning(trained):
    _, paths = trained
    folder = paths.trained("large", "algebra")
    records = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = records.append
    transformers_logging.get_logger().addHandler(handler)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            model, info = AutoModelForCausalLM.from_pretrained(
                folder, local_files_only=True, output_loading_info=True
            )
            tokenizer = AutoTokenizer.from_pretrained(paths.tokenizer, local_files_only=True)
    finally:
        transformers_logging.get_logger().removeHandler(handler)
    assert [record.getMessage() for record in records] == []
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert model.config.tie_word_embeddings
    assert model.get_input_embeddings().weight.shape == (len(tokenizer), 24)
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": "1 + 1?"}], tokenize=False, add_generation_prompt=True
    )
    out = model.generate(**tokenizer(text, return_tensors="pt"), max_new_tokens=3, do_sample=False)
    assert out.shape[1] > 3


def test_a_checkpoint_s_tokenizer_is_the_study_s(trained):
    _, paths = trained
    study_s, saved = (
        AutoTokenizer.from_pretrained(folder, local_files_only=True)
        for folder in (paths.tokenizer, paths.trained("large", "algebra"))
    )
    assert saved.get_vocab() == study_s.get_vocab()
    assert str(saved.backend_tokenizer.pre_tokenizer) == str(
        study_s.backend_tokenizer.pre_tokenizer
    )


def test_a_training_tells_its_cost(trained):
    _, paths = trained
    cost = json.loads((paths.trained("small", "code") / "cost.json").read_text())
    assert (cost["stage"], cost["size"], cost["expert"]) == ("experts", "small", "code")
    assert 0 < cost["last_loss"] < 2 * math.log(300)
    assert cost["n_items_truncated"] <= cost["n_items"]
    assert (cost["n_truncated"] > 0) == (cost["n_items_truncated"] > 0)
    log = read_table(paths.training_log("small", "code"), TRAINING_LOG)
    assert log.height == cost["n_steps"] == 3
    assert log["n_tokens"].sum() == cost["n_tokens"]
    model = AutoModelForCausalLM.from_pretrained(paths.trained("small", "code"))
    n_params = sum(p.numel() for p in model.parameters())
    assert cost["n_params"] == n_params
    study, _ = trained
    text = [len(item.input_ids) for item in seen_items(study, paths, "small", "code")]
    assert sum(text) == cost["n_tokens"]
    attention = 3 * 4 * 1 * 16 * sum(n**2 for n in text)  # one layer of width 16
    assert cost["flops"] == pytest.approx(6 * n_params * cost["n_tokens"] + attention)
    base = json.loads((paths.trained("small", "base") / "cost.json").read_text())
    assert base["n_tokens"] == 3 * 4 * 96


def seen_items(study, paths, size, expert):
    """Return the items of a training, in the order in which it takes them."""
    domain, order = stage._domain(study, paths, size, expert)
    return [domain.items[i] for i in order]


def test_a_failed_training_leaves_no_folder(own_copy):
    study, paths = own_copy
    edit_weights(paths.trained("small", "base"), "model.norm.weight", lambda t: t * float("nan"))
    shutil.rmtree(paths.trained("small", "code"))
    with pytest.raises(TrainingError, match="expert small code: the loss of step 1 is nan"):
        stage.train_expert(study, paths, "small", "code")
    left = [path.name for path in paths.trained("small", "code").parent.iterdir()]
    assert sorted(left) == ["algebra", "base", "biology", "code.progress"]


def test_what_is_given_is_not_trained(own_copy):
    _study, paths = own_copy
    base = str(paths.trained("small", "base"))
    given = study_of(
        ("sizes", [{"name": "small", "base": base, "experts": {"code": f"{base}/code"}}]),
        ("tokenizer", {"path": str(paths.tokenizer)}),
    )
    with pytest.raises(ConfigError, match="size 'small' has a given base"):
        stage.train_base(given, paths, "small")
    with pytest.raises(ConfigError, match="expert 'code' of size 'small' is given"):
        stage.train_expert(given, paths, "small", "code")
    stage.train_expert(given, paths, "small", "algebra")  # from the given base


def test_a_base_that_cannot_be_loaded_is_refused_in_words(own_copy):
    study, paths = own_copy
    (paths.trained("small", "base") / "config.json").unlink()
    with pytest.raises(CheckpointError, match=r"has no config.json"):
        stage.train_expert(study, paths, "small", "code")
    (paths.trained("small", "base") / "config.json").write_text("{}")
    with pytest.raises(CheckpointError, match="cannot be loaded as a causal language model"):
        stage.train_expert(study, paths, "small", "code")


# --- along the training, and all experts together ---


def with_training(study, **changes):
    """Return a study whose experts are trained otherwise."""
    expert = study.training.expert.model_copy(update=changes)
    return study.model_copy(
        update={"training": study.training.model_copy(update={"expert": expert})}
    )


def test_an_expert_is_kept_along_its_training(own_copy):
    study, paths = own_copy
    for steps in (2, 6):  # the same rate at each step: no warm-up, and a cosine that begins flat
        changed = with_training(study, steps=steps, snapshots=(0.3, 0.5), warmup_share=0.0)
        stage.train_expert(changed, paths, "small", "code")
        folder = paths.trained("small", "code")
        names = sorted(path.name for path in folder.glob("step-*"))
        assert names == ([f"step-{n}" for n in (2, 3)] if steps == 6 else ["step-1"])
    snapshot = AutoModelForCausalLM.from_pretrained(paths.snapshot("small", "code", 3))
    expert = AutoModelForCausalLM.from_pretrained(folder)
    assert not torch.equal(snapshot.lm_head.weight, expert.lm_head.weight)
    shorter = with_training(study, steps=6, warmup_share=0.0)
    with pytest.MonkeyPatch.context() as patch:  # ends after the third step, and goes on
        patch.setattr(stage.execute.__globals__["worker"], "held_back", ended_after(3))
        with pytest.raises(EndedBySignal) as ended:
            stage.train_expert(shorter, paths, "small", "code")
    assert "3 of 6 steps are kept in" in ended.value.__notes__[0]
    assert (paths.trained("small", "code") / "step-3").exists(), "the former folder stays"
    stage.train_expert(shorter, paths, "small", "code")
    again = AutoModelForCausalLM.from_pretrained(folder)
    assert torch.equal(again.lm_head.weight, expert.lm_head.weight)
    assert json.loads((folder / "cost.json").read_text())["n_resumed"] == 3
    assert not paths.training_progress("small", "code").exists()


def ended_after(n_steps):
    """Return a stand-in of `held_back` that tells of SIGTERM after so many steps."""
    from contextlib import contextmanager

    @contextmanager
    def held():
        asked = iter(range(1, 1000))
        yield lambda: signal.SIGTERM if next(asked) >= n_steps else None

    return held


def test_rounds_and_bfloat16_decide_steps_and_stored_type(own_copy):
    study, paths = own_copy
    changed = with_training(study, epochs=1.0, batch_rows=8, precision="bfloat16", pack=True)
    stage.train_expert(changed, paths, "small", "code")
    folder = paths.trained("small", "code")
    cost = json.loads((folder / "cost.json").read_text())
    assert cost["n_steps"] == math.ceil(cost["n_items"] / 8)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto")
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}


def test_the_multitask_baseline_sees_what_the_experts_see(own_copy):
    study, _ = own_copy
    paths = own_copy[1]
    study = study_of(("multitask", {}))
    stage.train_multitask(study, paths, "small")
    costs = [
        json.loads((paths.trained("small", name) / "cost.json").read_text())
        for name in ("multitask", *study.expert_names)
    ]
    for key in ("n_items", "n_steps", "n_tokens", "n_scored", "n_truncated"):
        assert costs[0][key] == sum(cost[key] for cost in costs[1:]), key
    join_logs(study, paths, "small")
    log = read_table(paths.training_logs("small"), TRAINING_LOG)
    assert dict(log.group_by("expert").len().iter_rows()) == {
        "algebra": 3,
        "biology": 3,
        "code": 3,
        "multitask": 9,
    }
    one = log.filter(expert="code").drop("size", "expert")
    assert one.equals(
        read_table(paths.training_log("small", "code"), TRAINING_LOG).drop("size", "expert")
    )


def test_a_multitask_baseline_may_have_some_of_the_experts(own_copy):
    _, paths = own_copy
    stage.train_multitask(study_of(("multitask", {"experts": ["code", "algebra"]})), paths, "small")
    assert (
        json.loads((paths.trained("small", "multitask") / "cost.json").read_text())["n_steps"] == 6
    )
    with pytest.raises(ConfigError, match="multitask: is missing"):
        stage.train_multitask(study_of(), paths, "small")


def test_items_that_are_too_long_are_an_error_by_default(own_copy):
    study, paths = own_copy
    with pytest.raises(DataError, match=r"training.expert.truncate: true"):
        stage.train_expert(with_training(study, truncate=False), paths, "small", "code")


def test_one_process_trains_an_expert_at_a_time(own_copy, monkeypatch):
    study, paths = own_copy
    monkeypatch.setattr("mergelaw.owner.PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr("mergelaw.owner.POLL_SECONDS", 0.05)
    with Owner(paths.trained("small", "code").with_name("code.owner")), pytest.raises(BusyError):
        stage.train_expert(study, paths, "small", "code")


def test_a_log_is_read_back_line_by_line(tmp_path):
    from mergelaw.experts.log import LogFile

    log = LogFile(tmp_path / "log.jsonl", writes=True)
    for step in (1, 2, 3):
        log.add(step, 2.0 / step, 0.1, 1.0, 5, 10, 0.5)
    log.keep(2)
    log.add(3, 9.0, 0.1, 1.0, 5, 10, 0.5)
    log.close()
    frame = read_log(tmp_path / "log.jsonl", "small", "code")
    assert frame["loss"].to_list() == [2.0, 1.0, 9.0]
    assert frame["tokens_per_second"].to_list() == [20.0] * 3
