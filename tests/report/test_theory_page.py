"""The theory page: well-formed, linked, and only where the study has a theory."""

import json
import shutil
from itertools import pairwise

import pytest

from mergelaw.errors import ConfigError, TableError
from mergelaw.laws.schemas.theory import DERIVATIVES, TERMS
from mergelaw.paths import StudyPaths
from mergelaw.report.registry import FIGURES, figures_of, table_paths, tables_of
from mergelaw.report.stage import write_figure, write_page
from mergelaw.report.theory_sections import SECTIONS
from mergelaw.tables import write_table
from tests.report import tables
from tests.report.test_page import Page


@pytest.fixture(scope="module")
def theory(drawn):
    return Page(drawn.page("theory").read_text(encoding="utf-8"))


@pytest.fixture
def copy(drawn, tmp_path):
    """The small study's tree, to be written into."""
    paths = StudyPaths(tmp_path / "tiny")
    shutil.copytree(drawn.root, paths.root)
    return paths


def again(study, paths):
    write_page(study, paths, "theory")
    return Page(paths.page("theory").read_text(encoding="utf-8"))


def test_it_is_balanced_html_with_whole_links(theory, drawn):
    assert theory.problems == []
    ids = [attrs["id"] for _, attrs in theory.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert not theory.all("script")
    assert not theory.all("link")
    for link in (attrs["href"] for attrs in theory.all("a")):
        inside = link.startswith("#") and link[1:] in ids
        assert inside or link == "../study.json" or (drawn.page("theory").parent / link).exists()
    assert {section.anchor for section in SECTIONS} <= set(ids)


def test_it_can_be_read_without_seeing(theory):
    levels = [int(tag[1]) for tag, _ in theory.tags if tag in {"h1", "h2", "h3"}]
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert len(theory.all("caption")) == len(theory.all("table"))
    labels = [a["aria-label"] for a in theory.all("svg") if a.get("role") == "img"]
    assert len(labels) == len(figures_of("theory"))


def test_every_figure_of_the_theory_has_one_place(theory):
    placed = [attrs["id"] for attrs in theory.all("figure")]
    assert placed == [f"figure-{name}" for name in figures_of("theory")]
    further = [finding.figure for section in SECTIONS for finding in section.findings]
    assert further == figures_of("theory") == [n for n, f in FIGURES.items() if f.theory]


def test_its_title_is_the_number_of_merges(theory, drawn):
    html = drawn.page("theory").read_text(encoding="utf-8")
    assert "<title>tiny: Predicted from one merge, measured with 15</title>" in html
    assert "Predicted from one merge, measured with 15" in theory.text


def test_all_its_tables_are_listed(theory):
    listed = {attrs["href"] for attrs in theory.all("a")}
    assert "../theory/w32/derivatives.parquet" in listed
    assert "../theory/w48/weights.parquet" in listed
    assert "../theory/curves.parquet" in listed
    assert "../laws/curves.parquet" in listed
    assert "../laws/fits.json" not in listed
    assert "snakemake --cores 2 full --configfile" in theory.text


def test_tables_of_the_theory_lie_in_its_folder(small_study, tmp_path):
    paths = StudyPaths(tmp_path)
    names = ("curves.parquet", "theory/curves.parquet", "theory/weights.parquet")
    assert table_paths(small_study, paths, *names) == [
        tmp_path / "laws" / "curves.parquet",
        tmp_path / "theory" / "curves.parquet",
        tmp_path / "theory" / "w32" / "weights.parquet",
        tmp_path / "theory" / "w48" / "weights.parquet",
    ]


def test_other_pages_have_none_of_its_tables_and_figures():
    for page in ("report", "full"):
        assert not [name for name in tables_of(page) if name.startswith("theory/")]
        assert not [name for name in figures_of(page) if FIGURES[name].theory]


def test_the_full_page_leads_to_it(drawn, copy):
    full = Page(drawn.page("full").read_text(encoding="utf-8"))
    assert "theory.html" in {attrs["href"] for attrs in full.all("a")}
    report = Page(drawn.page("report").read_text(encoding="utf-8"))
    assert "theory.html" not in {attrs["href"] for attrs in report.all("a")}
    write_page(tables.make_study(theory=None), copy, "full")
    without = Page(copy.page("full").read_text(encoding="utf-8"))
    assert "theory.html" not in {attrs["href"] for attrs in without.all("a")}
    assert without.problems == []


def test_a_study_without_a_theory_has_no_such_page(copy):
    study = tables.make_study(theory=None)
    with pytest.raises(ConfigError, match=r"theory: is missing from the config of tiny; write"):
        write_page(study, copy, "theory")


def test_a_study_without_a_theory_has_figures_that_say_so(tmp_path, monkeypatch):
    from mergelaw.report import figures, style

    shown, message = [], style.message
    monkeypatch.setattr(style, "message", lambda *text: shown.append(text) or message(*text))
    monkeypatch.setitem(figures.DRAW, "theory_terms", None)
    write_figure(tables.make_study(theory=None), StudyPaths(tmp_path), "theory_terms")
    assert shown == [
        (FIGURES["theory_terms"].title, "Not made: the study has no `theory` in its config.")
    ]


def test_a_missing_table_or_figure_is_an_error(small_study, copy):
    (copy.figures / "theory_terms.svg").unlink()
    with pytest.raises(TableError, match=r"theory_terms\.svg: is missing"):
        write_page(small_study, copy, "theory")
    copy.weights("w48").unlink()
    with pytest.raises(TableError, match=r"theory/w48/weights\.parquet: is missing"):
        write_page(small_study, copy, "theory")


def test_notes_of_the_jobs_are_shown_once_with_what_they_are_about(small_study, small_tables, copy):
    assert "Notes of the jobs" not in again(small_study, copy).text
    noted = {
        "derivatives": ["w48, average: attention <eager> was taken", "a note about nothing"],
        "terms": ["w32, average: a k", "w48, average: a k", "w48: a k", "a note about nothing"],
    }
    noted["terms"].append("all sizes, slerp: no curve: slerp (slerp): what an expert adds")
    places = {"derivatives": copy.derivatives("w48"), "terms": copy.theory_table("terms")}
    for table in (DERIVATIVES, TERMS):
        name = table.file.removesuffix(".parquet")
        frame = small_tables[0][f"theory/{table.file}"]
        frame = frame.filter(size="w48") if table is DERIVATIVES else frame
        origin = tables.PROVENANCE | {"notes": json.dumps(noted[name])}
        write_table(places[name], frame, table.schema, table.key, origin)
    text = again(small_study, copy).text
    assert "attention <eager> was taken (average at w48)" in text
    assert "no curve: slerp (slerp): what an expert adds (slerp at all sizes)" in text
    assert "a k (average at w32 and w48; w48)" in text
    assert text.count("a note about nothing") == 1


def test_what_jobs_took_is_set_beside_the_sweep(small_study, small_tables, copy):
    from mergelaw.report.captions.figure import COSTS
    from mergelaw.report.inputs import SCHEMAS
    from mergelaw.tables import COSTS_KEY
    from tests.report import cost_tables

    spent = {"size": "w32", "n_jobs": 1, "wall_seconds": 7.125, "cpu_seconds": 6.5}
    more = cost_tables.frame([cost_tables.row("theory", "derivatives", **spent)])
    frame = small_tables[0][COSTS].vstack(more)
    write_table(copy.costs, frame, SCHEMAS[COSTS], COSTS_KEY, tables.PROVENANCE)
    text = again(small_study, copy).text
    assert "w32 theory derivatives – 7.1 6.5" in text
    assert "w32 sweep chunk average 50.0 80.0" in text


def test_the_same_tables_give_the_same_page(small_study, drawn, copy):
    write_page(small_study, copy, "theory")
    first, second = (
        p.page("theory").read_text(encoding="utf-8").replace(p.root.as_posix(), "")
        for p in (drawn, copy)
    )
    assert first == second


def test_a_study_of_which_nothing_is_predicted_still_has_a_page(tmp_path):
    study = tables.make_study(1, ("average", "ties"), 3)
    frames, fits = tables.build(study)
    kept = {"theory/updates.parquet", "theory/weights.parquet"}
    lost = {f: t.clear() for f, t in frames.items() if f.startswith("theory/") and f not in kept}
    paths = StudyPaths(tmp_path / "tiny")
    tables.write_all(study, paths, frames | lost, fits)
    for name in figures_of("theory"):
        write_figure(study, paths, name)
    page = again(study, paths)
    assert page.problems == []
    assert "Nothing is predicted" in page.text
    assert "ties is not linear in its task vectors and is not predicted" in page.text
    assert "Nothing is predicted of average and ties; the notes of the jobs" in page.text


def test_routes_have_their_passes_and_their_share_of_the_sweep(small_study, copy):
    assert "forward passes over the evaluation text" not in again(small_study, copy).text
    spent = {"method": "average", "mask_seed": 0, "route": "hvp", "forwards": 44.25, "seconds": 2.5}
    other = spent | {"method": "dare", "forwards": 99.5}
    record = copy.derivatives("w32").with_suffix(".cost.json")
    record.write_text(json.dumps({"routes": [spent, other]}))
    text = again(small_study, copy).text
    assert "w32 Hessian-vector products 44.2 2.50 5.0% 32 50.0" in text
    assert "99.5" not in text
