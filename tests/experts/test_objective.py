"""What is trained: the model's own loss at scored tokens, packed or not, in chunks or not."""

import pytest
import torch

from mergelaw.errors import TrainingError
from mergelaw.experts.objective import Trainee, check_packing
from mergelaw.experts.rows import micro_batches
from mergelaw.experts.text import Item
from mergelaw.models import head
from tests.evaluation.families import SETTINGS, family
from tests.experts.making import drawn, small_model
from tests.helpers import naive_nll


def items_of(*lengths):
    return [Item(item.input_ids, item.scored) for item in drawn(*lengths)]


def sums(trainee, batches, n_items):
    total = torch.zeros(n_items, dtype=torch.float64)
    for batch in batches:
        total.index_add_(0, batch.items, trainee(batch).detach().double())
    return total.tolist()


def gradients(model, batches):
    model.zero_grad()
    trainee = Trainee(model)
    for batch in batches:
        trainee(batch).sum().backward()
    return {
        name: torch.zeros_like(p) if p.grad is None else p.grad.clone()
        for name, p in model.named_parameters()
    }


@pytest.mark.parametrize("kind", sorted(SETTINGS.keys() - {"opt"}))
def test_packed_items_have_the_loss_that_they_have_alone(kind):
    model = family(kind)
    items = items_of(17, 9, 30, 5)
    wanted = [naive_nll(model, item.input_ids, item.scored) for item in items]
    for pack_to in (None, 40):
        batches = micro_batches(items, pack_to=pack_to, micro_batch_rows=None)
        assert sums(Trainee(model), batches, 4) == pytest.approx(wanted, rel=1e-4)


@pytest.mark.parametrize("kind", sorted(SETTINGS))
def test_the_gradient_is_that_of_the_model_s_own_loss(kind):
    model = family(kind)  # without the dropout that two of them have
    (item,) = items_of(20)
    found = gradients(model, micro_batches([item], pack_to=None, micro_batch_rows=None))
    model.zero_grad()
    ids = torch.tensor([item.input_ids.tolist()])
    labels = ids.masked_fill(~torch.tensor([item.scored.tolist()]), -100)
    loss = model(input_ids=ids, labels=labels).loss
    (loss * int((labels != -100).sum())).backward()
    for name, parameter in model.named_parameters():
        wanted = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        scale = float(wanted.abs().max())
        torch.testing.assert_close(found[name], wanted, rtol=1e-3, atol=1e-4 * scale + 1e-7)


def test_a_model_whose_packed_items_see_each_other_is_refused():
    cpu = torch.device("cpu")
    check_packing(Trainee(family("llama")), "float32", cpu, "expert small code")
    with pytest.raises(TrainingError, match="'opt' cannot be trained on packed rows"):
        check_packing(Trainee(family("opt")), "float32", cpu, "expert small code")


def test_the_gradient_is_the_same_packed_split_and_chunked(monkeypatch):
    items = items_of(17, 9, 30, 5)
    model = small_model().train()
    plain = gradients(model, micro_batches(items, pack_to=None, micro_batch_rows=None))
    assert max(float(g.abs().max()) for g in plain.values()) > 0.01
    packed = micro_batches(items, pack_to=40, micro_batch_rows=None)
    split = micro_batches(items, pack_to=40, micro_batch_rows=1)
    assert len(split) == 2
    monkeypatch.setitem(head.CHUNK_ENTRIES, "cpu", 300 * 7)  # seven rows of logits at a time
    for batches in (packed, split):
        other = gradients(model, batches)
        for name, gradient in plain.items():
            torch.testing.assert_close(other[name], gradient, rtol=1e-4, atol=1e-6)


def test_no_more_logits_than_a_chunk_are_kept_for_the_backward_pass(monkeypatch):
    """Chunks are made anew there: what is saved between does not grow with the scored tokens."""
    monkeypatch.setitem(head.CHUNK_ENTRIES, "cpu", 300 * 8)
    model, saved = small_model().train(), []
    batches = micro_batches(items_of(60), pack_to=None, micro_batch_rows=None)

    def remember(tensor):
        saved.append(tuple(tensor.shape))
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(remember, lambda tensor: tensor):
        Trainee(model)(batches[0])
    assert not [shape for shape in saved if shape[-1:] == (300,) and len(shape) > 1]


def test_a_row_without_a_score_has_no_gradient_but_goes_through_the_model():
    model = small_model().train()
    _, empty = (
        micro_batches(items_of(9), pack_to=None, micro_batch_rows=None, process=p, n_processes=2)
        for p in (0, 1)
    )
    found = gradients(model, empty)
    assert all(float(g.abs().max()) == 0 for g in found.values())
