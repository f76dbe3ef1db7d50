"""Derivatives read back from their table: one object for each size, method, mask seed and route."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from mergelaw.laws.forms import Array
from mergelaw.laws.resampling import reach
from mergelaw.theory.derivatives import CurveDerivatives, Derivatives, Folds
from mergelaw.theory.fold_draws import with_macro

SECOND_ROUTE = {
    "hvp": ("differences", "pairs"),
    "gauss_newton": ("hvp", "differences", "pairs"),
    "differences": ("hvp", "pairs"),
    "pairs": ("hvp", "differences"),
}
"""Routes that another is compared with, in order; Gauss-Newton is a surrogate, so never with it."""

TEXT_ROUTES = ("gauss_newton", "differences", "pairs", "hvp")
"""Routes whose folds the error from the choice of text is taken from, where they have most."""


@dataclass(frozen=True)
class MaskSpread:
    """What random masks add: the mean over masks and experts of n' H n, n = psi(v) - v.

    Attributes
    ----------
    probes : array, shape (probes, folds)
        What each random mask of the whole pool tells, summed over tokens, nats.
    """

    probes: Array

    @property
    def sums(self) -> Array:
        """The mean over probes, shape (folds,)."""
        mean: Array = self.probes.mean(axis=0)
        return mean

    @property
    def reach(self) -> float:
        """Standard errors that an interval reaches to each side: t of probes less one."""
        return reach(len(self.probes) - 1)

    def stderr(self, folds: Folds) -> Array:
        """Return the standard error of the mean per token, shape (domains + 1,), macro last.

        Of the probes' own means: folds and domains share each probe, so that its error does not
        shrink with them, and does not add up over them either.
        """
        means = np.stack([with_macro(folds, probe) for probe in self.probes])
        error: Array = means.std(axis=0, ddof=1) / np.sqrt(len(means))
        return error


@dataclass(frozen=True)
class MeasuredDerivatives:
    """What one route told of one merge; the mean over mask seeds where there are several.

    Attributes
    ----------
    size, method, route : str
    curve : CurveDerivatives
    whole : Derivatives or None
        What tells every subset; None where the route does not.
    masks : MaskSpread or None
    """

    size: str
    method: str
    route: str
    curve: CurveDerivatives
    whole: Derivatives | None
    masks: MaskSpread | None


def read_derivatives(rows: pl.DataFrame) -> list[MeasuredDerivatives]:
    """Return the derivatives of a table, schema `mergelaw.laws.schemas.theory.DERIVATIVES`.

    Third derivatives that a route does not measure are taken from one that does, along the same
    directions at the same merge.
    """
    parts = rows.partition_by("size", "method", "route", as_dict=True, maintain_order=True)
    found = [_one((size, method, route), part) for (size, method, route), part in parts.items()]
    return [replace(one, curve=_with_third(one, found)) for one in found]


def same_merge(
    one: MeasuredDerivatives, found: Sequence[MeasuredDerivatives]
) -> Iterator[MeasuredDerivatives]:
    """Yield what other routes told of the same merge."""
    for other in found:
        same = (other.size, other.method) == (one.size, one.method)
        if same and other.route != one.route:
            yield other


def second_route(
    one: MeasuredDerivatives, found: Sequence[MeasuredDerivatives]
) -> MeasuredDerivatives | None:
    """Return the route that another is compared with; None where none was taken."""
    others = {other.route: other for other in same_merge(one, found)}
    known = [others[route] for route in SECOND_ROUTE.get(one.route, ()) if route in others]
    return known[0] if known else None


def text_route(
    one: MeasuredDerivatives, found: Sequence[MeasuredDerivatives], whole: bool = False
) -> MeasuredDerivatives:
    """Return the route whose folds tell the error from the choice of text: that with most.

    Routes that go backward have few folds, maybe one a domain, which tells nothing of other text;
    what they predict varies over text as what another route of the same merge does.

    Parameters
    ----------
    one : MeasuredDerivatives
        Taken itself where none has more.
    found : sequence of MeasuredDerivatives
    whole : bool
        Whether it must tell single subsets.
    """
    others = [other for other in same_merge(one, found) if other.whole is not None or not whole]
    others.sort(key=lambda other: TEXT_ROUTES.index(other.route))
    return max([one, *others], key=lambda other: len(other.curve.folds.domains))


class _Columns:
    """The rows of one merge and route as arrays, means over mask seeds."""

    def __init__(self, rows: pl.DataFrame) -> None:
        seeds = rows.partition_by("mask_seed", maintain_order=True)
        self._seeds, self.first = seeds, seeds[0]

    def has(self, name: str) -> bool:
        return not any(part[name].has_nulls() for part in self._seeds)

    def array(self, name: str) -> Array:
        seeds = [np.array(part[name].to_list(), float) for part in self._seeds]
        mean: Array = np.mean(seeds, axis=0)
        return mean

    def maybe(self, name: str) -> Array | None:
        return self.array(name) if self.has(name) else None


def _one(who: tuple[str, str, str], rows: pl.DataFrame) -> MeasuredDerivatives:
    columns = _Columns(rows)
    first = columns.first
    domains = first["domain"].to_list()
    starts = [domains.index(name) for name in dict.fromkeys(domains)]
    third = columns.maybe("third")
    folds = Folds(tuple(first["domain"]), first["n_items"].to_numpy(), first["n_tokens"].to_numpy())
    curve = CurveDerivatives(
        tuple(first["experts"][0]),
        float(first["scale"][0]),
        folds,
        columns.array("nll_sum"),
        columns.array("slope"),
        columns.array("radial"),
        columns.array("spread"),
        None if third is None else third[starts],
    )
    probes = columns.maybe("mask_probes")
    masks = None if probes is None else MaskSpread(probes.T)
    return MeasuredDerivatives(*who, curve, _whole(columns, curve), masks)


def _whole(columns: _Columns, curve: CurveDerivatives) -> Derivatives | None:
    gradient, curvature = columns.maybe("gradient"), columns.maybe("curvature")
    if gradient is None or curvature is None:
        return None
    n = len(curve.experts)
    return Derivatives(
        curve.experts,
        ("model",),
        np.full(n, curve.scale / n),
        curve.folds,
        curve.nll,
        gradient,
        curvature.reshape(-1, n, n),
    )


def _with_third(one: MeasuredDerivatives, found: Sequence[MeasuredDerivatives]) -> CurveDerivatives:
    """Return the curve's derivatives with the third ones, where any route measured them."""
    if one.curve.third is not None:
        return one.curve
    others = (other.curve.third for other in same_merge(one, found))
    third = next((values for values in others if values is not None), None)
    return one.curve if third is None else one.curve.with_third(third)
