"""The page of the theory as one HTML file: reads tables and figures, fills the template."""

from mergelaw.config import Study
from mergelaw.errors import ConfigError
from mergelaw.paths import StudyPaths
from mergelaw.report import theory_context, theory_costs, theory_grids, theory_limits
from mergelaw.report.captions.figure import THEORY
from mergelaw.report.inputs import read_tables
from mergelaw.report.page import fill
from mergelaw.report.registry import tables_of
from mergelaw.report.sections import say
from mergelaw.report.theory_sections import SECTIONS

PAGE = "theory"


def render(study: Study, paths: StudyPaths) -> str:
    """Return the HTML of the page `theory`.

    Raises
    ------
    ConfigError
        If the study has no theory.
    TableError
        If a table or figure is missing or broken.
    """
    if study.theory is None:
        raise ConfigError(
            f"theory: is missing from the config of {study.name}; write `theory: {{}}` for the "
            "page of the theory and what it is made from"
        )
    files = tables_of(PAGE)
    tables = read_tables(study, paths, files)
    values = {
        "target": "full ",
        "title": theory_context.title(study, tables),
        "headline": theory_context.headline(study, tables),
        "answer": theory_grids.answer(study, tables),
        "how": theory_context.how(study, tables),
        "sections": [(section, say(study, tables, {}, section)) for section in SECTIONS],
        "limits": theory_limits.limits(study, tables),
        "notes": theory_context.notes(study, paths, [f for f in files if f.startswith(THEORY)]),
        "route_costs": theory_costs.routes(study, tables, theory_costs.read_spent(study, paths)),
        "costs": theory_costs.costs(study, tables),
    }
    return fill("theory.html", study, paths, PAGE, values)
