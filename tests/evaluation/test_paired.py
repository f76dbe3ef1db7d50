"""Differences of two models: exact on all items, honest and cheaper when a measurement stops."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from mergelaw.data.encode import Encoder
from mergelaw.errors import CheckpointError, DataError, TableError
from mergelaw.evaluation.checkpoint import (
    SCORES,
    SCORES_KEY,
    Origin,
    Score,
    read_text,
    score_checkpoint,
    score_model,
    write_scores,
)
from mergelaw.evaluation.estimator import Difference, DomainDifference, domain_difference
from mergelaw.evaluation.paired import (
    FIRST,
    compare_checkpoints,
    model_scorer,
    paired_difference,
    table_scorer,
)
from mergelaw.evaluation.shards import EvalShard, prepare_shard, write_shard
from mergelaw.evaluation.text import EvalText
from mergelaw.models.loading import load_model
from mergelaw.tables import read_table, write_table
from tests.evaluation.families import family, random_items
from tests.helpers import item_rows, tiny_model


def shard(domain, items):
    sources = tuple(f"{domain}.json[{i}]" for i in range(len(items)))
    return EvalShard(domain, tuple(items), sources, 0, {"vocabulary": "x", "marks": "{}"})


def scored_items(n, seed, longest=40):
    return [item for item in random_items(3 * n, seed, longest) if item.scored.any()][:n]


# --- the estimator ---


def test_a_ratio_of_sums_with_its_textbook_error():
    """Computed by hand: d = 1, 3, 2 and n = 1, 2, 1 of five items with ten tokens."""
    found = domain_difference("code", np.array([1.0, 3.0, 2.0]), np.array([1, 2, 1, 4, 2]))
    residuals = (-0.5, 0.0, 0.5)
    variance = (1 - 3 / 5) / 3 * sum(r * r for r in residuals) / 2 / (4 / 3) ** 2
    assert found.standard_error == pytest.approx(math.sqrt(variance))
    assert found == DomainDifference("code", 1.5, found.standard_error, 3, 4, 5, 10)


def test_all_items_leave_no_error():
    counts = np.array([3, 1, 2])
    found = domain_difference("code", np.array([1.0, -2.0, 4.0]), counts)
    assert (found.difference, found.standard_error) == (0.5, 0.0)
    assert domain_difference("code", np.array([6.0]), counts[:1]).standard_error == 0.0


def test_macro_is_the_mean_over_domains_whatever_their_tokens():
    parts = [
        DomainDifference("a", 1.0, 0.3, 3, 30, 9, 90),
        DomainDifference("b", 2.0, 0.4, 5, 5000, 5, 5000),
    ]
    found = Difference.of(parts)
    assert (found.difference, found.stopped) == (1.5, True)
    assert found.standard_error == pytest.approx(0.25)
    assert not Difference.of(parts[1:]).stopped


@pytest.mark.parametrize("n_domains", [1, 3])
@pytest.mark.parametrize("kind", ["normal", "t"])
def test_intervals_of_stopped_measurements_hold_the_truth(kind, n_domains):
    """95% are nominal: looking again and again must not take more than 4%, nor may they be wide."""
    draw, hits, used, n = np.random.default_rng(5), 0, [], 300
    base = shard("x", scored_items(1, 0))
    for _ in range(1500):
        noise = draw.standard_normal((n_domains, n))
        if kind == "t":
            noise = draw.standard_t(3, (n_domains, n)) / math.sqrt(3)
        counts = draw.integers(5, 200, (n_domains, n))
        sums = counts * (0.02 + 0.1 * noise)
        text = FakeText([Counted(base, row) for row in counts])
        truth = (sums.sum(1) / counts.sum(1)).mean()
        scorer = sums.ravel().__getitem__
        found = paired_difference(scorer, lambda i: np.zeros(len(i)), text, 0.013 / n_domains**0.5)
        assert found.stopped
        hits += abs(found.difference - truth) <= 1.96 * found.standard_error
        used += [part.n_items / part.of_items for part in found.domains]
    assert 0.91 < hits / 1500 < 0.97
    assert np.mean(used) < 0.5


class Counted:
    """What `paired_difference` asks of a shard."""

    def __init__(self, base, counts):
        self.domain, self.n_tokens, self.items = base.domain, counts, range(len(counts))


class FakeText:
    def __init__(self, shards):
        self.shards, self.n_items = shards, sum(len(shard.items) for shard in shards)


# --- models ---


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two like models, and shards of three domains, one of them small."""
    folder = tmp_path_factory.mktemp("paired")
    model = family("llama")
    model.save_pretrained(folder / "base")
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.02 * torch.randn_like(parameter)
    model.save_pretrained(folder / "expert")
    for seed, (domain, n) in enumerate({"algebra": 200, "code": 150, "physics": 20}.items()):
        write_shard(folder / f"{domain}.safetensors", shard(domain, scored_items(n, seed)))
    return folder


@pytest.fixture(scope="module")
def files(folder):
    return [folder / f"{name}.safetensors" for name in ("algebra", "code", "physics")]


@pytest.fixture(scope="module")
def losses(folder, files):
    """Scores of both models by the engine that scores all."""
    return {
        name: score_checkpoint(folder / name, files, "float32", 400) for name in ("expert", "base")
    }


@pytest.fixture(scope="module")
def exact(folder, files):
    return compare_checkpoints(folder / "expert", folder / "base", files, "float32", 400)


def test_by_default_all_items_count_and_the_difference_is_that_of_the_losses(exact, losses):
    assert not exact.stopped
    assert exact.standard_error == 0.0
    pairs = list(zip(losses["expert"], losses["base"], strict=True))
    for part, (one, other) in zip(exact.domains, pairs, strict=True):
        assert part.domain == one.domain
        assert part.difference == pytest.approx(one.loss - other.loss, abs=1e-6)
        assert (part.n_items, part.n_tokens) == (part.of_items, part.of_tokens)
        assert (part.of_items, part.of_tokens) == (len(one.item_n_tokens), one.n_tokens)
    macro = np.mean([one.loss - other.loss for one, other in pairs])
    assert exact.difference == pytest.approx(macro, abs=1e-6)


def test_a_stopped_measurement_uses_fewer_tokens_and_says_how_well_it_knows(folder, files, exact):
    goal = 0.012
    found = compare_checkpoints(folder / "expert", folder / "base", files, "float32", 400, goal)
    assert found.stopped
    assert 0 < found.standard_error <= goal
    assert sum(p.n_tokens for p in found.domains) < 0.7 * sum(p.of_tokens for p in found.domains)
    assert abs(found.difference - exact.difference) <= 3 * found.standard_error
    assert all(part.n_items >= min(FIRST, part.of_items) for part in found.domains)
    assert found.domains[2].standard_error == 0.0, "a small domain is scored in full"
    assert found.domains[2].difference == pytest.approx(exact.domains[2].difference, abs=1e-6)


def test_an_error_that_only_all_items_give(folder, files, exact):
    found = compare_checkpoints(folder / "expert", folder / "base", files, "float32", 400, 1e-9)
    assert not found.stopped
    assert found.standard_error == 0.0
    assert found.difference == pytest.approx(exact.difference, abs=1e-6)


def test_every_item_is_scored_once_and_rounds_grow(files):
    text = EvalText.of([shard("a", scored_items(90, 1)), shard("b", scored_items(40, 2))], 400)
    asked = []

    def one(indices):
        asked.append(list(indices))
        return np.random.default_rng(len(asked)).standard_normal(len(indices))

    paired_difference(one, lambda indices: np.zeros(len(indices)), text, 1e-9)
    assert [len(part) for part in asked] == [64, 16 + 8, 24, 18]
    assert asked[0] == [*range(32), *range(90, 122)]
    assert sorted(index for part in asked for index in part) == list(range(130))


def test_a_table_of_losses_stands_for_its_model(folder, files, losses, exact, tmp_path):
    path = tmp_path / "base.parquet"
    write_scores(path, losses["base"], Origin.of("base", "float32", read_text(files, 400)))
    found = compare_checkpoints(folder / "expert", path, files, "float32", 400)
    assert found == exact
    stopped = compare_checkpoints(folder / "expert", path, files, "float32", 400, 0.012)
    assert stopped.stopped


@pytest.fixture(scope="module")
def answered(tmp_path_factory, tokenizer):
    """A model, and two shards of one domain: the same answers to other questions."""
    folder = tmp_path_factory.mktemp("answered")
    tiny_model("Llama", vocab_size=400).save_pretrained(folder / "model")
    encoder = Encoder(tokenizer, 96)
    for name, question in (("sums", "2 + 1?"), ("words", "Two and one?")):
        rows = item_rows([(question, "It is 3."), (f"Again: {question}", "It is 3.")])
        drawn = prepare_shard("algebra", rows, encoder, 10**6, encoder.keys())
        write_shard(folder / f"{name}.safetensors", drawn)
    return folder


def against(folder, table, name, dtype="float32"):
    shard_path = folder / f"{name}.safetensors"
    return compare_checkpoints(folder / "model", table, [shard_path], dtype, 400)


def written(folder, path, name, dtype="float32"):
    """Write a model's losses; return the digest of their text."""
    files = [folder / f"{name}.safetensors"]
    scores = score_checkpoint(folder / "model", files, dtype, 400)
    origin = Origin.of("own/model", dtype, read_text(files, 400))
    write_scores(path, scores, origin)
    return origin.text["algebra"]


def test_losses_on_the_same_answers_to_other_questions_are_refused(answered, tmp_path):
    table = tmp_path / "t.parquet"
    digests = {name: written(answered, table, name) for name in ("words", "sums")}
    assert against(answered, table, "sums").difference == 0.0
    with pytest.raises(DataError) as caught:
        against(answered, table, "words")
    assert str(caught.value) == (
        f"{table} cannot be compared on this text: 1 problem\n"
        f"  - has losses on another text of domain 'algebra' (digest {digests['sums']}) than the "
        f"shard's (digest {digests['words']}): give the shard that it was scored on, or score "
        "own/model on this one"
    )


def test_losses_of_another_type_are_refused_beside_another_text(answered, tmp_path):
    table = tmp_path / "t.parquet"
    written(answered, table, "sums", "bfloat16")
    assert against(answered, table, "sums", "bfloat16").difference == 0.0
    with pytest.raises(DataError) as caught:
        against(answered, table, "words")
    _, text, dtype = str(caught.value).splitlines()
    assert "another text of domain 'algebra'" in text
    assert dtype == (
        "  - has losses in bfloat16, the other model is scored in float32: give --dtype bfloat16, "
        "or score own/model with --dtype float32"
    )


def test_a_table_that_does_not_say_what_it_is_of_is_refused(answered, tmp_path):
    table = tmp_path / "t.parquet"
    written(answered, table, "sums")
    write_table(table, read_table(table, SCORES), SCORES, SCORES_KEY, {"versions": "{}"})
    with pytest.raises(TableError, match=r"does not say of what text and dtype .* --out .*t\.parq"):
        against(answered, table, "sums")


def test_a_domain_that_a_table_lacks_is_named(folder, files, answered, tmp_path):
    table = tmp_path / "t.parquet"
    written(answered, table, "sums")
    with pytest.raises(DataError, match=r"1 problem\n  - has no losses on domain 'code'"):
        compare_checkpoints(folder / "base", table, files[1:2], "float32", 400)


def test_a_table_may_hold_more_domains_than_are_compared(folder, files, losses, tmp_path):
    table = tmp_path / "base.parquet"
    write_scores(table, losses["base"], Origin.of("base", "float32", read_text(files, 400)))
    (part,) = compare_checkpoints(folder / "base", table, files[1:2], "float32", 400).domains
    assert part.difference == pytest.approx(0.0, abs=1e-6)


def test_losses_on_other_items_are_refused(losses):
    text = EvalText.of([shard("algebra", scored_items(9, 1)), shard("geometry", ITEMS)], 400)
    with pytest.raises(DataError) as caught:
        table_scorer(losses["base"], text, "base.parquet")
    message = str(caught.value)
    assert message.startswith("base.parquet cannot be compared on this text: 2 problems")
    assert "has no losses on domain 'geometry'" in message
    assert "has losses on other items of domain 'algebra': 200 items, " in message


ITEMS = scored_items(4, 3)


def test_a_loss_that_is_not_finite_names_the_item_of_the_round(folder, files):
    model = load_model(folder / "base", torch.float32)
    text = EvalText.of([shard("a", scored_items(50, 1)), shard("b", scored_items(50, 2))], 400)
    bad = int(text.shards[1].items[40].input_ids[0])
    text = replace(text, shards=(without(text.shards[0], bad), text.shards[1]))
    with torch.no_grad():
        model.model.embed_tokens.weight[bad] = float("nan")
    first = next(i for i, item in enumerate(text.shards[1].items) if bad in item.input_ids[:-1])
    scorer = model_scorer(model, text, 400, "the merge")
    with pytest.raises(CheckpointError, match=rf"first item {first} of domain 'b' \(b.json"):
        scorer(range(len(text.shards[0].items), text.n_items))


def without(given, token):
    """Return a shard in which a token is another one."""
    items = [
        replace(
            item, input_ids=np.where(item.input_ids == token, (token + 1) % 300, item.input_ids)
        )
        for item in given.items
    ]
    return replace(given, items=tuple(items))


def test_a_score_of_a_model_is_that_of_its_scorer(folder, files, losses):
    model = load_model(folder / "base", torch.float32)
    text = EvalText.of([shard("a", ITEMS)], 400)
    (score,) = score_model(model, text, "base")
    assert isinstance(score, Score)
    sums = model_scorer(model, text, 400, "base")([2, 0])
    assert sums == pytest.approx([score.item_nll_sum[2], score.item_nll_sum[0]], rel=1e-6)
