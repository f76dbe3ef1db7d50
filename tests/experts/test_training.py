"""Training: what is learned from, at which rate, and checkpoints that are whole, equal and plain."""

import json
import logging
import math
import random
import shutil
import warnings

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging as transformers_logging

from mergelaw.config.models import Architecture, BaseTraining, ExpertTraining
from mergelaw.data.encode import Encoded
from mergelaw.errors import CheckpointError, ConfigError, DataError, TrainingError
from mergelaw.experts import loop, stage
from mergelaw.experts.loop import TrainingBatch, learning_rate, train
from mergelaw.experts.pretrain import new_model, pretraining_batches
from mergelaw.experts.sft import sft_batches, training_items
from tests.helpers import ARCHITECTURE, edit_weights, item_rows, study_of, tiny_model

PAIRS = [(f"What is {i} plus {i}?", f"Answer: {2 * i}") for i in range(10)]


def encoded(*lengths: int) -> list[Encoded]:
    """Return items of these lengths, whose tokens name them and whose second half is scored."""
    return [
        Encoded(np.full(n, 10 + i, dtype=np.int32), np.arange(n) >= n // 2, 0)
        for i, n in enumerate(lengths)
    ]


# --- batches ---

def test_labels_are_the_scored_tokens_alone():
    items = encoded(6, 3, 8)
    batch = next(sft_batches(items, 3, random.Random(0)))
    assert batch.input_ids.shape == batch.labels.shape == (3, 8)
    seen = set()
    for ids, labels in zip(batch.input_ids.tolist(), batch.labels.tolist(), strict=True):
        item = items[ids[0] - 10]
        n = len(item.input_ids)
        seen.add(ids[0])
        assert ids == item.input_ids.tolist() + [0] * (8 - n)
        wanted = [t if s else -100 for t, s in zip(item.input_ids.tolist(), item.scored, strict=True)]
        assert labels == wanted + [-100] * (8 - n), "padding is never a label"
    assert len(seen) == 3


def test_rounds_take_every_item_once_in_another_order():
    batches = sft_batches(encoded(*[4] * 10), 4, random.Random(0))
    drawn = [token for _ in range(5) for token in next(batches).input_ids[:, 0].tolist()]
    assert sorted(drawn[:10]) == sorted(drawn[10:]) == list(range(10, 20))
    assert drawn[:10] != drawn[10:]
    few = next(sft_batches(encoded(4, 4), 5, random.Random(0)))
    assert few.input_ids.shape[0] == 5, "a batch may be longer than the domain"


def test_only_training_items_with_a_response_are_used(tokenizer):
    import polars as pl

    long = [(f"{i} " * 50, "x") for i in range(3)]
    rows = pl.concat([item_rows(PAIRS + long, "train"), item_rows([("held out", "x")]),
                      item_rows([("of the base", "x")], "base")])
    items = training_items(rows, tokenizer, 40)
    assert sorted(tokenizer.decode(i.input_ids[i.scored]) for i in items) == sorted(
        f"{answer}<|end|>" for _, answer in PAIRS
    )
    with pytest.raises(DataError, match="max_length = 4"):
        training_items(rows, tokenizer, 4)


def test_pretraining_reads_the_stream_row_by_row():
    stream = np.arange(24, dtype=np.int32)
    batches = list(pretraining_batches(stream, BaseTraining(batch_rows=2), 4))
    assert [b.input_ids.tolist() for b in batches] == stream.reshape(3, 2, 4).tolist()
    assert all(torch.equal(b.input_ids, b.labels) for b in batches)


# --- the loop ---

@pytest.mark.parametrize(("width", "hidden", "rate"), [(64, 32, 0.02), (64, 128, 0.005), (None, 128, 0.01)])
def test_the_rate_scales_with_the_width(width, hidden, rate):
    settings = BaseTraining(learning_rate=0.01, learning_rate_width=width)
    assert learning_rate(settings, hidden) == pytest.approx(rate)


def run(settings, model=None, batches=None):
    model = model or tiny_model("Qwen2", initializer_range=0.05)
    batch = TrainingBatch(ids := torch.arange(40).view(2, 20), ids)
    return train(model, batches or [batch] * settings.steps, settings, "expert small code")


@pytest.fixture
def rates(monkeypatch):
    """The rates of all steps, recorded as the optimizer takes them."""
    taken = []

    class Recorder(torch.optim.AdamW):
        def step(self, *arguments, **named):
            taken.append(self.param_groups[0]["lr"])
            return super().step(*arguments, **named)

    monkeypatch.setattr(loop.torch.optim, "AdamW", Recorder)
    return taken


def test_the_rate_warms_up_peaks_and_ends_at_a_tenth(rates):
    settings = ExpertTraining(steps=40, learning_rate=0.01, learning_rate_width=32, warmup_share=0.25)
    run(settings)
    peak = 0.01 * 32 / 16
    assert rates[:11] == pytest.approx([peak * step / 10 for step in range(11)])
    cosine = [0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * step / 30)) for step in range(30)]
    assert rates[10:] == pytest.approx([peak * share for share in cosine])
    assert rates[-1] == pytest.approx(peak / 10, rel=0.05)


def test_training_lowers_the_loss_and_returns_the_last_one():
    model = tiny_model("Qwen2", initializer_range=0.05)
    settings = ExpertTraining(steps=30, learning_rate=0.01, learning_rate_width=None)
    first = run(ExpertTraining(steps=1, learning_rate=1e-9), tiny_model("Qwen2", initializer_range=0.05))
    last = run(settings, model)
    assert first == pytest.approx(math.log(300), rel=0.05)
    assert last < 0.7 * first
    assert not model.training


def test_only_labels_are_learned_from():
    """The gradient of a row without labels is nothing: its tokens may be any."""
    ids = torch.arange(40).view(2, 20)
    labels = ids.clone()
    labels[1] = -100
    other = ids.clone()
    other[1] = 299
    results = []
    for inputs in (ids, other):
        model = tiny_model("Qwen2", initializer_range=0.05)
        run(ExpertTraining(steps=3), model, [TrainingBatch(inputs, labels)] * 3)
        results.append(model.state_dict())
    assert all(torch.allclose(results[0][n], results[1][n], atol=1e-7) for n in results[0])


def test_a_loss_that_is_not_finite_stops_with_the_step_named():
    model = tiny_model("Qwen2")
    good = TrainingBatch(ids := torch.arange(40).view(2, 20), ids)

    def batches():
        yield good
        yield good
        with torch.no_grad():
            model.model.norm.weight[0] = float("nan")
        yield good

    with pytest.raises(TrainingError, match="expert small code: the loss of step 2 is nan"):
        run(ExpertTraining(steps=5), model, batches())


@pytest.mark.xfail(strict=True, reason="loop._steps ends silently where batches run out")
def test_too_few_batches_are_an_error():
    with pytest.raises(TrainingError, match="2 of 5"):
        run(ExpertTraining(steps=5), batches=[TrainingBatch(ids := torch.arange(40).view(2, 20), ids)] * 2)


# --- checkpoints ---

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
    before = {expert: (paths.trained("small", expert) / "model.safetensors").read_bytes()
              for expert in ("base", "code", "biology")}
    assert before["base"] != before["code"] != before["biology"]
    shutil.rmtree(paths.trained("small", "base"))
    stage.train_base(study, paths, "small")
    stage.train_expert(study, paths, "small", "code")
    for expert in ("base", "code"):
        assert (paths.trained("small", expert) / "model.safetensors").read_bytes() == before[expert], expert


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
    text = tokenizer.apply_chat_template([{"role": "user", "content": "1 + 1?"}], tokenize=False,
                                         add_generation_prompt=True)
    out = model.generate(**tokenizer(text, return_tensors="pt"), max_new_tokens=3, do_sample=False)
    assert out.shape[1] > 3


@pytest.mark.xfail(strict=True, reason="AutoTokenizer makes a Qwen2Tokenizer in a Qwen2 folder: another "
                   "pre-tokenizer, and a token <|endoftext|> beyond the embeddings")
def test_a_checkpoint_s_tokenizer_is_the_study_s(trained):
    _, paths = trained
    study_s, saved = (AutoTokenizer.from_pretrained(folder, local_files_only=True)
                      for folder in (paths.tokenizer, paths.trained("large", "algebra")))
    assert saved.get_vocab() == study_s.get_vocab()
    assert str(saved.backend_tokenizer.pre_tokenizer) == str(study_s.backend_tokenizer.pre_tokenizer)


def test_an_expert_differs_from_its_base_and_tells_its_cost(trained):
    study, paths = trained
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
    study, paths = own_copy
    base = str(paths.trained("small", "base"))
    given = study_of(("sizes", [{"name": "small", "base": base, "experts": {"code": base}}]),
                     ("tokenizer", {"path": str(paths.tokenizer)}))
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
