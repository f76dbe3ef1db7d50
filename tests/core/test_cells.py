"""Cells by name: one name each, the right one told; their recipes are what the sweep merges."""

import itertools
import json

import pytest
import yaml
from typer.testing import CliRunner

from mergelaw.cells import cell, cell_recipe, recipe_of_cell, whole_pool
from mergelaw.cli import app
from mergelaw.config.recipe import read_recipe, recipe_yaml
from mergelaw.design import Subset
from mergelaw.errors import ConfigError
from mergelaw.paths import StudyPaths
from tests.helpers import METHODS, study_dict, study_of

PAIR = {"label": "pair", "method": "nuslerp"}
WEIGHTS = {"algebra": 2.0, "biology": 1.0, "code": -2.0}
WEIGHTED = {"label": "w", "method": "average", "parameters": {"weight": WEIGHTS}}
REPORTED = {"check": "report", "reason": "renamed after training"}
MASKED = (("mask_seeds", [4, 0, 11]),)


def problems(study, *place: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        cell(study, *place)
    headline, *lines = str(caught.value).splitlines()
    assert headline.startswith(f"cell {'/'.join(place)}: {len(lines)} problem")
    return [line.removeprefix("  - ") for line in lines]


# --- names ---


def test_every_cell_has_a_name_of_its_own_that_leads_back_to_it():
    study = study_of(*MASKED)
    names = set()
    for k in range(4):
        for experts in itertools.combinations(study.expert_names, k):
            stem = "+".join(experts) or "base"
            for mark, seed in (("", 4), ("~mask0", 0), ("~mask11", 11)):
                if mark and not experts:
                    continue
                found = cell(study, "small", "dare", stem + mark)
                assert (found.size, found.method, found.name) == ("small", "dare", stem + mark)
                assert (found.subset, found.mask_seed) == (Subset(experts), seed)
                names.add(found.name)
    assert len(names) == 7 * 3 + 1


def test_a_subset_need_not_be_in_the_design():
    study = study_of(("design", [{"kind": "exhaustive", "k": [1]}]))
    assert cell(study, "small", "ties", "algebra+code").subset.k == 2
    assert whole_pool(study, "small", "ties").name == "algebra+biology+code"


@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("code+algebra", "algebra+code"),
        ("code+code", "code"),
        ("code+biology+algebra+code", "algebra+biology+code"),
        ("code+algebra~mask11", "algebra+code~mask11"),
        ("algebra~mask4", "algebra"),
        ("base~mask0", "base"),
    ],
)
def test_the_right_name_is_told(name, right):
    assert problems(study_of(*MASKED), "small", "dare", name) == [f"its name is {right}"]


def test_all_that_a_study_has_not_is_told_at_once():
    assert problems(study_of(), "smal", "tie", "code+algbra+physics") == [
        "the study has no size 'smal'; did you mean 'small'?",
        "the study has no method 'tie'; did you mean 'ties'?",
        "the study has no expert 'algbra'; did you mean 'algebra'?",
        "the study has no expert 'physics'; allowed here: algebra, biology, code",
    ]
    for name in ("", "+", "base+code", "algebra+", "algebra_mask1"):
        assert any("has no expert" in line for line in problems(study_of(), "small", "ta", name))


@pytest.mark.parametrize("mask", ["7", "", "00", "-4", "4~mask0"])
def test_a_mask_seed_must_be_the_study_s(mask):
    lines = problems(study_of(*MASKED), "small", "dare", f"code~mask{mask}")
    assert lines == ["the study's mask seeds are 4, 0, 11"]


def test_a_method_without_masks_has_no_marked_cells():
    study = study_of(*MASKED)
    assert cell(study, "small", "ta", "code").mask_seed == 0
    lines = problems(study, "small", "ta", "code~mask11")
    assert lines == ["method 'ta' draws no masks: leave '~mask' and what follows it out"]


def test_a_number_of_experts_that_the_method_does_not_take_is_refused():
    study = study_of(("methods", [PAIR]), ("design", [{"kind": "exhaustive", "k": [2]}]))
    assert cell(study, "small", "pair", "base").subset.k == 0
    assert cell(study, "small", "pair", "algebra+code").subset.k == 2
    assert problems(study, "small", "pair", "biology+algebra+code") == [
        "method = 'nuslerp': merges exactly 2 experts; 3 are given",
        "its name is algebra+biology+code",
    ]


# --- recipes ---


def test_a_recipe_says_what_the_sweep_merges(tmp_path):
    study = study_of(*MASKED, ("seed", 5), ("dtype", "bfloat16"))
    paths = StudyPaths(tmp_path)
    merge = cell_recipe(study, paths, cell(study, "large", "dare", "algebra+code~mask11"))
    assert merge.base == str(tmp_path / "experts" / "large" / "base")
    assert merge.experts == {
        name: str(tmp_path / "experts" / "large" / name) for name in ("algebra", "code")
    }
    assert (merge.method.method, merge.method.parameters) == ("dare", study.methods[3].parameters)
    assert (merge.dtype, merge.seed, merge.mask_seed) == ("bfloat16", 5, 11)
    assert merge.lineage == "strict"


def test_numbers_by_expert_are_those_of_the_subset():
    study = study_of(("methods", [*METHODS, WEIGHTED]), ("lineage", REPORTED))
    merge = cell_recipe(study, StudyPaths.of(study), cell(study, "small", "w", "algebra+biology"))
    assert merge.method.parameters.weight == {"algebra": 2.0, "biology": 1.0}
    assert merge.lineage == "report"


def test_weights_that_add_up_to_nothing_are_refused():
    study = study_of(("methods", [WEIGHTED]))
    with pytest.raises(ConfigError, match="add up to 0"):
        cell_recipe(study, StudyPaths.of(study), cell(study, "small", "w", "algebra+code"))


def test_the_base_is_a_recipe_without_experts():
    study = study_of(("methods", [WEIGHTED]), ("dtype", "bfloat16"))
    merge = cell_recipe(study, StudyPaths.of(study), cell(study, "small", "w", "base"))
    assert merge.base == "results/tiny/experts/small/base"
    assert (merge.experts, merge.dtype) == ({}, "bfloat16")


# --- recipes by name, for the command line ---


def config_file(tmp_path, *changes):
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(study_dict(*changes)), encoding="utf-8")
    return path


def test_a_recipe_by_name_is_read_back_from_its_file(tmp_path):
    config = config_file(tmp_path)
    merge = recipe_of_cell(config, "small/ties/algebra+code")
    assert merge.method.parameters.density == 0.6
    (tmp_path / "recipe.yaml").write_text(recipe_yaml(merge), encoding="utf-8")
    assert read_recipe(tmp_path / "recipe.yaml") == merge
    assert recipe_of_cell(config, "/small/ties/algebra+code/") == merge
    study = study_of()
    assert merge == cell_recipe(
        study, StudyPaths.of(study), cell(study, "small", "ties", "algebra+code")
    )


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("small/ties", "must be SIZE/METHOD/SUBSET"),
        ("small/ties/code+algebra", "its name is algebra+code"),
        ("small/ties/base", "nothing is merged; the base is results/tiny/experts/small/base"),
    ],
)
def test_a_name_without_a_recipe_is_refused(tmp_path, name, words):
    with pytest.raises(ConfigError, match=words.replace("+", r"\+")):
        recipe_of_cell(config_file(tmp_path), name)


def test_sums_that_recipes_do_not_know_are_refused(tmp_path):
    config = config_file(tmp_path, ("accumulate", "sequential_bfloat16"))
    with pytest.raises(ConfigError, match="accumulate = 'sequential_bfloat16'"):
        recipe_of_cell(config, "small/ties/algebra+code")


def test_a_cell_is_exported_by_the_command_line(tmp_path):
    target = tmp_path / "recipe.yaml"
    place = ["--config", str(config_file(tmp_path)), "--cell", "small/ties/algebra+code"]
    done = CliRunner().invoke(app, ["export-recipe", *place, "--native", "--out", str(target)])
    assert done.exit_code == 0
    assert read_recipe(target) == recipe_of_cell(tmp_path / "study.yaml", place[-1])


# --- lineage in the config ---


@pytest.mark.parametrize("reason", [{}, {"reason": None}, {"reason": " "}])
def test_a_study_that_only_reports_lineage_says_why(reason):
    with pytest.raises(ConfigError) as caught:
        study_of(("lineage", {"check": "report", **reason}))
    assert "lineage.reason: is missing; say why" in str(caught.value)
    assert json.loads(study_of().lineage.model_dump_json()) == {"check": "strict", "reason": None}
