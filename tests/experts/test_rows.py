"""Rows of a step: packed or not, shared out over processes and micro-batches."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mergelaw.experts.rows import micro_batches, packed
from mergelaw.experts.text import Item
from tests.experts.making import encoded


def items_of(*lengths):
    return [Item(item.input_ids, item.scored) for item in encoded(*lengths)]


def batches_of(items, **changes):
    return micro_batches(items, **({"pack_to": None, "micro_batch_rows": None} | changes))


def targets_of(batches):
    """Return (item, target) of every scored token, sorted."""
    pairs = [zip(b.items.tolist(), b.targets.tolist(), strict=True) for b in batches]
    return sorted(pair for part in pairs for pair in part)


def test_targets_are_the_scored_tokens_alone_and_padding_is_none():
    items = items_of(6, 3, 8)
    (batch,) = batches_of(items)
    assert batch.input_ids.shape == (3, 8)
    assert batch.position_ids is None
    for row, item in enumerate(items):
        n = len(item.input_ids)
        assert batch.input_ids[row].tolist() == item.input_ids.tolist() + [0] * (8 - n)
    flat = batch.input_ids.flatten()
    assert torch.equal(flat[batch.sources + 1], batch.targets), "each source predicts its target"
    assert targets_of([batch]) == sorted(
        (i, 10 + i) for i, x in enumerate(items) for _ in range(int(x.scored.sum()))
    )


def test_a_packed_row_begins_anew_at_each_item():
    items = items_of(5, 3, 4)
    (batch,) = batches_of(items, pack_to=12)
    assert batch.input_ids.tolist() == [[10] * 5 + [12] * 4 + [11] * 3]
    assert batch.position_ids.tolist() == [[0, 1, 2, 3, 4, 0, 1, 2, 3, 0, 1, 2]]
    starts = (batch.position_ids[0] == 0).nonzero().flatten().tolist()
    assert not {s - 1 for s in starts} & set(batch.sources.tolist()), "no item predicts the next"


def test_padding_behind_packed_items_is_a_sequence_of_its_own():
    items = items_of(6, 4, 5, 2)
    (batch,) = batches_of(items, pack_to=10)
    assert batch.input_ids.tolist() == [[10] * 6 + [13] * 2 + [0], [12] * 5 + [11] * 4]
    assert batch.position_ids[0].tolist() == [0, 1, 2, 3, 4, 5, 0, 1, 0]


LENGTHS = st.lists(st.integers(1, 20), min_size=1, max_size=30)


@given(LENGTHS, st.integers(20, 60), st.integers(1, 8))
def test_packing_keeps_every_item_once_and_no_row_is_too_long(lengths, most, n_processes):
    rows = packed(lengths, most, n_processes)
    assert sorted(number for row in rows for number in row) == list(range(len(lengths)))
    assert all(rows), "no row is empty"
    assert all(sum(lengths[i] for i in row) <= most for row in rows)
    assert len(rows) % n_processes == 0 or len(rows) == len(lengths)


@pytest.mark.parametrize(
    ("n_processes", "n_rows"), [(1, 4), (2, 4), (3, 6), (4, 4), (8, 8), (20, 16)]
)
def test_as_few_rows_as_all_processes_have_equally_many_of(n_processes, n_rows):
    rows = packed([3600] * 16, 16_384, n_processes)
    assert len(rows) == n_rows
    assert {len(row) for row in rows} <= {16 // n_rows, -(-16 // n_rows)}


def test_items_longer_than_a_row_stand_alone():
    assert packed([30, 5, 40], 20) == [[0], [1], [2]]


@pytest.mark.parametrize("pack_to", [None, 16])
@pytest.mark.parametrize("n_processes", [1, 2, 3, 5])
@pytest.mark.parametrize("micro", [None, 1, 2])
def test_all_processes_together_score_every_token_once_in_as_many_passes(
    pack_to, n_processes, micro
):
    items = items_of(9, 3, 8, 4, 4, 7, 2)
    every = [
        batches_of(
            items, pack_to=pack_to, micro_batch_rows=micro, process=p, n_processes=n_processes
        )
        for p in range(n_processes)
    ]
    assert len({len(own) for own in every}) == 1, "collective operations meet"
    alone = batches_of(items)
    assert targets_of([b for own in every for b in own]) == targets_of(alone)
    if micro:
        assert all(len(b.input_ids) <= micro for own in every for b in own)


def test_a_process_without_rows_computes_one_without_a_score():
    own = [batches_of(items_of(4), process=p, n_processes=2) for p in (0, 1)]
    assert len(own[1][0].targets) == 0
    assert own[1][0].input_ids.shape == (1, 1)
