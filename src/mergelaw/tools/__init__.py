"""Commands for people."""

import typer

from mergelaw.tools.advising import advise
from mergelaw.tools.choosing import choose
from mergelaw.tools.downstream import downstream
from mergelaw.tools.estimating import estimate
from mergelaw.tools.evaluating import evaluate
from mergelaw.tools.fitting import fit
from mergelaw.tools.forecasting import forecast
from mergelaw.tools.merging import check, export_recipe, merge
from mergelaw.tools.next_measurement import next_measurement
from mergelaw.tools.optimizing import optimize
from mergelaw.tools.planning import plan
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
        "forecast": forecast,
        "next": next_measurement,
        "downstream": downstream,
        "choose": choose,
        "optimize": optimize,
        "advise": advise,
        "plan": plan,
        "status": status,
    }.items():
        app.command(name)(command)  # type: ignore[type-var]
