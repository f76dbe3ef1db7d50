"""Real problems and solutions, where they lie beside the project: read, split, scored whole."""

import re
from pathlib import Path

import polars as pl
import pytest
import yaml

from mergelaw.config import parse_study
from mergelaw.data.encode import Encoder
from mergelaw.data.items import domain_items
from mergelaw.data.templates import TEMPLATES
from tests.helpers import special_token_tokenizer

ROOT = Path(__file__).parents[2]
FOLDER = ROOT.parent / "shared" / "data" / "eval_partial"


@pytest.fixture(scope="module")
def items():
    if not FOLDER.is_dir():
        pytest.skip(f"needs the five files of {FOLDER}, which are no part of the project")
    raw = yaml.safe_load((ROOT / "config" / "math-real.yaml").read_text(encoding="utf-8"))
    study = parse_study(raw | {"data_folder": str(FOLDER)})
    return pl.concat(domain_items(study, name) for name in study.domain_names)


def test_every_item_is_read_and_falls_on_one_side(items):
    assert items.height == 455
    shares = {split: n / items.height for split, n in items.group_by("split").len().iter_rows()}
    assert shares == pytest.approx({"base": 0.4, "train": 0.4, "heldout": 0.2}, abs=0.06)


def test_no_held_out_problem_stands_in_training_text(items):
    def normal(text):
        return re.sub(r"\s+", " ", text).casefold()

    seen = normal("\n".join(items.filter(pl.col("split") != "heldout")["plain"]))
    problems = [turns[0]["content"] for turns in items.filter(split="heldout")["messages"]]
    assert len(problems) > 50
    assert not [problem for problem in problems if normal(problem) in seen]


@pytest.mark.parametrize(
    ("template", "end"), [("chatml", "<|im_end|>\n"), ("llama3", "<|eot_id|>")]
)
def test_exactly_the_solutions_and_their_end_marks_are_scored(items, template, end):
    named = TEMPLATES[template]
    tokenizer = special_token_tokenizer(named.text, ("<s>", *named.marks), bos="<s>")
    rows = items.to_dicts()
    encoder = Encoder(tokenizer, 10**6, system="You are a helpful assistant.")
    for row, item in zip(rows, encoder.encode(rows), strict=True):
        assert tokenizer.decode(item.input_ids[item.scored]) == row["messages"][-1]["content"] + end
        assert item.input_ids.tolist().count(tokenizer.bos_token_id) == (template == "llama3")
        question = tokenizer.decode(item.input_ids[~item.scored])
        assert row["messages"][0]["content"] in question
        assert question.count("You are a helpful assistant.") == 1
    assert {row["place"].partition("[")[0] for row in rows} == {
        path.name for path in FOLDER.glob("*.json")
    }
