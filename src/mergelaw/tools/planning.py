"""The command `mergelaw plan`: experts, sizes and costs from fitted laws."""

import json
from pathlib import Path
from typing import Annotated

import typer

from mergelaw.files import write_json
from mergelaw.tools.options import Json, Out

Law = Annotated[
    str,
    typer.Option(
        "--law",
        help="NAME, NAME/METHOD or NAME/METHOD/DOMAIN; NAME is of laws that come with mergelaw "
        "(qwen2.5, ladder), a law file, or a study's results folder.",
    ),
]
Methods = Annotated[list[str] | None, typer.Option("--method", help="Only this one; repeatable.")]
Domains = Annotated[
    list[str] | None, typer.Option("--domain", help="Only this one, or macro; repeatable.")
]
Sizes = Annotated[list[str] | None, typer.Option("--size", help="Only this one; repeatable.")]
OffLadder = Annotated[
    list[float] | None,
    typer.Option(
        "--n-params",
        help="A size off the ladder, in billions of parameters, by the law over sizes; repeatable.",
    ),
]
Target = Annotated[float | None, typer.Option("--target", help="Loss to reach, in nats per token.")]
Shares = Annotated[
    list[float] | None,
    typer.Option(
        "--return", help="Share of the pool's improvement, such as 0.9; repeatable. [0.85, 0.9]"
    ),
]
Gap = Annotated[
    float | None, typer.Option("--gap", help="Nats per token above the floor to be within.")
]
Probabilities = Annotated[
    list[float] | None,
    typer.Option("--probability", help="Chance of reaching the target; repeatable. [0.9]"),
]
Eps = Annotated[
    float | None,
    typer.Option("--eps", help="Stop when one more expert gains less, and less than 2 errors."),
]
Experts = Annotated[int | None, typer.Option("--k", help="Tell of this number of experts.")]
Budget = Annotated[
    float | None, typer.Option("--budget", help="In the prices' currency, or in device-hours.")
]
PricesYaml = Annotated[
    Path | None, typer.Option("--prices", help="YAML of prices; config/prices.yaml is an example.")
]
Serve = Annotated[
    float | None, typer.Option("--serve", help="Tokens to serve with the merge, such as 2e9.")
]
FigureFile = Annotated[
    Path | None,
    typer.Option("--figure", help="Draw curve, target and costs to this .svg or .png."),
]


def plan(
    law: Law,
    method: Methods = None,
    domain: Domains = None,
    size: Sizes = None,
    n_params: OffLadder = None,
    target: Target = None,
    shares: Shares = None,
    gap: Gap = None,
    probability: Probabilities = None,
    eps: Eps = None,
    k: Experts = None,
    budget: Budget = None,
    prices: PricesYaml = None,
    serve: Serve = None,
    figure: FigureFile = None,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Tell from a law how many experts a target needs, when to stop, and what a budget buys."""
    from mergelaw.planning.plan import plan as planned
    from mergelaw.planning.prices import given_prices
    from mergelaw.planning.question import SHARES
    from mergelaw.planning.words import plan_text

    priced, problems = given_prices(prices, serve)
    found = planned(
        law,
        method=method or (),
        domain=domain or (),
        size=size or (),
        n_params=n_params or (),
        target=target,
        probability=probability or 0.9,
        shares=shares or SHARES,
        gap=gap,
        eps=eps,
        k=k,
        budget=budget,
        prices=priced,
        problems=[*problems, *figure_problems(figure)],
    )
    if figure is not None:
        from mergelaw.tools.planning_figure import write_plan_figure

        write_plan_figure(found, figure)
    if out is not None:
        write_json(out, found.as_dict())
    if as_json:
        print(json.dumps(found.as_dict(), indent=2, allow_nan=False))
    else:
        print(plan_text(found), end="")
    if not found.is_answered:
        raise typer.Exit(1)


def figure_problems(path: Path | None) -> list[str]:
    """Return what is wrong with a figure's name, before anything is planned."""
    if path is None or path.suffix.lower() in (".svg", ".png"):
        return []
    return [f"--figure {path}: must end in .svg or .png"]
