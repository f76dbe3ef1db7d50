"""Errors that a user can cause: one base class, so that the CLI prints words, no traceback."""

from collections.abc import Sequence


class MergeLawError(Exception):
    """Base of all errors with a message meant for the user."""


class ConfigError(MergeLawError):
    """A study config that cannot be used; lists every problem."""


class DataError(MergeLawError):
    """Text, items or a tokenizer that cannot be used."""


class CheckpointError(MergeLawError):
    """A checkpoint that is missing, broken or does not match its base."""


class TableError(MergeLawError):
    """A table with missing, duplicate, non-finite or incomplete rows."""


class BusyError(MergeLawError):
    """Work that another process does now."""


class NotMadeError(MergeLawError):
    """A study's data do not allow an analysis; the text says what is lacking."""


class FitError(MergeLawError):
    """Data from which the asked law cannot be fitted."""


class TrainingError(MergeLawError):
    """A training run that cannot go on (a loss that is not finite, for example)."""


def listing(headline: str, problems: Sequence[str]) -> str:
    """Return a message of a headline and one indented line per problem."""
    return "\n".join(
        [f"{headline}: {len(problems)} problem{'s'[: len(problems) != 1]}"]
        + [f"  - {problem}" for problem in problems]
    )
