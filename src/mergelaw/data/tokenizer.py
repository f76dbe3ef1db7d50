"""The study's tokenizer: a small byte-level BPE with a chat template, or one that is given."""

from collections.abc import Iterable

from transformers import AutoTokenizer, PreTrainedTokenizerFast, Qwen2Tokenizer

from mergelaw.errors import CheckpointError, DataError
from mergelaw.hub import Ref, resolve

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


def load_tokenizer(ref: Ref) -> PreTrainedTokenizerFast:
    """Load a tokenizer from a local folder or the hub's cache; nothing is fetched.

    Parameters
    ----------
    ref : str or Path
        A folder, or `org/name` or `org/name@revision`.

    Raises
    ------
    DataError
        If there is no such tokenizer, or it has no character offsets (a 'slow' one).
    """
    try:
        folder = resolve(ref)
    except CheckpointError as error:
        raise DataError(f"tokenizer {error}") from error
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, ImportError) as error:
        raise DataError(f"tokenizer {ref}: cannot be loaded ({error})") from error
    if not tokenizer.is_fast:
        raise DataError(
            f"tokenizer {ref}: has no fast version (tokenizer.json), whose character offsets are "
            "needed; load it with transformers where that can convert it, and save it again"
        )
    return tokenizer
