"""Predictions of the joint law on made-up studies of several sizes, subset by subset."""

from typing import NamedTuple

import numpy as np

from benchmarks import laws_worlds as worlds
from benchmarks.laws_worlds import POOL, Array
from mergelaw.laws.law import JOINT
from mergelaw.laws.point_noise import Noise, item_noise, subset_noise
from mergelaw.laws.prediction_errors import prediction_errors
from mergelaw.laws.search import best, ends
from mergelaw.laws.uncertainty import resampled
from mergelaw.laws.weighting import pose

SIZES = np.array([0.5, 1.5, 3, 7, 14, 32, 72])
KS = np.arange(1.0, POOL + 1)
SHAPE = len(SIZES), POOL
N, K = (axis.ravel() for axis in np.meshgrid(SIZES, KS, indexing="ij"))
HELD_OUT = SIZES[-1] == N
N_ITEMS = (50, 100, 200)
"""Evaluation items, in turn."""

PER_K = 20
"""Subsets of each k, where subsets are sampled."""

RESAMPLES = 200
TRUTH = {
    "floor_limit": 0.35,
    "size_scale": 0.5,
    "size_exponent": 0.36,
    "tail_scale": 0.3,
    "tail_exponent": 0.1,
    "offset": 0.4,
}
OF_TAIL = 0.3 * N**-0.1
POWER = 0.8
"""Of k in the false law: its tail is a power of k that the law only comes near."""

SHARED = 0.8
"""Of a task vector, the part that is the same at all sizes (of variance 1 in all)."""

LEVEL, OWN_LEVEL = 0.1, 0.3
"""Spread of the items' levels, and the share of it that is an item's own at each size."""


class World(NamedTuple):
    """A kind of made-up study.

    Attributes
    ----------
    first_sampled
        The sizes from this one on have sampled subsets, the others all subsets.
    spread
        How much subsets differ, in units of what the experts' task vectors make of it.
    is_true
        Whether the law is true; else it only comes near.
    """

    name: str
    n_studies: int
    first_sampled: int
    spread: float
    is_true: bool


WORLDS = (
    World("the law is true, 3 of 7 sizes sampled", 2000, 4, 1, True),
    World("the law is true, all sizes sampled, subsets differ 3 times as much", 500, 0, 3, True),
    World("the law is nearly true, 3 of 7 sizes sampled", 300, 4, 1, False),
)


class Study(NamedTuple):
    """A made-up study: its points, in the order of N and K, and how they err."""

    loss: Array
    subset_se: Array
    draws: Array  # (resamples, points)
    subsets: list[Noise]
    n_items: int


class Judged(NamedTuple):
    """Predictions of one study: whether the interval holds the truth, and the error, by point."""

    world: str
    n_items: int
    held_out: bool  # whether the fit saw all sizes but the largest, and these are of the largest
    holds: Array  # bool
    error: Array
    stderr: Array


def truth(is_true: bool) -> Array:
    """Return the mean loss over all subsets and all items that there could be, at every point."""
    if is_true:
        return JOINT.function(N, K, **TRUTH)
    floor = JOINT.function(N, 1.0, **TRUTH | {"tail_scale": 0.0})
    return np.asarray(floor + OF_TAIL * K**-POWER / (1 + TRUTH["offset"]))


def study(draw: np.random.Generator, n_items: int, world: World = WORLDS[0]) -> Study:
    """Make a study.

    The loss of an item is ``floor(N) * its level + (tail(N, k) + the subset's deviation) * its
    tail``; the mean of levels and of tails is 1. A subset's deviation comes from the flattening
    loss of the mean of its experts' task vectors (`laws_worlds`), which are alike at all sizes.
    Over all subsets of one k the deviations sum to 0, so the law holds for the whole pool.
    """
    floor = JOINT.function(N, 1.0, **TRUTH | {"tail_scale": 0.0}).reshape(SHAPE)
    tail = truth(world.is_true).reshape(SHAPE) - floor
    tails = draw.lognormal(-0.32, 0.8, size=n_items)
    common = draw.standard_t(4, size=n_items)
    own = draw.standard_t(4, size=(len(SIZES), n_items))
    levels = 1 + LEVEL * (np.sqrt(1 - OWN_LEVEL**2) * common + OWN_LEVEL * own)
    means, errors = np.zeros(SHAPE), np.zeros(SHAPE)
    noises = []
    first = world.first_sampled
    for j, deviations in enumerate(_deviations(draw)):
        of_k = world.spread * deviations
        if len(of_k) <= PER_K:
            continue
        seen = draw.choice(len(of_k), PER_K, replace=False)
        measured = np.full_like(of_k, np.nan)
        measured[:, :first] = of_k[:, :first]
        measured[seen, first:] = of_k[seen, first:]
        measured *= tails.mean()
        means[:, j] = np.nanmean(measured, axis=0) / tails.mean()
        part = subset_noise(measured, len(of_k))
        errors[:, j] = np.sqrt(np.diag(part.covariance))
        covariance = np.zeros((len(N), len(N)))
        covariance[np.ix_(j == K - 1, j == K - 1)] = part.covariance
        noises.append(part._replace(covariance=covariance))
    nll = (floor[..., None] * levels[:, None] + (tail + means)[..., None] * tails).reshape(
        len(N), n_items
    )
    draws = resampled(nll, np.ones_like(nll), draw, RESAMPLES)
    return Study(nll.mean(axis=1), errors.ravel(), draws, noises, n_items)


def _deviations(draw: np.random.Generator) -> list[Array]:
    """Return, for each k, how subsets differ from the mean of all, shape (subsets, sizes)."""
    common = draw.normal(size=(POOL, worlds.DIMENSION))
    own = draw.normal(size=(len(SIZES), POOL, worlds.DIMENSION))
    vectors = 0.5 + SHARED * common + np.sqrt(1 - SHARED**2) * own
    found = []
    for k in range(1, POOL + 1):
        losses = np.array([worlds.subset_losses(each, k) for each in vectors]).T
        found.append((losses - losses.mean(axis=0)) * SIZES**-0.1)
    return found


def judge(index: int, draw: np.random.Generator, world: World) -> list[Judged]:
    """Make a study and judge the joint law's predictions: at all points, and of a size left out."""
    made = study(draw, N_ITEMS[index % len(N_ITEMS)], world)
    everywhere = np.ones(len(N), bool)
    return [
        _judged(made, everywhere, everywhere, world),
        _judged(made, ~HELD_OUT, HELD_OUT, world),
    ]


def _judged(made: Study, seen: Array, asked: Array, world: World) -> Judged:
    variables = {"n_params_billions": N[seen], "k": K[seen]}
    at = {"n_params_billions": N[asked], "k": K[asked]}
    posed = pose(JOINT, variables, made.loss[seen], "measured", made.subset_se[seen])
    values = best(ends(posed.problem)).values
    parts = [Noise(part.covariance[np.ix_(seen, seen)], part.freedom) for part in made.subsets]
    noises = [item_noise(made.draws[:, seen], made.n_items - 1), *parts]
    known = prediction_errors(posed.problem, values, noises, posed.misfit, at)
    if known is None:
        raise ValueError("no degree of freedom left")
    error = JOINT.function(**at, **values) - truth(world.is_true)[asked]
    return Judged(
        world.name,
        made.n_items,
        not seen.all(),
        np.abs(error) <= known.half,
        error,
        known.stderr,
    )
