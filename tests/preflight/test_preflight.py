"""Pre-flight: one report of everything that headers and json files tell, before data are read."""

import json
import math
import os
import re
import shutil
import subprocess
import sys
from collections import namedtuple

import pytest
import torch

from mergelaw.checkpoints.store import TensorStore
from mergelaw.errors import CheckpointError
from mergelaw.preflight.findings import Findings
from mergelaw.preflight.heads import Redundant
from mergelaw.preflight.report import preflight
from mergelaw.preflight.room import amount, check_room
from tests.helpers import edit_weights, save_weights, tiny_model

HEAD, EMBEDDING = "lm_head.weight", "model.embed_tokens.weight"
UP = "model.layers.0.mlp.up_proj.weight"
SHAPES = {EMBEDDING: (10, 4), UP: (6, 4), "model.norm.weight": (4,), HEAD: (10, 4)}
SILENT = "expert 'code' does not say what it was made from"


def checkpoint(folder, *, without=(), dtype=torch.float32, tensors=None, **config):
    """A small model of `SHAPES` that says it was made from Org/base, with a config.json."""
    named = {n: torch.zeros(shape, dtype=dtype) for n, shape in SHAPES.items() if n not in without}
    save_weights(folder, named | (tensors or {}))
    raw = {"model_type": "llama", "vocab_size": 10, "tie_word_embeddings": False} | config
    (folder / "config.json").write_text(json.dumps({k: v for k, v in raw.items() if v is not None}))
    (folder / "README.md").write_text("---\nbase_model: Org/base\n---\n")
    (folder / "tokenizer.json").write_text('{"model": {"vocab": {"a": 0}}}')
    return folder


@pytest.fixture
def base(tmp_path):
    return checkpoint(tmp_path / "base")


@pytest.fixture
def code(tmp_path):
    return checkpoint(tmp_path / "code")


def lora(folder, *modules, base="Org/base", replaced=()):
    """A LoRA adapter of rank 2 on modules of `SHAPES`, and whole tensors of it."""
    from safetensors.torch import save_file

    folder.mkdir()
    tensors = {}
    for module in modules:
        out, into = SHAPES[f"{module}.weight"]
        tensors[f"base_model.model.{module}.lora_A.weight"] = torch.zeros(2, into)
        tensors[f"base_model.model.{module}.lora_B.weight"] = torch.zeros(out, 2)
    tensors |= {f"base_model.model.{name}": torch.zeros(SHAPES[name]) for name in replaced}
    save_file(tensors, folder / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "base_model_name_or_path": base}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder


def edit_config(folder, **changes):
    raw = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(raw | changes))


def test_a_good_merge_is_told_in_numbers(base, code, tmp_path):
    found = preflight(base, {"code": code}, out=tmp_path / "new" / "out", dtype="bfloat16")
    found.raise_problems()
    assert (found.problems, found.notes) == ((), ())
    assert found.tensors == tuple(sorted(SHAPES))
    assert (found.copied, found.redundant) == ((), ())
    assert found.n_params == 40 + 24 + 4 + 40
    assert found.bytes_read == 2 * 4 * 108
    assert found.bytes_written == 2 * 108
    assert preflight(base, {"code": code}).bytes_written == 4 * 108
    assert found.experts["code"].folder == code
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("kind", ["Qwen2", "Llama", "Gemma2", "Mixtral"])
@pytest.mark.parametrize("ties", [True, False])
def test_saved_models_of_any_architecture_agree(tmp_path, kind, ties):
    for name in ("base", "code"):
        tiny_model(kind, tie_word_embeddings=ties).save_pretrained(tmp_path / name)
    found = preflight(tmp_path / "base", {"code": tmp_path / "code"})
    assert found.problems == ()
    assert found.notes == (
        "the base has no tokenizer, and neither will the merged model",
        SILENT,
    )
    n_params = sum(p.numel() for p in tiny_model(kind, tie_word_embeddings=ties).parameters())
    assert found.n_params == n_params


def test_neither_torch_nor_the_hub_is_loaded(base, code):
    program = (
        "import sys; from pathlib import Path; from mergelaw.preflight.report import preflight;"
        "found = preflight(Path(sys.argv[1]), {'code': sys.argv[2]}); found.raise_problems();"
        "found.text(); print(*{name.split('.')[0] for name in sys.modules})"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, base, code], check=True, capture_output=True, text=True
    )
    loaded = set(result.stdout.split())
    assert "mergelaw" in loaded
    assert not loaded & {"torch", "transformers", "huggingface_hub", "numpy", "safetensors"}


def test_all_problems_are_in_one_report_expert_by_expert(base, tmp_path):
    first = checkpoint(
        tmp_path / "first", without=["model.norm.weight"], tensors={"extra": torch.zeros(2)}
    )
    edit_weights(first, UP, lambda t: t.T)
    edit_config(first, rope_theta=1.0)
    edit_config(base, rope_theta=2.0)
    (first / "README.md").write_text("---\nbase_model: Org/other\n---\n")
    broken = checkpoint(tmp_path / "broken")
    (broken / "model.safetensors").write_bytes(b"short")
    (broken / "config.json").write_text("{")
    found = preflight(base, {"first": first, "gone": tmp_path / "gone", "broken": broken}, out=base)
    shown = [re.sub(r"(\(|(?<=tensors file):).*", "", p.splitlines()[0]) for p in found.problems]
    assert shown == [
        "expert 'first' lacks 1 tensor of the base: model.norm.weight",
        "expert 'first' has 1 tensor that the base lacks: extra",
        f"expert 'first': {UP} has shape [4, 6], the base [6, 4]",
        "expert 'first': by config.json its weights are those of another function than the base's: "
        "rope_theta = 1.0 ",
        "expert 'first' says that it was made from 'Org/other' ",
        f"expert 'gone': '{tmp_path / 'gone'}': no such folder ",
        f"expert 'broken': {broken / 'model.safetensors'}: is no safetensors file",
        f"expert 'broken': {broken / 'config.json'}: is no JSON ",
        f"{base}: exists already and is never written over; remove it, or give another place for "
        "the output",
    ]
    with pytest.raises(CheckpointError) as caught:
        found.raise_problems()
    assert str(caught.value).startswith("these models cannot be merged: 9 problems\n  - expert")
    assert json.loads(json.dumps(found.facts()))["problems"] == list(found.problems)


def test_the_text_and_facts_say_what_is_merged(base, tmp_path):
    adapter = lora(tmp_path / "adapter", "model.layers.0.mlp.up_proj")
    found = preflight(base, {"code": adapter})
    assert found.text().splitlines() == [
        f"base    {base}: 4 tensors, 108 parameters, F32",
        f"expert  code: {adapter}, LoRA adapter of 1 tensor",
        "reads   512 bytes, writes 432 bytes",
    ]
    assert found.facts() == {
        "problems": [],
        "notes": [],
        "base": str(base),
        "experts": {"code": {"folder": str(adapter), "kind": "LoRA adapter of 1 tensor"}},
        "model_names": {"base": "base", "code": "adapter"},
        "dtypes": {"F32": 4},
        "n_tensors": 4,
        "copied": [],
        "redundant": [],
        "n_params": 108,
        "bytes_read": 512,
        "bytes_written": 432,
    }


def test_what_holds_for_several_experts_is_said_once(base, tmp_path):
    for name in ("a", "b", "c"):
        (checkpoint(tmp_path / name) / "README.md").unlink()
    (tmp_path / "c" / "tokenizer.json").unlink()
    found = preflight(base, {name: tmp_path / name for name in ("a", "b", "c")}, lineage="report")
    assert found.notes[0] == "expert 'a' does not say what it was made from"
    assert found.text().splitlines()[-2:] == [
        "note    each of a, b, c does not say what it was made from",
        "note    expert 'c' has no tokenizer to compare with the base's",
    ]
    (base / "tokenizer.json").unlink()
    assert "note    the base has no tokenizer, and" in preflight(base, {"a": tmp_path / "a"}).text()


def test_a_base_that_cannot_be_opened_leaves_the_experts_checked(tmp_path, code):
    edit_config(code, quantization_config={"quant_method": "awq"})
    found = preflight(tmp_path / "nowhere", {"code": code})
    assert len(found.problems) == 2
    assert found.problems[0].startswith("the base: ")
    assert "expert 'code' is quantised (config.json says 'awq')" in found.problems[1]
    assert found.base.entries == {}


# ---- names and paths ----


@pytest.mark.parametrize("name", ["a b", "", "../x", ".hidden", "x" * 65])
def test_an_experts_name_is_fit_for_paths(base, code, name):
    (problem,) = preflight(base, {name: code}).problems
    assert problem.startswith(f"expert {name!r}: a name is made of letters")


def test_the_name_of_the_base_is_taken(base, code):
    assert "the name is taken by the base model" in preflight(base, {"base": code}).problems[0]


@pytest.mark.parametrize(
    "link", [os.symlink, lambda a, b: shutil.copytree(a, b, copy_function=os.link)]
)
def test_one_checkpoint_given_twice_is_refused(base, code, tmp_path, link):
    link(code, tmp_path / "again")
    (problem,) = preflight(base, {"code": code, "maths": tmp_path / "again"}).problems
    assert problem == (
        f"expert 'maths' is the same checkpoint as expert 'code' ({tmp_path / 'again'}): "
        "it would count twice; leave one out"
    )
    link(base, tmp_path / "base2")
    (problem,) = preflight(base, {"code": tmp_path / "base2"}).problems
    assert problem.startswith("expert 'code' is the base itself (")


def test_an_adapter_given_twice_is_refused(base, tmp_path):
    adapter = lora(tmp_path / "adapter", "model.layers.0.mlp.up_proj")
    (problem,) = preflight(base, {"a": adapter, "b": adapter}).problems
    assert problem.startswith("expert 'b' is the same checkpoint as expert 'a'")


def test_experts_that_cannot_be_opened_are_not_the_same(base, tmp_path):
    for name in ("a", "b"):
        (checkpoint(tmp_path / name) / "model.safetensors").unlink()
    found = preflight(base, {name: tmp_path / name for name in ("a", "b")})
    assert [problem[:10] for problem in found.problems] == ["expert 'a'", "expert 'b'"]
    assert all("holds neither" in problem for problem in found.problems)


def test_an_expert_may_stand_for_the_base(code, tmp_path):
    maths = checkpoint(tmp_path / "maths")
    found = preflight(code, {"code": code, "maths": maths}, stand_in="code")
    assert found.problems == ()
    assert found.notes == ("the method needs no base: expert 'code' stands for it here",)
    (code / "README.md").unlink()
    silent = preflight(code, {"code": code, "maths": maths}, stand_in="code")
    assert silent.problems == ()
    assert silent.notes[0] == (
        "expert 'code' does not say what it was made from: the others' origins cannot be compared "
        "with it"
    )
    assert len(silent.notes) == 2
    again = preflight(code, {"code": code, "maths": code}, stand_in="code")
    assert again.problems[0].startswith("expert 'maths' is the same checkpoint as expert 'code'")


def test_a_model_of_the_cache_goes_by_its_name(base, code, tmp_path, monkeypatch):
    from huggingface_hub import constants

    place = tmp_path / "hub" / "models--Org--base"
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text("0f3a")
    shutil.copytree(base, place / "snapshots" / "0f3a")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    found = preflight("Org/base", {"code": code})
    assert (found.problems, found.notes) == ((), ())
    assert found.model_names == {"base": "Org/base", "code": "code"}
    (place / "snapshots" / "0f3a" / "model.safetensors").unlink()
    (problem,) = preflight("Org/base", {"code": code}).problems
    assert problem.endswith("; to complete it, run: hf download Org/base")


# ---- tensors ----


def test_many_problems_of_a_kind_are_counted(tmp_path):
    names = [f"layers.{i}.w.weight" for i in range(8)]
    for folder, shape in (("base", (2, 3)), ("code", (3, 2))):
        checkpoint(tmp_path / folder, tensors={name: torch.zeros(shape) for name in names})
    found = preflight(tmp_path / "base", {"code": tmp_path / "code"})
    assert len(found.problems) == 6
    assert found.problems[-1] == "expert 'code': 3 more tensors of other shapes"


def test_another_vocabulary_size_is_told_in_words(base, tmp_path):
    code = checkpoint(
        tmp_path / "code",
        tensors={HEAD: torch.zeros(12, 4), EMBEDDING: torch.zeros(12, 4)},
    )
    assert preflight(base, {"code": code}).problems == (
        "expert 'code': its vocabulary has 12 rows, the base's 10 (lm_head.weight, "
        "model.embed_tokens.weight); resize it to the base's tokens "
        "(transformers: resize_token_embeddings) or leave it out",
    )


@pytest.mark.parametrize("nested", [False, True])
def test_an_embedding_of_an_unknown_name_is_known_by_its_rows(tmp_path, nested):
    tokens = {"vocab_size": None, "text_config": {"vocab_size": 10}} if nested else {}
    for folder, rows in (("base", 10), ("code", 11)):
        checkpoint(tmp_path / folder, tensors={"odd.symbols": torch.zeros(rows, 4)}, **tokens)
    (problem,) = preflight(tmp_path / "base", {"code": tmp_path / "code"}).problems
    assert "its vocabulary has 11 rows, the base's 10 (odd.symbols)" in problem


@pytest.mark.parametrize(
    "change",
    [
        lambda name: name.removeprefix("model."),
        lambda name: f"language_model.{name}",
    ],
)
def test_names_of_another_version_have_a_way_out(base, tmp_path, change):
    names = {change(name): torch.zeros(shape) for name, shape in SHAPES.items()}
    code = checkpoint(tmp_path / "code", without=SHAPES, tensors=names)
    problems = preflight(base, {"code": code}).problems
    assert problems
    assert all("load both with one version of transformers" in problem for problem in problems)


def test_another_layer_is_not_another_name(base, tmp_path):
    layer = {UP.replace(".0.", ".7."): torch.zeros(6, 4)}
    code = checkpoint(tmp_path / "code", without=[UP], tensors=layer)
    problems = preflight(base, {"code": code}).problems
    assert len(problems) == 2
    assert not any("transformers" in problem for problem in problems)


def test_a_transposed_embedding_is_no_other_vocabulary(base, tmp_path):
    code = checkpoint(tmp_path / "code", tensors={EMBEDDING: torch.zeros(4, 10)})
    (problem,) = preflight(base, {"code": code}).problems
    assert problem == f"expert 'code': {EMBEDDING} has shape [4, 10], the base [10, 4]"


def test_stale_buffers_have_a_way_out(base, tmp_path):
    buffers = {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.zeros(2)}
    (problem,) = preflight(base, {"code": checkpoint(tmp_path / "c", tensors=buffers)}).problems
    assert "stale buffers: load both with one version of transformers" in problem
    other = checkpoint(tmp_path / "d", tensors={"model.gate.weight": torch.zeros(2)})
    (problem,) = preflight(base, {"code": other}).problems
    assert "transformers" not in problem


def test_other_floating_types_are_noted(base, tmp_path):
    code = checkpoint(tmp_path / "code", dtype=torch.bfloat16)
    found = preflight(base, {"code": code})
    assert found.problems == ()
    assert found.notes == (
        "expert 'code' stores 4 tensors as BF16 where the base has F32; "
        "sums are made in F32 either way",
    )
    assert found.bytes_read == 6 * 108


def test_double_precision_is_noted(tmp_path, code):
    base = checkpoint(tmp_path / "base", dtype=torch.float64)
    assert "the base stores F64; sums are made in F32, to 7 digits" in (
        preflight(base, {"code": code}).notes
    )


def test_integers_are_taken_over_where_they_agree(tmp_path):
    extra = {"buffer": torch.zeros(3, dtype=torch.int64), "mask": torch.ones(2, dtype=torch.bool)}
    base = checkpoint(tmp_path / "base", tensors=extra)
    found = preflight(base, {"code": checkpoint(tmp_path / "code", tensors=extra)}, dtype="float16")
    assert found.problems == ()
    assert found.copied == ("buffer", "mask")
    assert found.tensors == tuple(sorted(SHAPES))
    assert found.n_params == 108
    assert found.bytes_written == 2 * 108 + 3 * 8 + 2
    assert found.notes == (
        "the base has 2 tensors of type BOOL and I64, which cannot be added and are taken over "
        "as they are: buffer, mask",
    )


@pytest.mark.parametrize("other", [torch.int32, torch.float32])
def test_integers_are_never_converted(tmp_path, other):
    base = checkpoint(tmp_path / "base", tensors={"buffer": torch.zeros(3, dtype=torch.int64)})
    code = checkpoint(tmp_path / "code", tensors={"buffer": torch.zeros(3, dtype=other)})
    dtype = {torch.int32: "I32", torch.float32: "F32"}[other]
    assert preflight(base, {"code": code}).problems == (
        f"expert 'code': buffer has type {dtype}, the base I64: only floating types are converted",
    )


def test_quantised_weights_are_refused_by_name(base, tmp_path):
    packed = checkpoint(
        tmp_path / "packed",
        tensors={UP: torch.zeros(12, 1, dtype=torch.uint8)},
        quantization_config={"quant_method": "bitsandbytes"},
    )
    eights = checkpoint(
        tmp_path / "eights", tensors={UP: torch.zeros(6, 4).to(torch.float8_e4m3fn)}
    )
    found = preflight(base, {"packed": packed, "eights": eights})
    assert [problem.partition(";")[0] for problem in found.problems] == [
        "expert 'packed' is quantised (config.json says 'bitsandbytes')",
        "expert 'eights' is quantised (1 tensor of type F8_E4M3)",
    ]
    assert all("give the checkpoint that it was quantised from" in p for p in found.problems)
    assert (
        preflight(eights, {"code": base})
        .problems[0]
        .startswith("the base is quantised (1 tensor of type F8_E4M3)")
    )


# ---- tied heads ----


def redundant(*owners):
    return tuple(Redundant(owner, HEAD, EMBEDDING) for owner in owners)


TIED = {
    # base: its flag and whether it stores a head; expert: the same; the owners of redundant heads
    "both tied, the expert stores a copy": (True, False, True, True, ["code"]),
    "both tied, the base stores a copy": (True, True, True, False, ["base"]),
    "both tied, both store a copy": (True, True, True, True, ["base", "code"]),
    "the base says it alone": (True, False, None, True, ["code"]),
    "nobody says it, only one stores it": (None, False, None, True, ["code"]),
    "nobody says it, the expert has none": (None, True, None, False, ["base"]),
    "nobody says it, both store it": (None, True, None, True, []),
    "untied": (False, True, False, True, []),
    "one says untied": (False, True, None, True, []),
}


@pytest.mark.parametrize(
    ("base_says", "base_stores", "expert_says", "expert_stores", "owners"), TIED.values(), ids=TIED
)
def test_stored_copies_of_tied_embeddings(
    tmp_path, base_says, base_stores, expert_says, expert_stores, owners
):
    parts = {"base": (base_says, base_stores), "code": (expert_says, expert_stores)}
    for name, (says, stores) in parts.items():
        without = [] if stores else [HEAD]
        checkpoint(tmp_path / name, without=without, tie_word_embeddings=says)
    found = preflight(tmp_path / "base", {"code": tmp_path / "code"})
    assert found.problems == ()
    assert found.redundant == redundant(*owners)
    assert (HEAD in found.tensors) == (not owners)
    assert found.n_params == (68 if owners else 108)
    assert len(found.notes) == len(owners)
    if "code" in owners:
        assert found.notes[-1] == (
            f"expert 'code' stores {HEAD} beside {EMBEDDING}, to which it is tied: it is left out "
            "if the two are equal, else the merge stops"
        )


@pytest.mark.parametrize(
    ("base_ties", "words"),
    [
        (True, "the base uses the input embedding as its output head, and it has a head of its"),
        (False, "it uses the input embedding as its output head, and the base has a head of its"),
    ],
)
def test_tied_and_untied_models_are_not_mixed(tmp_path, base_ties, words):
    for name, ties in (("base", base_ties), ("code", not base_ties)):
        checkpoint(tmp_path / name, without=[HEAD] if ties else [], tie_word_embeddings=ties)
    problems = preflight(tmp_path / "base", {"code": tmp_path / "code"}).problems
    assert any(words in problem for problem in problems)


@pytest.mark.parametrize("says", [(False, None), (None, False)])
def test_an_untied_head_is_no_copy(tmp_path, says):
    checkpoint(tmp_path / "base", without=[HEAD], tie_word_embeddings=says[0])
    checkpoint(tmp_path / "code", tie_word_embeddings=says[1])
    found = preflight(tmp_path / "base", {"code": tmp_path / "code"})
    assert found.redundant == ()
    assert found.problems == (f"expert 'code' has 1 tensor that the base lacks: {HEAD}",)


def test_the_twin_of_a_head_has_its_shape(tmp_path):
    other = {"model.layers.0.embed_tokens.weight": torch.zeros(10, 2)}
    for name, without in (("base", [HEAD]), ("code", [])):
        checkpoint(tmp_path / name, without=without, tensors=other, tie_word_embeddings=True)
    found = preflight(tmp_path / "base", {"code": tmp_path / "code"})
    assert (found.problems, found.redundant) == ((), redundant("code"))


def test_a_head_without_a_known_twin_is_not_guessed(tmp_path):
    shapes = {"a.embed_tokens.weight": (10, 4), "b.embed_tokens.weight": (10, 4)}
    tensors = {name: torch.zeros(shape) for name, shape in shapes.items()}
    for name, without in (("base", [HEAD, EMBEDDING]), ("code", [EMBEDDING])):
        checkpoint(tmp_path / name, without=without, tensors=tensors, tie_word_embeddings=True)
    found = preflight(tmp_path / "base", {"code": tmp_path / "code"})
    assert found.redundant == ()
    assert found.problems == (f"expert 'code' has 1 tensor that the base lacks: {HEAD}",)


def test_models_of_transformers_with_a_stored_copy(tmp_path):
    model = tiny_model("Llama", tie_word_embeddings=True)
    model.save_pretrained(tmp_path / "base")
    model.save_pretrained(tmp_path / "code")
    embedding = TensorStore.open(tmp_path / "code").read(EMBEDDING)
    edit_weights(tmp_path / "code", EMBEDDING, lambda t: t)
    from safetensors.torch import load_file

    weights = load_file(tmp_path / "code" / "model.safetensors")
    save_weights(tmp_path / "code", weights | {HEAD: embedding})
    found = preflight(tmp_path / "base", {"code": tmp_path / "code"})
    assert (found.problems, found.redundant) == ((), redundant("code"))


# ---- adapters ----


def test_an_adapter_is_bound_to_the_bases_tensors(base, tmp_path):
    adapter = lora(
        tmp_path / "adapter", "model.layers.0.mlp.up_proj", replaced=["model.norm.weight"]
    )
    found = preflight(base, {"code": adapter})
    assert (found.problems, found.notes) == ((), ())
    assert set(found.experts["code"].updates) == {UP}
    assert set(found.experts["code"].replacements) == {"model.norm.weight"}
    assert found.bytes_read == 4 * (108 + 2 * (6 + 4) + 4)


def test_an_adapter_that_does_not_fit_is_refused(tmp_path):
    base = checkpoint(tmp_path / "base", without=[UP])
    adapter = lora(tmp_path / "adapter", "model.layers.0.mlp.up_proj")
    (problem,) = preflight(base, {"code": adapter}).problems
    assert problem.startswith("expert 'code': the adapter changes, beyond what the base stores, 1")


def test_an_adapter_of_another_base_is_a_doubt(base, tmp_path):
    adapter = lora(tmp_path / "adapter", "model.layers.0.mlp.up_proj", base="Org/other")
    (problem,) = preflight(base, {"code": adapter}).problems
    assert "says that it was made from 'Org/other' (adapter_config.json); the base is" in problem
    assert preflight(base, {"code": adapter}, lineage="report").problems == ()


@pytest.mark.parametrize("stored", [True, False])
def test_an_adapter_of_a_tied_head_is_refused(tmp_path, stored):
    base = checkpoint(tmp_path / "base", without=[] if stored else [HEAD], tie_word_embeddings=True)
    adapter = lora(tmp_path / "adapter", "lm_head")
    problems = preflight(base, {"code": adapter}).problems
    assert (
        "the adapter changes lm_head.weight, and the base uses its input embedding there"
        in (problems[-1])
    )
    words = lora(tmp_path / "words", replaced=[EMBEDDING])
    problems = preflight(base, {"code": words}).problems
    assert "stores its own model.embed_tokens.weight, which the base uses as its" in problems[-1]


def test_an_adapter_of_an_integer_tensor_is_refused(tmp_path):
    base = checkpoint(tmp_path / "base", tensors={UP: torch.zeros(6, 4, dtype=torch.int8)})
    adapter = lora(tmp_path / "adapter", "model.layers.0.mlp.up_proj")
    assert preflight(base, {"code": adapter}).problems == (
        f"expert 'code': the adapter changes {UP}, of type I8 in the base: "
        "only floating types are merged",
    )


def test_an_adapter_is_no_base(tmp_path, code):
    adapter = lora(tmp_path / "adapter", "model.layers.0.mlp.up_proj")
    assert "is an adapter, not a whole model" in preflight(adapter, {"code": code}).problems[0]


# ---- json files ----


def test_missing_files_are_noted(tmp_path, base, code):
    for name in ("config.json", "README.md", "tokenizer.json"):
        (code / name).unlink()
    found = preflight(base, {"code": code})
    assert found.problems == ()
    assert found.notes == (
        "expert 'code' has no config.json to compare with the base's",
        SILENT,
        "expert 'code' has no tokenizer to compare with the base's",
    )
    for name in ("config.json", "tokenizer.json"):
        (base / name).unlink()
    assert preflight(base, {"code": code}).notes == (
        "the base has no config.json that the experts' can be compared with",
        "the base has no tokenizer, and neither will the merged model",
        SILENT,
    )


def test_a_broken_tokenizer_is_a_problem_of_its_owner(base, code):
    (base / "tokenizer.json").write_text("{")
    (problem,) = preflight(base, {"code": code}).problems
    assert problem.startswith(f"the base: {base / 'tokenizer.json'}: is no JSON")
    shutil.copy(code / "tokenizer.json", base)
    (code / "tokenizer.json").write_text("[]")
    (problem,) = preflight(base, {"code": code}).problems
    assert problem.startswith(f"expert 'code': {code / 'tokenizer.json'}: must hold a JSON object")


def test_tokenizers_are_compared(base, code):
    (code / "tokenizer.json").write_text('{"model": {"vocab": {"b": 0}}}')
    (problem,) = preflight(base, {"code": code}).problems
    assert "its tokenizer differs from the base's at 1 id (0 is 'b', the base's 'a')" in problem


# ---- the output ----


def room(out, n_bytes) -> list[str]:
    findings = Findings()
    check_room(findings, out, n_bytes)
    return findings.problems


def test_an_output_that_exists_is_refused_even_as_a_broken_link(tmp_path):
    (tmp_path / "out").symlink_to(tmp_path / "gone")
    assert "exists already and is never written over" in room(tmp_path / "out", 1)[0]


def test_an_output_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").touch(0o777)
    (problem,) = room(tmp_path / "file" / "a" / "out", 1)
    assert problem.endswith(f"cannot be made there, as {tmp_path / 'file'} is no folder")


def test_an_output_that_may_not_be_written_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write anywhere
    (problem,) = room(tmp_path / "a" / "out", 1)
    assert problem == f"{tmp_path}/a/out: cannot be made there, as {tmp_path} cannot be written to"


def test_an_output_that_does_not_fit_is_refused_with_both_figures(tmp_path):
    (problem,) = room(tmp_path / "a" / "b" / "out", 10**18)
    assert re.fullmatch(
        rf"{tmp_path}/a/b/out: needs 1,000,000,000\.00 GB, and its disk has [\d,.]+ \w+ free; "
        r"free [\d,.]+ GB, or give a place on another disk",
        problem,
    )
    assert room(tmp_path / "out", 1) == []


def test_the_bytes_that_will_be_written_must_fit(base, code, tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    out = tmp_path / "o[u]t"
    for free, fits in ((432, True), (431, False)):
        monkeypatch.setattr(shutil, "disk_usage", lambda _, free=free: usage(0, 0, free))
        assert (preflight(base, {"code": code}, out=out).problems == ()) == fits
    part = tmp_path / ".o[u]t.0f3a.part"
    part.mkdir()
    (part / "model.safetensors").write_bytes(b"x" * 4096)
    assert preflight(base, {"code": code}, out=out).problems == ()  # gone on with, or removed


def test_amounts_are_in_words():
    assert [amount(n) for n in (0, 999, 1500, 2.5e6, 5.43e9, 1.5e12)] == [
        "0 bytes",
        "999 bytes",
        "1.50 kB",
        "2.50 MB",
        "5.43 GB",
        "1,500.00 GB",
    ]


# ---- size ----


def test_ten_experts_of_70_billion_parameters_are_read_by_their_headers(tmp_path):
    """723 tensors in 30 files each, whose lengths are right and whose bytes are nowhere."""
    for index in range(11):
        _sparse_70b(tmp_path / f"m{index}")
    experts = {f"e{i}": tmp_path / f"m{i}" for i in range(1, 11)}
    found = preflight(tmp_path / "m0", experts)
    assert found.problems == ()
    assert len(found.tensors) == 723
    assert found.n_params == 70_553_706_496
    assert found.bytes_read == 11 * 2 * found.n_params


def _sparse_70b(folder):
    hidden, inner, kv, tokens = 8192, 28672, 1024, 128256
    layer = {
        "input_layernorm": (hidden,),
        "post_attention_layernorm": (hidden,),
        "mlp.gate_proj": (inner, hidden),
        "mlp.up_proj": (inner, hidden),
        "mlp.down_proj": (hidden, inner),
        "self_attn.q_proj": (hidden, hidden),
        "self_attn.k_proj": (kv, hidden),
        "self_attn.v_proj": (kv, hidden),
        "self_attn.o_proj": (hidden, hidden),
    }
    shapes = {EMBEDDING: (tokens, hidden), HEAD: (tokens, hidden), "model.norm.weight": (hidden,)}
    for i in range(80):
        shapes |= {f"model.layers.{i}.{part}.weight": shape for part, shape in layer.items()}
    folder.mkdir()
    names, weight_map = list(shapes), {}
    for shard in range(30):
        file = f"model-{shard + 1:05}-of-00030.safetensors"
        header, end = {}, 0
        for name in names[shard::30]:
            start, end = end, end + 2 * math.prod(shapes[name])
            header[name] = {"dtype": "BF16", "shape": shapes[name], "data_offsets": [start, end]}
            weight_map[name] = file
        raw = json.dumps(header).encode()
        with open(folder / file, "wb") as out:
            out.write(len(raw).to_bytes(8, "little") + raw)
            out.truncate(8 + len(raw) + end)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
