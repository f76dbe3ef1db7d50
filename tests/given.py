"""A tiny study of given checkpoints: a whole model, one that stores its tied head, an adapter."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from mergelaw.config import Study
from tests.helpers import save_weights, study_of, tiny_model

EXPERTS = ("algebra", "biology", "code")
"""Of these, `biology` is a LoRA adapter, and `code` stores a copy of its tied head."""

WIDTH = 160
"""So wide that the embedding has more entries than a block, and rows that do not divide one."""


def write_models(folder: Path, tokenizer: Any, dtype: torch.dtype = torch.float32) -> Path:
    """Write the base and the experts below a folder."""
    model = tiny_model(
        "Qwen2",
        vocab_size=len(tokenizer) + 20,
        hidden_size=WIDTH,
        num_hidden_layers=1,
        initializer_range=0.05,
        tie_word_embeddings=True,
    ).to(dtype)
    for seed, name in enumerate(("base", "algebra", "code")):
        generator = torch.Generator().manual_seed(seed)
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.data += (0.02 * noise * bool(seed)).to(dtype)
        model.save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)
    store_head(folder / "code")
    write_adapter(folder / "biology", folder / "base")
    return folder


def store_head(folder: Path) -> None:
    """Store a copy of the tied embedding as the output head, as some checkpoints do."""
    tensors = load_file(folder / "model.safetensors")
    head = tensors["model.embed_tokens.weight"].clone()
    save_weights(folder, tensors | {"lm_head.weight": head})


def write_adapter(folder: Path, base: Path) -> None:
    """Write a LoRA adapter of rank 3 that changes a matrix, the embedding and a whole vector."""
    n_words, width = load_file(base / "model.safetensors")["model.embed_tokens.weight"].shape
    up = "model.layers.0.mlp.up_proj"
    shapes = {
        "model.norm.weight": (width,),
        f"{up}.lora_A.weight": (3, width),
        f"{up}.lora_B.weight": (24, 3),
        "model.embed_tokens.lora_embedding_A": (3, n_words),
        "model.embed_tokens.lora_embedding_B": (width, 3),
    }
    generator = torch.Generator().manual_seed(7)
    folder.mkdir()
    save_file(
        {f"base_model.model.{n}": torch.randn(s, generator=generator) for n, s in shapes.items()},
        folder / "adapter_model.safetensors",
    )
    config = {"peft_type": "LORA", "r": 3, "lora_alpha": 0.1, "modules_to_save": ["norm"]}
    config |= {"base_model_name_or_path": str(base)}
    (folder / "adapter_config.json").write_text(json.dumps(config))


def given_study(
    folder: Path, methods: Sequence[dict[str, Any]], *changes: tuple[str, object]
) -> Study:
    """Return the tiny study with one size of these models, called `own`."""
    size = {
        "name": "own",
        "base": str(folder / "base"),
        "experts": {name: str(folder / name) for name in EXPERTS},
    }
    return study_of(
        ("sizes", [size]),
        ("experts", [{"name": name} for name in EXPERTS]),
        ("tokenizer", {"path": str(folder / "base")}),
        ("methods", list(methods)),
        *changes,
    )
