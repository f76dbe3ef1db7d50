"""An adapter's config (adapter_config.json of `peft`): what scales its deltas, what is refused."""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T", int, float)

REFUSED = {
    "use_dora": "DoRA rescales the whole weight",
    "lora_bias": "B has a bias",
    "use_qalora": "QA-LoRA pools the inputs",
    "target_parameters": "single parameters are adapted, not modules",
    "trainable_token_indices": "single rows of the embedding are trained",
    "layer_replication": "the model has more layers than the base",
    "alora_invocation_tokens": "activated LoRA changes a part of the tokens only",
}
"""Settings whose effect is not W + scaling * B @ A, and why."""

USED = {
    "peft_type", "base_model_name_or_path", "r", "lora_alpha", "rank_pattern", "alpha_pattern",
    "use_rslora", "fan_in_fan_out", "init_lora_weights",
}  # fmt: skip
WITHOUT_EFFECT = {
    "auto_mapping", "bias", "corda_config", "ensure_weight_tying", "eva_config",
    "exclude_modules", "inference_mode", "layers_pattern", "layers_to_transform", "loftq_config",
    "lora_dropout", "lora_ga_config", "megatron_core", "modules_to_save", "peft_version",
    "qalora_group_size", "revision", "runtime_config", "target_modules", "task_type",
}  # fmt: skip
"""Settings of the training, or which the names of the adapter's tensors tell again."""

PLAIN_STARTS = (True, False, None, "gaussian", "eva", "orthogonal", "mica")
"""Values of `init_lora_weights` that leave the base as it is; others subtract from it."""


@dataclass(frozen=True)
class LoraSettings:
    """What the deltas of an adapter depend on, besides its tensors.

    Attributes
    ----------
    r, alpha : int, float
        Rank and scale of modules that no pattern names.
    rank_pattern, alpha_pattern : mapping of str
        Rank and scale by regular expression; the first that a module's name ends in holds.
    rslora : bool
        Whether the scaling is alpha / sqrt(r), not alpha / r (Kalajdzievski, arXiv 2312.03732).
    fan_in_fan_out : bool
        Whether weights are stored as (in, out).
    """

    r: int
    alpha: float
    rank_pattern: Mapping[str, int]
    alpha_pattern: Mapping[str, float]
    rslora: bool
    fan_in_fan_out: bool

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "LoraSettings":
        """Take the settings from a config without problems."""
        return cls(
            r=config["r"],
            alpha=config["lora_alpha"],
            rank_pattern=config.get("rank_pattern") or {},
            alpha_pattern=config.get("alpha_pattern") or {},
            rslora=bool(config.get("use_rslora")),
            fan_in_fan_out=bool(config.get("fan_in_fan_out")),
        )

    def rank(self, module: str) -> int:
        """Return r of a module, by its path in the adapted model."""
        return _first_match(self.rank_pattern, module, self.r)

    def scaling(self, module: str) -> float:
        """Return the factor of B @ A."""
        rank = self.rank(module)
        alpha = _first_match(self.alpha_pattern, module, self.alpha)
        return alpha / math.sqrt(rank) if self.rslora else alpha / rank


def setting_problems(config: Any) -> Iterator[str]:
    """Yield every setting that is wrong, or whose effect is not plain LoRA."""
    if not isinstance(config, dict):
        yield "its config must be a JSON object"
        return
    if config.get("peft_type") != "LORA":
        yield f"peft_type is {config.get('peft_type')!r}; 'LORA' alone is read"
        return  # other types have other settings
    yield from _wrong_numbers(config)
    start = config.get("init_lora_weights")
    if (start.lower() if isinstance(start, str) else start) not in PLAIN_STARTS:
        yield (
            f"init_lora_weights is {start!r}, which changes the base itself: the deltas do not "
            "belong to the base as it is published"
        )
    if not isinstance(config.get("base_model_name_or_path"), str | None):
        yield f"base_model_name_or_path is {config['base_model_name_or_path']!r}, not a name"
    for key in sorted(config.keys() - USED - WITHOUT_EFFECT):
        if config[key] not in (None, False, [], {}):
            yield f"{key} is {config[key]!r}: {REFUSED.get(key, 'its effect is not known')}"


def _wrong_numbers(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with ranks, scales and their patterns."""
    for key, pattern, is_right, words in (
        ("r", "rank_pattern", _is_rank, "an integer of at least 1"),
        ("lora_alpha", "alpha_pattern", _is_number, "a finite number"),
    ):
        if not is_right(config.get(key)):
            yield f"{key} is {config.get(key)!r}; it must be {words}"
        patterns = config.get(pattern) or {}
        if not isinstance(patterns, dict):
            yield f"{pattern} is {patterns!r}; it must map patterns to values"
            continue
        for expression, value in patterns.items():
            if not is_right(value):
                yield f"{pattern} of {expression!r} is {value!r}; it must be {words}"
            if not _compiles(expression):
                yield f"{pattern} has {expression!r}, which is no regular expression"


def _is_rank(value: Any) -> bool:
    return type(value) is int and value >= 1


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _compiles(expression: str) -> bool:
    try:
        re.compile(expression)
    except re.error:
        return False
    return True


def _first_match(patterns: Mapping[str, T], module: str, default: T) -> T:
    """Return the value of the first pattern that a module's path ends in, after a dot or whole."""
    for expression, value in patterns.items():
        if re.match(rf"(.*\.)?({expression})$", module):
            return value
    return default
