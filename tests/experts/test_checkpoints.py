"""Checkpoints of the experts stage: whole, equal bytes, loadable by transformers, or not there."""

import json
import logging
import math
import shutil
import warnings

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as transformers_logging

from mergelaw.config.models import Architecture
from mergelaw.errors import CheckpointError, ConfigError, TrainingError
from mergelaw.experts import stage
from mergelaw.experts.pretrain import new_model
from tests.helpers import ARCHITECTURE, edit_weights, study_of


def test_a_new_base_depends_on_its_seed_alone(tokenizer):
    torch.manual_seed(5)
    one = new_model(Architecture(**ARCHITECTURE), tokenizer, "0/base/small").state_dict()
    torch.manual_seed(6)
    again = new_model(Architecture(**ARCHITECTURE), tokenizer, "0/base/small").state_dict()
    other = new_model(Architecture(**ARCHITECTURE), tokenizer, "1/base/small").state_dict()
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not torch.equal(one["model.embed_tokens.weight"], other["model.embed_tokens.weight"])
    assert one["model.embed_tokens.weight"].std().item() == pytest.approx(0.08, rel=0.1)


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
    _study, paths = trained
    cost = json.loads((paths.trained("small", "code") / "cost.json").read_text())
    assert (cost["stage"], cost["size"], cost["expert"]) == ("experts", "small", "code")
    assert 0 < cost["last_loss"] < 2 * math.log(300)
    assert cost["n_truncated"] >= 0
    base = json.loads((paths.trained("small", "base") / "cost.json").read_text())
    assert base["n_tokens"] == 3 * 4 * 96


def test_a_failed_training_leaves_no_folder(own_copy):
    study, paths = own_copy
    edit_weights(paths.trained("small", "base"), "model.norm.weight", lambda t: t * float("nan"))
    shutil.rmtree(paths.trained("small", "code"))
    with pytest.raises(TrainingError, match="expert small code: the loss of step 0 is nan"):
        stage.train_expert(study, paths, "small", "code")
    left = [path.name for path in paths.trained("small", "code").parent.iterdir()]
    assert sorted(left) == ["algebra", "base", "biology"]


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
    with pytest.raises(CheckpointError, match="cannot be loaded as a causal language model"):
        stage.train_expert(study, paths, "small", "code")
