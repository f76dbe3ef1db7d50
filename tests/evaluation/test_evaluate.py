"""The evaluate command, as it is called."""

import json
import sys

import pytest
import torch

from mergelaw.cli import _status
from mergelaw.evaluation.shards import EvalShard, write_shard
from tests.evaluation.families import family, random_items


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two like models, one of them in a Hub cache, and shards of two domains."""
    folder = tmp_path_factory.mktemp("evaluate")
    model = family("llama")
    model.save_pretrained(folder / "base")
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.02 * torch.randn_like(parameter)
    model.save_pretrained(folder / "hub" / "models--own--expert" / "snapshots" / "c0ffee")
    (folder / "hub/models--own--expert/refs").mkdir()
    (folder / "hub/models--own--expert/refs/main").write_text("c0ffee")
    for seed, domain in enumerate(("algebra", "code")):
        items = tuple(item for item in random_items(150, seed) if item.scored.any())
        places = tuple(f"{domain}.json[{i}]" for i in range(len(items)))
        shard = EvalShard(domain, items, places, 0, {"vocabulary": "x", "marks": "{}"})
        write_shard(folder / f"{domain}.safetensors", shard)
    return folder


@pytest.fixture
def call(folder, monkeypatch, capsys):
    """Return a function that evaluates and returns exit code, output and errors."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder / "hub"))
    shards = [f"--shard={folder / name}.safetensors" for name in ("algebra", "code")]

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["mergelaw", "evaluate", *map(str, words), *shards])
        capsys.readouterr()
        status = _status()
        streams = capsys.readouterr()
        return status, streams.out, streams.err

    return run


def facts(call, *words):
    status, out, _ = call(*words, "--json")
    assert status == 0
    return json.loads(out)


def test_a_name_of_the_hub_is_scored_from_its_cache(call, folder):
    by_name = facts(call, "own/expert")
    assert by_name == facts(call, folder / "hub/models--own--expert/snapshots/c0ffee")
    status, _, err = call("own/other")
    assert status == 1
    assert "hf download own/other" in err


def test_the_difference_is_that_of_the_losses(call, folder):
    losses = {ref: facts(call, ref) for ref in ("own/expert", folder / "base")}
    found = facts(call, "own/expert", "--against", folder / "base")
    assert (found["checkpoint"], found["against"]) == ("own/expert", str(folder / "base"))
    assert (found["stopped"], found["standard_error"]) == (False, 0.0)
    for part, one, other in zip(found["domains"], *losses.values(), strict=True):
        assert part["difference"] == pytest.approx(one["loss"] - other["loss"], abs=1e-6)
        assert part["n_tokens"] == part["of_tokens"] == one["n_tokens"]


def test_a_stopped_measurement_in_words(call, folder):
    words = ("own/expert", "--against", folder / "base", "--standard-error")
    found = facts(call, *words, 0.02)
    assert found["stopped"]
    assert 0 < found["standard_error"] <= 0.02
    status, out, _ = call(*words, 0.02)
    assert status == 0
    share = sum(d["n_tokens"] for d in found["domains"])
    share /= sum(d["of_tokens"] for d in found["domains"])
    assert out.startswith(f"own/expert less {folder / 'base'}, in nats/token on this text:\n")
    assert out.endswith(f"stopped: {share:.1%} of the tokens give a standard error of 0.02\n")
    part = found["domains"][0]
    line = f"algebra: {part['difference']:+.6f} (standard error {part['standard_error']:.6f}) "
    assert line + f"from {part['n_items']} of {part['of_items']} items" in out


def test_an_error_that_only_all_items_give_is_said(call, folder):
    status, out, _ = call("own/expert", "--against", folder / "base", "--standard-error", 1e-9)
    assert status == 0
    assert "all items were scored, as fewer did not give a standard error of 1e-09" in out
    assert "(standard error 0.000000)\n" in out


def test_losses_of_a_table_stand_for_its_model(call, folder, tmp_path):
    status, out, _ = call(folder / "base", "--out", tmp_path / "base.parquet")
    assert status == 0
    assert out.endswith(f"\nwrote {tmp_path / 'base.parquet'}\n")
    silent = facts(call, folder / "base", "--out", tmp_path / "again.parquet")
    assert [part["domain"] for part in silent] == ["algebra", "code"]
    by_table = facts(call, "own/expert", "--against", tmp_path / "base.parquet")
    by_model = facts(call, "own/expert", "--against", folder / "base")
    assert by_table | {"against": 0} == by_model | {"against": 0}


def test_losses_of_another_type_are_told_in_words(call, folder, tmp_path):
    call(folder / "base", "--out", tmp_path / "base.parquet", "--dtype", "bfloat16")
    status, out, err = call("own/expert", "--against", tmp_path / "base.parquet")
    assert (status, out) == (1, "")
    assert f"give --dtype bfloat16, or score {folder / 'base'} with --dtype float32" in err


def test_a_name_that_against_would_not_find_is_refused_before_scoring(call, tmp_path):
    status, _, err = call("no/such", "--out", tmp_path / "y.csv")
    assert status == 1
    assert "must end in .parquet" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--standard-error", "0.1"), "--standard-error is that of a difference"),
        (("--against", "x", "--out", "y.parquet"), "--out holds the losses of one checkpoint"),
        (("--out", "y.csv"), "--out y.csv: must end in .parquet, so that --against finds it again"),
        (("--against", "nowhere"), "'nowhere': no such folder"),
        (("--against", "nowhere.parquet"), "nowhere.parquet"),
        (("--against", "x", "--standard-error", "0"), "--standard-error"),
    ],
)
def test_mistakes_are_told_in_words(call, folder, words, said):
    status, _, err = call(folder / "base", *words)
    assert status != 0
    assert said in err
    assert "Traceback" not in err
