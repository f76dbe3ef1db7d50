"""What config.json says of a model's function, in one spelling, and where two models differ.

Weights can be merged only where they are the weights of one function. Newer and older versions of
transformers write the same settings under other names; such pairs are brought together here.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from mergelaw.preflight.findings import Findings, some

FUNCTION = {
    "hidden_act", "hidden_activation", "activation_function", "activation", "rms_norm_eps",
    "layer_norm_eps", "layer_norm_epsilon", "norm_eps", "norm_epsilon", "num_hidden_layers",
    "n_layer", "num_layers", "num_attention_heads", "n_head", "num_heads", "num_key_value_heads",
    "head_dim", "layer_types", "sliding_window", "use_sliding_window", "max_window_layers",
    "attention_chunk_size", "no_rope_layers", "clip_qkv", "alibi", "position_embedding_type",
    "use_qk_norm", "query_pre_attn_scalar", "attn_logit_softcapping", "final_logit_softcapping",
    "scale_attn_weights", "scale_attn_by_inverse_layer_idx", "attention_multiplier", "logit_scale",
    "logits_scaling", "embedding_multiplier", "residual_multiplier", "scale_emb", "scale_depth",
    "use_parallel_residual", "parallel_attn", "new_decoder_architecture", "num_experts_per_tok",
    "norm_topk_prob", "routed_scaling_factor", "scoring_func", "topk_method", "n_group",
    "topk_group", "decoder_sparse_step", "mlp_only_layers", "first_k_dense_replace",
}  # fmt: skip
"""Settings that make equal weights another function; `rope.*` is added to them."""

SILENT = re.compile(
    r"(.*\.)?(_.*|model_type|architectures|tie_word_embeddings|quantization_config(\..*)?|auto_map.*"
    r"|(torch_)?dtype|.*version|use_cache|.*dropout|.*pdrop|initializer_.*|output_.*|return_dict"
    r"|use_return_dict|gradient_checkpointing|pretraining_tp|router_aux_loss_coef|name_or_path"
    r"|torchscript|task_specific_params.*|id2label.*|label2id.*|problem_type)"
)
"""Keys that say nothing of the function, or that other checks speak of."""

ROPE_TYPES = {"su": "longrope", "mrope": "default"}
"""Other spellings of a rotary encoding's type."""

ROPE_KEYS = {
    "rope_theta": "rope_theta",
    "rotary_emb_base": "rope_theta",
    "partial_rotary_factor": "partial_rotary_factor",
    "rotary_pct": "partial_rotary_factor",
    "original_max_position_embeddings": "original_max_position_embeddings",
}
"""Keys beside those of the rotary encoding that belong to it, and their names in it."""

FIXED_ROPE = ("default", "linear", "llama3")
"""Types whose angles do not depend on `max_position_embeddings`."""

WINDOW_KEYS = ("sliding_window", "max_window_layers", "layer_types")
NULL_IS_OFF = ("sliding_window", "attn_logit_softcapping", "final_logit_softcapping")


def check_settings(
    findings: Findings, name: str, base: Mapping[str, Any], expert: Mapping[str, Any]
) -> None:
    """Compare two models' config.json: another function is a doubt, the rest a note.

    What only one of the two states is left alone: the other has its architecture's default.

    Parameters
    ----------
    base, expert : mapping
        The parsed files.
    """
    for key in ("model_type", "architectures"):
        mine, theirs = expert.get(key), base.get(key)
        if mine and theirs and str(mine).casefold() != str(theirs).casefold():
            findings.problem(
                f"expert {name!r}: config.json has {key} = {_shown(mine)}, the base's "
                f"{_shown(theirs)}: only models of one architecture can be merged"
            )
            return
    mine, theirs = settings(expert), settings(base)
    differing = [
        key
        for key in sorted(mine.keys() & theirs.keys())
        if mine[key] != theirs[key] and not SILENT.fullmatch(key)
    ]
    function = [key for key in differing if _is_function(key)]
    rest = [key for key in differing if not _is_function(key)]
    if function:
        findings.doubt(
            f"expert {name!r}: by config.json its weights are those of another function than the "
            f"base's: {_pairs(function, mine, theirs)}"
        )
    if rest:
        findings.note(
            f"expert {name!r}: config.json differs from the base's, whose values the merged model "
            f"gets: {_pairs(rest, mine, theirs)}"
        )


def settings(config: Mapping[str, Any], decoder: bool = True) -> dict[str, Any]:
    """Return the settings that a config.json states, in one spelling.

    Those of parts (`text_config`, `rope`) have dotted names. Null counts as not stated, but for
    settings that it switches off, and a decoder without a type of rotary encoding has the default.
    """
    stated = _one_spelling(config, decoder)
    for part in [
        key for key, value in stated.items() if key.endswith("_config") and _is_map(value)
    ]:
        inner = settings(stated.pop(part), part == "text_config")
        stated |= {f"{part}.{key}": value for key, value in inner.items()}
    return dict(_flat(stated))


def tied(config: Mapping[str, Any] | None) -> bool | None:
    """Return whether a model's output head is its input embedding; None where it is not stated."""
    value = _anywhere(config or {}, "tie_word_embeddings")
    return value if isinstance(value, bool) else None


def vocab_size(config: Mapping[str, Any] | None) -> int | None:
    """Return the number of rows of the embedding; None where it is not stated."""
    value = _anywhere(config or {}, "vocab_size")
    return value if isinstance(value, int) else None


def quantisation(config: Mapping[str, Any]) -> str | None:
    """Return the name of the way in which a checkpoint is quantised, or None."""
    for key in ("quantization_config", "compression_config"):
        value = _anywhere(config, key)
        if value:
            return str(_as_map(value).get("quant_method", key))
    return None


def _anywhere(config: Mapping[str, Any], key: str) -> Any:
    """Return a setting of the whole model, else of its decoder."""
    value = config.get(key)
    return _as_map(config.get("text_config")).get(key) if value is None else value


def _flat(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        elif value is not None or key in NULL_IS_OFF:
            yield prefix + key, value


def _one_spelling(config: Mapping[str, Any], decoder: bool) -> dict[str, Any]:
    """Gather the rotary encoding's settings under `rope`; drop windows that are switched off."""
    found = dict(config)
    if found.get("use_sliding_window") is False:
        found = {key: value for key, value in found.items() if key not in WINDOW_KEYS}
    new, old = (_as_map(found.pop(key, None)) for key in ("rope_parameters", "rope_scaling"))
    top = {name: found.pop(key) for key, name in ROPE_KEYS.items() if key in found}
    if not (decoder or top or new or old):
        return found
    if any(_is_map(part) for part in new.values()):  # one encoding per type of layer
        return found | {"rope": new}
    rope = top | old | new
    kind = str(rope.get("rope_type") or rope.get("type") or "default")
    rope["rope_type"] = ROPE_TYPES.get(kind, kind)
    rope.pop("type", None)
    if rope["rope_type"] not in FIXED_ROPE and "max_position_embeddings" in found:
        rope["max_position_embeddings"] = found.pop("max_position_embeddings")
    return found | {"rope": rope}


def _is_function(key: str) -> bool:
    return "rope" in key.split(".")[:-1] or key.rpartition(".")[2] in FUNCTION


def _is_map(value: object) -> bool:
    return isinstance(value, Mapping)


def _as_map(value: object) -> dict[str, Any]:
    return dict(value) if isinstance(value, Mapping) else {}


def _pairs(keys: list[str], mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> str:
    names = [key.replace("rope.rope_", "rope_") for key in keys]
    return some(
        [
            f"{name} = {_shown(mine[key])} (base: {_shown(theirs[key])})"
            for name, key in zip(names, keys, strict=True)
        ]
    )


def _shown(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."
