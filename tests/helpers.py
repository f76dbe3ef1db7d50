"""Builders shared by tests: configs of tiny studies; tokenizers, checkpoints made on the spot."""

import copy
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from mergelaw.config import Study, parse_study
from mergelaw.data.items import text_digest
from mergelaw.design import chunks
from mergelaw.paths import StudyPaths
from mergelaw.tables import ITEMS

ARCHITECTURE = {
    "hidden_size": 16,
    "layers": 1,
    "heads": 2,
    "kv_heads": 1,
    "intermediate_size": 24,
    "context": 96,
    "initializer_range": 0.08,
}
METHODS = [
    {"label": "average", "method": "average"},
    {"label": "ta", "method": "task_arithmetic", "parameters": {"scale": 0.8}},
    {"label": "ties", "method": "ties", "parameters": {"density": 0.6, "scope": "tensor"}},
    {"label": "dare", "method": "dare", "parameters": {"drop_rate": 0.3}},
]
STUDY: dict[str, Any] = {
    "name": "tiny",
    "domains": [
        {"name": name, "source": {"kind": "procedural", "generator": name, "items": 60}}
        for name in ("algebra", "biology", "code")
    ],
    "experts": [{"name": name, "domain": name} for name in ("algebra", "biology", "code")],
    "data": {"shares": {"base": 0.4, "train": 0.4, "heldout": 0.2}},
    "tokenizer": {"vocab_size": 300},
    "sizes": [
        {"name": "small", "architecture": ARCHITECTURE},
        {"name": "large", "architecture": ARCHITECTURE | {"hidden_size": 24, "layers": 2}},
    ],
    "methods": METHODS,
    "design": [{"kind": "exhaustive", "chunk_size": 5}],
    "training": {
        "base": {"steps": 3, "batch_rows": 4},
        "expert": {
            "steps": 3,
            "batch_rows": 4,
            "max_length": 96,
            "truncate": True,
            "learning_rate": 0.01,
        },
    },
    "evaluation": {"tokens_per_domain": 200, "max_length": 96},
    "laws": {"forecast_k": [1, 2, 3]},
}
"""A study of 2 sizes, 3 experts and 3 domains that trains in seconds."""


def study_dict(*changes: tuple[str, object]) -> dict[str, Any]:
    """Return a copy of `STUDY`; each change is a dotted path (`sizes.0.base`) and its new value."""
    raw = copy.deepcopy(STUDY)
    for path, value in copy.deepcopy(changes):
        *parents, last = (int(part) if part.isdigit() else part for part in path.split("."))
        place: Any = raw
        for part in parents:
            place = place.setdefault(part, {}) if isinstance(place, dict) else place[part]
        if isinstance(place, list) and last == len(place):
            place.append(value)
        elif value is None:
            del place[last]
        else:
            place[last] = value
    return raw


def study_of(*changes: tuple[str, object]) -> Study:
    """Return the tiny study with changes, checked as any config is."""
    return parse_study(study_dict(*changes))


def run_data(study: Study, paths: StudyPaths) -> None:
    """Run the data stage of a study."""
    from mergelaw.data import stage
    from mergelaw.evaluation.prepared import write_shards

    for domain in study.domain_names:
        stage.write_items(study, paths, domain)
    stage.write_tokenizer(study, paths)
    if any(size.architecture for size in study.sizes):
        stage.write_pretraining(study, paths)
    write_shards(study, paths)


def run_experts(study: Study, paths: StudyPaths) -> None:
    """Train all bases and experts of a study, under every training setting."""
    from mergelaw.experts.stage import train_base, train_expert

    for size in study.size_names:
        if size in study.ladder:
            train_base(study, paths, size)
        for expert in study.expert_names:
            train_expert(study, paths, size, expert)


def run_sweep(
    study: Study,
    paths: StudyPaths,
    sizes: Sequence[str] | None = None,
    methods: Sequence[str] | None = None,
) -> None:
    """Merge and score all chunks of a study, or of some of its sizes and methods."""
    from mergelaw.sweep.chunk import run_chunk

    for size in sizes or study.size_names:
        for method in methods or study.method_labels:
            for chunk in chunks(study, size):
                run_chunk(study, paths, size, method, chunk.index)


def item_rows(pairs: Iterable[tuple[str, str]], split: str = "heldout") -> pl.DataFrame:
    """Return an items table of (problem, response) pairs, all on one side."""
    rows = [
        {
            "item_id": text_digest(problem),
            "split": split,
            "messages": chat(problem, response),
            "plain": problem,
            "place": f"pairs[{index}]",
        }
        for index, (problem, response) in enumerate(pairs)
    ]
    return pl.DataFrame(rows, schema=dict(ITEMS))


def chat(problem: str, response: str) -> list[dict[str, str]]:
    """Return a conversation of one question and one answer."""
    return [{"role": "user", "content": problem}, {"role": "assistant", "content": response}]


def special_token_tokenizer(template: str, specials: Sequence[str], bos: str | None = None) -> Any:
    """Return a byte-level tokenizer as Llama's: it writes `bos` itself, and so may its template."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    bpe.train_from_iterator(
        ["The answer is 12. Add the numbers, then add them again."] * 4,
        trainers.BpeTrainer(
            vocab_size=320,
            special_tokens=list(specials),
            show_progress=False,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        ),
    )
    if bos is not None:
        bpe.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", special_tokens=[(bos, bpe.token_to_id(bos))]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe, bos_token=bos, eos_token=specials[-1], chat_template=template
    )


def tiny_model(kind: str, seed: int = 0, **settings: Any) -> Any:
    """Return a random model of a family, wide enough in its weights for losses far from uniform."""
    import torch
    import transformers

    shape = {
        "vocab_size": 300,
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "max_position_embeddings": 96,
        "initializer_range": 0.3,
        "bos_token_id": None,
        "eos_token_id": None,
        "pad_token_id": None,
    }
    if kind.startswith("Gemma"):
        shape["head_dim"] = 8
    torch.manual_seed(seed)
    config = getattr(transformers, f"{kind}Config")(**shape | settings)
    return getattr(transformers, f"{kind}ForCausalLM")(config).eval()


def save_weights(folder: Path, tensors: Mapping[str, Any], config: Any = None) -> Path:
    """Write a checkpoint of named tensors as one safetensors file, with its config if given."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    save_file(
        {name: tensor.contiguous() for name, tensor in tensors.items()},
        folder / "model.safetensors",
        {"format": "pt"},
    )
    if config is not None:
        config.save_pretrained(folder)
    return folder


def edit_weights(folder: Path, name: str, change: Any) -> None:
    """Replace one tensor of a saved checkpoint by `change(tensor)`; None removes it."""
    from safetensors.torch import load_file

    tensors = load_file(folder / "model.safetensors")
    tensor = change(tensors.pop(name))
    save_weights(folder, tensors | ({} if tensor is None else {name: tensor}))


def naive_nll(model: Any, input_ids: Sequence[int], scored: Sequence[bool]) -> float:
    """Return an item's summed loss by the model's own labels, alone and unpadded."""
    import torch

    ids = torch.tensor([list(map(int, input_ids))])
    labels = ids.masked_fill(~torch.tensor([list(map(bool, scored))]), -100)
    with torch.inference_mode():
        return float(model(input_ids=ids, labels=labels).loss) * int((labels != -100).sum())
