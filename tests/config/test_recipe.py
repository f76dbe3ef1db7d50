"""Merge recipes: read, checked, written back to the same; methods given as a line of text."""

import copy

import pytest
import yaml

from mergelaw.config.methods import METHODS
from mergelaw.config.recipe import (
    MergeRecipe,
    method_from_text,
    parse_recipe,
    read_recipe,
    recipe_of,
    recipe_yaml,
)
from mergelaw.config.refs import expert_names
from mergelaw.errors import ConfigError

FLAT = {
    "base": "/models/base",
    "experts": {"code": "/models/code", "algebra": "org/algebra@main"},
    "method": "ties",
    "parameters": {"density": {"code": 0.2, "algebra": 0.5}, "scale": 0.9},
    "dtype": "bfloat16",
    "seed": 3,
    "mask_seed": 1,
    "lineage": "report",
}


def flat(**changes):
    """Return the recipe with changes; None takes a key out."""
    raw = copy.deepcopy(FLAT) | changes
    return {key: value for key, value in raw.items() if value is not None}


def problems(raw, origin="recipe"):
    """Return the lines of the error that a raw recipe causes, without the dashes."""
    with pytest.raises(ConfigError) as caught:
        parse_recipe(raw, origin)
    headline, *lines = str(caught.value).splitlines()
    assert headline == f"{origin}: {len(lines)} problem" + ("s" if len(lines) != 1 else "")
    return [line.removeprefix("  - ") for line in lines]


def minimal(name):
    """Return a recipe with as many experts as a method merges at least."""
    least = METHODS[name].k_range[0]
    experts = {f"e{i}": f"/models/e{i}" for i in range(least)}
    return {"base": "/models/base", "experts": experts, "method": name}


def test_a_recipe_file_is_read(tmp_path):
    (tmp_path / "merge.yaml").write_text(yaml.safe_dump(FLAT))
    recipe = read_recipe(tmp_path / "merge.yaml")
    assert recipe.base == "/models/base"
    assert dict(recipe.experts) == FLAT["experts"]
    assert (recipe.method.method, recipe.method.label) == ("ties", "ties")
    assert recipe.method.parameters.density == {"code": 0.2, "algebra": 0.5}
    assert (recipe.method.parameters.scale, recipe.method.parameters.scope) == (0.9, "model")
    assert (recipe.dtype, recipe.seed, recipe.mask_seed) == ("bfloat16", 3, 1)
    assert recipe.lineage == "report"


@pytest.mark.parametrize("name", METHODS)
def test_a_recipe_needs_no_more_than_base_experts_and_method(name):
    recipe = parse_recipe(minimal(name))
    assert recipe.method.parameters == METHODS[name](label="x", method=name).parameters
    assert (recipe.dtype, recipe.seed, recipe.mask_seed) == ("base", 0, 0)
    assert recipe.lineage == "strict"


@pytest.mark.parametrize("name", METHODS)
def test_what_is_written_is_read_back_to_the_same(tmp_path, name):
    raw = minimal(name)
    if "weight" in METHODS[name](label="x", method=name).parameters.model_dump():
        weights = {expert: 0.1 + i / 3 for i, expert in enumerate(raw["experts"])}
        raw["parameters"] = {"weight": weights}
    recipe = parse_recipe(raw | {"dtype": "float16", "mask_seed": 7})
    (tmp_path / "merge.yaml").write_text(recipe_yaml(recipe))
    assert read_recipe(tmp_path / "merge.yaml") == recipe
    assert list(yaml.safe_load(recipe_yaml(recipe)))[:4] == list(FLAT)[:4]


NAMES = ["yes", "null", "1", "1.5", "1e5", "0x1F", "2024-01-01", "1_000", "N", "a.b-c_d"]
REFS = ["a: b", "# no remark", "/ü/名", "1", "null", "a\nb", " spaced ", "'quoted\"", "x" * 300]


def test_names_and_references_that_yaml_could_mistake_come_back(tmp_path):
    experts = dict(zip(NAMES, [*REFS, "/last"], strict=True))
    for base in REFS:
        recipe = parse_recipe(flat(base=base, experts=experts, parameters={"weight": 0.1}))
        (tmp_path / "merge.yaml").write_text(recipe_yaml(recipe), encoding="utf-8")
        assert read_recipe(tmp_path / "merge.yaml") == recipe


def test_settings_that_are_defaults_are_written_too():
    written = yaml.safe_load(recipe_yaml(parse_recipe(minimal("ties"))))
    assert written["parameters"] == {
        "weight": 1.0,
        "normalize": True,
        "scale": 1.0,
        "zero_sign": "positive",
        "density": 1.0,
        "scope": "model",
        "keep": "exact",
    }
    assert (written["dtype"], written["seed"], written["lineage"]) == ("base", 0, "strict")


ONE = [
    (flat(dytpe="float32"), "dytpe: unknown key; did you mean 'dtype'?"),
    (flat(paramters={}), "paramters: unknown key; did you mean 'parameters'?"),
    (
        flat(zzz=1),
        "zzz: unknown key; allowed here: base, experts, method, dtype, seed, mask_seed, ",
    ),
    (flat(base=None), "base: is missing (The base: a folder, or `org/name[@revision]` in the Hub"),
    (flat(base=""), "base = '': String should have at least 1 character"),
    (flat(base=3), "base = 3: should be a valid string"),
    (flat(method=None, parameters=None), "method: is missing (The method's name; `parameters`"),
    (flat(method=None), "method: is missing (The method's name; `parameters`"),
    (flat(method="tise"), f"method = 'tise': must be one of {', '.join(map(repr, METHODS))}"),
    (flat(method={"method": "ties"}), "method = \"{'method': 'ties'}\": must be one of 'average'"),
    (flat(method=["ties"]), "method = \"['ties']\": must be one of 'average'"),
    (flat(parameters={"densty": 1}), "parameters.densty: unknown key; did you mean 'density'?"),
    (
        flat(method="slerp", experts={"a": "/a"}, parameters={"scale": 1}),
        "parameters.scale: unknown key; allowed here: t",
    ),
    (flat(parameters=[1]), "parameters = [1]: must be a mapping"),
    (flat(parameters="x"), "parameters = 'x': must be a mapping"),
    (
        flat(parameters={"density": {"code": 1.5, "algebra": 1}}),
        "parameters.density.code = 1.5: should be less than or equal to 1 (allowed: > 0 and <= 1)",
    ),
    (
        flat(parameters={"density": {"code": 1}}),
        "parameters.density: lacks algebra; a mapping names every expert",
    ),
    (
        flat(parameters={"weight": {"code": 1, "algebra": 1, "algbra": 1}}),
        "parameters.weight.algbra: not in the pool; did you mean 'algebra'?",
    ),
    (
        flat(parameters={"scope": "layer"}),
        "parameters.scope = 'layer': should be 'model' or 'tensor'",
    ),
    (flat(experts={}), "experts = {}: Dictionary should have at least 1 item"),
    (flat(experts=["/a"], parameters=None), "experts = ['/a']: must be a mapping"),
    (
        flat(experts={"co de": "/a"}, parameters=None),
        "experts.co de: must be a name of letters, digits, '_', '.', '-' that begins with a letter",
    ),
    (flat(experts={1: "/a"}, parameters=None), "experts[1]: must be a name; put 1 in quotes"),
    (flat(experts={"a": None}, parameters=None), "experts.a = None: should be a valid string"),
    (
        flat(experts={"base": "/a"}, parameters=None),
        "experts.base: the word is taken by the base model; give another name",
    ),
    (flat(dtype="float64"), "dtype = 'float64': should be 'base', 'float32', 'bfloat16' or"),
    (flat(seed=-1), "seed = -1: should be greater than or equal to 0 (allowed: >= 0 and < 4,294"),
    (flat(lineage="lax"), "lineage = 'lax': should be 'strict' or 'report'"),
    (
        flat(method="slerp", parameters=None),
        "method = 'slerp': merges exactly 1 expert; 2 are given",
    ),
    (
        flat(method="model_stock", parameters=None, experts={"a": "/a"}),
        "method = 'model_stock': merges at least 2 experts; 1 is given",
    ),
    (
        flat(method="average", parameters={"weight": {"code": -1, "algebra": 1}}),
        "parameters.weight = {'code': -1.0, 'algebra': 1.0}: the weights of all experts that are "
        "merged add up to 0, by which the mean divides",
    ),
]


@pytest.mark.parametrize(("raw", "line"), ONE, ids=[line[:50] for _, line in ONE])
def test_a_problem_in_words(raw, line):
    (told,) = problems(raw)
    assert told.startswith(line)


def test_a_sum_of_weights_is_no_divisor_where_signs_are_elected_or_nothing_is_divided():
    weight = {"weight": {"code": -1, "algebra": 1}}
    parse_recipe(flat(parameters=weight))
    parse_recipe(flat(method="task_arithmetic", parameters=weight | {"normalize": False}))
    assert problems(flat(method="task_arithmetic", parameters=weight))


def test_all_problems_in_one_message():
    raw = flat(
        bsae="/x",
        base=None,
        dtype="int8",
        experts={"a b": "/a"},
        parameters={"densty": 1, "scale": "big", "density": {"q": 0}},
    )
    assert sorted(line.split(" ")[0].rstrip(":") for line in problems(raw, "merge.yaml")) == [
        "base",
        "bsae",
        "dtype",
        "experts.a",
        "parameters.density.q",
        "parameters.densty",
        "parameters.scale",
    ]


def test_files_that_hold_no_recipe(tmp_path):
    path = tmp_path / "merge.yaml"
    for text, words in [
        ("- a\n", "must be a mapping of keys, not list"),
        ("", "must be a mapping of keys, not NoneType"),
        ("base: [", "is not valid YAML"),
        ("base: a\nbase: b\n", "line 2: base is given twice, first in line 1"),
        ("merge_method: ties\n---\nbase: b\n", "holds several YAML documents"),
        ("base: a\n", r"merge\.yaml: 2 problems"),
        ("merge_method: tise\n", r"merge\.yaml: 2 problems"),
    ]:
        path.write_text(text)
        with pytest.raises(ConfigError, match=words):
            read_recipe(path)
    with pytest.raises(ConfigError, match=r"none\.yaml: cannot be read \(No such file"):
        read_recipe(tmp_path / "none.yaml")


def test_files_of_mergekit_are_known_by_their_keys(tmp_path):
    path = tmp_path / "merge.yaml"
    path.write_text(
        "merge_method: slerp\nbase_model: /a\nmodels: [{model: /b}]\nparameters: {t: 0.2}\n"
    )
    recipe = read_recipe(path)
    assert (recipe.method.method, recipe.method.parameters.t) == ("slerp", 0.2)
    path.write_text("merge_metod: slerp\nbase_model: /a\nmodels: [{model: /b}]\n")
    with pytest.raises(ConfigError, match="merge_metod: unknown key; did you mean 'merge_m"):
        read_recipe(path)


JUNK = [None, 3, -1.5, True, "x", "", [], [1], {}, {"a": 1}, {1: 2}, {"value": [1]}, float("nan")]


@pytest.mark.parametrize("junk", JUNK, ids=repr)
def test_any_value_in_any_place_is_taken_or_told_in_words(junk):
    raws = [flat(**{key: junk}) for key in FLAT if junk is not None]
    raws += [flat(experts={"code": junk}), flat(experts={junk: "/a"} if str(junk) == junk else {})]
    for name, entry in METHODS.items():
        for key in entry(label="x", method=name).parameters.model_dump():
            raws += [minimal(name) | {"parameters": {key: value}} for value in (junk, {"e0": junk})]
    for raw in raws:
        try:
            parse_recipe(raw)
        except ConfigError as error:
            assert "  - " in str(error)  # noqa: PT017  the error is allowed, not required


def test_an_impossible_recipe_cannot_be_made_in_python_either():
    entry = method_from_text("slerp")
    with pytest.raises(ConfigError, match="merges exactly 1 expert; 2 are given"):
        MergeRecipe(base="/base", experts={"a": "/a", "b": "/b"}, method=entry)
    made = MergeRecipe(base="/base", experts={"a": "/a"}, method=entry)
    assert recipe_of("/base", {"a": "/a"}, entry) == made
    assert recipe_of("/base", {"a": "/a"}, entry, dtype="float16", seed=4).seed == 4
    with pytest.raises(ConfigError, match="recipe: 2 problems"):
        recipe_of("", {"a b": "/a"}, entry)


def test_the_label_of_a_study_s_entry_becomes_the_method_s_name():
    entry = METHODS["task_arithmetic"](label="ta", method="task_arithmetic")
    recipe = recipe_of("/base", {"a": "/a"}, entry)
    assert recipe.method.label == "task_arithmetic"
    assert MergeRecipe(base="/base", experts={"a": "/a"}, method=entry) == recipe


def test_an_expert_stands_in_for_the_base_where_the_merge_needs_none():
    experts = {"a": "/a", "b": "/b"}
    for text, name in [
        ("average", "b"),
        ("karcher", "b"),
        ("nuslerp:space=weights", "b"),
        ("nuslerp", None),
        ("karcher:space=task_vectors", None),
        ("ties", None),
        ("model_stock", None),
    ]:
        entry = method_from_text(text)
        assert recipe_of("/b", experts, entry).stand_in == name, text
        assert recipe_of("/c", experts, entry).stand_in is None


def test_a_method_as_a_line_of_text():
    entry = method_from_text("ties:density=0.2, scale=1e-1,scope=tensor,normalize=false")
    assert entry.label == entry.method == "ties"
    p = entry.parameters
    assert (p.density, p.scale, p.scope, p.normalize) == (0.2, 0.1, "tensor", False)
    assert method_from_text("average") == method_from_text(" average ")
    assert method_from_text("karcher:tolerance=1e-7").parameters.tolerance == 1e-7
    weighted = method_from_text("dare:drop_rate=0.5", {"a": 2, "b": 0.5})
    assert weighted.parameters.weight == {"a": 2.0, "b": 0.5}
    assert method_from_text("dare", {}) == method_from_text("dare")


TEXTS = [
    ("tise:scale=1", None, [f"method = 'tise': must be one of {', '.join(map(repr, METHODS))}"]),
    ("", None, [f"method = '': must be one of {', '.join(map(repr, METHODS))}"]),
    ("ties:densty=0.2", None, ["densty: unknown key; did you mean 'density'?"]),
    (
        "ties:density=1.5,scale=big",
        None,
        [
            "scale = 'big': should be a valid number, unable to parse string as a number",
            "density = 1.5: should be less than or equal to 1 (allowed: > 0 and <= 1)",
        ],
    ),
    (
        "ties:density,=1,scale=,",
        None,
        [
            "'density': must be key=value, as in density=0.2",
            "'=1': must be key=value, as in density=0.2",
            "'scale=': must be key=value, as in density=0.2",
            "'': must be key=value, as in density=0.2",
        ],
    ),
    ("ties:scale=1,scale=2", None, ["scale: is given twice"]),
    (
        "ties:density.code=1",
        None,
        ["density.code: numbers by expert stand in a recipe file (--recipe FILE)"],
    ),
    (
        "ties:scale=[1",
        None,
        ["scale = '[1': should be a valid number, unable to parse string as a number"],
    ),
    ("slerp", {"a": 1}, ["weight: unknown key; allowed here: t"]),
    ("ties:weight=1", {"a": 1}, ["weight: is given for all and by expert; keep one of the two"]),
]


@pytest.mark.parametrize(("text", "weights", "lines"), TEXTS, ids=[t for t, *_ in TEXTS])
def test_a_line_of_text_with_problems(text, weights, lines):
    with pytest.raises(ConfigError) as caught:
        method_from_text(text, weights)
    headline, *told = str(caught.value).splitlines()
    assert headline.startswith(f"method {text!r}: {len(lines)} problem")
    assert told == [f"  - {line}" for line in lines]


def test_experts_are_called_by_the_last_part_of_their_reference():
    cache = "/hub/models--org--Name-7B/snapshots/0a1b2c"
    refs = ["/models/code/", "org/code@main", "org/ß x!", "base", "..", cache, "a" * 80, "a" * 80]
    assert expert_names(refs) == {
        "code": "/models/code/",
        "code-2": "org/code@main",
        "x-": "org/ß x!",
        "base-2": "base",
        "expert": "..",
        "Name-7B": cache,
        "a" * 64: "a" * 80,
        "a" * 62 + "-2": "a" * 80,
    }
    recipe_of("/base", expert_names(refs), method_from_text("average"))  # all are valid names
