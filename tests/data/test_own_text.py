"""Text files as people have them become sources of a study."""

import json

import polars as pl
import pytest

from mergelaw.data.own_text import source_of
from mergelaw.data.records import read_files, to_messages
from mergelaw.errors import DataError


def items(path, folder):
    source = source_of(path, folder / f"{path.stem}.jsonl")
    return [
        to_messages(record, source.fields, place) for place, record in read_files(source, folder)
    ]


@pytest.mark.parametrize(
    ("record", "prompt"),
    [
        ({"instruction": "q", "output": "a", "source": "x"}, "q"),
        ({"Question": "q", "Answer": "a"}, "q"),
        ({"problem": "q", "solution": "a", "text": "not this"}, "q"),
    ],
)
def test_pairs_are_found_by_their_names(tmp_path, record, prompt):
    path = tmp_path / "own.jsonl"
    path.write_text(json.dumps(record) + "\n")
    [(messages, _)] = items(path, tmp_path / "text")
    assert [turn["content"] for turn in messages] == [prompt, "a"]
    assert not (tmp_path / "text").exists()


def test_conversations_and_lists_and_parquet(tmp_path):
    turns = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
    (tmp_path / "chat.json").write_text(json.dumps([{"messages": turns}]))
    pl.DataFrame({"text": ["one", "two"]}).write_parquet(tmp_path / "own.parquet")
    assert items(tmp_path / "chat.json", tmp_path)[0][0] == turns
    assert [plain for _, plain in items(tmp_path / "own.parquet", tmp_path)] == ["one", "two"]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_rows_of_a_table(tmp_path, delimiter):
    path = tmp_path / "own.csv"
    path.write_text(f'prompt{delimiter}completion\n"q, 1"{delimiter}"a\nb"\n')
    [(messages, _)] = items(path, tmp_path / "text")
    assert [turn["content"] for turn in messages] == ["q, 1", "a\nb"]


def test_plain_text_is_cut_at_empty_lines_else_at_lines(tmp_path):
    (tmp_path / "a.txt").write_text("one\ntwo\n\n \nthree\n")
    (tmp_path / "b.md").write_text("one\ntwo\n")
    assert [p for _, p in items(tmp_path / "a.txt", tmp_path / "t")] == ["one\ntwo", "three"]
    assert [p for _, p in items(tmp_path / "b.md", tmp_path / "t")] == ["one", "two"]


def test_what_was_written_is_written_again_only_if_it_changed(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("one\n\ntwo\n")
    source_of(path, tmp_path / "t" / "a.jsonl")
    before = (tmp_path / "t" / "a.jsonl").stat().st_mtime_ns
    source_of(path, tmp_path / "t" / "a.jsonl")
    assert (tmp_path / "t" / "a.jsonl").stat().st_mtime_ns == before
    path.write_text("one\n\nthree\n")
    assert [plain for _, plain in items(path, tmp_path / "t")] == ["one", "three"]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.txt", " \n", "a.txt: is empty"),
        ("a.jsonl", "", "a.jsonl: is empty"),
        ("a.csv", "prompt,response\n", "has a header and no rows"),
        ("a.csv", "prompt,response\nq\n", "row 2 has not as many cells"),
        ("a.jsonl", '{"frage": "q"}\n', "its fields are 'frage'; none of these is there: messages"),
        ("a.jsonl", "{broken\n", "a.jsonl:1: is not JSON"),
        ("a.parquet", "no", "is not a readable parquet file"),
        (None, "", "cannot be read"),
    ],
)
def test_files_that_cannot_be_used(tmp_path, name, text, words):
    path = tmp_path / (name or "missing.txt")
    if name:
        path.write_text(text)
    with pytest.raises(DataError, match=r".*") as caught:
        source_of(path, tmp_path / "t" / "a.jsonl")
    assert words in str(caught.value)


def test_a_cell_may_be_as_long_as_a_document(tmp_path):
    path = tmp_path / "long.csv"
    path.write_text(f"prompt,response\nq,{'x' * 200_000}\n")
    [(messages, _)] = items(path, tmp_path / "t")
    assert len(messages[1]["content"]) == 200_000


def test_a_table_that_csv_cannot_read_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr("mergelaw.data.own_text.LONGEST_CELL", 10)
    path = tmp_path / "long.csv"
    path.write_text(f"prompt,response\nq,{'x' * 20}\n")
    with pytest.raises(DataError, match="cannot be read as a table"):
        source_of(path, tmp_path / "t.jsonl")
