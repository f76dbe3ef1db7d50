"""What a chunk has scored: a record at a time, and nothing that a kill or an edit made of it."""

import pytest

from mergelaw.records import record_line
from mergelaw.sweep.finished import Finished

SUMS = [[1.25, 1e-300], [0.1 + 0.2]]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "sweep" / "0.progress"


@pytest.fixture
def three(path):
    """Return the file of three records and where each line ends."""
    ends = []
    with Finished(path, "one") as finished:
        ends.append(path.stat().st_size)
        for name in ("a", "b", "a+b"):
            finished.add((0, name), SUMS)
            ends.append(path.stat().st_size)
    return ends


def test_sums_come_back_to_the_last_bit_in_their_order(path, three):
    with Finished(path, "one") as finished:
        assert list(finished.sums) == [(0, "a"), (0, "b"), (0, "a+b")]
        assert all(sums == SUMS for sums in finished.sums.values())


def test_a_torn_record_is_forgotten_wherever_it_is_torn(path, three):
    whole = path.read_bytes()
    for length in range(three[2] + 1, three[3]):
        path.write_bytes(whole[:length])
        with Finished(path, "one") as finished:
            assert list(finished.sums) == [(0, "a"), (0, "b")]
            finished.add((0, "a+b"), SUMS)
        assert path.read_bytes() == whole, "and what follows it is not spoilt"


def test_a_changed_byte_ends_what_is_believed(path, three):
    content = bytearray(path.read_bytes())
    content[three[1] + 20] ^= 1
    path.write_bytes(content)
    with Finished(path, "one") as finished:
        assert list(finished.sums) == [(0, "a")]


def test_another_identity_begins_anew(path, three):
    with Finished(path, "two") as finished:
        assert not finished.sums
    assert path.stat().st_size == three[0]


def test_a_file_of_another_format_begins_anew(path):
    path.parent.mkdir()
    path.write_bytes(
        record_line({"format": "older", "identity": "one"}) + record_line([0, "a", []])
    )
    with Finished(path, "one") as finished:
        assert not finished.sums


def test_sums_that_are_not_finite_are_never_kept(path, three):
    with Finished(path, "one") as finished, pytest.raises(ValueError, match="JSON compliant"):
        finished.add((0, "c"), [[float("nan")]])
    assert path.stat().st_size == three[3]


def test_removing_it_twice_is_no_error(path, three):
    with Finished(path, "one") as finished:
        finished.remove()
        finished.remove()
    assert not path.exists()
