"""Records of files: read whole or refused with the place and the reason."""

import json

import polars as pl
import pytest

from mergelaw.config.data import Fields, FilesSource
from mergelaw.data.records import read_files, to_messages
from mergelaw.errors import DataError

RECORDS = [{"instruction": "1 + 1?", "output": "2"}, {"instruction": "2 + 2?", "output": "4"}]
PAIR = Fields(prompt="instruction", response="output")


def read(folder, *names, **settings):
    return list(read_files(FilesSource(kind="files", files=names, **settings), folder))


def refusal(function, *arguments) -> str:
    with pytest.raises(DataError) as caught:
        list(function(*arguments))
    return str(caught.value)


def test_a_json_list_and_jsonl_give_the_same_records(tmp_path):
    (tmp_path / "list.json").write_text(json.dumps(RECORDS, indent=1))
    lines = "\n\n".join(json.dumps(record) for record in RECORDS)  # blank lines are no records
    (tmp_path / "lines.jsonl").write_text("\n" + lines + "\r\n")
    both = read(tmp_path, "list.json", "lines.jsonl")
    assert [record for _, record in both] == RECORDS * 2
    assert [place for place, _ in both] == [
        "list.json[0]",
        "list.json[1]",
        "lines.jsonl:2",
        "lines.jsonl:4",
    ]


def test_a_line_separator_inside_a_text_ends_no_line(tmp_path):
    text = "a\u2028b"
    (tmp_path / "a.jsonl").write_text(
        json.dumps({"text": text}, ensure_ascii=False), encoding="utf-8"
    )
    assert read(tmp_path, "a.jsonl")[0][1] == {"text": text}


def test_a_mark_of_the_encoding_is_no_text(tmp_path):
    for name, text in (("a.json", json.dumps(RECORDS)), ("a.jsonl", json.dumps(RECORDS[0]))):
        (tmp_path / name).write_text(text, encoding="utf-8-sig")
    assert [record for _, record in read(tmp_path, "a.json", "a.jsonl")] == [*RECORDS, RECORDS[0]]


def test_jsonl_is_read_line_by_line(tmp_path):
    (tmp_path / "a.jsonl").write_text(json.dumps(RECORDS[0]) + "\n{broken")
    lines = read_files(FilesSource(kind="files", files=("a.jsonl",)), tmp_path)
    assert next(lines) == ("a.jsonl:1", RECORDS[0])
    with pytest.raises(DataError, match=r"a\.jsonl:2: is not JSON"):
        next(lines)


def test_parquet_gives_the_same_records_and_only_the_fields_asked_for(tmp_path):
    pl.DataFrame([r | {"more": 1} for r in RECORDS]).write_parquet(tmp_path / "a[b].parquet")
    assert read(tmp_path, "a[b].parquet") == [
        ("a[b].parquet[0]", RECORDS[0]),
        ("a[b].parquet[1]", RECORDS[1]),
    ]


def test_conversations_in_parquet(tmp_path):
    talk = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    frame = pl.DataFrame({"talk": [talk, [*talk, *talk]], "id": [1, 2]})
    frame.write_parquet(tmp_path / "a.parquet")
    records = read(tmp_path, "a.parquet", fields=Fields(messages="talk"))
    found = [to_messages(r, Fields(messages="talk"), place) for place, r in records]
    assert [messages for messages, _ in found] == [talk, [*talk, *talk]]


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (None, "a.parquet: is not a readable parquet file ("),
        (pl.DataFrame(schema={"instruction": str, "output": str}), "a.parquet: holds no rows"),
        (
            pl.DataFrame({"instruction": ["?"], "answer": ["2"]}),
            "a.parquet: lacks field 'output'; it has 'instruction', 'answer'",
        ),
        (
            pl.DataFrame({"q": ["?"]}),
            "a.parquet: lacks field 'instruction', 'output'; it has 'q'",
        ),
    ],
)
def test_a_bad_parquet_file_is_refused(tmp_path, frame, reason):
    if frame is not None:
        frame.write_parquet(tmp_path / "a.parquet")
    assert refusal(read, tmp_path, "a.parquet").startswith(f"{tmp_path}/{reason}")


def test_a_truncated_parquet_file_is_refused(tmp_path):
    path = tmp_path / "a.parquet"
    pl.DataFrame(RECORDS).write_parquet(path)
    path.write_bytes(path.read_bytes()[:-20])
    assert refusal(read, tmp_path, "a.parquet").startswith(f"{path}: is not a readable parquet")
    path.write_text(json.dumps(RECORDS))
    assert refusal(read, tmp_path, "a.parquet").startswith(f"{path}: is not a readable parquet")


def test_a_null_in_parquet_is_refused_with_its_place(tmp_path):
    pl.DataFrame({"instruction": ["?", None], "output": ["2", "4"]}).write_parquet(
        tmp_path / "a.parquet"
    )
    _, (place, record) = read(tmp_path, "a.parquet")
    assert refusal(to_messages, record, PAIR, place).startswith(
        "a.parquet[1]: field 'instruction' must be text that is not blank, not None"
    )


def test_an_absolute_path_ignores_the_folder(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(RECORDS))
    assert len(read(tmp_path / "elsewhere", str(tmp_path / "a.json"))) == 2


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "a.json: cannot be read (No such file or directory)"),
        (b"", "a.json: is empty"),
        (b" \n\t\n", "a.json: is empty"),
        (b"\xff\xfe", "a.json: cannot be read (not UTF-8 text)"),
        (b"[]", "a.json: holds an empty list"),
        (b'[{"a": 1},', "a.json: is not JSON ("),
        (b'{"a": 1}\n{"a": 2\n{"a": 3}', "a.json:2: is not JSON ("),
        (b'{"a": 1}\n\n"text"', "a.json:3: must be an object with named fields, not 'text'"),
        (b'[{"a": 1}, 7]', "a.json[1]: must be an object with named fields, not 7"),
    ],
)
def test_a_bad_file_is_refused_with_its_place(tmp_path, content, reason):
    if content is not None:
        (tmp_path / "a.json").write_bytes(content)
    assert refusal(read, tmp_path, "a.json").startswith(f"{tmp_path}/{reason}")


def test_prompt_and_response_become_two_turns():
    record = {"instruction": " Add.\n", "output": "2 ", "source": "x"}
    messages, plain = to_messages(record, PAIR, "here")
    assert messages == [{"role": "user", "content": "Add."}, {"role": "assistant", "content": "2"}]
    assert plain == "Add.\n2"


def test_text_becomes_a_document_without_turns():
    assert to_messages({"body": " A text. "}, Fields(text="body"), "here") == ([], "A text.")


def test_messages_are_taken_as_they_are():
    turns = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
    ]
    record = {"talk": [turn | {"id": 3} for turn in turns]}
    messages, plain = to_messages(record, Fields(messages="talk"), "here")
    assert messages == turns
    assert plain == "Be brief.\nHi\nHello"


@pytest.mark.parametrize(
    ("record", "fields", "reason"),
    [
        (
            {"question": "?", "output": "2"},
            PAIR,
            "lacks field 'instruction'; it has 'question', 'output'",
        ),
        (
            {"instruction": "?", "answer": "2"},
            PAIR,
            "lacks field 'output'; it has 'instruction', 'answer'",
        ),
        ({"a": "b"}, Fields(text="text"), "lacks field 'text'; it has 'a'"),
        ({"a": "b"}, Fields(messages="talk"), "lacks field 'talk'; it has 'a'"),
        (
            {"instruction": " \n", "output": "2"},
            PAIR,
            "field 'instruction' must be text that is not blank",
        ),
        (
            {"instruction": "?", "output": None},
            PAIR,
            "field 'output' must be text that is not blank, not None",
        ),
        (
            {"instruction": "?", "output": 2},
            PAIR,
            "field 'output' must be text that is not blank, not 2",
        ),
    ],
)
def test_a_bad_record_is_refused_with_its_place(record, fields, reason):
    assert refusal(to_messages, record, fields, "file:3").startswith(f"file:3: {reason}")


USER, ASSISTANT = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}


@pytest.mark.parametrize(
    "talk",
    [
        None,
        "Hi",
        [],
        [ASSISTANT],
        [USER, ASSISTANT, USER],
        [USER, {"role": "assistant", "content": " "}],
        [USER, {"role": "assistant"}],
        [{"content": "Hi"}, ASSISTANT],
        [USER, "oops", ASSISTANT],
        [USER, {"role": "assistant", "content": ["Hello"]}],
    ],
)
def test_a_bad_conversation_is_refused(talk):
    message = refusal(to_messages, {"talk": talk}, Fields(messages="talk"), "file:3")
    assert message.startswith("file:3: field 'talk' must be a list of at least two {role, content}")
