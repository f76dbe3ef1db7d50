"""Tables of subsets and scales by their schemas, with round numbers, and the published ones."""

import itertools
import math
from functools import cache

import polars as pl

from mergelaw.config import Study
from mergelaw.laws.analyses.functions import MAKE
from mergelaw.laws.schemas import MACRO, published, scales, subsets

FORMS = ("finite_pool", "finite_pool_curved", "inverse_k")
ESTIMATORS = ("balanced", "regression", "trajectory")
BLOCKS = ("math", "science")


def build(study: Study) -> dict[str, pl.DataFrame]:
    """Every table of subsets, scales and published numbers, by file name."""
    cells = list(itertools.product(study.size_names, study.method_labels))
    cells = [{"size": size, "method": method} for size, method in cells]
    made = (
        (subsets.VARIANCE_FITS, _variance_fits(study, cells)),
        (subsets.DISPERSION, _dispersion(study, cells)),
        (subsets.ORDER, _order(cells)),
        (subsets.SYNERGY_ESTIMATORS, _estimators(study, cells)),
        (subsets.SYNERGY_STRENGTHS, _strengths(study, cells)),
        (subsets.SYNERGY_BLOCKS, _blocks(cells)),
        (subsets.MIXING, _mixing(study, cells)),
        (subsets.DESIGNS, _designs(study, cells)),
        (subsets.BALANCED, _balanced(study, cells)),
        (scales.SCALE_CURVES, _scale_curves(study, cells)),
        (scales.SCALE_FITS, _scale_fits(cells)),
        (scales.BEST_SCALES, _best_scales(study, cells)),
    )
    return {table.file: table.frame(rows) for table, rows in made} | printed()


@cache
def printed() -> dict[str, pl.DataFrame]:
    """The published tables, from the package's own numbers."""
    names = [table.file.removesuffix(".parquet") for table in published.TABLES]
    return {f"{name}.parquet": MAKE[name](None) for name in names}


def _variance_fits(study: Study, cells: list[dict]) -> list[dict]:
    shared = {"domain": MACRO, "parameter": "v0", "at_bound": False, "n_points": 8}
    rows = [
        cell
        | shared
        | {
            "form": form,
            "value": 0.1,
            "r2": 0.9 + 0.01 * place,
            "aicc": -50.0 - 4.5 * place * (form != "inverse_k"),
            "at_pool": 0.0003 if form == "inverse_k" else 0.0,
        }
        for cell in cells
        for place, form in enumerate(FORMS)
    ]
    joint = {"form": "joint", "size": None, "value": 0.1, "r2": 0.8, "aicc": -400.0}
    return rows + [
        shared | joint | {"method": method, "at_pool": 0.0004} for method in study.method_labels
    ]


def _dispersion(study: Study, cells: list[dict]) -> list[dict]:
    law = {"c0": 0.0, "c1": 0.06, "offset": 2.0, "at_bound": True}
    return [
        cell
        | law
        | {
            "domain": MACRO,
            "k": k,
            "n_subsets": 4,
            "sd": 0.06 / k,
            "range": 0.2 / k,
            "cv": 0.03 / k,
            "sd_fitted": 0.06 / (k + 2.0),
            "sd_finite_pool": 0.05 / k,
        }
        for cell in cells
        for k in range(1, len(study.experts))
    ]


def _order(cells: list[dict]) -> list[dict]:
    sources = {"order": (0.0001, 0.01), "mask_seed": (0.001, 0.05), "subset": (0.02, 0.94)}
    return [
        cell
        | {
            "domain": MACRO,
            "k": k,
            "source": source,
            "n_subsets": 4,
            "n_repeats": 2,
            "sd": sd,
            "largest_range": None if source == "subset" else 2 * sd,
            "share": share,
        }
        for cell in cells
        for k in (2, 3)
        for source, (sd, share) in sources.items()
        if source != "mask_seed" or cell["method"].startswith("dare")
    ]


def _estimators(study: Study, cells: list[dict]) -> list[dict]:
    pairs = list(itertools.product(enumerate(study.experts), enumerate(study.domain_names)))
    return [
        cell
        | {
            "estimator": estimator,
            "donor": expert.name,
            "receiver": domain,
            "gain": 0.5 if expert.domain == domain else sign * 0.01 * (i - j),
            "stderr": 0.02 if estimator == "trajectory" else None,
        }
        for cell in cells
        for estimator, sign in zip(ESTIMATORS, (1, 1, -1), strict=True)
        for (i, expert), (j, domain) in pairs
    ]


def _strengths(study: Study, cells: list[dict]) -> list[dict]:
    names = {"donor": study.expert_names, "receiver": study.domain_names}
    return [
        cell
        | {"estimator": estimator, "role": role, "name": name, "strength": 0.25 - 0.125 * place}
        for cell in cells
        for estimator in ESTIMATORS
        for role, known in names.items()
        for place, name in enumerate(known)
    ]


def _blocks(cells: list[dict]) -> list[dict]:
    return [
        cell
        | {
            "estimator": estimator,
            "donor_block": donor,
            "receiver_block": receiver,
            "n_pairs": 4,
            "mean_gain": 0.375 if donor == receiver else -0.125,
            "mean_gain_cross": None if donor == receiver == "science" else -0.0625,
        }
        for cell in cells
        for estimator in ESTIMATORS
        for donor, receiver in itertools.product(BLOCKS, BLOCKS)
    ]


def _more(study: Study, cell: dict) -> int:
    """1 at the largest size, which figures draw, and 2 at the others."""
    return 1 if cell["size"] == study.size_names[-1] else 2


def _mixing(study: Study, cells: list[dict]) -> list[dict]:
    return [
        cell
        | {
            "domain": MACRO,
            "k": k,
            "n_blocks": n_blocks,
            "n_subsets": 3,
            "loss": 2.0 - 0.1 * n_blocks,
            "sd": 0.01,
            "against_k": (0.03 / n_blocks - 0.02) * _more(study, cell),
        }
        for cell in cells
        for k in range(2, len(study.experts))
        for n_blocks in (1, 2)
    ]


def _designs(study: Study, cells: list[dict]) -> list[dict]:
    errors = {"uniform": (0.004, 1.0), "max_min_hamming": (0.002, 2.0), "cyclic": (0.001, 20.0)}
    return [
        cell
        | {
            "k": k,
            "design": design,
            "n_subsets": 3,
            "n_draws": 200,
            "bias": 0.0,
            "relative_sd": error / k,
            "relative_rmse": _more(study, cell) * error / k * (k > 1 or design != "cyclic"),
            "variance_ratio": ratio if k > 1 else None,
        }
        for cell in cells
        for k in range(1, len(study.experts))
        for design, (error, ratio) in errors.items()
    ]


def _balanced(study: Study, cells: list[dict]) -> list[dict]:
    """All of k = 1 and of the pool, four of k = 2; others between, one k beyond its interval."""
    pool = len(study.experts)
    return [
        cell
        | {
            "domain": MACRO,
            "k": k,
            "n_subsets": math.comb(pool, k) if k in (1, pool) else 4 * (k == 2),
            "n_subsets_pool": math.comb(pool, k),
            "loss": 2.0,
            "loss_balanced": 2.0 * (1 + error),
            "low": 2.0 * (1 + error - half),
            "high": 2.0 * (1 + error + half),
            "inside": abs(error) <= half,
            "loss_law": 2.01,
        }
        for cell in cells
        for k in range(1, pool + 1)
        for error, half in [{2: (0.001, 0.002), 3: (-0.004, 0.002)}.get(k, (0.0, 0.0))]
    ]


SURFACE = {"level": 2.5, "slope": -1.0, "curvature": 0.75, "spread": 0.25}
FITTED_SCALES, CHECKED_SCALES = (0.8, 1.0, 1.3), (0.0, 1.8)


def surface(scale: float, k: int) -> float:
    """The loss that `SURFACE` gives."""
    bend = SURFACE["curvature"] + SURFACE["spread"] / k
    return SURFACE["level"] + scale * SURFACE["slope"] + scale**2 / 2 * bend


def _scale_curves(study: Study, cells: list[dict]) -> list[dict]:
    ks = sorted({1, 2, len(study.experts)})
    return [
        cell
        | {
            "domain": MACRO,
            "k": k,
            "scale": scale,
            "n_subsets": 3,
            "loss": surface(scale, k) * (1 if fitted else 1.25),
            "loss_fitted": surface(scale, k),
            "relative_error": 0.0 if fitted else -0.2,
            "fitted": fitted,
        }
        for cell in cells
        for k in ks
        for fitted, known in ((True, FITTED_SCALES), (False, CHECKED_SCALES))
        for scale in known
    ]


def _scale_fits(cells: list[dict]) -> list[dict]:
    return [
        cell
        | {
            "domain": MACRO,
            "parameter": name,
            "value": value,
            "stderr": 0.01,
            "offset": 1 / 3,
            "r2": 0.99,
            "n_points": 9,
            "identified": True,
            "note": None,
        }
        for cell in cells
        for name, value in SURFACE.items()
    ]


def _best_scales(study: Study, cells: list[dict]) -> list[dict]:
    return [
        cell
        | {
            "k": k,
            "scale": 1.5 - 0.5 / k,
            "loss_predicted": 1.9,
            "loss": 1.95,
            "relative_error": -0.025,
            "reference_scale": 1.0,
            "gain_predicted": 0.125 / k,
            "gain": 0.0625 / k - 0.025,
            "inside": k < 4,
        }
        for cell in cells
        for k in range(1, len(study.experts) + 1)
    ]
