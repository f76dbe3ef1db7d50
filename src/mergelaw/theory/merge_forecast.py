"""A forecast from one merge: what its derivatives tell of all others."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from math import comb

import numpy as np

from mergelaw.laws.forms import Array
from mergelaw.laws.ranking import Ranking, rank
from mergelaw.laws.schemas import MACRO
from mergelaw.theory.curve_prediction import Curve
from mergelaw.theory.curve_rows import over_masks
from mergelaw.theory.derivatives import CurveDerivatives, Derivatives
from mergelaw.theory.fold_draws import FoldDraws
from mergelaw.theory.intervals import Band, band
from mergelaw.theory.measured_rows import MaskSpread
from mergelaw.theory.subset_prediction import MOST_SUBSETS, SubsetPredictor, members_of
from mergelaw.theory.surface import Spent

WITHIN = 0.01
"""Nats per token that are as good as nothing, in a ranking."""

MOST_RANKED = 2_000
"""Subsets in a ranking."""

FARTHEST = "single experts lie farthest from the merge: their order is not to be trusted"

THIS_TEXT = (
    "a domain's text is one fold by this route, too short to tell how the order would change on "
    "other text: chances and intervals are of this text; take the route gauss_newton, which deals "
    "more folds, or more text"
)

Masked = tuple[CurveDerivatives, MaskSpread]
"""Derivatives at the merge without masks, and what masks add to them, of the same folds."""


@dataclass(frozen=True)
class MergeForecast:
    """What one merge tells of all others.

    Attributes
    ----------
    method : str
        Label of the method.
    route : str
    found : CurveDerivatives
    whole : Derivatives or None
        None where the route does not tell single subsets.
    second : CurveDerivatives or None
        By differences, where the route is another.
    base : array, shape (domains + 1,)
        Real loss of the base, nats per token.
    masks : tuple of pairs of CurveDerivatives and MaskSpread, or None
        Derivatives without masks and what masks add, by the route and, where that is another, by
        differences; None where the method draws no masks.
    spent : Spent
        All that was asked of the model.
    notes : tuple of str
        What was measured otherwise than asked.
    seed : int
        Names the draws, with what is drawn.
    """

    method: str
    route: str
    found: CurveDerivatives
    whole: Derivatives | None
    second: CurveDerivatives | None
    base: Array
    masks: tuple[Masked, ...] | None
    spent: Spent
    notes: tuple[str, ...] = field(default=())
    seed: int = 0

    @cached_property
    def curve(self) -> Curve:
        """The predicted curve under the masks of the merge, if any."""
        return Curve.of(self.found)

    @property
    def text(self) -> CurveDerivatives:
        """Derivatives whose folds tell the error from the choice of text: those with most folds."""
        return _with_most_folds(self.found, self.second)

    @cached_property
    def draws(self) -> FoldDraws:
        """Folds of `text` resampled."""
        return FoldDraws.of(self.text.folds, self.seed)

    @cached_property
    def band(self) -> Band:
        """The curve with its errors."""
        return band(self.found, self.draws, self.second, text=self.text)

    @cached_property
    def over_masks(self) -> tuple[Curve, Band] | None:
        """The curve of the mean over masks with its errors; None without masks."""
        if self.masks is None:
            return None
        ks = self.curve.ks
        both = [over_masks(*masks, ks) for masks in self.masks]
        (moved, of_probes), text = both[0], both[-1][0]
        second = text if len(both) > 1 else None
        found = band(moved, FoldDraws.of(text.folds, self.seed), second, text=text)
        error = np.hypot(found.order_error, of_probes)
        return Curve.of(moved), replace(found, order_error=error)

    @cached_property
    def mask_error(self) -> tuple[int, Array] | None:
        """Masks tried, and the standard error over them of the mean over masks at k = 1.

        It falls as 1/k; shape (domains + 1,).
        """
        if self.masks is None:
            return None
        found, spread = self.masks[0]
        return len(spread.probes), found.scale**2 / 2 * spread.stderr(found.folds)

    @cached_property
    def subsets(self) -> SubsetPredictor | None:
        """What tells every subset."""
        return None if self.whole is None else SubsetPredictor(self.whole, self.found.third)

    def spread(self) -> Array | None:
        """Return the standard deviation over subsets by k, shape (domains + 1, M)."""
        if self.subsets is None:
            return None
        return np.stack([self.subsets.spread(k) for k in self.curve.ks.tolist()], axis=1)

    def leading_spread(self) -> Array | None:
        """Return the leading term of `spread`, from the gradient alone; NaN at the whole pool."""
        if self.subsets is None:
            return None
        n = len(self.found.experts)
        counts = np.array([comb(n, k) for k in range(1, n)])
        variance = np.stack([self.subsets.leading_variance(k) for k in range(1, n)], axis=1)
        spread = np.sqrt(variance * counts / (counts - 1))
        return np.hstack([spread, np.full((len(spread), 1), np.nan)])

    def ranking(self) -> Ranking | None:
        """Return subsets by their predicted macro loss; None where the route tells none.

        All of them; of very many, `MOST_RANKED` with the least predicted losses.
        """
        if self.subsets is None:
            return None
        predict, n, folds = self.subsets, len(self.found.experts), self.found.folds
        members = np.vstack([members_of(n, k, self.seed) for k in range(1, n + 1)])
        n_seen = len(members)
        if len(members) > MOST_RANKED:
            members = members[np.argsort(predict.losses(members)[-1])[:MOST_RANKED]]
        names = ["+".join(np.array(self.found.experts)[row]) for row in members]
        draws = FoldDraws.of(folds, self.seed)
        predicted = predict.predicted(members, names, draws, seed=self.seed)[-1]
        n_items = folds.membership @ folds.n_items
        counts = {name: int(n) for name, n in zip(folds.names, n_items, strict=True)}
        text = "other" if (draws.n_folds > 1).all() else "this"
        notes = self._notes(len(members), n_seen, text)
        return rank(predicted, MACRO, text, WITHIN, 1, notes, counts)

    def _notes(self, n_ranked: int, n_seen: int, text: str) -> tuple[str, ...]:
        """Return what a reader of the ranking has to know."""
        notes = ["predicted from one merge: none of these subsets was scored", FARTHEST]
        if text == "this":
            notes.append(THIS_TEXT)
        n_all = 2 ** len(self.found.experts) - 1
        if n_seen < n_all:
            notes.append(
                f"of {n_all:,} subsets {n_seen:,} were looked at: of a k with more than "
                f"{MOST_SUBSETS:,}, a random sample, which need not hold the best"
            )
        if n_ranked < n_seen:
            notes.append(
                f"{n_ranked:,} of {n_seen:,} subsets are ranked: those of the least predicted loss"
            )
        return tuple(notes)


def _with_most_folds(found: CurveDerivatives, second: CurveDerivatives | None) -> CurveDerivatives:
    if second is None or len(second.folds.domains) <= len(found.folds.domains):
        return found
    return second
