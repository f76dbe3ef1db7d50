"""Random checkpoints of Qwen2.5-0.5B's shape for `make bench-merge`: a base and nine experts."""

import argparse
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import Qwen2Config, Qwen2ForCausalLM

FULL = {"vocab_size": 151_936, "hidden_size": 896, "intermediate_size": 4_864, "layers": 24}
SMALL = {"vocab_size": 2_048, "hidden_size": 112, "intermediate_size": 608, "layers": 2}
NOISE = 1e-3
SPREAD = 0.02


def main() -> None:
    """Write the checkpoints that are not there yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="+", help="The base first, then the experts.")
    parser.add_argument("--small", action="store_true", help="A model of a thousandth the size.")
    arguments = parser.parse_args()
    config = qwen2(**(SMALL if arguments.small else FULL))
    for seed, name in enumerate(arguments.names):
        if not (arguments.folder / name).exists():
            write(arguments.folder / name, config, seed)
            print(f"made {arguments.folder / name}", flush=True)


def qwen2(layers: int, **shape: int) -> Qwen2Config:
    """Return the config of Qwen2.5-0.5B, or of a smaller model of its kind."""
    return Qwen2Config(
        **shape,
        num_hidden_layers=layers,
        num_attention_heads=14,
        num_key_value_heads=2,
        max_position_embeddings=32_768,
        rope_theta=1_000_000.0,
        tie_word_embeddings=True,
        dtype="bfloat16",
        architectures=["Qwen2ForCausalLM"],
    )


def write(folder: Path, config: Qwen2Config, seed: int) -> None:
    """Write one checkpoint: the base of seed 0, or the base and an expert's noise, in bfloat16."""
    part = folder.with_name(f".{folder.name}.part")
    part.mkdir(parents=True, exist_ok=True)
    save_file(dict(weights(config, seed)), part / "model.safetensors", {"format": "pt"})
    config.save_pretrained(part)
    part.rename(folder)


def weights(config: Qwen2Config, seed: int) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the names and tensors of one checkpoint; tied weights once."""
    base = torch.Generator().manual_seed(0)
    noise = torch.Generator().manual_seed(seed)
    with torch.device("meta"):
        shapes = {name: x.shape for name, x in Qwen2ForCausalLM(config).named_parameters()}
    for name, shape in shapes.items():
        tensor = torch.randn(shape, generator=base).mul_(SPREAD)
        if seed:
            tensor.add_(torch.randn(shape, generator=noise), alpha=NOISE)
        yield name, tensor.bfloat16()


if __name__ == "__main__":
    main()
