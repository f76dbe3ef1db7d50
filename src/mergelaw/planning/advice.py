"""Advice on merging a pool: what was measured, where to stop, which experts, how sure."""

from dataclasses import asdict, dataclass
from typing import Any

from mergelaw.planning.law_file import Curve, LawFile
from mergelaw.planning.ranking import RankedSubset, Ranking
from mergelaw.planning.stopping import Stop, stop_at

SHOWN = 5
"""Subsets that the words name."""


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
    curve : Curve or None
        The law of the mean loss over subsets; None: there is none, `no_law` tells why.
    stop : Stop or None
        Where one more expert, taken at random, is not worth it.
    merged : Merged
    """

    ranking: Ranking
    base: float | None
    pool: float | None
    best_single: RankedSubset
    curve: Curve | None
    no_law: str
    stop: Stop | None
    merged: Merged

    def facts(self) -> dict[str, Any]:
        """Return everything as plain data, for JSON."""
        return {
            "target": self.ranking.target,
            "best": asdict(self.ranking.best),
            "merged": asdict(self.merged),
            "base_loss": self.base,
            "pool_loss": self.pool,
            "best_single": asdict(self.best_single),
            "curve": None if self.curve is None else self.curve.model_dump(mode="json"),
            "no_law": self.no_law or None,
            "stop": None if self.stop is None else asdict(self.stop),
            "ranking": self.ranking.facts(),
        }


def curve_of_target(file: LawFile | None, method: str, target: str) -> tuple[Curve | None, str]:
    """Return the law of a method and a target, or why there is none."""
    if file is None:
        return None, "merges of fewer than three k are measured: no law can be fitted to two"
    for law in file.laws:
        if (law.method, law.domain) == (method, target):
            return law.curves[0], ""
    return None, f"there is no law of the target {target}: laws are of single domains and macro"


def stop_of(curve: Curve, eps: float) -> Stop:
    """Return where one more expert is not worth it, by the curve's law."""
    gains = [a - b for a, b in zip(curve.loss[:-1], curve.loss[1:], strict=True)]
    return stop_at(gains, curve.gain_stderr, eps)


def advice_text(advice: Advice) -> str:
    """Return the advice in words."""
    lines = [*_law_lines(advice), *_choice_lines(advice), *_merged_lines(advice)]
    return "\n".join(lines) + "\n"


def _law_lines(advice: Advice) -> list[str]:
    curve, stop = advice.curve, advice.stop
    if curve is None:
        return [f"the law: {advice.no_law}"]
    ends = f"{curve.loss[0]:.4f} at k = 1, {curve.loss[-1]:.4f} at k = {len(curve.loss)}"
    lines = [f"the law of the mean over subsets ({advice.ranking.target}): {ends}"]
    if curve.identified:
        lines.append(
            f"  floor {curve.floor:.4f} (an extrapolation), tail {curve.tail:.4f}, offset "
            f"{curve.offset:.2f}"
        )
    else:
        lines.append("  the law's parameters are not identified by these merges")
    lines += [f"  note: {note}" for note in curve.notes]
    if stop is not None:
        where = f"stop at k = {stop.k}" if stop.in_pool else "no k below the pool is enough"
        lines.append(f"  experts taken at random: {where} ({stop.reason})")
    return lines


def _choice_lines(advice: Advice) -> list[str]:
    ranking, best = advice.ranking, advice.ranking.best
    lines = [
        f"the best subset for {ranking.target}: {best.subset} (k = {best.k}), expected loss "
        f"{best.loss_predicted:.4f}, {best.low:.4f} to {best.high:.4f}",
        f"  the best of {len(ranking.rows):,} with P = {best.p_best:.2f}; {_told_apart(ranking)}",
        f"  expected {best.regret:.4f} above the best, whichever that is; one of these taken at "
        f"random, {ranking.random_regret:.4f}",
    ]
    if best.k == 1:
        lines.append("  no merge is expected to be better than this expert alone")
    lines += [
        f"  then {row.subset}: {row.loss_predicted:.4f}, {row.low:.4f} to {row.high:.4f}"
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
