"""Prepared shards: held-out items in digest order up to the budget; whole on disk or refused."""

import json

import numpy as np
import polars as pl
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from mergelaw.data.digests import vocabulary_digest
from mergelaw.data.encode import BLOCK, Encoder
from mergelaw.data.tokenizer import load_tokenizer
from mergelaw.errors import DataError
from mergelaw.evaluation.prepared import read_shards, write_shards
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


def shard(tokenizer, budget=400, items=ALL, max_length=96, **settings):
    encoder = Encoder(tokenizer, max_length, **settings)
    return prepare_shard("algebra", items, encoder, budget, encoder.keys())


def same(one, two) -> bool:
    return len(one) == len(two) and all(
        np.array_equal(a.input_ids, b.input_ids)
        and np.array_equal(a.scored, b.scored)
        and a.n_truncated == b.n_truncated
        for a, b in zip(one, two, strict=True)
    )


def test_items_are_drawn_in_the_order_of_their_digests(tokenizer):
    rows = HELDOUT.sort("item_id").to_dicts()
    expected = list(Encoder(tokenizer, 96).encode(rows))
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
    pairs = zip(cut.items, whole.items, strict=True)
    shorter = [a for a, b in pairs if len(a.input_ids) < len(b.input_ids)]
    assert 0 < len(shorter) < len(cut.items)
    assert cut.contents()["n_items_truncated"] == len(shorter)
    assert whole.contents()["n_items_truncated"] == 0
    assert whole.contents()["n_truncated"] == 0
    assert whole.contents()["n_tokens"] == cut.contents()["n_tokens"] + lost
    assert cut.n_tokens.tolist() == [int(item.scored.sum()) for item in cut.items]
    every = shard(tokenizer, 10**6, scored="all")
    assert every.n_tokens.tolist() == [len(item.input_ids) - 1 for item in every.items]


def test_items_tell_where_they_were_read(tokenizer):
    drawn = shard(tokenizer, 10**6)
    rows = HELDOUT.sort("item_id").to_dicts()
    assert drawn.sources == tuple(row["place"] for row in rows)
    half = shard(tokenizer, 10**6, pl.concat([HELDOUT[::2], item_rows([("7 " * 99, "x")])]))
    assert half.n_skipped == 1
    places = {row["messages"][0]["content"]: row["place"] for row in rows}
    for item, place in zip(half.items, half.sources, strict=True):
        text = tokenizer.decode(item.input_ids[~item.scored])
        assert places[text.removeprefix("<|user|>").removesuffix("<|assistant|>")] == place


def test_a_budget_beyond_one_block_is_drawn_in_order(tokenizer):
    pairs = [(f"What is {i}?", str(i)) for i in range(2 * BLOCK + 5)]
    items = item_rows(pairs)
    drawn = shard(tokenizer, 10**6, items)
    assert drawn.sources == tuple(items.sort("item_id")["place"])


def test_a_broken_item_is_named(tokenizer):
    rows = HELDOUT.head(3).to_dicts()
    rows[1]["messages"][0]["role"] = "tool"
    rows[1]["place"] = "talk.jsonl:2"
    with pytest.raises(DataError, match=r"talk\.jsonl:2: the chat template fails"):
        shard(tokenizer, items=pl.DataFrame(rows, schema=HELDOUT.schema))


def test_a_shard_comes_back_and_is_equal_bytes(tokenizer, tmp_path):
    drawn = shard(tokenizer, max_length=24)
    for name in ("one", "two"):
        write_shard(tmp_path / name, drawn)
    back = read_shard(tmp_path / "one")
    assert (back.domain, back.vocabulary) == ("algebra", vocabulary_digest(tokenizer))
    assert (back.sources, back.keys) == (drawn.sources, drawn.keys)
    assert (back.n_skipped, back.contents()) == (drawn.n_skipped, drawn.contents())
    assert same(back.items, drawn.items)
    assert back.items[0].scored.dtype == np.bool_
    assert back.items[0].input_ids.dtype == np.int32
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_any_flipped_bit_and_any_cut_is_refused(tokenizer, tmp_path):
    path = tmp_path / "algebra.safetensors"
    write_shard(path, shard(tokenizer, 40))
    whole = path.read_bytes()
    read_shard(path)
    for place in range(len(whole)):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << place % 8
        path.write_bytes(flipped)
        with pytest.raises(
            DataError, match=r"algebra\.safetensors: .*make it again \(mergelaw data"
        ):
            read_shard(path)
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match="is not a prepared shard"):
            read_shard(path)


def test_a_missing_shard_is_named_with_the_command_that_makes_it(tmp_path):
    with pytest.raises(DataError) as caught:
        read_shard(tmp_path / "algebra.safetensors")
    assert str(caught.value) == (
        f"{tmp_path}/algebra.safetensors: is missing; make it (mergelaw data shards --config FILE)"
    )


def test_a_foreign_file_is_refused(tokenizer, tmp_path):
    path = tmp_path / "shard.safetensors"
    write_shard(path, shard(tokenizer))
    tensors = load_file(path)
    with safe_open(path, "numpy") as file:
        facts = json.loads(file.metadata()["mergelaw"])
    former = ["algebra", "digest", 0]  # the metadata of an older version
    for metadata in (None, {"other": "x"}, *({"mergelaw": json.dumps(m)} for m in (former, {}, 7))):
        save_file(tensors, path, metadata)
        with pytest.raises(DataError, match="is not a prepared shard of this version; make it"):
            read_shard(path)
    for name in tensors:
        rest = {key: tensor for key, tensor in tensors.items() if key != name}
        save_file(rest, path, {"mergelaw": json.dumps(facts)})
        with pytest.raises(DataError, match="is not a prepared shard"):
            read_shard(path)


def test_keys_tell_what_a_shard_was_made_of(tokenizer):
    def changed(one, other):
        return {name for name in one.keys if one.keys[name] != other.keys[name]}

    drawn = shard(tokenizer)
    assert set(drawn.keys) == {"vocabulary", "marks", "tokenizer", "template", "data"}
    assert changed(drawn, shard(tokenizer, items=ALL.reverse())) == set()
    assert changed(drawn, shard(tokenizer, 10**6)) == {"data"}
    assert changed(drawn, shard(tokenizer, max_length=95)) == {"template"}
    moved = ALL.with_columns(place=pl.lit("elsewhere.json[0]"))
    assert changed(drawn, shard(tokenizer, items=moved)) == set(), "a place is no text"
    first = drawn.sources[0]
    other = [r | {"plain": r["plain"] + "!" * (r["place"] == first)} for r in ALL.to_dicts()]
    assert changed(drawn, shard(tokenizer, items=pl.DataFrame(other, schema=ALL.schema))) == {
        "data"
    }


def test_the_stage_s_shards_are_of_the_study_s_tokenizer_in_the_config_s_order(trained):
    study, paths = trained
    shards = read_shards(study, paths)
    assert [s.domain for s in shards] == list(study.domain_names)
    tokenizer = load_tokenizer(paths.tokenizer)
    assert {s.vocabulary for s in shards} == {vocabulary_digest(tokenizer)}
    for drawn in shards:
        assert all(source.startswith(f"{drawn.domain}[") for source in drawn.sources)


def test_the_stage_puts_the_study_s_system_turn_before_every_item(own_copy):
    study, paths = own_copy
    tokenizer = load_tokenizer(paths.tokenizer)
    tokenizer.chat_template = tokenizer.chat_template.replace("['user',", "['system', 'user',")
    tokenizer.save_pretrained(paths.tokenizer)
    before = study.model_copy(
        update={"evaluation": study.evaluation.model_copy(update={"max_length": 10_000})}
    )
    system = study.tokenizer.model_copy(update={"system": "Be brief."})
    shards = []
    for changed in (before, before.model_copy(update={"tokenizer": system})):
        write_shards(changed, paths)
        shards.append(read_shards(changed, paths))
    for one, other in zip(*shards, strict=True):
        assert one.sources[0] == other.sources[0], "the items and their order stay"
        told = tokenizer.decode(other.items[0].input_ids)
        assert told == "<|system|>Be brief." + tokenizer.decode(one.items[0].input_ids)
        assert other.n_tokens[0] == one.n_tokens[0], "it is not scored"
