"""Shipped studies are planned with nothing downloaded; names of the hub are looked up by jobs."""

import re
import shutil

import pytest

from mergelaw.config import parse_study
from mergelaw.design import chunks
from tests.workflow.stand_in import StandIn, shipped
from tests.workflow.workspace import Workspace, edited

TRAINED = {"qwen2.5": 63, "qwen2.5-10k": 0, "llama3": 0, "pool16": 16, "own-experts": 0}
"""Experts that each shipped study trains."""

NINE = {
    *("algebra", "analysis", "geometry", "discrete", "number_theory"),
    *("code", "chemistry", "physics", "biology"),
}
CELL = "results/own-experts/merge/own/average/algebra+code"


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    """A Hugging Face cache that holds nothing."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))


@pytest.mark.parametrize("name", TRAINED)
def test_a_shipped_study_is_planned_with_nothing_downloaded(name, tmp_path, empty_cache):
    config = shipped(name)
    done = Workspace(tmp_path).snakemake(config, "--dry-run", "--quiet", "rules")
    assert done.returncode == 0, done.stderr[-3000:]
    jobs = dict(re.findall(r"^(\w+) +(\d+)$", done.stdout + done.stderr, re.MULTILINE))
    study = parse_study(config)
    n_chunks = sum(len(chunks(study, size)) for size in study.size_names)
    assert int(jobs["chunk"]) == n_chunks * len(study.methods)
    assert int(jobs.get("expert", 0)) == TRAINED[name]
    assert "base" not in jobs
    assert not list(tmp_path.glob("results"))


def test_the_paper_s_study():
    study = parse_study(shipped("qwen2.5"))
    assert set(study.domain_names) == set(study.expert_names) == NINE
    assert {expert.name: expert.domain for expert in study.experts} == {n: n for n in NINE}
    billions = [round(size.n_params / 1e9, 1) for size in study.sizes]
    assert billions == [0.5, 1.5, 3.1, 7.6, 14.8, 32.8, 72.7]
    for size in study.size_names:
        ks = [subset.k for chunk in chunks(study, size) for subset in chunk.subsets]
        assert (len(ks) == 512) == (size in {"0.5b", "1.5b", "3b", "7b"})
        assert set(ks) == set(range(10))
    parameters = [(entry.method, entry.parameters) for entry in study.methods]
    assert [name for name, _ in parameters] == [
        "average",
        "task_arithmetic",
        *("ties", "ties"),
        *("dare", "dare"),
    ]
    assert parameters[1][1].scale == 0.8
    assert [(ties.density, ties.scale) for _, ties in parameters[2:4]] == [(1, 0.5), (1, 1)]
    assert [dare.drop_rate for _, dare in parameters[4:]] == [0.2, 0.8]


def test_the_paper_s_llama_pools():
    study = parse_study(shipped("llama3"))
    assert len(study.experts) == 9
    refs = [ref for size in study.sizes for ref in (size.base, *size.experts.values())]
    assert len(set(refs)) == 2 * (1 + 9)
    assert study.lineage.check == "report"


def test_the_pool_of_sixteen():
    study = parse_study(shipped("pool16"))
    assert len(study.experts) == len(study.domains) == 16
    drawn = [subset for chunk in chunks(study, "3b") for subset in chunk.subsets]
    assert {subset.k for subset in drawn} == {0, *range(2, 17, 2)}


@pytest.fixture
def own(tmp_path):
    """The study of own experts with models in its folder, and the same in a cache."""
    made = StandIn(tmp_path, "Qwen2", {})
    config = made.shrink(shipped("own-experts"))
    for name in ("base", "algebra", "physics", "code", "chat"):
        place = made.place(f"Org/{name}")
        shutil.copytree(tmp_path / "models" / name, place)
        (place.parents[1] / "refs").mkdir()
        (place.parents[1] / "refs" / "main").write_text(place.name)
    return Workspace(tmp_path), config, made


def of_the_hub(config):
    """The same study with names of the hub in the place of folders."""
    size = dict(config["sizes"][0])
    size |= {
        "base": "Org/base",
        "experts": {name: f"Org/{name}" for name in size["experts"]},
    }
    return edited(config, sizes=[size], tokenizer={"path": "Org/base"})


def test_a_name_that_is_not_cached_fails_in_its_job_with_the_command(own, empty_cache):
    workspace, config, made = own
    shutil.rmtree(made.cache)
    done = workspace.snakemake(of_the_hub(config), "--cores", "1", CELL)
    text = done.stdout + done.stderr
    assert done.returncode != 0
    assert "Traceback" not in text
    for name in ("base", "algebra", "code"):
        assert f"run first: hf download Org/{name}" in text
    assert not (workspace.folder / CELL).exists()


def test_cached_names_make_the_same_merge_as_folders(own, monkeypatch):
    workspace, config, made = own
    monkeypatch.setenv("HF_HUB_CACHE", str(made.cache))
    weights = workspace.folder / CELL / "model.safetensors"
    workspace.run(config, CELL)
    expected = weights.read_bytes()
    shutil.rmtree(weights.parent)
    workspace.run(of_the_hub(config), CELL)
    assert weights.read_bytes() == expected


def test_a_local_checkpoint_is_an_input_and_a_name_is_none(own, monkeypatch):
    workspace, config, made = own
    monkeypatch.setenv("HF_HUB_CACHE", str(made.cache))
    for given, expected in (
        (config, ["models/base", "models/algebra", "models/code"]),
        (of_the_hub(config), []),
    ):
        done = workspace.snakemake(given, "--dry-run", CELL)
        inputs = re.search(r"^rule cell:\n(    input: (.*)\n)?", done.stdout, re.MULTILINE)
        assert (inputs[2] or "").split(", ") == (expected or [""])
