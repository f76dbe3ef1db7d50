"""The loop: what it learns, at which rate, what never matters, and when it must stop."""

import math
import signal
import time
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
import torch

from mergelaw.data.encode import Encoded
from mergelaw.errors import TrainingError
from mergelaw.experts import loop as loop_module
from mergelaw.experts.adapters import add_adapters
from mergelaw.experts.log import read_log
from mergelaw.experts.loop import peak_rate, rate_share
from mergelaw.experts.state import last_state
from mergelaw.experts.text import TrainingText
from mergelaw.models import head
from mergelaw.signals import EndedBySignal
from tests.experts.making import drawn, run_of, same_weights, settings_of, small_model, train
from tests.helpers import tiny_model

ITEMS = drawn(20, 9, 31, 14, 6, 25, 40)


def log_of(run) -> pl.DataFrame:
    return read_log(run.text.parent / "log.jsonl", "small", "code")


# --- what is learned ---


@pytest.mark.parametrize(
    ("width", "hidden", "rate"), [(64, 32, 0.02), (64, 128, 0.005), (None, 128, 0.01)]
)
def test_the_rate_scales_with_the_width(width, hidden, rate):
    assert peak_rate(settings_of(learning_rate_width=width), hidden) == pytest.approx(rate)


def test_the_rate_warms_up_peaks_and_ends_at_a_tenth():
    shares = [rate_share(step, 40, 0.25) for step in range(40)]
    assert shares[:11] == pytest.approx([step / 10 for step in range(11)])
    cosine = [0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * step / 30)) for step in range(30)]
    assert shares[10:] == pytest.approx(cosine)
    assert rate_share(0, 40, 0) == 1


def test_the_loop_is_adamw_on_the_mean_over_scored_tokens(tmp_path):
    settings = settings_of(
        steps=4, warmup_share=0, betas=(0.8, 0.95), weight_decay=0.1, clip_norm=0.5
    )
    run = run_of(tmp_path, ITEMS, settings)
    model, plain = small_model(), small_model()
    train(run, model)
    optimizer = torch.optim.AdamW(plain.parameters(), betas=(0.8, 0.95), weight_decay=0.1)
    text, norms, losses = TrainingText(run.text, 4), [], []
    for step in range(4):
        optimizer.param_groups[0]["lr"] = 0.01 * rate_share(step, 4, 0)
        optimizer.zero_grad()
        parts = []
        for item in text.items(step):
            logits = plain(input_ids=torch.tensor([item.input_ids.tolist()])).logits[0]
            log_p = logits.log_softmax(-1)
            parts += [-log_p[i - 1, int(item.input_ids[i])] for i in np.flatnonzero(item.scored)]
        loss = torch.stack(parts).mean()
        loss.backward()
        losses.append(loss.item())
        norms.append(torch.nn.utils.clip_grad_norm_(plain.parameters(), 0.5).item())
        optimizer.step()
    assert min(norms) > 0.5, "every step is clipped"
    log = log_of(run)
    assert log["loss"].to_list() == pytest.approx(losses, rel=1e-5)
    assert log["gradient_norm"].to_list() == pytest.approx(norms, rel=1e-3)
    for one, other in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "changes",
    [
        {"pack": True},
        {"micro_batch_rows": 1},
        {"pack": True, "micro_batch_rows": 1, "gradient_checkpointing": True},
        {"attention": "eager"},
    ],
    ids=lambda changes: "+".join(changes),
)
def test_packing_accumulation_and_memory_savers_change_nothing(tmp_path, changes, monkeypatch):
    plain = run_of(tmp_path / "plain", ITEMS, settings_of())
    other = run_of(tmp_path / "other", ITEMS, settings_of(**changes))
    train(plain, small_model())
    monkeypatch.setitem(head.CHUNK_ENTRIES, "cpu", 300 * 11)
    model = small_model()
    if other.settings.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    model.set_attn_implementation(other.settings.attention)
    train(other, model)
    one, two = log_of(plain), log_of(other)
    assert two["loss"].to_list() == pytest.approx(one["loss"].to_list(), rel=1e-4)
    assert two["gradient_norm"].to_list() == pytest.approx(one["gradient_norm"].to_list(), rel=1e-3)
    assert one["loss"][-1] < 0.9 * one["loss"][0]
    for name in ("n_scored", "n_tokens", "learning_rate"):
        assert one[name].to_list() == two[name].to_list()


def test_bfloat16_is_near_float32(tmp_path):
    curves = []
    for precision in ("float32", "bfloat16"):
        run = run_of(tmp_path / precision, ITEMS, settings_of(steps=12, precision=precision))
        model = train(run, small_model())
        assert {p.dtype for p in model.parameters()} == {torch.float32}, "the optimizer's weights"
        curves.append(log_of(run)["loss"].to_numpy())
    assert np.abs(curves[0] - curves[1]).max() < 0.02
    assert not np.array_equal(*curves)


def test_only_scored_tokens_are_learned_from(tmp_path):
    """What stands after the last scored token of an item is no part of the loss."""
    results = []
    for tail in (5, 250):
        ids = np.asarray([3, 9, 27, 81, tail], dtype=np.int32)
        item = Encoded(ids, np.asarray([False, True, True, True, False]), 0)
        run = run_of(tmp_path / str(tail), [item], settings_of(batch_rows=2))
        results.append(train(run, small_model()))
    assert same_weights(*results)


def test_the_log_tells_each_step(tmp_path):
    run = run_of(tmp_path, ITEMS, settings_of())
    train(run, small_model())
    log, text = log_of(run), TrainingText(run.text, 4)
    assert log["step"].to_list() == [1, 2, 3, 4, 5, 6]
    tokens = [sum(len(i.input_ids) for i in text.items(s)) for s in range(6)]
    assert log["n_tokens"].to_list() == tokens
    assert log["n_scored"].to_list() == [
        sum(int(i.scored.sum()) for i in text.items(s)) for s in range(6)
    ]
    speed = log["n_tokens"] / log["seconds"]
    assert log["tokens_per_second"].to_list() == pytest.approx(speed.to_list())
    assert log["memory_bytes"].min() > 50_000_000


# --- the end in order ---


def end_after(n_steps):
    """Return a function that asks for the end once it was asked so often."""
    asked = iter(range(1, 1000))
    return lambda: signal.SIGTERM if next(asked) >= n_steps else None


LORA = {"lora": {"rank": 2, "alpha": 8, "dropout": 0.5}}


def model_of(settings, seed=0):
    """Return a model, with adapters where the settings have them."""
    model = tiny_model("Qwen2", seed=seed, initializer_range=0.05)
    if settings.lora is not None:
        add_adapters(model, settings.lora)
    return model


@pytest.mark.parametrize(
    "changes", [{}, {"pack": True, "precision": "bfloat16"}, LORA], ids=["plain", "packed", "lora"]
)
def test_a_training_that_was_ended_goes_on_to_the_same_bits(tmp_path, changes):
    settings = settings_of(steps=9, **changes)
    whole = run_of(tmp_path / "whole", ITEMS, settings)
    expected = train(whole, model_of(settings))
    run = run_of(tmp_path / "parts", ITEMS, settings)
    for done, more in ((3, 3), (7, 4)):
        with pytest.raises(EndedBySignal):
            train(run, model_of(settings), end_after(more))
        assert last_state(run.text.parent) == done
    assert sorted(p.name for p in run.text.parent.glob("*state-*")) == ["state-7"]
    torch.manual_seed(99)  # random numbers are the state's
    found = train(run, model_of(settings))
    assert same_weights(found, expected)
    columns = ["step", "loss", "learning_rate", "gradient_norm", "n_scored", "n_tokens"]
    assert log_of(run).select(columns).equals(log_of(whole).select(columns))


def test_states_are_kept_at_intervals(tmp_path, monkeypatch):
    now = iter(range(0, 100_000, 40))  # each look at the clock is 40 seconds later
    clock = SimpleNamespace(monotonic=lambda: next(now), perf_counter=time.perf_counter)
    monkeypatch.setattr(loop_module, "time", clock)
    saved = []
    real = loop_module.Loop.save
    monkeypatch.setattr(
        loop_module.Loop, "save", lambda self, done: (saved.append(done), real(self, done))
    )
    run = run_of(tmp_path, ITEMS, settings_of(steps=12, save_minutes=2))
    train(run, small_model())
    assert saved == [4, 8, 12]


def test_steps_after_the_state_are_made_again(tmp_path, monkeypatch):
    """As after a kill: the log holds more steps than the state."""
    run = run_of(tmp_path, ITEMS, settings_of(steps=9))
    expected = train(run_of(tmp_path / "whole", ITEMS, settings_of(steps=9)), small_model())
    calls = iter(range(1, 100))

    def killed(self, done):
        if next(calls) == 6:
            raise KeyboardInterrupt

    own = loop_module.Loop._between
    monkeypatch.setattr(
        loop_module.Loop,
        "_between",
        lambda self, done: (own(self, done), killed(self, done), done == 2 and self.save(done)),
    )
    with pytest.raises(KeyboardInterrupt):
        train(run, small_model())
    monkeypatch.undo()
    assert (last_state(run.text.parent), log_of(run).height) == (2, 6)
    assert same_weights(train(run, tiny_model("Qwen2", seed=3)), expected)
    assert log_of(run)["step"].to_list() == list(range(1, 10))


@pytest.mark.parametrize("what", ["training items", "training.learning_rate"])
def test_a_state_of_another_training_is_refused(tmp_path, what):
    run = run_of(tmp_path, ITEMS, settings_of())
    with pytest.raises(EndedBySignal):
        train(run, small_model(), end_after(2))
    other = run.model_copy(update={"identity": run.identity | {what: "2"}})
    with pytest.raises(TrainingError) as caught:
        train(other, small_model())
    was = run.identity.get(what, "absent")
    told = f"holds 2 steps of another training: {what} was {was} and is 2"
    assert told in str(caught.value)
    assert run.progress in str(caught.value)


# --- losses that are not finite ---


def test_a_loss_that_is_not_finite_stops_and_names_step_and_items(tmp_path):
    model = small_model()
    run = run_of(tmp_path, ITEMS, settings_of(batch_rows=2))
    broken = TrainingText(run.text, 2).items(2)[0].input_ids[0]
    first = TrainingText(run.text, 2).numbers(2)[0]
    asked = iter(range(1, 100))

    def come():
        if next(asked) == 2:  # after two good steps
            with torch.no_grad():
                model.model.embed_tokens.weight[int(broken)] = float("nan")
        return None

    own = run.model_copy(update={"settings": settings_of(batch_rows=2, save_minutes=1e-9)})
    with pytest.raises(TrainingError) as caught:
        train(own, model, come)
    words = str(caught.value)
    assert "expert small code: the loss of step 3 is nan (at " in words
    assert f"items[{first}]" in words
    assert "the state after step 2 is kept in" in words
    assert last_state(run.text.parent) == 2
    assert log_of(run).height == 2


def test_a_gradient_that_is_not_finite_stops_before_it_is_kept(tmp_path):
    model = small_model()
    run = run_of(tmp_path, ITEMS, settings_of(save_minutes=1e-9))
    asked = iter(range(1, 100))

    def come():
        if next(asked) == 1:
            model.model.norm.weight.register_hook(lambda gradient: gradient * float("inf"))
        return None

    with pytest.raises(TrainingError, match=r"the gradient of step 2 is (nan|inf) \(items items"):
        train(run, model, come)
    assert last_state(run.text.parent) == 1
