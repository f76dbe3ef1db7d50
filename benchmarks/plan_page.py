"""The planner's page: bytes, seconds to the first answer in Chromium, and pictures for the docs.

    python -m benchmarks.plan_page results/default/planning/laws.json [--figures docs/figures]

Seconds run from the start of the navigation to the first answer drawn, by the browser's clock, each
time in a browser profile without a cache.
"""

import argparse
import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from mergelaw.planning.law_file import read_law_file
from mergelaw.planning.page import render

REPEATS = 5
MOST_BYTES, MOST_SECONDS = 1.5e6, 1.0
"""Aims."""

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
READY = "html[data-ready=yes]"
ANSWERED = "performance.getEntriesByName('answered')[0].startTime / 1000"
PICTURES: dict[str, dict[str, Any]] = {
    "planner": {"viewport": {"width": 1280, "height": 1000}, "color_scheme": "light"},
    "planner-phone": {
        "viewport": {"width": 360, "height": 760},
        "color_scheme": "dark",
        "device_scale_factor": 2,
        "is_mobile": True,
    },
}
"""Of the docs: file name, and how the browser looks at the page."""

COLORS = 256
"""Of a picture's palette: the file stays small, and no colour of the page is lost."""


def main() -> None:
    """Measure, or draw, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("laws", type=Path, help="A law file, of a study or of the package.")
    parser.add_argument("--figures", type=Path, help="Write the docs' pictures into this folder.")
    parser.add_argument("--view", default="", help="What follows # in the address of pictures.")
    arguments = parser.parse_args()
    if arguments.figures is not None:
        for path in draw(arguments.laws, arguments.figures, arguments.view):
            print(f"{path}: {path.stat().st_size:,} bytes")
        return
    found = measure(arguments.laws)
    print(json.dumps(found, indent=2))
    print(text(found))


def measure(laws: Path) -> dict[str, Any]:
    """Return bytes of the page of a law file and seconds until it answers."""
    file = read_law_file(laws)
    with _page_of(laws) as page, chromium() as browser:
        seconds = [_seconds(browser, page) for _ in range(REPEATS)]
        return {
            "laws": sum(len(law.curves) for law in file.laws),
            "bytes": page.stat().st_size,
            "seconds": sorted(seconds),
            "median_seconds": median(seconds),
            "browser": browser.version,
        }


def text(found: dict[str, Any]) -> str:
    """Return the figures as a sentence."""
    return (
        f"planner.html of {found['laws']} laws: {found['bytes'] / 1e6:.2f} MB "
        f"(aim {MOST_BYTES / 1e6:.1f}), first answer after {found['median_seconds']:.2f} s "
        f"(aim {MOST_SECONDS:.0f}; median of {len(found['seconds'])}, Chromium "
        f"{found['browser']})"
    )


def draw(laws: Path, folder: Path, view: str) -> Iterator[Path]:
    """Write the pictures as PNG with a palette."""
    from PIL import Image

    with _page_of(laws) as page, chromium() as browser:
        for name, look in PICTURES.items():
            context = browser.new_context(**look)
            tab = context.new_page()
            tab.goto(f"{page.as_uri()}#{view}")
            tab.wait_for_selector(READY, state="attached")
            path = folder / f"{name}.png"
            if "phone" in name:
                tab.locator("#bar").click()
            tab.screenshot(path=path)
            Image.open(path).convert("RGB").quantize(COLORS).save(path, optimize=True)
            context.close()
            yield path


def _seconds(browser: Any, page: Path) -> float:
    context = browser.new_context()
    tab = context.new_page()
    tab.goto(page.as_uri())
    tab.wait_for_selector(READY, state="attached")
    seconds = float(tab.evaluate(ANSWERED))
    context.close()
    return seconds


@contextmanager
def _page_of(laws: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="mergelaw-page-") as folder:
        page = Path(folder) / "planner.html"
        page.write_text(render(read_law_file(laws), _named(laws)), encoding="utf-8")
        yield page


def _named(laws: Path) -> str:
    """Return what `--law` takes: a study's folder for its own file."""
    return laws.parents[1].as_posix() if laws.parent.name == "planning" else laws.stem


@contextmanager
def chromium() -> Iterator[Any]:
    """Start the Chromium that is installed, without a window; for the tests, too."""
    from playwright.sync_api import sync_playwright

    if CHROMIUM is None:
        raise SystemExit("no chromium is installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield browser
        browser.close()


if __name__ == "__main__":
    main()
