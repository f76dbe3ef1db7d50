"""`mergelaw optimize` on small checkpoints made on the spot: what it prints and what it writes."""

import json
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from mergelaw.cli import _status
from mergelaw.config.recipe import read_recipe
from mergelaw.config.theory import Objective
from mergelaw.errors import DataError
from mergelaw.evaluation.checkpoint import read_text, score_checkpoint, score_model
from mergelaw.evaluation.shards import EvalShard, write_shard
from mergelaw.evaluation.text import EvalText
from mergelaw.merging.checkpoint import merge_checkpoints
from mergelaw.sweep.engine import Engine, Settings
from mergelaw.theory.best_merge import Asked, _recipe, best_merge, check_apart, divided
from mergelaw.theory.comparison import compare
from mergelaw.theory.counted import Counted
from mergelaw.theory.model_surface import ModelSurface
from mergelaw.theory.text_folds import FoldedText
from mergelaw.theory.weights import plain_method
from tests.evaluation.families import random_items
from tests.helpers import tiny_model

EXPERTS = ("algebra", "biology", "code")
KEYS = {"vocabulary": "x", "marks": "{}"}


def shard(domain, n, seed):
    items = [item for item in random_items(3 * n, seed, 40) if item.scored.any()][:n]
    sources = tuple(f"{domain}.json[{i}]" for i in range(n))
    return EvalShard(domain, tuple(items), sources, 0, KEYS)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A base, three experts, calibration and held-out text of two domains."""
    folder = tmp_path_factory.mktemp("optimize")
    model = tiny_model("Qwen2", vocab_size=300, tie_word_embeddings=True)
    model.save_pretrained(folder / "base")
    start = {name: p.detach().clone() for name, p in model.named_parameters()}
    for seed, name in enumerate(EXPERTS):
        generator = torch.Generator().manual_seed(seed)
        for key, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.data = start[key] + 0.03 * noise
        model.save_pretrained(folder / name)
    for number, domain in enumerate(("maths", "text")):
        write_shard(folder / f"{domain}.safetensors", shard(domain, 12, number))
        write_shard(folder / f"{domain}.heldout.safetensors", shard(domain, 9, 10 + number))
    return folder


def pool(place):
    return ["--base", str(place / "base"), *(
        part for name in EXPERTS for part in ("--expert", f"{name}={place / name}")
    )]  # fmt: skip


def files(place, kind=""):
    return [place / f"{domain}{kind}.safetensors" for domain in ("maths", "text")]


def texts(place):
    return [
        *(part for path in files(place) for part in ("--shard", str(path))),
        *(part for path in files(place, ".heldout") for part in ("--heldout", str(path))),
    ]


@pytest.fixture
def call(monkeypatch, capsys):
    """Return a function that runs the command and returns its exit code, output and errors."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["mergelaw", "optimize", *map(str, words)])
        capsys.readouterr()
        status = _status()
        streams = capsys.readouterr()
        return status, streams.out, streams.err

    return run


def macro(scores):
    return sum(score.loss for score in scores) / len(scores)


def asked(place, **settings):
    experts = {name: str(place / name) for name in EXPERTS}
    objective = Objective(label="best", **settings.pop("objective", {}))
    return Asked(str(place / "base"), experts, objective, **settings)


@pytest.mark.parametrize("layers", [False, True])
def test_the_merge_that_is_written_has_the_losses_that_are_told(place, tmp_path, call, layers):
    out = tmp_path / "best"
    options = ["--layers"] if layers else []
    code, told, _ = call(
        *pool(place), *texts(place), "--out", out, "--json", "--batch-tokens", 400, *options
    )
    assert code == 0
    facts = json.loads(told)
    row = facts["rows"][0]
    for kind, column in (("", "calibration"), (".heldout", "heldout")):
        scores = score_checkpoint(out, files(place, kind), "float32", 400)
        assert row[column] == pytest.approx(macro(scores), rel=1e-7)
    assert row["heldout"] == macro(scores)  # to the bit: a forward pass, as the scorer's
    assert row["calibration"] < facts["rows"][1]["calibration"]
    loaded = AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32).eval()
    assert macro(score_model(loaded, read_text(files(place), 400), "it")) == pytest.approx(
        row["calibration"], rel=1e-7
    )
    written = read_recipe(tmp_path / "best.yaml")
    assert written.model_dump(mode="json") == facts["recipe"]
    merge_checkpoints(written, tmp_path / "again")
    one, other = (load_file(f / "model.safetensors") for f in (out, tmp_path / "again"))
    assert all(torch.equal(one[name], other[name]) for name in one)
    if layers:
        assert [r["objective"] for r in facts["rows"]] == ["best"] * 3 + ["model"]


def test_one_weight_for_all_layers_is_written_as_task_arithmetic_bit_for_bit(place, tmp_path):
    weights = np.array([0.5, -0.25, 1.125])
    text = read_text(files(place), 400)
    both = []
    for groups in ("model", "layers"):
        wanted = asked(place, objective={"groups": groups})
        with Engine.open(Settings(), wanted.base, wanted.experts) as engine:
            surface = ModelSurface.over(
                engine, Settings(), plain_method(), FoldedText.of(text, 2), groups=groups
            )
            shown = np.tile(weights, len(surface.groups))
            surface.item_losses(shown)
            live = {
                part.name: engine.live.weights[part.span].view(part.shape).clone()
                for part in engine.raw.segments
            }
            found = compare(Counted(surface), wanted.objective, ())
            moved = [vars(one) | {"weights": shown} for one in found.found]
            compared = type(found)(
                found.objective, found.goal, found.experts, found.groups,
                tuple(type(found.found[0])(**one) for one in moved),
            )  # fmt: skip
            recipe = _recipe(wanted, compared, engine.checked.tensors)
        merge_checkpoints(recipe, tmp_path / groups)
        written = load_file(tmp_path / groups / "model.safetensors")
        assert all(torch.equal(written[name], live[name]) for name in live)
        both.append(written)
    assert all(torch.equal(both[0][name], both[1][name]) for name in both[0])


def test_the_table_names_ways_costs_and_whether_the_gain_is_told(place, call):
    code, told, _ = call(*pool(place), *texts(place), "--baselines")
    assert code == 0
    lines = told.splitlines()
    assert lines[0].split() == ["way", "calibration", "held-out", "+-", "cost", "s", "weights"]
    ways = [line[:30].strip() for line in lines[1:10]]
    assert ways[0] == "Newton steps"
    assert {"full average", "best scale", "greedy soup", "quadratic through losses"} <= set(ways)
    assert "algebra=" in lines[1]
    line = next(line for line in lines if line.startswith("gain over the full average"))
    assert lines.index(line) == 11, "it is told first"
    gain, error = (float(line.split(":")[1].split()[place].strip(",;")) for place in (0, 2))
    assert ("not told from 0 by this text" in line) == (abs(gain) <= 2 * error)
    assert "curvature by Gauss-Newton products is never negative" in told


def test_constraints_reach_the_merge(place, tmp_path, call):
    out = tmp_path / "few"
    code, told, _ = call(
        *pool(place), *texts(place), "--max-experts", 2, "--simplex", "--worst",
        "--json", "--out", out,
    )  # fmt: skip
    assert code == 0
    row = json.loads(told)["rows"][0]
    weights = np.array(row["weights"])
    assert (weights > 0).sum() <= 2
    assert weights.sum() == pytest.approx(1)
    assert set(read_recipe(tmp_path / "few.yaml").experts) == {
        name for name, weight in zip(EXPERTS, weights, strict=True) if weight
    }
    scores = score_checkpoint(out, files(place), "float32", 4096)
    assert row["calibration"] == pytest.approx(max(score.loss for score in scores), abs=1e-6)


def test_without_held_out_text_items_are_divided(place, call):
    shards = [part for path in files(place) for part in ("--shard", str(path))]
    code, told, _ = call(*pool(place), *shards, "--split", 0.75, "--json")
    assert code == 0
    row = json.loads(told)["rows"][0]
    whole = sum(int(s.n_tokens.sum()) for s in read_text(files(place), 400).shards)
    assert row["calibration_tokens"] + row["heldout_tokens"] == whole
    one, rest = divided([shard("a", 12, 0)], 0.75)
    assert (len(one[0].items), len(rest[0].items)) == (9, 3)
    turned = shard("a", 12, 0)
    backwards = EvalShard("a", turned.items[::-1], turned.sources[::-1], 0, KEYS)
    again, _ = divided([backwards], 0.75)
    assert {i.input_ids.tobytes() for i in again[0].items} == {
        i.input_ids.tobytes() for i in one[0].items
    }
    with pytest.raises(DataError, match="domain 'b': one item cannot be divided"):
        divided([shard("a", 2, 0), shard("b", 1, 0)], 0.5)


def test_text_that_is_on_both_sides_is_refused():
    mine = shard("a", 6, 0)
    with pytest.raises(DataError) as caught:
        check_apart([mine, shard("c", 2, 1)], [mine, shard("b", 2, 0)])
    lines = str(caught.value).splitlines()
    assert lines[1:] == [
        "  - domain 'b': has no --shard text; give one, or leave the other out",
        "  - domain 'c': has no --heldout text; give one, or leave the other out",
        "  - domain 'a': 6 of 6 held-out items are calibration items too: weights would be judged "
        "on what they were chosen on",
    ]


def test_all_that_is_wrong_is_told_at_once(place, tmp_path, call):
    (tmp_path / "there").mkdir()
    code, _, err = call(
        "--base", place / "base", "--shard", files(place)[0], "--heldout",
        files(place)[1], "--split", 2, "--target", "maths", "--worst", "--bounds", "1",
        "--simplex", "--max-experts", 0, "--out", tmp_path / "there",
    )  # fmt: skip
    assert code == 1
    for words in (
        "there: exists; name another folder",
        "--base, --expert: name them, or a recipe file with --recipe",
        "--target, --worst: give one of them",
        "--simplex, --bounds: give one of them",
        "--bounds 1: must be LO,HI",
        "--max-experts = 0: ",
        "--heldout, --split: give one of them",
        "--split 2: must be a share between 0 and 1",
    ):
        assert words in err, words
    assert "Traceback" not in err
    code, _, err = call(
        *pool(place), *texts(place), "--target", "math", "--max-experts", 9,
    )  # fmt: skip
    assert code == 1
    assert "--target = 'math': no domain; did you mean 'maths'?" in err
    assert "--max-experts = 9: allowed 1 to 3, the number of experts" in err


def test_an_expert_that_does_not_fit_is_told_in_words(place, tmp_path, call):
    tiny_model("Qwen2", vocab_size=300, hidden_size=24, num_attention_heads=2).save_pretrained(
        tmp_path / "wide"
    )
    code, _, err = call(*pool(place), "--expert", f"wide={tmp_path / 'wide'}", *texts(place))
    assert code == 1
    assert "wide" in err
    assert "Traceback" not in err


def test_what_was_measured_otherwise_than_asked_is_told(place, call, monkeypatch):
    monkeypatch.setattr("mergelaw.theory.curvature.twice_differentiable", lambda *_: None)
    code, told, _ = call(*pool(place), *texts(place), "--route", "hvp")
    assert code == 0
    notes = [line for line in told.splitlines() if line.startswith("note: ")]
    assert any("cannot be differentiated twice" in note for note in notes)
    assert not any("Gauss-Newton" in note for note in notes)


def test_every_input_that_is_missing_is_told_at_once(place, tmp_path, call):
    gone = [tmp_path / name for name in ("base", "one", "two", "text", "more")]
    code, _, err = call(
        "--base", gone[0], "--expert", f"one={gone[1]}", "--expert", f"two={gone[2]}",
        "--shard", gone[3], "--shard", files(place)[0], "--heldout", gone[4],
        "--route", "differences", "--target", "x", "--worst",
    )  # fmt: skip
    assert code == 1
    lines = [line for line in err.splitlines() if line.startswith("  - ")]
    for path in gone:
        assert sum(str(path) in line for line in lines) == 1, (path, err)
    assert any(line.startswith("  - --heldout ") for line in lines)
    assert any("--route differences: " in line and "pairs" in line for line in lines)
    assert any("--target, --worst" in line for line in lines)
    assert "Traceback" not in err


def test_one_expert_and_a_place_that_is_taken_are_refused(place, tmp_path, call):
    out = tmp_path / "taken"
    out.mkdir()
    one = ["--base", place / "base", "--expert", f"code={place / 'code'}"]
    code, _, err = call(*one, *texts(place), "--out", out)
    assert code == 1
    assert "--expert: 1 is given; the best weight of one is the scale" in err
    (line,) = (line for line in err.splitlines() if "--out" in line)
    assert line.count(str(out)) == 1


def test_a_wide_search_keeps_what_the_text_can_tell(place):
    calibration, other = (read_text(files(place, kind), 400) for kind in ("", ".heldout"))
    best = best_merge(asked(place, route="hvp"), calibration, other)
    other_route = best_merge(
        asked(place, route="pairs"), calibration, EvalText.of(other.shards, 99)
    )
    one, two = (b.rows[0] for b in (best, other_route))
    assert abs(one["calibration"] - two["calibration"]) < 0.05
    assert one["n_products"] >= 3
    spent = one["n_losses"] + 3 * one["n_gradients"] + 4 * one["n_products"]
    assert one["forwards"] == spent, "by convention, not by a clock"
    assert two["n_losses"] >= 10
