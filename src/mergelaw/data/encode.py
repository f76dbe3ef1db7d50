"""The one encoder: an item becomes tokens and a mask of those that are scored."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mergelaw.data.digests import template_digest, tokenizer_digest, vocabulary_digest
from mergelaw.data.templates import dated
from mergelaw.errors import DataError

BLOCK = 64
"""Items tokenised in one call: all cores are used, and few tokens wait in memory."""

STAND_IN = "THE-RESPONSE-STANDS-HERE"
"""Rendered in place of a response, to learn what a template writes after one."""


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


class Rendered(NamedTuple):
    """The text of an item before it is tokenised."""

    text: str
    start: int  # where the response begins in it
    special: bool  # whether the tokenizer adds its own beginning and end
    place: str


@dataclass(frozen=True)
class Encoder:
    """Encodes items through the tokenizer's chat template, or as plain text.

    Attributes
    ----------
    tokenizer : transformers fast tokenizer
        With a chat template where items have messages.
    max_length : int
        Longest sequence, in tokens; what is beyond is cut off and counted.
    scored : {'response', 'all'}
        Score the last assistant turn with its end mark, or all tokens but the first.
    system : str, optional
        System turn put before conversations that begin without one.

    Notes
    -----
    Text is tokenised once and as a whole. A token is of the response when it begins at or after the
    response's first character, or when only white space of it stands before that (tokenizers as
    SentencePiece's hang a space on the word that follows). The response is what the item says, and
    whatever the template writes after it; what the template writes before it (an empty block of
    thoughts, for example) is not.

    A template writes the special tokens of a conversation, and none is added to it: one BOS where
    the template writes it, none where it does not. Plain text gets what the tokenizer adds to any
    text, but no BOS when it begins with one.
    """

    tokenizer: Any
    max_length: int
    scored: Literal["response", "all"] = "response"
    system: str | None = None

    def encode(self, rows: Iterable[Mapping[str, Any]]) -> Iterator[Encoded]:
        """Yield items of a table (`messages`, `plain` and `place` of `mergelaw.tables.ITEMS`).

        Raises
        ------
        DataError
            If the template is missing, fails, changes a response's text, or two BOS come out;
            names the item's place.
        """
        source = iter(rows)
        while block := [self.render(row) for row in itertools.islice(source, BLOCK)]:
            for special, run in itertools.groupby(block, key=lambda item: item.special):
                yield from self._tokenize(list(run), special)

    def keys(self) -> dict[str, str]:
        """Return the digests of what decides an item's tokens and mask, the item aside."""
        settings = [self.system, self.scored, self.max_length]
        return {
            "vocabulary": vocabulary_digest(self.tokenizer),
            "tokenizer": tokenizer_digest(self.tokenizer),
            "template": template_digest(self.tokenizer, settings),
        }

    def render(self, row: Mapping[str, Any]) -> Rendered:
        """Return an item as text; see `encode`."""
        if row["messages"]:
            return self._chat(row["messages"], row["place"])
        bos = self.tokenizer.bos_token
        special = bos is None or not row["plain"].startswith(bos)
        return Rendered(row["plain"], 0, special, row["place"])

    def _chat(self, messages: Sequence[Mapping[str, str]], place: str) -> Rendered:
        turns = [{"role": turn["role"], "content": turn["content"]} for turn in messages]
        if self.system is not None and turns[0]["role"] != "system":
            turns.insert(0, {"role": "system", "content": self.system})
        response = turns[-1]["content"]
        text = self._template(turns, place)
        stand_in = self._template([*turns[:-1], turns[-1] | {"content": STAND_IN}], place)
        start = _start(text, stand_in, response)
        if start is not None:
            return Rendered(text, start, False, place)
        raise DataError(
            f"{place}: the chat template changes or leaves out the response, so that it is not "
            f"known which tokens are its own; {self._other_template()}"
        )

    def _template(self, turns: list[dict[str, str]], place: str) -> str:
        if not self.tokenizer.chat_template:
            raise DataError(
                f"{place}: is a conversation, and the tokenizer has no chat template; "
                f"{self._other_template()}"
            )
        try:
            template = dated(self.tokenizer.get_chat_template())
            text: str = self.tokenizer.apply_chat_template(
                turns, chat_template=template, tokenize=False
            )
        except Exception as error:  # templates raise jinja2's errors and their own
            raise DataError(
                f"{place}: the chat template fails ({error}); {self._other_template()}"
            ) from error
        return text

    def _other_template(self) -> str:
        without = " or leave out tokenizer.system" if self.system is not None else ""
        return f"give another tokenizer.template{without}"

    def _tokenize(self, items: Sequence[Rendered], special: bool) -> Iterator[Encoded]:
        tokens = self.tokenizer(
            [item.text for item in items],
            add_special_tokens=special,
            return_offsets_mapping=True,
            return_attention_mask=False,
            verbose=False,  # longer texts than the model takes are cut below
        )
        pairs = zip(tokens["input_ids"], tokens["offset_mapping"], strict=True)
        for item, (ids, offsets) in zip(items, pairs, strict=True):
            yield self._masked(item, np.asarray(ids, dtype=np.int32), offsets)

    def _masked(self, item: Rendered, ids: NDArray[np.int32], offsets: Any) -> Encoded:
        bos = self.tokenizer.bos_token_id
        if bos is not None and ids[:2].tolist() == [bos, bos]:
            raise DataError(
                f"{item.place}: begins with two beginning-of-text tokens "
                f"({self.tokenizer.bos_token}): the template writes one too many, or the text one"
            )
        spans = np.asarray(offsets, dtype=np.int64).reshape(-1, 2)
        response = self.scored == "response"
        mask = _from(item, spans) if response else np.ones(len(ids), dtype=bool)
        mask[:1] = False
        n = self.max_length
        return Encoded(ids[:n], mask[:n], max(0, len(ids) - n))


def _start(text: str, stand_in: str, response: str) -> int | None:
    """Return where a response begins in a rendered conversation; None if it is not known.

    Parameters
    ----------
    text : str
        With the response.
    stand_in : str
        With `STAND_IN` in its place.
    response : str
        What the item says.
    """
    head, found, tail = stand_in.rpartition(STAND_IN)
    if not found or not text.endswith(tail):
        return None
    before_tail = text.removesuffix(tail)
    if before_tail.startswith(head):
        said = before_tail.removeprefix(head)
        if said in response and said.strip() == response.strip():  # many templates trim
            return len(head)
    # A template that takes thoughts out of the response and writes them anew has another head.
    # White space before the response could then be the template's: it is not scored.
    for said in (response.lstrip(), response.strip()):
        if said and before_tail.endswith(said):
            return len(before_tail) - len(said)
    return None


def _from(item: Rendered, spans: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which tokens are of the response, by their spans in the text.

    A tokenizer that trims its spans leaves those of white space empty, at their ends: such a token
    begins where the one before it ends.
    """
    begins, ends = spans.T
    before = np.concatenate([[0], ends])[:-1]
    begins = np.where(begins == ends, before, begins)
    mask: NDArray[np.bool_] = begins >= item.start
    for i in np.flatnonzero(~mask & (ends > item.start)):
        mask[i] = not item.text[begins[i] : item.start].strip()
    return mask
