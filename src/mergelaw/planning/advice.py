"""Advice on merging a pool: what was measured, where to stop, which experts, how sure."""

from dataclasses import asdict, dataclass
from typing import Any

from mergelaw.laws.ranking import RankedSubset, Ranking
from mergelaw.planning.choose_words import interval_words, text_words
from mergelaw.planning.fitted_law import FittedLaw
from mergelaw.planning.forecast_record import curve_of, forecast_facts
from mergelaw.planning.forecast_words import forecast_text

SHOWN = 5
"""Subsets that the words name."""

UNTOLD = (
    "merged: nothing; the measurements do not tell which subset to take: one taken at random is "
    "expected to do better than the first; give more text (--data, --tokens) or a larger --budget"
)


@dataclass(frozen=True)
class Merged:
    """The merged checkpoint.

    Attributes
    ----------
    folder, subset : str
    losses : dict of str to float
        Its losses by domain, scored from disk on the same text; nats per token.
    loss : float
        The target's.
    """

    folder: str
    subset: str
    losses: dict[str, float]
    loss: float


@dataclass(frozen=True)
class Advice:
    """What a pool's measured merges say.

    Attributes
    ----------
    ranking : Ranking
        Of all subsets, for the target.
    base, pool : float or None
        The target's loss of the base and of the whole pool's merge, nats per token.
    best_single : RankedSubset
        The best expert alone.
    law : FittedLaw or None
        Of the mean loss over subsets; None: there is none, `no_law` tells why.
    eps : float
        Nats per token: where one more expert, taken at random, is not worth it.
    merged : Merged or None
        None where the measurements do not tell which subset to merge.
    """

    ranking: Ranking
    base: float | None
    pool: float | None
    best_single: RankedSubset
    law: FittedLaw | None
    no_law: str
    eps: float
    merged: Merged | None

    def facts(self) -> dict[str, Any]:
        """Return everything as plain data, for JSON."""
        law = None if self.law is None else forecast_facts(self.law, eps=self.eps)
        return {
            "target": self.ranking.target,
            "best": asdict(self.ranking.best),
            "merged": None if self.merged is None else asdict(self.merged),
            "base_loss": self.base,
            "pool_loss": self.pool,
            "best_single": asdict(self.best_single),
            "curve": self._curve(),
            "forecast": law,
            "no_law": self.no_law or None,
            "stop": law and law.get("stop"),
            "ranking": self.ranking.facts(),
        }

    def _curve(self) -> dict[str, Any] | None:
        """Return the law as law files have it; None where there is none."""
        if self.law is None or self.law.case == "not_identified":
            return None
        return curve_of(self.law, "own").model_dump(mode="json")


def advice_text(advice: Advice) -> str:
    """Return the advice in words."""
    lines = [*_law_lines(advice), *_choice_lines(advice), *_merged_lines(advice)]
    return "\n".join(lines) + "\n"


def _law_lines(advice: Advice) -> list[str]:
    if advice.law is None:
        return [f"the law: {advice.no_law}"]
    label = f"the law of the mean over subsets, experts taken at random ({advice.ranking.target})"
    return forecast_text(advice.law, label, eps=advice.eps).splitlines()


def _choice_lines(advice: Advice) -> list[str]:
    ranking, best = advice.ranking, advice.ranking.best
    lines = [
        f"the best subset for {ranking.target}: {best.subset} (k = {best.k}), expected loss "
        f"{best.loss_predicted:.4f}, {interval_words(best)}, on {text_words(ranking)}",
        f"  the best of {len(ranking.rows):,} with P = {best.p_best:.2f}; {_told_apart(ranking)}",
        f"  expected {best.regret:.4f} above the best, whichever that is; one of these taken at "
        f"random, {ranking.random_regret:.4f}",
    ]
    if best.k == 1:
        lines.append("  no merge is expected to be better than this expert alone")
    lines += [
        f"  then {row.subset}: {row.loss_predicted:.4f}, {interval_words(row)}"
        for row in ranking.rows[1:SHOWN]
    ]
    lines.append("  beside it: " + "; ".join(_beside(advice)))
    return lines + [f"  note: {note}" for note in ranking.notes]


def _told_apart(ranking: Ranking) -> str:
    others = ranking.n_tied - 1
    if not others:
        return "no other is better with P >= 0.05"
    return f"{others:,} other{'s'[: others > 1]} may be better (P >= 0.05)"


def _beside(advice: Advice) -> list[str]:
    single = advice.best_single
    told = {
        "the base": advice.base,
        f"{single.subset} alone, the best expert": single.loss_predicted,
        "the whole pool": advice.pool,
    }
    return [f"{name} {loss:.4f}" for name, loss in told.items() if loss is not None]


def _merged_lines(advice: Advice) -> list[str]:
    merged = advice.merged
    if merged is None:
        return [UNTOLD]
    lines = [f"merged: {merged.folder}, {merged.subset}"]
    lines.append(f"  scored from disk on the same text: {merged.loss:.4f}")
    better = [
        row
        for row in advice.ranking.rows
        if row.measured is not None and row.measured < merged.loss and row.subset != merged.subset
    ]
    if better:
        least = min(better, key=lambda row: row.loss_predicted)
        lines.append(
            f"  that is above {least.subset}, which was measured with {least.measured:.4f}: the "
            "prediction was too good; merge that one instead"
        )
    return lines
