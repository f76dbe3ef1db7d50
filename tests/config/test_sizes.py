"""Sizes of given checkpoints: their references and stated parameter counts."""

from tests.config.test_problems import problems
from tests.helpers import study_of

SHARES = ("data.shares", {"base": 0, "train": 0, "heldout": 1})
TOKENIZER = ("tokenizer", {"path": "Org/base"})


def size(name, n_params=None, **refs):
    given = {"base": f"Org/{name}", "algebra": "/a", "biology": "b", "code": "Org/code@v1"} | refs
    entry = {"name": name, "base": given.pop("base"), "experts": given}
    return entry if n_params is None else entry | {"n_params": n_params}


def told(*sizes) -> list[str]:
    return problems(("sizes", list(sizes)), SHARES, TOKENIZER)


def test_folders_and_names_of_the_hub_are_taken():
    study = study_of(("sizes", [size("s"), size("m", 20), size("l", 21)]), SHARES, TOKENIZER)
    assert study.size("m").base == "Org/m"
    assert study.size("l").experts == {"algebra": "/a", "biology": "b", "code": "Org/code@v1"}
    assert [entry.n_params for entry in study.sizes] == [None, 20, 21]


def test_addresses_of_pages_and_blanks_are_refused():
    assert told(size("s", base="https://huggingface.co/Org/s", code=" ")) == [
        "sizes[0].base = 'https://huggingface.co/Org/s': must be a folder, or org/name or "
        "org/name@revision",
        "sizes[0].experts.code = ' ': must be a folder, or org/name or org/name@revision",
    ]


def test_a_checkpoint_stands_once_in_a_size():
    assert told(size("s", code="/a", biology="Org/s")) == [
        "sizes[0].experts.biology = 'Org/s': is sizes[0].base too; each checkpoint is used once",
        "sizes[0].experts.code = '/a': is sizes[0].experts.algebra too; each checkpoint is used "
        "once",
    ]


def test_stated_parameters_rise_whatever_stands_between():
    assert told(size("s", 20), size("m"), size("l", 20)) == [
        "sizes[2].n_params = 20: must be above sizes[0].n_params = 20; list sizes smallest first"
    ]


def test_parameters_of_an_architecture_are_not_stated():
    assert problems(("sizes.0.n_params", 20)) == [
        "sizes[0].n_params: follows from `architecture`; leave it out"
    ]


def test_a_running_sum_is_not_told_as_a_bfloat16_one():
    change = [("sweep", {"incremental": True}), ("accumulate", "sequential_bfloat16")]
    [found] = problems(*change)
    assert "sweep.incremental = true: its running sum is float32" in found
    study_of(change[0])
