"""Training: what is learned from, at which rate, and when it must stop."""

import math
import random

import numpy as np
import pytest
import torch

from mergelaw.config.models import BaseTraining, ExpertTraining
from mergelaw.data.encode import Encoded, Encoder
from mergelaw.data.tokenizer import load_tokenizer
from mergelaw.errors import DataError, TrainingError
from mergelaw.experts import loop, stage
from mergelaw.experts.loop import TrainingBatch, learning_rate, train
from mergelaw.experts.pretrain import pretraining_batches
from mergelaw.experts.sft import sft_batches, training_items
from tests.helpers import item_rows, tiny_model

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
        wanted = [
            t if s else -100 for t, s in zip(item.input_ids.tolist(), item.scored, strict=True)
        ]
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
    rows = pl.concat(
        [
            item_rows(PAIRS + long, "train"),
            item_rows([("held out", "x")]),
            item_rows([("of the base", "x")], "base"),
        ]
    )
    items = training_items(rows, Encoder(tokenizer, 40))
    assert sorted(tokenizer.decode(i.input_ids[i.scored]) for i in items) == sorted(
        f"{answer}<|end|>" for _, answer in PAIRS
    )
    with pytest.raises(DataError, match="max_length = 4"):
        training_items(rows, Encoder(tokenizer, 4))


def test_experts_are_trained_after_the_study_s_system_turn(own_copy, monkeypatch):
    study, paths = own_copy
    given = load_tokenizer(paths.tokenizer)
    given.chat_template = given.chat_template.replace("['user',", "['system', 'user',")
    given.save_pretrained(paths.tokenizer)
    told = []
    monkeypatch.setattr(stage, "fine_tune", lambda _, items, *__, **___: told.extend(items) or 1.0)
    settings = study.tokenizer.model_copy(update={"system": "Be brief."})
    for changed in (study, study.model_copy(update={"tokenizer": settings})):
        stage.train_expert(changed, paths, "small", "code")
    texts = [given.decode(item.input_ids) for item in told]
    begins = [text.startswith("<|system|>Be brief.<|user|>") for text in texts]
    assert 0 < sum(begins) < len(texts)
    assert begins == sorted(begins), "those of the second study only"


def test_pretraining_reads_the_stream_row_by_row():
    stream = np.arange(24, dtype=np.int32)
    batches = list(pretraining_batches(stream, BaseTraining(batch_rows=2), 4))
    assert [b.input_ids.tolist() for b in batches] == stream.reshape(3, 2, 4).tolist()
    assert all(torch.equal(b.input_ids, b.labels) for b in batches)


# --- the loop ---


@pytest.mark.parametrize(
    ("width", "hidden", "rate"), [(64, 32, 0.02), (64, 128, 0.005), (None, 128, 0.01)]
)
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
    settings = ExpertTraining(
        steps=40, learning_rate=0.01, learning_rate_width=32, warmup_share=0.25
    )
    run(settings)
    peak = 0.01 * 32 / 16
    assert rates[:11] == pytest.approx([peak * step / 10 for step in range(11)])
    cosine = [0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * step / 30)) for step in range(30)]
    assert rates[10:] == pytest.approx([peak * share for share in cosine])
    assert rates[-1] == pytest.approx(peak / 10, rel=0.05)


def test_the_loop_is_adamw_with_clipping_and_decay():
    settings = ExpertTraining(
        steps=4,
        learning_rate=0.01,
        learning_rate_width=None,
        warmup_share=0,
        betas=(0.8, 0.95),
        weight_decay=0.1,
        clip_norm=0.5,
    )
    model, plain = (tiny_model("Qwen2", initializer_range=0.05) for _ in range(2))
    ids = torch.arange(160).view(4, 2, 20)
    run(settings, model, [TrainingBatch(batch, batch) for batch in ids])
    optimizer = torch.optim.AdamW(plain.parameters(), betas=(0.8, 0.95), weight_decay=0.1)
    norms = []
    for step, batch in enumerate(ids):
        optimizer.param_groups[0]["lr"] = 0.01 * (
            0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * step / 4))
        )
        optimizer.zero_grad()
        logits = plain(input_ids=batch).logits
        torch.nn.functional.cross_entropy(
            logits[:, :-1].flatten(0, 1), batch[:, 1:].flatten()
        ).backward()
        norms.append(torch.nn.utils.clip_grad_norm_(plain.parameters(), 0.5).item())
        optimizer.step()
    assert min(norms) > 0.5, "every step is clipped"
    for one, other in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_training_lowers_the_loss_and_returns_the_last_one():
    model = tiny_model("Qwen2", initializer_range=0.05)
    settings = ExpertTraining(steps=30, learning_rate=0.01, learning_rate_width=None)
    first = run(
        ExpertTraining(steps=1, learning_rate=1e-9), tiny_model("Qwen2", initializer_range=0.05)
    )
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


def test_too_few_batches_are_an_error():
    with pytest.raises(TrainingError, match="2 of 5"):
        run(
            ExpertTraining(steps=5),
            batches=[TrainingBatch(ids := torch.arange(40).view(2, 20), ids)] * 2,
        )
