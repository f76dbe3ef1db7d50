"""Known 2-designs: every pair equally often in each; fields, orbits, and what is near-balanced."""

import itertools
import math
from collections import Counter

import pytest

from mergelaw.design import affine_plane, smallest
from mergelaw.design.base_blocks import BASE_BLOCKS
from mergelaw.design.budget import family, is_two_design, order_of_k, together
from mergelaw.design.families import FAMILIES
from mergelaw.design.fields import field, prime_power
from mergelaw.design.orbits import develop, differences, starters

POOLS = range(3, 28)


def pair_counts(blocks):
    return Counter(pair for block in blocks for pair in itertools.combinations(sorted(block), 2))


@pytest.mark.parametrize("m", POOLS)
def test_every_family_has_every_pair_equally_often_and_no_block_twice(m):
    for k in range(2, m):
        built = [known for build in FAMILIES for known in build(m, k)]
        built += [known for known in (smallest(m, k),) if known]
        for known in built:
            blocks = known.blocks
            assert len(set(blocks)) == len(blocks), (known.family, k)
            assert {len(block) for block in blocks} == {k}
            pairs = pair_counts(blocks)
            assert len(pairs) == math.comb(m, 2), (known.family, k)
            [together_in] = set(pairs.values())
            assert together_in * m * (m - 1) == len(blocks) * k * (k - 1)


@pytest.mark.parametrize(
    ("m", "k", "n_blocks"),
    [
        *((7, 3, 7), (9, 3, 12), (13, 4, 13), (15, 7, 15), (16, 4, 20), (21, 5, 21), (25, 5, 30)),
        *((13, 3, 26), (15, 3, 35), (19, 3, 57), (21, 3, 70), (27, 9, 39), (27, 3, 117)),
        *((11, 5, 11), (19, 9, 19), (23, 11, 23), (27, 13, 27), (12, 6, 22), (8, 4, 14)),
        *((16, 6, 16), (10, 4, 15), (6, 3, 10), (10, 5, 18), (9, 4, 18), (25, 8, 75)),
        *((12, 4, 33), (12, 3, 44), (18, 9, 34), (20, 5, 76), (64, 8, 72), (31, 6, 31)),
    ],
)
def test_small_designs_that_are_known_are_found(m, k, n_blocks):
    """Numbers of blocks from the Handbook's tables (II.1, II.2, II.6, V.1)."""
    assert len(smallest(m, k).blocks) == n_blocks
    complement = smallest(m, m - k)
    assert len(complement.blocks) == n_blocks
    assert {m - len(block) for block in complement.blocks} == {k}


def test_no_design_has_fewer_blocks_than_points():
    """Fisher's inequality (Handbook, II.1.9)."""
    for m in POOLS:
        for k in range(2, m - 1):
            known = smallest(m, k)
            assert known is None or len(known.blocks) >= m


@pytest.mark.parametrize("q", [2, 3, 4, 5, 7, 8, 9, 11, 16, 25, 27])
def test_fields_are_fields(q):
    numbers = field(q)
    for table, rest in ((numbers.plus, range(q)), (numbers.times, range(1, q))):
        for a in rest:
            assert sorted(table[a][b] for b in rest) == list(rest)
    for a, b, c in itertools.product(range(min(q, 9)), repeat=3):
        left = numbers.times[a][numbers.plus[b][c]]
        assert left == numbers.plus[numbers.times[a][b]][numbers.times[a][c]]
        assert numbers.times[a][b] == numbers.times[b][a]
    assert sorted(numbers.powers()) == list(range(1, q))


def test_prime_powers():
    known = {q: prime_power(q) for q in range(30) if prime_power(q)}
    assert known[8] == (2, 3)
    assert known[27] == (3, 3)
    assert sorted(known) == [2, 3, 4, 5, 7, 8, 9, 11, 13, 16, 17, 19, 23, 25, 27, 29]
    with pytest.raises(ValueError, match="6 elements"):
        field(6)


@pytest.mark.parametrize("q", [3, 5])
def test_planes_of_prime_order_are_those_of_the_fields(q):
    lines = [frozenset(line) for parallel in affine_plane(q) for line in parallel]
    assert set(lines) == set(smallest(q * q, q).blocks)


def test_shifts_keep_the_fixed_point_and_come_once():
    assert list(develop([(0, 2)], 4)) == [frozenset({0, 2}), frozenset({1, 3})]
    assert len(list(develop([(0, 1, 4)], 4))) == 4
    assert all(4 in block for block in develop([(0, 1, 4)], 4))


@pytest.mark.parametrize(("m", "k"), sorted(BASE_BLOCKS))
def test_base_blocks_are_where_no_other_family_is_as_small(m, k):
    assert "difference family" in smallest(m, k).family
    assert 2 <= k <= m / 2


@pytest.mark.parametrize(("m", "k", "count"), [(10, 3, 2), (11, 4, 1), (14, 5, 1), (20, 7, 1)])
def test_a_search_balances_pairs_better_than_chance(m, k, count):
    blocks = starters(m, k, count)
    assert starters.__wrapped__(m, k, count) == blocks, "the same in every run"
    spread = Counter(differences(blocks, m)[1:])
    assert max(spread) - min(spread) <= 3
    runs = differences([tuple(range(k))] * count, m)[1:]
    assert sum(c * c for c in differences(blocks, m)[1:]) < sum(c * c for c in runs)


@pytest.mark.parametrize("m", [8, 10, 14, 20, 30])
def test_what_is_near_balanced_has_experts_equally_often(m):
    for k in range(2, m):
        offered = family(m, k)
        singles, pairs = together(m, offered.blocks)
        assert len(set(singles)) == 1
        assert offered.is_exact == is_two_design(m, offered.blocks) == (len(set(pairs)) == 1)
        mean = len(offered.blocks) * k * (k - 1) / (m * (m - 1))
        assert max(pairs) - min(pairs) <= max(3, mean)


def test_k_are_bought_spread_out_and_cheap_first():
    assert order_of_k(9) == (1, 9, 3, 6, 4, 8, 2, 5, 7)
    for m in (3, 6, 16, 33):
        order = order_of_k(m)
        assert sorted(order) == list(range(1, m + 1))
        assert order[:2] == (1, m)
