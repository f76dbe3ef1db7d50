"""The planner as one HTML file: laws, own code and the charting library inside, nothing loaded."""

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from mergelaw.planning.law_file import LawFile, Size

ASSETS = Path(__file__).parent / "assets"
CHART = "chart.umd.min.js"
CHART_VERSION = "4.6.1"
CHART_SHA256 = "87364cc2b2a76a6684929e7d6b80b18a897794db38400caff1fcf1791c6925d2"
"""Of the file as the npm registry has it; `assets/VENDORED.md` says from where."""

SCRIPTS = (
    CHART,
    "distributions.js",
    "words.js",
    "answers.js",
    "finding.js",
    "budget.js",
    "state.js",
    "plan.js",
    "tables.js",
    "charts.js",
    "controls.js",
    "sayings.js",
    "rows.js",
    "planner.js",
)
"""In the order in which they need each other."""


def render(file: LawFile, law: str | None = None) -> str:
    """Return the planner's HTML.

    Parameters
    ----------
    file : LawFile
        The laws that it plans from.
    law : str, optional
        What `mergelaw plan --law` takes to find them; their name when absent.
    """
    css, theme = _source("planner.css"), _source("theme.js")
    scripts = [_source(name) for name in SCRIPTS]
    environment = Environment(
        loader=PackageLoader("mergelaw", "planning/assets"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("planner.html").render(
        file=file,
        law=law or file.name,
        css=Markup(css),  # noqa: S704 - our own file
        theme=Markup(theme),  # noqa: S704 - our own file
        scripts=[Markup(script) for script in scripts],  # noqa: S704 - our own files
        data=Markup(data_of(file)),  # noqa: S704 - escaped there
        policy=policy(css, (theme, *scripts)),
        metric=file.metric.split(",")[0],
        costs=list(cost_lines(file.sizes)),
        provenance=list(facts(file.provenance)),
        n_params={"total": "all", "nonembedding": "non-embedding", None: ""}[file.n_params],
        chart_version=CHART_VERSION,
    )


def data_of(file: LawFile) -> str:
    """Return the law file as JSON that no text in it can end the script element with."""
    return json.dumps(file.model_dump(mode="json"), allow_nan=False).replace("<", "\\u003c")


def policy(css: str, scripts: tuple[str, ...]) -> str:
    """Return a Content-Security-Policy that lets the page's own code run, and nothing load."""
    own = " ".join(_hash(script) for script in scripts)
    return (
        f"default-src 'none'; script-src {own}; style-src {_hash(css)}; "
        "base-uri 'none'; form-action 'none'"
    )


def cost_lines(sizes: tuple[Size, ...]) -> Iterator[str]:
    """Say where hours are from; sizes with the same origin in one line."""
    origins: dict[str, list[str]] = {}
    for size in sizes:
        costs = size.costs
        origin = f"hours of {costs.device}, {costs.source}" if costs else "no hours are known"
        origins.setdefault(origin, []).append(size.name)
    for origin, names in origins.items():
        yield f"{', '.join(names)}: {origin}."


def facts(provenance: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    """Return the file's provenance as names and values, nested names with dots."""
    for key, value in provenance.items():
        if isinstance(value, Mapping):
            yield from facts(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value if isinstance(value, str) else json.dumps(value)


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"


def _source(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")
