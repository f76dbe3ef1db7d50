"""The page: well-formed, self-contained, accessible, and every number from the tables."""

import json
import re
import shutil
from html.parser import HTMLParser
from itertools import pairwise

import polars as pl
import pytest

from mergelaw.errors import TableError
from mergelaw.paths import StudyPaths
from mergelaw.report.registry import FIGURES, figures_of
from mergelaw.report.stage import write_figure, write_page
from mergelaw.report.svg import inline
from tests.report import tables

VOID = {"meta", "link", "br", "hr", "img", "input"}


class Page(HTMLParser):
    """Collects tags with their attributes, the text outside drawings, and what is unbalanced."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.open, self.problems, self.words = [], [], [], []
        self.feed(html)
        self.close()
        self.problems += [f"<{tag}> is never closed" for tag in self.open]
        self.text = " ".join("".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        self.words.append(" " if tag in {"td", "th"} else "")
        if not self.open or self.open.pop() != tag:
            self.problems.append(f"</{tag}> closes something else")

    def handle_data(self, data):
        if "style" not in self.open and "svg" not in self.open:
            self.words.append(data)

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


@pytest.fixture(scope="session")
def html(drawn):
    return drawn.page("report").read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def page(html):
    return Page(html)


@pytest.fixture
def remade(small_study, drawn, small_tables, tmp_path):
    """Write the page again from changed tables and return it."""

    def make(study=small_study, facts=None, **changed):
        frames, fits = small_tables
        paths = StudyPaths(tmp_path / "again")
        files = {f"{name}.parquet": frame for name, frame in changed.items()}
        tables.write_all(study, paths, frames | files, facts or fits)
        shutil.copytree(drawn.figures, paths.figures, dirs_exist_ok=True)
        write_page(study, paths, "report")
        return Page(paths.page("report").read_text(encoding="utf-8"))

    return make


def test_it_is_balanced_html_with_unique_ids(html, page):
    assert html.startswith("<!DOCTYPE html>")
    assert page.problems == []
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))


def test_nothing_is_loaded_and_links_stay_inside(html, page, drawn):
    assert not page.all("script")
    assert not page.all("link")
    assert not page.all("img")
    assert "url(http" not in html
    assert "@import" not in html
    ids = {attrs["id"] for _, attrs in page.tags if "id" in attrs}
    for _, attrs in page.tags:
        for name in ("src", "href", "xlink:href"):
            link = attrs.get(name)
            if link is not None and link.startswith("#"):
                assert link[1:] in ids
            elif link is not None:
                assert "//" not in link
                assert (drawn.page("report").parent / link).exists() or link == "../study.json"
    assert set(re.findall(r"url\(#([^)]+)\)", html)) <= ids


def test_it_can_be_read_without_seeing(page):
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert all(attrs.get("scope") in {"col", "row"} for attrs in page.all("th"))
    assert page.all("html")[0]["lang"] == "en"
    drawings = [attrs for attrs in page.all("svg") if attrs.get("role") == "img"]
    assert len(drawings) == len(figures_of("report"))
    for figure in (FIGURES[name] for name in figures_of("report")):
        assert any(
            figure.title in d["aria-label"] and figure.caption in d["aria-label"] for d in drawings
        )
    assert len(page.all("caption")) == len(page.all("table"))


def luminance(color):
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first, second):
    high, low = sorted((luminance(first), luminance(second)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_contrast_of_text_and_series(html):
    from mergelaw.report.colors import INK, METHODS, MUTED, PAPER, SIZES

    blocks = [
        dict(re.findall(r"--(paper|ink|muted|band|link): (#\w{6})", block))
        for block in re.findall(r":root \{[^}]*--paper[^}]*\}", html)
    ]
    assert len(blocks) == 2
    for css in blocks:
        for text in ("ink", "muted", "link"):
            for ground in ("paper", "band"):
                assert contrast(css[text], css[ground]) >= 4.5
    for mode in ("light", "dark"):
        paper = getattr(PAPER, mode)
        assert contrast(getattr(INK, mode), paper) >= 4.5
        assert contrast(getattr(MUTED, mode), paper) >= 4.5
        assert all(contrast(getattr(color, mode), paper) >= 3 for color in (*METHODS, *SIZES))


def test_the_headline_says_what_was_measured(page):
    assert (
        "The study tiny merged subsets of 4 experts at 2 sizes (25.1K to 62.6K non-embedding "
        "parameters) with 2 methods: 60 merges, each scored on 480 held-out tokens of 4 domains."
        in page.text
    )


@pytest.mark.parametrize(
    ("table", "column", "where"),
    [
        ("curves", "loss", (pl.col("k") == 4) & (pl.col("size") == "w48")),
        ("curves", "loss", pl.col("k") == 0),
        ("fits", "value", pl.col("parameter") == "floor"),
        ("fits", "stderr", pl.col("parameter") == "tail"),
        ("forecast", "relative_error", pl.col("k") == 3),
        ("heldout", "relative_error", pl.col("k") == 3),
        ("returns", "k85", pl.col("k") > 0),
        ("variance", "variance", pl.col("k") == 1),
        ("gaps", "gap_percent", pl.col("method") == "ties"),
        ("synergy", "gain", pl.col("donor") == pl.col("receiver")),
        ("specialists", "loss", pl.col("is_own")),
        ("task_vectors", "norm", pl.col("tensor") == "*"),
        ("task_vectors", "density", pl.col("tensor") == "*"),
        ("merged_tensors", "norm_over_mean", pl.col("tensor") == "*"),
        ("merged_tensors", "cosine_with_mean", pl.col("tensor") == "*"),
        ("merged_tensors", "sign_agreement", pl.col("tensor") == "*"),
        ("merged_tensors", "rounding_loss", pl.col("tensor") == "*"),
    ],
)
def test_numbers_come_from_the_tables(table, column, where, remade, small_tables, page):
    frame = small_tables[0][f"{table}.parquet"]
    value = 7 if frame.schema[column] == pl.Int64 else 7.7654
    shown = {
        "relative_error": "776.54%",
        "gap_percent": "7.77%",
        "k85": "7",
        "variance": "7.8",
        "density": "776.5%",
        "sign_agreement": "776.5%",
        "rounding_loss": "776.54%",
    }.get(column, "7.765")
    pattern = rf"(?<![\d.]){re.escape(shown)}(?!\d)"
    assert column == "k85" or not re.search(pattern, page.text)
    changed = frame.with_columns(
        pl.when(
            where & (pl.col("domain") == "macro")
            if "domain" in frame.columns and table != "specialists"
            else where
        )
        .then(pl.lit(value))
        .otherwise(column)
        .cast(frame.schema[column])
        .alias(column)
    )
    again = remade(**{table: changed})
    assert re.search(pattern, again.text)
    assert again.text != page.text


def test_joint_fits_come_from_fits_json(remade, small_tables, page):
    fits = json.loads(json.dumps(small_tables[1]))
    for fit in fits["fits"]:
        if fit["law"] == "joint":
            fit["r2"], fit["notes"] = 0.4321, ["a note that no other fit has"]
    text = remade(facts=fits).text
    assert "0.4321" in text
    assert "a note that no other fit has" in text
    assert "fewer than 4 sizes" in page.text
    assert "fewer than 4 sizes" not in text


def test_rising_losses_and_floors_are_said(remade, small_tables, page):
    assert "ties: the loss falls at every step of k at every size." in page.text
    assert "ties: the floor falls at every step of the size." in page.text
    frames = small_tables[0]
    curves = frames["curves.parquet"].with_columns(
        loss=pl.when((pl.col("method") == "ties") & (pl.col("size") == "w48") & (pl.col("k") == 3))
        .then(9.0)
        .otherwise("loss")
    )
    fits = frames["fits.parquet"].with_columns(
        value=pl.when((pl.col("parameter") == "floor") & (pl.col("size") == "w48"))
        .then(9.0)
        .otherwise("value")
    )
    text = remade(curves=curves, fits=fits).text
    assert "ties: the loss is not monotone in k: it rises at w48 when k reaches 3." in text
    assert "ties: the floor does not fall at every step of the size: not from w32 to w48." in text


def test_the_experts_most_alike_are_named(remade, small_tables):
    vectors = small_tables[0]["task_vectors.parquet"]
    cosines = [[1.0, 0.1, 0.2, 0.3], [0.1, 1.0, 0.4, 0.777], [0.2, 0.4, 1.0, None], [0.3, 0.777]]
    cosines[3] += [None, 1.0]
    names = ("algebra", "analysis", "discrete", "geometry")
    given = pl.DataFrame({"expert": names, "cosines": cosines})
    text = remade(task_vectors=vectors.drop("cosines").join(given, on="expert")).text
    said = "cosine of two experts 0.100 (algebra and analysis) to 0.777 (analysis and geometry)."
    assert text.count(said) == 2


def test_each_number_of_a_merge_stands_in_its_place(remade, small_tables):
    values = {
        "norm_over_mean": 1.25,
        "cosine_with_mean": 0.75,
        "sign_agreement": 0.625,
        "rounding_loss": 0.0125,
    }
    merged = small_tables[0]["merged_tensors.parquet"]
    merged = merged.with_columns(pl.lit(value).alias(name) for name, value in values.items())
    assert (
        "the sign agreement is 62.5%; the merged norm is 1.250 times the plain mean's, the cosine "
        "with it 0.750; rounding changes 1.25% of the merged norm."
    ) in remade(merged_tensors=merged).text


def test_a_method_that_did_not_merge_the_pool_is_named(remade, small_tables):
    frames = small_tables[0]
    average = pl.col("method") == "average"
    found = {f: frames[f"{f}.parquet"].filter(average) for f in ("task_vectors", "merged_tensors")}
    text = remade(**found).text
    assert "ties: the whole pool was not merged." in text
    assert "average, over the sizes: 100.0% of the entries are kept" in text


def test_one_size_and_refused_fits(tmp_path):
    study = tables.make_study(1, ("average",), 3)
    paths = tables.tree(study, tmp_path)
    for name in figures_of("report"):
        write_figure(study, paths, name)
    write_page(study, paths, "report")
    page = Page(paths.page("report").read_text(encoding="utf-8"))
    assert page.problems == []
    assert "No joint law was fitted" in page.text
    assert "needs at least 2 sizes, has 1" in page.text
    assert "The study has one method." in page.text


def test_files_sampled_subsets_and_nulls(remade, small_tables):
    source = {"kind": "files", "files": ["code.json"]}
    study = tables.make_study(notes=["<b>Chosen</b> after a look & said so."])
    raw = study.model_dump(mode="json")
    raw["domains"][0]["source"] = source
    study = type(study).model_validate(raw)
    frames = small_tables[0]
    curves = frames["curves.parquet"].with_columns(
        n_subsets=pl.lit(1, dtype=pl.Int64),
        sd=pl.lit(None, dtype=pl.Float64),
        subset_se=pl.lit(None, dtype=pl.Float64),
        token_se=pl.lit(None, dtype=pl.Float64),
        loss_se=pl.lit(None, dtype=pl.Float64),
    )
    emptied = {
        name: frames[f"{name}.parquet"].clear()
        for name in ("variance", "returns", "gaps", "synergy", "specialists", "heldout", "forecast")
    }
    page = remade(study=study, curves=curves, **emptied)
    assert page.problems == []
    assert "Domain algebra is read from code.json." in page.text
    assert "token standard error is not defined" in page.text
    assert "Subsets were sampled" in page.text
    assert "<b>Chosen</b> after a look & said so." in page.text


def test_a_missing_figure_or_table_is_an_error(small_study, drawn, tmp_path):
    paths = tables.tree(small_study, tmp_path)
    with pytest.raises(TableError, match=r"loss_by_k\.svg: is missing"):
        write_page(small_study, paths, "report")
    (paths.laws / "fits.json").unlink()
    with pytest.raises(TableError, match=r"fits\.json: is missing"):
        write_page(small_study, paths, "report")
    (paths.root / "merge" / "w48" / "merged_tensors.parquet").unlink()
    with pytest.raises(TableError, match=r"w48/merged_tensors\.parquet: is missing"):
        write_figure(small_study, paths, "merged_task_vectors")
    (paths.laws / "gaps.parquet").unlink()
    with pytest.raises(TableError, match=r"gaps\.parquet: is missing"):
        write_figure(small_study, paths, "method_gap")


def test_the_same_tables_give_the_same_page(small_study, drawn, tmp_path):
    copy = StudyPaths(tmp_path / "tiny")
    shutil.copytree(drawn.root, copy.root)
    copy.page("report").unlink()
    write_page(small_study, copy, "report")
    first, second = (
        p.page("report").read_text(encoding="utf-8").replace(p.root.as_posix(), "")
        for p in (drawn, copy)
    )
    assert first == second


def test_inline_keeps_drawings_apart():
    svg = (
        '<?xml version="1.0"?>\n<!DOCTYPE svg>\n<svg xmlns="http://www.w3.org/2000/svg" '
        'width="10pt" viewBox="0 0 1 1"><g id="a" style="fill: #1b1b1f"/>'
        '<use xlink:href="#a" clip-path="url(#c)"/></svg>'
    )
    result = inline(svg, "map", 'A "map"', "Of <cells>")
    assert result.startswith("<svg")
    assert 'id="map-a"' in result
    assert 'href="#map-a"' in result
    assert "url(#map-c)" in result
    assert "fill: var(--c0)" in result
    assert 'width="10pt"' not in result
    assert 'aria-label="A &quot;map&quot;. Of &lt;cells&gt;"' in result


def test_workflow_captions_exist():
    from pathlib import Path

    folder = Path(__file__).parents[2] / "workflow" / "report"
    assert (folder / "figure.rst").read_text().strip() == "{{ snakemake.params.caption }}"
    assert all((folder / f"{name}.rst").read_text().strip() for name in ("page", "workflow"))
