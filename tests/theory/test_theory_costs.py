"""What the theory stage is estimated to cost: merges by block of logits, graphs kept twice."""

import pytest

from mergelaw.costs.sweep import SweepSize
from mergelaw.costs.theory import HELD_VECTORS, TWICE, graph_bytes, logit_rows, route_passes
from tests.core.test_estimate import ladder


def test_every_block_of_logits_shows_all_merges_again():
    rows = logit_rows(4 * 2**30, 152_000, 9)
    assert 12 * 4 * 152_000 * rows <= 2**30 < 12 * 4 * 152_000 * (rows + 1)
    assert logit_rows(1.0, 152_000, 9) == 1
    one, many = route_passes("gauss_newton", 9), route_passes("gauss_newton", 9, 63)
    assert (one.n_merges, many.n_merges) == (10, 630)
    assert one.forwards == many.forwards


def test_a_backward_pass_that_is_differentiated_keeps_all_layers():
    case = ladder()
    at = SweepSize(case, next(iter(case.sizes)))
    shape = case.sizes[at.size].shape
    kept = graph_bytes(at, True, 100) - at.working_bytes
    assert kept == pytest.approx(
        TWICE * HELD_VECTORS * shape.layers * 100 * shape.width * 4, rel=1e-6
    )
    assert graph_bytes(at, True, 200) > graph_bytes(at, True, 100)
