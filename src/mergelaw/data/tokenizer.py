"""The study's tokenizer: a small byte-level BPE with a chat template, or one that is given."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, PreTrainedTokenizerFast, Qwen2Tokenizer

from mergelaw.errors import DataError

PAD, USER, ASSISTANT, END = "<|pad|>", "<|user|>", "<|assistant|>", "<|end|>"

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message.role not in ['user', 'assistant'] %}"
    "{{ raise_exception('only user and assistant turns') }}{% endif %}"
    "{{ '<|' + message.role + '|>' + message.content }}"
    "{% if message.role == 'assistant' %}{{ '<|end|>' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> Qwen2Tokenizer:
    """Train a tokenizer of Qwen2's kind: byte-level BPE, every digit a token of its own.

    It is the class that `AutoTokenizer` takes for Qwen2 checkpoints, so that a saved one loads as
    what it was.

    Parameters
    ----------
    texts : iterable of str
        Training text; never held-out items.
    vocab_size : int
        Entries, with the four special ones.
    """
    untrained = Qwen2Tokenizer(
        eos_token=END, unk_token=END, pad_token=PAD, extra_special_tokens=[USER, ASSISTANT]
    )
    tokenizer = untrained.train_new_from_iterator(texts, vocab_size, show_progress=False)
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def load_tokenizer(path: Path) -> PreTrainedTokenizerFast:
    """Load a tokenizer from a local folder; nothing is fetched.

    Raises
    ------
    DataError
        If the folder holds no tokenizer, or one without character offsets (a 'slow' one).
    """
    if not path.is_dir():
        raise DataError(f"tokenizer {path}: no such folder")
    try:
        tokenizer = AutoTokenizer.from_pretrained(path)  # a folder: nothing is fetched
    except (OSError, ValueError) as error:
        raise DataError(f"tokenizer {path}: cannot be loaded ({error})") from error
    if not tokenizer.is_fast:
        raise DataError(
            f"tokenizer {path}: has no fast version, whose character offsets are needed"
        )
    return tokenizer


def vocabulary_digest(tokenizer: Any) -> str:
    """Return 16 hexadecimal digits that name a tokenizer's vocabulary."""
    text = json.dumps(sorted(tokenizer.get_vocab().items()))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
