"""Pre-training text: the mixture asked for, exactly the tokens asked for, the same each time."""

import itertools

import numpy as np
import polars as pl
import pytest

from mergelaw.data.pretraining import documents, token_stream, tokenizer_texts
from mergelaw.data.stage import read_pretraining
from mergelaw.errors import DataError
from mergelaw.tables import ITEMS
from tests.helpers import item_rows, study_of

N = 4000
BASE = [f"Document number {i}." for i in range(50)]


def items(split: str = "base") -> pl.DataFrame:
    other = [item_rows([(f"{side} text", "response")], side) for side in ("train", "heldout")]
    return pl.concat([item_rows([(text, "response") for text in BASE], split), *other])


def drawn(share: float, n: int = N) -> list[str]:
    return list(itertools.islice(documents(study_of(("data.generic_share", share)), items()), n))


@pytest.mark.parametrize("share", [0.2, 0.7])
def test_the_share_of_generic_documents(share):
    texts = drawn(share)
    generic = sum(text not in BASE for text in texts)
    assert generic / N == pytest.approx(share, abs=4 * (share * (1 - share) / N) ** 0.5)
    assert not {"train text", "heldout text"} & set(texts), "only the base side is used"


def test_no_or_only_generic_documents():
    assert set(drawn(0.0, 200)) == set(BASE)
    assert not set(drawn(1.0)) & set(BASE)
    study = study_of(("data.generic_share", 1.0))
    assert len(token_stream(study, pl.DataFrame(schema=dict(ITEMS)), FakeTokenizer(), 10)) == 10


def test_domain_documents_come_in_rounds_of_another_order():
    texts = drawn(0.0, 150)
    rounds = [texts[i : i + 50] for i in (0, 50, 100)]
    assert all(sorted(r) == sorted(BASE) for r in rounds)
    assert rounds[0] != rounds[1] != rounds[2]


class FakeTokenizer:
    """Every character is a token; the end token is 7."""

    eos_token_id = 7

    def __call__(self, block, add_special_tokens):
        assert add_special_tokens is False
        return {"input_ids": [[ord(c) + 100 for c in text] for text in block]}


@pytest.mark.parametrize("n", [1, 1000, 30_001])
def test_the_stream_is_the_documents_closed_by_end_tokens(n):
    study = study_of()
    stream = token_stream(study, items(), FakeTokenizer(), n)
    text = "\x07".join(itertools.islice(documents(study, items()), N)) + "\x07"
    assert stream.dtype == np.int32
    assert "".join(chr(t if t == 7 else t - 100) for t in stream) == text[:n]


def test_the_same_again_and_another_with_another_seed():
    first, again = (token_stream(study_of(), items(), FakeTokenizer(), 5000) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    other = token_stream(study_of(("seed", 1)), items(), FakeTokenizer(), 5000)
    assert (first != other).any()


def test_a_shorter_stream_is_the_start_of_a_longer_one():
    short, long = (token_stream(study_of(), items(), FakeTokenizer(), n) for n in (5000, 90_000))
    np.testing.assert_array_equal(short, long[:5000])


def test_no_base_items_and_no_end_token_are_refused():
    with pytest.raises(DataError, match="no items are left for pre-training"):
        token_stream(study_of(), items("train"), FakeTokenizer(), 5000)
    endless = FakeTokenizer()
    endless.eos_token_id = None
    with pytest.raises(DataError, match="eos_token"):
        token_stream(study_of(), items(), endless, 10)


def test_the_tokenizer_never_sees_held_out_text():
    texts = list(tokenizer_texts(study_of(), items()))
    assert {*BASE, "train text", "response"} <= set(texts)
    assert "heldout text" not in texts
    assert texts == list(tokenizer_texts(study_of(), items().reverse())), "in any order of items"


def test_the_stage_writes_what_the_hungriest_base_needs(trained):
    study, paths = trained
    settings = study.training.base
    assert read_pretraining(paths).shape == (settings.steps * settings.batch_rows * 96,)
