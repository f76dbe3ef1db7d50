"""What is carried beside weights: everything that loading needs, and nothing that runs."""

import json
import os
import stat

import pytest
import torch

from mergelaw.errors import CheckpointError
from mergelaw.merging.carry import carry
from tests.helpers import save_weights, special_token_tokenizer, tiny_model

TEMPLATE = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"


@pytest.fixture
def base(tmp_path):
    """A base as transformers saves it, with generation config and tokenizer."""
    folder = tmp_path / "base"
    model = tiny_model("Qwen2").to(torch.bfloat16)
    model.generation_config.temperature = 0.7
    model.generation_config.do_sample = True
    model.save_pretrained(folder)
    special_token_tokenizer(TEMPLATE, ["<|end|>"]).save_pretrained(folder)
    return folder


@pytest.fixture
def part(tmp_path):
    folder = tmp_path / "part"
    folder.mkdir()
    return folder


def edit(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_transformers_finds_everything_that_it_saved(base, part):
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig

    assert carry(base, part, "float32") == ()
    save_weights(part, dict(tiny_model("Qwen2", seed=1).state_dict()))
    ours, theirs = (AutoConfig.from_pretrained(folder).to_dict() for folder in (part, base))
    assert ours.pop("dtype") == "float32"
    assert theirs.pop("dtype") == "bfloat16"
    ours.pop("_name_or_path"), theirs.pop("_name_or_path")
    assert ours == theirs
    assert AutoModelForCausalLM.from_pretrained(part).dtype == torch.float32
    assert GenerationConfig.from_pretrained(part).temperature == 0.7
    chat = [{"role": "user", "content": "Add the numbers"}]
    tokenizers = [AutoTokenizer.from_pretrained(folder) for folder in (part, base)]
    first, second = (t.apply_chat_template(chat, return_dict=False) for t in tokenizers)
    assert first == second
    assert tokenizers[0].decode(first).startswith("user: Add the numbers")


def test_files_are_the_same_bytes_where_nothing_must_change(base, part):
    carry(base, part, None)
    carried = {path.name: path.read_bytes() for path in part.iterdir()}
    assert carried == {
        path.name: path.read_bytes() for path in base.iterdir() if path.suffix != ".safetensors"
    }
    assert {"config.json", "generation_config.json", "tokenizer.json", "chat_template.jinja"} <= (
        carried.keys()
    )


def test_weights_code_and_pickles_stay_behind(base, part):
    (base / "LICENSE").write_text("terms")
    for name in (
        "pytorch_model.bin",
        "optimizer.pt",
        "training_args.bin",
        "modeling_own.py",
        "README.md",
        "model-00001-of-00002.safetensors",
        "tokenizer.pkl",
        ".hidden.json",
    ):
        (base / name).write_bytes(b"x")
    (base / "checkpoint-5").mkdir()
    (base / "checkpoint-5" / "config.json").touch()
    (base / "additional_chat_templates").mkdir()
    (base / "additional_chat_templates" / "tools.jinja").write_text("{{ tools }}")
    (base / "additional_chat_templates" / "run.py").write_text("boom()")
    (base / "vocab.json").mkdir()  # a folder of a file's name
    carry(base, part, None)
    assert {str(path.relative_to(part)) for path in part.rglob("*") if path.is_file()} == {
        "config.json",
        "generation_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "chat_template.jinja",
        "additional_chat_templates/tools.jinja",
        "LICENSE",
    }


def test_links_of_a_cache_are_carried_as_files(base, part, tmp_path):
    blobs = tmp_path / "blobs"
    base.rename(blobs)
    base.mkdir()
    for blob in blobs.iterdir():
        os.chmod(blob, 0o400)
        (base / blob.name).symlink_to(blob)
    carry(base, part, "bfloat16")
    for path in part.iterdir():
        assert not path.is_symlink()
        assert path.read_bytes() == (blobs / path.name).read_bytes()
        assert stat.S_IMODE(path.stat().st_mode) & stat.S_IWUSR


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"dtype": "bfloat16"}, {"dtype": "float16"}),
        ({"torch_dtype": "bfloat16"}, {"torch_dtype": "float16"}),
        ({"torch_dtype": None}, {"torch_dtype": "float16"}),
        ({}, {"dtype": "float16"}),
        (
            {"dtype": "float32", "text_config": {"dtype": "bfloat16", "hidden_size": 8}},
            {"dtype": "float16", "text_config": {"dtype": "float16", "hidden_size": 8}},
        ),
        (
            {"vision_config": {"inner_config": {"torch_dtype": "float32"}, "depth": 2}},
            {
                "vision_config": {"inner_config": {"torch_dtype": "float16"}, "depth": 2},
                "dtype": "float16",
            },
        ),
        ({"rope": {"dtype": "int8"}}, {"rope": {"dtype": "int8"}, "dtype": "float16"}),
    ],
)
def test_the_config_names_the_type_that_was_written(base, part, before, after):
    (base / "config.json").write_text(json.dumps({"model_type": "x"} | before))
    carry(base, part, "float16")
    assert json.loads((part / "config.json").read_text()) == {"model_type": "x"} | after


def test_loading_runs_no_code_whatever_is_trusted(base, part, tmp_path):
    from transformers import AutoConfig, AutoTokenizer

    witness = tmp_path / "was run"
    code = f"open({str(witness)!r}, 'w')\n"
    (base / "configuration_own.py").write_text(code)
    (base / "tokenization_own.py").write_text(code)
    edit(base / "config.json", auto_map={"AutoConfig": "configuration_own.OwnConfig"})
    edit(
        base / "tokenizer_config.json",
        auto_map={"AutoTokenizer": [None, "tokenization_own.OwnTokenizer"]},
    )
    (base / "processor_config.json").write_text(
        json.dumps({"image": [{"auto_map": {"AutoImageProcessor": "x.Y"}, "size": 3}]})
    )
    notes = carry(base, part, None)
    assert len(notes) == 3
    assert all("names code of its own (auto_map)" in note for note in notes)
    assert str(base / "config.json") in notes[0]
    assert not [path for path in part.rglob("*") if path.suffix == ".py"]
    assert json.loads((part / "processor_config.json").read_text()) == {"image": [{"size": 3}]}
    AutoConfig.from_pretrained(part, trust_remote_code=True)
    AutoTokenizer.from_pretrained(part, trust_remote_code=True)
    assert not witness.exists()


def test_a_base_without_config_is_told(base, part):
    (base / "config.json").unlink()
    assert carry(base, part, "float16") == (
        f"{base} has no config.json: transformers cannot load it",
    )
    assert not (part / "config.json").exists()


def test_all_broken_files_are_named_at_once_and_nothing_is_written(base, part):
    (base / "config.json").write_text("{")
    (base / "generation_config.json").write_text("[1]")
    (base / "tokenizer.json").unlink()
    (base / "tokenizer.json").symlink_to("../blobs/gone")
    with pytest.raises(CheckpointError) as caught:
        carry(base, part, None)
    assert "3 problems" in str(caught.value)
    for name in ("config.json", "generation_config.json", "tokenizer.json"):
        assert name in str(caught.value)
    assert not os.listdir(part)


def test_what_an_earlier_run_left_is_written_over(base, part):
    (part / "config.json").write_text("half of")
    carry(base, part, None)
    assert (part / "config.json").read_bytes() == (base / "config.json").read_bytes()
