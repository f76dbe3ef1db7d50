"""Which experts to merge, from the losses of some subsets: every subset predicted and ranked."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from mergelaw.errors import TableError, listing
from mergelaw.laws.forms import Array
from mergelaw.laws.ranking import Predicted, Ranking, rank
from mergelaw.laws.subset_model import (
    SubsetModel,
    fit_subsets,
    unseen_pairs,
)
from mergelaw.laws.uncertainty import generator, resampled
from mergelaw.planning.candidates import MOST, all_subsets, n_subsets, searched
from mergelaw.planning.loss_table import SubsetLosses

WITHIN = 0.01
"""Nats per token: losses nearer than that are as good as equal, unless another is named."""

N_DRAWS = (200, 4000)
"""Fewest and most draws of the losses."""

ENOUGH_DRAWS = 1000
"""With fewer, a note tells how many there are."""

BLOCK = 4096
"""Subsets whose features are in memory together: of 64 experts they have 2,144 each."""

FEW_ITEMS = 10
"""Items that their resampling tells errors well from; with fewer, a note says that it does not."""

MOST_STRETCH = 10.0
"""Largest factor of a draw's deviations by Student's t: with few degrees of freedom their mean
would not exist."""


def choose(
    table: SubsetLosses,
    weights: Array,
    k: int | None = None,
    max_k: int | None = None,
    within: float = WITHIN,
    seed: int = 0,
) -> Ranking:
    """Predict the loss of every subset from the measured ones, and rank them.

    The loss is quadratic in the shares of the experts (`mergelaw.laws.subset_model`) up to a
    misfit. A measured subset keeps its measured loss; where the table tells its error, it lies
    between that and the surface, by the variances of error and misfit. Where the table has losses
    on two items or more of a domain, what is predicted is the loss on other text of their kind: the
    items are resampled, the same draw for all merges (`mergelaw.laws.uncertainty`), and deviations
    are those of Student's t with as many degrees of freedom as items less one.

    Parameters
    ----------
    table : SubsetLosses
    weights : array, shape (domains,)
        Of each domain in the loss that is to be small; `weights_of` makes them.
    k, max_k : int, optional
        Subsets of k experts only; of at most so many.
    within : float
        Nats per token; see `Ranking`.
    seed : int
        Of the draws.

    Raises
    ------
    TableError
        If k is out of range, or the merges of one k alone tell nothing of the k that is asked.
    FitError
        If fewer than three merges are measured.
    """
    ks = _ks(table, k, max_k)
    losses = table.losses @ weights
    model = fit_subsets(table.members, losses)
    candidates = _candidates(table, ks, model)
    predicted = _predicted(table, weights, model, candidates, seed)
    n_items = {d: table.n_items(d) for d in _targeted(table, weights)}
    text = "other" if max(n_items.values()) > 1 else "this"
    notes = (
        *_notes(table, model),
        *_item_notes(n_items),
        *_search_note(ks, table, candidates),
        *_draw_note(len(predicted.draws)),
    )
    words = _words(table, weights)
    return rank(predicted, words, text, within, len(losses), notes, n_items)


def wanted_ks(n_experts: int, k: int | None, max_k: int | None) -> list[int]:
    """Return the k that are asked for.

    Raises
    ------
    TableError
        If one is out of range, or both are given.
    """
    problems = []
    for name, value in {"--k": k, "--max-k": max_k}.items():
        if value is not None and not 1 <= value <= n_experts:
            problems.append(f"{name} {value}: must be from 1 to {n_experts}, the pool's experts")
    if k is not None and max_k is not None:
        problems.append("--k and --max-k: give one of them")
    if problems:
        raise TableError(listing("the subsets that are asked for", problems))
    return [k] if k else list(range(1, (max_k or n_experts) + 1))


def _ks(table: SubsetLosses, k: int | None, max_k: int | None) -> list[int]:
    """Return the k of the candidates: of one measured k, that alone."""
    wanted = wanted_ks(len(table.experts), k, max_k)
    measured = sorted(set(table.members.sum(axis=1).tolist()))
    if len(measured) > 1:
        return wanted
    if measured[0] not in wanted:
        raise TableError(
            f"every measured merge has k = {measured[0]}: how the loss changes with k is not "
            f"identified, so that nothing can be said of other k; use --k {measured[0]}, or "
            "measure merges of two more k"
        )
    return measured


def _candidates(table: SubsetLosses, ks: Sequence[int], model: SubsetModel) -> Array:
    """Return the subsets to be ranked, shape (subsets, experts); the measured ones are in."""
    n_experts = len(table.experts)
    if n_subsets(n_experts, ks) <= MOST:
        return all_subsets(n_experts, ks)
    found = searched(n_experts, ks, model.expected)
    measured = table.members[np.isin(table.members.sum(axis=1), ks)]
    return np.unique(np.vstack([found, measured]), axis=0)


class _Parts(NamedTuple):
    """What the loss of a candidate is: ``(1 - share) surface + share measured``, and a spread.

    Attributes
    ----------
    seen : bool array, shape (subsets,)
        Whether it is measured.
    row : int array, shape (subsets,)
        Its row in the table; 0 where it is not measured.
    share : array, shape (subsets,)
        0 where it is not measured; 1 where it is, without an error.
    spread : array, shape (subsets,)
        Standard deviation about that: the misfit's, or what is left of it.
    """

    seen: Array
    row: Array
    share: Array
    spread: Array

    def joined(self, surface: Array, measured: Array) -> Array:
        """Return losses of candidates from those of the surface and those of the table's rows."""
        joined: Array = (1 - self.share) * surface + self.share * measured[..., self.row]
        return joined

    def block(self, at: slice) -> "_Parts":
        """Return those of some candidates."""
        return _Parts(*(values[at] for values in self))


def _parts(table: SubsetLosses, weights: Array, model: SubsetModel, candidates: Array) -> _Parts:
    """Weigh measurement and surface by the variances of error and misfit.

    With the variances e of the error and m of the misfit, a measured merge departs from the
    surface by m / (m + e) of what was measured, with the variance m e / (m + e) left.
    """
    rows = {row.tobytes(): i for i, row in enumerate(table.members)}
    found = np.array([rows.get(row.tobytes(), -1) for row in candidates])
    seen, row = found >= 0, np.maximum(found, 0)
    all_misfit = model.misfit(candidates) ** 2
    error = np.zeros(len(rows)) if table.stderr is None else table.stderr**2 @ weights**2
    misfit = np.maximum(all_misfit - error[row], 0.0)  # the fit's misfit has the errors in it
    total = np.where(error[row] + misfit > 0, error[row] + misfit, 1.0)
    share = np.where(error[row] > 0, misfit / total, 1.0)
    left = misfit * error[row] / total
    return _Parts(seen, row, np.where(seen, share, 0.0), np.sqrt(np.where(seen, left, all_misfit)))


class _Text(NamedTuple):
    """By how much the measured losses would differ on other items.

    Attributes
    ----------
    moved : array, shape (draws, merges)
        Items resampled; its spread is the standard error.
    stretched : array, shape (draws, merges)
        The same by Student's t, since few items tell their spread roughly.
    freedom : float
        Degrees of freedom of that error.
    """

    moved: Array
    stretched: Array
    freedom: float


def _predicted(
    table: SubsetLosses, weights: Array, model: SubsetModel, candidates: Array, seed: int
) -> Predicted:
    """Return the expected losses of candidates, their errors, and draws of them."""
    parts, measured = _parts(table, weights, model, candidates), table.losses @ weights
    count = int(np.clip(2**24 // len(candidates), *N_DRAWS))
    draw = generator(seed, "choose")
    tail = _stretch(draw, model.freedom, count)
    text = _text(table, weights, count, seed)
    loss, own, of_text = (np.empty(len(candidates)) for _ in range(3))
    drawn = np.empty((count, len(candidates)))
    for start in range(0, len(candidates), BLOCK):
        at = slice(start, start + BLOCK)
        some, part = candidates[at], parts.block(at)
        surface = generator(seed, "choose", "surface")  # the same surfaces for every block
        on_text = measured + text.stretched
        drawn[:, at] = part.joined(model.draws(some, on_text, surface, tail), on_text)
        drawn[:, at] += tail[:, None] * part.spread * draw.standard_normal((count, len(some)))
        loss[at] = part.joined(model.surface(some, measured[None])[0], measured)
        own[at] = np.hypot((1 - part.share) * model.surface_error(some), part.spread)
        of_text[at] = part.joined(model.surface(some, text.moved), text.moved).std(axis=0)
    return Predicted(
        table.names(candidates),
        candidates.sum(axis=1),
        loss,
        np.hypot(own, of_text),
        np.where(parts.seen, measured[parts.row], np.nan),
        drawn,
        _joint_freedom(own, of_text, model.freedom, text.freedom),
    )


def _joint_freedom(own: Array, of_text: Array, own_freedom: float, text_freedom: float) -> Array:
    """Return the degrees of freedom of a sum of two errors (Satterthwaite 1946)."""
    squared = own**4 / own_freedom + of_text**4 / text_freedom
    total = (own**2 + of_text**2) ** 2
    joint: Array = np.where(squared > 0, total / np.where(squared > 0, squared, 1.0), own_freedom)
    return joint


def _stretch(draw: np.random.Generator, freedom: float, count: int) -> Array:
    """Return factors that make normal deviations those of Student's t, jointly for a draw."""
    return np.minimum(np.sqrt(freedom / draw.chisquare(freedom, count)), MOST_STRETCH)


def _text(table: SubsetLosses, weights: Array, count: int, seed: int) -> _Text:
    """Resample the items of every domain that has two or more."""
    moved, stretched = np.zeros((2, count, len(table.members)))
    freedom = 0
    for domain, weight in zip(table.domains, weights, strict=True):
        n_items = table.n_items(domain)
        if weight > 0 and n_items > 1:
            items = table.items[domain]
            draw = generator(seed, "items", domain)
            drawn = resampled(items.nll_sum, items.n_tokens, draw, count)
            drawn -= items.nll_sum.sum(axis=1) / items.n_tokens.sum(axis=1)
            moved += weight * drawn
            stretched += weight * drawn * _stretch(draw, n_items - 1, count)[:, None]
            freedom += n_items - 1
    return _Text(moved, stretched, freedom or np.inf)


def _targeted(table: SubsetLosses, weights: Array) -> list[str]:
    """Return the domains that are in the target."""
    return [name for name, w in zip(table.domains, weights, strict=True) if w > 0]


def _words(table: SubsetLosses, weights: Array) -> str:
    """Return what the target is called."""
    named = {name: w for name, w in zip(table.domains, weights, strict=True) if w > 0}
    if len(named) == 1:
        return next(iter(named))
    if len(named) == len(table.domains) and np.ptp(weights) == 0:
        return "macro"
    return ", ".join(f"{name}={weight:g}" for name, weight in named.items())


def _notes(table: SubsetLosses, model: SubsetModel) -> Iterator[str]:
    """Yield what the measured merges do not carry."""
    ks = np.unique(table.members.sum(axis=1))
    unseen = unseen_pairs(table.members)
    if not model.has_pairs:
        yield (
            f"{len(table.members)} merges of {len(table.experts)} experts do not carry terms of "
            "pairs: experts are taken to add up, each with a part of its own"
        )
    elif unseen:
        yield f"{unseen} pairs of experts were never merged together but in the whole pool"
    if len(ks) == 1:
        yield f"merges of k = {ks[0]} alone are measured: other k are not ranked"


def _search_note(ks: Sequence[int], table: SubsetLosses, candidates: Array) -> Iterator[str]:
    """Yield that not every subset was looked at, where that is so."""
    there_are = n_subsets(len(table.experts), ks)
    if len(candidates) < there_are:
        yield (
            f"{len(candidates):,} of {there_are:,} subsets were looked at, by a greedy search with "
            "exchanges: a better one may have been passed by"
        )


def _item_notes(n_items: Mapping[str, int]) -> Iterator[str]:
    """Yield what the items of the target's domains do not carry."""
    untold = [name for name, n in n_items.items() if n == 0]
    single = [name for name, n in n_items.items() if n == 1]
    few = [f"{n} of {name}" for name, n in n_items.items() if 1 < n < FEW_ITEMS]
    if untold:
        of = "" if len(untold) == len(n_items) else f" of {', '.join(untold)}"
        yield (
            f"the table has no losses on items{of}: how other text would differ is not in the "
            "errors"
        )
    if single:
        yield f"one item of {', '.join(single)}: nothing is known of other text of that kind"
    if few:
        yield (
            f"items of the text: {', '.join(few)}; from fewer than {FEW_ITEMS} the errors are "
            "themselves roughly known: score more text"
        )


def _draw_note(count: int) -> Iterator[str]:
    if count < ENOUGH_DRAWS:
        yield f"P and regret are from {count} draws: probabilities go in steps of {1 / count:.2g}"
