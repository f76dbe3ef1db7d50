"""Configs with problems: every one is told in words: the key, the value and what is allowed."""

import pytest

from mergelaw.config import parse_study, read_study
from mergelaw.errors import ConfigError
from tests.helpers import ARCHITECTURE, METHODS, STUDY, study_dict, study_of

GIVEN = {"base": "/base", "experts": {"algebra": "/a", "biology": "/b", "code": "/c"}}


def problems(*changes) -> list[str]:
    """Return the lines of the error that changes of the tiny study cause, without the dashes."""
    with pytest.raises(ConfigError) as caught:
        study_of(*changes)
    headline, *lines = str(caught.value).splitlines()
    count = f"{len(lines)} problem" + ("s" if len(lines) != 1 else "")
    assert headline == f"config: {count}"
    assert all(line.startswith("  - ") for line in lines)
    return [line.removeprefix("  - ") for line in lines]


ONE_SECTION = [
    (("seeed", 1), "seeed: unknown key; did you mean 'seed'?"),
    (("zzz", 1), "zzz: unknown key; allowed here: name, notes, seed, "),
    (
        ("evaluation.token_per_domain", 1),
        "evaluation.token_per_domain: unknown key; did you mean 'tokens_per_domain'?",
    ),
    (
        ("methods.2.parameters.densty", 1),
        "methods[2].parameters.densty: unknown key; did you mean 'density'?",
    ),
    (
        ("methods.0.parameters", {"scale": 1}),
        "methods[0].parameters.scale: unknown key; allowed here: weight",
    ),
    (
        ("methods.0", {"label": "stock", "method": "model_stock", "parameters": {"scale": 1}}),
        "methods[0].parameters.scale: unknown key; allowed here: none",
    ),
    (("methods.2.parameters", 3), "methods[2].parameters = 3: must be a mapping"),
    (("methods.0", "ties"), "methods[0] = 'ties': must be a mapping"),
    (("domains.0.source.item", 5), "domains[0].source.item: unknown key; did you mean 'items'?"),
    (("design.0.chunksize", 5), "design[0].chunksize: unknown key; did you mean 'chunk_size'?"),
    (
        ("sizes.1.architecture.head", 5),
        "sizes[1].architecture.head: unknown key; did you mean 'heads'?",
    ),
    (
        ("methods.1.method", "tise"),
        "methods[1].method = 'tise': must be one of 'average', 'task_arithmetic', 'ties', 'dare'",
    ),
    (
        ("design.0.kind", None),
        "design[0].kind: is missing; one of balanced, exhaustive, max_min_hamming, uniform",
    ),
    (
        ("domains.0.source.kind", "file"),
        "domains[0].source.kind = 'file': must be one of 'procedural', 'files', 'datasets'",
    ),
    (("domains.0.source.generator", "geology"), "domains[0].source.generator = 'geology': "),
    (
        ("methods.2.parameters.density", 0),
        "methods[2].parameters.density = 0: should be greater than 0 (allowed: > 0 and <= 1)",
    ),
    (
        ("methods.2.parameters.density", 1.5),
        "methods[2].parameters.density = 1.5: should be less than or equal to 1 "
        "(allowed: > 0 and <= 1)",
    ),
    (("methods.3.parameters.drop_rate", 1), "(allowed: >= 0 and < 1)"),
    (
        ("methods.2.parameters.density", {"algebra": 1, "biology": 0.5, "code": 1.5}),
        "methods[2].parameters.density.code = 1.5: should be less than or equal to 1 "
        "(allowed: > 0 and <= 1)",
    ),
    (
        ("methods.2.parameters.density", [0.5]),
        "methods[2].parameters.density = [0.5]: should be a valid number (allowed: > 0 and <= 1)",
    ),
    (
        ("methods.2.parameters.density", {"co de": 0.5}),
        "methods[2].parameters.density.co de: must be a name of letters, digits, '_', '.', '-' "
        "that begins with a letter or digit",
    ),
    (
        ("methods.2.parameters.weight", {2024: 0.5}),
        "methods[2].parameters.weight[2024]: must be a name; put 2024 in quotes",
    ),
    (
        ("methods.2.parameters.weight", {"code": float("inf")}),
        "weight.code = inf: should be a finite number",
    ),
    (
        ("seed", -1),
        "seed = -1: should be greater than or equal to 0 (allowed: >= 0 and < 4,294,967,296)",
    ),
    (("seed", "one"), "seed = 'one': should be a valid integer"),
    (
        ("design.0.k", [0]),
        "design[0].k[0] = 0: should be greater than or equal to 1 (allowed: >= 1)",
    ),
    (("sizes.0.architecture.layers", None), "sizes[0].architecture.layers: is missing"),
    (("name", None), "name: is missing (The study's name and its folder under `results/`.)"),
    (("name", "a/b"), "name = 'a/b': "),
    (("methods.0.label", "../x"), "methods[0].label = '../x': "),
    (("training.expert.learning_rate", float("nan")), "training.expert.learning_rate = nan: "),
    (("methods.1.parameters.scale", float("inf")), "methods[1].parameters.scale = inf: "),
    (("methods.1.parameters.scale", float("nan")), "methods[1].parameters.scale = nan: "),
    (("training.base.betas", [0.9]), "training.base.betas[1]: is missing"),
    (("domains", []), "domains = []: "),
    (("sizes", 3), "sizes = 3: "),
]


@pytest.mark.parametrize(
    ("change", "line"), ONE_SECTION, ids=[line[:40] for _, line in ONE_SECTION]
)
def test_one_section_s_problem_in_words(change, line):
    (told,) = problems(change)
    assert told.startswith(line) or told.endswith(line)


ACROSS = [
    ([("design.0.k", [1, 4])], "design[0].k = 4: allowed 1 to 3"),
    (
        [("sizes.1.design", [{"kind": "exhaustive", "k": [7]}])],
        "sizes[1].design[0].k = 7: allowed 1 to 3",
    ),
    ([("design.0.k", [2, 2])], "design[0].k = '2' occurs 2 times"),
    ([("methods.1.label", "average")], "methods.label = 'average' occurs 2 times"),
    (
        [("domains.1.name", "macro"), ("experts.1.domain", "macro")],
        "domains[1].name = 'macro': the word is taken by the mean over domains",
    ),
    ([("experts.1.name", "base")], "experts[1].name = 'base': the word is taken by the base model"),
    (
        [("experts.1.domain", "geology")],
        "experts[1].domain = 'geology': must be one of algebra, biology, code",
    ),
    ([("sizes.0.base", "/base")], "sizes[0]: give either `architecture` (train a base) or `base`"),
    (
        [("sizes.0.architecture", None)],
        "sizes[0]: give either `architecture` (train a base) or `base`",
    ),
    (
        [("methods.2.parameters.density", {"algebra": 0.5, "codd": 0.5})],
        "methods[2].parameters.density: lacks biology, code; a mapping names every expert",
    ),
    (
        [("methods.2.parameters.density", {"algebra": 0.5, "biology": 1, "code": 1, "codd": 0.5})],
        "methods[2].parameters.density.codd: not in the pool; did you mean 'code'?",
    ),
    (
        [("methods.0", {"label": "arc", "method": "slerp"})],
        "methods[0].method = 'slerp': merges exactly 1 expert, but design[0] has k = 2, 3: "
        "give it a list `k` without, or leave the method out",
    ),
    (
        [("methods.0", {"label": "arc", "method": "nuslerp"}), ("design.0.k", [3, 2, 1])],
        "methods[0].method = 'nuslerp': merges exactly 2 experts, but design[0] has k = 3, 1: ",
    ),
    (
        [
            ("methods.0", {"label": "stock", "method": "model_stock"}),
            ("sizes.1.design", [{"kind": "exhaustive", "k": [2]}, {"kind": "exhaustive"}]),
        ],
        "methods[0].method = 'model_stock': merges at least 2 experts, but sizes[1].design[1] has "
        "k = 1: ",
    ),
    (
        [("methods.0.parameters", {"weight": 0})],
        "methods[0].parameters.weight = 0.0: the weights of all experts that are merged add up to",
    ),
    (
        [("methods.0.parameters", {"weight": {"algebra": 1, "biology": 0, "code": 1}})],
        "methods[0].parameters.weight = {'algebra': 1.0, 'biology': 0.0, 'code': 1.0}: the weights "
        "of some experts that are merged add up to 0, by which the mean divides",
    ),
    (
        [("sizes.0.experts", {"algebra": "/x"})],
        "sizes[0].experts: finished experts need the `base` that they were made from",
    ),
    (
        [
            ("sizes.0", {"name": "s"} | GIVEN | {"experts": GIVEN["experts"] | {"coed": "/x"}}),
            ("tokenizer", {"path": "/t"}),
        ],
        "sizes[0].experts = 'coed': not in the pool (algebra, biology, code)",
    ),
    (
        [("sizes.0.architecture.heads", 3)],
        "sizes[0].architecture.heads = 3: hidden_size / heads must be an even whole number",
    ),
    (
        [("sizes.0.architecture.kv_heads", 3)],
        "sizes[0].architecture.kv_heads = 3: must divide heads = 2",
    ),
    (
        [("evaluation.max_length", 97)],
        "evaluation.max_length = 97: at most sizes[0].architecture.context = 96",
    ),
    (
        [("training.expert.max_length", 97)],
        "training.expert.max_length = 97: at most sizes[0].architecture.context = 96",
    ),
    ([("data.shares.base", 0.5)], "data.shares = 1.1 in all: base + train + heldout must be 1"),
    (
        [("data.shares", {"base": 0, "train": 0.5, "heldout": 0.5})],
        "data.shares.base = 0: bases are",
    ),
    (
        [("data.shares", {"base": 0.5, "train": 0, "heldout": 0.5})],
        "data.shares.train = 0: experts are",
    ),
    ([("tokenizer", {})], "tokenizer: give either `vocab_size` (train one) or `path` (use one)"),
    (
        [("tokenizer.path", "/t")],
        "tokenizer: give either `vocab_size` (train one) or `path` (use one)",
    ),
    (
        [("sizes.0", {"name": "s"} | GIVEN)],
        "tokenizer.path: is missing; a given `base` needs its own tokenizer",
    ),
    (
        [("tokenizer.template", "llama2")],
        "tokenizer.template = 'llama2': must be one of chatml, llama3, gemma, or the path of a ",
    ),
    ([("tokenizer.template", " ")], "tokenizer.template: is blank; leave it out or say what it is"),
    ([("tokenizer.system", "")], "tokenizer.system: is blank; leave it out or say what it is"),
    ([("scales", {"fitted": [1, 2, 1, 3]})], "scales.fitted = '1' occurs 2 times"),
    ([("scales", {"checked": [2, 2]})], "scales.checked = '2' occurs 2 times"),
    (
        [("scales", {"checked": [1.3, 2]})],
        "scales.checked = 1.3: is in scales.fitted too; leave out one of the two",
    ),
    ([("scales", {"k": [1, 4]})], "scales.k = 4: allowed 1 to 3, the number of experts"),
    ([("scales", {"k": [2, 2]})], "scales.k = '2' occurs 2 times"),
    (
        [("scales", {}), ("methods", [{"label": "a", "method": "karcher"}])],
        "scales: no method of the study has a scale of a mean; add one, such as task_arithmetic",
    ),
    (
        [
            ("scales", {}),
            (
                "methods",
                [{"label": "sum", "method": "ties", "parameters": {"normalize": False}}],
            ),
        ],
        "scales: no method of the study has a scale of a mean",
    ),
    ([("orders", {"k": [2, 9]})], "orders.k = 9: allowed 2 to 3, the number of experts"),
    ([("orders", {"k": [3, 3]})], "orders.k = '3' occurs 2 times"),
    (
        [
            ("design.0.k", [2, 3]),
            ("scales", {}),
            ("methods.1.parameters.weight", {"algebra": 1, "biology": 0, "code": 1}),
        ],
        "methods[1].parameters.weight = {'algebra': 1.0, 'biology': 0.0, 'code': 1.0}: the weights",
    ),
    ([("laws.forecast_k", [1, 2, 2])], "laws.forecast_k = [1, 2, 2]: must be three k"),
    (
        [("laws.forecast_k", [2, 1, 3])],
        "laws.forecast_k = [2, 1, 3]: must be three k in rising order",
    ),
    ([("laws.forecast_k", [0, 1, 2])], "laws.forecast_k = [0, 1, 2]: must be three k"),
    (
        [("domains.0.source", {"kind": "files", "files": ["a"], "fields": {"prompt": "q"}})],
        "domains[0].source.fields = {'prompt': 'q'}: give `prompt` and `response`, or",
    ),
    (
        [
            (
                "domains.0.source",
                {
                    "kind": "files",
                    "files": ["a"],
                    "fields": {"prompt": "q", "response": "a", "text": "t"},
                },
            )
        ],
        "domains[0].source.fields = {'prompt': 'q', 'response': 'a', 'text': 't'}: give",
    ),
    (
        [("domains.0.source", {"kind": "files", "files": ["a"], "fields": {}})],
        "domains[0].source.fields = {}: give",
    ),
]


@pytest.mark.parametrize(("changes", "line"), ACROSS, ids=[line[:50] for _, line in ACROSS])
def test_a_problem_across_sections_in_words(changes, line):
    told = problems(*changes)
    assert [problem for problem in told if problem.startswith(line)], told


def test_a_method_is_held_against_the_parts_that_some_size_follows():
    own = [{"kind": "exhaustive", "k": [1]}]
    slerp = ("methods.0", {"label": "arc", "method": "slerp"})
    assert len(problems(slerp, ("sizes.0.design", own))) == 1  # the other size follows design[0]
    study_of(slerp, ("sizes.0.design", own), ("sizes.1.design", own))


def test_numbers_that_differ_by_expert_are_taken():
    density = {"code": 0.2, "algebra": 1, "biology": 0.5}
    study = study_of(("methods.2.parameters.density", density))
    assert study.method("ties").parameters.density == density
    assert parse_study(study.model_dump(mode="json")) == study
    # no k = 1 in the design: a weight of 0 leaves others to divide by
    weight = {"code": 0, "algebra": 1, "biology": 0.5}
    study_of(("methods.0.parameters", {"weight": weight}), ("design.0.k", [2, 3]))
    study_of(("methods.1.parameters", {"weight": 0, "normalize": False}))  # nothing to divide by


def test_every_size_whose_context_is_too_short_is_told():
    assert len(problems(("evaluation.max_length", 97))) == 2


def test_an_expert_with_neither_home_nor_checkpoint_is_named():
    told = problems(("experts.2.domain", None))
    assert [line for line in told if "expert 'code' has no home domain to be trained on" in line]


def test_no_text_for_experts_trained_from_a_given_base():
    size = {
        "name": "s",
        "base": "/base",
        "experts": {"algebra": "/a", "biology": "/b"},
    }  # code is trained
    shares = {"base": 0, "train": 0, "heldout": 1}
    changes = ("sizes", [size]), ("tokenizer", {"path": "/base"}), ("data.shares", shares)
    assert problems(*changes) == [
        "data.shares.train = 0: experts are trained here and need a share above 0"
    ]
    all_given = size | {"experts": {"algebra": "/a", "biology": "/b", "code": "/c"}}
    changes = ("sizes", [all_given]), ("tokenizer", {"path": "/base"}), ("data.shares", shares)
    assert problems(*changes, ("multitask", {})) == [
        "data.shares.train = 0: multitask is trained here and needs a share above 0"
    ]
    size["experts"]["code"] = "/c"
    study_of(*changes)  # nothing is trained: no text is needed


def test_problems_of_all_sections_in_one_message():
    told = problems(
        ("seeed", 1),
        ("methods.2.parameters.density", 0),
        ("evaluation.max_length", 97),
        ("design.0.k", [9]),
        ("experts.1.domain", "geology"),
        ("laws.heldout_k", 1),
    )
    assert sorted(line.split(" ")[0].rstrip(":") for line in told) == [
        "design[0].k",
        "evaluation.max_length",
        "evaluation.max_length",
        "experts[1].domain",
        "laws.heldout_k",
        "methods[2].parameters.density",
        "seeed",
    ]


def test_files_that_are_no_config(tmp_path):
    path = tmp_path / "study.yaml"
    with pytest.raises(ConfigError, match=r"study\.yaml: cannot be read \(No such file"):
        read_study(path)
    path.write_bytes(b"name: [1, 2")
    with pytest.raises(ConfigError, match="is not valid YAML"):
        read_study(path)
    path.write_bytes(b"name: \xff")
    with pytest.raises(ConfigError, match="is not valid YAML"):
        read_study(path)
    path.write_text("- a\n- b\n")
    with pytest.raises(ConfigError, match="must be a mapping of sections, not list"):
        read_study(path)
    path.write_text("")
    with pytest.raises(ConfigError, match="must be a mapping of sections, not NoneType"):
        read_study(path)


REPEATED = """\
name: a
sizes:
- {name: s, name: t}
common: &common {seed: 1}
laws: {<<: *common, seed: 2}
name: b
"""


def test_keys_given_twice_are_told_with_their_lines(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text(REPEATED)
    with pytest.raises(ConfigError) as caught:
        read_study(path)
    assert str(caught.value).splitlines() == [
        f"{path}: 2 problems",
        "  - line 3: name is given twice, first in line 3",
        "  - line 6: name is given twice, first in line 1",
    ]


@pytest.mark.parametrize("text", ["name: a\n---\nname: b\n", "name: a\n---\n", "---\n---\n"])
def test_several_documents_are_refused(tmp_path, text):
    (tmp_path / "study.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"holds several YAML documents, the second in line \d"):
        read_study(tmp_path / "study.yaml")


@pytest.mark.parametrize(
    "text", ["a: 2024-13-01", "a: !!bool x", "a: !!timestamp x", "[" * 1500, "a: !!python/name:os"]
)
def test_yaml_that_python_cannot_build_is_told_as_such(tmp_path, text):
    (tmp_path / "study.yaml").write_text(text)
    with pytest.raises(ConfigError, match="is not valid YAML"):
        read_study(tmp_path / "study.yaml")


def test_the_file_is_named_in_the_headline(tmp_path):
    (tmp_path / "study.yaml").write_text("name: x\n")
    with pytest.raises(ConfigError, match=r"study\.yaml: 7 problems"):
        read_study(tmp_path / "study.yaml")


def test_a_good_config_is_taken():
    study = parse_study(STUDY)
    assert study.expert_names == ("algebra", "biology", "code")
    assert study.method("ties").parameters.density == 0.6
    assert study.size("large").architecture.hidden_size == ARCHITECTURE["hidden_size"] + 8
    assert study.method_labels == tuple(method["label"] for method in METHODS)
    assert study_dict() == STUDY
