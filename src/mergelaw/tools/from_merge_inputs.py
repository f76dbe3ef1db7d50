"""What `mergelaw forecast --from-merge` is given: the merge that options, or a study, name."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mergelaw.errors import ConfigError, MergeLawError, listing
from mergelaw.tools.merging import named_experts
from mergelaw.tools.options import problem_lines

if TYPE_CHECKING:
    from mergelaw.config.methods import Method
    from mergelaw.config.theory import Route, Theory
    from mergelaw.evaluation.text import EvalText
    from mergelaw.sweep.engine import PoolSettings


@dataclass(frozen=True)
class Asked:
    """The options of `forecast --from-merge`; None where one is not given.

    Attributes
    ----------
    base, experts, method, shards
        A merge and the text it is scored on; `method` is the label of a study's with `config`.
    config, size
        A study, in place of base, experts and shards.
    dtype, route, batch_tokens
        How the model is run and differentiated.
    precision : float
        Nats per token that the macro loss shall be known to on other text.
    top : int
        Subsets that are shown.
    out : Path
        Where the table goes.
    """

    base: str | None
    experts: Sequence[str]
    method: str | None
    shards: Sequence[Path]
    config: Path | None
    size: str | None
    dtype: Literal["float32", "bfloat16"] | None
    route: "Route"
    batch_tokens: int | None
    precision: float | None
    top: int | None
    out: Path | None


@dataclass(frozen=True)
class AskedMerge:
    """What is to be measured.

    Attributes
    ----------
    settings : Study or mergelaw.sweep.engine.Settings
    base : str
    experts : mapping
        Folders or names of the Hub, by expert.
    method : Method
    text : EvalText
    theory : Theory
        Step of differences and number of masks.
    """

    settings: "PoolSettings"
    base: str
    experts: Mapping[str, str]
    method: "Method"
    text: "EvalText"
    theory: "Theory"


def merge_of_options(asked: Asked) -> AskedMerge:
    """Return the merge that options name.

    Raises
    ------
    ConfigError
        With every option that is missing or cannot be used.
    """
    from mergelaw.config.recipe import method_from_text, recipe_of
    from mergelaw.config.theory import Theory
    from mergelaw.preflight.report import preflight

    problems = [*_missing(asked)]
    experts: dict[str, str] = {}
    try:
        experts = named_experts(asked.experts)
    except ConfigError as error:
        problems += problem_lines(error)
    if len(asked.experts) == 1:
        problems.append("--expert: 1 is given; a curve is about subsets, give two at least")
    method = None
    try:
        method = method_from_text(asked.method or "average")
        if experts and asked.base:  # weights by expert, k that the method merges
            recipe_of(asked.base, experts, method)
    except ConfigError as error:
        problems += problem_lines(error)
    if method is not None and experts:
        problems += _curve_problems(method, experts)
    text = _read_text(asked, problems)
    if asked.base and experts:
        problems += preflight(asked.base, experts).problems
    if problems or method is None or text is None:
        raise ConfigError(listing("options", problems))
    return AskedMerge(_settings(asked), str(asked.base), experts, method, text, Theory())


def _curve_problems(method: "Method", experts: Mapping[str, str]) -> Iterator[str]:
    """Yield why merges are not predicted; of elections the number is told, from the weights."""
    from mergelaw.theory.linear import why_no_curve
    from mergelaw.theory.updates import has_updates

    reason = why_no_curve(method, sorted(experts))
    if reason is not None and not has_updates(method):
        yield f"--method {reason}"


def _missing(asked: Asked) -> Iterator[str]:
    needed = {"--base": asked.base, "--expert": asked.experts, "--shard": asked.shards}
    lacking = [name for name, value in needed.items() if not value]
    if lacking:
        yield (f"{', '.join(lacking)}: missing; or give a study with --config, --size and --method")
    if asked.size is not None:
        yield f"--size {asked.size}: goes with --config"


def _settings(asked: Asked) -> "PoolSettings":
    from mergelaw.sweep.engine import Settings

    settings = Settings()
    batch_tokens = asked.batch_tokens or settings.evaluation.batch_tokens
    evaluation = settings.evaluation.model_copy(update={"batch_tokens": batch_tokens})
    return Settings(dtype=asked.dtype or "float32", evaluation=evaluation)


def _read_text(asked: Asked, problems: list[str]) -> "EvalText | None":
    """Return the text; what is wrong with its shards is added to the problems."""
    from mergelaw.evaluation.checkpoint import read_text
    from mergelaw.sweep.engine import Settings

    batch_tokens = asked.batch_tokens or Settings().evaluation.batch_tokens
    try:
        return read_text(asked.shards, batch_tokens) if asked.shards else None
    except MergeLawError as error:
        problems += problem_lines(error)
        return None


def merge_of_study(asked: Asked) -> AskedMerge:
    """Return the merge of a study's whole pool.

    Raises
    ------
    ConfigError
        With every option that is missing, too many, or not the study's.
    """
    from mergelaw.config import read_study
    from mergelaw.config.theory import Theory
    from mergelaw.design import BASE
    from mergelaw.evaluation.prepared import read_shards
    from mergelaw.evaluation.text import EvalText
    from mergelaw.paths import StudyPaths, checkpoint_ref
    from mergelaw.theory.needed import require_models_and_text

    problems = [*_too_many(asked)]
    study = read_study(Path(str(asked.config)))
    problems += _unknown("--size", asked.size, study.size_names)
    problems += _unknown("--method", asked.method, study.method_labels)
    if problems:
        raise ConfigError(listing("options", problems))
    paths, size = StudyPaths.of(study), str(asked.size)
    require_models_and_text(study, paths, size)
    method = next(entry for entry in study.methods if entry.label == asked.method)
    experts = {name: checkpoint_ref(study, paths, size, name) for name in study.expert_names}
    text = EvalText.of(read_shards(study, paths), study.evaluation.batch_tokens)
    base = checkpoint_ref(study, paths, size, BASE)
    return AskedMerge(study, base, experts, method, text, study.theory or Theory())


def _too_many(asked: Asked) -> Iterator[str]:
    given = {
        "--base": asked.base,
        "--expert": asked.experts,
        "--shard": asked.shards,
        "--dtype": asked.dtype,
        "--batch-tokens": asked.batch_tokens,
    }
    named = [name for name, value in given.items() if value]
    if named:
        yield f"--config names the whole merge and its text: leave out {', '.join(named)}"


def _unknown(option: str, value: str | None, known: Sequence[str]) -> Iterator[str]:
    if value is None:
        yield f"{option}: missing; one of {', '.join(known)}"
    elif value not in known:
        yield f"{option} {value}: the study has no such; one of {', '.join(known)}"
