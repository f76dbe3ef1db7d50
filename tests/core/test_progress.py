"""Progress: every element passes through; a log tells count, rate and time left."""

import itertools
import sys

import pytest

from mergelaw import progress as module
from mergelaw.progress import progress


@pytest.fixture
def clock(monkeypatch):
    """A clock that moves 4 seconds at every look."""
    times = itertools.count(0, 4)
    monkeypatch.setattr(module.time, "monotonic", lambda: float(next(times)))


def test_a_log_gets_a_line_every_ten_seconds_and_a_last_one(clock, capsys):
    assert list(progress(iter(range(7)), 7, "sweep ties", "merge")) == list(range(7))
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert out == ""
    # looks at 4, 8, ... 28 s: the third (12 s) and sixth (24 s) are 10 s after the last line
    assert len(lines) == 3
    assert lines[0].startswith("sweep ties:  29% 2/7 [00:12<00:30")  # 5 left at 6 s each
    assert "6.00s/merge" in lines[0]
    assert lines[1].startswith("sweep ties:  71% 5/7 [00:24<00:09")
    assert lines[2].startswith("sweep ties: 100% 7/7 [00:32<00:00")


def test_short_work_is_one_line(capsys):
    assert list(progress([], 0, "nothing", "step")) == []
    assert list(progress("ab", 2, "short", "step")) == ["a", "b"]
    assert [line.split(":")[0] for line in capsys.readouterr().err.splitlines()] == [
        "nothing",
        "short",
    ]


def test_work_is_drawn_one_at_a_time():
    drawn = []
    work = (drawn.append(i) or i for i in range(5))
    steps = progress(work, 5, "lazy", "step")
    next(steps)
    next(steps)
    assert drawn == [0, 1]


def test_an_error_of_the_work_goes_through():
    def failing():
        yield 1
        raise ValueError("step 2")

    with pytest.raises(ValueError, match="step 2"):
        list(progress(failing(), 2, "label", "step"))


def test_a_terminal_gets_a_bar_and_nothing_is_lost(monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert list(progress(iter("abc"), 3, "bar", "step")) == ["a", "b", "c"]
    err = capsys.readouterr().err
    assert "\r" in err
    assert "3/3" in err
