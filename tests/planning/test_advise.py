"""`mergelaw advise` end to end on tiny experts: what it makes, goes on with, and refuses."""

import json
import random
import shutil
import sys
from pathlib import Path

import polars as pl
import pytest
import yaml

from mergelaw.cli import _status
from mergelaw.config import read_study
from mergelaw.design import subsets
from tests.helpers import edit_weights, save_weights

EXPERTS = ("algebra", "biology", "code")


@pytest.fixture(scope="module")
def pool(trained, tmp_path_factory):
    """Trained experts of one base as folders with their tokenizer, and two files of text."""
    from mergelaw.data.domains import generate

    _, paths = trained
    folder = tmp_path_factory.mktemp("pool")
    for name in ("base", *EXPERTS):
        shutil.copytree(paths.trained("small", name), folder / name)
    for domain in ("algebra", "code"):
        problems = generate(domain, random.Random(domain), 40)
        rows = [{"question": p.prompt, "answer": p.response} for p in problems]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{domain}.jsonl").write_text(text)
    return folder


@pytest.fixture
def call(monkeypatch, capsys):
    def run(*words):
        monkeypatch.setattr(sys, "argv", ["mergelaw", *map(str, words)])
        capsys.readouterr()
        status = _status()
        streams = capsys.readouterr()
        return status, streams.out, streams.err

    return run


def options(pool, out, experts=EXPERTS, data=("algebra", "code"), **more):
    words = ["advise", "--base", pool / "base", "--out", out, "--tokens", 300]
    for name in experts:
        words += ["--expert", name if "=" in name else pool / name]
    for name in data:
        words += ["--data", name if "=" in name else pool / f"{name}.jsonl"]
    return words + [word for key, value in more.items() for word in (f"--{key}", value)]


@pytest.fixture(scope="module")
def advised(pool, tmp_path_factory):
    """A finished advice: its folder, what was printed."""
    out = tmp_path_factory.mktemp("advised") / "advice"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["mergelaw", *map(str, options(pool, out))])
        assert _status() == 0
    return out


def test_the_chosen_merge_is_a_checkpoint_with_its_card(advised):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    facts = json.loads((advised / "advice.json").read_text())
    merged = Path(facts["merged"]["folder"])
    assert merged == advised / "merged"
    AutoModelForCausalLM.from_pretrained(merged)
    AutoTokenizer.from_pretrained(merged)
    card = (merged / "README.md").read_text()
    assert all(name in card for name in facts["merged"]["subset"].split("+"))
    assert facts["merged"]["subset"] == facts["best"]["subset"]


def test_every_subset_of_a_small_pool_is_measured_and_the_best_is_chosen(advised):
    losses = pl.read_parquet(advised / "results" / "advice" / "sweep" / "losses.parquet")
    macro = (
        losses.filter(pl.col("k") > 0)
        .group_by("subset")
        .agg(loss=(pl.col("nll_sum") / pl.col("n_tokens")).mean())
        .sort("loss")
    )
    assert macro.height == 7
    facts = json.loads((advised / "advice.json").read_text())
    assert facts["best"]["subset"] == macro["subset"][0]
    assert facts["best"]["loss_predicted"] == pytest.approx(macro["loss"][0])
    assert facts["merged"]["loss"] == pytest.approx(macro["loss"][0], abs=1e-9)
    base = losses.filter(subset="base").select(pl.col("nll_sum") / pl.col("n_tokens"))
    assert facts["base_loss"] == pytest.approx(base["nll_sum"].mean())
    assert len(facts["curve"]["loss"]) == 3
    assert facts["stop"]["reason"]


def test_the_study_is_one_that_the_workflow_goes_on_with(advised, monkeypatch, call):
    study = read_study(advised / "study.yaml")
    assert (study.name, study.dtype) == ("advice", "float32")
    assert study == read_study(advised / "results" / "advice" / "study.json")
    assert len(list(subsets(study, "own"))) == 8
    status, out, _ = call("status", advised / "results" / "advice", "--json")
    assert status == 0
    sweep = [row for row in json.loads(out)["stages"] if row["stage"] == "sweep"]
    assert all(row["done"] == row["jobs"] for row in sweep)


def test_a_second_call_makes_nothing_again_and_says_the_same(advised, pool, call):
    before = (advised / "advice.json").read_bytes()
    status, _, err = call(*options(pool, advised))
    assert status == 0
    made = [line for line in err.splitlines() if line.endswith("made before")]
    assert len(made) == 10
    assert "sweep" not in err
    assert (advised / "advice.json").read_bytes() == before


def test_another_target_is_chosen_from_the_same_merges(advised, pool, call, tmp_path):
    out = tmp_path / "advice"
    shutil.copytree(advised, out)
    words = options(pool, out, target="code", k=2)
    status, text, err = call(*words, "--json")
    assert status == 0
    assert "chunk own average 0: made before" in err
    facts = json.loads(text)
    assert (facts["target"], facts["best"]["k"]) == ("code", 2)
    assert set(json.loads((out / "merged" / "mergelaw.json").read_text())["recipe"]["experts"]) == (
        set(facts["best"]["subset"].split("+"))
    )


def test_a_kill_half_way_loses_nothing(pool, call, tmp_path, monkeypatch):
    from mergelaw.sweep import finished

    out, added = tmp_path / "advice", []
    real = finished.Finished.add

    def dies(self, *words):
        real(self, *words)
        added.append(words)
        if len(added) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(finished.Finished, "add", dies)
    assert call(*options(pool, out))[0] != 0
    assert not (out / "advice.json").exists()
    status, _, err = call(*options(pool, out))
    assert status == 0
    assert "items algebra: made before" in err
    assert "goes on after 3 of 8 merges" in err
    assert len(added) == 8


def test_text_that_changed_is_scored_again(advised, pool, call, tmp_path):
    out, file = tmp_path / "advice", tmp_path / "algebra.jsonl"
    shutil.copy(pool / "algebra.jsonl", file)
    words = options(pool, out, data=(f"algebra={file}",))
    assert call(*words)[0] == 0
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:20]))
    status, _, err = call(*words)
    assert status == 0
    assert "made before" not in err.replace("tokenizer: made before", "")


def test_a_budget_below_all_subsets_takes_a_balanced_design(pool, tmp_path, call):
    twin = tmp_path / "twin"
    shutil.copytree(pool / "algebra", twin)
    edit_weights(twin, "model.norm.weight", lambda tensor: tensor * 1.1)
    four = (*EXPERTS, f"twin={twin}")
    status, out, err = call(*options(pool, tmp_path / "a", four, budget=10), "--dry-run")
    assert status == 0
    assert "cost, estimated: 10 merges" in err
    assert "snakemake --cores all --directory" in out
    raw = yaml.safe_load((tmp_path / "a" / "study.yaml").read_text())
    assert raw["design"] == [{"kind": "balanced", "merges": 10, "chunk_size": 20}]
    assert not (tmp_path / "a" / "merged").exists()
    status, out, _ = call(*options(pool, tmp_path / "a", four, budget=10, k=3))
    assert status == 0
    facts = json.loads((tmp_path / "a" / "advice.json").read_text())
    unmeasured = [row for row in facts["ranking"]["subsets"] if row["measured"] is None]
    assert len(unmeasured) == len(facts["ranking"]["subsets"]) == 4
    merged, best = facts["merged"]["loss"], facts["best"]
    assert abs(merged - best["loss_predicted"]) < 0.05 * merged
    assert f"merged: {tmp_path / 'a' / 'merged'}, {best['subset']}" in out


def test_two_experts_have_no_law_but_a_best_merge(pool, tmp_path, call):
    status, out, _ = call(*options(pool, tmp_path / "a", ("algebra", "code"), data=("code",)))
    assert status == 0
    assert "the law: merges of fewer than three k are measured" in out
    assert (tmp_path / "a" / "merged" / "model.safetensors").is_file()


def test_everything_that_is_wrong_is_told_at_once(pool, tmp_path, call):
    (tmp_path / "empty.txt").write_text("\n")
    broken = save_weights(tmp_path / "broken", {})
    words = options(
        pool,
        tmp_path / "a",
        ("algebra", f"broken={broken}"),
        (f"none={tmp_path / 'empty.txt'}", "code"),
        budget=2, eps=-1, method="tis", target="math", k=5,
    )  # fmt: skip
    status, _, err = call(*words)
    assert status == 1
    for part in (
        "--budget 2: must be at least 3 for 2 experts",
        "--eps -1.0: must be above 0",
        "empty.txt: is empty",
        "--method tis: method = 'tis': must be one of",
        "--target math: must be macro or a domain: none, code",
        "--k 5: must be from 1 to 2",
        "broken",
    ):
        assert part in err
    assert "Traceback" not in err
    assert not (tmp_path / "a" / "study.yaml").exists()


def test_one_expert_is_nothing_to_merge(pool, tmp_path, call):
    status, _, err = call(*options(pool, tmp_path / "a", ("algebra",)))
    assert status == 1
    assert "--expert: 1 given; at least 2 are needed" in err


def test_an_expert_of_another_base_is_refused(trained, pool, tmp_path, call):
    _, paths = trained
    other = paths.trained("large", "code")
    status, _, err = call(*options(pool, tmp_path / "a", ("algebra", f"other={other}")))
    assert status == 1
    assert "expert 'other'" in err


def test_a_folder_of_someone_elses_is_left_alone(pool, tmp_path, call):
    (tmp_path / "a" / "merged").mkdir(parents=True)
    (tmp_path / "a" / "merged" / "mine").write_text("precious")
    words = options(pool, tmp_path / "a", ("algebra", "code"), data=("code",))
    status, _, err = call(*words)
    assert status == 1
    assert "no merge of this advice's; move it" in err
    assert (tmp_path / "a" / "merged" / "mine").read_text() == "precious"
    assert not (tmp_path / "a" / "results").exists()


def test_domains_of_files_with_one_name_have_a_text_each(pool, tmp_path, call):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "data.txt").write_text(f"Text of {name}.\n\nMore of {name}.\n")
    data = [f"{name}={tmp_path / name / 'data.txt'}" for name in ("a", "b")]
    assert call(*options(pool, tmp_path / "out", data=data), "--dry-run")[0] == 0
    sources = yaml.safe_load((tmp_path / "out" / "study.yaml").read_text())["domains"]
    for name, domain in zip(("a", "b"), sources, strict=True):
        assert f"Text of {name}." in Path(domain["source"]["files"][0]).read_text()


def test_copies_of_models_are_refused(pool, tmp_path, call):
    for name in ("algebra", "base"):
        shutil.copytree(pool / name, tmp_path / name)
    experts = (*EXPERTS, f"twin={tmp_path / 'algebra'}", f"none={tmp_path / 'base'}")
    status, _, err = call(*options(pool, tmp_path / "a", experts))
    assert status == 1
    assert "--expert twin: is a copy of expert 'algebra': it would count twice" in err
    assert "--expert none: is a copy of the base" in err


def test_a_way_out_that_advice_has_not_is_not_told(trained, pool, tmp_path, call):
    _, paths = trained
    other = paths.trained("large", "code")
    _, _, err = call(*options(pool, tmp_path / "a", ("algebra", f"other={other}")))
    assert "lineage" not in err


def test_specialists_that_a_kill_left_out_are_made(advised, pool, call, tmp_path):
    out = tmp_path / "advice"
    shutil.copytree(advised, out)
    specialists = out / "results" / "advice" / "laws" / "specialists.parquet"
    specialists.unlink()
    assert call(*options(pool, out))[0] == 0
    assert specialists.is_file()


def test_a_merge_that_fails_leaves_the_earlier_one(advised, pool, call, tmp_path, monkeypatch):
    from mergelaw.errors import CheckpointError
    from mergelaw.merging import checkpoint

    def fails(*_):
        raise CheckpointError("the disk is on fire")

    out = tmp_path / "advice"
    shutil.copytree(advised, out)
    before = (out / "merged" / "mergelaw.json").read_bytes()
    monkeypatch.setattr(checkpoint, "merge_checkpoints", fails)
    assert call(*options(pool, out, target="code", k=2))[0] == 1
    assert (out / "merged" / "mergelaw.json").read_bytes() == before


def test_a_merge_that_is_not_of_advice_is_left_alone(advised, pool, call, tmp_path):
    shutil.copytree(advised / "merged", tmp_path / "a" / "merged")
    status, _, err = call(*options(pool, tmp_path / "a"))
    assert status == 1
    assert "no merge of this advice's; move it" in err
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "merged").symlink_to(advised / "merged")
    assert "no merge of this advice's" in call(*options(pool, tmp_path / "b"))[2]


def test_a_template_that_changed_is_written_again(pool, call, tmp_path):
    template = tmp_path / "own.jinja"
    text = "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\\n' }}{% endfor %}"
    template.write_text(text)
    words = options(pool, tmp_path / "a", template=template)
    assert call(*words)[0] == 0
    template.write_text(text.replace(": ", "; "))
    _, _, err = call(*words)
    assert "tokenizer: made before" not in err
    assert "items code: made before" in err


def test_the_printed_command_is_one_for_a_shell(pool, tmp_path, call):
    out = tmp_path / "my advice"
    assert f"--directory '{out}'" in call(*options(pool, out), "--dry-run")[1]
    assert f"--directory '{out}'" in (out / "study.yaml").read_text()


def test_where_the_measurements_do_not_tell_nothing_is_merged(pool, call, tmp_path, monkeypatch):
    from mergelaw.laws.ranking import Ranking

    monkeypatch.setattr(Ranking, "tells", False)
    status, out, _ = call(*options(pool, tmp_path / "a"))
    assert status == 1
    assert "merged: nothing; the measurements do not tell which subset" in out
    assert json.loads((tmp_path / "a" / "advice.json").read_text())["merged"] is None
    assert not (tmp_path / "a" / "merged").exists()


def test_the_law_is_the_forecast_of_the_same_points(advised, pool, call, tmp_path):
    from mergelaw.planning.forecast_record import forecast_facts
    from mergelaw.planning.forecasting import fit_law

    curves = pl.read_parquet(advised / "results" / "advice" / "laws" / "curves.parquet")
    mine = curves.filter(pl.col("k") > 0, domain="macro")
    law = fit_law(
        dict(mine.select("k", "loss").iter_rows()),
        3,
        n_subsets=dict(mine.select("k", "n_subsets").iter_rows()),
        text_error=mine["token_se"].max(),
        method="average",
    )
    told = json.loads((advised / "advice.json").read_text())["forecast"]
    assert told["case"] == law.case
    if law.case != "not_identified":
        wanted = forecast_facts(law)["curve"]
        assert [row["low"] for row in told["curve"]] == pytest.approx([r["low"] for r in wanted])


def test_a_mixture_has_a_law_too(advised, pool, call, tmp_path):
    out = tmp_path / "advice"
    shutil.copytree(advised, out)
    status, text, _ = call(*options(pool, out, mixture="algebra=0.7,code=0.3"))
    assert status == 0
    assert (
        "the law of the mean over subsets, experts taken at random (algebra=0.7, code=0.3)" in text
    )
