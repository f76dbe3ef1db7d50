"""Items and their split: a text is on one side only, and no held-out text is trained on."""

import itertools
import json
import random
import re

import pytest

from mergelaw.config.data import Shares
from mergelaw.data.domains import DOMAINS
from mergelaw.data.items import BLOCK, domain_items, side_of, split_of, text_digest
from mergelaw.data.pretraining import documents, tokenizer_texts
from mergelaw.errors import DataError
from tests.helpers import study_of

SHARES = Shares(base=0.5, train=0.3, heldout=0.2)


def files_study(folder, **records):
    """Return a study whose domains are files of (instruction, output) pairs."""
    for name, pairs in records.items():
        rows = [{"instruction": problem, "output": answer} for problem, answer in pairs]
        (folder / f"{name}.json").write_text(json.dumps(rows))
    return study_of(
        (
            "domains",
            [{"name": n, "source": {"kind": "files", "files": [f"{n}.json"]}} for n in records],
        ),
        ("experts", [{"name": f"e{i}", "domain": next(iter(records))} for i in range(3)]),
        ("data_folder", str(folder)),
    )


def pairs(n, start=0):
    return [(f"What is {i} plus {i}?", str(2 * i)) for i in range(start, start + n)]


def sides(frame) -> dict[str, str]:
    return {
        messages[0]["content"]: split
        for messages, split in frame.select("messages", "split").iter_rows()
    }


def test_a_text_is_on_the_same_side_in_any_order_and_domain(tmp_path):
    shuffled = pairs(200)
    random.Random(0).shuffle(shuffled)
    study = files_study(tmp_path, first=pairs(200), second=shuffled + pairs(50, 1000))
    first, second = (sides(domain_items(study, name)) for name in ("first", "second"))
    assert len(first) == 200
    assert {problem: second[problem] for problem in first} == first
    assert set(first.values()) == {"base", "train", "heldout"}


def test_repeats_collapse_whatever_their_case_and_white_space(tmp_path):
    repeated = [("what  IS 3\nplus 3? ", "a second answer"), ("What is 3 plus 3?", "a third")]
    study = files_study(tmp_path, one=pairs(100) + repeated)
    frame = domain_items(study, "one")
    assert frame.height == 100
    answers = {m[0]["content"]: m[1]["content"] for m in frame["messages"].to_list()}
    assert answers["What is 3 plus 3?"] == "6", "the first of the repeats stays"


def test_the_digest_is_of_the_normal_text():
    assert text_digest(" A  b\n") == text_digest("a B") != text_digest("ab")
    assert re.fullmatch("[0-9a-f]{32}", text_digest("x"))


def test_shares_are_respected():
    ids = [text_digest(f"problem {i}") for i in range(20_000)]
    found = [split_of(item, SHARES, seed=0) for item in ids]
    for side, share in SHARES.model_dump().items():
        assert found.count(side) / len(ids) == pytest.approx(
            share, abs=4 * (0.25 / len(ids)) ** 0.5
        )
    again = [split_of(item, SHARES, seed=1) for item in ids]
    agreement = sum(map(str.__eq__, found, again)) / len(ids)
    assert agreement == pytest.approx(0.5**2 + 0.3**2 + 0.2**2, abs=0.015), (
        "another seed, another split"
    )


def test_a_larger_training_share_only_moves_items_at_the_border():
    ids = [text_digest(f"problem {i}") for i in range(2000)]
    larger = Shares(base=0.5, train=0.4, heldout=0.1)
    moved = {(a, b) for i in ids if (a := split_of(i, SHARES, 0)) != (b := split_of(i, larger, 0))}
    assert moved == {("heldout", "train")}


def test_the_whole_conversation_but_the_answer_is_the_problem(tmp_path):
    turns = [{"role": "user", "content": "Add 1 and 1."}, {"role": "assistant", "content": "2"}]
    talk = [*turns, {"role": "user", "content": "And 1?"}, {"role": "assistant", "content": "3"}]
    other = [*talk[:3], {"role": "assistant", "content": "three"}]
    (tmp_path / "talk.jsonl").write_text(
        "\n".join(json.dumps({"m": m}) for m in (turns, talk, other))
    )
    source = {"kind": "files", "files": ["talk.jsonl"], "fields": {"messages": "m"}}
    study = study_of(
        ("domains.0.source", source),
        ("data_folder", str(tmp_path)),
        ("data.shares", {"base": 0, "train": 0, "heldout": 1}),
        ("data.generic_share", 1),
        (
            "sizes",
            [
                {
                    "name": "s",
                    "base": "/base",
                    "experts": {"algebra": "/a", "biology": "/b", "code": "/c"},
                }
            ],
        ),
        ("tokenizer", {"path": "/b"}),
    )
    frame = domain_items(study, "algebra")
    assert [len(messages) for messages in frame["messages"].to_list()] == [2, 4]


def test_an_empty_side_is_refused(tmp_path):
    study = files_study(tmp_path, few=pairs(1))
    with pytest.raises(
        DataError, match=r"domain 'few': 1 distinct items leave split \w+ and \w+ empty"
    ):
        domain_items(study, "few")


def normal(text: str) -> str:
    return " ".join(text.split()).casefold()


def test_no_held_out_problem_occurs_in_any_training_text():
    domains = [
        {"name": n, "source": {"kind": "procedural", "generator": n, "items": 150}} for n in DOMAINS
    ]
    study = study_of(("domains", domains))
    frames = {name: domain_items(study, name) for name in study.domain_names}
    heldout = [
        normal(m[0]["content"])
        for frame in frames.values()
        for m in frame.filter(split="heldout")["messages"].to_list()
    ]
    assert len(heldout) > 9 * 15
    import polars as pl

    items = pl.concat(frames.values())
    sft = [turn["content"] for m in items.filter(split="train")["messages"].to_list() for turn in m]
    texts = [*itertools.islice(documents(study, items), 3000), *tokenizer_texts(study, items), *sft]
    trained_on = "\n".join(map(normal, texts))
    assert [problem for problem in heldout if problem in trained_on] == []
    train = [normal(m[0]["content"]) for m in items.filter(split="train")["messages"].to_list()]
    assert all(problem in trained_on for problem in train), "the search does find what is there"
    assert not {normal(p) for p in items.filter(split="heldout")["plain"]} & set(map(normal, texts))


def test_items_are_the_same_again_and_differ_by_domain_and_seed():
    twins = [
        {"name": name, "source": {"kind": "procedural", "generator": "code", "items": 60}}
        for name in ("algebra", "biology", "code")
    ]

    def problems(name, seed):
        frame = domain_items(study_of(("domains", twins), ("seed", seed)), name)
        assert frame.equals(domain_items(study_of(("domains", twins), ("seed", seed)), name))
        return {messages[0]["content"] for messages in frame["messages"].to_list()}

    assert not problems("code", 0) & problems("code", 1)
    assert not problems("code", 0) & problems("biology", 0)


def test_conversations_that_begin_alike_fall_on_one_side():
    """Else a held-out first turn would stand in a longer conversation that is trained on."""
    shares = Shares(base=0.3, train=0.3, heldout=0.4)
    for i in range(200):
        opening = {"role": "user", "content": f"question {i}"}
        answer = {"role": "assistant", "content": "answer"}
        short, long = (
            [opening, answer],
            [opening, answer, {"role": "user", "content": "more"}, answer],
        )
        system = [{"role": "system", "content": "be brief"}, *short]
        assert len({side_of(turns, "", shares, 0) for turns in (short, long, system)}) == 1


def test_items_tell_where_they_were_read(tmp_path):
    study = files_study(tmp_path, sums=pairs(BLOCK + 20))
    frame = domain_items(study, "sums")
    assert frame.height == BLOCK + 20
    for messages, place in frame.select("messages", "place").iter_rows():
        number = int(place.removeprefix("sums.json[").removesuffix("]"))
        assert messages[0]["content"] == f"What is {number} plus {number}?"
    drawn = domain_items(study_of(), "biology")["place"]
    assert re.fullmatch(r"biology\[\d+\]", drawn[0])
    assert drawn.n_unique() == len(drawn)


def test_the_first_of_repeats_tells_its_place(tmp_path):
    study = files_study(tmp_path, one=[*pairs(100), *pairs(100)])
    places = set(domain_items(study, "one")["place"])
    assert places == {f"one.json[{i}]" for i in range(100)}


def test_a_bad_record_is_refused_with_its_file_and_folder(tmp_path):
    study = files_study(tmp_path, one=[*pairs(3), ("", "4")])
    with pytest.raises(DataError) as caught:
        domain_items(study, "one")
    assert str(caught.value).startswith(f"{tmp_path}/one.json[3]: field 'instruction' must be text")
