"""The card: front matter that the Hub reads, a recipe that runs again, nobody's folders."""

import re
from dataclasses import replace

import pytest
import yaml
from huggingface_hub import ModelCard

from mergelaw.merging.card import Ingredient, Merge, model_card

BASE = Ingredient("base", "Qwen/Qwen2.5-0.5B@main", "Qwen/Qwen2.5-0.5B", "0a1b")
CODE = Ingredient("code", "/home/ann/secret/code-v2", "code-v2", "2c3d", 0.5)
MATHS = Ingredient("maths", "../runs/maths", "org/maths", "4e5f", 1.0)
RECIPE = {
    "merge_method": "dare_ties",
    "base_model": BASE.ref,
    "models": [
        {"model": CODE.ref, "parameters": {"weight": 0.5, "density": 0.8}},
        {"model": MATHS.ref, "parameters": {"weight": 1.0, "density": 0.8}},
    ],
    "parameters": {"scale": 1, "pair": (1, 2), "text": "yes"},
    "tokenizer_source": "/home/ann/tokens",
}
MERGE = Merge(
    "my-merge",
    (BASE, CODE, MATHS),
    "dare_ties",
    "drop at random, rescale, elect sign, disjoint mean",
    {"DARE": "https://arxiv.org/abs/2311.03099", "TIES": "https://arxiv.org/abs/2306.01708"},
    {"density": {"code": 0.2, "maths": 0.5}, "normalize": True, "scale": 1.0},
    RECIPE,
    "bfloat16",
    0.0123456,
    {"code": 0.2000171, "maths": 0.1999},
    {"mergelaw": "0.1.0", "torch": "2.13.0"},
)


def front_matter(text: str):
    begin, front, _ = re.split(r"^---$", text, maxsplit=2, flags=re.MULTILINE)
    assert not begin
    return yaml.safe_load(front)


def recipe_in(text: str):
    """Return the YAML in the first fence, which ends as Markdown has it."""
    fence, rest = re.split(r"^(`{3,})yaml\n", text, maxsplit=1, flags=re.MULTILINE)[1:]
    return yaml.safe_load(re.split(rf"^ {{0,3}}{fence}`*$", rest, flags=re.MULTILINE)[0])


def test_the_hub_reads_its_front_matter():
    card = ModelCard(model_card(MERGE))
    assert card.data.base_model == ["Qwen/Qwen2.5-0.5B", "code-v2", "org/maths"]
    assert card.data.base_model_relation == "merge"
    assert card.data.library_name == "transformers"
    assert card.data.tags == ["merge", "mergelaw"]
    assert card.text.lstrip().startswith("# my-merge")
    assert front_matter(model_card(MERGE)).keys() == {
        "base_model",
        "base_model_relation",
        "library_name",
        "tags",
    }


def test_it_tells_what_was_merged_and_how():
    text = model_card(MERGE)
    for words in (
        "from 3 models by `dare_ties`",
        "| base | [Qwen/Qwen2.5-0.5B](https://huggingface.co/Qwen/Qwen2.5-0.5B) |  | `0a1b` |",
        "| code | code-v2 | 0.5 | `2c3d` |",
        "| maths | [org/maths](https://huggingface.co/org/maths) | 1 | `4e5f` |",
        "elect sign, disjoint mean ([DARE](https://arxiv.org/abs/2311.03099), "
        "[TIES](https://arxiv.org/abs/2306.01708))",
        "| density | code: 0.2, maths: 0.5 |",
        "| normalize | true |",
        "rounded once, to bfloat16",
        "merged change: 0.0123.",
        "| code | 0.200017 |",
        "mergelaw 0.1.0, torch 2.13.0",
        "mergelaw merge --recipe recipe.yml",
    ):
        assert words in text


def test_the_recipe_runs_again_and_names_no_folder_of_this_machine():
    text = model_card(MERGE)
    recipe = recipe_in(text)
    assert recipe["base_model"] == "Qwen/Qwen2.5-0.5B@main", "the revision counts"
    assert [entry["model"] for entry in recipe["models"]] == ["code-v2", "org/maths"]
    assert recipe["tokenizer_source"] == "tokens"
    assert recipe["parameters"] == {"scale": 1, "pair": [1, 2], "text": "yes"}
    assert list(recipe) == list(RECIPE)
    for private in ("/home", "ann", "secret", "../runs"):
        assert private not in text


@pytest.mark.parametrize(
    "label",
    ["a: b", "- x", "# no", "yes", "1.0", "'\"", "ü|ñ", "a\n---\nb", "{a}", "x" * 300, "[l](m)"],
)
def test_odd_names_break_nothing(label):
    odd = replace(CODE, label=label, name=label)
    text = model_card(replace(MERGE, ingredients=(BASE, odd), title=label))
    assert front_matter(text)["base_model"] == [BASE.label, label]
    assert ModelCard(text).data.base_model == [BASE.label, label]
    assert recipe_in(text)["models"][0]["model"] == label
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    bars = {len(re.findall(r"(?<!\\)\|", row)) for row in rows[:4]}
    assert bars == {5}


def test_a_recipe_with_backticks_is_fenced_by_more():
    odd = {"merge_method": "ties", "note": "x\n```\ny"}
    assert recipe_in(model_card(replace(MERGE, recipe=odd))) == odd


def test_what_a_method_lacks_is_left_out():
    plain = replace(
        MERGE,
        ingredients=(replace(BASE, name="one"), replace(BASE, name="two")),
        parameters={},
        papers={},
        drop_rates={},
        rounding_loss=None,
    )
    text = model_card(plain)
    assert front_matter(text)["base_model"] == [BASE.label], "a model is named once"
    assert "parameter |" not in text
    assert "drop_rate" not in text
    assert "merged change: none" in text
    assert "disjoint mean\n" in text


def test_equal_merges_have_equal_cards():
    assert model_card(MERGE) == model_card(replace(MERGE))


def test_a_base_by_itself_is_no_merge():
    text = model_card(replace(MERGE, ingredients=(BASE,), dtype="bfloat16"))
    assert "The base, written with mergelaw in bfloat16; nothing is merged into it" in text
    assert "dare_ties" not in text
    assert "--recipe" not in text


def test_the_type_of_the_sums_is_told():
    assert "Sums run in float32," in model_card(MERGE)
    assert "Sums run in bfloat16," in model_card(replace(MERGE, accumulate="bfloat16"))
