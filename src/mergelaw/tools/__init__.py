"""Commands for people."""

import typer

from mergelaw.tools.downstream import downstream
from mergelaw.tools.estimating import estimate
from mergelaw.tools.evaluating import evaluate
from mergelaw.tools.fitting import fit
from mergelaw.tools.merging import check, export_recipe, merge
from mergelaw.tools.status import status


def add_tools(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    for name, command in {
        "check": check,
        "merge": merge,
        "export-recipe": export_recipe,
        "evaluate": evaluate,
        "estimate": estimate,
        "fit": fit,
        "downstream": downstream,
        "status": status,
    }.items():
        app.command(name)(command)  # type: ignore[type-var]
