"""The loss: what transformers computes itself, whatever the batches, the padding and the chunks."""

import math
import random

import numpy as np
import pytest
import torch

from mergelaw.data.encode import Encoded
from mergelaw.evaluation.loss import item_nll, make_batches
from mergelaw.models import head as head_module
from tests.evaluation.families import SETTINGS, family, random_items
from tests.helpers import naive_nll, tiny_model

ITEMS = random_items()
COUNTS = np.array([item.scored.sum() for item in ITEMS])


@pytest.fixture(scope="module")
def model():
    return tiny_model("Llama")


def losses(model, items=ITEMS, batch_tokens=200):
    return item_nll(model, make_batches(items, batch_tokens), len(items))


@pytest.mark.parametrize("kind", SETTINGS)
def test_equal_to_a_naive_loop_over_examples(kind):
    model = family(kind)
    naive = np.array(
        [naive_nll(model, i.input_ids, i.scored) if i.scored.any() else 0.0 for i in ITEMS]
    )
    ours = losses(model)
    assert ours.dtype == np.float64
    np.testing.assert_array_less(np.abs(ours - naive), 3e-6 * COUNTS + 1e-12)
    assert abs(ours.sum() - naive.sum()) < 1e-6 * COUNTS.sum()  # 1e-6 nats/token
    per_token = naive.sum() / COUNTS.sum()
    assert abs(per_token - math.log(300)) > 0.05, (
        "the model is far from uniform, so that errors would show"
    )


@pytest.mark.parametrize("kind", ["qwen2", "llama", "gemma2", "gemma3_text", "opt"])
def test_equal_to_left_padding_under_a_mask(kind):
    """The naive way of batches: padding before the text, masked, positions counted after it."""
    model, longest = family(kind), max(len(item.input_ids) for item in ITEMS)
    ids = torch.zeros(len(ITEMS), longest, dtype=torch.int64)
    mask, scored = torch.zeros_like(ids), torch.zeros_like(ids, dtype=torch.bool)
    for row, item in enumerate(ITEMS):
        ids[row, -len(item.input_ids) :] = torch.from_numpy(item.input_ids)
        mask[row, -len(item.input_ids) :] = 1
        scored[row, -len(item.scored) :] = torch.from_numpy(item.scored)
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    with torch.inference_mode():
        all_logits = model(input_ids=ids, attention_mask=mask, position_ids=positions).logits
    log_p = all_logits[:, :-1].log_softmax(-1).gather(2, ids[:, 1:, None])[..., 0]
    naive = -(log_p.double() * scored[:, 1:]).sum(1).numpy()
    ours = losses(model)
    np.testing.assert_array_less(np.abs(ours - naive), 3e-6 * COUNTS + 1e-12)
    assert abs(ours.sum() - naive.sum()) < 1e-6 * COUNTS.sum()


@pytest.mark.parametrize("kind", ["qwen2", "gemma2", "cohere"])
def test_uniform_logits_give_the_logarithm_of_the_vocabulary(kind):
    model = family(kind)
    with torch.no_grad():
        model.get_output_embeddings().weight.zero_()
    np.testing.assert_allclose(losses(model), COUNTS * math.log(300), rtol=1e-6)


def test_batch_size_and_padding_never_matter(model):
    alone = np.array([losses(model, [item])[0] for item in ITEMS])
    for batch_tokens in (1, 41, 100, 10**6):
        np.testing.assert_allclose(losses(model, batch_tokens=batch_tokens), alone, rtol=2e-6)


def test_padding_is_invisible_whatever_its_token(model):
    (batch,) = make_batches(ITEMS, 10**6)
    lengths = sorted((len(item.input_ids) for item in ITEMS), reverse=True)
    pad = torch.tensor([[column >= length for column in range(lengths[0])] for length in lengths])
    assert (batch.input_ids[pad] == 0).all()
    before = item_nll(model, [batch], len(ITEMS))
    batch.input_ids[pad] = 299
    np.testing.assert_array_equal(item_nll(model, [batch], len(ITEMS)), before)


def test_the_order_of_items_never_matters(model):
    shuffled = list(range(len(ITEMS)))
    random.Random(1).shuffle(shuffled)
    again = losses(model, [ITEMS[i] for i in shuffled])
    np.testing.assert_allclose(again, losses(model)[shuffled], rtol=2e-6)


@pytest.mark.parametrize("rows", [1, 7, 64])
def test_the_chunk_of_logits_never_matters(model, monkeypatch, rows):
    whole = losses(model)
    monkeypatch.setitem(head_module.CHUNK_ENTRIES, "cpu", 300 * rows + 299)
    assert head_module.chunk_rows(300, torch.device("cpu")) == rows
    ours = losses(model)
    np.testing.assert_array_less(np.abs(ours - whole), 1e-6 * COUNTS + 1e-12)


def test_only_scored_tokens_count(model):
    item = ITEMS[0]
    parts = []
    for position in np.flatnonzero(item.scored):
        one = np.zeros_like(item.scored)
        one[position] = True
        parts.append(losses(model, [Encoded(item.input_ids, one, 0)])[0])
    assert len(parts) > 5
    assert losses(model, [item])[0] == pytest.approx(sum(parts), rel=1e-6)
    nothing = Encoded(item.input_ids, np.zeros_like(item.scored), 0)
    assert losses(model, [nothing, item])[0] == 0.0


def test_a_token_sees_what_is_before_it_and_nothing_after(model):
    scored = np.array([False] * 5 + [True] + [False] * 4)
    ids = np.arange(10, 20, dtype=np.int32)
    before, after = ids.copy(), ids.copy()
    before[3], after[7] = 200, 200
    own, changed, same = losses(model, [Encoded(i, scored, 0) for i in (ids, before, after)], 10**6)
    assert own == same != changed


def test_bfloat16_models_are_summed_in_float32():
    model = tiny_model("Llama").bfloat16()
    for item in ITEMS:
        with torch.inference_mode():  # alone, so that the hidden states are the same bits
            ids = torch.from_numpy(item.input_ids).long()
            log_p = model(input_ids=ids[None]).logits[0].double().log_softmax(-1)
        naive = -sum(float(log_p[t - 1, ids[t]]) for t in np.flatnonzero(item.scored))
        assert losses(model, [item])[0] == pytest.approx(naive, rel=1e-6)


@pytest.mark.parametrize("kind", ["qwen2", "llama", "gemma2", "mixtral", "granite"])
def test_batches_of_bfloat16_models_round_within_a_stated_bound(kind):
    """Worst of these families, measured: 6e-3 nats/token for an item, 2e-4 for all of them."""
    model, items = family(kind).bfloat16(), random_items(60)
    counts = np.array([item.scored.sum() for item in items])
    alone = losses(model, items, 1)
    for batch_tokens in (200, 10**6):
        apart = losses(model, items, batch_tokens) - alone
        assert (np.abs(apart) <= 2e-2 * counts).all()
        assert abs(apart.sum()) < 1e-3 * counts.sum()


def test_halves_of_a_batch_are_its_items():
    (batch,) = make_batches(ITEMS, 10**6)
    first, last = batch.halves()
    assert (len(first.input_ids), len(last.input_ids)) == (11, 12)
    assert torch.equal(torch.cat([first.items, last.items]), batch.items)
    for half in (first, last):
        assert torch.equal(half.input_ids.flatten()[half.positions + 1], half.targets)
    assert not set(first.items.tolist()) & set(last.items.tolist())


def test_batches_hold_every_item_once_within_the_budget():
    batches = make_batches(ITEMS, 100)
    assert all(b.input_ids.numel() <= 100 for b in batches)
    assert len(batches) < len(ITEMS) / 1.5, "items share batches"
    found = np.sort(torch.cat([b.items for b in batches]))
    np.testing.assert_array_equal(found, np.repeat(np.arange(len(ITEMS)), COUNTS))
    lengths = [b.input_ids.shape[1] for b in batches]
    assert lengths == sorted(lengths, reverse=True), (
        "the longest first: memory fails early, not late"
    )
    assert [b.input_ids.shape for b in make_batches(ITEMS[:1], 1)] == [(1, len(ITEMS[0].input_ids))]


def test_targets_are_the_scored_tokens_themselves():
    for batch in make_batches(ITEMS, 300):
        for item in batch.items.unique().tolist():
            mine = batch.items == item
            assert (
                batch.targets[mine].tolist() == ITEMS[item].input_ids[ITEMS[item].scored].tolist()
            )
            flat = batch.input_ids.flatten()
            assert torch.equal(flat[batch.positions[mine] + 1], batch.targets[mine])
