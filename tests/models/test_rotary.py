"""Rotary positions that follow the longest text of a batch: no loss may depend on its batch."""

import copy
from types import SimpleNamespace

import numpy as np
import pytest

from mergelaw.data.encode import Encoded
from mergelaw.errors import DataError
from mergelaw.evaluation.loss import item_nll, make_batches
from mergelaw.evaluation.shards import EvalShard
from mergelaw.evaluation.text import EvalText, check_vocabulary
from mergelaw.models.rotary import Stretch, stretch_of
from tests.evaluation.families import family
from tests.helpers import naive_nll

LIMIT = 24
LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 10_000.0,
    "short_factor": [1.0] * 4,
    "long_factor": [1.0, 3.0, 9.0, 27.0],
}
DYNAMIC = {"rope_type": "dynamic", "rope_theta": 10_000.0, "factor": 4.0}
SHAPES = {
    "longrope": (
        "phi3",
        {"rope_parameters": LONGROPE, "original_max_position_embeddings": LIMIT},
    ),
    "dynamic": ("llama", {"rope_parameters": DYNAMIC, "max_position_embeddings": LIMIT}),
}
LENGTHS = (5, 60, 41, LIMIT + 1, LIMIT, LIMIT, LIMIT - 1, 17, 9, 30)


def stretching(kind):
    name, settings = SHAPES[kind]
    return family(name, **copy.deepcopy(settings))


def text_of(lengths, batch_tokens):
    draw = np.random.default_rng(3)
    items = tuple(
        Encoded(draw.integers(0, 300, n, dtype=np.int32), np.arange(n) > 0, 0) for n in lengths
    )
    places = tuple(f"a.json[{i}]" for i in range(len(items)))
    shard = EvalShard("a", items, places, 0, {"vocabulary": "x", "marks": "{}"})
    return EvalText.of([shard], batch_tokens)


def scored(model, text):
    return item_nll(model, text.batches, text.n_items)


def naive(model, text):
    """Each item by a model that has seen no other."""
    (shard,) = text.shards
    return [naive_nll(copy.deepcopy(model), i.input_ids, i.scored) for i in shard.items]


@pytest.mark.parametrize("kind", SHAPES)
def test_batches_across_the_limit_are_refused(kind):
    text = text_of(LENGTHS, 400)
    with pytest.raises(DataError) as caught:
        check_vocabulary(text, [], stretching(kind))
    (problem,) = str(caught.value).splitlines()[1:]
    assert problem.startswith(
        "  - item 1 of domain 'a' (a.json[1]) has 60 tokens, and the model's rotary positions "
        f"({kind}) are others in a batch of more than {LIMIT}, "
    )
    assert f"evaluation.max_length = {LIMIT} or less" in problem
    assert f"evaluation.batch_tokens = {2 * LIMIT} or less" in problem


@pytest.mark.parametrize("kind", SHAPES)
def test_what_is_refused_would_be_wrong(kind):
    model = stretching(kind)
    wrong = scored(model, text_of(LENGTHS, 400))
    assert np.abs(wrong - naive(model, text_of(LENGTHS, 1))).max() > 0.01


@pytest.mark.parametrize("batch_tokens", [1, 2 * LIMIT])
@pytest.mark.parametrize("kind", SHAPES)
def test_longer_items_alone_have_their_own_losses(kind, batch_tokens):
    model, text = stretching(kind), text_of(LENGTHS, batch_tokens)
    check_vocabulary(text, [], model)
    expected = naive(model, text)
    np.testing.assert_allclose(scored(model, text), expected, rtol=1e-5)
    np.testing.assert_allclose(scored(model, text), expected, rtol=1e-5, err_msg="once more")


@pytest.mark.parametrize("kind", SHAPES)
def test_an_item_s_loss_does_not_depend_on_those_before_it(kind):
    """A part of the text, in another order, after the longest item."""
    model, text = stretching(kind), text_of(LENGTHS, 1)
    expected, (shard,) = naive(model, text), text.shards
    for index in (1, 3, 4, 2, 0):
        (found,) = item_nll(model, make_batches([shard.items[index]], 1), 1)
        assert found == pytest.approx(expected[index], rel=1e-5), LENGTHS[index]


@pytest.mark.parametrize("kind", SHAPES)
def test_shorter_text_is_scored_in_batches(kind):
    model, text = stretching(kind), text_of([n for n in LENGTHS if n <= LIMIT], 400)
    check_vocabulary(text, [], model)
    assert len(text.batches) == 1
    np.testing.assert_allclose(scored(model, text), naive(model, text), rtol=1e-5)


def model_of(**config):
    return SimpleNamespace(
        config=SimpleNamespace(get_text_config=lambda: SimpleNamespace(**config))
    )


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, None),
        ({"rope_parameters": None}, None),
        ({"rope_parameters": {"rope_type": "yarn"}, "max_position_embeddings": 9}, None),
        (
            {"rope_scaling": {"type": "longrope"}, "original_max_position_embeddings": 7},
            Stretch("longrope", 7),
        ),
        (
            {"rope_scaling": {"type": "dynamic", "factor": 2.0}, "max_position_embeddings": 9},
            Stretch("dynamic", 9),
        ),
        (
            {
                "rope_parameters": {
                    "full_attention": {
                        "rope_type": "longrope",
                        "original_max_position_embeddings": 5,
                    },
                    "sliding_attention": {"rope_type": "dynamic"},
                    "linear_attention": None,
                },
                "max_position_embeddings": 9,
            },
            Stretch("longrope", 5),
        ),
    ],
)
def test_the_config_tells_where_frequencies_change(config, expected):
    assert stretch_of(model_of(**config)) == expected
