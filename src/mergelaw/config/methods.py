"""Config of merging methods: a label, the method's name and its parameters; a row per method."""

from collections.abc import Mapping
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypeVar, get_args

from pydantic import Discriminator, Field, Tag, create_model

from mergelaw.config.base import Fraction, Name, Section

Number = TypeVar("Number")

ONE_FOR_ALL, BY_EXPERT = "one for all", "by expert"
"""Tags of the two ways to give a number."""

PerExpert = Annotated[
    Annotated[Number, Tag(ONE_FOR_ALL)] | Annotated[dict[Name, Number], Tag(BY_EXPERT)],
    Discriminator(lambda value: BY_EXPERT if isinstance(value, Mapping) else ONE_FOR_ALL),
]
"""One number for all experts, or a mapping that names every expert of the pool."""

Rate = Annotated[float, Field(ge=0, lt=1)]
Share = Annotated[float, Field(ge=0, le=1)]


def of_expert(value: float | Mapping[str, float], expert: str) -> float:
    """Return an expert's number of a parameter that may differ by expert."""
    return value[expert] if isinstance(value, Mapping) else value


class Weighted(Section):
    """Free weights of the experts."""

    weight: PerExpert[float] = Field(
        1.0, description="Weight of each expert: one number, or a mapping by expert."
    )


class Scaled(Weighted):
    """Weights, and the scale of the merged task vector."""

    normalize: bool = Field(
        True, description="Divide by the sum of the weights; false: a weighted sum."
    )
    scale: float = Field(
        1.0, description="c: what the normalised merge of the task vectors is multiplied by."
    )


class TaskArithmeticParameters(Scaled):
    """Parameters of Task Arithmetic: with equal weights, c/k times the sum."""

    scale: float = Field(0.8, description="c: the merged delta is c/k times the sum.")


class Elected(Scaled):
    """Merging of the entries that agree with an elected sign."""

    zero_sign: Literal["positive", "majority"] = Field(
        "positive",
        description="Sign elected where the sum is 0: +, or that of most entries of the model.",
    )


class TiesParameters(Elected):
    """Parameters of TIES."""

    density: PerExpert[Fraction] = Field(
        1.0, description="Fraction of each task vector kept by trimming."
    )
    scope: Literal["model", "tensor"] = Field(
        "model", description="Whether the trim threshold is one per expert or one per tensor."
    )
    keep: Literal["exact", "threshold"] = Field(
        "exact",
        description="Keep exactly the stated count, or every entry from the next magnitude up.",
    )


class Dropped(Section):
    """Random dropping of entries."""

    drop_rate: PerExpert[Rate] = Field(0.2, description="Fraction of each task vector dropped.")
    rescale: Literal["inverse", "l1", "none"] = Field(
        "inverse",
        description="Kept entries are divided by 1 - drop_rate, brought to the tensor's former "
        "L1 norm, or left as they are.",
    )


class DareParameters(Dropped, Scaled):
    """Parameters of DARE with a mean."""


class DareTiesParameters(Dropped, Elected):
    """Parameters of DARE with TIES' sign election and disjoint mean."""


class LayerGroup(Section):
    """Weights of the experts in some tensors."""

    tensors: tuple[str, ...] = Field(
        min_length=1, description="Names of tensors; `*` stands for any text."
    )
    weight: PerExpert[float] = Field(
        1.0, description="Weight of each expert: one number, or a mapping by expert."
    )


class LayerwiseParameters(Weighted):
    """Parameters of a sum with weights by expert and group of tensors."""

    groups: tuple[LayerGroup, ...] = Field(
        (),
        description="Tensors with weights of their own; the first group that names a tensor "
        "decides, and `weight` where none does.",
    )


class Banded(Section):
    """Removal of the largest and the smallest entries of each tensor."""

    density: PerExpert[Fraction] = Field(0.9, description="Fraction of each task vector kept.")
    gamma: PerExpert[Share] = Field(0.01, description="Fraction of largest magnitudes removed.")


class BreadcrumbsParameters(Banded, Scaled):
    """Parameters of Model Breadcrumbs with a mean."""


class BreadcrumbsTiesParameters(Banded, Elected):
    """Parameters of Model Breadcrumbs with TIES' sign election and disjoint mean."""


class Pruned(Section):
    """Random dropping that spares large magnitudes."""

    density: PerExpert[Fraction] = Field(0.7, description="Mean fraction of a row kept.")
    epsilon: PerExpert[Share] = Field(
        0.15, description="Kept fraction of a row's largest entry minus that of the mean one."
    )
    rescale: Literal["inverse", "l1", "none"] = Field(
        "inverse",
        description="Kept entries are divided by their chance of being kept, brought to the "
        "tensor's former L1 norm, or left as they are.",
    )


class DellaParameters(Pruned, Elected):
    """Parameters of DELLA."""


class DellaLinearParameters(Pruned, Scaled):
    """Parameters of DELLA's MagPrune with a mean."""


class ModelStockParameters(Section):
    """Model Stock has no parameters: the angles between task vectors decide."""


class SceParameters(Section):
    """Parameters of SCE."""

    density: Fraction = Field(
        1.0, description="Fraction of a tensor's entries selected by variance over the experts."
    )


Space = Literal["weights", "task_vectors"]


class SlerpParameters(Section):
    """Parameters of spherical interpolation from the base to one expert."""

    t: float = Field(0.5, ge=0, le=1, description="0 is the base, 1 the expert.")


class NuslerpParameters(Weighted):
    """Parameters of spherical interpolation between two experts."""

    space: Space = Field("task_vectors", description="What is interpolated.")


class KarcherParameters(Weighted):
    """Parameters of the spherical mean."""

    space: Space = Field("weights", description="What is averaged.")
    max_iterations: int = Field(10, ge=1, description="Steps of the iteration at most.")
    tolerance: float = Field(1e-5, gt=0, description="Length in radians of a step that ends it.")


class MethodEntry(Section):
    """What all entries of the method list share."""

    draws_masks: ClassVar[bool] = False
    """Whether `mask_seeds` repeat it."""
    k_range: ClassVar[tuple[int, int | None]] = (1, None)
    """Least and largest number of experts."""
    papers: ClassVar[Mapping[str, str]] = {}
    """Addresses of what defines it, by title."""

    label: Name = Field(description="The entry's name in tables, figures and paths.")
    method: str = Field(description="The method's name.")
    parameters: Any = Field(description="The method's parameters.")


def _row(
    name: str,
    parameters: type[Section],
    meaning: str,
    *,
    draws_masks: bool = False,
    k_range: tuple[int, int | None] = (1, None),
    papers: Mapping[str, str],
) -> type[MethodEntry]:
    """Return the config entry of a method."""
    keys = ", ".join(f"`{key}`" for key in parameters.model_fields) or "None"
    entry = create_model(
        f"{name.title().replace('_', '')}Method",
        __base__=MethodEntry,
        __doc__=meaning,
        method=(Literal[name], Field(description=meaning)),  # type: ignore[arg-type]
        parameters=(parameters, Field(parameters(), description=f"{keys}.")),
    )
    entry.draws_masks, entry.k_range, entry.papers = draws_masks, k_range, papers
    return entry


SOUPS = {"Model soups": "https://arxiv.org/abs/2203.05482"}
ARITHMETIC = {"Editing Models with Task Arithmetic": "https://arxiv.org/abs/2212.04089"}
TIES = {"TIES-Merging": "https://arxiv.org/abs/2306.01708"}
DARE = {"Language Models are Super Mario": "https://arxiv.org/abs/2311.03099"}
BREADCRUMBS = {"Model Breadcrumbs": "https://arxiv.org/abs/2312.06795"}
DELLA = {"DELLA-Merging": "https://arxiv.org/abs/2406.11617"}
STOCK = {"Model Stock": "https://arxiv.org/abs/2403.19522"}
FUSECHAT = {"FuseChat": "https://arxiv.org/abs/2408.07990"}
QUATERNIONS = {"Animating rotation with quaternion curves": "https://doi.org/10.1145/325334.325242"}
ADAMERGING = {"AdaMerging": "https://arxiv.org/abs/2310.02575"}
RIEMANN = {
    "Riemannian center of mass and mollifier smoothing": "https://doi.org/10.1002/cpa.3160300502"
}

_ROWS = (
    _row("average", Weighted, "Mean of the task vectors.", papers=SOUPS),
    _row(
        "task_arithmetic",
        TaskArithmeticParameters,
        "Scaled mean of the task vectors.",
        papers=ARITHMETIC,
    ),
    _row("ties", TiesParameters, "Trim, elect sign, disjoint mean.", papers=TIES),
    _row(
        "dare",
        DareParameters,
        "Drop at random, rescale, mean.",
        draws_masks=True,
        papers=DARE,
    ),
    _row(
        "dare_ties",
        DareTiesParameters,
        "Drop at random, rescale, elect sign, disjoint mean.",
        draws_masks=True,
        papers=DARE | TIES,
    ),
    _row(
        "breadcrumbs",
        BreadcrumbsParameters,
        "Remove outliers and small entries, mean.",
        papers=BREADCRUMBS,
    ),
    _row(
        "breadcrumbs_ties",
        BreadcrumbsTiesParameters,
        "Remove outliers and small entries, elect sign, disjoint mean.",
        papers=BREADCRUMBS | TIES,
    ),
    _row(
        "della",
        DellaParameters,
        "Drop at random by magnitude, rescale, elect sign, disjoint mean.",
        draws_masks=True,
        papers=DELLA,
    ),
    _row(
        "della_linear",
        DellaLinearParameters,
        "Drop at random by magnitude, rescale, mean.",
        draws_masks=True,
        papers=DELLA,
    ),
    _row(
        "model_stock",
        ModelStockParameters,
        "Interpolate from the base to the mean by the angle between task vectors.",
        k_range=(2, None),
        papers=STOCK,
    ),
    _row(
        "sce",
        SceParameters,
        "Select by variance, weigh by energy, erase minority signs.",
        papers=FUSECHAT,
    ),
    _row(
        "slerp",
        SlerpParameters,
        "Spherical path from base to expert.",
        k_range=(1, 1),
        papers=QUATERNIONS,
    ),
    _row(
        "nuslerp",
        NuslerpParameters,
        "Spherical path between two experts.",
        k_range=(2, 2),
        papers=QUATERNIONS,
    ),
    _row("karcher", KarcherParameters, "Mean on the sphere.", papers=RIEMANN),
    _row(
        "layerwise",
        LayerwiseParameters,
        "Weighted sum, with weights by expert and group of tensors.",
        papers=ADAMERGING,
    ),
)

METHODS: dict[str, type[MethodEntry]] = {
    get_args(row.model_fields["method"].annotation)[0]: row for row in _ROWS
}
"""Config entries of all methods; `mergelaw.merging.methods.RECIPES` says what they compute."""

if TYPE_CHECKING:
    Method = MethodEntry
else:
    Method = Annotated[reduce(or_, METHODS.values()), Field(discriminator="method")]
