"""Config of merging methods: a label, the method's name and its parameters."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from mergelaw.config.base import Fraction, Name, Section

Scale = Annotated[
    float, Field(description="c: the merged delta is c/k times the sum (TIES: c times the mean).")
]


class AverageParameters(Section):
    """Average has no parameters: the scale is 1."""


class TaskArithmeticParameters(Section):
    """Parameters of Task Arithmetic."""

    scale: Scale = 0.8


class TiesParameters(Section):
    """Parameters of TIES."""

    density: Fraction = Field(1.0, description="Fraction of each task vector kept by trimming.")
    scope: Literal["model", "tensor"] = Field(
        "model", description="Whether the trim threshold is one per expert or one per tensor."
    )
    scale: Scale = 1.0


class DareParameters(Section):
    """Parameters of DARE."""

    drop_rate: float = Field(0.2, ge=0, lt=1, description="Fraction of each task vector dropped.")
    scale: Scale = 1.0


class MethodEntry(Section):
    """What all entries of the method list share."""

    draws_masks: ClassVar[bool] = False  # whether mask_seeds repeat it

    label: Name = Field(description="The entry's name in tables, figures and paths.")


class AverageMethod(MethodEntry):
    """Mean of the experts."""

    method: Literal["average"] = Field(description="Mean of the task vectors.")
    parameters: AverageParameters = Field(AverageParameters(), description="None.")


class TaskArithmeticMethod(MethodEntry):
    """Scaled mean of the task vectors."""

    method: Literal["task_arithmetic"] = Field(description="Scaled mean of the task vectors.")
    parameters: TaskArithmeticParameters = Field(TaskArithmeticParameters(), description="`scale`.")


class TiesMethod(MethodEntry):
    """Trim, elect sign, disjoint mean."""

    method: Literal["ties"] = Field(description="Trim, elect sign, disjoint mean.")
    parameters: TiesParameters = Field(TiesParameters(), description="`density`, `scope`, `scale`.")


class DareMethod(MethodEntry):
    """Drop at random, rescale, mean."""

    draws_masks: ClassVar[bool] = True

    method: Literal["dare"] = Field(description="Drop at random, rescale, mean.")
    parameters: DareParameters = Field(DareParameters(), description="`drop_rate`, `scale`.")


Method = Annotated[
    AverageMethod | TaskArithmeticMethod | TiesMethod | DareMethod,
    Field(discriminator="method"),
]
