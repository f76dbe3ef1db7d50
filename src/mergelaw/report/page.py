"""The report as one HTML file: reads tables and figures, fills the template."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from mergelaw.config import Study
from mergelaw.errors import TableError
from mergelaw.paths import StudyPaths
from mergelaw.report import checklist, context, findings, grids, identification
from mergelaw.report.inputs import (
    FITS_JSON,
    Tables,
    fits_on_ladder,
    not_made,
    read_fits,
    read_tables,
)
from mergelaw.report.registry import FIGURES, figures_of, table_paths, tables_of
from mergelaw.report.sections import SECTIONS, say
from mergelaw.report.shows import shows
from mergelaw.report.shows_not import shows_not
from mergelaw.report.svg import inline, theme_css
from mergelaw.tables import LOSSES, SHARDS, read_provenance, read_table


def render(study: Study, paths: StudyPaths, page: str) -> str:
    """Return the HTML of a page, `report` or `full`.

    Raises
    ------
    TableError
        If a table or figure is missing or broken.
    """
    tables = read_tables(study, paths, tables_of(page))
    fits = fits_on_ladder(study, read_fits(paths.laws))
    facts = context.facts_of(
        read_table(paths.losses, LOSSES), read_table(paths.shard_contents, SHARDS)
    )
    values = {
        "target": "full " if page == "full" else "",
        **sections(study, tables, fits, facts),
        "full": None,
    }
    if page == "full":
        reasons = not_made(study, paths, tables_of(page))
        values["full"] = further(study, tables, fits, facts, reasons)
    return fill("page.html", study, paths, page, values)


def fill(
    template: str, study: Study, paths: StudyPaths, page: str, values: Mapping[str, Any]
) -> str:
    """Return a template filled with what it says, the page's figures, and where all is from.

    Raises
    ------
    TableError
        If a table or figure is missing.
    """
    environment = Environment(
        loader=PackageLoader("mergelaw", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(
        study=study,
        css=Markup(_source("page.css") + theme_css()),  # noqa: S704 - our own file
        figures={name: _figure(paths.figures / f"{name}.svg", name) for name in figures_of(page)},
        registry=FIGURES,
        **values,
        **origin(study, paths, page),
    )


def sections(
    study: Study, tables: Tables, fits: Mapping[str, Any], facts: context.Facts
) -> dict[str, Any]:
    """Return sentences and tables of the page by name."""
    return {
        "headline": context.headline(study, tables, facts),
        "answer": grids.answer(study, tables),
        "about": context.about(study, tables, facts),
        "joint_fits": grids.joint_fits(study, fits),
        "heldout": grids.heldout(study, tables),
        "forecasts": grids.forecasts(study, tables),
        "methods": grids.methods(study),
        "identified": identification.identified(fits),
        "notes": identification.notes(fits),
        "trends": identification.trends(study, tables),
        "analyses": {
            "variance_by_k": findings.variance(study, tables),
            "return_by_k": findings.returns(study, tables),
            "method_gap": findings.gaps(study, tables),
            "synergy": findings.synergy(study, tables),
            "domains": findings.domains(study, tables),
            "own_cross": findings.specialists(study, tables),
        },
        "vectors": {
            "task_vectors": findings.task_vectors(study, tables),
            "merged_task_vectors": findings.merged_task_vectors(study, tables),
        },
    }


def further(
    study: Study,
    tables: Tables,
    fits: Mapping[str, Any],
    facts: context.Facts,
    reasons: Mapping[str, str],
) -> dict[str, Any]:
    """Return what the full page has beyond the report; `reasons`: of analyses not made, by file."""
    return {
        "shows": shows(study, tables, fits),
        "shows_not": shows_not(study, tables, fits, facts),
        "sections": [(section, say(study, tables, reasons, section)) for section in SECTIONS],
        "checklist": checklist.checklist(study, tables, fits, facts),
        "not_made": checklist.not_made(reasons),
    }


def origin(study: Study, paths: StudyPaths, page: str) -> dict[str, Any]:
    """Return where the numbers come from: versions, and every table with its digest."""
    found = read_provenance(paths.losses)
    files = [paths.losses, *table_paths(study, paths, *tables_of(page))]
    files += [paths.laws / FITS_JSON] if page != "theory" else []
    return {
        "provenance": {k: v for k, v in found.items() if k != "versions"},
        "versions": json.loads(found.get("versions", "{}")),
        "root": paths.root.as_posix(),
        "config": os.path.relpath(paths.config, paths.page(page).parent),
        "files": [
            (
                file.relative_to(paths.root).as_posix(),
                os.path.relpath(file, paths.page(page).parent),
                hashlib.sha256(file.read_bytes()).hexdigest()[:16],
            )
            for file in files
        ],
    }


def _figure(path: Path, name: str) -> Markup:
    figure = FIGURES[name]
    try:
        svg = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise TableError(f"{path}: is missing; draw the figure first") from None
    return Markup(inline(svg, name, figure.title, figure.caption))  # noqa: S704 - our own file


def _source(name: str) -> str:
    return (Path(__file__).parent / name).read_text(encoding="utf-8")
