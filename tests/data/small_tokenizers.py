"""Tiny tokenizers of the kinds that models have, made on the spot."""

from collections.abc import Sequence
from typing import Any, Literal

from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
)
from transformers import PreTrainedTokenizerFast

from mergelaw.data.domains.wording import words

WORDS = words("The answer is Add them again ans wer number s e r t a n i d h w m b u g")
PIECES = [*WORDS, *(f"▁{word}" for word in WORDS), "▁", "1", "2", ".", "[", "]", "/", "\n", "\n\n"]
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]

Spaces = Literal["first", "always", "never", "prepend"]


def sentencepiece(
    template: str | None,
    marks: Sequence[str] = (),
    spaces: Spaces = "first",
    bos: str | None = "<s>",
) -> Any:
    """Return a tokenizer as Llama 2's or Gemma's: words carry their space, other text is bytes.

    Parameters
    ----------
    spaces : {'first', 'always', 'never', 'prepend'}
        Where a space is put before text that has none: by the pre-tokenizer's scheme, or by the
        normalizer as of Llama 2.
    bos : str, optional
        Written by the tokenizer before any text.
    """
    vocabulary = ["<unk>", "<s>", "</s>", *BYTES, *PIECES]
    scores = [(piece, float(len(piece)) - 20) for piece in vocabulary]
    unigram = Tokenizer(models.Unigram(scores, unk_id=0, byte_fallback=True))
    if spaces == "prepend":
        unigram.normalizer = normalizers.Sequence(
            [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
        )
    else:
        unigram.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=spaces)
    unigram.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    unigram.add_special_tokens([AddedToken(mark) for mark in ("<s>", "</s>", *marks)])
    if bos is not None:
        unigram.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", special_tokens=[(bos, unigram.token_to_id(bos))]
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=unigram,
        bos_token=bos,
        eos_token="</s>",
        unk_token="<unk>",
        chat_template=template,
    )
