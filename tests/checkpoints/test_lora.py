"""LoRA adapters: the deltas of the definition and of `peft` itself; all but plain LoRA refused."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from random import Random

import pytest
import torch
from safetensors.torch import save_file

from mergelaw.checkpoints.lora import LoraAdapter, is_adapter
from mergelaw.checkpoints.low_rank import GROUP, HELD, LowRankDeltas
from mergelaw.checkpoints.reading import read_tensor
from mergelaw.checkpoints.store import TensorStore
from mergelaw.errors import CheckpointError
from tests.helpers import save_weights, tiny_model

CONFIG = {"peft_type": "LORA", "r": 2, "lora_alpha": 8, "base_model_name_or_path": "org/base"}
Q, K = "model.layers.0.self_attn.q_proj", "model.layers.1.self_attn.k_proj"


def whole_numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    """Return small integers: their products and sums have no rounding."""
    return torch.randint(-8, 9, shape, generator=torch.Generator().manual_seed(seed)).float()


def pair(module: str, out: int, into: int, r: int = 2, seed: int = 0) -> dict:
    return {
        f"{module}.lora_A.weight": whole_numbers(r, into, seed=seed),
        f"{module}.lora_B.weight": whole_numbers(out, r, seed=seed + 1),
    }


def write(folder, tensors, **config):
    """Write an adapter's folder; keys get the prefix of `peft`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "adapter_config.json").write_text(json.dumps(CONFIG | config))
    save_file(
        {f"base_model.model.{key}": tensor.contiguous() for key, tensor in tensors.items()},
        folder / "adapter_model.safetensors",
    )
    return folder


def deltas(folder, shapes) -> dict[str, torch.Tensor]:
    """Return the whole delta of each tensor of a base."""
    adapter, problems = LoraAdapter.open(folder).bind(shapes)
    assert problems == []
    low_rank = LowRankDeltas(adapter.updates)
    return {
        name: low_rank.delta(name, 0, torch.Size(shape).numel()).view(shape)
        for name, shape in shapes.items()
    }


def by_definition(a, b, scaling) -> torch.Tensor:
    """Return scaling * sum over ranks of B[i, rank] A[rank, j], entry by entry."""
    rows = [
        [scaling * sum(b[i, k] * a[k, j] for k in range(len(a))).item() for j in range(a.shape[1])]
        for i in range(len(b))
    ]
    return torch.tensor(rows)


def refusal(folder) -> list[str]:
    with pytest.raises(CheckpointError) as caught:
        LoraAdapter.open(folder)
    headline, *lines = str(caught.value).splitlines()
    assert headline.startswith(f"{folder}")
    assert not lines or "merge it into its base by peft" in headline
    return [line.removeprefix("  - ") for line in lines] or [headline]


def test_the_delta_is_the_scaled_product_and_zero_elsewhere(tmp_path):
    tensors = pair(Q, 5, 3)
    folder = write(tmp_path, tensors)
    found = deltas(folder, {f"{Q}.weight": (5, 3), "model.norm.weight": (4,)})
    a, b = tensors.values()
    assert torch.equal(found[f"{Q}.weight"], by_definition(a, b, 4.0))
    assert found["model.norm.weight"].tolist() == [0] * 4
    assert LoraAdapter.open(folder).base == "org/base"


@pytest.mark.parametrize(
    ("config", "scaling"),
    [
        ({"lora_alpha": 16}, 16 / 2),
        ({"use_rslora": True}, 8 / 2**0.5),
        ({"alpha_pattern": {"q_proj": 1}}, 1 / 2),
        ({"alpha_pattern": {"proj": 1, "_proj": 2, "k_proj": 3}}, 8 / 2),
        ({"alpha_pattern": {r"0\.self_attn\.q_proj": 1, "q_proj": 2}}, 1 / 2),
        ({"alpha_pattern": {"q_proj": 2, r"0\.self_attn\.q_proj": 1}}, 2 / 2),
        ({"alpha_pattern": {Q: 5}}, 5 / 2),
        ({"alpha_pattern": {f"^{Q}": 5}}, 5 / 2),
        ({"alpha_pattern": {r"model\.layers\.\d+\.self_attn\.[qk]_proj": 3}}, 3 / 2),
        ({"alpha_pattern": {r"layers\.1\..*": 3}}, 8 / 2),
        ({"alpha_pattern": {"q_pro": 1, "self_attn": 2}}, 8 / 2),
        ({"r": 7, "rank_pattern": {"q_proj": 2}}, 8 / 2),
        ({"r": 7, "rank_pattern": {"q_proj": 2}, "use_rslora": True}, 8 / 2**0.5),
        ({"r": 7, "rank_pattern": {"q_proj": 2}, "alpha_pattern": {"q_proj": 0.5}}, 0.25),
    ],
)
def test_each_module_has_its_scaling(tmp_path, config, scaling):
    update = LoraAdapter.open(write(tmp_path, pair(Q, 5, 3), **config)).updates[f"{Q}.weight"]
    assert update.scaling == scaling


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_factors_of_any_float_type_are_multiplied_in_float32(tmp_path, dtype):
    exact = {key: 15 * tensor for key, tensor in pair(Q, 5, 3, r=16).items()}  # up to 2^18 in sum
    folder = write(tmp_path, {key: tensor.to(dtype) for key, tensor in exact.items()}, r=16)
    found = deltas(folder, {f"{Q}.weight": (5, 3)})[f"{Q}.weight"]
    assert found.dtype == torch.float32
    assert torch.equal(found, by_definition(*exact.values(), 0.5))


def test_weights_stored_the_other_way_are_transposed(tmp_path):
    tensors = pair("h.0.attn.c_attn", 6, 4)
    folder = write(tmp_path, tensors, fan_in_fan_out=True)
    found = deltas(folder, {"h.0.attn.c_attn.weight": (4, 6)})
    assert torch.equal(found["h.0.attn.c_attn.weight"], by_definition(*tensors.values(), 4.0).T)


def test_an_embedding_is_transposed_always(tmp_path):
    a, b = whole_numbers(2, 11), whole_numbers(3, 2, seed=1)
    module = "model.embed_tokens"
    folder = write(tmp_path, {f"{module}.lora_embedding_A": a, f"{module}.lora_embedding_B": b})
    found = deltas(folder, {f"{module}.weight": (11, 3)})
    assert torch.equal(found[f"{module}.weight"], by_definition(a, b, 4.0).T)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("shape", [(300, 700), (3, GROUP + 100), (70_000, 2), (1, 1)])
def test_a_range_has_the_same_bits_however_it_is_cut(tmp_path, shape, transposed):
    r, (out, into) = 24, shape[::-1] if transposed else shape
    torch.manual_seed(0)
    factors = {
        f"{Q}.lora_A.weight": torch.randn(r, into),
        f"{Q}.lora_B.weight": torch.randn(out, r),
    }
    folder = write(tmp_path, factors, r=r, fan_in_fan_out=transposed)
    whole = deltas(folder, {f"{Q}.weight": shape})[f"{Q}.weight"].flatten()
    a, b = (tensor.double() for tensor in factors.values())
    exact = (b @ a).T if transposed else b @ a
    assert torch.allclose(whole.double(), exact.flatten() * 8 / r, rtol=1e-5, atol=1e-5)

    adapter, _ = LoraAdapter.open(folder).bind({f"{Q}.weight": shape})
    low_rank, n = LowRankDeltas(adapter.updates), whole.numel()

    def agrees(seed: int) -> bool:
        draw = Random(seed)
        cuts = [sorted(draw.choices(range(n + 1), k=2)) for _ in range(8)] + [[0, n], [n, n]]
        return all(
            torch.equal(low_rank.delta(f"{Q}.weight", start, stop), whole[start:stop])
            for start, stop in cuts
        )

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(agrees, range(4)))


@pytest.fixture
def hasty_switches():
    """Let threads take turns as often as the interpreter can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("hasty_switches")
@pytest.mark.parametrize("n_tensors", [2, 3 * HELD])  # as many rows as threads; more than are held
def test_threads_do_not_take_each_others_rows(tmp_path, n_tensors):
    tensors, whole = {}, {}
    for i in range(n_tensors):
        a, b = (factors := pair(f"layers.{i}.up", 3, 4, seed=i)).values()
        tensors |= factors
        whole[f"layers.{i}.up.weight"] = by_definition(a, b, 4.0).flatten()
    low_rank = LowRankDeltas(LoraAdapter.open(write(tmp_path, tensors)).updates)

    def agrees(seed: int) -> bool:
        names = Random(seed).choices(sorted(whole), k=100)
        return all(torch.equal(low_rank.delta(n, 0, 12), whole[n]) for n in names for _ in range(5))

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(agrees, range(8)))


def test_whole_tensors_take_the_place_of_the_bases(tmp_path):
    tensors = pair("model.embed_tokens", 6, 4) | {
        "lm_head.weight": whole_numbers(6, 4),
        "model.embed_tokens.base_layer.weight": whole_numbers(6, 4, seed=1),
        f"{Q}.base_layer.bias": whole_numbers(4, seed=2),
        f"{K}.bias": whole_numbers(4, seed=3),
    }
    names = ["lm_head.weight", "model.embed_tokens.weight", f"{Q}.bias", f"{K}.bias"]
    shapes = {"lm_head.weight": (6, 4), "model.embed_tokens.weight": (6, 4)}
    shapes |= {f"{Q}.bias": (4,), f"{K}.bias": (4,)}
    adapter, problems = LoraAdapter.open(write(tmp_path, tensors)).bind(shapes)
    assert problems == []
    assert adapter.updates.keys() == {"model.embed_tokens.weight"}
    found = {name: read_tensor(entry) for name, entry in adapter.replacements.items()}
    for name, tensor in zip(names, list(tensors.values())[2:], strict=True):
        assert torch.equal(found[name], tensor)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_factor_that_is_not_finite_is_named(tmp_path, bad):
    tensors = pair(Q, 5, 3)
    tensors[f"{Q}.lora_B.weight"][3, 1] = bad
    with pytest.raises(CheckpointError) as caught:
        deltas(write(tmp_path, tensors), {f"{Q}.weight": (5, 3)})
    assert str(caught.value) == (
        f"{tmp_path / 'adapter_model.safetensors'}: base_model.model.{Q}.lora_B.weight has a NaN "
        "or infinite entry"
    )


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"use_dora": True}, "use_dora is True: DoRA rescales the whole weight"),
        ({"lora_bias": True}, "lora_bias is True: B has a bias"),
        ({"use_qalora": True}, "use_qalora is True: QA-LoRA pools the inputs"),
        (
            {"target_parameters": ["experts.gate_up_proj"]},
            "target_parameters is ['experts.gate_up_proj']: single parameters are adapted, not "
            "modules",
        ),
        (
            {"trainable_token_indices": [1, 2]},
            "trainable_token_indices is [1, 2]: single rows of the embedding are trained",
        ),
        ({"arrow_config": {"top_k": 3}}, "arrow_config is {'top_k': 3}: its effect is not known"),
        ({"peft_type": "IA3"}, "peft_type is 'IA3'; 'LORA' alone is read"),
        (
            {"init_lora_weights": "pissa_niter_4"},
            "init_lora_weights is 'pissa_niter_4', which changes the base itself: the deltas do "
            "not belong to the base as it is published",
        ),
        ({"r": 0}, "r is 0; it must be an integer of at least 1"),
        ({"lora_alpha": None}, "lora_alpha is None; it must be a finite number"),
        ({"rank_pattern": {"q": 2.5}}, "rank_pattern of 'q' is 2.5; it must be an integer of at"),
        ({"rank_pattern": [4]}, "rank_pattern is [4]; it must map patterns to values"),
        ({"alpha_pattern": {"(q": 1}}, "alpha_pattern has '(q', which is no regular expression"),
        ({"base_model_name_or_path": 7}, "base_model_name_or_path is 7, not a name"),
        ({"r": 4}, f"{Q}.weight: A has rank 2, the config gives 4"),
        ({"rank_pattern": {"q_proj": 3}}, f"{Q}.weight: A has rank 2, the config gives 3"),
    ],
)
def test_a_config_of_more_than_plain_lora_is_refused(tmp_path, config, words):
    (problem,) = refusal(write(tmp_path, pair(Q, 5, 3), **config))
    assert problem.startswith(words)


@pytest.mark.parametrize("start", [True, False, "gaussian", "Gaussian", "eva", "orthogonal"])
def test_settings_of_the_training_do_not_matter(tmp_path, start):
    settings = {"bias": "all", "lora_dropout": 0.1, "target_modules": ["q_proj"], "task_type": "X"}
    plain = {"use_dora": False, "target_parameters": None, "layer_replication": []}
    folder = write(tmp_path, pair(Q, 5, 3), init_lora_weights=start, **settings, **plain)
    assert LoraAdapter.open(folder).updates[f"{Q}.weight"].scaling == 4


@pytest.mark.parametrize(
    "key",
    [
        f"{Q}.lora_magnitude_vector",
        f"{Q}.lora_B.bias",
        f"{Q}.lora_A.default.weight",
        "model.embed_tokens.token_adapter.trainable_tokens_delta",
        "lm_head.modules_to_save.weight",
        "lm_head.original_module.weight",
        "model.layers.0.mlp.experts.base_layer.lora_A.weight",
    ],
)
def test_a_key_that_is_not_understood_is_refused(tmp_path, key):
    (problem,) = refusal(write(tmp_path, pair(Q, 5, 3) | {key: whole_numbers(2, 2)}))
    assert problem == f"it holds 1 tensor: base_model.model.{key}, which plain LoRA has not"


def test_a_key_without_the_prefix_is_refused(tmp_path):
    folder = write(tmp_path, pair(Q, 5, 3))
    save_file({"q_proj.lora_A.weight": torch.ones(2)}, folder / "adapter_model.safetensors")
    assert refusal(folder) == ["it holds 1 tensor: q_proj.lora_A.weight, which plain LoRA has not"]


def test_every_problem_of_an_adapter_is_told_at_once(tmp_path):
    tensors = {
        f"{Q}.lora_A.weight": torch.ones(2, 3),
        f"{K}.lora_A.weight": torch.ones(2, 3),
        f"{K}.lora_B.weight": torch.ones(5, 4),
        "conv.lora_A.weight": torch.ones(2, 3, 1, 1),
        "conv.lora_B.weight": torch.ones(5, 2, 1, 1),
        "x.lora_embedding_A": torch.ones(2, 3),
        "x.lora_B.weight": torch.ones(2, 2),
        "y.lora_C": torch.ones(1),
        "z.weight": torch.ones(1, dtype=torch.int8),
    }
    found = refusal(write(tmp_path, tensors, use_dora=True, peft_version="9"))
    assert found == [
        "it holds 1 tensor: base_model.model.y.lora_C, which plain LoRA has not",
        "base_model.model.z.weight is of dtype I8; BF16, F16, F32, F64 can be merged",
        "use_dora is True: DoRA rescales the whole weight",
        "conv: B of shape [5, 2, 1, 1] and A of shape [2, 3, 1, 1] do not make a product of two "
        "matrices",
        f"{Q} has lora_A, which is no pair of A and B",
        f"{K}: B of shape [5, 4] and A of shape [2, 3] do not make a product of two matrices",
        "x has lora_B and lora_embedding_A, which is no pair of A and B",
    ]


def test_an_empty_adapter_is_refused(tmp_path):
    assert refusal(write(tmp_path, {})) == ["it holds no tensor"]


def test_folders_are_told_apart_by_their_files(tmp_path):
    assert is_adapter(write(tmp_path / "a", pair(Q, 5, 3)))
    assert not is_adapter(save_weights(tmp_path / "m", {"x": torch.ones(1)}))
    assert not is_adapter(tmp_path / "nowhere")


def test_a_folder_of_adapter_and_model_is_refused(tmp_path):
    folder = save_weights(write(tmp_path, pair(Q, 5, 3)), {"x": torch.ones(1)})
    assert "holds an adapter and a whole model" in refusal(folder)[0]


def test_files_that_lack_are_named(tmp_path):
    folder = write(tmp_path, pair(Q, 5, 3))
    (folder / "adapter_model.safetensors").rename(tmp_path / "elsewhere")
    assert refusal(folder) == [
        f"{folder}: has adapter_config.json but no adapter_model.safetensors"
    ]
    (folder / "adapter_model.bin").touch()
    assert "peft's from_pretrained and then save_pretrained" in refusal(folder)[0]
    (tmp_path / "elsewhere").rename(folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text("{")
    assert f"{folder / 'adapter_config.json'}: is no JSON" in refusal(folder)[0]
    (folder / "adapter_config.json").unlink()
    assert refusal(folder)[0].endswith(": cannot be read (No such file or directory)")


@pytest.mark.parametrize(
    ("adapter", "base"),
    [
        ("model.layers.0.q", "layers.0.q"),
        ("layers.0.q", "model.layers.0.q"),
        ("transformer.h.0.c", "h.0.c"),
        ("h.0.c", "transformer.h.0.c"),
        ("layers.0.q", "layers.0.q"),
    ],
)
def test_one_prefix_may_differ(tmp_path, adapter, base):
    folder = write(tmp_path, pair(adapter, 5, 3) | {"norm.bias": torch.ones(2)})
    shapes = {f"{base}.weight": (5, 3), "norm.bias": (2,), "lm_head.weight": (7, 3)}
    bound, problems = LoraAdapter.open(folder).bind(shapes)
    assert problems == []
    assert (*bound.updates, *bound.replacements) == (f"{base}.weight", "norm.bias")


def test_a_prefix_that_is_not_clear_is_refused(tmp_path):
    adapter = LoraAdapter.open(write(tmp_path, pair("layers.0.q", 5, 3)))
    shapes = {"text.layers.0.q.weight": (5, 3), "vision.layers.0.q.weight": (5, 3)}
    assert adapter.bind(shapes)[1] == [
        "the adapter's layers.0.q.weight can be the base's text.layers.0.q.weight or "
        "vision.layers.0.q.weight"
    ]
    _, problems = adapter.bind(shapes | {"layers.0.q.weight": (5, 3)})
    assert problems == []  # the very name


def test_what_does_not_fit_the_base_is_told_at_once(tmp_path):
    tensors = pair(Q, 5, 3) | pair(K, 4, 4) | pair("lm_head", 9, 3) | {"a.bias": torch.ones(3)}
    adapter = LoraAdapter.open(write(tmp_path, tensors))
    base = {f"{Q}.weight": (3, 5), f"{K}.weight": (4, 4, 1), "a.bias": (4,), "other.weight": (1,)}
    assert adapter.bind(base)[1] == [
        "the adapter changes, beyond what the base stores, 1 tensor: lm_head.weight",
        f"{Q}.weight: the adapter's B @ A has shape [5, 3], the base's tensor [3, 5] "
        "(fan_in_fan_out says the other way)",
        f"{K}.weight: the adapter's B @ A has shape [4, 4], the base's tensor [4, 4, 1]",
        "a.bias has shape [3], the base [4]",
    ]


def tiny_gpt2():
    """Return a random GPT-2, whose linear layers are stored as (in, out)."""
    import transformers

    torch.manual_seed(0)
    shape = {"n_embd": 16, "n_head": 2, "n_layer": 2, "n_positions": 32, "vocab_size": 300}
    ends = {"bos_token_id": None, "eos_token_id": None}
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(**shape, **ends))


def merged_by_peft(folder, make_model, **config):
    """Save a base and an adapter of random weights; return the base and `peft`'s own merge."""
    peft = pytest.importorskip("peft")
    model = make_model()
    model.save_pretrained(folder / "base")
    adapted = peft.get_peft_model(model, peft.LoraConfig(**config))
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.normal_(std=0.1)
    adapted.save_pretrained(folder / "adapter")
    adapted.merge_and_unload().save_pretrained(folder / "merged")
    return TensorStore.open(folder / "base"), TensorStore.open(folder / "merged")


@pytest.mark.filterwarnings("ignore:.*save_embedding_layers")
@pytest.mark.parametrize(
    ("model", "config"),
    [
        (
            lambda: tiny_model("Qwen2"),
            {
                "target_modules": ["q_proj", "k_proj", "down_proj"],
                "rank_pattern": {"k_proj": 2, r"layers\.0\.mlp\.down_proj": 6},
                "alpha_pattern": {"^model.layers.1.self_attn.q_proj": 5},
                "bias": "all",
            },
        ),
        (lambda: tiny_model("Llama"), {"target_modules": "all-linear", "use_rslora": True}),
        (
            lambda: tiny_model("Qwen2", tie_word_embeddings=False),
            {"target_modules": ["q_proj", "embed_tokens"], "modules_to_save": ["lm_head"]},
        ),
        (
            tiny_gpt2,
            {"target_modules": ["c_attn", "c_proj"], "fan_in_fan_out": True},
        ),
    ],
    ids=["patterns and biases", "rslora", "embedding and head", "Conv1D"],
)
def test_deltas_are_those_of_peft(tmp_path, model, config):
    base, merged = merged_by_peft(tmp_path, model, r=4, lora_alpha=6, **config)
    adapter, problems = LoraAdapter.open(tmp_path / "adapter").bind(base.shapes)
    assert problems == []
    low_rank = LowRankDeltas(adapter.updates)
    assert merged.shapes == base.shapes
    for name, entry in base.entries.items():
        own = read_tensor(adapter.replacements.get(name, entry))
        found = own + low_rank.delta(name, 0, entry.n).view(entry.shape)
        assert torch.allclose(found, merged.read(name), rtol=1e-6, atol=1e-6), name
    changed = {n for n in base.entries if not torch.equal(base.read(n), merged.read(n))}
    assert adapter.updates.keys() <= changed <= adapter.updates.keys() | adapter.replacements.keys()
