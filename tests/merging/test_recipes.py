"""Recipes: every method and variant against its oracle, in memory and streamed; what docs say."""

import json
import math
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter

from mergelaw.config.methods import METHODS, Method
from mergelaw.errors import ConfigError
from mergelaw.merging.methods import RECIPES, recipe
from mergelaw.merging.operators import random_uint16
from mergelaw.merging.stream import Merge
from mergelaw.merging.task_vectors import TaskVectors
from tests.helpers import save_weights
from tests.merging import oracles
from tests.merging.in_memory import merge_into

POOL = ("algebra", "biology", "code")
SHAPES = {
    "column": (5, 1),
    "cube": (3, 4, 5),
    "long": (66_001,),  # a row, and more than a block
    "norm": (16,),
    "odd": (7, 3),
    "one": (1,),
    "scalar": (),
    "unchanged": (4, 6),
    "wide": (290, 231),  # more than a block, which ends within a row
}
SPREAD = {"cube": 0.05, "long": 0.004, "norm": 1e-4, "one": 0.03, "unchanged": 0.0}
"""Of a tensor's changes; else 0.01."""
SHIFT = {"long": -0.6, "wide": 0.2}
"""Of their mean, in spreads; else -0.2: most changes are negative, most of the large positive."""
SEED = "5/2"
DOCS = Path(__file__).parents[2] / "docs" / "merging.md"
LEVELS = 2**16

W = [0.5, 2.0, 1.25]
"""Weights with few bits: what cancels exactly in bfloat16 checkpoints still does."""
D = [0.13, 0.5, 1.0]
WEIGHTS, DENSITIES = dict(zip(POOL, W, strict=True)), dict(zip(POOL, D, strict=True))


@dataclass(frozen=True)
class World:
    """A pool on disk: as mergelaw holds it, and as plain arrays in float64."""

    vectors: TaskVectors
    base: np.ndarray
    deltas: dict[str, np.ndarray]

    @property
    def v(self) -> list[np.ndarray]:
        return list(self.deltas.values())

    @property
    def weights(self) -> list[np.ndarray]:
        return [self.base + v for v in self.v]

    @property
    def spans(self) -> list[slice]:
        ends = np.cumsum([math.prod(shape) for shape in SHAPES.values()]).tolist()
        return [slice(a, b) for a, b in zip([0, *ends], ends, strict=False)]

    @cached_property
    def draws(self) -> dict[str, np.ndarray]:
        """Random numbers in [0, 1) of all entries, by expert."""
        return {expert: np.concatenate([draws(expert, name) for name in SHAPES]) for expert in POOL}

    def masks(self, drop_rate: Any) -> list[tuple[np.ndarray, float]]:
        """DARE's masks of dropped entries, and their rates as multiples of 2^-16."""
        rates = [round(rate * LEVELS) / LEVELS for rate in oracles.each(drop_rate, POOL)]
        return [(self.draws[e] < rate, rate) for e, rate in zip(POOL, rates, strict=True)]

    def pruned(self, density: Any, epsilon: Any, rescale: str = "inverse") -> list[np.ndarray]:
        """Task vectors after MagPrune of each tensor, chances rounded to multiples of 2^-16."""
        numbers = zip(oracles.each(density, POOL), oracles.each(epsilon, POOL), strict=True)
        return [
            np.concatenate([self._pruned(e, *own, rescale, name) for name in SHAPES])
            for e, own in zip(POOL, numbers, strict=True)
        ]

    def _pruned(self, expert, density, epsilon, rescale, name):
        span, shape = dict(zip(SHAPES, self.spans, strict=True))[name], SHAPES[name] or (1,)
        rows, draws = (x[span].reshape(shape) for x in (self.deltas[expert], self.draws[expert]))
        chance = np.rint(oracles.keep_chance(rows, density, epsilon) * LEVELS) / LEVELS
        return oracles.magprune(rows, chance, draws, rescale).ravel()


def draws(expert: str, tensor: str) -> np.ndarray:
    return random_uint16(f"{SEED}/{expert}/{tensor}", 0, math.prod(SHAPES[tensor])) / LEVELS


def make_world(folder: Path, dtype: torch.dtype) -> World:
    """Write a base and three experts to disk, and read them."""
    generator = torch.Generator().manual_seed(3)

    def noise(shape):
        return torch.randn(shape, generator=generator)

    base = {name: (0.05 * noise(shape)).to(dtype) for name, shape in SHAPES.items()}

    def expert():
        changed = {
            name: SPREAD.get(name, 0.01) * (noise(shape) + SHIFT.get(name, -0.2))
            for name, shape in SHAPES.items()
        }
        return {name: (t.float() + changed[name]).to(dtype) for name, t in base.items()}

    experts = {name: expert() for name in POOL}
    folders = {name: save_weights(folder / name, tensors) for name, tensors in experts.items()}
    flat = {name: flattened(tensors) for name, tensors in {"": base, **experts}.items()}
    zero = flat.pop("")
    deltas = {expert: (values - zero).astype(np.float64) for expert, values in flat.items()}
    loaded = TaskVectors.load(save_weights(folder / "base", base), folders)
    return World(loaded, zero.astype(np.float64), deltas)


def flattened(tensors: dict[str, torch.Tensor]) -> np.ndarray:
    return np.concatenate([tensors[name].float().numpy().ravel() for name in sorted(tensors)])


@pytest.fixture(scope="module")
def worlds(tmp_path_factory):
    kinds = {"float32": torch.float32, "bfloat16": torch.bfloat16}
    return {name: make_world(tmp_path_factory.mktemp(name), dtype) for name, dtype in kinds.items()}


@pytest.fixture(params=["float32", "bfloat16"])
def world(worlds, request):
    return worlds[request.param]


def method(name: str, **parameters):
    raw = {"label": "m", "method": name, "parameters": parameters}
    return TypeAdapter(Method).validate_python(raw)


def merged(world: World, entry, experts=POOL) -> np.ndarray:
    """The merge as a sweep makes it."""
    steps = recipe(entry, SEED)
    out = torch.full_like(world.vectors.base, float("nan"))
    merge_into(out, world.vectors, experts, steps, torch.float32)
    return out.numpy()


def streamed(world: World, entry, experts=POOL) -> np.ndarray:
    """The merge as it is made for a checkpoint, span by span."""
    dtypes = dict.fromkeys(SHAPES, torch.float32)
    plan = Merge.plan(world.vectors, experts, entry, SEED, dtypes)
    out = torch.full_like(world.vectors.base, float("nan"))
    starts = {segment.name: segment.start for segment in world.vectors.segments}

    def write(tensor: str, start: int, entries: torch.Tensor) -> None:
        first = starts[tensor] + start
        out[first : first + len(entries)] = entries

    list(plan.run(plan.spans(), write))
    return out.numpy()


def check(world: World, entry, expected: np.ndarray, experts=POOL, where=slice(None)) -> None:
    """Compare a merge with base + expected to a few roundings of float32 of what is added up."""
    whole = world.base + expected
    size = abs(world.base) + abs(expected) + sum(abs(world.deltas[e]) for e in experts)
    apart = abs(merged(world, entry, experts) - whole) / np.maximum(size, 1e-30)
    assert apart[where].max() < 1e-6, f"{(apart[where] >= 1e-6).sum()} entries differ"


def case(name, oracle, **parameters):
    text = ", ".join(f"{key}={value}" for key, value in parameters.items())
    return pytest.param(method(name, **parameters), oracle, id=f"{name}({text})")


def by_tensor(operator, vectors, w):
    return oracles.whole_tensors(operator, vectors, w.spans)


def band(w, density, gamma):
    return oracles.banded(w.v, density, gamma, w.spans)


def layered(w, groups):
    """The weighted sum, with weights of their own for some tensors."""
    parts = []
    for name, span in zip(SHAPES, w.spans, strict=True):
        own = groups.get(name, W)
        weights = [own[e] for e in POOL] if isinstance(own, dict) else own
        parts.append(oracles.weighted([v[span] for v in w.v], weights, normalize=False))
    return np.concatenate(parts)


def karcher(w, weights, *stop):
    return by_tensor(lambda v: oracles.karcher(v, weights, *stop), w.weights, w) - w.base


def karcher_of_task_vectors(w, weights, *stop):
    return by_tensor(lambda v: oracles.karcher(v, weights, *stop), w.v, w)


MAJORITY = {"zero_sign": "majority"}
MEANS = [
    case("average", lambda w: oracles.average(w.v)),
    case("average", lambda w: oracles.average(w.v), weight=3.0),
    case("average", lambda w: oracles.average(w.v, W), weight=WEIGHTS),
    case("task_arithmetic", lambda w: oracles.task_arithmetic(w.v, 0.8)),
    case(
        "task_arithmetic",
        lambda w: oracles.task_arithmetic(w.v, 1.3, W),
        weight=WEIGHTS,
        scale=1.3,
    ),
    case(
        "task_arithmetic",
        lambda w: oracles.task_arithmetic(w.v, 0.4, normalize=False),
        scale=0.4,
        normalize=False,
    ),
    case(
        "task_arithmetic",
        lambda w: oracles.task_arithmetic(w.v, -0.4, W, False),
        weight=WEIGHTS,
        scale=-0.4,
        normalize=False,
    ),
]
TIES = [
    case("ties", lambda w: oracles.ties(w.v, 1.0, 1.0)),
    case("ties", lambda w: oracles.ties(w.v, 0.2, 0.5), density=0.2, scale=0.5),
    case("ties", lambda w: oracles.ties(w.v, 1e-9, 1.0), density=1e-9),
    case("ties", lambda w: oracles.ties(w.v, D, 1.0), density=DENSITIES),
    case(
        "ties",
        lambda w: oracles.ties(w.v, 0.29, 1.0, w.spans),
        density=0.29,
        scope="tensor",
    ),
    case(
        "ties",
        lambda w: oracles.ties(w.v, 0.2, 1.0, keep="threshold"),
        density=0.2,
        keep="threshold",
    ),
    case(
        "ties",
        lambda w: oracles.ties(w.v, 0.2, 1.0, w.spans, keep="threshold"),
        density=0.2,
        keep="threshold",
        scope="tensor",
    ),
    case(
        "ties",
        lambda w: oracles.ties(w.v, 0.2, 0.4, keep="threshold", **MAJORITY),
        density=0.2,
        keep="threshold",
        scale=0.4,
        **MAJORITY,
    ),
    case(
        "ties",  # of five entries the largest alone
        lambda w: oracles.ties(w.v, 0.1, 1.0, w.spans, keep="threshold"),
        density=0.1,
        keep="threshold",
        scope="tensor",
    ),
    case("ties", lambda w: oracles.ties(w.v, 0.6, 1.0, **MAJORITY), density=0.6, **MAJORITY),
    *(
        case(
            "ties",  # more sums are 0 than have either sign; the negative weight turns the signs
            lambda w, weight=weight: oracles.ties(
                w.v, 0.1, 1.0, w.spans, weights=weight, **MAJORITY
            ),
            density=0.1,
            scope="tensor",
            weight=weight,
            **MAJORITY,
        )
        for weight in (1.0, -1.0)
    ),
    case(
        "ties",
        lambda w: oracles.ties(w.v, D, 1.0, w.spans, weights=W, **MAJORITY),
        density=DENSITIES,
        scope="tensor",
        weight=WEIGHTS,
        **MAJORITY,
    ),
    case(
        "ties",
        lambda w: oracles.ties(w.v, 0.5, 1.0, weights=W),
        density=0.5,
        weight=WEIGHTS,
    ),
    case(
        "ties",
        lambda w: oracles.ties(w.v, 0.5, 0.7, weights=W, normalize=False),
        density=0.5,
        scale=0.7,
        weight=WEIGHTS,
        normalize=False,
    ),
    case(
        "ties",
        lambda w: oracles.ties(w.v, 0.5, 1.0, weights=[0.5, 2.0, -1.25]),
        density=0.5,
        weight=WEIGHTS | {"code": -1.25},
    ),
]
DARE = [
    case("dare", lambda w: oracles.dare(w.v, w.masks(0.2), 1.0)),
    case(
        "dare",
        lambda w: oracles.dare(w.v, w.masks(0.4), 0.7, "l1", w.spans),
        drop_rate=0.4,
        rescale="l1",
        scale=0.7,
    ),
    case(
        "dare",
        lambda w: oracles.dare(w.v, w.masks(0.4), 1.0, "none"),
        drop_rate=0.4,
        rescale="none",
    ),
    case(
        "dare",
        lambda w: oracles.dare(w.v, w.masks(0.9), 0.3, weights=W, normalize=False),
        drop_rate=0.9,
        scale=0.3,
        weight=WEIGHTS,
        normalize=False,
    ),
    case(
        "dare",
        lambda w: oracles.dare(w.v, w.masks([0.0, 0.3, 0.95]), 1.0),
        drop_rate=dict(zip(POOL, (0.0, 0.3, 0.95), strict=True)),
    ),
    # divided by 1 - 0.5, what cancels exactly still does
    case("dare_ties", lambda w: oracles.dare_ties(w.v, w.masks(0.5), 1.0), drop_rate=0.5),
    case(
        "dare_ties",
        lambda w: oracles.dare_ties(
            w.v, w.masks(0.3), 1.0, "l1", w.spans, weights=W, normalize=False
        ),
        drop_rate=0.3,
        rescale="l1",
        weight=WEIGHTS,
        normalize=False,
    ),
    case(
        "dare_ties",
        lambda w: oracles.dare_ties(w.v, w.masks(0.4), 0.6, "none", **MAJORITY),
        drop_rate=0.4,
        rescale="none",
        scale=0.6,
        **MAJORITY,
    ),
]
BREADCRUMBS = [
    case("breadcrumbs", lambda w: oracles.weighted(band(w, 0.9, 0.01))),
    case(
        "breadcrumbs",
        lambda w: oracles.weighted(band(w, 0.3, 0.0), W, 0.5),
        density=0.3,
        gamma=0,
        scale=0.5,
        weight=WEIGHTS,
    ),
    case(
        "breadcrumbs",  # too few entries for both
        lambda w: oracles.weighted(band(w, 0.5, 0.8), None, 0.3, False),
        density=0.5,
        gamma=0.8,
        scale=0.3,
        normalize=False,
    ),
    case(
        "breadcrumbs",
        lambda w: oracles.weighted(band(w, D, [0.2, 0.1, 0.0])),
        density=DENSITIES,
        gamma=dict(zip(POOL, (0.2, 0.1, 0.0), strict=True)),
    ),
    case(
        "breadcrumbs_ties",
        lambda w: oracles.elected(band(w, 0.4, 0.1), 0.5),
        density=0.4,
        gamma=0.1,
        scale=0.5,
    ),
    case(
        "breadcrumbs_ties",
        lambda w: oracles.elected(band(w, 0.7, 0.05), weights=W, **MAJORITY),
        density=0.7,
        gamma=0.05,
        weight=WEIGHTS,
        **MAJORITY,
    ),
]
DELLA = [
    case("della", lambda w: oracles.elected(w.pruned(0.7, 0.15))),
    case(
        "della",
        lambda w: oracles.elected(w.pruned(0.4, 0.2, "l1"), 0.5, W, False),
        density=0.4,
        epsilon=0.2,
        rescale="l1",
        scale=0.5,
        weight=WEIGHTS,
        normalize=False,
    ),
    case(
        "della",
        lambda w: oracles.elected(w.pruned(0.5, 0.15, "none"), weights=W, **MAJORITY),
        density=0.5,
        rescale="none",
        weight=WEIGHTS,
        **MAJORITY,
    ),
    case(
        "della_linear",
        lambda w: oracles.weighted(w.pruned(0.3, 0.25), W, 0.5),
        density=0.3,
        epsilon=0.25,
        scale=0.5,
        weight=WEIGHTS,
    ),
    case(
        "della_linear",  # chances below 0 and above 1
        lambda w: oracles.weighted(w.pruned(0.4, 0.8)),
        density=0.4,
        epsilon=0.8,
    ),
    case(
        "della_linear",
        lambda w: oracles.weighted(w.pruned(D, [0.1, 0.3, 0.0], "l1"), None, 0.3, False),
        density=DENSITIES,
        epsilon=dict(zip(POOL, (0.1, 0.3, 0.0), strict=True)),
        rescale="l1",
        scale=0.3,
        normalize=False,
    ),
]
WHOLE = [
    case("model_stock", lambda w: by_tensor(oracles.model_stock, w.v, w)),
    case("sce", lambda w: by_tensor(lambda v: oracles.sce(v, 1.0), w.v, w)),
    case("karcher", lambda w: karcher(w, 1.0, 10, 1e-5)),
    case("karcher", lambda w: karcher(w, W), weight=WEIGHTS, max_iterations=99, tolerance=1e-9),
    case(
        "karcher",
        lambda w: karcher_of_task_vectors(w, W, 1, 1e-5),
        space="task_vectors",
        weight=WEIGHTS,
        max_iterations=1,
    ),
    case(
        "karcher",
        lambda w: karcher_of_task_vectors(w, W),
        space="task_vectors",
        weight=WEIGHTS,
        max_iterations=99,
        tolerance=1e-9,
    ),
]
OTHERS = dict(zip(POOL, (-0.25, 1.0, 0.5), strict=True))
LAYERWISE = [
    case("layerwise", lambda w: oracles.weighted(w.v, normalize=False)),
    case(
        "layerwise",  # the first group that names a tensor decides
        lambda w: layered(w, {"cube": [2.0] * 3, "odd": OTHERS, "one": OTHERS, "norm": OTHERS}),
        weight=WEIGHTS,
        groups=[
            {"tensors": ["cub*"], "weight": 2.0},
            {"tensors": ["o*", "norm", "cube"], "weight": OTHERS},
        ],
    ),
]
CASES = [*MEANS, *TIES, *DARE, *BREADCRUMBS, *DELLA, *WHOLE, *LAYERWISE]


def near(values, *expected):
    np.testing.assert_allclose(values, expected, atol=1e-12)


def test_oracle_of_ties_by_hand():
    one, two, three = np.array([[3.0, -1, 0.5, 0], [-1, -2, -0.25, 0], [1, 0, -0.25, 0]])
    # trimmed to two entries each: (3, -1, 0, 0), (-1, -2, 0, 0), (1, 0, -0.25, 0)
    near(oracles.ties([one, two, three], 0.5, 1.0), 2, -1.5, -0.25, 0)
    near(oracles.ties([one, two, three], 0.5, 2.0, normalize=False), 8, -6, -0.5, 0)
    near(oracles.ties([one, two], 0.5, 1.0, weights=[1, 4]), -1, -1.8, 0, 0)
    halves = [slice(0, 2), slice(2, 4)]  # (3, 0, 0.5, 0), (0, -2, -0.25, 0)
    near(oracles.ties([one, two], 0.5, 1.0, halves), 3, -2, 0.5, 0)
    near(oracles.keep_threshold(np.array([1.0, -3, 2, 2, 0.5]), 0.2), 0, -3, 2, 2, 0)
    near(oracles.keep_largest(np.array([1.0, -3, 2, 2, 0.5]), 0.4), 0, -3, 2, 0, 0)


def test_oracle_of_majority_by_hand():
    one, two = np.array([[1.0, -1, -1]]), np.array([[-1.0, -1, 0]])
    near(oracles.elected([*one, *two]), 1, -1, -1)
    near(oracles.elected([*one, *two], zero_sign="majority"), -1, -1, -1)
    near(oracles.elected([*-one, *-two], zero_sign="majority"), 1, 1, 1)


def test_oracles_of_masks_by_hand():
    row = np.array([1.0, -3, 2, 4])
    dropped = np.array([True, False, True, False])
    near(oracles.drop(row, dropped, 0.75), 0, -12, 0, 16)
    near(oracles.drop(row, dropped, 0.75, "l1"), 0, -30 / 7, 0, 40 / 7)
    near(oracles.drop(row, dropped, 0.75, "none"), 0, -3, 0, 4)
    near(oracles.keep_band(row, 0.5, 0.25), 0, -3, 2, 0)
    near(oracles.keep_band(row, 0.75, 0.5), 1, -3, 2, 0)
    near(oracles.keep_chance(row, 0.5, 0.3), 0.2, 0.6, 0.4, 0.8)
    near(oracles.keep_chance(row[:1], 0.5, 0.3), 0.5)
    chance, draws = np.array([0.2, 0.6, 0.4, 0.8]), np.array([0.1, 0.7, 0.1, 0.1])
    near(oracles.magprune(row, chance, draws), 5, 0, 5, 5)
    near(oracles.magprune(row, chance, draws, "l1"), 10 / 7, 0, 20 / 7, 40 / 7)


def test_oracles_of_whole_tensors_by_hand():
    x, y = np.eye(2)
    half = np.sqrt(0.5)
    t = 2 * half / (1 + half)
    near(oracles.model_stock([x, x + y]), t, t / 2)
    near(oracles.model_stock([x, -x]), 0, 0)
    # variances 1, 0, 4, 9/4: the last two are selected; energies 4 + 1 and 4 + 16, shares 1/5, 4/5
    one, two = np.array([3.0, 5, 2, -1]), np.array([1.0, 5, -2, -4])
    near(oracles.sce([one, two], 0.7), 0, 0, 2, -3.4)
    near(oracles.slerp(x, 3 * y, 0.5), half, 3 * half)
    near(oracles.slerp(x, 2 * x, 0.25), 1.25, 0)
    near(oracles.karcher([x, 3 * y], 1.0), 2 * half, 2 * half)
    angle = np.pi / 8
    near(oracles.karcher([x, y], [3, 1]), np.cos(angle), np.sin(angle))


@pytest.mark.parametrize(("entry", "oracle"), CASES)
def test_three_experts_against_the_papers(world, entry, oracle):
    check(world, entry, oracle(world))


@pytest.mark.parametrize("t", [0.0, 0.3, 1.0])
def test_slerp_against_the_paper(world, t):
    def path(pair):
        return oracles.slerp(*pair, t)

    for expert, whole in zip(POOL, world.weights, strict=True):
        expected = by_tensor(path, [world.base, whole], world) - world.base
        check(world, method("slerp", t=t), expected, [expert])


@pytest.mark.parametrize("weights", [[1.0, 1.0], [0.5, 2.0], [1.0, 0.0]])
def test_nuslerp_against_the_paper(world, weights):
    pair, t = POOL[:2], weights[1] / sum(weights)
    by_expert = dict(zip(pair, weights, strict=True))

    def path(pair):
        return oracles.slerp(*pair, t, straight=1 - 1e-6)

    check(world, method("nuslerp", weight=by_expert), by_tensor(path, world.v[:2], world), pair)
    expected = by_tensor(path, world.weights[:2], world) - world.base
    check(world, method("nuslerp", weight=by_expert, space="weights"), expected, pair)


def test_model_stock_of_two_experts(world):
    check(
        world, method("model_stock"), by_tensor(oracles.model_stock, world.v[:2], world), POOL[:2]
    )


@pytest.mark.parametrize("density", [0.05, 0.5, 0.97])
def test_sce_selects_the_stated_share(world, density):
    """Of two experts: their variance, the square of half a difference, is ordered exactly."""
    expected = by_tensor(lambda v: oracles.sce(v, density), world.v[:2], world)
    check(world, method("sce", density=density), expected, POOL[:2])


def test_sce_of_three_experts(worlds):
    """All but the entries whose variance is within float32's reach of the last one selected."""
    world, density = worlds["float32"], 0.4
    variance = np.var(world.v, axis=0)
    clear = np.ones(variance.size, dtype=bool)
    for span in world.spans:
        ranked = np.sort(variance[span])[::-1]
        if last := int(density * np.count_nonzero(ranked)):
            clear[span] = abs(variance[span] / ranked[last - 1] - 1) > 1e-6
    assert clear.mean() > 0.9999
    expected = by_tensor(lambda v: oracles.sce(v, density), world.v, world)
    check(world, method("sce", density=density), expected, where=clear)


@pytest.mark.parametrize("entry", [c.values[0] for c in CASES], ids=[c.id for c in CASES])
def test_span_by_span_gives_the_bits_of_memory(worlds, entry):
    world = worlds["bfloat16"]
    assert np.array_equal(streamed(world, entry), merged(world, entry))


def test_one_weight_for_all_layers_gives_the_bits_of_task_arithmetic(worlds):
    world = worlds["bfloat16"]
    groups = [{"tensors": [name], "weight": WEIGHTS} for name in SHAPES]
    plain = method("task_arithmetic", weight=WEIGHTS, normalize=False, scale=1.0)
    assert np.array_equal(
        streamed(world, method("layerwise", groups=groups)), streamed(world, plain)
    )


def test_a_group_that_fits_no_tensor_is_refused(worlds):
    groups = [{"tensors": ["odd", "layer.0"]}, {"tensors": ["x*"]}]
    with pytest.raises(ConfigError) as caught:
        merged(worlds["float32"], method("layerwise", groups=groups))
    assert str(caught.value).splitlines()[1:] == [
        "  - parameters.groups[0].tensors = 'layer.0': fits no tensor; one is column",
        "  - parameters.groups[1].tensors = 'x*': fits no tensor; one is column",
    ]


def test_every_method_is_compared_with_its_oracle():
    compared = {c.values[0].method for c in CASES} | {"slerp", "nuslerp"}
    assert compared == set(METHODS) == set(RECIPES)


def test_the_docs_name_every_parameter_and_its_default():
    rows = re.findall(r"^\| `(\w+)` \|.*?\|([^|]*)\|[^|]*\|$", DOCS.read_text(), re.MULTILINE)
    told = {
        name: dict(re.findall(r"`(\w+)` ([\w.-]+|\[\])", parameters)) for name, parameters in rows
    }
    fields = {
        name: entry.model_fields["parameters"].annotation.model_fields
        for name, entry in METHODS.items()
    }
    assert told == {
        name: {key: json.dumps(field.default).strip('"') for key, field in parameters.items()}
        for name, parameters in fields.items()
    }
