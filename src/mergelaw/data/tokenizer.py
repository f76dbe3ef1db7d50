"""The study's tokenizer: a small byte-level BPE with a chat template, or one that is given."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

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


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE in which every digit is a token of its own.

    Parameters
    ----------
    texts : iterable of str
        Training text; never held-out items.
    vocab_size : int
        Entries, with the four special ones.
    """
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[PAD, USER, ASSISTANT, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe, pad_token=PAD, eos_token=END, chat_template=CHAT_TEMPLATE
    )


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
        tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True)
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
