"""A forecast from one merge as plain data: for JSON, and a table of its points."""

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from mergelaw.laws.forms import Array
from mergelaw.laws.resampling import LEVEL
from mergelaw.theory.curve_prediction import Curve
from mergelaw.theory.intervals import Band
from mergelaw.theory.law_facts import law_facts
from mergelaw.theory.words import remarks

if TYPE_CHECKING:
    from mergelaw.theory.merge_forecast import MergeForecast


def forecast_facts(found: "MergeForecast", top: int | None = None) -> dict[str, Any]:
    """Return the forecast for JSON."""
    curve = found.curve
    facts = {
        "method": found.method,
        "route": found.route,
        "scale": curve.scale,
        "experts": list(found.found.experts),
        "n_tokens": int(found.found.folds.n_tokens.sum()),
        "n_items": int(found.found.folds.n_items.sum()),
        "level_other_text": LEVEL,
        "cost": vars(found.spent),
        "laws": [law_facts(found, d) for d in range(len(curve.domains))],
        "points": forecast_table(found).to_dicts(),
        "notes": [*remarks(found), *found.notes],
    }
    if found.mask_error is not None:
        n_probes, errors = found.mask_error
        by_domain = dict(zip(curve.domains, errors.tolist(), strict=True))
        facts |= {"masks": {"n_probes": n_probes, "stderr_at_one": by_domain}}
    ranking = None if top is None else found.ranking()
    return facts if ranking is None else facts | {"ranking": ranking.facts(top)}


def forecast_table(found: "MergeForecast") -> pl.DataFrame:
    """Return a row for each domain and k, and, where masks are random, for both kinds of curve."""
    these = _points("these", found.curve, found.band, found.spread(), found.leading_spread())
    if found.over_masks is None:
        return these
    return pl.concat([these, _points("mean", *found.over_masks)])


def _points(
    masks: str,
    curve: Curve,
    found: Band,
    spread: Array | None = None,
    leading: Array | None = None,
) -> pl.DataFrame:
    low, high = found.ends(other_text=False)
    low_text, high_text = found.ends(other_text=True)
    unknown = np.full(found.loss.shape, np.nan)
    parts = {
        "loss_predicted": found.loss,
        "stderr_text": found.text_error,
        "error_order": found.order_error,
        **{"low": low, "high": high, "low_text": low_text, "high_text": high_text},
        "sd_predicted": unknown if spread is None else spread,
        "sd_leading": unknown if leading is None else leading,
    }
    names = {
        "masks": [masks] * found.loss.size,
        "domain": np.repeat(curve.domains, len(curve.ks)).tolist(),
        "k": np.tile(curve.ks, len(curve.domains)),
        "scale": [curve.scale] * found.loss.size,
    }
    numbers = {name: values.ravel() for name, values in parts.items()}
    return pl.DataFrame(names | numbers).with_columns(pl.col(list(numbers)).fill_nan(None))
