"""A plan as people read it: one table of all laws and sizes, then reasons, costs and caveats."""

from collections.abc import Iterator
from textwrap import fill, indent

from mergelaw.costs.words import columns
from mergelaw.planning.answers import Needed, chance_words
from mergelaw.planning.choices import Bought
from mergelaw.planning.plan_result import AtK, LawPlan, Plan, SizePlan
from mergelaw.planning.question import Question

WIDTH = 100
FEW = 3
"""Rows up to which every answer's reason is told."""

MARKS = {
    "unlikely": "unlikely",
    "beyond pool": "> pool",
    "unreachable": "unreachable",
    "not identified": "not known",
}
"""What stands in the table for the experts that a target needs, where it is no number."""


def plan_text(found: Plan) -> str:
    """Return a plan as text, with a line break at the end."""
    return "\n".join(_lines(found)) + "\n"


def _lines(found: Plan) -> Iterator[str]:
    counted = f"; N counts {found.n_params} parameters" if found.n_params else ""
    text = f"; text {found.text}" if found.text else ""
    yield _wrapped(f"{found.name}: {found.source}. Pool of {found.pool} experts{counted}{text}.")
    yield ""
    pairs = [(law, size) for law in found.laws for size in law.sizes]
    n_needed = len(_needed_headings(found))
    rows = [_row(law, size, found.question, n_needed) for law, size in pairs]
    yield from columns([_headings(found), *rows], n_left=3)
    yield "Losses in nats per token, by the law; a floor is an extrapolation to endless experts."
    yield from _legend(pairs)
    if len(pairs) <= FEW:
        for law, size in pairs:
            yield from _reasons(law, size, found.question.k)
    if len(pairs) == 1:
        yield ""
        yield from _curve(pairs[0][1])
    for law in found.laws:
        if law.bought is not None:
            yield ""
            yield from _bought(law, law.bought, found.question)
    yield ""
    for caveat in found.caveats:
        yield _wrapped(f"- {caveat}", hanging="  ")


LEGEND = {
    "unlikely": "the law or its error reaches the target, with less chance than asked",
    "beyond pool": "more experts than the pool has; in brackets how many, by the law",
    "unreachable": "the target is not above the floor, by two standard errors where they are known",
    "not identified": "the target is below what the pool reaches, and the floor is not identified",
}


def _legend(pairs: list[tuple[LawPlan, SizePlan]]) -> Iterator[str]:
    """Yield what the marks of the table mean, those that occur."""
    found = [needed for _, size in pairs for needed in size.needed]
    if any(needed.status == "met" and needed.chance is None for needed in found):
        yield "*: the law's errors are not known, so no probability can be told."
    for status, words in LEGEND.items():
        if any(needed.status == status for needed in found):
            yield f"{MARKS[status]}: {words}."


def _headings(found: Plan) -> tuple[str, ...]:
    asked = found.question
    return (
        *("method", "domain", "size", "L(1)", f"L({found.pool})", "floor"),
        *(f"k for {share:.0%}" for share in asked.shares),
        *_needed_headings(found),
        *(["k near floor"] * (asked.gap is not None)),
        *(["stop at k"] * (asked.eps is not None)),
    )


def _needed_headings(found: Plan) -> list[str]:
    """Return the heads of experts for a target: one without a probability where none is known."""
    asked = found.question
    if asked.target is None:
        return []
    if not _tells_chances(found):
        return [f"k for {asked.target:g}"]
    return [f"k at p = {chance:g}" for chance in asked.probability]


def _tells_chances(found: Plan) -> bool:
    return any(n.chance is not None for law in found.laws for s in law.sizes for n in s.needed)


def _row(law: LawPlan, size: SizePlan, asked: Question, n_needed: int) -> tuple[str, ...]:
    floor = f"{size.floor:.4f}" if size.identified else "not known"
    return (
        *(law.method, law.domain, size.size),
        *(f"{size.points[0].loss:.4f}", f"{size.points[-1].loss:.4f}", floor),
        *(_told(share.k) for share in size.returns),
        *(_needed(needed) for needed in size.needed[:n_needed]),
        *([_near(size)] * (asked.gap is not None)),
        *([str(size.stop.k) if size.stop else "-"] * (asked.eps is not None)),
    )


def _told(k: int | None) -> str:
    return "-" if k is None else str(k)


def _needed(needed: Needed) -> str:
    if needed.status == "met":
        return str(needed.k) + ("" if needed.chance is not None else " *")
    return MARKS[needed.status] + (f" ({needed.k:,})" if needed.k else "")


def _near(size: SizePlan) -> str:
    near = size.near_floor
    if near is None or not size.identified:
        return "not known"
    if near.in_pool:
        return str(near.k)
    return MARKS["beyond pool"] + ("" if near.k is None else f" ({near.k:,})")


def _reasons(law: LawPlan, size: SizePlan, k: int | None) -> Iterator[str]:
    """Yield why each answer is what it is, and what the law cannot tell."""
    where = f"{law.method}/{law.domain}/{size.size}"
    found = [] if k is None else [_of_k(size.points[k - 1])]
    found += [f"target {n.target:g}{_at(n)}: {_k(n.k)}{n.status}; {n.reason}" for n in size.needed]
    if size.near_floor is not None:
        near = size.near_floor
        found.append(f"within {near.gap:g} of the floor: {_k(near.k)}{near.reason}")
    if size.stop is not None:
        found.append(f"stop at k = {size.stop.k}: {size.stop.reason}")
    if size.multitask is not None:
        found.append(size.multitask.reason)
    if any(share.k is None for share in size.returns):
        found.append("the law does not fall with k: there is no improvement to have a share of")
    for words in dict.fromkeys([*found, *size.notes]):
        yield _wrapped(f"{where}: {words}.", hanging="  ")


def _of_k(point: AtK) -> str:
    band = "its error is not known"
    if point.low is not None:
        band = f"95% interval {point.low:.4f} to {point.high:.4f}"
    share = "" if point.share is None else f", {point.share:.1%} of the pool's improvement"
    gain = "" if point.gain is None else f"; one more expert gains {point.gain:.4f}"
    return f"k = {point.k}: loss {point.loss:.4f}, {band}{share}{gain}"


def _at(needed: Needed) -> str:
    return "" if needed.probability is None else f" with probability {needed.probability:g}"


def _k(k: int | None) -> str:
    return "" if k is None else f"k = {k:,}, "


def _curve(size: SizePlan) -> Iterator[str]:
    headings = ("k", "loss", "95% interval", "return", "gain of one more", "its error")
    yield from columns([headings, *map(_point, size.points)], n_left=1)


def _point(point: AtK) -> tuple[str, ...]:
    band = "-" if point.low is None else f"{point.low:.4f} to {point.high:.4f}"
    return (
        str(point.k),
        f"{point.loss:.4f}",
        band,
        "-" if point.share is None else f"{point.share:.1%}",
        "-" if point.gain is None else f"{point.gain:.4f}",
        "-" if point.gain_stderr is None else f"{point.gain_stderr:.2g}",
    )


def _bought(law: LawPlan, bought: Bought, asked: Question) -> Iterator[str]:
    where, unit = f"{law.method}/{law.domain}", bought.currency
    if asked.budget is not None and bought.best is not None:
        best = bought.best
        yield (
            f"{where}: best within {asked.budget:,g} {unit}: {best.size} with k = {best.k}, loss "
            f"{best.loss:.4f}, for {best.cost:,.4g}"
        )
    if asked.target is not None and bought.cheapest is not None:
        least = bought.cheapest
        chance = "" if least.chance is None else f" (probability {chance_words(least.chance)})"
        yield (
            f"{where}: cheapest for a loss of {asked.target:g}: {least.size} with k = {least.k}, "
            f"for {least.cost:,.4g} {unit}{chance}"
        )
    elif asked.target is not None:
        yield f"{where}: nothing whose cost is known meets the target"
    yield from _rivals(law, unit)
    if bought.front:
        yield f"{where}: the front, where nothing else is both as cheap and as good"
        rows = [(c.size, str(c.k), f"{c.cost:,.4g}", f"{c.loss:.4f}") for c in bought.front]
        yield indent("\n".join(columns([("size", "k", unit, "loss"), *rows], n_left=1)), "  ")
    for note in bought.notes:
        yield _wrapped(f"- {note}", hanging="  ")


def _rivals(law: LawPlan, unit: str) -> Iterator[str]:
    for size in law.sizes:
        rival = size.multitask
        if rival is not None and rival.cost is not None and rival.merge_cost is not None:
            yield (
                f"{law.method}/{law.domain}/{size.size}: multitask training costs "
                f"{rival.cost:,.4g} {unit}, {rival.k or rival.best_k} experts and their merge "
                f"{rival.merge_cost:,.4g}"
            )


def _wrapped(text: str, hanging: str = "") -> str:
    return fill(text, WIDTH, subsequent_indent=hanging, break_on_hyphens=False)
