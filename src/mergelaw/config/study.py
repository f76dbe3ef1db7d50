"""The study: everything that decides its numbers, in one frozen object."""

from typing import Annotated, Literal

from pydantic import Field

from mergelaw.config.base import Name, Section
from mergelaw.config.data import Data, Domain, Tokenizer
from mergelaw.config.design import DesignPart
from mergelaw.config.methods import Method
from mergelaw.config.models import (
    Evaluation,
    Expert,
    ExpertTraining,
    Multitask,
    Size,
    Training,
)
from mergelaw.config.theory import Theory


class Laws(Section):
    """How the scaling laws are fitted and checked."""

    n_params: Literal["nonembedding", "total"] = Field(
        "total", description="Which parameter count is N in the laws."
    )
    resamples: int = Field(
        200, ge=20, description="Resamples of the items for token standard errors."
    )
    forecast_k: tuple[int, int, int] = Field(
        (1, 2, 4), description="The three k that the forecast is made from."
    )
    heldout_k: int = Field(
        6, ge=4, description="Held-out check: fit below this k, predict from it on."
    )
    floor_gaps: tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...] = Field(
        (0.1, 0.05, 0.02, 0.01),
        min_length=1,
        description="Distances to the floor, in nats per token, that k is told for.",
    )


class Lineage(Section):
    """What is done about an expert whose own files name another base."""

    check: Literal["strict", "report"] = Field(
        "strict", description="Refuse such an expert, or merge it and say so."
    )
    reason: str | None = Field(
        None, description="Why such experts are merged all the same; needed with `report`."
    )


class Sweep(Section):
    """How merges are made in memory, where that is a choice."""

    incremental: bool = Field(
        False,
        description="Update weighted means by the experts that change from one subset to the next "
        "(float32, from zero at each chunk); else every merge is summed anew, to the bit.",
    )


class Scales(Section):
    """Merges at several scales, for the scale axis of the full report."""

    fitted: tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...] = Field(
        (0.8, 1.0, 1.3), min_length=3, description="Scales that the surface is fitted to."
    )
    checked: tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...] = Field(
        (), description="Scales measured beside them, to show where the quadratic fails."
    )
    k: tuple[Annotated[int, Field(ge=1)], ...] | None = Field(
        None,
        min_length=2,
        description="Numbers of experts; 1, a third, two thirds and all of the pool when absent.",
    )
    subsets_per_k: int = Field(
        9,
        gt=0,
        description="Subsets at each k, the same at every scale; at most as many as experts.",
    )

    def ks(self, n_experts: int) -> tuple[int, ...]:
        """Return the numbers of experts, rising, for a pool of `n_experts`."""
        default = {1, n_experts // 3, 2 * n_experts // 3, n_experts} - {0}
        return tuple(sorted(self.k or default))


class Orders(Section):
    """Merges of fixed subsets in several orders and under several mask seeds."""

    k: tuple[Annotated[int, Field(ge=2)], ...] | None = Field(
        None,
        min_length=1,
        description="Numbers of experts; 2, half and all when absent.",
    )
    subsets_per_k: int = Field(4, gt=0, description="Subsets at each k.")
    orders: int = Field(
        4,
        ge=2,
        description="Orders of each subset, summed in bfloat16 (all, where there are fewer).",
    )
    mask_seeds: int = Field(
        4, ge=2, description="Mask seeds of each subset, for methods that draw masks."
    )

    def ks(self, n_experts: int) -> tuple[int, ...]:
        """Return the numbers of experts, rising, for a pool of `n_experts`."""
        default = {k for k in (2, n_experts // 2, n_experts) if k >= 2}
        return tuple(sorted(self.k or default))


class Study(Section):
    """A merging study: experts, sizes, methods and subsets, and how they are scored."""

    name: Name = Field(description="The study's name and its folder under `results/`.")
    notes: tuple[str, ...] = Field((), description="Remarks of its authors, printed in the report.")
    seed: int = Field(
        0,
        ge=0,
        lt=2**32,
        description="Seed of everything drawn; a seed above 0 has a folder `seed{n}` of its own.",
    )
    mask_seeds: tuple[Annotated[int, Field(ge=0, lt=2**32)], ...] = Field(
        (0,),
        min_length=1,
        description="Seeds of random masks; each repeats every merge that draws them.",
    )
    accumulate: Literal["float32", "sequential_bfloat16"] = Field(
        "float32", description="Arithmetic of the sum over experts; bfloat16 is for order studies."
    )
    dtype: Literal["float32", "bfloat16"] = Field(
        "float32", description="Type of merged weights and of the forward pass."
    )
    lineage: Lineage = Field(
        Lineage(), description="Experts whose own files name another base: refused, or told."
    )
    data_folder: str = Field(".", description="Folder that relative `files` of domains start from.")
    domains: tuple[Domain, ...] = Field(min_length=1, description="Evaluation domains.")
    experts: tuple[Expert, ...] = Field(min_length=2, description="The pool of experts.")
    data: Data = Field(description="Split of items; pre-training text.")
    tokenizer: Tokenizer = Field(description="The study's tokenizer.")
    sizes: tuple[Size, ...] = Field(min_length=1, description="Base models, smallest first.")
    methods: tuple[Method, ...] = Field(min_length=1, description="Merging methods.")
    design: tuple[DesignPart, ...] = Field(
        min_length=1, description="Which subsets are merged; append a part to grow a study."
    )
    training: Training = Field(Training(), description="Training of bases and experts.")
    multitask: Multitask | None = Field(
        None, description="The multitask baseline, trained for the full report only."
    )
    evaluation: Evaluation = Field(Evaluation(), description="Scoring of merges.")
    sweep: Sweep = Field(Sweep(), description="Merging in memory.")
    scales: Scales | None = Field(
        None, description="Merges at several scales, made for the full report only."
    )
    orders: Orders | None = Field(
        None, description="Merges in several orders, made for the full report only."
    )
    laws: Laws = Field(Laws(), description="Fits and their checks.")
    theory: Theory | None = Field(
        None, description="Derivatives at one merge, made for the full report only."
    )

    @property
    def expert_names(self) -> tuple[str, ...]:
        """Names of the pool, in the config's order."""
        return tuple(expert.name for expert in self.experts)

    @property
    def domain_names(self) -> tuple[str, ...]:
        """Names of the evaluation domains, in the config's order."""
        return tuple(domain.name for domain in self.domains)

    @property
    def size_names(self) -> tuple[str, ...]:
        """Names of the sizes, in the config's order."""
        return tuple(size.name for size in self.sizes)

    @property
    def method_labels(self) -> tuple[str, ...]:
        """Labels of the methods, in the config's order."""
        return tuple(method.label for method in self.methods)

    @property
    def reference_label(self) -> str:
        """Label of the method that others are compared with: Average, else the first."""
        averages = [entry.label for entry in self.methods if entry.method == "average"]
        return (averages or list(self.method_labels))[0]

    def mask_seeds_of(self, method: Method) -> tuple[int, ...]:
        """Return the seeds that a method is repeated with: one where it draws no masks."""
        return self.mask_seeds if method.draws_masks else (0,)

    @property
    def ladder(self) -> tuple[str, ...]:
        """Names of the sizes as the config lists them: those trained by `training.expert`."""
        return tuple(size.name for size in self.sizes if not size.setting)

    @property
    def off_ladder(self) -> tuple[str, ...]:
        """Names of the sizes under `training.settings`: no further N, left out of laws over N."""
        return tuple(size.name for size in self.sizes if size.setting)

    @property
    def multitask_experts(self) -> tuple[str, ...]:
        """Experts whose items the multitask baseline is trained on; none without a baseline."""
        if self.multitask is None:
            return ()
        return self.multitask.experts or self.expert_names

    def expert_training(self, size: str) -> ExpertTraining:
        """Return how experts are trained at a size."""
        return self.training.of(self.size(size).setting)

    def with_settings(self) -> "Study":
        """Return the study with a further size for each size and training setting."""
        further = [
            size.under(setting.name) for setting in self.training.settings for size in self.sizes
        ]
        return self.model_copy(update={"sizes": (*self.sizes, *further)})

    def size(self, name: str) -> Size:
        """Return the size called `name`."""
        return self.sizes[self.size_names.index(name)]

    def method(self, label: str) -> Method:
        """Return the method entry with this label."""
        return self.methods[self.method_labels.index(label)]

    def domain(self, name: str) -> Domain:
        """Return the domain called `name`."""
        return self.domains[self.domain_names.index(name)]

    def expert(self, name: str) -> Expert:
        """Return the expert called `name`."""
        return self.experts[self.expert_names.index(name)]
