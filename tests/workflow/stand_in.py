"""Tiny stand-ins of shipped studies: their own YAML, with tiny models and text where it looks.

Names of models, experts, domains, methods, kinds of design, template and system turn stay as they
are shipped: the models of those names lie in a Hugging Face cache of the test's own.
"""

import copy
import json
import random
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from mergelaw.data.domains import generate
from mergelaw.data.templates import TEMPLATES
from mergelaw.data.tokenizer import train_tokenizer
from tests.helpers import special_token_tokenizer, tiny_model
from tests.workflow.workspace import ROOT

GENERATORS = ("algebra", "analysis", "discrete", "geometry", "number_theory", "biology")
N_ITEMS, LENGTH = 24, 192
COMMIT = "0123456789abcdef0123456789abcdef01234567"
LLAMA_MARKS = ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
SPARE = "<|reserved_special_token_0|>"
"""A place that Llama-3 leaves free, and Llama 3.1 and later call by other names."""
GEMMA_MARKS = ("<bos>", "<start_of_turn>", "<end_of_turn>")


def shipped(name: str) -> dict[str, Any]:
    """The study as the repository has it."""
    text = (ROOT / "config" / f"{name}.yaml").read_text(encoding="utf-8")
    config: dict[str, Any] = yaml.safe_load(text)
    return config


@dataclass(frozen=True)
class StandIn:
    """Where and what a study's models are.

    Attributes
    ----------
    folder : Path
        The folder that the study runs in.
    family : str
        Architecture of the models, as transformers calls it: `Qwen2`, `Llama`, `Gemma2`.
    cards : mapping of str to str
        What the card of a model says that it was made from, by the model's name.
    """

    folder: Path
    family: str
    cards: Mapping[str, str]

    @property
    def cache(self) -> Path:
        """The Hugging Face cache, for the variable HF_HUB_CACHE."""
        return self.folder / "hub"

    def place(self, ref: str) -> Path:
        """Where a model lies: in the study's folder if it is called so, else in the cache."""
        if ref.startswith("models/"):
            return self.folder / ref
        return self.cache / f"models--{ref.replace('/', '--')}" / "snapshots" / COMMIT

    def shrink(
        self,
        config: Mapping[str, Any],
        sizes: Collection[str] | None = None,
        trained: Collection[str] | None = None,
    ) -> dict[str, Any]:
        """Write what the study reads, and return its config, with short lengths.

        Parameters
        ----------
        sizes : collection of str
            The sizes to keep; all where not given.
        trained : collection of str
            Of the experts without a checkpoint, those that stay so; all where not given.
        """
        config = copy.deepcopy(dict(config))
        kept = [size for size in config["sizes"] if sizes is None or size["name"] in sizes]
        config["sizes"] = kept
        for place, size in enumerate(kept):
            experts = size.setdefault("experts", {})
            for name in (entry["name"] for entry in config["experts"]):
                if name not in experts and trained is not None and name not in trained:
                    experts[name] = f"models/{size['name']}/{name}"
            self._write_models([size["base"], *experts.values()], width=16 * (place + 1))
            size.pop("n_params", None)
            size.pop("launch", None)  # eight GPUs
            size["chunk_size"] = 512 if len(kept) > 1 else 60  # several jobs a method in one
        tokenizer = config["tokenizer"]["path"]
        if tokenizer not in [size["base"] for size in kept]:
            tokenizer_of(self.family).save_pretrained(self.place(tokenizer))
            self._name_commit(self.place(tokenizer))
        for place, domain in enumerate(config["domains"]):
            self._shrink_source(domain["source"], place)
        _shorten(config)
        return config

    def _write_models(self, refs: Iterable[str], width: int) -> None:
        """Write a base and experts near it, in bfloat16."""
        base, *experts = refs
        tokenizer = tokenizer_of(self.family)
        model = tiny_model(
            self.family,
            vocab_size=len(tokenizer) + 8,
            hidden_size=width,
            max_position_embeddings=LENGTH,
            bos_token_id=tokenizer.bos_token_id,
        ).to(torch.bfloat16)
        start = {name: value.clone() for name, value in model.state_dict().items()}
        for seed, ref in enumerate((base, *experts)):
            generator = torch.Generator().manual_seed(seed)
            for key, parameter in model.named_parameters():
                noise = 0.02 * bool(seed) * torch.randn(parameter.shape, generator=generator)
                parameter.data.copy_(start[key].float() + noise)
            place = self.place(ref)
            model.save_pretrained(place)
            tokenizer.save_pretrained(place)
            if "Llama-3." in base + ref:
                _rename(place / "tokenizer.json", SPARE, "<|finetune_right_pad_id|>")
            if ref in self.cards:
                (place / "README.md").write_text(f"---\nbase_model: {self.cards[ref]}\n---\n")
            self._name_commit(place)

    def _name_commit(self, place: Path) -> None:
        """Say in a cache which commit its `main` is."""
        if place.is_relative_to(self.cache):
            (place.parents[1] / "refs").mkdir()
            (place.parents[1] / "refs" / "main").write_text(COMMIT)

    def _shrink_source(self, source: dict[str, Any], seed: int) -> None:
        """Write a data set where the source looks for it; one of the hub is put in a folder."""
        if source["kind"] == "procedural":
            source["items"] = N_ITEMS
            return
        if "subset" in source:
            source["path"] = "data/" + source["path"].replace("/", "--")
        folder = self.folder / source["path"]
        folder.mkdir(parents=True)
        lines = [
            json.dumps({source["fields"]["messages"]: turns, "source": "x"})
            for turns in _conversations(seed)
        ]
        (folder / "train.jsonl").write_text("\n".join(lines), encoding="utf-8")
        if "subset" in source:  # a data set's card names its subsets
            subsets = {"configs": [{"config_name": source["subset"], "data_files": "*.jsonl"}]}
            (folder / "README.md").write_text(f"---\n{yaml.safe_dump(subsets)}---\n")


def tokenizer_of(family: str) -> Any:
    """As the family's: Llama's and Gemma's write a first token, and Llama's has no template."""
    if family == "Llama":
        return special_token_tokenizer("", (SPARE, *LLAMA_MARKS), LLAMA_MARKS[0])
    if family == "Gemma2":
        return special_token_tokenizer(TEMPLATES["gemma"].text, GEMMA_MARKS, GEMMA_MARKS[0])
    problems = generate("algebra", random.Random("tokenizer"), 50)
    tokenizer = train_tokenizer((text for p in problems for text in (p.prompt, p.response)), 400)
    tokenizer.chat_template = TEMPLATES["chatml"].text  # its marks are plain text here
    return tokenizer


def _rename(path: Path, token: str, other: str) -> None:
    path.write_text(path.read_text(encoding="utf-8").replace(token, other), encoding="utf-8")


def _conversations(seed: int) -> list[list[dict[str, str]]]:
    drawn = generate(GENERATORS[seed % len(GENERATORS)], random.Random(seed), N_ITEMS)
    return [
        [{"role": "user", "content": p.prompt}, {"role": "assistant", "content": p.response}]
        for p in drawn
    ]


def _shorten(config: dict[str, Any]) -> None:
    """Cut texts and training short; half of so few items are held out where any are trained on."""
    if config["data"]["shares"]["train"]:
        config["data"]["shares"] = {"base": 0.0, "train": 0.5, "heldout": 0.5}
    if "training" in config:
        config["training"]["expert"] |= {"steps": 3, "batch_rows": 2, "max_length": LENGTH}
        config["training"]["expert"].pop("epochs", None)
    config["evaluation"] |= {"tokens_per_domain": 256, "max_length": LENGTH, "batch_tokens": 4096}
    config["laws"] = config.get("laws", {}) | {"resamples": 20}
