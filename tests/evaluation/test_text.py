"""The text of all domains: items by name, and whether checkpoints can be scored on it."""

import json

import pytest

from mergelaw.data.encode import Encoder
from mergelaw.errors import DataError
from mergelaw.evaluation.shards import prepare_shard
from mergelaw.evaluation.text import EvalText, check_vocabulary
from tests.helpers import item_rows, tiny_model


def text_of(tokenizer, **domains):
    encoder = Encoder(tokenizer, 96)
    shards = [
        prepare_shard(name, item_rows(pairs), encoder, 10**6, encoder.keys())
        for name, pairs in domains.items()
    ]
    return EvalText.of(shards, 512)


@pytest.fixture(scope="module")
def text(tokenizer):
    return text_of(
        tokenizer,
        sums=[(f"{i} + {i}?", "It is so. " * i + str(2 * i)) for i in range(6)],
        words=[(f"Word {i}?", "yes") for i in range(3)],
    )


def problems(*arguments) -> list[str]:
    with pytest.raises(DataError) as caught:
        check_vocabulary(*arguments)
    headline, *lines = str(caught.value).splitlines()
    assert headline.startswith("the evaluation text does not fit these checkpoints: ")
    return [line.removeprefix("  - ") for line in lines]


def longest(text) -> int:
    return max(len(item.input_ids) for shard in text.shards for item in shard.items)


def test_an_item_is_named_by_domain_number_and_place(text):
    sums, words = text.shards
    names = [text.item_source(index) for index in range(text.n_items)]
    assert names == [
        *(f"item {i} of domain 'sums' ({place})" for i, place in enumerate(sums.sources)),
        *(f"item {i} of domain 'words' ({place})" for i, place in enumerate(words.sources)),
    ]
    assert set(sums.sources) == {f"pairs[{i}]" for i in range(6)}
    with pytest.raises(IndexError):
        text.item_source(text.n_items)


def test_text_that_fits_is_let_through(text, tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path / "one")
    model = tiny_model("Qwen2", vocab_size=400, max_position_embeddings=longest(text))
    check_vocabulary(text, [tmp_path / "one", tmp_path / "without"], model)
    model.config.max_position_embeddings -= 1
    assert len(problems(text, [tmp_path / "one", tmp_path / "without"], model)) == 1


def test_an_item_beyond_the_context_is_named_with_the_way_out(text):
    length = longest(text)
    model = tiny_model("Qwen2", vocab_size=400, max_position_embeddings=length - 1)
    items = text.shards[0].items
    (index,) = [i for i, item in enumerate(items) if len(item.input_ids) == length]
    assert problems(text, [], model) == [
        f"item {index} of domain 'sums' (pairs[5]) has {length} tokens, the model's context "
        f"(max_position_embeddings) {length - 1}: prepare the text with "
        f"evaluation.max_length = {length - 1} or less"
    ]


def test_a_model_without_a_limit_takes_any_length(text):
    model = tiny_model("Qwen2", vocab_size=400)
    model.config.max_position_embeddings = longest(text) - 1
    assert len(problems(text, [], model)) == 1
    del model.config.max_position_embeddings
    check_vocabulary(text, [], model)


def edit_tokenizer(folder, old: str, new: str):
    file = folder / "tokenizer.json"
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")
    return str(file)


def test_every_checkpoint_with_another_vocabulary_is_named(text, tokenizer, tmp_path):
    for name in ("same", "again", "trained", "mark"):
        tokenizer.save_pretrained(tmp_path / name)
    first, second = (json.dumps(tokenizer.convert_ids_to_tokens(place)) for place in (60, 61))
    expected = [
        edit_tokenizer(tmp_path / "trained", f"{first}: 60,", f"{first}: 61,"),
        edit_tokenizer(tmp_path / "mark", "<|user|>", "<|human|>"),
    ]
    edit_tokenizer(tmp_path / "trained", f"{second}: 61,", f"{second}: 60,")
    model = tiny_model("Qwen2", vocab_size=400)
    folders = [tmp_path / name for name in ("same", "again", "trained", "mark", "without")]
    assert [line.partition(":")[0] for line in problems(text, folders, model)] == expected


def test_added_tokens_that_the_text_lacks_may_have_other_names(text, tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path / "renamed")
    file = edit_tokenizer(tmp_path / "renamed", "<|pad|>", "<|spare|>")
    model = tiny_model("Qwen2", vocab_size=400)
    check_vocabulary(text, [tmp_path / "renamed"], model)
    edit_tokenizer(tmp_path / "renamed", "<|user|>", "<|human|>")
    [line] = problems(text, [tmp_path / "renamed"], model)
    assert line.startswith(file), "one that the text uses may not"


def test_a_token_without_an_embedding_is_named_beside_the_rest(text):
    model = tiny_model("Qwen2", vocab_size=300, max_position_embeddings=8)
    missing, too_long = problems(text, [], model)
    largest = max(int(i.input_ids.max()) for shard in text.shards for i in shard.items)
    assert missing == f"the text has token {largest}, the model 300 embeddings"
    assert "has " in too_long


def test_a_broken_tokenizer_is_named(text, tmp_path):
    (tmp_path / "tokenizer.json").write_text('{"model": ')
    with pytest.raises(DataError, match=r"tokenizer.json: is not a tokenizer .*; copy it"):
        check_vocabulary(text, [tmp_path], tiny_model("Qwen2", vocab_size=400))
