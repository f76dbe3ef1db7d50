"""Prepared shards: held-out items in digest order up to the budget; whole on disk or refused."""

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import load_file, save_file

from mergelaw.config.models import Evaluation
from mergelaw.data.encode import encode
from mergelaw.data.tokenizer import vocabulary_digest
from mergelaw.errors import DataError
from mergelaw.evaluation.prepared import read_shards
from mergelaw.evaluation.shards import prepare_shard, read_shard, write_shard
from tests.helpers import item_rows

PAIRS = [
    (f"What is {i} plus {i}?", "Add the numbers. " * (i % 4) + f"Answer: {2 * i}")
    for i in range(60)
]
HELDOUT = item_rows(PAIRS)
ALL = pl.concat(
    [
        HELDOUT,
        item_rows([("A problem of the train side", "x")], "train"),
        item_rows([("A problem of the base side", "x")], "base"),
    ]
)


def shard(tokenizer, budget=400, items=ALL, **settings):
    evaluation = Evaluation(
        tokens_per_domain=budget, max_length=settings.pop("max_length", 96), **settings
    )
    return prepare_shard("algebra", items, tokenizer, evaluation, "digest")


def same(one, two) -> bool:
    return len(one) == len(two) and all(
        np.array_equal(a.input_ids, b.input_ids)
        and np.array_equal(a.scored, b.scored)
        and a.n_truncated == b.n_truncated
        for a, b in zip(one, two, strict=True)
    )


def test_items_are_drawn_in_the_order_of_their_digests(tokenizer):
    rows = HELDOUT.sort("item_id").to_dicts()
    expected = [encode(tokenizer, row["messages"], "", 96) for row in rows]
    drawn = shard(tokenizer).items
    assert 3 < len(drawn) < len(PAIRS)
    assert same(drawn, expected[: len(drawn)])
    assert same(shard(tokenizer, items=ALL.reverse()).items, drawn), "in any order of rows"


def test_the_budget_is_reached_by_the_last_item(tokenizer):
    for budget in (1, 100, 400):
        lengths = [len(item.input_ids) for item in shard(tokenizer, budget).items]
        assert sum(lengths[:-1]) < budget <= sum(lengths)


def test_a_larger_budget_only_appends(tokenizer):
    small, large = shard(tokenizer, 300).items, shard(tokenizer, 900).items
    assert len(small) < len(large)
    assert same(small, large[: len(small)])


def test_only_held_out_items_are_drawn(tokenizer):
    everything = shard(tokenizer, 10**6).items
    assert len(everything) == len(PAIRS)
    text = "".join(tokenizer.decode(item.input_ids) for item in everything)
    assert "side" not in text


def test_items_without_a_scored_token_are_skipped_and_cost_no_budget(tokenizer):
    long = item_rows([(f"{i} " * 40, "x") for i in range(30)])  # the prompt alone fills 30 tokens
    mixed = shard(tokenizer, 300, pl.concat([long, HELDOUT]), max_length=30)
    pure = shard(tokenizer, 300, HELDOUT, max_length=30)
    assert same(mixed.items, pure.items)
    assert all(item.scored.any() for item in mixed.items)
    with pytest.raises(
        DataError, match=r"domain 'algebra': no held-out item .* evaluation.max_length = 30"
    ):
        shard(tokenizer, 300, long, max_length=30)


def test_scored_tokens_and_truncation_are_counted(tokenizer):
    cut = shard(tokenizer, 10**6, max_length=24)
    whole = shard(tokenizer, 10**6)
    lost = sum(len(item.input_ids) for item in whole.items) - sum(
        len(i.input_ids) for i in cut.items
    )
    assert cut.contents()["n_truncated"] == lost
    assert lost > 0
    assert whole.contents()["n_truncated"] == 0
    assert whole.contents()["n_tokens"] == cut.contents()["n_tokens"] + lost
    assert cut.n_tokens.tolist() == [int(item.scored.sum()) for item in cut.items]
    every = shard(tokenizer, 10**6, scored="all")
    assert every.n_tokens.tolist() == [len(item.input_ids) - 1 for item in every.items]


def test_a_shard_comes_back_and_is_equal_bytes(tokenizer, tmp_path):
    drawn = shard(tokenizer, max_length=24)
    for name in ("one", "two"):
        write_shard(tmp_path / name, drawn)
    back = read_shard(tmp_path / "one")
    assert (back.domain, back.vocabulary) == ("algebra", "digest")
    assert same(back.items, drawn.items)
    assert back.items[0].scored.dtype == np.bool_
    assert back.items[0].input_ids.dtype == np.int32
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_a_broken_file_is_refused(tokenizer, tmp_path):
    path = tmp_path / "shard.safetensors"
    with pytest.raises(DataError, match="is not a prepared shard"):
        read_shard(path)
    write_shard(path, shard(tokenizer))
    whole, tensors = path.read_bytes(), load_file(path)
    path.write_bytes(whole[:-3])
    with pytest.raises(DataError, match="is not a prepared shard"):
        read_shard(path)
    save_file(tensors, path)  # without its metadata
    with pytest.raises(DataError, match="is not a prepared shard"):
        read_shard(path)
    del tensors["lengths"]
    save_file(tensors, path)
    with pytest.raises(DataError, match="is not a prepared shard"):
        read_shard(path)


def test_the_stage_s_shards_are_of_the_study_s_tokenizer_in_the_config_s_order(trained):
    from mergelaw.data.tokenizer import load_tokenizer

    study, paths = trained
    shards = read_shards(study, paths)
    assert [s.domain for s in shards] == list(study.domain_names)
    assert {s.vocabulary for s in shards} == {vocabulary_digest(load_tokenizer(paths.tokenizer))}
