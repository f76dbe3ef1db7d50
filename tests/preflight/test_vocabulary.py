"""Tokenizers of base and expert: the same ids mean the same tokens, or it is said."""

import json
import os

import pytest

from mergelaw.errors import CheckpointError
from mergelaw.preflight.findings import Findings
from mergelaw.preflight.vocabulary import Tokenizer, check_tokenizer
from tests.helpers import special_token_tokenizer

VOCAB = {"a": 0, "b": 1, "ab": 2}


def written(folder, change=None, **files) -> Tokenizer:
    """A small tokenizer.json after `change(raw)`, and other files by name (dots as `__`)."""
    folder.mkdir()
    raw = {
        "model": {"type": "BPE", "vocab": dict(VOCAB), "merges": ["a b"]},
        "added_tokens": [{"id": 3, "content": "<end>"}],
        "pre_tokenizer": None,
    }
    if change is not None:
        change(raw)
    (folder / "tokenizer.json").write_text(json.dumps(raw))
    for name, content in files.items():
        text = content if isinstance(content, str) else json.dumps(content)
        (folder / name.replace("__", ".")).write_text(text)
    return Tokenizer(folder)


def bare(folder, **files) -> Tokenizer:
    tokenizer = written(folder, **files)
    (folder / "tokenizer.json").unlink()
    return tokenizer


def judged(base, expert, lineage="strict", may_lack=False) -> Findings:
    findings = Findings(lineage)
    check_tokenizer(findings, "code", base, expert, may_lack=may_lack)
    return findings


def silent(found) -> bool:
    return not found.problems and not found.notes


def rename(raw):
    raw["added_tokens"][0]["content"] = "<|im_end|>"


def test_the_same_tokenizer_needs_no_word(tmp_path):
    base = written(tmp_path / "base")
    assert silent(judged(base, written(tmp_path / "expert")))
    assert "raw" not in vars(base)  # equal bytes are not parsed


def test_merges_are_written_in_two_ways(tmp_path):
    def pairs(raw):
        raw["model"]["merges"] = [["a", "b"]]

    assert silent(judged(written(tmp_path / "base"), written(tmp_path / "expert", pairs)))


@pytest.mark.parametrize("lineage", ["strict", "report"])
def test_another_vocabulary_is_refused_in_any_case(tmp_path, lineage):
    def swap(raw):
        raw["model"]["vocab"] |= {"a": 1, "b": 0}

    found = judged(written(tmp_path / "base"), written(tmp_path / "expert", swap), lineage)
    assert found.problems == [
        "expert 'code': its tokenizer differs from the base's at 2 ids (0 is 'b', the base's 'a'): "
        "these are two vocabularies; leave it out, or put the base's tokenizer files in its "
        "folder if its own are wrong"
    ]


def test_an_added_token_used_anew_is_a_doubt(tmp_path):
    pair = written(tmp_path / "base"), written(tmp_path / "expert", rename)
    text = (
        "expert 'code': its tokenizer differs from the base's at 1 id (3 is '<|im_end|>', the "
        "base's '<end>'); the merged model gets the base's"
    )
    assert judged(*pair).problems == [f"{text}; if that is meant, use lineage: report"]
    assert judged(*pair, "report").problems == []
    assert judged(*pair, "report").notes == [text]


def test_tokens_beyond_the_bases_are_noted(tmp_path):
    def more(raw):
        raw["added_tokens"].append({"id": 4, "content": "<new>"})

    found = judged(written(tmp_path / "base"), written(tmp_path / "expert", more))
    assert found.problems == []
    assert found.notes == [
        "expert 'code': its tokenizer adds 1 token: <new>; "
        "the merged model gets the base's tokenizer, without them"
    ]


def test_other_merges_are_a_doubt(tmp_path):
    def other(raw):
        raw["model"]["merges"] = []

    pair = written(tmp_path / "base"), written(tmp_path / "expert", other)
    assert "cuts text into other tokens of the same vocabulary" in judged(*pair).problems[0]
    assert judged(*pair, "report").problems == []


def test_a_unigram_vocabulary_has_its_ids_by_place(tmp_path):
    def unigram(*scores):
        def change(raw):
            pairs = [["a", scores[0]], ["b", scores[1]]]
            raw["model"] = {"type": "Unigram", "vocab": pairs}

        return change

    base = written(tmp_path / "base", unigram(-1.0, -2.0))
    assert base.tokens == {0: "a", 1: "b", 3: "<end>"}
    other = judged(base, written(tmp_path / "expert", unigram(-1.0, -3.0)))
    assert "their merges or scores differ" in other.problems[0]


def test_other_rules_around_the_vocabulary_are_noted(tmp_path):
    def rules(raw):
        raw["pre_tokenizer"] = {"type": "Whitespace"}

    found = judged(written(tmp_path / "base"), written(tmp_path / "expert", rules))
    assert found.problems == []
    assert found.notes == [
        "expert 'code': tokenizer.json differs from the base's in pre_tokenizer; "
        "the merged model gets the base's"
    ]


def test_another_chat_template_or_special_token_is_noted(tmp_path):
    settings = {"eos_token": {"content": "<end>"}, "chat_template": "{{a}}", "padding_side": "left"}
    base = written(tmp_path / "base", tokenizer_config__json=settings)
    same = {"eos_token": "<end>"}
    file = written(tmp_path / "f", tokenizer_config__json=same, chat_template__jinja="{{a}}")
    assert silent(judged(base, file))
    other = {"eos_token": "<x>", "chat_template": "{{b}}"}
    found = judged(base, written(tmp_path / "other", tokenizer_config__json=other))
    assert found.problems == []
    assert found.notes == [
        "expert 'code': its tokenizer has another eos_token, chat template than the base's; "
        "the merged model gets the base's"
    ]


def test_an_expert_without_a_tokenizer_is_noted_unless_it_is_an_adapter(tmp_path):
    (tmp_path / "expert").mkdir()
    base, expert = written(tmp_path / "base"), Tokenizer(tmp_path / "expert")
    assert judged(base, expert).notes == [
        "expert 'code' has no tokenizer to compare with the base's"
    ]
    assert silent(judged(base, expert, may_lack=True))
    assert silent(judged(expert, base))


def test_files_without_a_tokenizer_json_are_compared_by_their_bytes(tmp_path):
    base = bare(tmp_path / "base", tokenizer__model="one")
    assert silent(judged(base, bare(tmp_path / "same", tokenizer__model="one")))
    found = judged(base, bare(tmp_path / "other", tokenizer__model="two"))
    assert found.problems == [
        "expert 'code': its tokenizer differs from the base's (tokenizer.model); "
        "if that is meant, use lineage: report"
    ]
    found = judged(base, written(tmp_path / "new"))
    assert found.notes == [
        "expert 'code': its tokenizer (tokenizer.json) cannot be compared with the base's "
        "(tokenizer.model)"
    ]


def test_a_blob_that_both_link_to_is_not_read(tmp_path, monkeypatch):
    base = written(tmp_path / "base")
    (tmp_path / "expert").mkdir()
    os.symlink(base.folder / "tokenizer.json", tmp_path / "expert" / "tokenizer.json")
    monkeypatch.setattr("mergelaw.preflight.vocabulary._digest", lambda _: pytest.fail("read"))
    assert silent(judged(base, Tokenizer(tmp_path / "expert")))


@pytest.mark.parametrize("model", [{"vocab": 3}, {"vocab": [1]}, {"vocab": {"a": 0}, "x": 1}, 3])
def test_a_file_that_is_no_tokenizer_is_refused(tmp_path, model):
    def replaced(raw):
        raw["model"] = model
        raw["added_tokens"] = [{"id": 3}]

    with pytest.raises(CheckpointError, match=r"tokenizer\.json: is no tokenizer"):
        written(tmp_path / "base", replaced).check()


def test_saved_tokenizers_of_transformers_are_read(tmp_path):
    for name, specials in (("base", ["<a>", "<b>"]), ("expert", ["<a>", "<c>"])):
        special_token_tokenizer("{{messages}}", specials).save_pretrained(tmp_path / name)
    base = Tokenizer(tmp_path / "base")
    assert base.tokens[0] == "<a>"
    found = judged(base, Tokenizer(tmp_path / "expert"))
    assert "1 id (1 is '<c>', the base's '<b>')" in found.problems[0]
    assert "another eos_token than" in found.notes[0]
