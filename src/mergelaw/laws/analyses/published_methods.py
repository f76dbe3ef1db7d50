"""Claims about how far methods are apart, checked against Tables 3, 4, 5 and 21."""

import numpy as np

from mergelaw.laws import published
from mergelaw.laws.analyses.published_claims import (
    Claim,
    all_follow,
    at_most,
    compute,
    equal,
    percent_fall,
)
from mergelaw.laws.analyses.published_laws import macro_loss
from mergelaw.laws.forms import Array
from mergelaw.laws.published import POOL, Printed, number, place


def claims() -> list[Claim]:
    """Return all checked claims about differences between methods."""
    result = [
        _gaps_at_pool("task_arithmetic", "Task Arithmetic"),
        _gaps_at_pool("ties", "TIES"),
        _ties_of_one(),
    ]
    return result + _dare_claims()


def _gaps_at_pool(method: str, name: str) -> Claim:
    rows = [row for row in published.rows("gaps", method=method) if row["k"] == POOL]
    sizes = [float(row["n_params_billions"]) for row in rows]

    def percents(average: Array, other: Array) -> Array:
        return np.array(
            [-percent_fall(*(macro_loss(p, n, POOL) for p in (average, other))) for n in sizes]
        )

    return all_follow(
        f"Macro loss of {name} beside that of Average at k = 9, in percent: sizes that follow",
        "appendix J.3",
        [f"{n:g}B" for n in sizes],
        published.printed(row["percent"] for row in rows),
        compute(percents, published.joint_fits("average"), published.joint_fits(method)),
        f"computed from the joint fits of Tables 3 and {published.JOINT_FITS[method]}, whose own "
        "errors are of the order of 1%",
    )


def _ties_of_one() -> Claim:
    loss = [
        compute(lambda p: macro_loss(p, 0.5, 1), published.joint_fits(method))
        for method in ("average", "ties")
    ]
    return equal(
        "TIES of one expert at density 1 and scale 1 is the expert, as is Average's: macro loss, "
        "0.5B, k = 1",
        "Table 1, Table 5",
        Printed(*loss[0]),
        loss[1],
        "Table 5 beside Table 3: TIES there has another scale than in Table 1, most likely 0.5",
    )


def _dare_claims() -> list[Claim]:
    fits = published.joint_fits("average")
    result = [
        at_most(
            f"Methods differ by less than this percentage from k = 8: DARE and Average, {n:g}B",
            place("gap_largest"),
            number("gap_largest"),
            compute(
                lambda p, dare, n=n: -percent_fall(macro_loss(p, n, 8), dare[0]),
                fits,
                published.column("21", "mean", n_params_billions=n, k=8),
            ),
            "Table 21 beside the joint fits of Table 3",
        )
        for n in (0.5, 32)
    ]
    result += [
        equal(
            f"DARE of one expert is the expert but for its mask: macro loss, {size}, k = 1",
            f"Table 21, {place(f'average_{size}_k1')}",
            number(f"average_{size}_k1"),
            compute(lambda dare: dare[0], published.column("21", "mean", n_params_billions=n, k=1)),
            "Table 21's DARE beside Average in the text: the same experts at k = 1",
        )
        for size, n in (("0.5B", 0.5), ("32B", 32))
    ]
    result.append(
        equal(
            "Average, 32B: the in-domain macro loss and the cross-domain one are the same at the "
            "last k",
            f"{place('average_32B_k9')}, {place('cross_average_32B_last')}",
            number("average_32B_k9"),
            compute(lambda loss: loss, number("cross_average_32B_last")),
            "both are means over nine domains of the same merges, as far as is said",
        )
    )
    return result
