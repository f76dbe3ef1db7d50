"""The one encoder: an item becomes tokens and a mask of those that are scored."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mergelaw.errors import DataError


@dataclass(frozen=True)
class Encoded:
    """Tokens of one item.

    Attributes
    ----------
    input_ids : int32 array, shape (length,)
        Tokens, at most `max_length`.
    scored : bool array, shape (length,)
        Which tokens are targets of the loss; never the first.
    n_truncated : int
        Tokens cut off at the end.
    """

    input_ids: NDArray[np.int32]
    scored: NDArray[np.bool_]
    n_truncated: int


def encode(
    tokenizer: Any,
    messages: Sequence[Mapping[str, str]],
    plain: str,
    max_length: int,
    scored: Literal["response", "all"] = "response",
) -> Encoded:
    """Encode an item through the tokenizer's chat template, or as plain text.

    Parameters
    ----------
    tokenizer : transformers fast tokenizer
        With a chat template where items have messages.
    messages : sequence of mappings
        Turns, the last of the assistant; empty for plain text.
    plain : str
        The document, used where there are no messages.
    max_length : int
        Longest sequence, in tokens.
    scored : {'response', 'all'}
        Score the last assistant turn with its end mark, or all tokens but the first.

    Notes
    -----
    A token is of the response when it begins at or after the end of the prompt's text, so that text
    is tokenised once and as a whole. The template writes the special tokens; none is added twice.
    """
    if messages:
        text, start = _chat_text(tokenizer, messages)
    else:
        text, start = plain, 0
    tokens = tokenizer(text, add_special_tokens=not messages, return_offsets_mapping=True)
    ids = np.asarray(tokens["input_ids"], dtype=np.int32)
    begins = np.asarray([begin for begin, _ in tokens["offset_mapping"]])
    mask = begins >= start if scored == "response" else np.ones(len(ids), dtype=bool)
    mask[:1] = False
    return Encoded(ids[:max_length], mask[:max_length], max(0, len(ids) - max_length))


def _chat_text(tokenizer: Any, messages: Sequence[Mapping[str, str]]) -> tuple[str, int]:
    """Return the whole conversation as text, and where its last turn's content begins."""
    turns = [dict(message) for message in messages]
    try:
        text = tokenizer.apply_chat_template(turns, tokenize=False)
        prompt = tokenizer.apply_chat_template(
            turns[:-1], tokenize=False, add_generation_prompt=True
        )
    except Exception as error:  # templates raise jinja2's errors and their own
        raise DataError(
            f"the chat template fails on {turns[0]['content']!r:.60}: {error}"
        ) from error
    if not text.startswith(prompt):
        raise DataError(
            "the chat template's text with the answer does not start with its text without; "
            f"at {turns[0]['content']!r:.60}"
        )
    return text, len(prompt)
