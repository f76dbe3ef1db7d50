"""Tables of the theory stage by their schemas: round numbers that tests can find again."""

import polars as pl

from mergelaw.config import Study
from mergelaw.laws.schemas import MACRO, theory
from mergelaw.report.captions.figure import THEORY
from mergelaw.report.theory_choice import own_scale

ROUTES = {"hvp": 1.0, "gauss_newton": 2.0, "differences": 0.5}
"""By what the errors of a route are multiplied."""

WAYS = {  # held-out loss less the full average's, calibration loss likewise, forwards
    "full_average": (0.0, 0.0, 1.0),
    "best_scale": (-0.004, -0.006, 6.0),
    "best_subset": (0.002, -0.003, 512.0),
    "greedy_soup": (0.001, -0.001, 19.0),
    "gradient": (-0.012, -0.018, 90.0),
    "cma_es": (-0.003, -0.008, 66.0),
    "quadratic_55": (-0.002, -0.009, 56.0),
    "newton": (-0.016, -0.022, 22.0),
}
TOKENS = 480
"""Scored tokens of the calibration text; twice as many are held out."""


def build(study: Study, frames: dict[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """Every table of the theory stage, by the report's name of its file."""
    curves = frames["curves.parquet"].filter(pl.col("k") > 0)
    linear = [m.label for m in study.methods if not m.method.startswith("ties")]
    made = (
        (theory.DERIVATIVES, _derivatives(study, linear)),
        (theory.UPDATES, _updates(study, [m for m in study.method_labels if m not in linear])),
        (theory.PREDICTED_CURVES, _curves(study, curves, linear)),
        (theory.PREDICTED_LAWS, _laws(study, linear)),
        (theory.PREDICTED_SUBSETS, _subsets(study, linear)),
        (theory.RANKINGS, _rankings(study, linear)),
        (theory.TERMS, _terms(study, curves, linear)),
        (theory.CROSS_CURVATURE, _synergy(study, linear)),
        (theory.WEIGHTS, _weights(study)),
    )
    return {f"{THEORY}{table.file}": table.frame(rows) for table, rows in made}


def _cells(study: Study, methods: list[str]) -> list[dict]:
    """Return size, method and route of every cell."""
    return [
        {"size": size, "method": method, "route": route}
        for size in study.size_names
        for method in methods
        for route in ROUTES
    ]


def _domains(study: Study) -> list[str]:
    return [*study.domain_names, MACRO]


def _derivatives(study: Study, methods: list[str]) -> list[dict]:
    pool = len(study.experts)
    return [
        cell
        | {
            "mask_seed": 0,
            "domain": domain,
            "fold": fold,
            "experts": sorted(study.expert_names),
            "scale": own_scale(study.method(cell["method"])),
            "n_items": 5,
            "n_tokens": 60,
            "nll_sum": 100.0,
            "gradient": None if cell["route"] == "differences" else [0.1] * pool,
            "curvature": None if cell["route"] == "differences" else [0.2] * pool**2,
            "slope": 0.1,
            "radial": 0.2,
            "spread": [0.3] * pool,
            "third": [0.4] * pool if cell["route"] == "differences" else None,
            "mask_spread": 0.5 if cell["method"] == "dare" else None,
            "mask_probes": [0.4, 0.6] if cell["method"] == "dare" else None,
        }
        for cell in _cells(study, methods)
        for domain in study.domain_names
        for fold in range(2)
    ]


def _updates(study: Study, methods: list[str]) -> list[dict]:
    pool = len(study.experts)
    return [
        {"size": size, "method": method, "k": k, "n_subsets": 4, "residual": round(0.9 / k, 6)}
        for size in study.size_names
        for method in methods
        for k in range(1, pool)
    ]


def error_at(route: str, k: int, pool: int) -> float:
    """Relative error of a prediction: 5% at one expert, 0 at the whole pool."""
    return -0.05 * ROUTES[route] * (1 / k - 1 / pool) ** 2


def _curves(study: Study, curves: pl.DataFrame, methods: list[str]) -> list[dict]:
    pool, found = len(study.experts), []
    for cell in _cells(study, methods):
        size, method = cell["size"], cell["method"]
        own = own_scale(study.method(method))
        part = curves.filter(pl.col("size") == size, pl.col("method") == method)
        for row in part.to_dicts():
            k, loss = row["k"], row["loss"]
            scales = [own, own - 0.25, own + 0.25] if k in (2, pool) else [own]
            for scale in scales:
                away = (scale - own) ** 2
                error = error_at(cell["route"], k, pool) - 0.1 * away
                found.append(_point(cell, row, scale, loss + 0.3 * away, error))
    return found


def _point(cell: dict, row: dict, scale: float, loss: float, error: float) -> dict:
    predicted, half = loss * (1 + error), 0.02 / row["k"]
    return cell | {
        "masks": "these",
        "domain": row["domain"],
        "k": row["k"],
        "scale": scale,
        "loss_predicted": predicted,
        "stderr_text": 0.02,
        "error_order": half / 2,
        "low": predicted - half,
        "high": predicted + half,
        "low_text": predicted - 0.06,
        "high_text": predicted + 0.06,
        "sd_predicted": None if cell["route"] == "differences" else 0.01,
        "loss": loss,
        "sd": row["sd"],
        "loss_fitted": loss * 1.001,
        "relative_error": error,
        "relative_error_fitted": 0.001,
    }


def _laws(study: Study, methods: list[str]) -> list[dict]:
    return [
        cell
        | {
            "domain": domain,
            "floor": 1.111,
            "floor_stderr": 0.011,
            "floor_fitted": 1.123,
            "tail": 0.222,
            "tail_stderr": 0.022,
            "tail_fitted": 0.234,
            "k85": 2,
            "k85_measured": 2,
            "k90": 3,
            "k90_measured": 2,
            "best_scale": 1.375,
            "best_scale_fitted": 1.3125,
        }
        for cell in _cells(study, methods)
        for domain in _domains(study)
    ]


def subset_names(study: Study) -> list[str]:
    """A few subsets of every k: experts next to each other."""
    names = sorted(study.expert_names)
    return [
        "+".join(names[start : start + k])
        for k in range(1, len(names) + 1)
        for start in range(len(names) - k + 1)
    ]


def _subsets(study: Study, methods: list[str]) -> list[dict]:
    return [
        cell
        | {
            "domain": MACRO,
            "subset": subset,
            "k": subset.count("+") + 1,
            "loss_predicted": 1.5 + 0.5 / (subset.count("+") + 1) + 0.001 * place,
            "stderr": 0.01,
            "p_best": 0.1,
            "loss": 1.5 + 0.52 / (subset.count("+") + 1) + 0.001 * place,
        }
        for cell in _cells(study, methods)
        if cell["route"] != "differences"
        for place, subset in enumerate(subset_names(study))
    ]


def _rankings(study: Study, methods: list[str]) -> list[dict]:
    pool = len(study.experts)
    return [
        cell
        | {
            "domain": domain,
            "k": k,
            "n_subsets": 15 if k == 0 else pool,
            "rank_correlation": 0.25 if k == 1 else 0.96875 if k else 0.9,
            "median_error": 0.0025,
            "p95_error": 0.0125,
            "chosen": "algebra",
            "best": "algebra" if k != 1 else "analysis",
            "regret": 0.003 if k == 1 else 0.0,
            "regret_random": 0.03,
        }
        for cell in _cells(study, methods)
        if cell["route"] != "differences"
        for domain in _domains(study)
        for k in range(pool)
    ]


def _terms(study: Study, curves: pl.DataFrame, methods: list[str]) -> list[dict]:
    n = dict(curves.select("size", "n_params_billions").unique().iter_rows())
    return [
        cell
        | {
            "n_params_billions": n[cell["size"]],
            "domain": domain,
            "mean_norm": 3.0,
            "spread_norm": 5.0,
            "trace": 0.4,
            "mean_curvature": 0.8,
            "mean_slope": -0.125,
            "tail": 0.2 * ROUTES[cell["route"]],
            "tail_fitted": 0.21,
            "offset": 0.5,
            "base_predicted": 2.75,
            "base": 3.5,
            "order_share_1": -0.15,
            "order_share_2": -0.03,
            "order_share_3": 0.004,
        }
        for cell in _cells(study, methods)
        for domain in _domains(study)
    ]


def _synergy(study: Study, methods: list[str]) -> list[dict]:
    homes = {(expert.name, expert.domain) for expert in study.experts}
    return [
        cell
        | {
            "donor": donor,
            "receiver": receiver,
            "gain_predicted": 0.11 if (donor, receiver) in homes else -0.012,
            "gain": 0.12 if (donor, receiver) in homes else -0.013,
        }
        for cell in _cells(study, methods)
        if cell["route"] != "differences"
        for donor in study.expert_names
        for receiver in _domains(study)
    ]


def _weights(study: Study) -> list[dict]:
    found = []
    for size in study.size_names:
        for objective in study.theory.objectives:
            first = objective is study.theory.objectives[0]
            ways = WAYS if first else ("full_average", "best_scale", "newton")
            layers = objective.groups == "layers"
            found += [
                _search(study, size, objective.label, way, layers and way == "newton")
                for way in ways
            ]
    return found


def _search(study: Study, size: str, objective: str, way: str, layers: bool) -> dict:
    pool = len(study.experts)
    other, chosen, forwards = WAYS[way]
    groups = ["embeddings", "layer 0", "rest"] if layers else ["model"]
    chosen = 2 * chosen if layers else chosen
    alone = objective == "three" and way == "newton"
    weights = ([0.5, 0.25, 0.125] + [0.0] * pool)[:pool] if alone else [1 / pool] * pool
    return {
        "size": size,
        "objective": objective,
        "way": way,
        "groups": groups,
        "experts": sorted(study.expert_names),
        "weights": weights * len(groups),
        "n_experts": min(3, pool) if alone else pool,
        "calibration_tokens": TOKENS,
        "heldout_tokens": 2 * TOKENS,
        "calibration": 1.75 + chosen,
        "heldout": 1.8 + other,
        "heldout_stderr": None if way == "full_average" else 0.0025,
        "domains": list(study.domain_names),
        "heldout_by_domain": [1.8 + other] * len(study.domains),
        "forwards": forwards,
        "n_losses": int(forwards),
        "n_gradients": int(way in ("newton", "gradient")),
        "n_products": pool * int(way == "newton"),
        "converged": way != "cma_es",
        "note": "a direction of negative curvature was left alone" if layers else "",
    }
