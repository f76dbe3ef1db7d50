"""Read YAML strictly, check it section by section, and report all problems at once."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from mergelaw.config.checks import cross_section_problems
from mergelaw.config.messages import describe, unknown_key
from mergelaw.config.study import Study
from mergelaw.errors import ConfigError, listing

BROKEN_YAML = (yaml.YAMLError, ValueError, KeyError, AttributeError, RecursionError)
"""What PyYAML raises: errors of its own; Python's for `2024-13-01`, `!!bool x`, `!!timestamp x`,
and for very deep nesting."""


def read_study(path: Path) -> Study:
    """Read a study from a YAML (or JSON) file.

    Raises
    ------
    ConfigError
        If the file is missing, is not YAML, or holds a config with problems; all are listed.
    """
    return parse_study(read_yaml(path), origin=str(path))


def parse_study(raw: object, origin: str = "config") -> Study:
    """Check a raw config and return it as a study.

    Parameters
    ----------
    raw : object
        What YAML holds: a mapping of section names.
    origin : str
        Where the config comes from; starts the error message.

    Raises
    ------
    ConfigError
        With one line for each problem: key, value, what is allowed.
    """
    top = mapping_of("sections", raw, origin)
    sections, problems = validate_sections(Study, top)
    problems += cross_section_problems(sections)
    if problems:
        raise ConfigError(listing(origin, problems))
    return Study.model_validate(dict(top)).with_settings()


def read_yaml(path: Path) -> object:
    """Read a file of one YAML document whose keys are all given once.

    Raises
    ------
    ConfigError
        If the file is missing, is not YAML, holds several documents or a key twice.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not valid YAML ({error})") from error
    return parse_yaml(text, origin=str(path))


def parse_yaml(text: str, origin: str) -> object:
    """Return what YAML text holds; see `read_yaml`.

    Raises
    ------
    ConfigError
        If it is not YAML, holds several documents or a key twice.
    """
    try:
        loader = _StrictLoader(text)
        node = loader.get_node() if loader.check_node() else None
        value = loader.construct_document(node) if node else None
        another = loader.get_node() if loader.check_node() else None
    except BROKEN_YAML as error:
        raise ConfigError(f"{origin}: is not valid YAML ({error})") from error
    if another is not None:
        raise ConfigError(
            f"{origin}: holds several YAML documents, the second in line "
            f"{another.start_mark.line + 1}: keep each in a file of its own"
        )
    if loader.repeated:
        raise ConfigError(listing(origin, [line for _, line in sorted(loader.repeated)]))
    return value


def mapping_of(what: str, raw: object, origin: str) -> Mapping[Any, Any]:
    """Return a file's raw content, which must be a mapping.

    Raises
    ------
    ConfigError
        If it is something else.
    """
    if not isinstance(raw, Mapping):
        raise ConfigError(f"{origin}: must be a mapping of {what}, not {type(raw).__name__}")
    return raw


def validate_sections(
    model: type[BaseModel], raw: Mapping[Any, Any], also: Iterable[str] = ()
) -> tuple[dict[str, Any], list[str]]:
    """Validate each top-level key on its own, so that one bad section hides no other.

    Parameters
    ----------
    model : type of BaseModel
        The root; its fields are the keys.
    raw : mapping
        What the file holds.
    also : iterable of str
        Keys of the file that the root does not have; told with an unknown key.

    Returns
    -------
    sections : dict
        The valid ones, with the defaults of those that are absent.
    problems : list of str
        One line each, key first.
    """
    known = model.model_fields
    sections: dict[str, Any] = {}
    names = [*known, *also]
    problems = [unknown_key(str(key), str(key), names) for key in raw if key not in known]
    for name, field in known.items():
        if name not in raw and field.is_required():
            problems.append(f"{name}: is missing ({field.description})")
        elif name not in raw:
            sections[name] = field.get_default()
        else:
            value, found = validate_section(model, name, raw)
            problems += found
            sections |= {} if found else {name: value}
    return sections, problems


def validate_section(
    model: type[BaseModel], name: str, raw: Mapping[Any, Any]
) -> tuple[Any, list[str]]:
    """Validate one top-level key; return its value, None if there are problems, and those."""
    field = model.model_fields[name]
    kind = field.rebuild_annotation()
    if field.discriminator:  # a field takes it from its type, and does not give it back
        kind = Annotated[kind, Field(discriminator=field.discriminator)]
    adapter: TypeAdapter[Any] = TypeAdapter(kind)
    try:
        return adapter.validate_python(raw[name]), []
    except ValidationError as error:
        return None, [
            describe(model, details, raw, at=[name])
            for details in error.errors()
            if not _consequence(details)
        ]


def _consequence(details: Mapping[str, Any]) -> bool:
    """Tell whether a list is too short only because its bad elements do not count."""
    short = details["type"] == "too_short"
    return short and len(details["input"]) >= int(details["ctx"]["min_length"])


class _StrictLoader(yaml.SafeLoader):
    """PyYAML's safe loader, which also notes the keys that a mapping gives twice."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self.repeated: list[tuple[int, str]] = []

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Compose a mapping; here its keys are those of the file, before any `<<` is merged."""
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        first: dict[tuple[str, str], int] = {}
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            line, name = key.start_mark.line + 1, (key.tag, key.value)
            if name in first:
                words = f"line {line}: {key.value} is given twice, first in line {first[name]}"
                self.repeated.append((line, words))
            first.setdefault(name, line)
        return node
