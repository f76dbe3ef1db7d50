"""`mergelaw estimate` as people call it: models at hand or not, options, mistakes, no torch."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from safetensors.numpy import save_file

from mergelaw.config import parse_study
from mergelaw.costs.devices import DEVICES
from mergelaw.costs.machine_file import MachineFile
from mergelaw.costs.size_models import size_models
from mergelaw.errors import ConfigError, DataError
from mergelaw.paths import StudyPaths
from mergelaw.provenance import fingerprint
from tests.helpers import study_dict, study_of

ROOT = Path(__file__).parents[1]
SETTINGS = {"num_hidden_layers": 2, "hidden_size": 8, "vocab_size": 50}


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mergelaw", "estimate", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=os.environ | {"HF_HUB_CACHE": str(cwd / "hub")},  # no model is here
    )


def given(base, **size):
    """The tiny study with one size, whose base is a checkpoint."""
    experts = {name: f"org/{name}" for name in ("algebra", "biology", "code")}
    sizes = [{"name": "one", "base": str(base), "experts": experts} | size]
    return ("sizes", sizes), ("tokenizer", {"path": "org/tokenizer"})


def models(tmp_path, *changes):
    found, notes = size_models(study_of(*changes), StudyPaths(tmp_path / "results"))
    return found, notes


def checkpoint(folder, tied, dtype=np.float16):
    """50 x 8 embeddings, a head of the same, and 100 parameters between."""
    folder.mkdir()
    tensors = {
        "model.embed_tokens.weight": np.zeros((50, 8), dtype),
        "lm_head.weight": np.zeros((50, 8), dtype),
        "model.norm.weight": np.zeros(100, dtype),
    }
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(SETTINGS | {"tie_word_embeddings": tied}))
    return folder


@pytest.mark.parametrize(("tied", "n_params"), [(True, 500), (False, 900)])
def test_parameters_are_counted_in_headers_tied_ones_once(tmp_path, tied, n_params):
    found, notes = models(tmp_path, *given(checkpoint(tmp_path / "base", tied)))
    shape = found["one"].shape
    assert (shape.n_params, shape.n_params_nonembedding) == (n_params, 100)
    assert (shape.layers, shape.width, shape.vocabulary) == (2, 8, 50)
    assert found["one"].stored_bytes_per_param == 2.0
    assert notes == []


def test_a_name_of_the_hub_is_found_in_the_cache(tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    place = tmp_path / "models--org--base"
    (place / "refs").mkdir(parents=True)
    (place / "snapshots").mkdir()
    (place / "refs" / "main").write_text("abcdef1")
    checkpoint(place / "snapshots" / "abcdef1", tied=True)
    found, _ = models(tmp_path, *given("org/base"))
    assert found["one"].shape.n_params == 500


def test_config_json_alone_gives_the_shape_and_n_params_the_number(tmp_path):
    base = checkpoint(tmp_path / "base", tied=True)
    (base / "model.safetensors").unlink()
    found, _ = models(tmp_path, *given(base, n_params=500))
    assert not found["one"].shape.assumed
    assert found["one"].shape.n_params_nonembedding == 100
    assert "`n_params`" in found["one"].origin


def test_another_number_than_the_checkpoint_s_is_refused_with_both(tmp_path):
    base = checkpoint(tmp_path / "base", tied=True)
    with pytest.raises(ConfigError) as error:
        models(tmp_path, *given(base, n_params=501))
    assert f"sizes[0].n_params = 501: the checkpoint {base} has 500" in str(error.value)


def test_all_sizes_without_a_number_are_listed(tmp_path):
    (_, [size]), tokenizer = given("org/missing")
    sizes = [size, size | {"name": "two"}]
    with pytest.raises(ConfigError) as error:
        models(tmp_path, ("sizes", sizes), tokenizer)
    said = str(error.value)
    assert said.startswith("estimate: 2 problems\n  - sizes[0].n_params: is missing")
    assert "sizes[1].n_params: is missing" in said
    assert "hf download org/missing" in said


@pytest.mark.parametrize("base", ["models/base", "models/base@v1"])
def test_a_folder_that_is_absent_is_called_so_before_the_hub_is_named(tmp_path, monkeypatch, base):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as error:
        models(tmp_path, *given(base))
    said = str(error.value)
    words = [
        f"`base` = '{base}': no such folder ({tmp_path / base})",
        "give the number of parameters as n_params",
        "or, if it is a name of the Hugging Face Hub, run first: hf download models/base",
    ]
    assert sorted(words, key=said.index) == words


@pytest.mark.parametrize("base", ["./models/base", "/nowhere/base", "~/no/base"])
def test_a_path_is_not_offered_for_download(tmp_path, base):
    with pytest.raises(ConfigError, match="no such folder") as error:
        models(tmp_path, *given(base))
    assert "hf download" not in str(error.value)


def test_a_folder_without_weights_is_named(tmp_path):
    with pytest.raises(ConfigError) as error:
        models(tmp_path, *given(tmp_path))
    assert f"has no weights that tell it ({tmp_path}); give the number" in str(error.value)


def test_a_broken_checkpoint_is_an_error_or_a_note_where_n_params_is_given(tmp_path):
    base = checkpoint(tmp_path / "base", tied=True)
    path = base / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ConfigError, match=r"sizes\[0\].base: .*is broken or truncated"):
        models(tmp_path, *given(base))
    found, notes = models(tmp_path, *given(base, n_params=500))
    assert found["one"].shape.n_params == 500
    assert len(notes) == 1
    assert "sizes[0].base cannot be read, n_params is used" in notes[0]


def test_the_vocabulary_of_trained_models_is_the_tokenizer_s(tmp_path):
    found, _ = models(tmp_path)
    small = found["small"].shape
    assert small.vocabulary == 300
    folder = tmp_path / "results" / "data" / "tokenizer"
    folder.mkdir(parents=True)
    content = {"model": {"vocab": {str(i): i for i in range(280)}}, "added_tokens": [{"id": 281}]}
    (folder / "tokenizer.json").write_text(json.dumps(content))
    found, _ = models(tmp_path)
    assert found["small"].shape.n_params == small.n_params - 16 * (300 - 282)


@pytest.mark.parametrize(
    "content",
    [
        {},
        [],
        {"model": {}},
        {"model": {"vocab": 3}},
        {"model": {"vocab": {}}, "added_tokens": [{}]},
    ],
)
def test_a_tokenizer_that_is_none_is_named(tmp_path, content):
    path = tmp_path / "results" / "data" / "tokenizer" / "tokenizer.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(content))
    with pytest.raises(DataError) as error:
        models(tmp_path)
    assert str(error.value).startswith(f"{path}: lacks `model` with `vocab`")


def test_the_shipped_study_on_a_machine_without_checkpoints_or_gpu(tmp_path):
    config = str(ROOT / "config" / "default.yaml")
    out = tmp_path / "a" / "estimate.json"
    done = run("--config", config, "--job-minutes", "0.3", "--out", str(out), cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    facts = json.loads(out.read_text())
    assert facts["total"]["n_merges"] == 8176
    assert facts["machine"]["device"]["name"] == "cpu"
    for plan in facts["chunk_sizes"]:
        assert plan["longest_job_seconds"] <= 18
        assert f"chunk_size: {plan['chunk_size']}  #" in done.stdout
    printed = run("--config", config, "--job-minutes", "0.3", "--json", cwd=tmp_path)
    assert json.loads(printed.stdout)["rows"] == facts["rows"]


def test_options_reach_the_machine(tmp_path):
    config = tmp_path / "study.yaml"
    config.write_text(yaml.safe_dump(study_dict()))
    options = ["--device", "h200", "--utilisation", "0.25", "--gpus", "3", "--bandwidth", "7"]
    options += ["--disk-bandwidth", "0.5", "--host-memory", "64", "--measured", "--json"]
    done = run("--config", str(config), *options, cwd=tmp_path)
    machine = json.loads(done.stdout)["machine"]
    assert machine.pop("device")["name"] == "H200"
    assert machine == {
        "utilisation": 0.25, "job_seconds": 2400.0, "host_bytes": 64e9, "merge_bandwidth": 7e9,
        "disk_bandwidth": 0.5e9, "n_devices": 3, "any_device": True, "longest_seconds": None,
    }  # fmt: skip


def test_every_key_of_a_machine_s_file_is_in_the_docs():
    page = (ROOT / "docs" / "estimate.md").read_text(encoding="utf-8")
    section = page.split("## What jobs ask for on a cluster")[1]
    assert [key for key in MachineFile.model_fields if f"`{key}`" not in section] == []


GPU_NODE = {
    "device": "h100", "gpus_per_node": 8, "node_memory_gb": 2000, "cpus_per_gpu": 8,
    "bandwidth_gb": 40, "disk_bandwidth_gb": 1.5, "utilisation": 0.3, "longest_hours": 24,
}  # fmt: skip


def machine_of(tmp_path, *options):
    config, machine = tmp_path / "study.yaml", tmp_path / "machine.yaml"
    config.write_text(yaml.safe_dump(study_dict()))
    machine.write_text(yaml.safe_dump(GPU_NODE))
    arguments = ["--config", str(config), "--machine", str(machine), *options, "--json"]
    found = json.loads(run(*arguments, cwd=tmp_path).stdout)["machine"]
    return found | {"device": found["device"]["name"]}


def test_a_machine_s_file_says_what_options_else_do(tmp_path):
    assert machine_of(tmp_path) == {
        "device": "H100", "utilisation": 0.3, "job_seconds": 2400.0, "host_bytes": 250e9,
        "merge_bandwidth": 40e9, "disk_bandwidth": 1.5e9, "n_devices": 1, "any_device": False,
        "longest_seconds": 86400.0,
    }  # fmt: skip


def test_options_win_over_the_machine_s_file(tmp_path):
    options = ["--device", "h200", "--utilisation", "0.25", "--bandwidth", "7", "--gpus", "3"]
    options += ["--disk-bandwidth", "0.5", "--host-memory", "64"]
    assert machine_of(tmp_path, *options) == {
        "device": "H200", "utilisation": 0.25, "job_seconds": 2400.0, "host_bytes": 64e9,
        "merge_bandwidth": 7e9, "disk_bandwidth": 0.5e9, "n_devices": 3, "any_device": False,
        "longest_seconds": 86400.0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--device", "tpu"], f"--device tpu: is unknown; must be one of {', '.join(DEVICES)}"),
        (["--utilisation", "nan", "--gpus", "0"], "estimate: 2 problems"),
        (["--config", "nowhere.yaml"], "nowhere.yaml: cannot be read"),
        (["--machine", "nowhere.yaml"], "nowhere.yaml: cannot be read"),
    ],
)
def test_mistakes_end_in_words(options, words, tmp_path):
    done = run("--config", str(ROOT / "config" / "default.yaml"), *options, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {words}")


def test_measured_jobs_elsewhere_are_offered(tmp_path):
    config = tmp_path / "study.yaml"
    config.write_text(yaml.safe_dump(study_dict()))
    path = tmp_path / "results/tiny/sweep/small/ta/0.cost.json"
    path.parent.mkdir(parents=True)
    chunk = {"size": "small", "method": "ta", "chunk": 0}
    facts = {"n_merges": 4, "merge_seconds": 8.0, "score_seconds": 4.0, "device": "NVIDIA H200"}
    facts["slice"] = fingerprint(parse_study(study_dict()), "sweep", "chunk", **chunk)
    path.write_text(json.dumps(facts))
    done = run("--config", str(config), cwd=tmp_path)
    assert "note: jobs of this study were measured on NVIDIA H200; --measured uses" in done.stdout
    rows = json.loads(run("--config", str(config), "--measured", "--json", cwd=tmp_path).stdout)
    timed = [row for row in rows["rows"] if row["measured"]]
    assert [(row["size"], row["method"]) for row in timed] == [("small", "ta")]
    assert timed[0]["seconds_per_merge"] == 3.0


def test_nothing_heavy_is_loaded_even_where_a_checkpoint_is_read(tmp_path):
    base = checkpoint(tmp_path / "base", tied=True)
    config = tmp_path / "study.yaml"
    config.write_text(yaml.safe_dump(study_dict(*given(base))))
    program = (
        "import sys; from pathlib import Path; from mergelaw.tools.estimating import estimate; "
        f"estimate(Path({str(config)!r})); "
        "print('loaded', *{'torch', 'transformers', 'scipy', 'matplotlib'} & sys.modules.keys())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert done.stdout.splitlines()[-1].split() == ["loaded"]
    assert "500 parameters" in done.stdout


@pytest.mark.parametrize("name", ["qwen2.5", "llama3", "pool16"])
def test_shipped_studies_hold_the_chunk_sizes_that_they_say_come_from_here(name, tmp_path):
    config = str(ROOT / "config" / f"{name}.yaml")
    done = run(
        "--config", config, "--device", "h100", "--job-minutes", "60", "--json", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    for size in json.loads(done.stdout)["chunk_sizes"]:
        assert size["chunk_size"] == size["chunk_size_now"], size


def test_the_example_in_the_docs_is_what_the_shipped_config_prints(tmp_path):
    page = (ROOT / "docs" / "estimate.md").read_text(encoding="utf-8")
    lines = [line.removeprefix("    ") for line in page.splitlines() if line.startswith("    ")]
    command, *shown = (line for line in lines if line)
    arguments = command.replace("config/", f"{ROOT}/config/").split()[2:]
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(shown) > 30
    printed = iter(done.stdout.splitlines())
    assert [line for line in shown if line not in printed] == []  # in this order


@pytest.mark.parametrize(("millions", "hours"), [(1, "4,039"), (30, "119,265")])
def test_the_hours_of_merges_in_the_docs_are_those_of_the_shipped_config(tmp_path, millions, hours):
    raw = yaml.safe_load((ROOT / "config" / "qwen2.5.yaml").read_text(encoding="utf-8"))
    raw["evaluation"]["tokens_per_domain"] = millions * 10**6
    for size in raw["sizes"]:
        size["launch"] = str(ROOT / size["launch"])
    config = tmp_path / "study.yaml"
    config.write_text(yaml.safe_dump(raw))
    done = run("--config", str(config), "--device", "H100", "--json", cwd=tmp_path)
    rows = [row for row in json.loads(done.stdout)["rows"] if row["rule"] == "chunk"]
    assert f"{sum(row['device_seconds'] for row in rows) / 3600:,.0f}" == hours
    assert f"{hours} GPU-hours" in (ROOT / "docs" / "estimate.md").read_text(encoding="utf-8")
