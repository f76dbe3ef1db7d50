"""Calibration and held-out text: what no other stage reads, shared out by domain."""

import json

import polars as pl
import pytest

from mergelaw.config import parse_study
from mergelaw.errors import ConfigError, DataError
from mergelaw.evaluation.prepared import read_shards
from mergelaw.paths import StudyPaths
from mergelaw.tables import ITEMS, read_table
from mergelaw.theory.texts import calibration_and_heldout
from tests.helpers import run_data, study_dict, study_of


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """The data of the tiny study: 60 items a domain, a fifth of them held out."""
    paths = StudyPaths(tmp_path_factory.mktemp("texts"))
    run_data(study_of(), paths)
    return paths


def asking(calibration: int, heldout: int, *changes):
    theory = {"calibration_tokens": calibration, "heldout_tokens": heldout}
    return study_of(("theory", theory), *changes)


def heldout_places(paths: StudyPaths, domain: str) -> list[str]:
    rows = read_table(paths.items(domain), ITEMS).filter(pl.col("split") == "heldout")
    return rows.sort("item_id")["place"].to_list()


def n_tokens(shard) -> int:
    return sum(len(item.input_ids) for item in shard.items)


def test_the_items_after_the_evaluation_text_in_its_order_and_no_item_twice(prepared):
    study = asking(150, 250)
    calibration, heldout = calibration_and_heldout(study, prepared)
    scored = read_shards(study, prepared)
    for shards in zip(scored, calibration.shards, heldout.shards, strict=True):
        assert len({shard.domain for shard in shards}) == 1
        places = [place for shard in shards for place in shard.sources]
        assert places == heldout_places(prepared, shards[0].domain)[: len(places)]
        assert len(set(places)) == len(places), "so that no item is in two"
    assert [shard.domain for shard in heldout.shards] == list(study.domain_names)


def test_each_part_holds_its_budget_and_no_item_more(prepared, capsys):
    calibration, heldout = calibration_and_heldout(asking(150, 250), prepared)
    for text, budget in ((calibration, 150), (heldout, 250)):
        for shard in text.shards:
            assert n_tokens(shard) >= budget > n_tokens(shard) - len(shard.items[-1].input_ids)
    assert "all that the evaluation text leaves" not in capsys.readouterr().out


def test_the_tokens_are_those_that_the_data_stage_would_make(prepared, tmp_path):
    """With a larger budget the evaluation shards go on with the very items of the calibration."""
    wide = asking(150, 250, ("evaluation.tokens_per_domain", 500))
    own = StudyPaths(tmp_path / "study")
    run_data(wide, own)
    calibration, _ = calibration_and_heldout(asking(150, 250), prepared)
    for shard, wide_shard in zip(calibration.shards, read_shards(wide, own), strict=True):
        start = wide_shard.sources.index(shard.sources[0])
        for item, other in zip(shard.items, wide_shard.items[start:], strict=False):
            assert item.input_ids.tolist() == other.input_ids.tolist()
            assert item.scored.tolist() == other.scored.tolist()


def test_text_that_does_not_suffice_is_shared_in_proportion_and_told(prepared, capsys):
    study = asking(10_000, 30_000)
    calibration, heldout = calibration_and_heldout(study, prepared)
    lines = capsys.readouterr().out.splitlines()
    for shard, first, last in zip(
        read_shards(study, prepared), calibration.shards, heldout.shards, strict=True
    ):
        places = [*shard.sources, *first.sources, *last.sources]
        assert places == heldout_places(prepared, shard.domain), "all of it is used"
        share = n_tokens(first) / (n_tokens(first) + n_tokens(last))
        longest = max(len(item.input_ids) for item in first.items)
        assert 0 <= share - 0.25 <= longest / (n_tokens(first) + n_tokens(last))
        told = f"domain {shard.domain!r}: {n_tokens(first):,} tokens for calibration"
        assert [line for line in lines if line.startswith(told)]
    heard: list[str] = []
    calibration_and_heldout(study, prepared, heard.append)
    assert heard == lines
    assert not capsys.readouterr().out


def test_one_item_of_each_part_is_enough(prepared):
    """However unequal what is asked for, and even where one item could hold it all."""
    for budgets in ((1, 10**6), (10**6, 1)):
        parts = calibration_and_heldout(asking(*budgets), prepared)
        assert min(len(shard.items) for text in parts for shard in text.shards) >= 1
    few = parts[1].shards
    assert [len(shard.items) for shard in few] == [1, 1, 1]


def test_every_domain_with_too_few_items_is_told(tmp_path):
    study = asking(9, 9, ("evaluation.tokens_per_domain", 10**6), ("domains.1.source.items", 900))
    wide = asking(9, 9, ("evaluation.tokens_per_domain", 2000), ("domains.1.source.items", 900))
    run_data(study, StudyPaths(tmp_path / "all"))
    with pytest.raises(DataError) as caught:
        calibration_and_heldout(study, StudyPaths(tmp_path / "all"))
    assert str(caught.value).count("\n  - domain '") == 3
    run_data(wide, StudyPaths(tmp_path / "wide"))
    with pytest.raises(DataError) as caught:
        calibration_and_heldout(wide, StudyPaths(tmp_path / "wide"))
    told = str(caught.value)
    assert "biology" not in told, "of which there are more"
    assert "domain 'code': 0 left beside the" in told
    assert "a lower evaluation.tokens_per_domain" in told


def test_items_without_a_scored_token_are_no_text(tmp_path):
    """Their prompts fill the longest sequence; each part counts and cuts without them."""
    long = " ".join(["count"] * 200)
    rows = [
        {"instruction": f"{n} {long if n % 2 else 'short'}", "output": f"the answer is {n}"}
        for n in range(300)
    ]
    (tmp_path / "own.json").write_text(json.dumps(rows))
    source = {"kind": "files", "files": [str(tmp_path / "own.json")]}
    study = parse_study(
        study_dict(
            ("domains.0.source", source),
            ("theory", {"calibration_tokens": 100, "heldout_tokens": 10**5}),
        )
    )
    paths = StudyPaths(tmp_path / "study")
    run_data(study, paths)
    scored, (calibration, heldout) = (
        read_shards(study, paths)[0],
        calibration_and_heldout(study, paths),
    )
    assert scored.n_skipped
    assert heldout.shards[0].n_skipped
    sources = [*scored.sources, *calibration.shards[0].sources, *heldout.shards[0].sources]
    usable = [p for p in heldout_places(paths, "algebra") if int(p.split("[")[1][:-1]) % 2 == 0]
    assert sources == usable


def test_without_the_section_it_is_refused_in_words(prepared):
    with pytest.raises(ConfigError, match=r"theory: is missing; .* add `theory: \{\}`"):
        calibration_and_heldout(study_of(), prepared)


def test_text_of_another_config_is_refused(prepared):
    with pytest.raises(DataError, match="was prepared under other `evaluation` or `domains`"):
        calibration_and_heldout(asking(9, 9, ("evaluation.max_length", 90)), prepared)
