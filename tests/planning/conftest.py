"""Fixtures of the planner's tests in Chromium; tests that ask for them are skipped without one."""

import pytest

from benchmarks.plan_page import CHROMIUM
from benchmarks.plan_page import chromium as started
from mergelaw.planning.page import render
from tests.planning import browser, page_laws


@pytest.fixture(scope="module")
def chromium():
    """A Chromium that is running."""
    pytest.importorskip("playwright.sync_api").expect.set_options(timeout=browser.PATIENCE_MS)
    if CHROMIUM is None:
        pytest.skip("no chromium is installed")
    with started() as running:
        yield running


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """The pages of all law files."""
    folder = tmp_path_factory.mktemp("pages")
    for name, file in page_laws.FILES.items():
        (folder / f"{name}.html").write_text(render(file), encoding="utf-8")
    return folder


@pytest.fixture
def open_page(chromium, pages):
    """Open a page; at the end, nothing may have gone wrong or out."""
    contexts, opened = [], []

    def open_one(name="large", look=None, **chosen):
        contexts.append(chromium.new_context(**(look or {}), accept_downloads=True))
        opened.append(browser.Opened(contexts[-1], pages / f"{name}.html", **chosen))
        return opened[-1]

    yield open_one
    problems = [problem for one in opened for problem in one.problems]
    for context in contexts:
        context.close()
    assert problems == []
