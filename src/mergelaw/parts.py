"""Parts of a study that can be asked for alone: one size, or one method at one size."""

from mergelaw.config import Study
from mergelaw.errors import ConfigError


def parts(study: Study) -> list[str]:
    """Return the names of all parts: `{size}` and `{size}/{method}`."""
    names = study.size_names
    return [*names, *(f"{size}/{label}" for size in names for label in study.method_labels)]


def part_of(study: Study, part: str) -> Study:
    """Return the study of a part: the same, with its size and its methods alone.

    Raises
    ------
    ConfigError
        If the study has no such part.
    """
    if part not in parts(study):
        raise ConfigError(
            f"--part {part}: the study has no such part; a size, or SIZE/METHOD: "
            f"{', '.join(parts(study))}"
        )
    size, _, label = part.partition("/")
    methods = [study.method(label)] if label else study.methods
    return study.model_copy(update={"sizes": (study.size(size),), "methods": tuple(methods)})
