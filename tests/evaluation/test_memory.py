"""Memory that runs out: batches are halved, nothing is lost or counted twice, and it is told."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from mergelaw.errors import DataError
from mergelaw.evaluation.loss import item_nll, make_batches
from mergelaw.evaluation.memory import Room, is_out_of_memory
from tests.evaluation.families import family, random_items

ITEMS = random_items(40)
ALLOCATOR = RuntimeError(
    "[enforce fail at alloc_cpu.cpp:133] err == 0. DefaultCPUAllocator: can't allocate memory: you "
    "tried to allocate 274877906944 bytes. Error code 12 (Cannot allocate memory)"
)
FAILURES = [torch.OutOfMemoryError("CUDA out of memory."), ALLOCATOR, MemoryError()]


@pytest.fixture
def model():
    return family("llama")


class Small:
    """A memory in which forward passes of more padded tokens than `limit` fail."""

    def __init__(self, model, limit, error):
        self.sizes, self.refused, self.limit, self.error = [], 0, limit, error
        model.model.register_forward_pre_hook(self.before, with_kwargs=True)

    def before(self, _module, _arguments, given):
        size = given["input_ids"].numel()
        if size > self.limit:
            self.refused += 1
            raise self.error
        self.sizes.append(size)


def losses(model, batch_tokens, room=None):
    return item_nll(model, make_batches(ITEMS, batch_tokens), len(ITEMS), room)


@pytest.mark.parametrize("error", FAILURES, ids=lambda error: type(error).__name__)
def test_batches_are_halved_until_they_fit_and_nothing_is_counted_twice(model, error, capsys):
    whole = losses(model, 400)
    assert capsys.readouterr().err == ""
    memory = Small(model, 100, error)
    counts = np.array([item.scored.sum() for item in ITEMS])
    apart = np.abs(losses(model, 400) - whole)
    np.testing.assert_array_less(apart, 3e-6 * counts + 1e-12)
    (told,) = capsys.readouterr().err.splitlines()
    assert told.startswith("note: memory ran out; forward passes now hold at most ")
    assert memory.refused == 2, "later batches use the smaller size without another failure"
    assert max(memory.sizes) <= 100


def test_what_fits_is_kept_from_model_to_model(model, capsys):
    memory, room = Small(model, 100, ALLOCATOR), Room()
    losses(model, 400, room)
    refused = memory.refused
    capsys.readouterr()
    losses(model, 400, room)
    assert memory.refused == refused > 0
    assert capsys.readouterr().err == ""


def test_a_shortage_in_the_head_is_one_too(model):
    whole, n_rows = losses(model, 400), []

    def before(_module, arguments):
        if len(arguments[0]) > 60:
            raise ALLOCATOR
        n_rows.append(len(arguments[0]))

    model.lm_head.register_forward_pre_hook(before)
    np.testing.assert_allclose(losses(model, 400), whole, rtol=1e-5)
    assert sum(n_rows) == sum(item.scored.sum() for item in ITEMS)


def test_an_item_that_does_not_fit_alone_is_named(model):
    longest = max(range(len(ITEMS)), key=lambda i: len(ITEMS[i].input_ids))
    n = len(ITEMS[longest].input_ids)
    Small(model, n - 1, ALLOCATOR)
    batches = make_batches(ITEMS, 400)
    with pytest.raises(DataError) as caught:
        item_nll(model, batches, len(ITEMS), source="line {} of x.json".format)
    words = f"memory runs out on line {longest} of x.json alone ({n} tokens): lower evaluation.max"
    assert str(caught.value).startswith(words)


def test_other_failures_are_no_shortage(model):
    Small(model, 100, RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    with pytest.raises(RuntimeError, match="mat1"):
        losses(model, 400)
    assert not any(map(is_out_of_memory, (ValueError("out of memory"), RuntimeError("no"))))


PROGRAM = """
import json, resource, sys
import torch
from mergelaw.evaluation.loss import item_nll, make_batches
from tests.evaluation.families import family, random_items

torch.set_num_threads(1)
model, items = family("llama", intermediate_size=12000), random_items(48, longest=96)

def losses(batch_tokens):
    return item_nll(model, make_batches(items, batch_tokens), len(items)).tolist()

few = losses(400)
with open("/proc/self/statm") as file:
    held = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (held + int(sys.argv[1]), resource.RLIM_INFINITY))
print(json.dumps([few, losses(10**6)]))
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc")
def test_a_real_shortage_on_the_processor():
    """A batch of 48 items needs 220 MB for each step of a layer; 100 are left."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(100_000_000)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    few, many = json.loads(done.stdout)
    np.testing.assert_allclose(many, few, rtol=1e-5)
    told = [line for line in done.stderr.splitlines() if line.startswith("note: memory ran out")]
    assert told
    assert len(told) == len(set(told)), "each size is told once"
