"""What to measure next, in words and as JSON."""

from collections.abc import Iterator
from typing import Any

from mergelaw.planning.next_answer import POINTLESS, Answer

NO_LAW = "not identified; errors are told as if the offset were 0, through the first and last point"


def next_facts(answer: Answer) -> dict[str, Any]:
    """Return what `mergelaw next --json` prints."""
    return {
        "quantity": answer.quantity,
        "unit": answer.unit,
        "cost_unit": answer.cost_unit,
        "now": [
            {"size": size or None, "value": value, "stderr": error}
            for size, (value, error) in answer.now.items()
        ],
        "measure": [
            {
                "size": item.size or None,
                **item.batch._asdict(),
                "shrinks": item.batch.shrinks,
                "subsets": None if item.subsets is None else list(item.subsets),
            }
            for item in answer.suggestions
        ],
        "pointless": answer.pointless,
        "stop": [
            {"size": size or None, **(vars(stop) if stop else {"k": None})}
            for size, stop in answer.stops.items()
        ],
        "notes": list(answer.notes),
    }


def _table(answer: Answer) -> Iterator[str]:
    yield f"what to measure next, the most worth first (cost in {answer.cost_unit}):"
    yield f"  {'size':8} {'k':>3} {'subsets':>8} {'cost':>9} {'then +-':>9} {'less by':>8}"
    for item in answer.suggestions:
        batch = item.batch
        yield (
            f"  {item.size or '-':8} {batch.k:>3} {batch.n_new:>8} {batch.cost:>9.3g} "
            f"{batch.after:>9.2g} {batch.shrinks:>8.0%}"
        )
        if item.subsets is None:
            yield f"      any not measured: given points of k = {batch.k} do not name theirs"
        else:
            yield f"      {' '.join(item.subsets)}"


def _quantity(name: str) -> str:
    """Return a quantity in the words of the other answers."""
    return {"pool-loss": "L(M), the loss of the whole pool"}.get(name, name)


def next_text(answer: Answer) -> str:
    """Return what `mergelaw next` prints."""
    lines = []
    for size, (value, error) in answer.now.items():
        where = f" at {size}" if size else ""
        told = NO_LAW if value is None else f"{value:.5g} +- {error:.2g} {answer.unit}"
        lines.append(f"{_quantity(answer.quantity)}{where}: {told}")
    if answer.complete:
        lines.append("every subset is measured")
    elif answer.pointless:
        lines.append(
            f"measuring more is pointless for it: no batch takes away {POINTLESS:.0%} of the "
            "standard error"
        )
    if answer.suggestions:
        lines += _table(answer)
    for size, stop in answer.stops.items():
        if stop is not None:
            where = f"{size}: " if size else ""
            lines.append(f"{where}stop merging more at k = {stop.k}: {stop.reason}")
    lines += [f"note: {note}" for note in answer.notes]
    return "\n".join(lines) + "\n"
