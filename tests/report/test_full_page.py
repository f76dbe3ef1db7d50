"""The full page: the report with every further section, or the reason why one is missing."""

import json
import shutil

import polars as pl
import pytest

from mergelaw.laws.registry import ANALYSES
from mergelaw.paths import StudyPaths
from mergelaw.report.checklist import checklist
from mergelaw.report.context import facts_of
from mergelaw.report.inputs import why_nothing
from mergelaw.report.registry import FIGURES, figures_of, tables_of
from mergelaw.report.sections import SECTIONS
from mergelaw.report.shows import shows
from mergelaw.report.shows_not import shows_not
from mergelaw.report.stage import write_page
from mergelaw.tables import write_table
from tests.report import tables
from tests.report.test_page import Page


@pytest.fixture(scope="module")
def full(drawn):
    return Page(drawn.page("full").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def facts(small_study):
    return facts_of(tables.losses_frame(small_study), tables.contents_frame(small_study))


def test_it_is_balanced_html_with_unique_ids_and_whole_links(full):
    assert full.problems == []
    ids = [attrs["id"] for _, attrs in full.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    links = [attrs["href"] for attrs in full.all("a") if attrs.get("href", "").startswith("#")]
    assert {link[1:] for link in links} <= set(ids)
    assert {section.anchor for section in SECTIONS} <= {link[1:] for link in links}


def test_every_figure_of_the_registry_has_one_place(full):
    placed = [attrs["id"] for attrs in full.all("figure")]
    assert sorted(placed) == sorted(f"figure-{name}" for name in figures_of("full"))
    further = [finding.figure for section in SECTIONS for finding in section.findings]
    assert further == [name for name, figure in FIGURES.items() if figure.full]


def test_the_report_has_none_of_it(drawn):
    report = Page(drawn.page("report").read_text(encoding="utf-8"))
    assert "What this study shows" not in report.text
    assert {attrs["id"] for attrs in report.all("figure")} == {
        f"figure-{name}" for name in figures_of("report")
    }


def test_each_page_tells_the_command_that_makes_it_again(full, drawn):
    report = Page(drawn.page("report").read_text(encoding="utf-8"))
    assert "snakemake --cores 2 full --configfile" in full.text
    assert "snakemake --cores 2 --configfile" in report.text


def test_every_table_of_the_laws_is_listed_with_its_digest(full):
    listed = {attrs["href"].rpartition("/")[2] for attrs in full.all("a")}
    assert {f"{name}.parquet" for name in ANALYSES} <= listed
    assert set(tables_of("full")) <= listed


def test_analyses_that_were_not_made_are_named_with_reason_and_need(full, small_tables):
    empty = [f for f in tables_of("full") if small_tables[0][f].is_empty()]
    assert empty
    for file in empty:
        name = file.removesuffix(".parquet")
        assert f"{name} {tables.REASON} {ANALYSES[name].needs}" in full.text
    assert "near_floor " + tables.REASON not in full.text


def test_a_missing_analysis_is_a_sentence_and_no_table(small_study, drawn, tmp_path):
    from mergelaw.laws.schemas.doubts import RIVALS

    copy = StudyPaths(tmp_path / "tiny")
    shutil.copytree(drawn.root, copy.root)
    write_table(
        copy.laws / RIVALS.file,
        RIVALS.frame([]),
        RIVALS.schema,
        RIVALS.key,
        {"not_made": "k was not varied"},
    )
    write_page(small_study, copy, "full")
    text = Page(copy.page("full").read_text(encoding="utf-8")).text
    assert "Not made: k was not varied." in text
    assert "Forms fitted to the same points" not in text
    assert "rivals k was not varied curves over k" in text


def test_nothing_is_said_only_when_no_analysis_of_a_figure_was_made():
    reasons = {"pools.parquet": "no", "gains.parquet": "never"}
    assert why_nothing(("pools.parquet",), reasons) == "no"
    assert why_nothing(("fits.parquet", "gains.parquet"), reasons) == "never"
    assert why_nothing(("pools.parquet", "gains.parquet"), reasons) == "no; never"
    assert why_nothing(("pools.parquet", "triples.parquet"), reasons) is None
    assert why_nothing(("curves.parquet", "fits.parquet"), reasons) is None


def test_it_shows_what_the_tables_carry(small_study, small_tables):
    frames, fits = small_tables
    text = shows(small_study, frames, fits)
    assert len(text) == 7
    assert "falls at every step of k on all 4 curves of the macro loss" in text[0]
    assert "all 16 curves of single domains" in text[0]
    assert "67% with 2 experts is reached" in text[1]
    assert "it lies 0.250 nats/token below L(4)" in text[2]
    assert "Within 0.01 nats/token of it the law needs 33 experts" in text[2]
    assert "on none of 4 curves" in text[2]
    assert "fitted to 1 of the 2 sizes" in text[3]
    assert "it misses its own points by up to 1.2%" in text[3]
    assert "first, or within 2 of the first, on all 4 macro curves" in text[4]
    assert "cannot tell it from floor + tail, offset 0 (4)." in text[4]
    assert "median R² of 0.9560. The measured R² of 0.9912 is no higher" in text[5]
    assert "on all 4 macro curves" in text[5]
    assert text[6].startswith("What holds for this pool and text is known better")
    assert "0.020 nats/token wide for this pool, 0.040 for new experts" in text[6]
    assert "0.080 for new text" in text[6]


def test_the_form_that_fits_better_is_named(small_study, small_tables):
    frames = dict(small_tables[0])
    worse = (pl.col("law") == "floor_tail") & (pl.col("method") == "ties")
    best = (pl.col("law") == "power") & (pl.col("method") == "ties")
    frames["rivals.parquet"] = frames["rivals.parquet"].with_columns(
        delta_aicc=pl.when(worse).then(40.0).when(best).then(0.0).otherwise("delta_aicc")
    )
    text = shows(small_study, frames, small_tables[1])[4]
    assert "within 2 of the first, on 2 of 4 macro curves" in text
    assert "cannot tell it from floor + tail, offset 0 (2). " in text
    assert text.endswith("On the others another form fits better: floor + power of k (2).")


def test_a_rising_loss_is_not_counted_as_falling(small_study, small_tables):
    frames = dict(small_tables[0])
    up = (pl.col("size") == "w48") & (pl.col("method") == "ties") & (pl.col("k") == 3)
    curves = frames["curves.parquet"].with_columns(loss=pl.when(up).then(9.0).otherwise("loss"))
    text = shows(small_study, frames | {"curves.parquet": curves}, small_tables[1])
    assert "More experts help" not in text[0]
    assert "on 3 of 4 curves of the macro loss" in text[0]
    assert "on 12 of 16 curves of single domains" in text[0]


def test_without_tables_it_claims_nothing(small_study, small_tables):
    frames = {file: frame.clear() for file, frame in small_tables[0].items()}
    assert shows(small_study, frames, small_tables[1]) == []


def test_what_it_does_not_show_depends_on_the_study(small_study, small_tables, facts):
    frames, fits = dict(small_tables[0]), small_tables[1]
    for name in ("order", "scale_curves", "scale_fits", "best_scales"):
        frames[f"{name}.parquet"] = frames[f"{name}.parquet"].clear()
    text = " ".join(shows_not(small_study, frames, fits, facts))
    assert "not identified for average and ties (all 2 joint fits" in text
    assert "outside N = 25.1K to 62.6K and k = 1 to 4" in text
    assert "The models are tiny" in text
    assert "Procedural text is no natural text" in text
    assert "With 1 item in a domain" in text
    assert "No ranking of methods" in text
    assert "The order in which experts are summed was not varied" in text
    assert "Scales were not varied" in text
    assert "Subsets were sampled" not in text


def test_limits_that_do_not_apply_are_not_said(small_study, small_tables, facts):
    frames, fits = dict(small_tables[0]), json.loads(json.dumps(small_tables[1]))
    for fit in fits["fits"]:
        fit["identified"] = True
    curves = frames["curves.parquet"]
    frames["curves.parquet"] = curves.with_columns(n_params_billions=pl.lit(7.0), n_subsets=1)
    order = {name: None for name in frames["order.parquet"].columns} | {"k": 2}
    frames["order.parquet"] = pl.DataFrame([order], schema=frames["order.parquet"].schema)
    contents = facts.contents.with_columns(n_items=pl.lit(500, dtype=pl.Int64))
    raw = small_study.model_dump(mode="json")
    for domain in raw["domains"]:
        domain["source"] = {"kind": "files", "files": ["text.json"]}
    study = type(small_study).model_validate(raw)
    text = " ".join(shows_not(study, frames, fits, facts._replace(contents=contents)))
    assert "not identified" not in text
    assert "tiny" not in text
    assert "Procedural" not in text
    assert "items in a domain" not in text
    assert "order in which" not in text
    assert "Subsets were sampled" in text


def test_the_checklist_answers_from_fits_and_config(small_study, small_tables, facts):
    frames, fits = dict(small_tables[0]), json.loads(json.dumps(small_tables[1]))
    fits["fits"][0]["weights"] = "measured"
    fits["fits"][0]["n_basins"] = 2
    n_fits = len(fits["fits"])
    answers = dict(checklist(small_study, frames, fits, facts).rows)
    assert answers["Form"] == "floor + tail/(k + offset)"
    assert "floor + tail, offset 0" in answers["Other forms tried"]
    assert "w32 25.1K and w48 62.6K" in answers["Models"]
    assert "a fit has 4 points at one size, 8 over all sizes" in answers["Points"]
    assert answers["Weights"].startswith("By the points' errors")
    assert "every point alike" in answers["Weights"]
    assert f"Second minima: 1 of {n_fits} fits" in answers["Optimiser"]
    assert "offset 0 or more (at a bound in 30 of 30)" in answers["Bounds"]
    assert "200 resamples of the items (new text)" in answers["Uncertainty"]
    assert answers["Held-out points"].startswith("the largest size, in turn")
    assert all(answers.values())


def test_the_checklist_stands_without_any_table(small_study, small_tables, facts):
    frames = {
        file: frame if file == "curves.parquet" else frame.clear()
        for file, frame in small_tables[0].items()
    }
    answers = dict(checklist(small_study, frames, {"fits": [], "refused": []}, facts).rows)
    assert answers["Form"] == "none fitted"
    assert answers["Uncertainty"] == "No interval could be made."
    assert answers["Held-out points"] == "None could be made."
