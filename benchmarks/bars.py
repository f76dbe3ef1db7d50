"""What a benchmark aims at, and whether it is met."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple


class Bar(NamedTuple):
    """A figure and its aim.

    Attributes
    ----------
    name : str
        What the figure is.
    found, aim : float
    at_least : bool
        Whether the aim is the least; else the most.
    """

    name: str
    found: float
    aim: float
    at_least: bool = False

    @property
    def is_met(self) -> bool:
        """Whether the figure is on the right side; one that is not known is not."""
        return self.found >= self.aim if self.at_least else self.found <= self.aim

    def facts(self) -> dict[str, Any]:
        """Return it as JSON takes it."""
        return {**self._asdict(), "met": self.is_met}


def bar_lines(bars: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Yield a table in Markdown of bars, as `Bar.facts` has them."""
    yield "| figure | found | aim | |"
    yield "|---|---|---|---|"
    for bar in bars:
        side = "at least" if bar["at_least"] else "at most"
        met = "met" if bar["met"] else "missed"
        yield f"| {bar['name']} | {bar['found']:.4g} | {side} {bar['aim']:.4g} | {met} |"
