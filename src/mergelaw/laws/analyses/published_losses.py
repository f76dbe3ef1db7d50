"""Claims about mean losses, checked against the printed joint fits (Tables 3, 4, 5 and 12)."""

from collections.abc import Collection

import numpy as np

from mergelaw.laws import forms, published
from mergelaw.laws.analyses.published_claims import (
    Claim,
    Found,
    all_follow,
    at_least,
    at_most,
    compute,
    counted,
    equal,
    exact,
    percent_fall,
)
from mergelaw.laws.analyses.published_laws import GAP, first_k, macro_loss
from mergelaw.laws.forms import Array
from mergelaw.laws.published import JOINT_PARAMETERS, POOL, SIZES, Printed, number, place

SHRINKS = 0.05
"""A tail that falls by less than this share from 0.5B to 72B does not fall."""

LARGEST_SMALL_OFFSET = 0.714
"""With a pool of nine, offsets above 0 and up to this one have k85 = 5 and k90 = 6."""


def claims() -> list[Claim]:
    """Return all checked claims about mean losses."""
    return [
        *macro_claims(),
        *fall_claims(),
        *r2_claims(),
        *exponent_claims(),
        *tail_claims(),
        *elbow_claims(),
        *near_floor_claims(),
    ]


def macro_claims() -> list[Claim]:
    """Return checks of macro losses in the text."""
    fits = published.joint_fits("average")
    return [
        equal(
            f"Average, {size}, k = {k}: macro loss",
            place(f"average_{size}_k{k}"),
            number(f"average_{size}_k{k}"),
            compute(lambda p, n=n, k=k: macro_loss(p, n, k), fits),
            "computed from the joint fits of Table 3: the difference is what they miss",
        )
        for size, n in (("0.5B", 0.5), ("32B", 32))
        for k in (1, 9)
    ]


def fall_claims() -> list[Claim]:
    """Return checks of how much macro losses fall with k and with N."""
    fits = published.joint_fits("average")
    result = [
        all_follow(
            "Average: percentages by which the macro loss falls from k = 1 to 9: those that follow",
            place("fall_0.5B"),
            ["0.5B", "32B"],
            _numbers("fall_0.5B", "fall_32B"),
            compute(
                percent_fall,
                _numbers("average_0.5B_k1", "average_32B_k1"),
                _numbers("average_0.5B_k9", "average_32B_k9"),
            ),
            "computed from the losses of the same paragraph",
        )
    ]
    sizes = "Average, k = 9: the macro loss falls by this percentage from 0.5B to 32B"
    ends = number("average_0.5B_k9"), number("average_32B_k9")
    result += [
        equal(
            sizes,
            place("fall_sizes"),
            number("fall_sizes"),
            compute(percent_fall, *ends),
            "computed from the losses in the text",
        ),
        equal(
            f"{sizes}, by the laws",
            place("fall_sizes"),
            number("fall_sizes"),
            compute(lambda p: percent_fall(macro_loss(p, 0.5, 9), macro_loss(p, 32, 9)), fits),
            "computed from the joint fits of Table 3",
        ),
        at_least(
            "Average, k = 9: the loss of the median domain falls by at least this percentage from "
            "32B to 72B",
            place("gain_72B_least"),
            number("gain_72B_least"),
            compute(lambda p: np.median(percent_fall(_domains(p, 32), _domains(p, 72))), fits),
            "computed from Table 3; 72B is a forecast there, too",
        ),
    ]
    return result


def r2_claims() -> list[Claim]:
    """Return checks of how well the fits are said to do."""
    r2 = Printed(*map(np.concatenate, zip(*_columns("r2"), strict=True)))
    return [
        at_least(
            "R2 of every joint fit is at least this",
            place("r2_least"),
            number("r2_least"),
            compute(np.min, r2),
            "the least R2 of Tables 3 to 5, of points that were fitted; none was held out",
        ),
        at_least(
            "R2 of the tail's power law in N is at least this, as of all fits",
            place("r2_least"),
            number("r2_least"),
            compute(np.min, published.column("12", "r2_tail")),
            "the least R2 of the tail in Table 12: the tail of a size does not follow from N",
        ),
    ]


def exponent_claims() -> list[Claim]:
    """Return checks of the range of the floor's exponents."""
    exponents = _parameter("average", "size_exponent")
    return [
        at_least(
            "The floor's exponent is at least this",
            place("size_exponent_least"),
            number("size_exponent_least"),
            compute(np.min, exponents),
            "the least of Table 3's nine domains",
        ),
        at_most(
            "The floor's exponent is at most this",
            place("size_exponent_largest"),
            number("size_exponent_largest"),
            compute(np.max, exponents),
            "the largest of Table 3's nine domains",
        ),
    ]


def tail_claims() -> list[Claim]:
    """Return checks of how the tail depends on N and on the scale."""
    ratio = compute(
        lambda scaled, plain: np.median(scaled / plain),
        _parameter("task_arithmetic", "tail_scale"),
        _parameter("average", "tail_scale"),
    )
    scale = number("scale_task_arithmetic")
    falls = 1 - (SIZES[0] / SIZES[-1]) ** _parameter("average", "tail_exponent").value
    return [
        counted(
            "Larger models have a smaller tail: domains of nine whose tail falls by 5% or more "
            "from 0.5B to 72B",
            "main text, Table 3",
            len(falls),
            int(np.sum(falls >= SHRINKS)),
            "computed from Table 3's tail exponents; in the other domains the tail is the same at "
            "all sizes",
        ),
        equal(
            "The tail is proportional to the squared scale: median ratio of Task Arithmetic's "
            "(scale 0.8) to Average's",
            "Theorem 3.1, Table 1",
            exact(float(scale.value) ** 2),
            ratio,
            "computed from Tables 3 and 4; near the theory's value, which holds for a quadratic "
            "loss: an observation, not a test",
        ),
    ]


def elbow_claims() -> list[Claim]:
    """Return checks of the k that reach 85% and 90% of the improvement."""
    offsets = np.linspace(1e-3, LARGEST_SMALL_OFFSET, 200)
    curves = [macro_loss(published.joint_fits("average").value, n, _k()) for n in SIZES]
    result = []
    for name, share in (("k85", 0.85), ("k90", 0.9)):
        percent = f"{share:.0%} of the improvement from k = 1 to 9"
        result.append(
            counted(
                f"Smallest k with {percent}",
                place(name),
                float(number(name).value),
                float(np.median([first_k(curve, share) or np.nan for curve in curves])),
                "the median over sizes of the macro curves of Table 3",
            )
        )
        result.append(
            counted(
                f"Smallest k with {percent}, for any floor, any tail, a pool of nine and every "
                f"offset above 0 and up to {LARGEST_SMALL_OFFSET}",
                place(name),
                float(number(name).value),
                _only({forms.k_for_return(share, offset, POOL) for offset in offsets}),
                "algebra of the law, (k - 1)(9 + offset) / (8 (k + offset)): it holds whatever is "
                "measured",
            )
        )
    return result


def _only(values: Collection[int]) -> float:
    """Return the one value that all are, NaN where they differ: it then agrees with nothing."""
    return float(*values) if len(values) == 1 else float("nan")


def near_floor_claims() -> list[Claim]:
    """Return checks of the k that come within 0.01 of the floor, from Table 12 and from Table 3."""
    names = {
        ("code", 0.5): "k_near_floor_code_0.5B",
        ("code", 32.0): "k_near_floor_code_32B",
        ("biology", 0.5): "k_near_floor_biology",
        ("biology", 32.0): "k_near_floor_biology",
    }
    given = Printed(_numbers(*names.values()).value, np.zeros(len(names)))
    result = [
        all_follow(
            f"Smallest k within {GAP} of the floor: those that follow from Table {table}",
            place("k_near_floor_biology"),
            [f"{domain}, {n:g}B" for domain, n in names],
            given,
            Found(np.array([_near(table, *case) for case in names]), np.zeros(len(names))),
            f"Average, as fitted {style}: the answer depends on the style of the fit",
        )
        for table, style in (("12", "in two stages"), ("3", "to all sizes at once"))
    ]
    result.append(
        at_most(
            f"Biology: the k within {GAP} of the floor is one that the pool has",
            place("k_near_floor_biology"),
            exact(POOL),
            Found(*exact(float(number("k_near_floor_biology").value))),
            "the pool has nine experts: the floor is an extrapolation, which none of their merges "
            "reaches",
        )
    )
    return result


def _near(table: str, domain: str, n: float) -> float:
    """Return the smallest k near the floor by a row of Table 12 or 3."""
    (row,) = published.rows(table, domain=domain)
    scale, exponent, offset = (float(row[name]) for name in JOINT_PARAMETERS[3:])
    return forms.k_near_floor(GAP, float(forms.size_tail(n, scale, exponent)), offset)


def _domains(parameters: Array, n: float) -> Array:
    return np.array([forms.joint(n, POOL, *row) for row in parameters])


def _k() -> Array:
    return np.arange(1, POOL + 1)


def _numbers(*names: str) -> Printed:
    return Printed(*(np.array(values) for values in zip(*map(number, names), strict=True)))


def _columns(name: str) -> list[Printed]:
    return [published.column(table, name) for table in published.JOINT_FITS.values()]


def _parameter(method: str, name: str) -> Printed:
    place_in_row = JOINT_PARAMETERS.index(name)
    return published.joint_fits(method).part((slice(None), place_in_row))
