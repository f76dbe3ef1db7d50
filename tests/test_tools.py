"""Commands for people, as they are called: exit codes, words, JSON."""

import json
import sys

import pytest
import torch
import yaml

from mergelaw.cli import _status
from tests.helpers import save_weights, tiny_model

POOL = ("algebra", "code")


@pytest.fixture(scope="module")
def models(tmp_path_factory, tokenizer):
    folder = tmp_path_factory.mktemp("tools")
    for seed, name in enumerate(("base", *POOL)):
        model = tiny_model("Llama", seed=seed, vocab_size=len(tokenizer)).bfloat16()
        model.save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)
    return folder


@pytest.fixture
def call(monkeypatch, capsys):
    """Return a function that runs a command and returns its exit code, output and errors."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["mergelaw", *map(str, words)])
        capsys.readouterr()
        status = _status()
        streams = capsys.readouterr()
        return status, streams.out, streams.err

    return run


def pool(models, **refs):
    refs = refs or {name: models / name for name in POOL}
    experts = [word for name, ref in refs.items() for word in ("--expert", f"{name}={ref}")]
    return ["--base", models / "base", *experts]


def test_check_says_what_would_be_merged(models, call):
    status, out, err = call("check", *pool(models))
    assert (status, err) == (0, "")
    assert "expert  code: " in out
    assert out.endswith("these models can be merged\n")
    status, out, _ = call("check", *pool(models), "--json")
    assert status == 0
    assert json.loads(out)["problems"] == []


def test_check_lists_problems_and_fails(models, call, tmp_path):
    broken = save_weights(tmp_path / "broken", {"w": torch.ones(3)})
    status, _, err = call("check", *pool(models, a=broken, b=models / "code"))
    assert status == 1
    assert err.startswith("error: these models cannot be merged")
    status, out, _ = call("check", *pool(models, a=broken, b=models / "code"), "--json")
    assert status == 1
    assert json.loads(out)["problems"]


def test_check_and_merge_agree_on_an_expert_that_is_the_base(models, call, tmp_path):
    same = pool(models, a=models / "base", b=models / "code")
    assert "is the base itself" in call("check", *same)[2]
    assert "is the base itself" in call("check", *same, "--method", "ties")[2]
    assert call("check", *same, "--method", "average")[0] == 0
    assert call("merge", *same, "--method", "average", "--out", tmp_path / "out")[0] == 0


def test_merge_in_words_and_as_json(models, call, tmp_path):
    status, out, err = call(
        "merge", *pool(models), "--method", "ties:density=0.5", "--out", tmp_path / "a"
    )
    assert status == 0
    assert out.startswith(f"{tmp_path / 'a'}: ")
    assert "rounding loss" in out
    assert "note: each of algebra, code does not say" in err or "does not say" in err
    words = ["--weight", "algebra=1", "--weight", "code=3", "--method", "average", "--json"]
    status, out, _ = call("merge", *pool(models), *words, "--out", tmp_path / "b")
    assert json.loads(out)["recipe"]["parameters"]["weight"] == {"algebra": 1.0, "code": 3.0}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--method", "ties:densty=0.2"], "densty: unknown key; did you mean 'density'?"),
        (["--method", "tie"], "must be one of 'average'"),
        (["--method", "model_stock:x=1"], "x: unknown key"),
        (["--method", "average", "--weight", "code=1"], "algebra"),
        (
            ["--method", "average", "--weight", "code=1", "--weight", "code=2"],
            "--weight names an expert twice",
        ),
        (["--method", "average", "--weight", "code"], "must be NAME=VALUE"),
        (["--method", "average", "--weight", "code=x"], "must be a number"),
        ([], "--method: missing"),
        (["--recipe", "r.yml"], "leave out --base, --expert"),
        (["--method", "dare", "--seed", "-1"], "--seed"),
        (["--method", "average", "--shard-gb", "inf"], "--shard-gb"),
    ],
)
def test_mistakes_are_told_in_words(models, call, tmp_path, words, said):
    status, _, err = call("merge", *pool(models), *words, "--out", tmp_path / "out")
    assert status != 0
    assert said in err
    assert "Traceback" not in err
    assert not (tmp_path / "out").exists()


def test_export_recipe_takes_the_type_from_the_base(models, call, tmp_path):
    status, _out, err = call(
        "export-recipe", *pool(models), "--method", "average", "--out", tmp_path / "r.yml"
    )
    assert (status, err) == (0, "")
    written = yaml.safe_load((tmp_path / "r.yml").read_text())
    assert (written["merge_method"], written["out_dtype"]) == ("linear", "bfloat16")
    status, *_ = call("merge", "--recipe", tmp_path / "r.yml", "--out", tmp_path / "out")
    assert status == 0
    call(
        *("export-recipe", *pool(models), "--method", "average", "--dtype", "float32"),
        *("--native", "--out", tmp_path / "n.yml"),
    )
    assert yaml.safe_load((tmp_path / "n.yml").read_text())["dtype"] == "float32"


def test_export_recipe_writes_adapters_as_mergekit_does(models, call, tmp_path):
    adapter = tmp_path / "adapter"
    name = "base_model.model.model.layers.0.mlp.up_proj"
    shape = tiny_model("Llama").model.layers[0].mlp.up_proj.weight.shape
    factors = {
        f"{name}.lora_A.weight": torch.randn(2, shape[1]),
        f"{name}.lora_B.weight": torch.randn(shape[0], 2),
    }
    (save_weights(adapter, factors) / "model.safetensors").rename(
        adapter / "adapter_model.safetensors"
    )
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["up_proj"]}
    (adapter / "adapter_config.json").write_text(json.dumps(config))
    status, _, err = call(
        *("export-recipe", *pool(models, lora=adapter, code=models / "code")),
        *("--method", "task_arithmetic", "--out", tmp_path / "r.yml"),
    )
    assert (status, err) == (0, "")
    listed = [
        entry["model"] for entry in yaml.safe_load((tmp_path / "r.yml").read_text())["models"]
    ]
    assert f"{models / 'base'}+{adapter}" in listed


def test_a_cell_takes_no_other_options(models, call, tmp_path):
    status, _, err = call(
        *("export-recipe", *pool(models), "--config", "x.yml", "--cell", "a/b/c"),
        *("--out", tmp_path / "r.yml"),
    )
    assert status == 1
    assert "--cell names the whole merge" in err


def test_evaluate_refuses_what_is_no_shard(models, call):
    status, _, err = call(
        "evaluate", models / "code", "--shard", models / "code" / "model.safetensors"
    )
    assert status == 1
    assert "is not a prepared shard" in err
