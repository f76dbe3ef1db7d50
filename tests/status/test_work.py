"""Merges an hour from attempts whose times are chosen: overlaps, gaps, and the last hour."""

from datetime import UTC, datetime

import pytest

from mergelaw.jobs.record import JobRecord
from mergelaw.status.states import JobState
from mergelaw.status.work import merges_per_hour


def attempt(start: float, seconds: float, n_merges: int) -> JobState:
    """A chunk's attempt that began so many seconds after 2001 and scored so many merges."""
    record = JobRecord.model_construct(
        started=datetime.fromtimestamp(10**9 + start, UTC), merges_before=0
    )
    return JobState("done", None, record, seconds, 0.0, n_merges)


@pytest.mark.parametrize(
    ("attempts", "merges", "seconds"),
    [
        ([], None, None),
        ([(0, 100, 0)], None, None),
        ([(0, 100, 10)], 10, 100),
        ([(0, 100, 10), (50, 100, 20)], 30, 150),  # at once for 50 s
        ([(0, 100, 10), (20, 30, 5)], 15, 100),  # one within the other
        ([(0, 100, 10), (1000, 100, 10)], 20, 200),  # nothing ran for 900 s
        ([(0, 100, 10), (9000, 100, 7)], 7, 100),  # the first is longer ago than an hour
        ([(0, 7200, 100)], 50, 3600),  # half of it was in the last hour
    ],
)
def test_merges_an_hour(attempts, merges, seconds):
    found = merges_per_hour([attempt(*each) for each in attempts])
    if merges is None:
        assert found is None
    else:
        assert found == pytest.approx((merges * 3600 / seconds, seconds / 3600))
