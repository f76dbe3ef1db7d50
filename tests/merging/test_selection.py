"""Cuts: exactly the stated number of largest entries, however few are held at a time."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mergelaw.merging import pool, selection
from mergelaw.merging.pool import NotFiniteError, blocks, segments, spans
from mergelaw.merging.selection import largest

SHAPES = {"a": (300, 400), "b": (7,), "c": (500, 611), "d": (64, 64), "e": ()}
PARTS = segments(SHAPES)
N = PARTS[-1].span.stop


def entries(kind: str) -> torch.Tensor:
    torch.manual_seed(3)
    normal = torch.randn(N)
    match kind:
        case "normal":
            return normal
        case "ties":
            return (normal * 4).round() / 4
        case "zeros":
            return normal * (torch.rand(N) < 0.1)
        case "heavy":
            return normal.exp() ** 5 * torch.randn(N).sign()
        case "sorted":  # evenly spaced runs are all that is representative here
            return normal.abs().sort().values
        case "constant":
            return torch.full((N,), -0.25)
    raise ValueError(kind)


def kept(flat, cuts, groups):
    out = torch.zeros_like(flat)
    for cut, group in zip(cuts, groups, strict=True):
        for span in spans(group):
            for block in blocks(span):
                out[block.flat] = cut.keep(flat[block.flat], block)
    return out


def check(flat, groups, density, n_workers=1):
    counts = [int(density * sum(part.n for part in group)) for group in groups]
    cuts = largest(lambda place: flat[place.flat].abs(), groups, counts, n_workers)
    found = kept(flat, cuts, groups)
    for group, count in zip(groups, counts, strict=True):
        part = flat[group[0].start : group[-1].span.stop]
        order = np.argsort(-part.abs().numpy(), kind="stable")[:count]
        expected = torch.zeros_like(part)
        expected[order] = part[order]
        assert torch.equal(found[group[0].start : group[-1].span.stop], expected)


@pytest.fixture(params=["held", "searched", "misled", "narrowed"])
def regime(request, monkeypatch):
    """Groups that are held whole; searched; searched from useless samples; in several passes."""
    if request.param != "held":
        monkeypatch.setattr(selection, "HELD", 1000)
    if request.param == "misled":
        monkeypatch.setattr(selection, "MARGIN", 1e-6)
        monkeypatch.setattr(selection, "SAMPLE", 4)
    if request.param == "narrowed":
        monkeypatch.setattr(selection, "BINS", 16)
    monkeypatch.setattr(pool, "SPAN", 2**16)
    monkeypatch.setattr(pool, "BLOCK", 2**14)
    return request.param


@pytest.mark.parametrize("kind", ["normal", "ties", "zeros", "heavy", "sorted", "constant"])
@pytest.mark.parametrize("scope", ["model", "tensor"])
def test_exactly_the_largest_are_kept_and_of_equal_ones_the_first(kind, scope, regime):
    groups = [PARTS] if scope == "model" else [(part,) for part in PARTS]
    for density in (0.001, 0.2, 0.8, 0.9999, 1.0):
        check(entries(kind), groups, density)


def test_worker_processes_change_nothing(regime):
    check(entries("ties"), [PARTS], 0.3, n_workers=2)
    check(entries("normal"), [(part,) for part in PARTS], 0.3, n_workers=3)


def test_all_ties_are_kept_where_asked(regime):
    flat = entries("ties")
    [cut] = largest(lambda p: flat[p.flat].abs(), [PARTS], [N // 5], 1, ties=False)
    threshold = flat.abs().sort().values[N - N // 5]
    found = kept(flat, [cut], [PARTS])
    assert torch.equal(found, torch.where(flat.abs() >= threshold, flat, 0.0))
    assert int((found != 0).sum()) > N // 5


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(-4, 4), min_size=1, max_size=40), st.floats(0, 1))
def test_small_groups_with_many_ties(values, density):
    flat = torch.tensor(values, dtype=torch.float32)
    check(flat, [segments({"a": (len(values),)})], density)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_an_entry_that_is_not_finite_is_told_with_its_tensor(bad, regime):
    flat = entries("normal")
    flat[PARTS[2].start + 70_000] = bad
    for n_workers in (1, 2):
        with pytest.raises(NotFiniteError) as caught:
            largest(lambda p: flat[p.flat].abs(), [PARTS], [N // 2], n_workers)
        assert caught.value.tensor == "c"
