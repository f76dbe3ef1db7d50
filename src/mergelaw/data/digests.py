"""Digests that name a tokenizer and its template: what prepared text is known by."""

import hashlib
import json
from typing import Any

PER_CALL = {"truncation", "padding"}
"""Parts of a tokenizer's state that each call sets anew."""


def vocabulary_digest(tokenizer: Any) -> str:
    """Return 16 hexadecimal digits that name a tokenizer's trained vocabulary.

    Added tokens are left out: models of one family give places that nobody uses other names.
    """
    raw = getattr(tokenizer, "backend_tokenizer", tokenizer)
    added = added_tokens(raw)
    return _digest(sorted(pair for pair in raw.get_vocab().items() if pair[1] not in added))


def added_tokens(tokenizer: Any) -> dict[int, str]:
    """Return a tokenizer's added tokens by their ids, such as marks of a chat's turns."""
    raw = getattr(tokenizer, "backend_tokenizer", tokenizer)
    return {place: token.content for place, token in raw.get_added_tokens_decoder().items()}


def tokenizer_digest(tokenizer: Any) -> str:
    """Return the same of all that turns text into tokens, merges and normalisation included."""
    parts = json.loads(tokenizer.backend_tokenizer.to_str())
    return _digest({key: parts[key] for key in sorted(parts.keys() - PER_CALL)})


def template_digest(tokenizer: Any, settings: list[Any]) -> str:
    """Return the same of the chat template, the special tokens it may write, and settings."""
    return _digest([tokenizer.chat_template, tokenizer.special_tokens_map, settings])


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]
