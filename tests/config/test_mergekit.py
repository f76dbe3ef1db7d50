"""mergekit's YAML read as recipes and written from them; what has no like is refused by name.

What is expected here are meanings; tests/merging/test_mergekit_parity.py compares the results.
"""

import subprocess
import sys

import pytest
import yaml

from benchmarks.mergekit_env import OVERLAY, overlay_variables
from mergelaw.config.mergekit import from_mergekit, is_mergekit, to_mergekit
from mergelaw.config.mergekit.peers import PEERS
from mergelaw.config.methods import METHODS
from mergelaw.config.recipe import method_from_text, parse_recipe, read_recipe, recipe_of
from mergelaw.errors import ConfigError

TV = ("task_arithmetic", "ties", "dare_linear", "dare_ties", "breadcrumbs", "breadcrumbs_ties")
FAMILY = (*TV, "della", "della_linear")
"""mergekit's methods that need a base and a weight for each other model."""


def document(text):
    return yaml.safe_load(text)


def read(raw):
    """Return the checked recipe of a file of mergekit's."""
    return parse_recipe(from_mergekit(raw))


def parameters(raw):
    return read(raw).method.parameters.model_dump()


def problems(raw):
    with pytest.raises(ConfigError) as caught:
        from_mergekit(raw, "merge.yml")
    headline, *lines = str(caught.value).splitlines()
    assert headline == f"merge.yml: {len(lines)} problem" + ("s" if len(lines) != 1 else "")
    return [line.removeprefix("  - ") for line in lines]


def family(name, shared=None, **own):
    """Return a file of a method of the family: two models of weights 1 and 3."""
    return {
        "merge_method": name,
        "base_model": "org/base",
        "models": [
            {"model": "/m/code", "parameters": {"weight": 1, **own}},
            {"model": "/m/algebra", "parameters": {"weight": 3, **own}},
        ],
        "parameters": shared or {},
    }


BOTH = {"code": 1.0, "algebra": 3.0}
ELECTED = {"zero_sign": "positive"}
DEFAULTS = {
    "task_arithmetic": {"normalize": False},
    "ties": {"normalize": True, "density": 1.0, "scope": "tensor", "keep": "exact", **ELECTED},
    "dare_linear": {"normalize": False, "drop_rate": 0.0, "rescale": "l1"},
    "dare_ties": {"normalize": False, "drop_rate": 0.0, "rescale": "l1", **ELECTED},
    "breadcrumbs": {"normalize": False, "density": 1.0, "gamma": 0.01},
    "breadcrumbs_ties": {"normalize": False, "density": 1.0, "gamma": 0.01, **ELECTED},
    "della": {"normalize": True, "density": 1.0, "epsilon": 0.0, "rescale": "l1", **ELECTED},
    "della_linear": {"normalize": False, "density": 1.0, "epsilon": 0.0, "rescale": "l1"},
}
"""What mergekit does where a file gives weights only (at density 1, MagPrune drops nothing)."""


@pytest.mark.parametrize("name", FAMILY)
def test_the_defaults_of_the_family_are_mergekit_s(name):
    recipe = read(family(name))
    assert recipe.base == "org/base"
    assert dict(recipe.experts) == {"code": "/m/code", "algebra": "/m/algebra"}
    assert recipe.method.method == {"dare_linear": "dare"}.get(name, name)
    expected = {"weight": BOTH, "scale": 1.0, **DEFAULTS[name]}
    assert recipe.method.parameters.model_dump() == expected
    assert (recipe.dtype, recipe.lineage) == ("base", "strict")


@pytest.mark.parametrize("name", FAMILY)
def test_what_the_family_s_files_say_is_taken_over(name):
    shared = {"normalize": name not in ("ties", "della"), "lambda": 0.5, "int8_mask": True}
    own = {} if name == "task_arithmetic" else {"density": 0.53}
    own |= {"gamma": 0.2} if "gamma" in PEERS[name].parameters else {}
    own |= {"epsilon": 0.1} if "epsilon" in PEERS[name].parameters else {}
    if DEFAULTS[name].get("rescale"):
        shared["rescale"] = False
    got = parameters(family(name, shared, **own))
    assert (got["normalize"], got["scale"]) == (shared["normalize"], 0.5)
    assert got.get("drop_rate", 0.47) == 0.47
    assert got.get("density", 0.53) == 0.53
    assert ("drop_rate" in got) == name.startswith("dare")
    assert (got.get("gamma", 0.2), got.get("epsilon", 0.1)) == (0.2, 0.1)
    assert got.get("rescale", "none") == "none"


def test_a_model_s_own_value_goes_before_the_one_for_all():
    raw = family("ties", {"density": 0.3, "weight": 7})
    raw["models"][0]["parameters"] = {"density": 0.1}
    assert parameters(raw)["density"] == {"code": 0.1, "algebra": 0.3}
    assert parameters(raw)["weight"] == {"code": 7.0, "algebra": 3.0}
    raw["models"][1]["parameters"] = {}
    raw["models"][0]["parameters"] = None
    assert parameters(raw)["density"] == 0.3
    assert parameters(raw)["weight"] == 7.0


def test_numbers_as_yaml_1_1_reads_them():
    raw = document(
        "merge_method: ties\nbase_model: /b\nmodels: [{model: /x}]\n"
        "parameters: {weight: 1e0, density: .5, normalize: yes, lambda: '0.5'}"
    )
    got = parameters(raw)
    assert (got["weight"], got["density"], got["normalize"], got["scale"]) == (1, 0.5, True, 0.5)


def test_the_base_may_be_listed_bare():
    raw = family("ties")
    raw["models"].insert(1, {"model": "org/base"})
    assert read(raw) == read(family("ties"))


def test_references_pass_through_and_name_the_experts():
    raw = family("ties")
    raw["base_model"] = "org/base@v1"
    raw["models"][0]["model"] = "org/code@main"
    raw["models"][1]["model"] = "other/code"
    raw["models"].append({"model": "org/base@v1+me/lora@x", "parameters": {"weight": 2}})
    recipe = read(raw)
    assert recipe.base == "org/base@v1"
    experts = {"code": "org/code@main", "code-2": "other/code", "lora": "me/lora@x"}
    assert dict(recipe.experts) == experts
    assert recipe.method.parameters.weight == {"code": 1.0, "code-2": 3.0, "lora": 2.0}


TYPES = [
    ({}, "base"),
    ({"dtype": "bfloat16"}, "bfloat16"),
    ({"dtype": "float32", "out_dtype": "float16"}, "float16"),
    ({"out_dtype": "torch.bfloat16"}, "bfloat16"),
    ({"dtype": None, "out_dtype": None}, "base"),
]


@pytest.mark.parametrize(("types", "written"), TYPES)
def test_the_written_type(types, written):
    assert read(family("ties") | types).dtype == written


CARRIED = [
    {"tokenizer_source": "base"},
    {"tokenizer_source": "org/base"},
    {"tokenizer_source": None, "chat_template": "auto"},
    {"tokenizer": {"source": "base"}},
]


@pytest.mark.parametrize("extra", CARRIED, ids=str)
def test_the_base_s_tokenizer_is_what_is_carried_anyway(extra):
    assert read(family("ties") | extra) == read(family("ties"))


def linear(*weights, base=None, **shared):
    models = [
        {"model": f"/m/{name}", "parameters": {"weight": weight}}
        for name, weight in zip("abc", weights, strict=False)
    ]
    raw = {"merge_method": "linear", "models": models, "parameters": shared}
    return raw | ({"base_model": base} if base else {})


def test_linear_without_a_base_takes_its_first_model_for_it():
    recipe = read(linear(1, 2, 3))
    assert (recipe.method.method, recipe.base) == ("average", "/m/a")
    assert dict(recipe.experts) == {"a": "/m/a", "b": "/m/b", "c": "/m/c"}
    assert recipe.method.parameters.weight == {"a": 1.0, "b": 2.0, "c": 3.0}
    assert (recipe.lineage, recipe.stand_in) == ("report", "a")


def test_linear_s_base_is_one_more_model():
    recipe = read(linear(1, 2, base="/m/b"))
    assert recipe.base == recipe.experts["b"] == "/m/b"
    assert recipe.method.parameters.weight == {"a": 1.0, "b": 2.0}
    added = read(linear(1, 1, base="/x/z", weight=4))  # by the weight for all
    assert dict(added.experts) == {"a": "/m/a", "b": "/m/b", "z": "/x/z"}
    assert added.method.parameters.weight == {"a": 1.0, "b": 1.0, "z": 4.0}
    assert added.lineage == "report"
    assert problems(linear(1, 1, base="/x/z")) == [
        "base_model: linear merges it like the others and needs its weight; list it under `models` "
        "(weight 0 leaves it out), or drop `base_model`"
    ]


def test_a_base_of_weight_0_is_a_base_only():
    recipe = read(linear(1, 2, 0, base="/m/c"))
    assert recipe.base == "/m/c"
    assert dict(recipe.experts) == {"a": "/m/a", "b": "/m/b"}
    assert recipe.method.parameters.weight == {"a": 1.0, "b": 2.0}
    assert (recipe.lineage, recipe.stand_in) == ("strict", None)
    kept = read(linear(0, 1))  # named as no base: a model like the others
    assert dict(kept.experts) == {"a": "/m/a", "b": "/m/b"}


def test_linear_without_normalising_is_a_mean_where_the_weights_add_up_to_1():
    recipe = read(linear(0.1, 0.2, 0.7, normalize=False))
    assert recipe.method.parameters.weight == {"a": 0.1, "b": 0.2, "c": 0.7}
    assert problems(linear(0.5, 0.4, normalize=False)) == [
        "parameters.normalize = False: the weights add up to 0.9, and mergelaw's average divides "
        "by that: let them add up to 1, or leave normalize out"
    ]
    with pytest.raises(ConfigError, match="add up to 0, by which the mean divides"):
        read(linear(1, -1))


def test_linear_of_adapters_takes_their_model_for_the_base():
    raw = linear(1, 1)
    raw["models"][0]["model"], raw["models"][1]["model"] = "org/base+me/x", "org/base+me/y"
    recipe = read(raw)
    assert (recipe.base, recipe.stand_in) == ("org/base", None)
    assert dict(recipe.experts) == {"x": "me/x", "y": "me/y"}


def test_the_methods_on_the_sphere():
    slerp = {"merge_method": "slerp", "base_model": "/a", "parameters": {"t": 0.25}}
    for models in ([{"model": "/a"}, {"model": "/b"}], [{"model": "/b"}]):
        recipe = read(slerp | {"models": models})
        assert (recipe.base, dict(recipe.experts)) == ("/a", {"b": "/b"})
        assert recipe.method.parameters.t == 0.25
        assert recipe.lineage == "report"  # the base is an end of a path, no ancestor
    pair = [
        {"model": "/a", "parameters": {"weight": 1}},
        {"model": "/b", "parameters": {"weight": 3}},
    ]
    nuslerp = {"merge_method": "nuslerp", "models": pair, "parameters": {"nuslerp_flatten": True}}
    recipe = read(nuslerp)
    assert recipe.method.parameters.model_dump() == {
        "weight": {"a": 1.0, "b": 3.0},
        "space": "weights",
    }
    assert (recipe.base, recipe.stand_in, recipe.lineage) == ("/a", "a", "report")
    recipe = read(nuslerp | {"base_model": "/c"})
    assert recipe.method.parameters.space == "task_vectors"
    assert (recipe.base, dict(recipe.experts)) == ("/c", {"a": "/a", "b": "/b"})
    karcher = {"merge_method": "karcher", "models": [{"model": "/a"}, {"model": "/b"}]}
    recipe = read(karcher)
    expected = {"weight": 1.0, "space": "weights", "max_iterations": 10, "tolerance": 1e-5}
    assert recipe.method.parameters.model_dump() == expected
    assert (recipe.base, recipe.stand_in, recipe.lineage) == ("/a", "a", "report")
    recipe = read(karcher | {"base_model": "/c", "parameters": {"max_iter": 3, "tol": 1e-7}})
    assert dict(recipe.experts) == {"a": "/a", "b": "/b", "c": "/c"}
    p = recipe.method.parameters
    assert (p.max_iterations, p.tolerance) == (3, 1e-7)


def test_model_stock_and_sce():
    two = {"base_model": "/c", "models": [{"model": "/a"}, {"model": "/b"}]}
    recipe = read(two | {"merge_method": "model_stock", "parameters": {"filter_wise": False}})
    assert (recipe.method.method, len(recipe.experts)) == ("model_stock", 2)
    recipe = read(two | {"merge_method": "sce", "parameters": {"select_topk": 0.1}})
    assert (recipe.method.method, recipe.method.parameters.density) == ("sce", 0.1)
    assert parameters(two | {"merge_method": "sce"}) == {"density": 1.0}


def changed(raw, **changes):
    return raw | changes


def with_models(*models, name="ties", **extra):
    return {"merge_method": name, "base_model": "/b", "models": list(models), **extra}


X = {"model": "/x", "parameters": {"weight": 1}}
NAMES = ", ".join(PEERS)
REFUSED = [
    (
        changed(family("ties"), merge_method="tise"),
        f"merge_method = 'tise': must be one of {NAMES}",
    ),
    (changed(family("ties"), merge_method="passthrough"), "merge_method = 'passthrough': must be"),
    (changed(family("ties"), merge_method=["ties"]), "merge_method = ['ties']: must be one of"),
    (changed(family("ties"), merge_method=None), f"merge_method: is missing; one of {NAMES}"),
    (changed(family("ties"), name="x"), "name: names one merge in a file of several; give each"),
    (
        changed(family("ties"), slices=[]),
        "slices: mergelaw merges whole models; one slice over all layers is the same as `models`",
    ),
    (changed(family("ties"), modules={}), "modules: mergelaw merges all modules alike; list the"),
    (changed(family("ties"), basemodel="/b"), "basemodel: unknown key; did you mean 'base_model'?"),
    (changed(family("ties"), dtype="float64"), "dtype = 'float64': must be one of float32, bf"),
    (changed(family("ties"), out_dtype=16), "out_dtype = 16: must be one of float32, bfloat16, f"),
    (
        changed(family("ties"), tokenizer_source="union"),
        "tokenizer_source = 'union': the base's tokenizer is carried, and experts must share it; "
        "say base or leave it out",
    ),
    (changed(family("ties"), tokenizer={"source": "union"}), "tokenizer = {'source': 'union'}: "),
    (changed(family("ties"), tokenizer={"source": "base", "tokens": {}}), "tokenizer = {'source'"),
    (
        changed(family("ties"), tokenizer_source="base", tokenizer={"source": "base"}),
        "tokenizer: mergekit refuses it beside tokenizer_source; keep one",
    ),
    (changed(family("ties"), chat_template="chatml"), "chat_template = 'chatml': the base's is"),
    (changed(family("ties"), base_model=None), "base_model: is missing; mergekit's ties needs it"),
    (
        changed(family("ties"), base_model="org/base+me/lora"),
        "base_model = 'org/base+me/lora': a base is a whole model; merge its adapter into it first",
    ),
    (
        changed(family("ties"), base_model={"path": "/b"}),
        "base_model = {'path': '/b'}: must read model[@revision][+adapter[@revision]]",
    ),
    (changed(family("ties"), base_model="a@b@c"), "base_model = 'a@b@c': must read model[@revis"),
    (changed(family("ties"), models=None), "models: is missing"),
    (changed(family("ties"), models=[]), "models = []: must be a list of models"),
    (changed(family("ties"), models="/x"), "models = '/x': must be a list of models"),
    (changed(family("ties"), models={"a": "/x"}), "models = {'a': '/x'}: must be a list of models"),
    (changed(family("ties"), parameters=[1]), "parameters = [1]: must be a mapping"),
    (with_models(X, "/y"), "models[1] = '/y': must be a mapping of `model` and `parameters`"),
    (with_models(X, X), "models[1].model = '/x': is listed already"),
    (with_models({"parameters": {"weight": 1}}), "models[0].model: is missing"),
    (with_models(X | {"model": 3}), "models[0].model = 3: must read model[@revision]"),
    (with_models(X | {"model": "a+b+c"}), "models[0].model = 'a+b+c': must read model[@revision]"),
    (with_models(X | {"model": "+b"}), "models[0].model = '+b': must read model[@revision]"),
    (with_models(X | {"parameters": 3}, parameters={"weight": 1}), "models[0].parameters = 3: "),
    (with_models(X | {"paramters": {}}), "models[0].paramters: unknown key; did you mean 'para"),
    (
        with_models(X | {"layer_range": [0, 3]}),
        "models[0].layer_range: unknown key; allowed here: model, parameters",
    ),
    (
        with_models(X | {"model": "/y+/lora"}),
        "models[0].model: an adapter is taken on the base alone, and '/y' is not '/b'; merge the "
        "adapter into its model first",
    ),
    (
        with_models(X, {"model": "/b", "parameters": {"weight": 1}}),
        "models[1].parameters: the base has none in ties (mergekit ignores them); leave them out",
    ),
    (
        with_models({"model": "/x"}),
        "models[0].parameters.weight: is missing; mergekit's ties needs it, here or for all in the "
        "top level's `parameters`",
    ),
    (
        with_models({"model": "/x"}, name="slerp"),
        "parameters.t: is missing; mergekit's slerp needs it",
    ),
    (
        with_models(X, parameters={"lamda": 1}),
        "parameters.lamda: unknown key; did you mean 'lambda'?",
    ),
    (
        with_models({"model": "/x", "parameters": {"weight": 1, "wieght": 2}}),
        "models[0].parameters.wieght: unknown key; did you mean 'weight'?",
    ),
    (
        with_models(X, parameters={"gamma": 0.1}),
        "parameters.gamma: ties has no such parameter (mergekit ignores it); leave it out",
    ),
    (
        with_models(X, name="task_arithmetic", parameters={"density": 0.1}),
        "parameters.density: task_arithmetic has no such parameter (mergekit ignores it); leave it",
    ),
    (
        with_models({"model": "/x", "parameters": {"weight": 1, "lambda": 2}}),
        "models[0].parameters.lambda: is one for all models, and mergekit ignores it here; move it",
    ),
    (
        with_models(X, parameters={"density": [0.1, 0.9]}),
        "parameters.density = [0.1, 0.9]: changes with the layer or the tensor's name; mergelaw "
        "takes one number for all: give that",
    ),
    (
        with_models({"model": "/x", "parameters": {"weight": [{"filter": "mlp", "value": 1}]}}),
        "models[0].parameters.weight = [{'filter': 'mlp', 'value': 1}]: changes with the layer",
    ),
    (
        with_models({"model": "/x", "parameters": {"weight": {"value": 1}}}),
        "models[0].parameters.weight = {'value': 1}: changes with the layer",
    ),
    (
        with_models(X, parameters={"density": 1.5}),
        "parameters.density = 1.5: should be less than or equal to 1 (allowed: > 0 and <= 1)",
    ),
    (
        with_models(X, parameters={"density": 0}),
        "parameters.density = 0: should be greater than 0 (allowed: > 0 and <= 1)",
    ),
    (with_models(X, parameters={"lambda": "big"}), "parameters.lambda = 'big': should be a valid"),
    (with_models(X, parameters={"lambda": float("nan")}), "parameters.lambda = nan: should be a"),
    (with_models(X, parameters={"normalize": "maybe"}), "parameters.normalize = 'maybe': should"),
    (with_models(X, parameters={"int8_mask": 3}), "parameters.int8_mask = 3: should be a valid b"),
    (with_models(X, parameters={"weight": None}), "parameters.weight = None: should be a valid n"),
    (
        with_models(X, parameters={"rescale": True}),
        "parameters.rescale = True: has no like in mergelaw, which merges as for False; leave it",
    ),
    (
        with_models(X, name="breadcrumbs", parameters={"rescale": True}),
        "parameters.rescale = True: has no like in mergelaw",
    ),
    (
        with_models(
            {"model": "/x"}, {"model": "/y"}, name="model_stock", parameters={"filter_wise": True}
        ),
        "parameters.filter_wise = True: has no like in mergelaw, which merges as for False",
    ),
    (
        with_models(
            X,
            {"model": "/y", "parameters": {"weight": 1}},
            name="nuslerp",
            parameters={"nuslerp_flatten": False},
        ),
        "parameters.nuslerp_flatten = False: has no like in mergelaw, which merges as for True",
    ),
    (
        with_models(X, name="della", parameters={"density": 0.9}),
        "models[0]: density = 0.9 and epsilon = 0.15: mergekit takes density - epsilon above 0 and "
        "density + epsilon below 1",
    ),
    (
        with_models(X, name="della", parameters={"density": 0.75, "epsilon": 0.25}),
        "models[0]: density = 0.75 and epsilon = 0.25: mergekit takes",
    ),
    (
        with_models(X, name="della_linear", parameters={"density": 0.1}),
        "models[0]: density = 0.1 and epsilon = 0.15: mergekit takes density - epsilon above 0",
    ),
    (
        with_models({"model": "/x"}, name="model_stock"),
        "models: model_stock merges at least 2 experts besides the base; here are 1",
    ),
    (
        with_models({"model": "/x"}, {"model": "/y"}, name="slerp", parameters={"t": 0.1}),
        "models: slerp merges exactly 1 expert besides the base; here are 2",
    ),
    (
        changed(linear(1, 1, 1), merge_method="nuslerp"),
        "models: nuslerp merges exactly 2 experts; here are 3",
    ),
    (with_models({"model": "/b"}), "models: ties merges at least 1 expert besides the base; here"),
]


@pytest.mark.parametrize(
    ("raw", "line"), REFUSED, ids=[f"{i} {line[:40]}" for i, (_, line) in enumerate(REFUSED)]
)
def test_what_has_no_like_is_refused_by_name(raw, line):
    raw = {key: value for key, value in raw.items() if value is not None}
    told = problems(raw)
    assert len(told) == 1, told  # nothing else is held against it
    assert told[0].startswith(line)


def test_all_problems_of_a_file_in_one_message():
    raw = {
        "merge_method": "della",
        "base_model": "/b",
        "models": [
            {"model": "/x", "parameters": {"wieght": 1, "lambda": 2}},
            3,
            {"model": "/y+/l", "parameters": {"weight": [0, 1]}},
        ],
        "parameters": {"t": 3, "density": 2},
        "dtype": "int64",
        "name": "x",
        "tokenizer_source": "union",
    }
    assert sorted(line.split(" ")[0].rstrip(":") for line in problems(raw)) == [
        "dtype",
        "models[0].parameters.lambda",
        "models[0].parameters.weight",
        "models[0].parameters.wieght",
        "models[1]",
        "models[2].model",
        "models[2].parameters.weight",
        "name",
        "parameters.density",
        "parameters.t",
        "tokenizer_source",
    ]


def test_which_files_are_mergekit_s():
    assert is_mergekit({"merge_method": 1})
    assert is_mergekit({"slices": [], "base_model": "x"})
    assert not is_mergekit({"base": "x", "method": "ties", "models": []})
    assert not is_mergekit({"base": "x"})


TWO = {"code": "/m/code", "algebra": "/m/algebra"}
ROUND = [
    ("average", TWO, {"code": 1.0, "algebra": 2.5}),
    ("average", TWO, None),
    ("task_arithmetic:scale=0.8", TWO, None),
    ("task_arithmetic:scale=0.8,normalize=false", TWO, {"code": 1.0, "algebra": -2.0}),
    ("ties:density=0.2,scope=tensor,scale=0.5", TWO, {"code": 0.25, "algebra": 1.0}),
    ("ties:density=0.2,scope=tensor,normalize=false", TWO, None),
    ("dare:drop_rate=0.47,rescale=l1,scale=0.9", TWO, None),
    ("dare:drop_rate=0.1,rescale=none", TWO, {"code": 0.25, "algebra": 1.0}),
    ("dare_ties:drop_rate=0.9,rescale=l1", TWO, None),
    ("breadcrumbs:density=0.9,gamma=0.02", TWO, None),
    ("breadcrumbs_ties:density=0.5,gamma=0,scale=2", TWO, None),
    ("della:density=0.7,epsilon=0.1,rescale=l1", TWO, {"code": 0.25, "algebra": 1.0}),
    ("della:density=1,epsilon=0,rescale=none", TWO, None),
    ("della_linear:density=0.3,epsilon=0.2,rescale=none", TWO, None),
    ("model_stock", TWO, None),
    ("sce:density=0.3", TWO, None),
    ("slerp:t=0.3", {"code": "/m/code"}, None),
    ("nuslerp", TWO, {"code": 0.25, "algebra": 1.0}),
]


@pytest.mark.parametrize(("text", "experts", "weights"), ROUND, ids=[t for t, *_ in ROUND])
@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_what_is_written_for_mergekit_is_read_back_to_the_same(
    tmp_path, text, experts, weights, dtype
):
    lineage = "report" if text.startswith("slerp") else "strict"
    entry = method_from_text(text, weights)
    recipe = recipe_of("org/base@v1", experts, entry, dtype=dtype, lineage=lineage)
    (tmp_path / "merge.yml").write_text(to_mergekit(recipe))
    assert read_recipe(tmp_path / "merge.yml") == recipe
    written = yaml.safe_load(to_mergekit(recipe))
    assert (written["dtype"], written["out_dtype"]) == ("float32", dtype)


NO_BASE = [
    ("average", {"code": 1, "algebra": 3}),
    ("karcher:tolerance=1e-6,max_iterations=4", None),
    ("nuslerp:space=weights", {"code": 1, "algebra": 3}),
]


@pytest.mark.parametrize(("text", "weights"), NO_BASE)
def test_merges_that_need_no_base_come_back_too(text, weights):
    entry = method_from_text(text, weights)
    recipe = recipe_of("/m/code", TWO, entry, dtype="float32", lineage="report")
    assert read(yaml.safe_load(to_mergekit(recipe))) == recipe
    other = recipe_of("/m/base", TWO, entry, dtype="float32")
    again = read(yaml.safe_load(to_mergekit(other)))
    assert (again.method, again.experts) == (other.method, other.experts)


def test_numbers_by_expert_and_adapters_are_written_with_their_model():
    raw = {
        "base": "org/base",
        "experts": {"lora": "me/lora", "code": "/m/code"},
        "method": "ties",
        "parameters": {"density": {"code": 0.2, "lora": 0.5}, "scope": "tensor"},
        "dtype": "bfloat16",
    }
    written = yaml.safe_load(to_mergekit(parse_recipe(raw), adapters=["lora"]))
    assert written["models"] == [
        {"model": "org/base+me/lora", "parameters": {"weight": 1.0, "density": 0.5}},
        {"model": "/m/code", "parameters": {"weight": 1.0, "density": 0.2}},
    ]
    assert written["parameters"] == {"normalize": True, "lambda": 1.0}
    assert read(written) == parse_recipe(raw)


def test_averages_are_written_with_a_base_that_weighs_nothing():
    recipe = recipe_of("/base", TWO, method_from_text("average"), dtype="bfloat16")
    written = yaml.safe_load(to_mergekit(recipe))
    assert written["base_model"] == "/base"
    assert [entry["parameters"]["weight"] for entry in written["models"]] == [1.0, 1.0, 0.0]


def test_the_base_s_own_type_must_be_known():
    recipe = recipe_of("/base", TWO, method_from_text("average"))
    assert yaml.safe_load(to_mergekit(recipe, base_dtype="bfloat16"))["out_dtype"] == "bfloat16"
    for base_dtype in (None, "float64"):
        with pytest.raises(ConfigError, match="mergekit's file names the type; one of float32"):
            to_mergekit(recipe, base_dtype=base_dtype)


UNSAID = [
    ("ties:scope=model", TWO, "parameters.scope = 'model': mergekit's ties can only say 'tensor'"),
    (
        "ties:scope=tensor,keep=threshold,zero_sign=majority",
        TWO,
        "parameters.keep = 'threshold': mergekit's ties can only say 'exact'",
        "parameters.zero_sign = 'majority': mergekit's ties can only say 'positive'",
    ),
    (
        "dare",
        TWO,
        "parameters.rescale = 'inverse': mergekit's methods rescale to the former L1 norm ('l1') "
        "or not at all ('none')",
    ),
    (
        "della:density=0.9,rescale=l1",
        TWO,
        "experts.code: density = 0.9 and epsilon = 0.15: mergekit takes density - epsilon above 0",
        "experts.algebra: density = 0.9 and epsilon = 0.15: mergekit takes density - epsilon",
    ),
    ("della:density=1,rescale=l1", {"code": "/c"}, "experts.code: density = 1 and epsilon = 0.15:"),
    (
        "karcher:space=task_vectors",
        TWO,
        "parameters.space = 'task_vectors': mergekit's karcher can only say 'weights'",
    ),
    ("average", {"a": "/x+y"}, "experts.a = '/x+y': mergekit would split it at '+' or '@'; give"),
    ("average", {"a": "x@y@z"}, "experts.a = 'x@y@z': mergekit would split it at '+' or '@'"),
    (
        "average",
        {"a": "/x", "b": "/x"},
        "experts.b = '/x': is experts.a too; mergekit merges no model twice",
    ),
    ("sce", {"a": "/base"}, "experts.a = '/base': is the base, which has no task vector"),
    (
        "nuslerp",
        {"a": "/base", "b": "/x"},
        "experts.a = '/base': is the base, which has no task vector",
    ),
]


@pytest.mark.parametrize(("text", "experts", "lines"), [(t, e, ls) for t, e, *ls in UNSAID])
def test_what_mergekit_cannot_say_is_refused_by_name(text, experts, lines):
    recipe = recipe_of("/base", experts, method_from_text(text), dtype="float32")
    with pytest.raises(ConfigError) as caught:
        to_mergekit(recipe)
    _, *told = str(caught.value).splitlines()
    assert len(told) == len(lines)
    assert all(t.startswith(f"  - {line}") for t, line in zip(told, lines, strict=True)), told


def test_unequal_weights_on_the_sphere_are_refused():
    entry = method_from_text("karcher", {"code": 1, "algebra": 2})
    with pytest.raises(ConfigError, match="mergekit's karcher weighs all models equally"):
        to_mergekit(recipe_of("/base", TWO, entry, dtype="float32"))
    entry = method_from_text("karcher", {"code": 2, "algebra": 2})
    to_mergekit(recipe_of("/base", TWO, entry, dtype="float32"))


def test_every_method_has_its_peer():
    assert sorted([*(peer.method for peer in PEERS.values()), "layerwise"]) == sorted(METHODS)


def test_weights_by_layer_have_no_peer_and_are_told():
    entry = method_from_text("layerwise", {"code": 0.5, "algebra": 0.25})
    with pytest.raises(ConfigError, match=r"'layerwise': mergekit has no such method.*--native"):
        to_mergekit(recipe_of("/base", TWO, entry, dtype="float32"))


def test_every_parameter_has_its_peer_or_one_fixed_value():
    for name, peer in PEERS.items():
        entry = METHODS[peer.method](label="x", method=peer.method)
        ours = {p.ours for p in peer.parameters.values()} - {None} | peer.fixed.keys()
        known = entry.parameters.model_dump().keys()
        assert ours | ({"space"} if peer.base == "optional" else set()) == known, name


PARSE_ALL = """
import sys
from pathlib import Path
import yaml
from mergekit.common import ModelReference
from mergekit.config import MergeConfiguration
from mergekit.merge_methods import registry
for path in sorted(Path(sys.argv[1]).glob("*.yml")):
    config = MergeConfiguration.model_validate(yaml.safe_load(path.read_text()))
    spec = registry.get(config.merge_method).spec
    known = {parameter.name for parameter in spec.parameters}
    by_model = {parameter.name for parameter in spec.input_parameters}
    stray = set(config.parameters or {}) - (known - by_model)
    inputs = {entry.model for entry in config.models}
    for entry in config.models:
        stray |= set(entry.parameters or {}) - by_model
        required = {p.name for p in spec.input_parameters if p.required}
        missing = required - set(entry.parameters or {})
        assert not missing, (path, missing)
    assert not stray, (path, stray)
    inputs |= {config.base_model} - {None}
    spec.contract.validate_ids(tuple(inputs), config.base_model)
    print(path.name)
"""


@pytest.mark.skipif(
    not OVERLAY.exists(), reason="python -m benchmarks.mergekit_env overlay installs mergekit"
)
def test_mergekit_s_own_parser_takes_what_is_written(tmp_path):
    for index, (text, experts, weights) in enumerate([*ROUND, *((t, TWO, w) for t, w in NO_BASE)]):
        recipe = recipe_of("org/base@v1", experts, method_from_text(text, weights), dtype="float16")
        (tmp_path / f"{index:02}.yml").write_text(to_mergekit(recipe))
    command = [sys.executable, "-c", PARSE_ALL, str(tmp_path)]
    finished = subprocess.run(command, env=overlay_variables(), capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    assert len(finished.stdout.split()) == len(ROUND) + len(NO_BASE)
