"""A forecast from one merge in words, and as plain data."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from mergelaw.costs.words import columns, duration
from mergelaw.laws.forms import Array
from mergelaw.laws.ranking import Ranking
from mergelaw.laws.resampling import LEVEL
from mergelaw.theory.curve_prediction import Curve, scale_error
from mergelaw.theory.curve_rows import known
from mergelaw.theory.intervals import Band

if TYPE_CHECKING:
    from mergelaw.theory.merge_forecast import MergeForecast

SHARES = (0.85, 0.9)
"""Of the fall from one expert to all, for which k is told."""

FAR = 0.05
"""A base whose predicted loss is off by a larger share of the real one is called far."""

ROUTES = {
    "hvp": "Hessian-vector products",
    "gauss_newton": "the generalised Gauss-Newton matrix, a surrogate of the Hessian",
    "differences": "second differences of the loss along each task vector",
    "pairs": "second differences of the loss along task vectors and pairs of them",
}

KS = ("k", "loss", "on this text", "on other text", "sd over subsets")


def forecast_text(found: "MergeForecast", top: int | None = None) -> str:
    """Return what `mergelaw forecast --from-merge` prints."""
    return "\n".join(_lines(found, top)) + "\n"


def _lines(found: "MergeForecast", top: int | None) -> Iterator[str]:
    curve, folds = found.curve, found.found.folds
    yield (
        f"{found.method}: predicted from one merge, of all {curve.n_experts} experts at scale "
        f"{curve.scale:g}; {folds.n_tokens.sum():,.0f} scored tokens, "
        f"{folds.n_items.sum():,.0f} items"
    )
    yield from _how(found)
    yield f"nats per token; intervals of {LEVEL:.0%}: on this text for what is left out beyond the"
    yield "second order, on other text of the kind for the choice of items too"
    yield from _curves(curve, found.band, found.spread())
    yield from _laws(found, curve)
    if found.over_masks is not None:
        yield "the mean over masks, from random masks of the whole pool:"
        yield from _curves(*found.over_masks, None)
    if top is not None:
        yield from _ranked(found.ranking(), top)
    yield from (f"note: {note}" for note in (*remarks(found), *found.notes))


def _how(found: "MergeForecast") -> Iterator[str]:
    spent = found.spent
    beside = "" if found.second is None else "; third order by differences of losses"
    yield f"curvature by {ROUTES[found.route]}{beside}"
    yield (
        f"cost: {spent.forwards:,.0f} forward passes' worth ({spent.n_losses} losses, "
        f"{spent.n_gradients} gradients, {spent.n_products} products), {duration(spent.seconds)}"
    )


def _curves(curve: Curve, found: Band, spread: Array | None) -> Iterator[str]:
    low, high = found.ends(other_text=False)
    low_text, high_text = found.ends(other_text=True)
    for d, domain in enumerate(curve.domains):
        rows = [
            (
                str(k),
                f"{found.loss[d, p]:.4f}",
                _interval(low[d, p], high[d, p]),
                _interval(low_text[d, p], high_text[d, p]),
                "-" if spread is None or np.isnan(spread[d, p]) else f"{spread[d, p]:.4f}",
            )
            for p, k in enumerate(curve.ks.tolist())
        ]
        yield f"  {domain}"
        yield from (f"  {line}" for line in columns([KS, *rows], n_left=0))


def _interval(low: float, high: float) -> str:
    return "not known" if np.isnan(low) or np.isnan(high) else f"{low:.4f} to {high:.4f}"


def _laws(found: "MergeForecast", curve: Curve) -> Iterator[str]:
    """Yield floor, tail, the k of the returns and the best scale, a domain each."""
    facts = [_law(found, curve, d) for d in range(len(curve.domains))]
    names = ("domain", "floor", "tail", f"L({curve.n_experts})", "k85", "k90", "best scale")
    rows = [
        (
            fact["domain"],
            _value(fact["floor"], fact["floor_stderr"]),
            _value(fact["tail"], fact["tail_stderr"]),
            f"{fact['loss_pool']:.4f}",
            *("-" if fact[k] is None else str(fact[k]) for k in ("k85", "k90")),
            _value(fact["best_scale"], fact["best_scale_stderr"]),
        )
        for fact in facts
    ]
    yield from columns([names, *rows], n_left=1)
    yield (
        "loss = floor + tail / k; the floor is an extrapolation to endless experts: what the pool "
        f"reaches is L({curve.n_experts}). +-: standard error from the choice of items"
    )


def _value(value: float | None, error: float | None) -> str:
    if value is None:
        return "none"
    return f"{value:.4f}" + ("" if error is None else f" +- {error:.4f}")


def _law(found: "MergeForecast", curve: Curve, d: int) -> dict[str, Any]:
    one, n, draws = found.found, curve.n_experts, found.draws
    tail = one.scale**2 / 2 * one.spread.sum(axis=1) / (n - 1)
    wanted = {f"k{share * 100:.0f}": curve.k_for_return(share)[d] for share in SHARES}
    return {
        "domain": curve.domains[d],
        "floor": float(curve.floor[d]),
        "floor_stderr": known(draws.stderr(one.nll - tail / n)[d]),
        "tail": float(curve.tail[d]),
        "tail_stderr": known(draws.stderr(tail)[d]),
        "loss_pool": float(curve.loss[d]),
        **wanted,
        "best_scale": known(curve.best_scale()[d]),
        "best_scale_stderr": known(scale_error(one, draws)[d]),
        "base": float(found.base[d]),
        "base_predicted": float(curve.base[d]),
    }


def remarks(found: "MergeForecast") -> Iterator[str]:
    """Yield what the derivatives do not carry: far base, negative curvature, no interval."""
    curve = found.curve
    off = (curve.base[-1] - found.base[-1]) / found.base[-1]
    if abs(off) > FAR:
        yield (
            f"the base is far from the merge: the same expansion gives it a macro loss of "
            f"{curve.base[-1]:.4f}, and it has {found.base[-1]:.4f} ({off:+.0%}). Derivatives are "
            "taken at the merge and tell of what lies about it; taken at the base they would tell "
            "as little of the merges"
        )
    flat = _names(curve, curve.radial)
    if flat:
        yield f"negative curvature along the scale on {flat}: there is no best scale"
    rising = _names(curve, curve.trace)
    if rising:
        yield f"negative mean curvature along the task vectors on {rising}: the loss rises with k"
    negative = 0 if found.subsets is None else found.subsets.n_negative
    if negative:
        yield (
            f"{negative} of {curve.n_experts} directions of the weights have negative curvature of "
            "the macro loss: what is predicted along them holds near the merge alone"
        )
    if curve.third is None:
        yield "no interval on this text: third derivatives were not measured"
    if (found.draws.n_folds < 2).any():
        yield "a domain has one item: nothing is known of other text of its kind"
    if curve.trace[-1] > 0:
        yield "k85 and k90 are those of a curve straight in 1/k, whatever the data"


def _names(curve: Curve, values: Array) -> str:
    return ", ".join(d for d, v in zip(curve.domains, values, strict=True) if not v > 0)


def _ranked(ranking: Ranking | None, top: int) -> Iterator[str]:
    if ranking is None:
        return
    yield f"{len(ranking.rows):,} subsets by predicted macro loss, the first {top}:"
    names = (
        "subset",
        "k",
        "loss",
        "interval",
        "P(best)",
        f"P(within {ranking.within:g})",
        "regret",
    )
    rows = [
        (
            row.subset,
            str(row.k),
            f"{row.loss_predicted:.4f}",
            f"{row.low:.4f} to {row.high:.4f}",
            f"{row.p_best:.2f}",
            f"{row.p_within:.2f}",
            f"{row.regret:.4f}",
        )
        for row in ranking.rows[:top]
    ]
    yield from columns([names, *rows], n_left=1)
    yield from (f"  {note}" for note in ranking.notes)


def precision_problem(found: "MergeForecast", precision: float) -> str | None:
    """Return why the macro loss is not known as well as asked, and what would do; None if it is.

    The interval on other text of the loss of the whole pool's merge: there nothing is left out but
    other text. The number of tokens goes with the square of the width, as of independent items.
    """
    half = float(found.band.text_half[-1, -1])
    n_tokens = int(found.found.folds.n_tokens.sum())
    if np.isnan(half):
        return (
            f"--precision {precision:g}: a domain has one item, from which nothing is known of "
            "other text: prepare more (evaluation.tokens_per_domain)"
        )
    if half <= precision:
        return None
    needed = int(np.ceil(n_tokens * (half / precision) ** 2))
    return (
        f"--precision {precision:g}: the macro loss of the whole pool's merge is known to +- "
        f"{half:.4f} on other text, from {n_tokens:,} scored tokens; about {needed:,} would do: "
        f"prepare {needed / n_tokens:.1f} times as much text (evaluation.tokens_per_domain)"
    )


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
        "level": LEVEL,
        "cost": vars(found.spent),
        "laws": [_law(found, curve, d) for d in range(len(curve.domains))],
        "points": forecast_table(found).to_dicts(),
        "notes": [*remarks(found), *found.notes],
    }
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
