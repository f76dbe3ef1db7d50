"""What a plan is: the answers by law and size, as Python has them and as JSON."""

from dataclasses import asdict, dataclass
from typing import Any

from mergelaw.planning.answers import Near, Needed
from mergelaw.planning.choices import Bought
from mergelaw.planning.multitask import Rival
from mergelaw.planning.question import Question
from mergelaw.planning.stopping import Stop


@dataclass(frozen=True)
class AtK:
    """One number of experts; the interval is the 95% one, None where errors are not known."""

    k: int
    loss: float
    stderr: float | None
    low: float | None
    high: float | None
    share: float | None
    gain: float | None
    gain_stderr: float | None


@dataclass(frozen=True)
class Share:
    """The experts that realise a share of the pool's improvement; None: there is none."""

    share: float
    k: int | None


@dataclass(frozen=True)
class SizePlan:
    """The answers at one size.

    Attributes
    ----------
    n_params_billions
        N as the law file counts it; None: not known.
    floor, floor_stderr, identified, notes
        Of the law: the floor is an extrapolation to endless experts.
    freedom
        Degrees of freedom of the errors; None: they count as normal.
    points
        Every number of experts of the pool.
    returns, needed, near_floor, stop, multitask
        Answers to what was asked.
    """

    size: str
    n_params_billions: float | None
    floor: float
    floor_stderr: float | None
    identified: bool
    notes: tuple[str, ...]
    freedom: float | None
    points: tuple[AtK, ...]
    returns: tuple[Share, ...]
    needed: tuple[Needed, ...]
    near_floor: Near | None
    stop: Stop | None
    multitask: Rival | None


@dataclass(frozen=True)
class LawPlan:
    """The answers of one method and domain."""

    method: str
    domain: str
    sizes: tuple[SizePlan, ...]
    bought: Bought | None


@dataclass(frozen=True)
class Plan:
    """What laws say to a question.

    Attributes
    ----------
    name, source, caveats, pool, text, n_params
        Of the law file.
    question
        What was asked.
    laws
        An entry per method and domain.
    """

    name: str
    source: str
    caveats: tuple[str, ...]
    pool: int
    text: str | None
    n_params: str | None
    question: Question
    laws: tuple[LawPlan, ...]

    @property
    def is_answered(self) -> bool:
        """Whether some law has a number to plan with, for everything that was asked."""
        sizes = [size for law in self.laws for size in law.sizes]
        asked = self.question
        found = [
            asked.target is None or any(n.status == "met" for s in sizes for n in s.needed),
            asked.gap is None or any(s.near_floor and s.near_floor.in_pool for s in sizes),
            asked.budget is None or any(law.bought and law.bought.best for law in self.laws),
        ]
        return all(found)

    def as_dict(self) -> dict[str, Any]:
        """Return everything as JSON takes it."""
        raw = asdict(self)
        prices = self.question.prices
        raw["question"]["prices"] = prices and prices.model_dump(mode="json")
        return raw
