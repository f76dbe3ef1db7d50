"""Losses of the averages of all subsets on the text that weights are judged on."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import polars as pl

from mergelaw.config import Study, read_study
from mergelaw.config.methods import METHODS
from mergelaw.design import BASE
from mergelaw.design.draws import exhaustive
from mergelaw.evaluation.shards import shards_digest
from mergelaw.evaluation.text import EvalText
from mergelaw.files import atomic_file
from mergelaw.merging.methods import recipe
from mergelaw.paths import StudyPaths, checkpoint_ref
from mergelaw.progress import progress
from mergelaw.provenance import digest
from mergelaw.sweep.engine import Engine
from mergelaw.theory.texts import calibration_and_heldout

KEPT = Path("results/bench/theory")
MADE_OF = "made_of"
"""Entry of a file's metadata: the digest of text and checkpoints."""

SCHEMA = {
    "subset": pl.String(),
    "k": pl.Int64(),
    "domain": pl.String(),
    "loss": pl.Float64(),  # nats per token
}


def other_text(folder: Path, size: str) -> pl.DataFrame:
    """Return the losses of every subset's average on that text; scored once, and kept.

    Parameters
    ----------
    folder : Path
        A study with its theory, below results.
    size : str
        Name of the size.

    Returns
    -------
    polars.DataFrame
        Columns of `SCHEMA`.
    """
    study = read_study(folder / "study.json")
    paths, path = StudyPaths.of(study), KEPT / f"{study.name}_{study.seed}_{size}.parquet"
    _, text = calibration_and_heldout(study, paths)
    with opened(study, paths, size) as engine:
        made_of = digest([engine.identity[0], shards_digest(text.shards)])
        if not path.exists() or pl.read_parquet_metadata(path).get(MADE_OF) != made_of:
            path.parent.mkdir(parents=True, exist_ok=True)
            frame = pl.DataFrame(_scored(engine, study, text), schema=SCHEMA, orient="row")
            with atomic_file(path) as part:
                frame.write_parquet(part, metadata={MADE_OF: made_of})
    return pl.read_parquet(path)


def opened(study: Study, paths: StudyPaths, size: str) -> AbstractContextManager[Engine]:
    """Return the sweep's engine with a size's base and experts."""
    refs = {name: checkpoint_ref(study, paths, size, name) for name in study.expert_names}
    return Engine.open(study, checkpoint_ref(study, paths, size, BASE), refs)


def _scored(engine: Engine, study: Study, text: EvalText) -> Iterator[tuple[str, int, str, float]]:
    average = METHODS["average"].model_validate({"label": "average", "method": "average"})
    engine.use(recipe(average, ""))
    subsets = list(exhaustive(sorted(study.expert_names)))
    for subset in progress(engine.merged(subsets), len(subsets), "other text", "merge"):
        for score in engine.score(text, subset.name):
            yield subset.name, subset.k, score.domain, score.nll_sum / score.n_tokens
