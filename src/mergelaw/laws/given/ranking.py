"""Rivals of a table's law, ranked by AICc."""

from typing import NamedTuple

from mergelaw.errors import FitError
from mergelaw.laws.criteria import aicc, akaike_weights
from mergelaw.laws.given.series import Series
from mergelaw.laws.law import FLOOR_TAIL, JOINT
from mergelaw.laws.more_laws import LOGARITHM, RIVALS_OVER_K, RIVALS_OVER_SIZE

RIVALS = {FLOOR_TAIL.name: RIVALS_OVER_K, JOINT.name: RIVALS_OVER_SIZE}
"""What each law is compared with, itself among them."""

TIED = 2.0
"""Laws within this much AICc of each other are not told apart (Burnham & Anderson 2002)."""


class Rival(NamedTuple):
    """A law fitted to the same points; AICc is None where it is not defined."""

    law: str
    n_parameters: int
    aicc: float | None
    delta_aicc: float | None  # to the least


def ranked(series: Series) -> list[Rival]:
    """Return the law and its rivals, the least AICc first, those without one last.

    See `mergelaw.laws.criteria.aicc`. Weights from measured errors differ from law to law, which
    would spoil the comparison: all points weigh the same then.
    """
    weights = "uniform" if series.weights == "measured" else series.weights
    found = []
    for law in RIVALS[series.law.name]:
        try:
            rss = series._replace(law=law, weights=weights).fit().basins[0].rss
            value = aicc(rss, len(series.points), law.n_free, float(series.loss.mean()))
        except FitError:
            value = None
        found.append(Rival(law.name, law.n_free, value, None))
    deltas, _ = akaike_weights([rival.aicc for rival in found])
    told = [rival._replace(delta_aicc=d) for rival, d in zip(found, deltas, strict=True)]
    return sorted(told, key=lambda rival: (rival.aicc is None, rival.aicc or 0.0))


def verdict(rivals: list[Rival], law: str) -> list[str]:
    """Return what the ranking says of a law, in words; nothing where it stands alone."""
    known = {r.law: r.delta_aicc for r in rivals if r.delta_aicc is not None}
    if len(known) < 2 or law not in known:
        return []
    least = next(iter(known))
    tied = [name for name, delta in known.items() if name != law and delta <= known[law] + TIED]
    words = []
    if known[law] > TIED:
        words.append(f"AICc prefers {least} to {law}")
    elif tied:
        words.append(f"AICc does not tell {law} from {', '.join(tied)}")
    if LOGARITHM.name in tied:
        words.append(f"{LOGARITHM.name} has no floor: these points do not show that there is one")
    return words
