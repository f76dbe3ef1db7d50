"""A ranking of subsets in words."""

from collections.abc import Iterator

from mergelaw.laws.ranking import RankedSubset, Ranking
from mergelaw.planning.loss_table import ONE, SubsetLosses

SUREST = 0.5
"""From this probability on a single subset is called the best."""


def ranking_text(ranking: Ranking, table: SubsetLosses, top: int) -> str:
    """Return what a ranking says, its first rows as a table."""
    place = ", ".join(filter(None, (table.size, table.method)))
    lines = [
        f"{ranking.n_measured} measured merges of {len(table.experts)} experts"
        + (f" ({place})" if place else ""),
        f"{len(ranking.rows):,} subsets by the {_target(ranking)} expected on "
        f"{text_words(ranking)}, nats per token:",
        *_table(ranking, top),
        *_sure(ranking),
        *(f"note: {note}" for note in ranking.notes),
    ]
    return "\n".join(lines) + "\n"


def text_words(ranking: Ranking) -> str:
    """Return which text the losses are meant on, and how many items they were measured on."""
    text = "other text of this kind" if ranking.text == "other" else "the text that was measured"
    counts = sorted(ranking.n_items.values())
    if not counts or counts[0] == 0:
        return text
    low, high = counts[0], counts[-1]
    n_items = f"{low} to {high}" if low < high else f"{low:,}"
    each = " a domain" if len(counts) > 1 else ""
    return f"{text} ({n_items} item{'s'[: high != 1]}{each})"


def interval_words(row: RankedSubset) -> str:
    """Return a subset's interval; that of a measured loss, on the measured text, has no width."""
    return f"{row.low:.4f} to {row.high:.4f}" if row.stderr > 0 else "as measured"


def _target(ranking: Ranking) -> str:
    return ONE if ranking.target == ONE else f"{ranking.target} loss"


def _table(ranking: Ranking, top: int) -> Iterator[str]:
    rows = ranking.rows[:top]
    width = max(len(row.subset) for row in rows)
    within = f"P(within {ranking.within:g})"
    yield (
        f"     {'subset':{width}}  k    loss  {'interval':>17}  measured  P(best)  {within}  regret"
    )
    for place, row in enumerate(rows, start=1):
        yield _line(place, row, width, len(within))


def _line(place: int, row: RankedSubset, width: int, within: int) -> str:
    measured = "" if row.measured is None else f"{row.measured:.4f}"
    interval = interval_words(row)
    return (
        f"{place:3}{'~' if row.tied and place > 1 else ' '} {row.subset:{width}} {row.k:2}  "
        f"{row.loss_predicted:.4f}  {interval:>17}  {measured:>8}  {row.p_best:7.2f}  "
        f"{row.p_within:{within}.2f}  {row.regret:.4f}"
    )


def _sure(ranking: Ranking) -> Iterator[str]:
    """Yield how much the order can be trusted."""
    best, n_tied = ranking.best, ranking.n_tied
    if n_tied == 1:
        yield f"{best.subset} is told from every other subset (each is better with P < 0.05)"
    else:
        yield f"{n_tied:,} subsets cannot be told from the first, itself among them (marked ~)"
    if best.p_best < SUREST:
        yield f"which is the best is not known: {best.subset} is it with P = {best.p_best:.2f}"
    yield (
        f"{best.subset} is expected to be {best.regret:.4f} nats per token above the best, "
        f"whichever that is; one of these taken at random, {ranking.random_regret:.4f}"
    )
    if not ranking.tells:
        yield (
            "the measurements do not tell which to take: one taken at random is expected to do "
            "better than the first; score more text, or measure more merges"
        )
