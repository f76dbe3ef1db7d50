"""Small law files with round numbers, for tests of plans."""

from typing import Any

from mergelaw.planning.law_file import (
    METRIC,
    Baseline,
    Costs,
    Curve,
    Joint,
    Law,
    LawFile,
    Size,
)


def curve(
    size: str = "small",
    floor: float = 2.0,
    tail: float = 1.0,
    offset: float = 0.0,
    pool: int = 4,
    **more: Any,
) -> Curve:
    """A curve whose losses are the law's: 3, 2.5, 2.333, 2.25 by default."""
    loss = tuple(floor + tail / (k + offset) for k in range(1, pool + 1))
    given = {"identified": True, "loss": loss} | more
    return Curve(size=size, floor=floor, tail=tail, offset=offset, **given)


def costs(train: float | None = 10.0, **more: Any) -> Costs:
    given: dict[str, Any] = {"merge": 1.0, "merge_per_expert": 0.5, "evaluate": 2.0}
    return Costs(device="A100", source="made up", train_expert=train, **given | more)


def law_file(*curves: Curve, **more: Any) -> LawFile:
    """A law file of one method and domain, at the sizes of its curves."""
    curves = curves or (curve(),)
    names = list(dict.fromkeys(one.size for one in curves))
    sizes = tuple(
        Size(name=name, n_params_billions=10.0**i, costs=costs(10.0 * 10**i))
        for i, name in enumerate(names)
    )
    law = Law(method="average", domain="code", curves=curves)
    given = {"pool": len(curves[0].loss), "sizes": sizes, "laws": (law,)} | more
    return LawFile(name="made", source="made up", metric=METRIC, **given)


JOINT = Joint(
    floor_limit=1.0,
    size_scale=1.0,
    size_exponent=0.5,
    tail_scale=1.0,
    tail_exponent=0.25,
    offset=0.5,
    identified=True,
)


def baseline(**losses: float) -> Baseline:
    return Baseline(size="small", domain="code", **losses)
