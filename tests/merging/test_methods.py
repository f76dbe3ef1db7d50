"""Methods: the identities that any implementation of the papers keeps."""

from itertools import combinations

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter

from mergelaw.config.methods import Method
from mergelaw.design import exhaustive
from mergelaw.merging import pool as pool_module
from mergelaw.merging.methods import recipe
from mergelaw.merging.operators import random_uint16
from mergelaw.merging.task_vectors import TaskVectors
from tests.helpers import save_weights
from tests.merging import oracles
from tests.merging.in_memory import merge_into, sparsified

SHAPES = {"embed": (40, 16), "layer.0.mlp": (16, 30), "layer.0.norm": (16,), "odd": (7, 3)}
POOL = ("code", "algebra", "biology")
ULP32 = 2.0**-23


def method(name: str, **parameters):
    raw = {"label": "m", "method": name, "parameters": parameters}
    return TypeAdapter(Method).validate_python(raw)


def write_pool(folder, dtype=torch.float32, pool=POOL):
    """Write a base and experts with random differences; return what `TaskVectors.load` takes."""
    generator = torch.Generator().manual_seed(1)
    base = {name: torch.randn(shape, generator=generator) for name, shape in SHAPES.items()}
    experts = {
        expert: save_weights(
            folder / expert,
            {
                name: (t + 0.05 * torch.randn(t.shape, generator=generator)).to(dtype)
                for name, t in base.items()
            },
        )
        for expert in sorted(pool)
    }
    return save_weights(folder / "base", {n: t.to(dtype) for n, t in base.items()}), experts


@pytest.fixture(scope="module")
def vectors(tmp_path_factory):
    return TaskVectors.load(*write_pool(tmp_path_factory.mktemp("pool")))


def weights(vectors, *experts):
    return [vectors.base + vectors.deltas[expert] for expert in experts]


def merged(vectors, entry, experts, seed="0/0", accumulate=torch.float32, dtype=torch.float32):
    steps = recipe(entry, seed)
    out = torch.full_like(vectors.base, float("nan"), dtype=dtype)
    merge_into(out, vectors, experts, steps, accumulate)
    return out


def psi(vectors, entry, expert, seed="0/0"):
    return sparsified(vectors, recipe(entry, seed)).deltas[expert]


ONE = [
    method("average"),
    method("task_arithmetic", scale=1),
    method("ties", density=1, scale=1),
    method("dare", drop_rate=0, scale=1),
    method("ties", density=1, scale=1, scope="tensor"),
]
ALL = [
    *ONE,
    method("task_arithmetic", scale=0.8),
    method("ties", density=0.3, scale=0.5),
    method("ties", density=0.3, scope="tensor"),
    method("dare", drop_rate=0.4, scale=0.7),
]


@pytest.mark.parametrize("entry", ONE, ids=repr)
def test_one_expert_at_scale_1_is_the_expert(tmp_path, vectors, entry):
    folder, experts = write_pool(tmp_path, torch.bfloat16)
    rounded = TaskVectors.load(folder, experts)
    for expert in POOL:
        given = TaskVectors.load(experts[expert], {}).base
        assert torch.equal(merged(rounded, entry, [expert]), given)
        assert torch.equal(merged(rounded, entry, [expert], dtype=torch.bfloat16).float(), given)


@pytest.mark.parametrize("entry", ONE, ids=repr)
def test_one_float32_expert_is_the_expert_within_a_last_digit(tmp_path, entry):
    folder, experts = write_pool(tmp_path)
    vectors = TaskVectors.load(folder, experts)
    for expert in POOL:
        given = TaskVectors.load(experts[expert], {}).base
        larger = torch.maximum(given.abs(), vectors.base.abs())
        assert ((merged(vectors, entry, [expert]) - given).abs() <= ULP32 * larger).all()


@pytest.mark.parametrize("name", ["task_arithmetic", "ties", "dare"])
def test_scale_0_is_the_base(vectors, name):
    entry = method(name, scale=0)
    assert torch.equal(merged(vectors, entry, POOL), vectors.base)


@pytest.mark.parametrize("entry", ALL, ids=repr)
def test_no_expert_is_the_base(vectors, entry):
    assert torch.equal(merged(vectors, entry, []), vectors.base)


def test_average_is_the_mean_of_the_weights(vectors):
    for k in (1, 2, 3):
        for experts in combinations(POOL, k):
            mean = torch.stack(weights(vectors, *experts)).double().mean(0)
            torch.testing.assert_close(
                merged(vectors, ONE[0], experts).double(), mean, rtol=3e-7, atol=1e-7
            )


def test_ties_with_agreeing_signs_is_the_average(vectors):
    agreeing = TaskVectors(
        vectors.segments,
        vectors.base,
        {expert: delta.abs() * vectors.base.sign() for expert, delta in vectors.deltas.items()},
    )
    torch.testing.assert_close(
        merged(agreeing, ONE[2], POOL), merged(agreeing, ONE[0], POOL), rtol=3e-7, atol=0
    )
    assert not torch.allclose(
        merged(vectors, ONE[2], POOL), merged(vectors, ONE[0], POOL), rtol=1e-3
    )


def test_dare_that_drops_nothing_is_the_average_bit_for_bit(vectors):
    assert torch.equal(merged(vectors, ONE[3], POOL), merged(vectors, ONE[0], POOL))


def test_all_methods_against_the_papers(vectors):
    spans = [segment.span for segment in vectors.segments]
    base = vectors.base.double().numpy()
    wide = [vectors.deltas[expert].double().numpy() for expert in POOL]
    rate = round(0.4 * 2**16) / 2**16
    masks = [
        (
            np.concatenate(
                [
                    random_uint16(f"5/2/{expert}/{s.name}", 0, s.span.stop - s.start)
                    for s in vectors.segments
                ]
            )
            < rate * 2**16,
            rate,
        )
        for expert in POOL
    ]
    cases = [
        (method("average"), oracles.average(wide)),
        (method("task_arithmetic", scale=0.8), oracles.task_arithmetic(wide, 0.8)),
        (method("ties", density=0.3, scale=0.5), oracles.ties(wide, 0.3, 0.5)),
        (method("ties", density=0.3, scope="tensor"), oracles.ties(wide, 0.3, 1.0, spans)),
        (method("dare", drop_rate=0.4, scale=0.7), oracles.dare(wide, masks, 0.7)),
    ]
    for entry, delta in cases:
        np.testing.assert_allclose(
            merged(vectors, entry, POOL, "5/2"), base + delta, rtol=3e-7, atol=2e-7
        )


@pytest.mark.parametrize("entry", ALL, ids=repr)
def test_any_order_of_the_pool_gives_equal_bits(tmp_path, entry):
    results = []
    for pool in (POOL, POOL[::-1]):
        folder, experts = write_pool(tmp_path / pool[0])
        vectors = TaskVectors.load(folder, {expert: experts[expert] for expert in pool})
        *_, whole = exhaustive(pool)  # a subset's experts are sorted by name
        results.append(merged(vectors, entry, whole.experts))
    assert torch.equal(*results)


@pytest.mark.parametrize("entry", ALL, ids=repr)
def test_the_block_size_does_not_matter(vectors, entry, monkeypatch):
    whole = merged(vectors, entry, POOL)
    for block, span in ((1, 1), (37, 100), (1024, 2048)):
        monkeypatch.setattr(pool_module, "BLOCK", block)
        monkeypatch.setattr(pool_module, "SPAN", span)
        assert torch.equal(merged(vectors, entry, POOL), whole)


def test_the_mask_of_an_expert_is_the_same_in_any_subset_and_pool(vectors):
    entry = method("dare", drop_rate=0.4)
    alone = TaskVectors(vectors.segments, vectors.base, {"code": vectors.deltas["code"]})
    update = psi(alone, entry, "code")
    assert torch.equal(psi(vectors, entry, "code"), update)
    pair = merged(vectors, entry, ["algebra", "code"])
    other = psi(vectors, entry, "algebra")
    torch.testing.assert_close(2 * (pair - vectors.base) - other, update, rtol=0, atol=1e-6)


def test_masks_differ_by_seed_expert_and_tensor(vectors):
    ones = {expert: torch.ones_like(vectors.base) for expert in POOL}
    flat = TaskVectors(vectors.segments, vectors.base, ones)

    def mask(seed, expert):
        return psi(flat, method("dare", drop_rate=0.5), expert, seed) == 0

    first = mask("0/0", "code")
    for other in (mask("0/1", "code"), mask("1/0", "code"), mask("0/0", "algebra")):
        assert 0.4 < float((other == first).double().mean()) < 0.6
    spans = [
        segment.span for segment in vectors.segments if segment.span.stop - segment.start >= 480
    ]
    assert not torch.equal(first[spans[0]][:480], first[spans[1]][:480])


def test_sequential_bfloat16_is_the_plain_loop(vectors):
    entry = method("task_arithmetic", scale=0.8)
    for experts in (POOL, POOL[::-1]):
        total = torch.zeros_like(vectors.base, dtype=torch.bfloat16)
        for expert in experts:
            total = total + vectors.deltas[expert].bfloat16()
        plain = vectors.base + (total * (0.8 / 3)).float()
        low = merged(vectors, entry, experts, accumulate=torch.bfloat16)
        assert torch.equal(low, plain)
        assert not torch.equal(low, merged(vectors, entry, experts))
    one, two = (merged(vectors, entry, e, accumulate=torch.bfloat16) for e in (POOL, POOL[::-1]))
    assert not torch.equal(one, two), "in bfloat16 the order matters"


def test_density_is_one_per_expert_or_one_per_tensor(vectors):
    scaled = vectors.base.new_ones(vectors.base.numel())
    scaled[vectors.segments[0].span] = 100  # one tensor's task vectors dwarf the others'
    wide = TaskVectors(vectors.segments, vectors.base, {"code": vectors.deltas["code"] * scaled})

    def kept(scope):
        update = psi(wide, method("ties", density=0.5, scope=scope), "code")
        return [int((update[s.span] != 0).sum()) / (s.span.stop - s.start) for s in wide.segments]

    assert kept("tensor") == pytest.approx([0.5] * 4, abs=0.03)
    assert kept("model")[0] > 0.8
    assert max(kept("model")[1:]) < 0.3
