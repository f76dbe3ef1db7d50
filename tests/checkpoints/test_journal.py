"""The journal: believed to its last good line, never ahead of the data that it speaks of."""

import json
import os
import threading
import time

import pytest

from mergelaw import records
from mergelaw.checkpoints import journal
from mergelaw.checkpoints.journal import Journal, is_journal, read_journal
from tests.checkpoints.writing import wait_until

SPANS = [("a", 0, 4), ("a", 4, 6), ("b", 0, 1)]
FACTS = {"kept": 3, "gram": [[0.1 + 0.2, 1e-300], [1e300, -0.0]], "note": "ü"}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal"


@pytest.fixture(autouse=True)
def fast(monkeypatch):
    monkeypatch.setattr(journal, "SYNC_SECONDS", 0.01)


def opened(path, identity="one", sync=lambda names: None) -> Journal:
    return Journal(path, identity, sync)


@pytest.fixture
def written(path):
    """The bytes of a journal of three spans."""
    book = opened(path)
    for span in SPANS:
        book.record(span, FACTS | {"start": span[1]})
    book.close()
    return path.read_bytes()


def test_records_come_back_bit_for_bit(path, written):
    book = opened(path)
    assert book.done == {span: FACTS | {"start": span[1]} for span in SPANS}
    assert str(book.done[SPANS[0]]["gram"][1][1]) == "-0.0"
    book.close()
    assert path.read_bytes() == written
    assert is_journal(path)


def test_facts_are_the_same_before_and_after_a_restart(path):
    book = opened(path)
    book.record(SPANS[0], {"pair": (1, 2), 3: "three"})
    before = dict(book.done)
    book.close()
    assert before == read_journal(path, "one")[0] == {SPANS[0]: {"pair": [1, 2], "3": "three"}}


def test_a_torn_line_is_forgotten_wherever_it_is_torn(path, written):
    first, second = (len(line) for line in written.splitlines(keepends=True)[:2])
    for length in range(len(written)):
        path.write_bytes(written[:length])
        lines = written[:length].count(b"\n")
        assert list(read_journal(path, "one")[0]) == SPANS[: max(lines - 1, 0)]
    path.write_bytes(written[: first + second + 5])
    book = opened(path)
    assert list(book.done) == SPANS[:1]
    book.record(SPANS[2], {})
    book.close()
    assert list(read_journal(path, "one")[0]) == [SPANS[0], SPANS[2]]


def test_nothing_after_a_changed_byte_is_believed(path, written):
    ends = [written[:i].count(b"\n") for i in range(len(written))]
    for place in range(len(written)):
        path.write_bytes(written[:place] + bytes([written[place] ^ 1]) + written[place + 1 :])
        assert list(read_journal(path, "one")[0]) == SPANS[: max(ends[place] - 1, 0)]


@pytest.mark.parametrize(
    "other",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"anything\n"),
        lambda path: path.write_bytes(records.record_line({"format": "2", "identity": "one"})),
        lambda path: path.write_bytes(records.record_line(["one"])),
        lambda path: journal.begin_journal(path, "two"),
    ],
)
def test_another_journal_is_begun_anew(path, written, other):
    records = written.split(b"\n", 1)[1]
    other(path)
    path.write_bytes(path.read_bytes() + records)
    book = opened(path)
    assert book.done == {}
    book.record(SPANS[2], {})
    book.close()
    assert list(read_journal(path, "one")[0]) == SPANS[2:]


@pytest.mark.parametrize("facts", [{"x": float("nan")}, {"x": float("inf")}, {"x": object()}])
def test_facts_that_are_no_json_are_refused_at_once(path, facts):
    book = opened(path)
    with pytest.raises((ValueError, TypeError), match="JSON"):
        book.record(SPANS[0], facts)
    assert not book.done
    book.close()


class Syncs:
    """A sync of data that lasts until it is told to end, and counts."""

    def __init__(self, path):
        self.path = path
        self.begun, self.go_on = threading.Event(), threading.Event()
        self.names, self.lines_then = [], []

    def __call__(self, names):
        self.names.append(names)
        self.lines_then.append(self.path.read_bytes().count(b"\n") - 1)
        self.begun.set()
        assert self.go_on.wait(10)


def test_a_line_waits_for_the_sync_of_its_data(path):
    sync = Syncs(path)
    book = opened(path, sync=sync)
    book.record(SPANS[0], {})
    assert sync.begun.wait(10)
    book.record(SPANS[2], {})  # written while the sync runs: it may have missed it
    time.sleep(0.05)
    assert read_journal(path, "one")[0] == {}
    sync.go_on.set()
    book.close()
    assert sync.names == [{"a"}, {"b"}]
    assert sync.lines_then == [0, 1]
    assert list(read_journal(path, "one")[0]) == [SPANS[0], SPANS[2]]


def test_lines_are_synced_too(path, monkeypatch):
    calls = []
    sync, write = journal.sync_data, os.write
    monkeypatch.setattr(journal, "sync_data", lambda fd: (calls.append("sync"), sync(fd)))
    monkeypatch.setattr(os, "write", lambda fd, data: (calls.append("line"), write(fd, data))[1])
    book = opened(path, sync=lambda names: calls.append("data"))
    book.record(SPANS[0], {})
    book.close()
    assert calls == ["data", "line", "sync"]


def test_records_are_durable_without_waiting_for_the_end(path):
    book = opened(path)
    book.record(SPANS[0], {})
    wait_until(lambda: read_journal(path, "one")[0])
    assert list(read_journal(path, "one")[0]) == SPANS[:1]
    book.close()


def test_an_error_of_the_thread_reaches_the_caller_and_ends_all_recording(path):
    begun, go_on = threading.Event(), threading.Event()

    def fail(names):
        if names == {"b"}:
            begun.set()
            assert go_on.wait(10)
            raise OSError(5, "Input/output error")

    book = opened(path, sync=fail)
    book.record(SPANS[0], {})
    wait_until(lambda: read_journal(path, "one")[0])
    book.record(SPANS[2], {})
    assert begun.wait(10)
    book.record(SPANS[1], {})  # its sync may report success: the system tells of a loss once
    go_on.set()
    time.sleep(0.05)
    for call in (lambda: book.record(SPANS[1], {}), book.check, book.close):
        with pytest.raises(OSError, match="Input/output"):
            call()
    assert list(read_journal(path, "one")[0]) == SPANS[:1]


def test_a_half_written_line_is_written_in_full(path, monkeypatch):
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, data[:3]))
    book = opened(path)
    book.record(SPANS[0], FACTS)
    book.close()
    assert read_journal(path, "one")[0] == {SPANS[0]: FACTS}


def test_threads_record_side_by_side(path):
    book = opened(path)
    spans = [("t", i, i + 1) for i in range(400)]
    threads = [
        threading.Thread(target=lambda k=k: [book.record(s, {"k": k}) for s in spans[k::4]])
        for k in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    book.close()
    assert read_journal(path, "one")[0] == {s: {"k": i % 4} for i, s in enumerate(spans)}


def test_is_journal_knows_other_files(path):
    assert not is_journal(path)
    path.write_text(json.dumps({"format": journal.FORMAT}))
    assert not is_journal(path)
    journal.begin_journal(path, "whatever")
    assert is_journal(path)
