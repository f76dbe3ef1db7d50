"""Merges beside the design: few subsets at several scales, in several orders, under several masks.

A pure function of the config, as the design is: jobs, their fingerprints and the laws read it.
"""

import math
import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from mergelaw.config import Study
from mergelaw.config.method_checks import has_scale, takes
from mergelaw.config.methods import METHODS, Method
from mergelaw.config.study import Orders, Scales
from mergelaw.config.theory import Theory
from mergelaw.design import Subset, cyclic, uniform
from mergelaw.errors import ConfigError

Accumulate = str
"""A value of the config's `accumulate`."""


class Series(NamedTuple):
    """Merges that one recipe makes, one after the other.

    Attributes
    ----------
    method : Method
        The config's entry, with the scale of these merges.
    merges : tuple of Subset
        Their experts in the order of summation.
    mask_seed : int
        Seed of the masks, where the method draws any.
    accumulate : str
        Arithmetic of the sum over experts.
    scale : float, optional
        The scale, where it is not the config's.
    """

    method: Method
    merges: tuple[Subset, ...]
    mask_seed: int
    accumulate: Accumulate
    scale: float | None = None

    @property
    def title(self) -> str:
        """What progress and errors call it."""
        return self.method.label + ("" if self.scale is None else f" at scale {self.scale:g}")


# --- scales ---


def scales_of(study: Study) -> Scales:
    """Return the section `scales`, or raise a `ConfigError` where the config has none."""
    if study.scales is None:
        raise ConfigError("scales: is missing; without it no merges are made at several scales")
    return study.scales


def scaled_methods(study: Study) -> tuple[Method, ...]:
    """Return the entries that have a scale.

    Of entries that differ in their scale alone the first stands for all. Average is task arithmetic
    at scale 1: without an entry of task arithmetic it is run as that, under its own label.
    """
    entries = [entry for entry in study.methods if has_scale(entry)]
    entries.sort(key=lambda entry: entry.method == "average")
    found: dict[str, Method] = {}
    for entry in entries:
        one = at_scale(entry, 1.0)
        found.setdefault(one.model_dump_json(exclude={"label"}), one)
    labels = study.method_labels
    return tuple(sorted(found.values(), key=lambda entry: labels.index(entry.label)))


def at_scale(entry: Method, scale: float) -> Method:
    """Return a method entry at another scale; Average becomes task arithmetic."""
    if entry.method == "average":
        entry = METHODS["task_arithmetic"].model_validate(
            {
                "label": entry.label,
                "method": "task_arithmetic",
                "parameters": {"weight": entry.parameters.weight},
            }
        )
    parameters = entry.parameters.model_copy(update={"scale": float(scale)})
    return entry.model_copy(update={"parameters": parameters})


def scale_subsets(study: Study) -> dict[int, tuple[Subset, ...]]:
    """Return the subsets by k that every scale is measured on.

    Those of one k are shifts of one random permutation, evenly spaced along it: all experts occur
    equally often where `subsets_per_k` times k is a multiple of the pool, else within one.
    """
    section, pool = scales_of(study), study.expert_names
    order = random.Random(f"{study.seed}/scales").sample(pool, len(pool))
    count = min(section.subsets_per_k, len(pool))
    turns = {k: cyclic(order, k) for k in section.ks(len(pool))}
    return {
        k: tuple(turn[i * len(pool) // count] for i in range(min(count, len(turn))))
        for k, turn in turns.items()
    }


def scale_series(study: Study) -> tuple[Series, ...]:
    """Return the merges of every method at every scale; the base goes with a method's first."""
    section, subsets = scales_of(study), scale_subsets(study)
    merges = tuple(subset for k in subsets for subset in subsets[k])
    scales = sorted({*section.fitted, *section.checked})
    return tuple(
        series_at(study, entry, scale, (*[Subset(())] * (scale == scales[0]), *merges))
        for entry in scaled_methods(study)
        for scale in scales
    )


def series_at(study: Study, entry: Method, scale: float, merges: Sequence[Subset]) -> Series:
    """Return merges at a scale, under the study's first mask seed."""
    seed = study.mask_seeds_of(entry)[0]
    return Series(at_scale(entry, scale), tuple(merges), seed, study.accumulate, float(scale))


# --- orders and mask seeds ---


def orders_of(study: Study) -> Orders:
    """Return the section `orders`, or raise a `ConfigError` where the config has none."""
    if study.orders is None:
        raise ConfigError("orders: is missing; without it no merges are made in several orders")
    return study.orders


def order_subsets(study: Study) -> tuple[Subset, ...]:
    """Return the fixed subsets: uniform draws at each k, as a part of a design draws them."""
    section, pool = orders_of(study), study.expert_names
    return tuple(uniform(pool, section.ks(len(pool)), section.subsets_per_k, study.seed))


def order_series(study: Study) -> tuple[Series, ...]:
    """Return the merges of every method in several orders, and under several mask seeds.

    Orders are summed in bfloat16. In float32 every merge is summed in the order of the names, so
    that its order cannot matter, and mask seeds differ in their masks alone.
    """
    return tuple(series for entry in study.methods for series in _order_series(study, entry))


def _order_series(study: Study, entry: Method) -> Iterator[Series]:
    section = orders_of(study)
    subsets = [subset for subset in order_subsets(study) if takes(entry.k_range, subset.k)]
    if not subsets:
        return
    ordered = [order for subset in subsets for order in draw_orders(subset, section.orders, study)]
    yield Series(entry, tuple(ordered), study.mask_seeds_of(entry)[0], "sequential_bfloat16")
    for seed in range(section.mask_seeds if entry.draws_masks else 0):
        yield Series(entry, tuple(subsets), seed, "float32")


def draw_orders(subset: Subset, count: int, study: Study) -> list[Subset]:
    """Draw distinct orders of a subset's experts, all of them where there are fewer."""
    generator = random.Random(f"{study.seed}/orders/{subset.name}")
    drawn: dict[Subset, None] = {}
    while len(drawn) < min(count, math.factorial(subset.k)):
        drawn[Subset(tuple(generator.sample(subset.experts, subset.k)))] = None
    return list(drawn)


# --- derivatives and weights ---


def theory_of(study: Study) -> Theory:
    """Return the section `theory`, or raise a `ConfigError` where the config has none."""
    if study.theory is None:
        raise ConfigError(
            "theory: is missing; without it no derivatives are taken and no weights searched for; "
            "add `theory: {}`"
        )
    return study.theory
