"""Numbers of the stages, frozen: a change of them must raise the stage's STAGE_VERSION.

`python -m tests.core.test_golden` prints the file's new content.
"""

import hashlib
import json
import tempfile
from pathlib import Path

import polars as pl
import pytest

from mergelaw.merging.stage import write_pool_statistics
from mergelaw.paths import StudyPaths
from mergelaw.provenance import STAGE_VERSION
from mergelaw.sweep.collect import collect
from mergelaw.tables import ALL_TENSORS, MERGED_TENSORS, read_table
from tests.helpers import run_data, run_experts, run_sweep, study_of

GOLDEN = Path(__file__).parents[1] / "golden" / "stages.json"
CLOSE = 2e-3
"""Relative tolerance of trained numbers: processors sum in other orders."""


def exact(study, paths) -> dict[str, str]:
    """Digests of what is drawn and tokenised: the same on every machine."""
    items = pl.concat(pl.read_parquet(paths.items(name)) for name in study.domain_names)
    texts = {
        "items": json.dumps(items.sort("item_id").rows()),
        "tokenizer": (paths.tokenizer / "tokenizer.json").read_text(encoding="utf-8"),
        "contents": json.dumps(pl.read_parquet(paths.shard_contents).rows()),
    }
    digests = {name: hashlib.sha256(text.encode()).hexdigest()[:16] for name, text in texts.items()}
    stream = hashlib.sha256(paths.pretraining.read_bytes()).hexdigest()[:16]
    return {**digests, "pretraining": stream}


def trained_numbers(paths) -> dict[str, float]:
    """Mean losses by size, method and k."""
    losses = pl.read_parquet(paths.losses)
    loss = pl.col("nll_sum") / pl.col("n_tokens")
    means = losses.group_by("size", "method", "k").agg(loss.mean().alias("loss"))
    return {f"{s} {m} {k}": round(v, 5) for s, m, k, v in sorted(means.iter_rows())}


def merged_numbers(study, paths) -> dict[str, float]:
    """Norms of the merged task vectors of the whole pool, by size and method."""
    tables = [read_table(paths.merged_tensors(size), MERGED_TENSORS) for size in study.size_names]
    whole = pl.concat(tables).filter(tensor=ALL_TENSORS).select("size", "method", "norm")
    return {f"{s} {m}": round(norm, 5) for s, m, norm in sorted(whole.iter_rows())}


def measured(study, paths) -> dict:
    return {
        "versions": {
            stage: STAGE_VERSION[stage] for stage in ("data", "experts", "sweep", "merge")
        },
        "exact": exact(study, paths),
        "losses": trained_numbers(paths),
        "norms": merged_numbers(study, paths),
    }


@pytest.fixture(scope="module")
def now(tmp_path_factory):
    return measure(tmp_path_factory.mktemp("golden"))


def measure(folder: Path) -> dict:
    study, paths = study_of(), StudyPaths(folder)
    for run in (run_data, run_experts, run_sweep, collect):
        run(study, paths)
    for size in study.size_names:
        write_pool_statistics(study, paths, size)
    return measured(study, paths)


def test_numbers_change_with_a_version_only(now):
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    assert now["versions"] == golden["versions"], "a version was raised: renew the golden file"
    assert now["exact"] == golden["exact"], (
        "raise STAGE_VERSION['data'], then renew the golden file"
    )
    assert now["losses"] == pytest.approx(golden["losses"], rel=CLOSE), (
        "raise STAGE_VERSION of experts or sweep, then renew the golden file"
    )
    assert now["norms"] == pytest.approx(golden["norms"], rel=CLOSE), (
        "raise STAGE_VERSION of experts or merge, then renew the golden file"
    )


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure(Path(folder)), indent=2))
