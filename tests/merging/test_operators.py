"""Operators against the papers, and the random numbers against Random123's published vectors."""

import hashlib
import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mergelaw.merging.operators import (
    disjoint_mean,
    drop,
    elected_sign,
    linear,
    mean,
    ordered_sum,
    prune,
    random_uint16,
)
from tests.merging import oracles

exact = st.integers(-8, 8).map(
    float
)  # sums and means of few are exact: signs never hang on rounding


def rows_of(k: int, n: int, seed: int = 0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(n, generator=generator) for _ in range(k)]


def test_operators_leave_their_inputs_as_they_are():
    rows = rows_of(3, 100)
    copies = [row.clone() for row in rows]
    for some in (rows, rows[:1]):
        mean(some, [1.0] * len(some), 0.8, True), plain_disjoint_mean(some, 0.8), ordered_sum(some)
    dropped(rows[0], 0.5), prune(rows[0], 10, 0.5, 0.2, "key", 0, True)
    linear(rows[0], rows[1:], [0.5, 2.0, 1.0])
    assert all(torch.equal(row, copy) for row, copy in zip(rows, copies, strict=True))


def plain_mean(rows, scale):
    return mean(rows, [1.0] * len(rows), scale, normalize=True)


def plain_disjoint_mean(rows, scale):
    return disjoint_mean(rows, [1.0] * len(rows), scale, normalize=True)


def dropped(delta, rate, key="key", start=0):
    return drop(delta, rate, key, start, rescale=True)


@pytest.mark.parametrize("k", [1, 2, 5, 9])
def test_mean_and_disjoint_mean_against_the_papers(k):
    rows = rows_of(k, 500, seed=k)
    wide = [row.double().numpy() for row in rows]
    np.testing.assert_allclose(plain_mean(rows, 1.0), oracles.average(wide), atol=3e-7)
    np.testing.assert_allclose(plain_mean(rows, 0.8), oracles.task_arithmetic(wide, 0.8), atol=3e-7)
    np.testing.assert_allclose(
        plain_disjoint_mean(rows, 0.5), oracles.ties(wide, 1.0, 0.5), atol=3e-7
    )


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(exact, min_size=6, max_size=6), min_size=1, max_size=6))
def test_disjoint_mean_on_zeros_and_cancelling_signs(values):
    wide = [np.array(row) for row in values]
    merged = plain_disjoint_mean([torch.tensor(row) for row in values], 1.0)
    np.testing.assert_allclose(merged, oracles.ties(wide, 1.0, 1.0), rtol=3e-7)


def test_disjoint_mean_by_hand():
    columns = {  # entries of three experts -> merged
        (3.0, 1.0, -1.0): 2.0,  # the positive ones win: (3 + 1) / 2
        (-3.0, 1.0, 1.0): -3.0,
        (2.0, -2.0, 0.0): 2.0,  # a sum of 0 counts as positive
        (-2.0, 0.0, 0.0): -2.0,  # zeros are not counted
        (0.0, 0.0, 0.0): 0.0,
    }
    rows = [torch.tensor(row) for row in zip(*columns, strict=True)]
    assert plain_disjoint_mean(rows, 1.0).tolist() == list(columns.values())
    assert plain_disjoint_mean(rows, 0.5).tolist() == [value / 2 for value in columns.values()]


def test_a_sum_runs_first_to_last():
    rows = [torch.tensor([x]) for x in (1e8, 1.0, -1e8)]
    assert ordered_sum(rows).item() == 0.0
    assert ordered_sum([rows[0], rows[2], rows[1]]).item() == 1.0


# --- random numbers ---

PUBLISHED = [  # Random123, tests/kat_vectors: philox4x64 10
    (
        [0] * 4,
        [0] * 2,
        [0x16554D9ECA36314C, 0xDB20FE9D672D0FDC, 0xD7E772CEE186176B, 0x7E68B68AEC7BA23B],
    ),
    (
        [2**64 - 1] * 4,
        [2**64 - 1] * 2,
        [0x87B092C3013FE90B, 0x438C3C67BE8D0224, 0x9CC7D7C69CD777B6, 0xA09CAEBF594F0BA0],
    ),
    (
        [0x243F6A8885A308D3, 0x13198A2E03707344, 0xA4093822299F31D0, 0x082EFA98EC4E6C89],
        [0x452821E638D01377, 0xBE5466CF34E90C6C],
        [0xA528F45403E61D95, 0x38C72DBD566E9788, 0xA5A1610E72FD18B5, 0x57BD43B5E52B7FE6],
    ),
]


def whole(words) -> int:
    return sum(word << 64 * i for i, word in enumerate(words))


@pytest.mark.parametrize(("counter", "key", "words"), PUBLISHED)
def test_philox_gives_the_published_words(counter, key, words):
    assert oracles.philox(counter, key) == words
    before = (whole(counter) - 1) % 2**256  # NumPy counts up before it draws
    assert np.random.Philox(counter=before, key=whole(key)).random_raw(4).tolist() == words


def test_numbers_are_philox_words_cut_in_four_from_the_low_end():
    key = int.from_bytes(hashlib.sha256(b"0/0/math/lm_head").digest()[:16], "little")
    words = [w for c in (1, 2, 3) for w in oracles.philox([c, 0, 0, 0], [key % 2**64, key >> 64])]
    expected = [word >> shift & 0xFFFF for word in words for shift in (0, 16, 32, 48)]
    assert random_uint16("0/0/math/lm_head", 0, 48).tolist() == expected
    assert random_uint16("0/0/math/lm_head", 32, 9).tolist() == expected[32:41]


@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 63])
def test_a_part_of_the_stream_is_the_stream_s(count):
    stream = random_uint16("key", 0, 400)
    for start in (0, 5, 16, 321):
        np.testing.assert_array_equal(
            random_uint16("key", start, count), stream[start : start + count]
        )


def test_numbers_are_uniform_and_streams_independent():
    one, two = random_uint16("key/a", 0, 2**18), random_uint16("key/b", 0, 2**18)
    counts = np.bincount(one >> 8, minlength=256)
    assert np.square(counts - 2**10).sum() / 2**10 < 255 + 4 * (2 * 255) ** 0.5  # chi squared, 4 sd
    assert abs(np.corrcoef(one, two)[0, 1]) < 4 / 2**9


# --- DARE ---


@pytest.mark.parametrize("rate", [0.2, 0.5, 0.9])
def test_drop_realises_the_rate_and_rescales_by_it(rate):
    n = 2**18
    thinned = dropped(torch.ones(n), rate)
    share = float((thinned == 0).double().mean())
    assert share == pytest.approx(rate, abs=4 * (rate * (1 - rate) / n) ** 0.5)
    kept = thinned[thinned != 0]
    assert kept.unique().numel() == 1
    assert kept[0].item() == pytest.approx(1 / (1 - rate), rel=1e-4)


def test_drop_against_the_paper_given_its_mask():
    delta, rate = rows_of(1, 1000)[0], 0.3
    threshold = round(rate * 2**16)
    mask = random_uint16("key", 0, 1000) < threshold
    expected = oracles.dare([delta.double().numpy()], [(mask, threshold / 2**16)], 1.0)
    np.testing.assert_allclose(dropped(delta, rate), expected, rtol=3e-7)


def test_the_mean_over_seeds_tends_to_the_task_vector():
    delta, rate, seeds = rows_of(1, 300)[0], 0.5, 2000
    average = (
        torch.stack([dropped(delta, rate, f"{seed}/a") for seed in range(seeds)]).double().mean(0)
    )
    standard = delta.double().abs() * (rate / (1 - rate) / seeds) ** 0.5
    z = ((average - delta) / standard).numpy()
    assert np.abs(z).max() < 4.5
    assert np.square(z).mean() == pytest.approx(1, abs=0.35), "entries are dropped independently"


def test_the_mask_does_not_depend_on_chunking():
    delta = rows_of(1, 1000)[0]
    parts = [dropped(delta[start : start + 43], 0.4, start=start) for start in range(0, 1000, 43)]
    assert torch.equal(torch.cat(parts), dropped(delta, 0.4))


@pytest.mark.parametrize("rate", [0.0, 0.999, 0.9999999])
def test_extreme_rates(rate):
    thinned = dropped(torch.ones(2**17), rate)
    assert thinned.isfinite().all()
    assert float((thinned == 0).double().mean()) == pytest.approx(rate, abs=3e-4)


def test_without_rescaling_kept_entries_stay_as_they_are():
    delta = rows_of(1, 1000)[0]
    thinned, plain = dropped(delta, 0.5), drop(delta, 0.5, "key", 0, rescale=False)
    assert torch.equal(plain[thinned != 0], delta[thinned != 0])
    assert not plain[thinned == 0].any()


# --- DELLA ---


def test_chances_of_being_kept_rise_with_the_rank_in_the_row():
    n, row = 2**18, 4
    delta = torch.tensor([0.3, -2.0, 1.0, 0.3]).repeat(n // row)  # of equal ones, the first is less
    kept = prune(delta, row, 0.6, 0.3, "key", 0, rescale=True)
    shares = (kept.view(-1, row) != 0).double().mean(0)
    sd = 4 * (0.25 / (n / row)) ** 0.5
    np.testing.assert_allclose(shares, [0.3, 0.9, 0.7, 0.5], atol=sd)
    means = kept.view(-1, row).double().mean(0)
    np.testing.assert_allclose(means, delta[:row], rtol=0.03)  # rescaled by the chance
    assert kept[0::4].unique().numel() == 2


def test_prune_does_not_depend_on_how_rows_are_cut():
    delta = rows_of(1, 60)[0]
    whole = prune(delta, 12, 0.5, 0.4, "key", 0, rescale=True)
    parts = [
        prune(delta[s : s + 12], 12, 0.5, 0.4, "key", s, rescale=True) for s in range(0, 60, 12)
    ]
    assert torch.equal(torch.cat(parts), whole)


# --- signs and weights ---


def test_the_elected_sign_where_the_sum_is_0():
    rows = [torch.tensor([1.0, -1.0, -0.0, 2.0]), torch.tensor([-1.0, -1.0, -0.0, -1.0])]
    assert elected_sign(rows, 1).tolist() == [1, -1, 1, 1]
    assert elected_sign(rows, -1).tolist() == [-1, -1, -1, 1]


def test_weights_by_hand():
    rows = [torch.tensor([4.0, 4.0]), torch.tensor([-1.0, 2.0])]
    assert mean(rows, [1.0, 3.0], 1.0, normalize=True).tolist() == [0.25, 2.5]
    assert mean(rows, [1.0, 3.0], 2.0, normalize=False).tolist() == [2.0, 20.0]
    assert disjoint_mean(rows, [1.0, 3.0], 1.0, normalize=True).tolist() == [4.0, 2.5]
    assert disjoint_mean(rows, [1.0, 3.0], 1.0, normalize=False).tolist() == [4.0, 10.0]
    assert disjoint_mean(rows, [1.0, 7.0], 1.0, normalize=True).tolist() == [-1.0, 2.25]


def test_oracles_stand_alone():
    source = Path(importlib.util.find_spec("tests.merging.oracles").origin).read_text()
    assert "from mergelaw" not in source
    assert "import mergelaw" not in source
