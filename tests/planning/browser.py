"""The planner in a real Chromium: opened from a file, with all that goes wrong or out recorded."""

import json
from pathlib import Path
from urllib.parse import urlencode

from benchmarks.plan_page import READY

PATIENCE_MS = 60_000
"""For machines that are busy; nothing waits that long where all is well."""


PRICED = {"price cpu": 0.25, "currency": "CHF", "serve": 2, "evaluations": 3, "trained": "yes"}
"""Costs as an address says them."""


class Opened:
    """A page with what it said, asked for and failed at.

    Attributes
    ----------
    page
        Playwright's page.
    problems
        Messages of the console, errors, and requests other than for the page itself.
    """

    def __init__(self, context, html: Path, **chosen):
        self.problems = []
        self.page = context.new_page()
        self.page.set_default_timeout(PATIENCE_MS)
        self.page.on("console", lambda message: self.problems.append(message.text))
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("request", self._requested)
        self.url = html.as_uri()
        self.page.goto(f"{self.url}#{urlencode(chosen)}" if chosen else self.url)
        self.page.wait_for_selector(READY, state="attached")

    def _requested(self, request):
        if not request.url.startswith((self.url, "blob:")):
            self.problems.append(f"asked for {request.url}")

    def go(self, **chosen) -> None:
        """Change the address of the page that is open."""
        self.page.evaluate(
            """address => new Promise(done => {
                addEventListener("hashchange", () => setTimeout(done), { once: true });
                location.hash = address;
            })""",
            urlencode(chosen),
        )

    def cards(self) -> list[str]:
        """Return the answers."""
        return self.page.locator(".card").all_inner_texts()

    def text(self, name: str) -> str:
        """Return the text of an element."""
        return self.page.locator(f"#{name}").inner_text()

    def choose(self, name: str, value: str) -> None:
        """Choose an entry of a list, or write into a field."""
        field = self.page.locator(f"#{name}")
        if field.evaluate("field => field.tagName") == "SELECT":
            field.select_option(value)
        else:
            field.fill(value)

    def choose_kind(self, kind: str) -> None:
        """Choose what the target is."""
        self.page.locator(f"input[name=kind][value={kind}]").check()

    def download(self, name: str) -> tuple[str, str]:
        """Press a button and return name and text of the file that it gives."""
        with self.page.expect_download() as caught:
            self.page.locator(f"#{name}").click()
        return caught.value.suggested_filename, Path(caught.value.path()).read_text("utf-8")

    def plan(self) -> dict:
        """Return the plan that the page gives as JSON."""
        return json.loads(self.download("plan")[1])

    def column(self, table: str, number: int) -> list[str]:
        """Return the cells of a table's column as shown."""
        return self.page.locator(f"#{table} tbody tr > :nth-child({number})").all_inner_texts()
