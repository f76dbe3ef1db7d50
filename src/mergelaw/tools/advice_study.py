"""A study of given checkpoints from what a newcomer has: base, experts, text and a budget."""

import filecmp
import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mergelaw.config import Study, parse_study
from mergelaw.config.recipe import method_from_text
from mergelaw.config.refs import expert_names
from mergelaw.data.own_text import source_of
from mergelaw.design import BASE
from mergelaw.errors import ConfigError, DataError, MergeLawError, listing
from mergelaw.files import write_json, write_text
from mergelaw.hub import is_hub_name, resolve
from mergelaw.merging.digests import weights_digest
from mergelaw.paths import StudyPaths
from mergelaw.preflight.members import Opened as Model
from mergelaw.preflight.members import entries
from mergelaw.preflight.report import Preflight, preflight
from mergelaw.tools.choosing import target_problems
from mergelaw.tools.merging import named_experts
from mergelaw.tools.options import problem_lines

NAME = "advice"
"""Name of the study."""

SIZE = "own"
"""Name of its one size."""

MERGED, RECORD = "merged", "mergelaw.json"
"""Folder of the merged checkpoint, and the file in it by which it is known to be a merge."""

CHUNK = 20
"""Merges between two readings of base and experts; a larger budget appends chunks."""

NO_OPTION = "; if that is meant, use lineage: report"
"""The end of a problem that names a way out which a recipe has, and advice has not."""

LONGEST = 2048
"""Tokens of an item, where the base reads more."""

FIRST = "# Written by `mergelaw advise`"
"""How a study of advice begins."""

HEAD = (
    FIRST
    + """, which goes on with it; so does, in a copy of the repository,
#   {words}
"""
)


@dataclass(frozen=True)
class Asked:
    """What `mergelaw advise` was asked, option by option."""

    base: str
    experts: tuple[str, ...]
    data: tuple[str, ...]
    budget: int
    out: Path
    method: str
    target: str | None
    mixture: str | None
    k: int | None
    max_k: int | None
    eps: float
    tokens: int
    max_length: int | None
    template: str | None


@dataclass(frozen=True)
class Opened:
    """The study, checked and written.

    Attributes
    ----------
    study : Study
    paths : StudyPaths
        Its results, below the folder of the advice.
    config : Path
        Its YAML.
    notes : tuple of str
        What the checks of the models found worth saying.
    """

    study: Study
    paths: StudyPaths
    config: Path
    notes: tuple[str, ...]


def prepared(asked: Asked) -> Opened:
    """Check everything that can be checked, and write the study.

    Raises
    ------
    ConfigError
        Listing every problem of the options, the models (from their headers) and the text.
    """
    problems = [*_option_problems(asked)]
    experts = _experts(asked, problems)
    checked = _checked(asked.base, experts, problems)
    domains = _domains(asked, problems)
    method = _method(asked.method, problems)
    wanted = asked.target, asked.mixture, asked.k, asked.max_k
    problems += target_problems(tuple(domains), len(experts), *wanted)
    if checked is not None:
        problems += _template_problems(asked, checked, domains)
    if problems or checked is None:
        raise ConfigError(listing("mergelaw advise cannot begin", problems))
    raw = _raw(asked, checked, experts, domains, method)
    study = parse_study(raw, "the study of these options")
    config, paths = asked.out / "study.yaml", StudyPaths(asked.out / "results" / NAME)
    head = HEAD.format(words=workflow_words(asked.out, config))
    write_text(config, head + yaml.safe_dump(raw, sort_keys=False, allow_unicode=True))
    write_json(paths.config, raw)
    return Opened(study, paths, config, tuple(f"note: {note}" for note in checked.notes))


def _option_problems(asked: Asked) -> Iterator[str]:
    n_experts = len(asked.experts)
    if n_experts < 2:
        yield f"--expert: {n_experts} given; at least 2 are needed, or there is nothing to merge"
    else:
        fewest = min(2**n_experts - 1, 2 * n_experts + 1)
        if asked.budget < fewest:
            yield (
                f"--budget {asked.budget}: must be at least {fewest} for {n_experts} experts: each "
                "alone, all of them, and some between"
            )
    for name, value in {"--eps": asked.eps, "--tokens": asked.tokens}.items():
        if not value > 0:
            yield f"{name} {value}: must be above 0"
    merged = asked.out / MERGED
    if (merged.exists() or merged.is_symlink()) and not _is_ours(merged):
        yield f"{merged}: is there, and no merge of this advice's; move it, or name another --out"
    if not asked.data:
        yield "--data: none given; name a file of held-out text"


def _is_ours(merged: Path) -> bool:
    """Tell whether a folder is an earlier merge of advice, which a new one may take the place of.

    Else it is refused before the study is written: a study beside it tells that it was not.
    """
    study = merged.parent / "study.yaml"
    if merged.is_symlink() or merged_recipe(merged) is None or not study.is_file():
        return False
    return study.read_text(encoding="utf-8", errors="replace").startswith(FIRST)


def merged_recipe(folder: Path) -> dict[str, Any] | None:
    """Return the recipe that a merged checkpoint tells; None where it tells none."""
    try:
        recipe = json.loads((folder / RECORD).read_text(encoding="utf-8"))["recipe"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return recipe if isinstance(recipe, dict) else None


def workflow_words(out: Path, config: Path) -> str:
    """Return the command that runs the study of an advice as any other, for a shell."""
    folder, file = (shlex.quote(str(path.absolute())) for path in (out, config))
    return f"snakemake --cores all --directory {folder} --configfile {file}"


def _experts(asked: Asked, problems: list[str]) -> dict[str, str]:
    try:
        return {name: _absolute(ref) for name, ref in named_experts(asked.experts).items()}
    except ConfigError as error:
        problems += problem_lines(error)
        return {}


def _absolute(ref: str) -> str:
    """Return a reference that holds wherever the study is run from."""
    path = Path(ref).expanduser()
    return str(path.absolute()) if path.exists() or not is_hub_name(ref) else ref


def _checked(base: str, experts: Mapping[str, str], problems: list[str]) -> Preflight | None:
    if len(experts) < 2:
        return None
    try:
        found = preflight(_absolute(base), dict(experts))
    except MergeLawError as error:
        problems += problem_lines(error)
        return None
    told = [problem.removesuffix(NO_OPTION) for problem in found.problems]
    problems += told or _copies(found)
    return None if told else found


def _copies(checked: Preflight) -> list[str]:
    """Return which models hold the same weights in files of their own: each would count twice."""
    problems, firsts = list[str](), dict[str, list[tuple[str, Model]]]()
    for name, model in {BASE: checked.base, **checked.experts}.items():
        alike = firsts.setdefault(weights_digest(model), [])
        first = next((who for who, other in alike if _same_files(model, other)), None)
        if first == BASE:
            problems.append(f"--expert {name}: is a copy of the base; leave it out")
        elif first is not None:
            problems.append(
                f"--expert {name}: is a copy of expert {first!r}: it would count twice; leave one "
                "out"
            )
        alike.append((name, model))
    return problems


def _same_files(first: Model, second: Model) -> bool:
    """Compare byte by byte, as digests are of samples."""
    files = [sorted({entry.path for entry in entries(model)}) for model in (first, second)]
    if len(files[0]) != len(files[1]):
        return False
    return all(filecmp.cmp(a, b, shallow=False) for a, b in zip(*files, strict=True))


def _domains(asked: Asked, problems: list[str]) -> dict[str, dict[str, Any]]:
    """Return the source of each domain by its name."""
    domains: dict[str, dict[str, Any]] = {}
    for text in asked.data:
        name, equals, file = text.partition("=")
        if not equals or "/" in name:
            name, file = next(iter(expert_names([Path(text).stem]))), text
        if name in domains:
            problems.append(f"--data {text}: a domain {name!r} is there already; give NAME=FILE")
            continue
        domains[name] = {}
        try:
            source = source_of(Path(file).expanduser(), asked.out / "text" / f"{name}.jsonl")
        except DataError as error:
            problems.append(f"--data {error}")
            continue
        domains[name] = source.model_dump(mode="json", exclude_none=True)
    return domains


def _method(text: str, problems: list[str]) -> dict[str, Any]:
    try:
        found = method_from_text(text)
    except ConfigError as error:
        problems += [f"--method {text}: {line}" for line in problem_lines(error)]
        return {}
    parameters = found.parameters.model_dump(mode="json", exclude_defaults=True)
    return {"label": found.method, "method": found.method, "parameters": parameters}


def _template_problems(
    asked: Asked, checked: Preflight, domains: Mapping[str, Mapping[str, Any]]
) -> Iterator[str]:
    """Yield that conversations have no template to be written in."""
    chats = [name for name, source in domains.items() if source and not _is_plain(source)]
    if asked.template is None and chats and not _has_template(checked.base.folder):
        yield (
            f"--template: the base's tokenizer has no chat template, which {', '.join(chats)} "
            "with its prompts and responses needs; give the one that the experts were trained with "
            "(chatml, llama3, gemma or a .jinja file), or text in one field 'text'"
        )


def _is_plain(source: Mapping[str, Any]) -> bool:
    return "text" in source["fields"]


def _has_template(folder: Path) -> bool:
    if (folder / "chat_template.jinja").is_file():
        return True
    path = folder / "tokenizer_config.json"
    try:
        return bool(json.loads(path.read_text(encoding="utf-8")).get("chat_template"))
    except (OSError, ValueError):
        return True  # what is wrong with it is told when the tokenizer is loaded


def _raw(
    asked: Asked,
    checked: Preflight,
    experts: Mapping[str, str],
    domains: Mapping[str, Mapping[str, Any]],
    method: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the study's config."""
    base = _absolute(asked.base)
    template = {} if asked.template is None else {"template": asked.template}
    types = {entry.dtype for entry in checked.base.entries.values()}
    return {
        "name": NAME,
        "domains": [{"name": name, "source": dict(source)} for name, source in domains.items()],
        "experts": [{"name": name} for name in experts],
        "data": {"shares": {"base": 0.0, "train": 0.0, "heldout": 1.0}},
        "tokenizer": {"path": base, **template},
        "sizes": [{"name": SIZE, "base": base, "experts": dict(experts)}],
        "methods": [dict(method)],
        "design": [_design(len(experts), asked.budget)],
        "dtype": "float32" if types == {"F32"} else "bfloat16",
        "evaluation": {
            "tokens_per_domain": asked.tokens,
            "max_length": asked.max_length or _longest(checked.base.folder),
        },
    }


def _design(n_experts: int, budget: int) -> dict[str, Any]:
    """Return every subset where the budget has them all, else a balanced design."""
    if 2**n_experts - 1 <= budget:
        return {"kind": "exhaustive", "chunk_size": CHUNK}
    return {"kind": "balanced", "merges": budget, "chunk_size": CHUNK}


def _longest(folder: Path) -> int:
    """Return the longest item that the base reads, at most `LONGEST`."""
    config = json.loads((resolve(folder) / "config.json").read_text(encoding="utf-8"))
    text = config.get("text_config", config)
    return min(LONGEST, int(text.get("max_position_embeddings") or LONGEST))
