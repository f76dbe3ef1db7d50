"""The stages behind `mergelaw advise`, in this process, one by one; what is made is kept."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from mergelaw.config import Study
from mergelaw.config.data import FilesSource
from mergelaw.design import BASE, chunks
from mergelaw.hub import resolve
from mergelaw.jobs.record import read_record, record_path
from mergelaw.jobs.recording import recorded
from mergelaw.jobs.rules import RULES
from mergelaw.paths import StudyPaths, checkpoint_folder
from mergelaw.provenance import fingerprint
from mergelaw.tables import read_provenance

TOKENIZER_FILES = (
    "tokenizer.json", "tokenizer.model", "tokenizer_config.json", "special_tokens_map.json",
    "added_tokens.json", "chat_template.jinja", "vocab.json", "vocab.txt", "merges.txt",
    "spiece.model", "sentencepiece.bpe.model", "tekken.json",
)  # fmt: skip
"""Files that a tokenizer is loaded from, where a model has them."""


class Step(NamedTuple):
    """A job of the study: what it makes, and from which files."""

    rule: str
    targets: tuple[Any, ...]
    job: Callable[..., Path]
    output: Path
    inputs: tuple[Path, ...]


def run_steps(study: Study, paths: StudyPaths, say: Callable[[str], None]) -> None:
    """Run every job whose output is missing, of another config, or older than what it reads."""
    for step in _steps(study, paths):
        targets = dict(zip(RULES[step.rule].targets, step.targets, strict=True))
        name = " ".join(map(str, (step.rule, *step.targets)))
        if _is_made(study, paths, step, targets):
            say(f"{name}: made before")
            continue
        say(name)
        with recorded(study, paths, step.rule, **targets):
            step.job(study, paths, *step.targets)


def _steps(study: Study, paths: StudyPaths) -> Iterator[Step]:
    yield from _text_steps(study, paths)
    yield from _sweep_steps(study, paths)
    if len({len(s.experts) for s in _merges(study)}) >= FEWEST_K:
        yield from _law_steps(paths)


FEWEST_K = 3
"""k that a law is fitted to."""


def _merges(study: Study) -> Iterator[Any]:
    for chunk in chunks(study, study.size_names[0]):
        yield from (subset for subset in chunk.subsets if subset.k)


def _text_steps(study: Study, paths: StudyPaths) -> Iterator[Step]:
    from mergelaw.data.stage import write_items, write_tokenizer
    from mergelaw.evaluation.prepared import write_shards

    for domain in study.domains:
        files = domain.source.files if isinstance(domain.source, FilesSource) else ()
        inputs = tuple(map(Path, files))
        yield Step("items", (domain.name,), write_items, paths.items(domain.name), inputs)
    yield Step("tokenizer", (), write_tokenizer, paths.tokenizer, tuple(_tokenizer_files(study)))
    inputs = (*(paths.items(name) for name in study.domain_names), paths.tokenizer)
    yield Step("shards", (), write_shards, paths.shard_contents, inputs)


def _tokenizer_files(study: Study) -> Iterator[Path]:
    """Yield what the tokenizer is made from: the base's files of it, and a template's file."""
    folder = resolve(str(study.tokenizer.path))
    yield from (folder / name for name in TOKENIZER_FILES if (folder / name).is_file())
    template = Path(study.tokenizer.template or "").expanduser()
    if template.suffix == ".jinja":
        yield template


def _sweep_steps(study: Study, paths: StudyPaths) -> Iterator[Step]:
    from mergelaw.sweep.chunk import run_chunk
    from mergelaw.sweep.collect import collect

    size, tables = study.size_names[0], []
    weights = [
        file
        for name in (BASE, *study.expert_names)
        for file in checkpoint_folder(study, paths, size, name).glob("*.safetensors")
    ]
    for label in study.method_labels:
        for chunk in chunks(study, size):
            table = paths.chunk(size, label, chunk.index)
            tables.append(table)
            inputs = (paths.shard_contents, *weights)
            yield Step("chunk", (size, label, chunk.index), run_chunk, table, inputs)
    yield Step("losses", (), collect, paths.losses, tuple(tables))


def _law_steps(paths: StudyPaths) -> Iterator[Step]:
    from mergelaw.laws import schemas
    from mergelaw.laws.stage import write_curves, write_fits
    from mergelaw.planning.stage import write_law_file

    tables = schemas.SPECIALISTS, schemas.FITS  # a table written last: with it all of its job is
    specialists, fits = (paths.laws / table.file for table in tables)
    yield Step("curves", (), write_curves, specialists, (paths.losses,))
    yield Step("fits", (), write_fits, fits, (specialists, paths.losses))
    yield Step("law_file", (), write_law_file, paths.law_file, (fits,))


def _is_made(study: Study, paths: StudyPaths, step: Step, targets: dict[str, Any]) -> bool:
    """Tell whether a job was done under this config, after its inputs were made."""
    if not step.output.exists():
        return False
    if _slice_of(paths, step, targets) != fingerprint(
        study, RULES[step.rule].stage, step.rule, **targets
    ):
        return False
    made = step.output.stat().st_mtime_ns
    return all(path.stat().st_mtime_ns <= made for path in step.inputs)


def _slice_of(paths: StudyPaths, step: Step, targets: dict[str, Any]) -> str | None:
    """Return the digest of the config that an output was made under: tables say it themselves."""
    if step.output.suffix == ".parquet":
        return read_provenance(step.output).get("slice")
    names = {name: str(target) for name, target in targets.items()}
    record = read_record(record_path(paths, step.rule, names))
    return record.slice if record is not None and record.state == "done" else None
