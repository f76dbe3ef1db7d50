"""The planner as a file: whole, self-contained, only its own code allowed, the library pinned."""

import base64
import hashlib
import json
import re
import tomllib
from fnmatch import fnmatch
from itertools import pairwise
from pathlib import Path

import pytest

from mergelaw.planning import page as planner
from mergelaw.planning.law_file import LawFile
from mergelaw.planning.page import ASSETS, CHART, CHART_SHA256, CHART_VERSION, SCRIPTS, render
from mergelaw.report.colors import GRID, INK, METHODS, MUTED, PAPER, SIZES
from tests.planning import page_laws
from tests.report.test_page import Page

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def html():
    return render(page_laws.large())


@pytest.fixture(scope="module")
def page(html):
    return Page(re.sub(r"<script.*?</script>", "<script></script>", html, flags=re.DOTALL))


def test_the_charting_library_is_the_registrys_file_with_its_licence():
    text = (ASSETS / CHART).read_bytes()
    assert hashlib.sha256(text).hexdigest() == CHART_SHA256
    assert f"Chart.js v{CHART_VERSION}".encode() in text
    origin = (ASSETS / "VENDORED.md").read_text(encoding="utf-8")
    assert CHART_SHA256 in origin
    assert f"https://registry.npmjs.org/chart.js/-/chart.js-{CHART_VERSION}.tgz" in origin
    assert "The MIT License" in (ASSETS / "chart.LICENSE.md").read_text(encoding="utf-8")


def test_every_asset_is_used_and_packaged():
    used = {*SCRIPTS, "theme.js", "planner.css", "planner.html", "VENDORED.md", "chart.LICENSE.md"}
    assert {path.name for path in ASSETS.iterdir()} == used
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = project["tool"]["setuptools"]["package-data"]["mergelaw"]
    for name in used:
        assert any(fnmatch(f"planning/assets/{name}", pattern) for pattern in patterns)


def test_it_is_balanced_html_with_unique_ids_and_small_enough(html, page):
    assert html.startswith("<!DOCTYPE html>")
    assert len(html.encode()) <= 1.5e6
    assert page.problems == []
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))


def test_nothing_is_loaded(html, page):
    assert not page.all("link")
    assert not page.all("img")
    for _, attrs in page.tags:
        assert "src" not in attrs
        assert "style" not in attrs
        assert not any(name.startswith("on") for name in attrs)
        assert attrs.get("href", "#").startswith("#")
    assert "@import" not in html
    assert "url(" not in (ASSETS / "planner.css").read_text(encoding="utf-8")


def test_the_policy_allows_exactly_the_pages_own_code(html):
    [policy] = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', html)
    rules = dict(rule.split(" ", 1) for rule in policy.replace("&#39;", "'").split("; "))
    assert rules["default-src"] == "'none'"
    bodies = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    assert len(bodies) == len(SCRIPTS) + 1
    assert set(rules["script-src"].split()) == {_digest(body) for body in bodies}
    [css] = re.findall(r"<style>(.*?)</style>", html, re.DOTALL)
    assert rules["style-src"] == _digest(css)


def _digest(text):
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@pytest.mark.parametrize("file", [page_laws.large(), page_laws.bare()])
def test_it_holds_the_law_file_to_the_last_digit(file):
    [data] = re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', render(file))
    assert LawFile.model_validate(json.loads(data)) == file


def test_names_are_text_wherever_they_stand():
    evil = "</script><script>alert(1)</script><!--"
    html = render(page_laws.bare().model_copy(update={"name": evil, "source": evil}), evil)
    assert evil not in html
    assert html.count("<script>") == len(SCRIPTS) + 1
    assert "<!--" not in html


def test_it_can_be_read_without_seeing(page):
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    ids = {attrs["id"] for _, attrs in page.tags if "id" in attrs}
    labelled = {attrs["for"] for attrs in page.all("label") if "for" in attrs}
    assert labelled <= ids
    assert {attrs["id"] for attrs in page.all("select")} <= labelled
    for _, attrs in page.tags:
        for name in ("aria-labelledby", "aria-describedby"):
            assert set(attrs.get(name, "").split()) <= ids


def test_where_numbers_come_from_is_said(page):
    file = page_laws.large()
    assert file.source in page.text
    assert all(caveat in page.text for caveat in file.caveats)
    assert "hours of cpu, measured" in page.text
    assert "non-embedding parameters" in page.text
    assert "versions.mergelaw" in page.text


def test_colours_are_the_reports():
    css = (ASSETS / "planner.css").read_text(encoding="utf-8")
    light, dark = (dict(re.findall(r"--([\w-]+): (#\w+);", line)) for line in css.splitlines()[:2])
    named = {"paper": PAPER, "ink": INK, "muted": MUTED, "line": GRID, "law": METHODS[0]}
    named |= {"target": METHODS[1], "pick": METHODS[2]}
    named |= {f"s{index}": color for index, color in enumerate(SIZES)}
    for name, color in named.items():
        assert (light[name], dark[name]) == (color.light, color.dark), name
    for colors in (light, dark):
        for ink in ("ink", "muted", "link", "bad"):
            assert _contrast(colors[ink], colors["paper"]) >= 4.5
            assert _contrast(colors[ink], colors["band"]) >= 4.5
        assert _contrast(colors["on-link"], colors["link"]) >= 4.5
        for mark in ("edge", "law", "target", "pick", "floor"):
            assert _contrast(colors[mark], colors["paper"]) >= 3


def _contrast(one, other):
    """Return the ratio of WCAG 2.2, 1.4.3."""
    high, low = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def _luminance(color):
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_sizes_of_the_same_origin_share_a_line():
    sizes = (*page_laws.large().sizes[:2], *page_laws.bare().sizes)
    assert list(planner.cost_lines(sizes)) == [
        "w32, w48: hours of cpu, measured.",
        "7B: no hours are known.",
    ]
