"""The schema of study configs is frozen, closed and described; the repository's studies load."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from mergelaw.config import Study, parse_study, read_study
from mergelaw.config.base import Section
from mergelaw.design import chunks
from mergelaw.errors import ConfigError
from tests.helpers import study_dict, study_of

CONFIGS = Path(__file__).parents[2] / "config"
SCHEMA = Study.model_json_schema()
SECTIONS = {"Study": SCHEMA} | SCHEMA["$defs"]
FIELDS = [(name, field) for name, section in SECTIONS.items() for field in section["properties"]]


def every_section(section=Section):
    for child in section.__subclasses__():
        yield child
        yield from every_section(child)


def mappings(value, path=()):
    """Yield the path of every section of a config (`sizes.experts` is a table, no section)."""
    if isinstance(value, dict) and path[-1:] != ("experts",):
        yield path
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(inner, dict | list):
            yield from mappings(inner, (*path, key))


FULL = study_dict(
    ("sizes.0.design", [{"kind": "uniform", "subsets_per_k": 2}, {"kind": "max_min_hamming"}]),
    ("domains.1.source", {"kind": "files", "files": ["a"], "fields": {"text": "t"}}),
    ("domains.2.source", {"kind": "datasets", "path": "d", "fields": {"messages": "m"}}),
)


@pytest.mark.parametrize("path", list(mappings(FULL)), ids=lambda p: ".".join(map(str, p)) or "top")
def test_an_unknown_key_is_refused_in_every_section(path):
    parse_study(FULL)
    with pytest.raises(ConfigError, match=r"surplus: unknown key") as caught:
        parse_study(study_dict_with(path))
    assert "1 problem\n" in str(caught.value)


def study_dict_with(path):
    import copy

    raw = copy.deepcopy(FULL)
    place = raw
    for part in path:
        place = place[part]
    place["surplus"] = 1
    return raw


def test_every_section_of_the_schema_is_closed():
    assert len(SECTIONS) > 20
    for name, section in SECTIONS.items():
        assert section["additionalProperties"] is False, name


def test_every_section_is_frozen():
    sections = list(every_section())
    assert {section.__name__ for section in sections} >= SECTIONS.keys()
    for section in sections:
        assert section.model_config["frozen"], section
        assert section.model_config["extra"] == "forbid", section
    study = study_of()
    for section, field in [
        (study, "seed"),
        (study.methods[2].parameters, "density"),
        (study.laws, "resamples"),
    ]:
        with pytest.raises(ValidationError, match="frozen"):
            setattr(section, field, 1)


@pytest.mark.parametrize(("section", "field"), FIELDS)
def test_every_field_has_a_description(section, field):
    text = SECTIONS[section]["properties"][field].get("description", "")
    assert text.endswith(".")


@pytest.mark.parametrize("name", SECTIONS)
def test_every_section_says_what_it_is(name):
    assert SECTIONS[name]["description"].split("\n")[0].endswith((".", ":", ";"))


@pytest.mark.parametrize("name", ["default", "smoke", "math-real"])
def test_the_repository_s_studies_load(name):
    path = CONFIGS / f"{name}.yaml"
    if not path.exists():
        pytest.skip(f"{path.name} is not there")
    study = read_study(path)
    assert study.name == name
    assert parse_study(study.model_dump(mode="json")) == study, (
        "the resolved config is the same study"
    )


def test_the_default_study_is_the_paper_s_design():
    study = read_study(CONFIGS / "default.yaml")
    assert (len(study.experts), len(study.domains), len(study.sizes)) == (9, 9, 4)
    assert [m.method for m in study.methods] == ["average", "task_arithmetic", "ties", "dare"]
    assert all(sum(len(c.subsets) for c in chunks(study, s)) == 2**9 for s in study.size_names)
