"""Config of the theory stage: derivatives at the full merge, and searches for the best weights."""

from typing import Annotated, Literal

from pydantic import Field

from mergelaw.config.base import Name, Section

Route = Literal["hvp", "gauss_newton", "differences", "pairs"]
"""How curvature is measured.

`hvp`: Hessian-vector products. `gauss_newton`: the generalised Gauss-Newton matrix, from
differences of logits. `differences`: second differences of the loss along each task vector, which
tell the curve in k. `pairs`: those along pairs too, which tell every subset.
"""


class Objective(Section):
    """A search for weights of the experts: what is minimised, and within which limits."""

    label: Name = Field(description="Its name in tables and paths.")
    target: str = Field(
        "macro", description="A domain, `macro` (mean over domains) or `worst` (the worst domain)."
    )
    mixture: dict[Name, Annotated[float, Field(ge=0, allow_inf_nan=False)]] | None = Field(
        None, description="Weights of domains, in place of `target`; they are divided by their sum."
    )
    groups: Literal["model", "layers"] = Field(
        "model", description="One weight per expert, or one per expert and group of layers."
    )
    sums_to_one: bool = Field(
        False, description="Weights are at least 0 and sum to 1; else each lies within `bounds`."
    )
    bounds: tuple[float, float] = Field((-1.0, 2.0), description="Least and largest weight.")
    max_experts: int | None = Field(
        None, ge=1, description="At most so many experts have a weight other than 0."
    )
    no_worse_than_base: float | None = Field(
        None,
        allow_inf_nan=False,
        description="No domain may be worse than the base by more than this, in nats per token.",
    )


class Theory(Section):
    """The theory stage, made for the full report only."""

    routes: tuple[Route, ...] = Field(
        ("hvp", "gauss_newton", "differences"),
        min_length=1,
        description="How derivatives are measured; predictions are told for each.",
    )
    step: float = Field(
        0.35,
        gt=0,
        le=1,
        description="Share of a task vector that losses are differenced over; larger where the "
        "loss is too noisy for it.",
    )
    mask_probes: int = Field(
        4, ge=2, description="Random masks that the mean over masks is estimated from (DARE)."
    )
    calibration_tokens: int = Field(
        1024, gt=0, description="Tokens per domain that weights are chosen on; not the study's."
    )
    heldout_tokens: int = Field(
        2048, gt=0, description="Tokens per domain that they are judged on; neither text's."
    )
    objectives: tuple[Objective, ...] = Field(
        (
            Objective(label="macro"),
            Objective(label="worst", target="worst"),
            Objective(label="three", max_experts=3),
            Objective(label="layers", groups="layers"),
        ),
        description="Searches for weights, with Average's task vectors.",
    )
