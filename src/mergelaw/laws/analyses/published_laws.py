"""The paper's printed joint fits as curves over N and k, per domain and macro."""

from typing import Any

import numpy as np
import polars as pl

from mergelaw.laws import forms, published
from mergelaw.laws.analyses.returns import measured_return
from mergelaw.laws.forms import TOLERANCE, Array
from mergelaw.laws.schemas import MACRO
from mergelaw.laws.schemas.published import PUBLISHED_LAWS

GAP = 0.01
"""Nats per token above the floor that count as near it (the paper, appendix J.1)."""

FAR = 100
"""No printed law needs this many experts to come near its floor."""

K = np.arange(1, published.POOL + 1)


def macro_loss(parameters: Array, n_params_billions: float, k: Array | int) -> Array:
    """Return the unweighted mean over domains of joint laws.

    Parameters
    ----------
    parameters : array, shape (domains, parameters)
        As `mergelaw.laws.published.joint_fits` has them.
    n_params_billions : float
        N.
    k : array or int
        Experts merged.
    """
    laws = [forms.joint(n_params_billions, k, *row) for row in parameters]
    return np.asarray(np.mean(laws, axis=0))


def published_laws() -> pl.DataFrame:
    """Return Tables 3 to 5 as curves at k = 1..9 and the paper's sizes: `PUBLISHED_LAWS`.

    Macro rows are means over domains: their floor is the mean floor, and their tail is null,
    because laws with different offsets do not add up to one.
    """
    rows = []
    for method in published.JOINT_FITS:
        parameters = published.joint_fits(method).value
        for n in published.SIZES:
            for domain, row in zip(published.DOMAINS, parameters, strict=True):
                rows += _rows(method, domain, n, **_of_domain(row, n))
            rows += _rows(method, MACRO, n, **_of_macro(parameters, n))
    return PUBLISHED_LAWS.frame(rows)


def first_k(losses: Array, share: float) -> int | None:
    """Return the smallest k of losses at k = 1, 2, ... whose return reaches a share."""
    returns = measured_return(losses)
    return None if returns is None else int(np.argmax(returns >= share - TOLERANCE)) + 1


def _of_domain(row: Array, n: float) -> dict[str, Any]:
    floor_limit, size_scale, size_exponent, tail_scale, tail_exponent, offset = row
    tail = float(forms.size_tail(n, tail_scale, tail_exponent))
    return {
        "losses": forms.joint(n, K, *row),
        "floor": float(forms.size_floor(n, floor_limit, size_scale, size_exponent)),
        "tail": tail,
        "k_near_floor": forms.k_near_floor(GAP, tail, offset),
    }


def _of_macro(parameters: Array, n: float) -> dict[str, Any]:
    floor = float(np.mean([forms.size_floor(n, *row[:3]) for row in parameters]))
    near = macro_loss(parameters, n, np.arange(1, FAR)) - floor <= GAP
    return {
        "losses": macro_loss(parameters, n, K),
        "floor": floor,
        "tail": None,
        "k_near_floor": int(np.argmax(near)) + 1 if near.any() else None,
    }


def _rows(
    method: str, domain: str, n: float, losses: Array, **constants: Any
) -> list[dict[str, Any]]:
    whole = {
        "method": method,
        "domain": domain,
        "n_params_billions": n,
        "k85": first_k(losses, 0.85),
        "k90": first_k(losses, 0.9),
        **constants,
    }
    return [{**whole, "k": int(k), "loss": float(losses[k - 1])} for k in K]
