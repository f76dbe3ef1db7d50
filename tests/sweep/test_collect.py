"""Collecting chunks: every cell once, or a refusal that names what is missing or too much."""

import re
import shutil

import polars as pl
import pytest

from mergelaw.errors import ConfigError, DataError, TableError
from mergelaw.evaluation.prepared import write_shards
from mergelaw.provenance import fingerprint
from mergelaw.sweep.chunk import run_chunk
from mergelaw.sweep.collect import collect
from mergelaw.tables import LOSSES, LOSSES_KEY, read_provenance, read_table, write_table
from tests.helpers import study_of


def test_collecting_joins_every_cell(own_sweep):
    study, paths = own_sweep
    frame = read_table(collect(study, paths), LOSSES)
    assert frame.height == 2 * 4 * 8 * 3
    assert frame.select(LOSSES_KEY).is_unique().all()
    assert read_provenance(paths.losses)["slice"] == fingerprint(study, "sweep", "losses")
    before = paths.losses.read_bytes()
    assert collect(study, paths).read_bytes() == before


def rewrite(paths, change, method="ties", index=1):
    path = paths.chunk("small", method, index)
    write_table(path, change(read_table(path, LOSSES)), LOSSES, LOSSES_KEY, read_provenance(path))


def collected_problems(study, paths) -> str:
    with pytest.raises(TableError) as caught:
        collect(study, paths)
    assert not paths.losses.exists()
    return str(caught.value)


def test_missing_cells_are_all_named(own_sweep):
    study, paths = own_sweep
    rewrite(paths, lambda f: f.filter(~((pl.col("domain") == "code") & (pl.col("k") == 3))))
    rewrite(paths, lambda f: f.filter(pl.col("domain") != "algebra"), "ta")
    message = collected_problems(study, paths)
    assert message.startswith(f"{paths.losses}: 2 problems")
    assert "small, ties: lacks 1 rows, such as" in message
    assert "domain code" in message
    assert "small, ta: lacks 3 rows, such as" in message
    assert "domain algebra" in message


def test_doubled_and_foreign_cells_are_named(own_sweep):
    study, paths = own_sweep
    shutil.copy(paths.chunk("small", "ties", 0), paths.chunk("small", "ties", 1))
    renamed = pl.when(pl.col("k") == 1).then(pl.lit("other")).otherwise(pl.col("subset"))
    rewrite(paths, lambda f: f.with_columns(subset=renamed), "ta", 0)
    again = read_table(paths.chunk("small", "average", 0), LOSSES).filter(subset="algebra")
    rewrite(paths, lambda f: pl.concat([f, again]), "average", 1)
    message = collected_problems(study, paths)
    assert "small, average: has more than once 3 rows, such as" in message
    assert "small, ties: has more than once 15 rows, such as" in message
    assert "small, ties: lacks 9 rows, such as" in message
    assert re.search(r"small, ta: has, beyond the design, \d+ rows, .*subset other", message)


def test_a_missing_chunk_is_named(own_sweep):
    study, paths = own_sweep
    paths.chunk("large", "dare", 1).unlink()
    assert f"{paths.chunk('large', 'dare', 1)}: is missing" in collected_problems(study, paths)


def test_a_chunk_of_another_config_is_named(own_sweep):
    study, paths = own_sweep
    path = paths.chunk("small", "ta", 0)
    origin = read_provenance(path) | {"slice": "another"}
    write_table(path, read_table(path, LOSSES), LOSSES, LOSSES_KEY, origin)
    assert f"{path}: was made under another config" in collected_problems(study, paths)


FOREIGN = {
    "domain": lambda f: pl.concat(
        [f, f.filter(domain="code").with_columns(domain=pl.lit("geology"))]
    ),
    "method": lambda f: f.with_columns(method=pl.lit("ta2")),
    "size": lambda f: f.with_columns(size=pl.lit("huge")),
    "accumulate": lambda f: f.with_columns(accumulate=pl.lit("sequential_bfloat16")),
    "mask_seed": lambda f: f.with_columns(mask_seed=pl.lit(9, pl.Int64)),
}


@pytest.mark.parametrize("column", FOREIGN)
def test_rows_of_another_study_are_refused(own_sweep, column):
    study, paths = own_sweep
    rewrite(paths, FOREIGN[column])
    foreign = {"domain": "geology", "method": "ta2", "size": "huge", "mask_seed": "9"}
    message = collected_problems(study, paths)
    assert "small, ties: has, beyond the design," in message
    assert f"{column} {foreign.get(column, 'sequential_bfloat16')}" in message


def test_chunks_of_another_text_are_named(own_sweep):
    study, paths = own_sweep
    collect(study, paths)
    shorter = study_of(("evaluation.max_length", 80))
    with pytest.raises(DataError, match=r"code.safetensors: was prepared under other"):
        run_chunk(shorter, paths, "small", "ties", 1)
    write_shards(shorter, paths)
    run_chunk(shorter, paths, "small", "ties", 1)
    with pytest.raises(TableError) as caught:
        collect(shorter, paths)
    lines = str(caught.value).splitlines()
    other = [line for line in lines if "was scored on other text than the study's" in line]
    assert len(other) == 2 * 4 * 2 - 1, "all but the one that was made again"
    assert not any(str(paths.chunk("small", "ties", 1)) in line for line in lines)


@pytest.mark.parametrize("part", ["small", "large/ties"])
def test_a_part_is_those_rows_of_the_whole_table(own_sweep, part):
    study, paths = own_sweep
    whole = read_table(collect(study, paths), LOSSES)
    size, _, method = part.partition("/")
    frame = read_table(collect(study, paths, part), LOSSES)
    expected = whole.filter(size=size, **{"method": method} if method else {})
    assert frame.height
    assert frame.equals(expected)
    origin = read_provenance(paths.part_losses(part))
    assert origin["slice"] == fingerprint(study, "sweep", "part", part=part)


def test_a_part_needs_its_own_chunks_and_no_others(own_sweep):
    study, paths = own_sweep
    paths.chunk("small", "dare", 1).unlink()
    rewrite(paths, lambda f: f.filter(pl.col("domain") != "algebra"), "ta")
    assert collect(study, paths, "small/ties").is_file()
    assert collect(study, paths, "large").is_file()
    with pytest.raises(TableError, match=re.escape(str(paths.chunk("small", "dare", 1)))):
        collect(study, paths, "small")
    with pytest.raises(TableError, match="small, ta: lacks 3 rows") as caught:
        collect(study, paths, "small/ta")
    assert str(caught.value).startswith(str(paths.part_losses("small/ta")))
    with pytest.raises(ConfigError, match="--part huge: the study has no such part"):
        collect(study, paths, "huge")
