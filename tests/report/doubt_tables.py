"""Tables of the full report by their schemas: round numbers that tests can find again."""

import itertools

import polars as pl

from mergelaw.config import Study
from mergelaw.laws import schemas
from mergelaw.laws.schemas import doubts

FORMS = (
    *(("k", law) for law in ("floor_tail", "zero_offset", "power", "constant")),
    *(("size and k", law) for law in ("joint", "flat_tail")),
)
TARGETS = (("pool", "profile", 0.01), ("text", "items", 0.04), ("experts", "delete_1", 0.02))


def build(study: Study, frames: dict[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """Every table of the full report; those that are not made here are empty."""
    curves = frames["curves.parquet"].filter(pl.col("k") > 0)
    empty = {table.file: table.frame([]) for table in schemas.FULL_TABLES}
    made = (
        (doubts.INTERVALS, _intervals(frames["fits.parquet"])),
        (doubts.RIVALS, _rivals(study)),
        (doubts.NULL_R2, _null_r2(curves)),
        (doubts.TWO_STAGE, _two_stage(study)),
        (doubts.POOLS, _pools(study)),
        (doubts.NEAR_FLOOR, _near_floor(study, curves)),
        (doubts.GAINS, _gains(curves)),
        (doubts.FORECAST_INTERVALS, _forecast_intervals(frames["forecast.parquet"])),
        (doubts.TRIPLE_ERRORS, _triple_errors(study)),
        (doubts.TRANSFER, _transfer(study)),
    )
    return empty | {table.file: table.frame(rows) for table, rows in made}


def _intervals(fits: pl.DataFrame) -> list[dict]:
    rows = []
    for fit in fits.to_dicts():
        name = {"law": fit["law"], "method": fit["method"], "domain": fit["domain"]}
        quantities = {fit["parameter"]: fit["value"]}
        if fit["parameter"] == "floor":
            quantities["loss_pool"] = fit["value"] + 0.05
        for (quantity, value), (target, how, half) in itertools.product(
            quantities.items(), TARGETS
        ):
            rows.append(
                name
                | {
                    "size": fit["size"],
                    "quantity": quantity,
                    "target": target,
                    "how": how,
                    "estimate": value,
                    "stderr": None if how == "profile" else half / 2,
                    "low": None if fit["at_bound"] else value - half,
                    "high": value + half,
                    "n_refits": 9,
                    "note": "cut at the bound; rough: 5 items a domain"
                    if target == "text"
                    else None,
                }
            )
    return rows


def _rivals(study: Study) -> list[dict]:
    return [
        {
            "law": law,
            "over": over,
            "method": method,
            "domain": schemas.MACRO,
            "size": size,
            "n_points": 9,
            "n_parameters": 2 + place % 2,
            "rss": 1e-4,
            "r2": 0.99,
            "aicc": -50.0 + place,
            "delta_aicc": 1.5 * place if law != "joint" else 0.0,
            "akaike_weight": 0.25,
            "heldout_error": 0.001 * (place + 1),
            "at_bound": False,
        }
        for method in study.method_labels
        for place, (over, law) in enumerate(FORMS)
        for size in (study.size_names if over == "k" else [None])
    ]


def _null_r2(curves: pl.DataFrame) -> list[dict]:
    return [
        {
            "method": method,
            "domain": domain,
            "size": size,
            "null": null,
            "n_k": 4,
            "r2": 0.9912,
            "null_median": median,
            "null_q05": median - 0.1,
            "null_q95": median + 0.04,
            "share_above": 0.3,
        }
        for method, domain, size in curves.select("method", "domain", "size").unique().rows()
        for null, median in (("falling", 0.85), ("falling_convex", 0.956))
    ]


def _two_stage(study: Study) -> list[dict]:
    return [
        {
            "method": method,
            "domain": domain,
            "n_sizes": len(study.sizes),
            "floor_limit": 0.2,
            "size_scale": 0.3,
            "size_exponent": 0.222,
            "r2_floor": 0.9876,
            "tail_scale": 0.1,
            "tail_exponent": -0.111,
            "r2_tail": 0.4321,
            "note": "fewer than 4 sizes",
        }
        for method in study.method_labels
        for domain in (schemas.MACRO, *study.domain_names)
    ]


def _pools(study: Study) -> list[dict]:
    pool = len(study.experts)
    left_out = [(out, out + 1) for out in range(3)]
    return [
        {
            "size": size,
            "method": method,
            "domain": schemas.MACRO,
            "left_out": "+".join(study.expert_names[:out]) or "none",
            "n_experts": pool - out,
            "loss_pool": 1.5 + 0.05 * out,
            "floor": 1.25 - 0.125 * out,
            "tail": 0.5 + 0.25 * out,
            "offset": 0.0,
            "r2": 0.99,
            "k90": k90,
        }
        for size in study.size_names
        for method in study.method_labels
        for out, k90 in left_out
    ]


def _near_floor(study: Study, curves: pl.DataFrame) -> list[dict]:
    pool = len(study.experts)
    cells = curves.select("size", "method", "domain").unique().rows()
    return [
        {
            "size": size,
            "method": method,
            "domain": domain,
            "gap": gap,
            "k_floor": k_floor,
            "reachable": k_floor <= pool,
            "k_pool": 2,
            "loss_pool": 1.5,
            "floor": 1.25,
        }
        for size, method, domain in cells
        for gap, k_floor in ((0.1, 2), (0.01, 33))
    ]


def _gains(curves: pl.DataFrame) -> list[dict]:
    cell = ("size", "method", "domain")
    rows = []
    for key, curve in curves.sort("k").partition_by(*cell, as_dict=True).items():
        losses = curve["loss"].to_list()
        rows += [
            dict(zip(cell, key, strict=True))
            | {
                "k": k,
                "gain": losses[k - 1] - losses[k],
                "gain_se": 0.01 if k == 1 else 0.0,
                "gain_law": 0.2 / (k * (k + 1)),
            }
            for k in range(1, len(losses))
        ]
    return rows


def _forecast_intervals(forecast: pl.DataFrame) -> list[dict]:
    return [
        {name: row[name] for name in ("size", "method", "domain", "k", "loss_predicted", "loss")}
        | {
            "target": target,
            "stderr": half / 2,
            "low": row["loss_predicted"] - half,
            "high": row["loss_predicted"] + half,
        }
        for row in forecast.to_dicts()
        for target, _, half in TARGETS
    ]


def _triple_errors(study: Study) -> list[dict]:
    pool = max(len(study.experts), 7)
    return [
        {
            "points": ",".join(map(str, points)),
            "method": method,
            "n_curves": 8,
            "n_refused": int(points[0] == 2),
            "median_error": 0.01 / sum(points),
            "q90_error": 0.02 / sum(points),
            "largest_error": 0.03 / sum(points),
        }
        for method in study.method_labels
        for points in itertools.combinations(range(1, pool), 3)
    ]


def _transfer(study: Study) -> list[dict]:
    return [
        {
            "method": method,
            "domain": schemas.MACRO,
            "source": source,
            "target": target,
            "offset": 0.1,
            "loss_pool": 1.5,
            "loss_predicted": 1.5 * (1 + error),
            "relative_error": error,
        }
        for method in study.method_labels
        for target in study.size_names
        for source in (*study.size_names, "offset 0")
        for error in [0.01 if source == target else 0.03 if source == "offset 0" else -0.02]
    ]
