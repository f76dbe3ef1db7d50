"""`plan`: from a law to numbers of experts, sizes and costs; what `mergelaw plan` prints."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

from mergelaw.errors import ConfigError, MergeLawError, TableError, listing
from mergelaw.planning import answers
from mergelaw.planning.answers import Needed
from mergelaw.planning.choices import buy
from mergelaw.planning.finding import (
    Found,
    at_sizes,
    choose,
    curve_at,
    find,
    size_name,
    unknown_names,
)
from mergelaw.planning.law_file import Baseline, Curve, Law, LawFile, Size
from mergelaw.planning.multitask import against_multitask
from mergelaw.planning.plan_result import AtK, LawPlan, Plan, Share, SizePlan
from mergelaw.planning.prices import Prices, price_problems
from mergelaw.planning.question import SHARES, Question
from mergelaw.planning.stopping import stop_at


class HasLawFile(Protocol):
    """A fitted law that can be told as a law file."""

    def law_file(self, name: str) -> LawFile:
        """Return it under a name."""


def plan(
    law: "str | Path | LawFile | HasLawFile",
    *,
    method: str | Sequence[str] = (),
    domain: str | Sequence[str] = (),
    size: str | Sequence[str] = (),
    n_params: float | Sequence[float] = (),
    target: float | None = None,
    probability: float | Sequence[float] = 0.9,
    shares: Sequence[float] = SHARES,
    gap: float | None = None,
    eps: float | None = None,
    k: int | None = None,
    budget: float | None = None,
    prices: Prices | None = None,
    problems: Sequence[str] = (),
) -> Plan:
    """Plan from fitted laws: experts for a target, when to stop, what to buy within a budget.

    Parameters
    ----------
    law : str, Path, LawFile or what `mergelaw.fit_law` returns
        What `--law` takes: the name of laws that come with the package, a law file or a study's
        results, each with `/METHOD/DOMAIN` behind it or not; a law file that is read already, or a
        fit.
    method, domain, size : str or sequence of str
        Which laws and sizes; all when absent.
    n_params : float or sequence of float
        Sizes off the ladder, in billions of parameters as the law file counts them, by the law over
        sizes.
    target : float, optional
        Loss to reach, in nats per token.
    probability : float or sequence of float
        Chance of reaching it.
    shares : sequence of float
        Shares of the pool's improvement whose experts are told.
    gap, eps : float, optional
        Nats per token: above the floor; and a gain that is too small to go on for.
    k : int, optional
        A number of experts; refused when the pool is smaller.
    budget : float, optional
        In the prices' currency; device-hours without prices.
    prices : Prices, optional
        From `mergelaw.planning.prices.read_prices`.
    problems : sequence of str
        What else is wrong with the question, to be told with what is found here.

    Returns
    -------
    Plan
        `as_dict()` is the JSON of `mergelaw plan --json`.

    Raises
    ------
    TableError
        If there is no such law.
    ConfigError
        If numbers make no sense, or names are not of the law's kind. All problems are listed.
    """
    found = _found(law)
    methods = [found.method] if found.method else _names("method", method)
    domains = [found.domain] if found.domain else _names("domain", domain)
    sizes = _names("size", size)
    wants_costs = budget is not None or prices is not None
    question = Question(
        target,
        tuple(_list(probability)),
        tuple(_list(shares)),
        gap,
        eps,
        k,
        budget,
        (prices or Prices()) if wants_costs else None,
        tuple(dict.fromkeys(_list(n_params))),
    )
    file = found.file
    _check(file, question, list(unknown_names(file, methods, domains, sizes)), problems)
    laws = at_sizes(choose(file, methods, domains), sizes)
    plans = tuple(_law_plan(file, law, sizes, question) for law in laws)
    return Plan(
        file.name, file.source, file.caveats, file.pool, file.text, file.n_params, question, plans
    )


def _check(file: LawFile, asked: Question, unknown: list[str], others: Sequence[str]) -> None:
    """Refuse a question that makes no sense: its numbers, names and prices, all at once."""
    wrong = [*asked.problems(file.pool), *others]
    if asked.prices is not None:
        wrong += price_problems(asked.prices, file)
    if wrong or len(unknown) > 1:
        kind: type[MergeLawError] = ConfigError if wrong else TableError
        raise kind(listing("plan", [*wrong, *unknown]))
    if unknown:
        raise TableError(unknown[0])


def _found(law: "str | Path | LawFile | HasLawFile") -> Found:
    if isinstance(law, str | Path):
        return find(str(law))
    if isinstance(law, LawFile):
        return Found(law)
    if not hasattr(law, "law_file"):
        raise ConfigError(
            f"law = {law!r}: must be a name, a path, a law file or what `mergelaw.fit_law` returns"
        )
    return Found(law.law_file("fit"))


def _names(what: str, value: Any) -> list[str]:
    """Return names that were given alone or as a sequence."""
    names = list(value) if isinstance(value, list | tuple | set | frozenset) else [value]
    for name in names:
        if not isinstance(name, str):
            raise ConfigError(f"{what} = {name!r}: must be a name, or several")
    return names


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, Iterable) and not isinstance(value, str) else [value]


def _law_plan(file: LawFile, law: Law, sizes: Sequence[str], asked: Question) -> LawPlan:
    off_ladder = asked.n_params
    every = not (sizes or off_ladder)
    curves = [curve for curve in law.curves if every or curve.size in sizes]
    pairs = [(_size(file, curve.size), curve) for curve in curves]
    pairs += [
        (Size(name=size_name(n), n_params_billions=n), curve_at(file, law, n)) for n in off_ladder
    ]
    bought = None if asked.prices is None else buy(file, law.method, pairs, asked)
    return LawPlan(
        law.method,
        law.domain,
        tuple(_size_plan(file, law, size, curve, asked) for size, curve in pairs),
        bought,
    )


def _size(file: LawFile, name: str) -> Size:
    return next(size for size in file.sizes if size.name == name)


def _size_plan(file: LawFile, law: Law, size: Size, curve: Curve, asked: Question) -> SizePlan:
    gains = answers.gains(curve.loss)
    shares = tuple(Share(share, answers.k_of_return(curve.loss, share)) for share in asked.shares)
    return SizePlan(
        size.name,
        size.n_params_billions,
        curve.floor,
        curve.floor_stderr,
        curve.identified,
        curve.notes,
        curve.freedom,
        tuple(_at(curve, k) for k in range(1, len(curve.loss) + 1)),
        shares,
        _needed(curve, asked),
        None if asked.gap is None else answers.near_floor(curve, asked.gap),
        None if asked.eps is None else stop_at(gains, curve.gain_stderr, asked.eps),
        against_multitask(_baseline(file, law.domain, size.name), size, law.method, curve, asked),
    )


def _needed(curve: Curve, asked: Question) -> tuple[Needed, ...]:
    if asked.target is None:
        return ()
    return tuple(answers.needed(curve, asked.target, chance) for chance in asked.probability)


def _at(curve: Curve, k: int) -> AtK:
    loss, stderr = curve.loss[k - 1], answers.stderr_of(curve, k)
    half = None if stderr is None else answers.half_width(stderr, curve.freedom)
    shares, last = answers.returns(curve.loss), k == len(curve.loss)
    errors = curve.gain_stderr
    return AtK(
        k,
        loss,
        stderr,
        None if half is None else max(loss - half, 0.0),
        None if half is None else loss + half,
        None if shares is None else shares[k - 1],
        None if last else answers.gains(curve.loss)[k - 1],
        None if last or not errors else errors[k - 1],
    )


def _baseline(file: LawFile, domain: str, size: str) -> Baseline | None:
    found = (b for b in file.baselines if (b.size, b.domain) == (size, domain))
    return next(found, None)
