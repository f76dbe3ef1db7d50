"""The items of a training: which, in which order, and what is refused."""

from collections import Counter

import numpy as np
import polars as pl
import pytest

from mergelaw.data.encode import Encoder
from mergelaw.data.tokenizer import load_tokenizer
from mergelaw.errors import DataError
from mergelaw.experts import stage
from mergelaw.experts.text import TrainingText, joined, order_of, training_items, write_text
from tests.experts.making import encoded, settings_of
from tests.helpers import item_rows

PAIRS = [(f"What is {i} plus {i}?", f"Answer: {2 * i}") for i in range(10)]
LONG = [(f"{i} " * 50, "x") for i in range(3)]


def items_of(rows, tokenizer, max_length, truncate=True):
    return training_items(rows, Encoder(tokenizer, max_length), truncate=truncate, label="code")


def test_only_training_items_with_a_response_are_used(tokenizer):
    rows = pl.concat(
        [
            item_rows(PAIRS + LONG, "train"),
            item_rows([("held out", "x")]),
            item_rows([("of the base", "x")], "base"),
        ]
    )
    found = items_of(rows, tokenizer, 40)
    texts = [tokenizer.decode(item.input_ids[item.scored]) for item in found.items]
    assert sorted(texts) == sorted(f"{answer}<|end|>" for _, answer in PAIRS)
    assert (found.n_items_truncated, found.n_left_out) == (0, 3), "no response is left of these"
    places = dict(zip(rows["plain"], rows["place"], strict=True))
    wanted = [
        places[tokenizer.decode(i.input_ids[~i.scored]).split("<|user|>")[1].split("<|")[0]]
        for i in found.items
    ]
    assert found.places == wanted
    with pytest.raises(DataError, match="max_length = 4"):
        items_of(rows, tokenizer, 4)


def test_longer_items_are_an_error_unless_they_may_be_cut(tokenizer):
    rows = item_rows(PAIRS + LONG, "train")
    with pytest.raises(DataError) as caught:
        items_of(rows, tokenizer, 40, truncate=False)
    words = str(caught.value)
    assert "3 of 13 training items are longer than training.expert.max_length = 40" in words
    assert "training.expert.truncate: true" in words
    assert all(f"pairs[{i}]" in words for i in (10, 11, 12))
    whole = items_of(rows, tokenizer, 400, truncate=False)
    longest = max(len(item.input_ids) for item in whole.items)
    assert f"the longest has {longest}" in words
    cut = items_of(rows, tokenizer, longest - 1)
    assert cut.n_items_truncated >= 1
    assert cut.n_truncated == sum(len(i.input_ids) for i in whole.items) - sum(
        len(i.input_ids) for i in cut.items
    )


def test_the_first_response_token_is_trained(tokenizer):
    (item,) = items_of(item_rows([("Say yes.", "yes indeed")], "train"), tokenizer, 64).items
    first = int(np.flatnonzero(item.scored)[0])
    assert tokenizer.decode(item.input_ids[first:]) == "yes indeed<|end|>"
    assert item.scored[first:].all()


def test_rounds_take_every_item_once_in_another_order():
    order = order_of(10, 25, "0/expert/code").tolist()
    assert sorted(order[:10]) == sorted(order[10:20]) == list(range(10))
    assert order[:10] != order[10:20]
    assert order == order_of(10, 25, "0/expert/code").tolist()
    assert order != order_of(10, 25, "1/expert/code").tolist()
    assert len(set(order_of(2, 5, "x").tolist())) == 2, "a batch may be longer than the domain"


def test_a_joined_order_has_every_item_as_often_as_the_experts_see_it():
    parts = [(3, order_of(3, 8, "a")), (5, order_of(5, 12, "b"))]
    order = joined(parts, "both")
    wanted = Counter(parts[0][1].tolist()) + Counter((parts[1][1] + 3).tolist())
    assert Counter(order.tolist()) == wanted
    assert order.tolist() == joined(parts, "both").tolist() != joined(parts, "else").tolist()
    apart = np.concatenate([parts[0][1], parts[1][1] + 3])
    assert order.tolist() != apart.tolist(), "the domains are mixed"


def test_a_text_is_read_step_by_step(tmp_path):
    items = encoded(6, 3, 8)
    order = np.asarray([2, 0, 1, 2, 1, 0])
    write_text(tmp_path / "text.safetensors", items, ["a", "b", "c"], order)
    text = TrainingText(tmp_path / "text.safetensors", 2)
    assert text.places == ["a", "b", "c"]
    for step, numbers in enumerate(([2, 0], [1, 2], [1, 0])):
        assert text.numbers(step) == numbers
        for found, number in zip(text.items(step), numbers, strict=True):
            assert found.input_ids.tolist() == items[number].input_ids.tolist()
            assert found.scored.tolist() == items[number].scored.tolist()
            assert found.scored.dtype == bool


@pytest.mark.parametrize(
    ("changes", "n_items", "steps"),
    [
        ({"steps": 7}, 100, 7),
        ({"epochs": 2, "batch_rows": 16}, 20_000, 2500),
        ({"epochs": 0.5, "batch_rows": 4}, 9, 2),
        ({"epochs": 0.01, "batch_rows": 4}, 9, 1),
    ],
)
def test_steps_are_given_or_follow_from_rounds(changes, n_items, steps):
    assert settings_of(**changes).n_steps(n_items) == steps


def test_experts_are_trained_after_the_study_s_system_turn(own_copy, monkeypatch):
    study, paths = own_copy
    given = load_tokenizer(paths.tokenizer)
    given.chat_template = given.chat_template.replace("['user',", "['system', 'user',")
    given.save_pretrained(paths.tokenizer)
    told = []

    def remember(study, paths, size, expert, settings, material):
        told.extend(material().items)
        return paths.trained(size, expert)

    monkeypatch.setattr(stage, "_train", remember)
    settings = study.tokenizer.model_copy(update={"system": "Be brief."})
    for changed in (study, study.model_copy(update={"tokenizer": settings})):
        stage.train_expert(changed, paths, "small", "code")
    texts = [given.decode(item.input_ids) for item in told]
    begins = [text.startswith("<|system|>Be brief.<|user|>") for text in texts]
    assert 0 < sum(begins) < len(texts)
    assert begins == sorted(begins), "those of the second study only"
