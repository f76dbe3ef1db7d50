"""A forecast from one merge in words."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from mergelaw.costs.theory import GRADIENT, PRODUCT
from mergelaw.costs.words import columns, duration
from mergelaw.laws.forms import Array
from mergelaw.laws.ranking import Ranking
from mergelaw.laws.resampling import LEVEL
from mergelaw.laws.schemas.theory import FAR
from mergelaw.theory.curve_prediction import Curve
from mergelaw.theory.intervals import Band
from mergelaw.theory.law_facts import SHARES, law_facts

if TYPE_CHECKING:
    from mergelaw.theory.merge_forecast import MergeForecast

ROUTES = {
    "hvp": "Hessian-vector products",
    "gauss_newton": "the generalised Gauss-Newton matrix, a surrogate of the Hessian",
    "differences": "second differences of the loss along each task vector",
    "pairs": "second differences of the loss along task vectors and pairs of them",
}

FEW = 5
"""Folds of a domain below which an interval on other text is called coarse."""

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
    yield "nats per token. On this text: to either side the size of what the second order leaves"
    yield "out, which promises no rate. On other text of the kind: an interval of"
    yield f"{LEVEL:.0%} for the choice of items, with that size"
    yield from _curve(curve, found.band, found.spread())
    yield from _laws(found, curve)
    if found.over_masks is not None and found.mask_error is not None:
        yield _probes(*found.mask_error)
        yield from _curve(*found.over_masks, None)
    yield "the curve of each domain: --json, or --out FILE"
    if top is not None:
        yield from _ranked(found.ranking(), top)
    yield from (f"note: {note}" for note in (*remarks(found), *found.notes))


def _how(found: "MergeForecast") -> Iterator[str]:
    spent = found.spent
    beside = "" if found.second is None else "; third order by differences of losses"
    yield f"curvature by {ROUTES[found.route]}{beside}"
    passes = {"loss": spent.n_losses, "gradient": spent.n_gradients, "product": spent.n_products}
    counts = ", ".join(_count(number, word) for word, number in passes.items())
    yield (
        f"cost: {spent.forwards:,.0f} forward passes ({counts}; by "
        f"convention a gradient is {GRADIENT:g}, a Hessian-vector product {PRODUCT:g}), "
        f"{duration(spent.seconds)}"
    )


def _count(number: int, word: str) -> str:
    """Return a number of passes in words; each is over the whole text."""
    plural = {"loss": "losses"}.get(word, f"{word}s")
    return f"{number:,} {word if number == 1 else plural}"


def _curve(curve: Curve, found: Band, spread: Array | None) -> Iterator[str]:
    """Yield the curve of macro; those of the domains are in the table."""
    low, high = (end[-1] for end in found.ends(other_text=False))
    low_text, high_text = (end[-1] for end in found.ends(other_text=True))
    rows = [
        (
            str(k),
            f"{found.loss[-1, p]:.4f}",
            _interval(low[p], high[p]),
            _interval(low_text[p], high_text[p]),
            "-" if spread is None or np.isnan(spread[-1, p]) else f"{spread[-1, p]:.4f}",
        )
        for p, k in enumerate(curve.ks.tolist())
    ]
    yield f"  {curve.domains[-1]}"
    yield from (f"  {line}" for line in columns([KS, *rows], n_left=0))


def _probes(n_probes: int, errors: Array) -> str:
    """Return what the mean over masks is from, and how sure."""
    return (
        f"the mean over masks, from {n_probes} random masks of the whole pool: the macro loss is "
        f"+- {errors[-1]:.4f} at k = 1 (standard error over them, falls as 1/k; in both intervals)"
    )


def _interval(low: float, high: float) -> str:
    return "not known" if np.isnan(low) or np.isnan(high) else f"{low:.4f} to {high:.4f}"


def _laws(found: "MergeForecast", curve: Curve) -> Iterator[str]:
    """Yield floor, tail and the best scale, macro first, then a domain each."""
    facts = [law_facts(found, d) for d in (-1, *range(len(curve.domains) - 1))]
    names = ("domain", "floor", "tail", f"L({curve.n_experts})", "best scale")
    rows = [
        (
            fact["domain"],
            _value(fact["floor"], fact["floor_stderr"]),
            _value(fact["tail"], fact["tail_stderr"]),
            f"{fact['loss_pool']:.4f}",
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


def remarks(found: "MergeForecast") -> Iterator[str]:
    """Yield what the derivatives do not carry: far base, negative curvature, no interval."""
    curve = found.curve
    off = (curve.base[-1] - found.base[-1]) / found.base[-1]
    if abs(off) > FAR:
        yield (
            f"the base is far from the merge: the same expansion gives it a macro loss of "
            f"{curve.base[-1]:.4f}, and it has {found.base[-1]:.4f} ({off:+.0%}). Derivatives are "
            "taken at the merge and tell of what lies about it"
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
            "the macro loss: along them the quadratic has no minimum"
        )
    if found.route == "gauss_newton":
        yield "the Gauss-Newton matrix is never negative: it does not tell where curvature is"
    if curve.third is None:
        yield "no interval on this text: third derivatives were not measured"
    fewest = int(found.draws.n_folds.min())
    if fewest < 2:
        yield "a domain has one item: nothing is known of other text of its kind"
    elif fewest < FEW:
        yield (
            f"intervals on other text rest on {fewest} items or groups of items of a domain: "
            "coarse; more text (evaluation.tokens_per_domain) makes them sharper"
        )
    if curve.trace[-1] > 0:
        k85, k90 = (curve.k_for_return(share)[-1] for share in SHARES)
        yield (
            f"k85 = {k85} and k90 = {k90} of {curve.n_experts} experts, those of any curve "
            "straight in 1/k, whatever the data"
        )


def _names(curve: Curve, values: Array) -> str:
    return ", ".join(d for d, v in zip(curve.domains, values, strict=True) if not v > 0)


def _ranked(ranking: Ranking | None, top: int) -> Iterator[str]:
    if ranking is None:
        return
    shown = min(top, len(ranking.rows))
    yield f"{len(ranking.rows):,} subsets by predicted macro loss, the first {shown}:"
    yield (
        f"  interval: {LEVEL:.0%} on {ranking.text} text; P(best): chance to be the best of all; "
        f"regret: expected loss above the best"
    )
    names = (
        "subset",
        "k",
        "loss",
        f"on {ranking.text} text",
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
