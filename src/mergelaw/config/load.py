"""Read a study config and report all its problems at once."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from mergelaw.config.checks import cross_section_problems
from mergelaw.config.messages import describe, unknown_key
from mergelaw.config.study import Study
from mergelaw.errors import ConfigError, listing


def read_study(path: Path) -> Study:
    """Read a study from a YAML (or JSON) file.

    Raises
    ------
    ConfigError
        If the file is missing, is not YAML, or holds a config with problems; all are listed.
    """
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: is not valid YAML ({error})") from error
    return parse_study(raw, origin=str(path))


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
    if not isinstance(raw, Mapping):
        raise ConfigError(f"{origin}: must be a mapping of sections, not {type(raw).__name__}")
    sections, problems = _validate_sections(raw)
    problems += cross_section_problems(sections)
    if problems:
        raise ConfigError(listing(origin, problems))
    return Study.model_validate(dict(raw))


def _validate_sections(raw: Mapping[Any, Any]) -> tuple[dict[str, Any], list[str]]:
    """Validate each top-level section on its own, so that one bad section hides no other."""
    known = Study.model_fields
    sections: dict[str, Any] = {}
    problems = [unknown_key(str(key), str(key), known) for key in raw if key not in known]
    for name, field in known.items():
        if name not in raw and field.is_required():
            problems.append(f"{name}: is missing ({field.description})")
        elif name not in raw:
            sections[name] = field.get_default()
        else:
            adapter: TypeAdapter[Any] = TypeAdapter(field.rebuild_annotation())
            try:
                sections[name] = adapter.validate_python(raw[name])
            except ValidationError as error:
                problems += [
                    describe(name, details, raw[name])
                    for details in error.errors()
                    if not _consequence(details)
                ]
    return sections, problems


def _consequence(details: Mapping[str, Any]) -> bool:
    """Tell whether a list is too short only because its bad elements do not count."""
    short = details["type"] == "too_short"
    return short and len(details["input"]) >= int(details["ctx"]["min_length"])
