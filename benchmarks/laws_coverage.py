"""How often each interval of the laws stage holds the truth, on studies made up for it."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, cast

import numpy as np

from benchmarks import laws_worlds as worlds
from benchmarks.laws_worlds import FLOOR, OFFSET, POOL, TAIL, Array, Truth
from mergelaw.laws.analyses import intervals
from mergelaw.laws.analyses.forecast_intervals import N_DRAWS, Spread, forecast_rows, predict
from mergelaw.laws.analyses.intervals import Spread as Refits
from mergelaw.laws.analyses.intervals import profile_rows, spread_rows, subject_of
from mergelaw.laws.forms import floor_tail
from mergelaw.laws.law import FLOOR_TAIL, JOINT
from mergelaw.laws.profile import profile_intervals
from mergelaw.laws.uncertainty import ItemDraws, resampled
from mergelaw.laws.weighting import Weights, pose

KS = np.arange(1.0, POOL + 1)
AT = {"k": np.array([float(POOL)])}
SIZES = np.array([0.5, 1.5, 3, 7, 14])
JOINT_TRUTH = {
    "floor_limit": 0.35,
    "size_scale": 0.5,
    "size_exponent": 0.36,
    "tail_scale": 0.3,
    "tail_exponent": 0.1,
    "offset": OFFSET,
}
RESAMPLES = 200
TRIPLE = [1, 2, 4]


class Trial(NamedTuple):
    """One interval of one made-up study."""

    target: str
    world: str
    how: str
    quantity: str
    low: float | None
    high: float | None
    truth: float


def profile_scatter(draw: np.random.Generator) -> Iterator[Trial]:
    """Make points that scatter independently about a true law."""
    loss = floor_tail(KS, FLOOR, TAIL, OFFSET) + 0.002 * draw.normal(size=POOL)
    yield from _profile(loss, "independent scatter of 0.002 about the law", worlds.truth_of(_law()))


def profile_misfit(draw: np.random.Generator) -> Iterator[Trial]:
    """Make points with little scatter about a power of k, which the law only comes near."""
    curve = FLOOR + TAIL * KS**-0.7
    loss = curve + 0.0005 * draw.normal(size=POOL)
    truth = Truth(FLOOR, np.nan, np.nan, float(curve[-1]))
    yield from _profile(loss, "the law is false: a power of k, scatter 0.0005", truth)


def profile_sampled(draw: np.random.Generator) -> Iterator[Trial]:
    """Measure 15 subsets of each k; the law of all of them is true, or nearly."""
    loss, errors, exact = worlds.sampled(draw, worlds.experts(draw), 15)
    for world, points, curve in (
        ("the law is true", loss - exact + _law(), _law()),
        ("the law is nearly true", loss, exact),
    ):
        truth = worlds.truth_of(curve)
        name = f"15 subsets a k, {world}, weights"
        yield from _profile(points, f"{name} measured", truth, errors)
        yield from _profile(points, f"{name} uniform", truth)


def profile_joint(draw: np.random.Generator) -> Iterator[Trial]:
    """Make points of five sizes that scatter independently about a true joint law."""
    n, k = (axis.ravel() for axis in np.meshgrid(SIZES, KS, indexing="ij"))
    loss = JOINT.function(n, k, **JOINT_TRUTH) + 0.002 * draw.normal(size=len(k))
    variables = {"n_params_billions": n, "k": k}
    at = {"n_params_billions": SIZES[-1:], "k": np.array([float(POOL)])}
    subject = subject_of(pose(JOINT, variables, loss).problem, at)
    point = {name: float(value[0]) for name, value in at.items()}
    rows = profile_rows(subject, profile_intervals(JOINT, variables, loss, at=point))
    truth = JOINT_TRUTH | {"loss_pool": float(JOINT.function(**at, **JOINT_TRUTH)[0])}
    yield from _trials("pool", "joint law of 5 sizes, independent scatter of 0.002", rows, truth)


def _law() -> Array:
    return floor_tail(KS, FLOOR, TAIL, OFFSET)


def _profile(loss: Array, world: str, truth: Truth, errors: Array | None = None) -> Iterator[Trial]:
    weights: Weights = "uniform" if errors is None else "measured"
    subject = subject_of(pose(FLOOR_TAIL, {"k": KS}, loss, weights, errors).problem, AT)
    found = profile_intervals(FLOOR_TAIL, {"k": KS}, loss, weights, errors, at={"k": POOL})
    yield from _trials("pool", world, profile_rows(subject, found), truth._asdict())


def jackknife(pool: int, curved: bool) -> Callable[[np.random.Generator], Iterator[Trial]]:
    """Return the study of fresh experts of a normal population, merged by averaging."""
    shape = "flattening" if curved else "quadratic"
    world = f"{pool} experts, {shape} loss"

    def study(draw: np.random.Generator) -> Iterator[Trial]:
        vectors = worlds.experts(draw, pool)
        curves = [worlds.pool_curves(vectors, n, curved) for n in range(3)]
        ks = np.arange(1.0, pool + 1)
        at = {"k": np.array([float(pool)])}
        subject = subject_of(pose(FLOOR_TAIL, {"k": ks}, curves[0][0]).problem, at)
        truth = worlds.population(curved, pool)._asdict()
        cells = _cells(ks)
        for n in (1, 2):
            draws = dict(zip(cells, curves[n].T, strict=False))
            spread = cast(Refits, intervals.experts(subject, cells, {n: draws}, n, pool))
            yield from _trials("experts", world, spread_rows(subject, spread), truth)
            normal = spread._replace(freedom=10**6, how=f"{spread.how}, normal")
            yield from _trials("experts", world, spread_rows(subject, normal), truth)
        if curved:
            yield from _forecast(
                world,
                Spread("experts", curves[1][:, np.array(TRIPLE) - 1], pool - 1, pool),
                curves[0][0],
                worlds.population_curve(),
            )

    return study


def text(n_items: int, n_domains: int = 1) -> Callable[[np.random.Generator], Iterator[Trial]]:
    """Return the study of fresh items with heavy tails; means over domains where there are more."""
    world = f"{n_items} items a domain" + (f", mean of {n_domains} domains" * (n_domains > 1))

    def study(draw: np.random.Generator) -> Iterator[Trial]:
        drawn, losses = [], []
        for _ in range(n_domains):
            nll = worlds.items(draw, n_items).curve(KS)
            drawn.append(resampled(nll, np.ones_like(nll), draw, RESAMPLES))
            losses.append(nll.mean(axis=1))
        loss, draws = np.mean(losses, axis=0), np.mean(drawn, axis=0)
        subject = subject_of(pose(FLOOR_TAIL, {"k": KS}, loss).problem, AT)
        truth, cells = worlds.truth_of(worlds.items_curve())._asdict(), _cells(KS)
        freedom = n_domains * (n_items - 1)
        items = ItemDraws(None, {}, {"d": n_items}, {"d": freedom})  # type: ignore[arg-type]
        by_cell = dict(zip(cells, draws.T, strict=True))
        spread = cast(Refits, intervals.text(subject, cells, by_cell, items))
        yield from _trials("text", world, spread_rows(subject, spread), truth)
        normal = spread._replace(freedom=10**6, how="items, normal")
        yield from _trials("text", world, spread_rows(subject, normal), truth)
        low, high = np.percentile(spread.refits, [2.5, 97.5], axis=0)
        ends = zip(Truth._fields, low, high, strict=True)
        rows = [{"quantity": name, "low": a, "high": b} for name, a, b in ends]
        rows = [row | {"how": "items, percentile"} for row in rows]
        yield from _trials("text", world, rows, truth)
        points = Spread("text", draws[:, np.array(TRIPLE) - 1], freedom)
        yield from _forecast(world, points, loss, worlds.items_curve())

    return study


def forecast_sampled(draw: np.random.Generator) -> Iterator[Trial]:
    """Forecast the curve of a pool from three points that are means over 15 subsets."""
    loss, errors, exact = worlds.sampled(draw, worlds.experts(draw), 15)
    three = np.array(TRIPLE) - 1
    noise = draw.normal(size=(N_DRAWS, 3)) * errors[three]
    for world, points, curve in (
        ("the law is true", loss - exact + _law(), _law()),
        ("the law is nearly true", loss, exact),
    ):
        spread = Spread("pool", points[three] + noise, np.inf)
        yield from _forecast(f"15 subsets a k, {world}", spread, points, curve)


def _forecast(world: str, spread: Spread, loss: Array, exact: Array) -> Iterator[Trial]:
    """Judge the forecast at k = M by the forecast from the true points."""
    three = np.array(TRIPLE) - 1
    truth = predict(TRIPLE, exact[None, three], np.array([POOL]))[0, 0]
    rows = forecast_rows(TRIPLE, loss[three].tolist(), spread, POOL)
    row = rows[-1] if rows else {"low": None, "high": None}
    yield Trial(
        spread.target, world, "forecast", "loss_pool", row["low"], row["high"], float(truth)
    )


def _cells(ks: Array) -> list[tuple[str, str, str, int]]:
    return [("s", "m", "d", int(k)) for k in ks]


def _trials(
    target: str, world: str, rows: Iterable[Mapping[str, Any]], truth: Mapping[str, float]
) -> Iterator[Trial]:
    for row in rows:
        value = truth[row["quantity"]]
        if np.isfinite(value):
            yield Trial(
                target, world, row["how"], row["quantity"], row["low"], row["high"], float(value)
            )


WORKLOADS: dict[str, tuple[int, Callable[[np.random.Generator], Iterator[Trial]]]] = {
    "profile, scatter": (500, profile_scatter),
    "profile, joint": (200, profile_joint),
    "profile, misfit": (300, profile_misfit),
    "profile, sampled": (300, profile_sampled),
    "experts, quadratic, 6": (1000, jackknife(6, False)),
    "experts, quadratic, 9": (1000, jackknife(9, False)),
    "experts, quadratic, 16": (500, jackknife(16, False)),
    "experts, curved, 9": (500, jackknife(9, True)),
    "text, 3": (500, text(3)),
    "text, 3, macro": (500, text(3, 9)),
    "text, 20": (500, text(20)),
    "text, 200": (500, text(200)),
    "forecast, sampled": (500, forecast_sampled),
}
"""Made-up studies of each kind, and how one is made."""
