"""Rows of predicted curves, at the merge's scale and at others, beside the measured ones."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from mergelaw.laws.forms import Array
from mergelaw.laws.schemas.theory import PREDICTED_CURVES
from mergelaw.theory.cases import Case
from mergelaw.theory.curve_prediction import point_sums
from mergelaw.theory.derivatives import CurveDerivatives
from mergelaw.theory.fold_draws import FoldDraws, with_macro
from mergelaw.theory.intervals import Band, band
from mergelaw.theory.measured_rows import MaskSpread
from mergelaw.theory.study_facts import StudyFacts
from mergelaw.theory.subset_prediction import SubsetPredictor, named_members
from mergelaw.variants import scale_subsets

Row = dict[str, Any]


def curve_table(facts: StudyFacts) -> pl.DataFrame:
    """Return predicted curves of every route, schema `PREDICTED_CURVES`."""
    rows = [
        row
        for case in facts.cases
        for part in (_these(case, facts), _mean(case, facts), _scales(case, facts))
        for row in part
    ]
    return PREDICTED_CURVES.frame(rows)


def over_masks(
    found: CurveDerivatives, masks: MaskSpread, k: Array
) -> tuple[CurveDerivatives, Array]:
    """Return the derivatives of the mean over masks, and how far the masks tried may be off.

    With psi(v_i) = v_i + n_i, masks of different experts independent and of mean zero, the mean
    over subsets and masks has ``c^2/(2k) mean_i E n_i' H n_i`` beside the unmasked curve. With 1/k
    as 1/M and the rest, the first part is one of loss, slope and radial, the second of the trace.

    Parameters
    ----------
    found : CurveDerivatives
        At the merge without masks.
    masks : MaskSpread
        Of the same folds.
    k : array, shape (points,)

    Returns
    -------
    CurveDerivatives
        Whose curve is the mean over masks.
    array, shape (domains + 1, points)
        Half-width of its interval from the number of masks tried, `LEVEL` of Student's t.
    """
    n, half = len(found.experts), found.scale**2 / 2
    moved = replace(
        found,
        nll=found.nll + half / n * masks.sums,
        slope=found.slope + found.scale / n * masks.sums,
        radial=found.radial + masks.sums / n,
        # the trace is a sum over M experts divided by M - 1
        spread=found.spread + (masks.sums * (n - 1) / n)[:, None],
    )
    error: Array = half * masks.reach * masks.stderr(found.folds)[:, None] / k
    return moved, error


def _these(case: Case, facts: StudyFacts) -> Iterator[Row]:
    """Yield the curve with the masks of the study, if any, at the merge's scale."""
    one, second = case.one, case.second
    other = None if second is None else second.curve
    found = band(one.curve, case.draws, other, case.ks, case.text.curve)
    spread = np.full(found.loss.shape, np.nan)
    if case.subsets is not None:
        spread = np.stack([case.subsets.spread(k) for k in case.ks.tolist()], axis=1)
    return _rows(case, facts, found, spread, "these")


def _mean(case: Case, facts: StudyFacts) -> Iterator[Row]:
    """Yield the curve of the mean over masks: about the same scale without masks."""
    masks, plain = case.one.masks, facts.unmasked(case)
    if masks is None or plain is None:
        return
    moved, of_probes = over_masks(plain.one.curve, masks, case.ks)
    text = _text_over_masks(case, plain)
    draws = FoldDraws.of((text or moved).folds, case.seed)
    found = band(moved, draws, None, case.ks, text)
    error = np.hypot(found.order_error, of_probes)
    unknown = np.full(found.loss.shape, np.nan)
    yield from _rows(case, facts, replace(found, order_error=error), unknown, "mean")


def _text_over_masks(case: Case, plain: Case) -> CurveDerivatives | None:
    """Return the mean over masks by the route with most folds, where it has that of masks too."""
    masks = case.text.masks
    if masks is None or case.text.route != plain.text.route:
        return None
    return over_masks(plain.text.curve, masks, case.ks)[0]


def _rows(case: Case, facts: StudyFacts, found: Band, spread: Array, masks: str) -> Iterator[Row]:
    one_draw = masks == "mean" and (case.one.size, case.one.method) in facts.masked_once
    low, high = found.ends(other_text=False)
    low_text, high_text = found.ends(other_text=True)
    size, method = case.one.size, case.one.method
    for d, domain in enumerate(case.domains):
        for p, k in enumerate(case.ks.tolist()):
            loss, sd = facts.curves.get((size, method, domain, k), (None, None))
            loss, sd = (None, None) if one_draw else (loss, sd)
            predicted, fitted = float(found.loss[d, p]), facts.fitted.get((size, method, domain, k))
            yield {
                **case.place,
                **{"masks": masks, "domain": domain, "k": k, "scale": case.one.curve.scale},
                "loss_predicted": predicted,
                "stderr_text": known(found.text_error[d, p]),
                "error_order": known(found.order_error[d, p]),
                "low": known(low[d, p]),
                "high": known(high[d, p]),
                "low_text": known(low_text[d, p]),
                "high_text": known(high_text[d, p]),
                "sd_predicted": known(spread[d, p]),
                **{"loss": loss, "sd": sd, "loss_fitted": fitted},
                "relative_error": _relative(predicted, loss),
                "relative_error_fitted": _relative(fitted, loss),
            }


def _scales(case: Case, facts: StudyFacts) -> Iterator[Row]:
    """Yield the curve at the other scales that were measured, of the same subsets where told.

    What higher orders add there was not measured: no interval on this text is told.
    """
    label, own = facts.scale_label(case.one.method), case.one.curve.scale
    for (k, scale), measured in facts.scale_points.get((case.one.size, label), {}).items():
        if np.isclose(scale, own):
            continue
        sums = _sums_at(case.one.curve, case.subsets, facts, k, scale)
        predicted, error = (
            with_macro(case.one.curve.folds, sums),
            _text_error(case, facts, k, scale),
        )
        for d, domain in enumerate(case.domains):
            told = measured[domain]
            yield {
                **case.place,
                **{"masks": "these", "domain": domain, "k": k, "scale": scale},
                "loss_predicted": float(predicted[d]),
                "stderr_text": known(error[d]),
                **{"loss": told["loss"], "loss_fitted": told["loss_fitted"]},
                "relative_error": _relative(float(predicted[d]), told["loss"]),
                "relative_error_fitted": told["relative_error"],
            }


def _text_error(case: Case, facts: StudyFacts, k: int, scale: float) -> Array:
    """Return the standard error of the same from the choice of items, shape (domains + 1,)."""
    if case.subsets is None:
        sums = _sums_at(case.text.curve, None, facts, k, scale)
        return case.draws.stderr(sums)
    sums = _sums_at(case.subset_text.curve, case.text_subsets, facts, k, scale)
    return case.subset_draws.stderr(sums)


def _sums_at(
    found: CurveDerivatives,
    subsets: SubsetPredictor | None,
    facts: StudyFacts,
    k: int,
    scale: float,
) -> Array:
    """Return the mean predicted loss of the subsets merged at a scale, a sum of each fold.

    Of all subsets of k where the route does not tell single ones.
    """
    if subsets is None:
        return point_sums(found, np.array([k]), scale)[:, 0]
    names = [subset.name for subset in scale_subsets(facts.study)[k]]
    members = named_members(names, found.experts)
    mean: Array = subsets.fold_sums(members, scale).mean(axis=1)
    return mean


def known(value: float) -> float | None:
    """Return a number for a table: null where it is not known."""
    return float(value) if np.isfinite(value) else None


def _relative(predicted: float | None, loss: float | None) -> float | None:
    return None if predicted is None or loss is None else (predicted - loss) / loss
