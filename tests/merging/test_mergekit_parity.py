"""Parity with mergekit 0.1.5: the same YAML through both tools, equal to one bfloat16 rounding."""

import subprocess
import sys

import pytest
import torch
import yaml
from safetensors.torch import load_file
from typer.testing import CliRunner

from benchmarks.mergekit_env import OVERLAY, overlay_variables
from mergelaw.cli import app
from tests.helpers import save_weights, tiny_model

pytestmark = pytest.mark.skipif(
    not OVERLAY.exists(), reason="python -m benchmarks.mergekit_env overlay installs mergekit"
)

EXPERTS = ("algebra", "biology", "code")
MODELS = ("Qwen2", "Llama", "Gemma", "Gemma2", "Mixtral", "MixtralFused")
"""Mixtral as its files have it (w1, w2, w3 of each of its experts), and as the model holds it."""

EQUAL, UNEQUAL, NONE = (0.5, 0.5, 0.5), (0.5237, 0.2113, 0.8719), (None, None, None)
"""Task vectors of bfloat16 numbers cancel often. With these weights sums are either 0 in float32
too or far from it, so that no rounding elects a sign."""

BAND = {"density": 0.5, "gamma": 0.1}
RECIPES = {
    "linear_equal": ("linear", EQUAL, {}),
    "linear_unequal": ("linear", UNEQUAL, {}),
    "task_arithmetic_equal": ("task_arithmetic", EQUAL, {}),
    "task_arithmetic_unequal": ("task_arithmetic", UNEQUAL, {"lambda": 0.7}),
    "ties_equal": ("ties", EQUAL, {"density": 0.2, "normalize": True}),
    "ties_unequal": ("ties", UNEQUAL, {"density": (0.2, 0.5, 0.8), "lambda": 0.7}),
    "ties_whole": ("ties", UNEQUAL, {"density": 1.0}),
}
"""mergekit's method, a weight for each expert that takes part, other parameters."""

OTHERS = {
    "linear_sum": ("linear", (0.5237, 0.2113, 0.265), {"normalize": False}),
    "task_arithmetic_normalized": ("task_arithmetic", UNEQUAL, {"normalize": True}),
    "ties_sum": ("ties", UNEQUAL, {"density": 0.5, "normalize": False}),
    "dare_linear_whole": ("dare_linear", UNEQUAL, {"density": 1.0}),
    "dare_ties_whole": ("dare_ties", UNEQUAL, {"density": 1.0}),
    "della_whole": ("della", UNEQUAL, {"density": 1.0}),
    "della_linear_whole": ("della_linear", UNEQUAL, {"density": 1.0}),
    "breadcrumbs": ("breadcrumbs", EQUAL, BAND),
    "breadcrumbs_ties": ("breadcrumbs_ties", UNEQUAL, BAND | {"normalize": True}),
    "model_stock": ("model_stock", NONE, {}),
    "sce": ("sce", NONE, {}),
    "slerp": ("slerp", NONE[:1], {"t": 0.3}),
    "nuslerp": ("nuslerp", UNEQUAL[:2], {}),
    "karcher": ("karcher", NONE, {}),
}
WITHOUT_BASE = ("linear", "karcher")
"""Where mergekit would take a base for one more model to merge."""

CASES = [
    (kind, name)
    for kind in MODELS
    for name in (RECIPES if kind not in ("Qwen2", "MixtralFused") else RECIPES | OTHERS)
    if kind != "Mixtral" or name not in ("ties_equal", "ties_unequal")
]
"""mergekit fuses Mixtral's experts before it trims: on the files' own tensors TIES is another."""

NOISE = 0.1
"""Spread of the task vectors; the weights' is 0.3, so that bfloat16 takes little from either."""

SHARES = (0.1, 0.2, 0.5, 0.6, 0.8)
"""Where the recipes above cut the entries of a tensor in order of magnitude."""

FLOAT32 = 2.0**-21
"""Eight roundings of float32: what is left where weights cancel."""

MERGE_ALL = """
import sys
from pathlib import Path
import yaml
from mergekit.config import MergeConfiguration
from mergekit.merge import run_merge
from mergekit.options import MergeOptions
options = MergeOptions(quiet=True, copy_tokenizer=False, write_model_card=False)
for path in sorted(Path(sys.argv[1]).glob("*.yml")):
    config = MergeConfiguration.model_validate(yaml.safe_load(path.read_text()))
    run_merge(config, str(path.with_suffix("")), options)
"""
"""All recipes in one process: mergekit takes four seconds to load and a tenth for a tiny merge."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder of checkpoints, recipes, and mergekit's merges."""
    folder = tmp_path_factory.mktemp("parity")
    for kind in MODELS:
        write_pool(folder / kind, kind)
    recipes = folder / "recipes"
    recipes.mkdir()
    for kind, name in CASES:
        path = recipes / f"{kind}-{name}.yml"
        path.write_text(recipe(folder / kind, *(RECIPES | OTHERS)[name]), encoding="utf-8")
    command = [sys.executable, "-c", MERGE_ALL, str(recipes)]
    finished = subprocess.run(command, env=overlay_variables(), capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    return folder


def write_pool(folder, kind):
    """Write a base and experts whose magnitudes have no equals where a recipe cuts them."""
    model = tiny_model(kind.removesuffix("Fused")).to(torch.bfloat16)
    model.config.architectures = [type(model).__name__]
    generator = torch.Generator().manual_seed(len(kind))
    base = {name: tensor.detach().clone() for name, tensor in model.named_parameters()}
    for name in ("base", *EXPERTS):
        if name != "base":
            for key, tensor in model.named_parameters():
                noise = NOISE * torch.randn(tensor.shape, generator=generator)
                tensor.data = without_ties(base[key].float() + noise, base[key])
        if kind.endswith("Fused"):
            save_weights(folder / name, dict(model.named_parameters()), model.config)
        else:
            model.save_pretrained(folder / name)


def without_ties(expert, base):
    """Return an expert in bfloat16 whose deltas are distinct in magnitude at every cut.

    Which of several equal magnitudes survives a trim is nobody's promise: mergekit's sort is not
    stable. All that equal the one at a cut become the base's, until no cut parts equals; zeros may
    be parted.
    """
    n, expert = base.numel(), expert.bfloat16()
    cuts = {max(1, round(share * n + sign)) for share in SHARES for sign in (-1, 0, 1)}
    while True:
        delta = (expert.float() - base.float()).abs().flatten()
        ordered = torch.cat([delta.sort(descending=True).values, torch.zeros(1)])
        tied = [ordered[cut] for cut in cuts if ordered[cut - 1] == ordered[cut] > 0]
        if not tied:
            return expert
        expert = torch.where(torch.isin(delta, torch.stack(tied)).view_as(base), base, expert)


def recipe(pool, method, weights, settings):
    """Return mergekit's YAML of a merge; a tuple among the settings has a number by expert."""
    models = []
    for i, (expert, weight) in enumerate(zip(EXPERTS, weights, strict=False)):
        own = {key: value[i] for key, value in settings.items() if isinstance(value, tuple)}
        own |= {} if weight is None else {"weight": weight}
        models.append({"model": str(pool / expert), "parameters": own})
    shared = {key: value for key, value in settings.items() if not isinstance(value, tuple)}
    base = {} if method in WITHOUT_BASE else {"base_model": str(pool / "base")}
    dtypes = {"dtype": "float32", "out_dtype": "bfloat16"}
    return yaml.safe_dump(
        {"merge_method": method, **base, "models": models, "parameters": shared, **dtypes}
    )


def ours(folder, kind, name, out):
    """Return the tensors that `mergelaw merge` writes for a recipe."""
    path = folder / "recipes" / f"{kind}-{name}.yml"
    finished = CliRunner().invoke(app, ["merge", "--recipe", str(path), "--out", str(out)])
    assert finished.exit_code == 0, f"{finished.output}\n{finished.exception}"
    return checkpoint(out)


def checkpoint(folder):
    """Return a checkpoint's tensors under mergekit's names."""
    tensors = load_file(folder / "model.safetensors")
    return fused(tensors) if any("block_sparse_moe" in name for name in tensors) else tensors


def fused(tensors):
    """Return Mixtral's tensors as mergekit writes them: an expert axis, gate and up in one."""
    result, parts = {}, {}
    for name, tensor in tensors.items():
        block, found, rest = name.partition(".block_sparse_moe.")
        if rest.startswith("experts."):
            _, index, matrix, _ = rest.split(".")
            parts.setdefault(block, {})[int(index), matrix] = tensor
        else:
            result[f"{block}.mlp.{rest}" if found else name] = tensor
    for block, matrices in parts.items():
        count = 1 + max(index for index, _ in matrices)
        gate_up = [torch.cat([matrices[i, "w1"], matrices[i, "w3"]]) for i in range(count)]
        result[f"{block}.mlp.experts.gate_up_proj"] = torch.stack(gate_up)
        down = [matrices[i, "w2"] for i in range(count)]
        result[f"{block}.mlp.experts.down_proj"] = torch.stack(down)
    return result


def spacing(tensor):
    """Return the distance of bfloat16 numbers at each entry."""
    return torch.exp2(torch.frexp(tensor).exponent - 8.0)


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_every_tensor_equals_mergekits_to_one_rounding(folder, tmp_path, kind, name):
    theirs = load_file(folder / "recipes" / f"{kind}-{name}" / "model.safetensors")
    mine = ours(folder, kind, name, tmp_path / "out")
    inputs = [checkpoint(folder / kind / model) for model in ("base", *EXPERTS)]
    assert mine.keys() == theirs.keys()
    n_equal = 0
    for key, tensor in theirs.items():
        assert mine[key].dtype == tensor.dtype == torch.bfloat16
        a, b = mine[key].float(), tensor.float()
        largest = torch.stack([model[key].float().abs() for model in inputs]).amax(0)
        allowed = spacing(torch.maximum(a.abs(), b.abs())) + FLOAT32 * largest
        apart = (a - b).abs() > allowed
        assert not apart.any(), f"{key}: {a[apart][:4]} and {b[apart][:4]}"
        n_equal += int((a == b).sum())
    share = n_equal / sum(tensor.numel() for tensor in theirs.values())
    print(f"{kind} {name}: {share:.5f} of the entries are equal bit for bit")
    assert share > 0.999


def test_no_two_merges_of_mergekit_are_alike(folder):
    """The comparison can fail: each recipe moves many weights, and each elsewhere."""
    seen = [checkpoint(folder / "Qwen2" / "base")]
    for name in RECIPES:
        seen.append(load_file(folder / "recipes" / f"Qwen2-{name}" / "model.safetensors"))
    key = "model.embed_tokens.weight"
    for i, merge in enumerate(seen):
        assert all((merge[key] != other[key]).float().mean() > 0.1 for other in seen[:i])
