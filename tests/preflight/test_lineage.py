"""Lineage: what an expert's files say of its base, against every name that the base goes by."""

import json

import pytest

from mergelaw.errors import CheckpointError
from mergelaw.preflight.findings import Findings
from mergelaw.preflight.lineage import Origin, check_lineage, claims, parent_of, parent_of_siblings

ADAPTER, CONFIG, CARD = "adapter_config.json", "config.json", "README.md"


def model(folder, **files) -> Origin:
    """A folder that names its base in adapter=, config= and card= (front matter in YAML)."""
    folder.mkdir(parents=True, exist_ok=True)
    if "adapter" in files:
        content = {"base_model_name_or_path": files["adapter"]}
        (folder / ADAPTER).write_text(json.dumps(content))
    if "config" in files:
        (folder / CONFIG).write_text(json.dumps({"_name_or_path": files["config"]}))
    if "card" in files:
        (folder / CARD).write_text(f"---\nlicense: mit\nbase_model: {files['card']}\n---\n# Card\n")
    return Origin(str(folder), folder)


def snapshot(tmp_path, name="Qwen/Qwen2.5-7B", **files) -> Origin:
    """A base in a Hugging Face cache."""
    folder = tmp_path / f"models--{name.replace('/', '--')}" / "snapshots" / "0f3a"
    return Origin(name, model(folder, **files).folder)


def judged(expert, base, lineage="strict", sibling=None) -> Findings:
    findings = Findings(lineage)
    parent = parent_of_siblings(sibling, base) if sibling else parent_of(base)
    check_lineage(findings, "code", expert, parent)
    return findings


AGREEING = {
    "the name on the Hub": {"card": "Qwen/Qwen2.5-7B"},
    "whatever the case": {"card": "qwen/qwen2.5-7b"},
    "another account's copy": {"card": "unsloth/Qwen2.5-7B"},
    "one of several": {"card": "[Org/other, Qwen/Qwen2.5-7B]"},
    "a list of one": {"card": "\n- Qwen/Qwen2.5-7B"},
    "an adapter's base": {"adapter": "Qwen/Qwen2.5-7B"},
    "a folder of that name": {"adapter": "/scratch/models/Qwen2.5-7B/"},
    "a cache of another machine": {
        "config": "/root/hub/models--Qwen--Qwen2.5-7B/snapshots/77",
    },
    "config alone": {"config": "Qwen/Qwen2.5-7B"},
    "the adapter against its card": {"adapter": "Qwen/Qwen2.5-7B", "card": "Org/other"},
    "config silenced by the card": {"config": "Org/sft-stage", "card": "Qwen/Qwen2.5-7B"},
}


@pytest.mark.parametrize("files", AGREEING.values(), ids=AGREEING)
def test_agreement_needs_no_word(tmp_path, files):
    found = judged(model(tmp_path / "expert", **files), snapshot(tmp_path))
    assert (found.problems, found.notes) == ([], [])


CONTRADICTING = {
    "card": ({"card": "Qwen/Qwen2.5-7B-Instruct"}, "'Qwen/Qwen2.5-7B-Instruct' (README.md)"),
    "several": ({"card": "[A/x, B/y]"}, "'A/x' and 'B/y' (README.md)"),
    "adapter": ({"adapter": "/data/Llama-3-8B"}, "'/data/Llama-3-8B' (adapter_config.json)"),
    "config": ({"config": "Org/Llama-3-8B"}, "'Org/Llama-3-8B' (config.json)"),
    "card, though config agrees": (
        {"card": "Org/other", "config": "Qwen/Qwen2.5-7B"},
        "'Org/other' (README.md)",
    ),
}


@pytest.mark.parametrize(("files", "said"), CONTRADICTING.values(), ids=CONTRADICTING)
def test_a_contradiction_is_a_problem_or_only_told(tmp_path, files, said):
    expert, base = model(tmp_path / "expert", **files), snapshot(tmp_path)
    text = f"expert 'code' says that it was made from {said}; the base is Qwen/Qwen2.5-7B"
    strict = judged(expert, base)
    assert strict.problems == [f"{text}; if that is meant, use lineage: report"]
    assert strict.notes == []
    report = judged(expert, base, "report")
    assert (report.problems, report.notes) == ([], [text])


SILENT = {
    "nothing": ({}, ""),
    "blank": ({"adapter": None, "config": "", "card": ""}, ""),
    "the expert's own name": (
        {"config": "me/Expert"},
        " (config.json names 'me/Expert', which tells nothing)",
    ),
    "a checkpoint of its training": (
        {"config": "outputs/checkpoint-300"},
        " (config.json names 'outputs/checkpoint-300', which tells nothing)",
    ),
    "a folder elsewhere": (
        {"config": "/scratch/run7"},
        " (config.json names '/scratch/run7', which tells nothing)",
    ),
}


@pytest.mark.parametrize(("files", "more"), SILENT.values(), ids=SILENT)
def test_silence_is_noted(tmp_path, files, more):
    found = judged(model(tmp_path / "expert", **files), snapshot(tmp_path))
    assert found.problems == []
    assert found.notes == [f"expert 'code' does not say what it was made from{more}"]


@pytest.mark.parametrize("folder", ["Qwen2.5-7B", "Qwen--Qwen2.5-7B", "qwen_qwen2.5-7b"])
def test_a_local_base_goes_by_its_folders_name(tmp_path, folder):
    expert = model(tmp_path / "expert", card="Qwen/Qwen2.5-7B")
    assert not judged(expert, model(tmp_path / folder)).problems
    assert judged(expert, model(tmp_path / "base")).problems


def test_a_local_base_goes_by_what_its_config_says(tmp_path):
    expert = model(tmp_path / "expert", card="Qwen/Qwen2.5-7B")
    assert not judged(expert, model(tmp_path / "base", config="Qwen/Qwen2.5-7B")).problems
    tuned = snapshot(tmp_path, "Org/tuned", config="Qwen/Qwen2.5-7B")
    assert judged(expert, tuned).problems  # its config names what it was tuned from


def test_a_link_into_the_cache_has_the_name_on_the_hub(tmp_path):
    (tmp_path / "link").symlink_to(snapshot(tmp_path).folder)
    base = Origin("link", tmp_path / "link")
    assert base.label == "Qwen/Qwen2.5-7B"
    assert not judged(model(tmp_path / "expert", card="Qwen/Qwen2.5-7B"), base).problems


def test_the_same_folder_under_another_name_is_the_base(tmp_path):
    base = model(tmp_path / "base")
    (tmp_path / "link").symlink_to(base.folder)
    assert not judged(model(tmp_path / "expert", adapter=str(tmp_path / "link")), base).problems


def test_siblings_agree_where_an_expert_stands_for_the_base(tmp_path):
    first = model(tmp_path / "first", card="Qwen/Qwen2.5-7B")
    sibling = model(tmp_path / "second", card="Qwen/Qwen2.5-7B")
    assert judged(sibling, first).problems
    assert not judged(sibling, first, sibling="one").problems
    assert not judged(model(tmp_path / "a", card="Org/first"), first, sibling="one").problems
    stranger = model(tmp_path / "third", card="Org/Llama-3-8B")
    assert judged(stranger, first, "report", sibling="one").notes == [
        "expert 'code' says that it was made from 'Org/Llama-3-8B' (README.md); "
        "expert 'one' from 'Qwen/Qwen2.5-7B' (README.md)"
    ]
    assert parent_of_siblings("one", model(tmp_path / "silent")) is None


@pytest.mark.parametrize(
    "card",
    ["# no front matter", "---\n: [\n---\n", "---\nbase_model: 7\n---\n", "---\n- a\n---\n", "---"],
)
def test_a_card_that_is_none_says_nothing(tmp_path, card):
    (tmp_path / CARD).write_text(card)
    assert claims(tmp_path) == []


def test_a_card_may_begin_with_a_byte_order_mark(tmp_path):
    (tmp_path / CARD).write_text("\ufeff---\r\nbase_model: A/b\r\n---\r\n", newline="")
    assert [claim.names for claim in claims(tmp_path)] == [("A/b",)]


def test_a_broken_json_file_is_refused(tmp_path):
    (tmp_path / CONFIG).write_text("{")
    with pytest.raises(CheckpointError, match="is no JSON"):
        claims(tmp_path)
    (tmp_path / CONFIG).write_text("[]")
    with pytest.raises(CheckpointError, match="must hold a JSON object, not list"):
        claims(tmp_path)
