"""Claims about the spread over subsets and orders (Tables 6, 7, 20, 21 and 22)."""

import numpy as np

from mergelaw.laws import published
from mergelaw.laws.analyses.published_claims import (
    Claim,
    Found,
    all_follow,
    at_least,
    at_most,
    compute,
    equal,
    exact,
)
from mergelaw.laws.forms import Array, finite_pool_variance
from mergelaw.laws.published import POOL, Printed, number, place

FINITE_POOL = "1/k - 1/9: subsets of a pool of nine, drawn without replacement"
INDEPENDENT = "1/k: experts drawn independently, as the paper's law has it"


def claims() -> list[Claim]:
    """Return all checked claims about spread."""
    return [*table_claims(), *pool_claims(), *sixteen_claims(), *order_claims(), *range_claims()]


def table_claims() -> list[Claim]:
    """Return checks of Table 7, which follows from Table 6."""
    rows = published.rows("7")
    names = ("tail_scale", "tail_exponent", "offset")
    fits = {row["domain"]: [row[name] for name in names] for row in published.rows("6")}
    k = np.array([float(row["k"]) for row in rows])
    flat = published.printed(value for row in rows for value in fits[row["domain"]])
    found = compute(lambda values: _tail(values.reshape(-1, 3), 72, k), flat)
    last = published.column("7", "variance", k=POOL)
    return [
        all_follow(
            "The variances of Table 7 follow from Table 6: values that do",
            "Table 7",
            [f"{row['domain']}, k = {row['k']}" for row in rows],
            published.column("7", "variance"),
            found,
            "its limit and size terms are 0 to all digits, so V = tail / (k + offset)",
        ),
        equal(
            "Average, 72B, k = 9: variance over subsets, mean of the domains",
            "Table 7",
            Printed(np.asarray(last.value.mean()), np.asarray(last.half_unit.mean())),
            Found(*exact(float(finite_pool_variance(POOL, 1.0, POOL)))),
            "the whole pool is one subset, which has no variance over subsets",
        ),
    ]


def _tail(fits: Array, n: float, k: Array) -> Array:
    scale, exponent, offset = fits.T
    return np.asarray(scale * n**-exponent / (k + offset))


def pool_claims() -> list[Claim]:
    """Return checks of how the variance falls with k, by the law and by the finite pool's."""
    bounds = [number(f"variance_32B_k8_{end}").value for end in ("least", "largest")]
    last = Printed(np.asarray(np.mean(bounds)), np.asarray(np.ptp(bounds) / 2))
    cases = [
        (
            "Chemistry, 0.5B, Average: variance at k = 8 from that at k = 1",
            *("variance_chemistry_0.5B_k8", number("variance_chemistry_0.5B_k8")),
            *("variance_chemistry_0.5B_k1", 1),
        ),
        (
            "32B, Average: macro variance at k = 8, 3e-5 to 4e-5, from that at k = 2",
            *("variance_32B_k8_least", last, "variance_average_32B_k2", 2),
        ),
    ]
    factors = {
        FINITE_POOL: lambda k: finite_pool_variance(k, 1.0, POOL),
        INDEPENDENT: np.reciprocal,
    }
    return [
        equal(
            f"{claim}, by {law.partition(':')[0]}",
            place(where),
            given,
            compute(lambda v, f=factor, k=k: v * f(8.0) / f(float(k)), number(first)),
            law,
        )
        for claim, where, given, first, k in cases
        for law, factor in factors.items()
    ]


def sixteen_claims() -> list[Claim]:
    """Return checks of Table 20's variances."""
    rows = [row for row in published.rows("20") if row["sd"] is not None]
    sd = published.printed(row["sd"] for row in rows)
    variance = published.printed(row["variance"] for row in rows)
    return [
        all_follow(
            "Sixteen domains: variances that are the square of their sd",
            "Table 20",
            [f"k = {row['k']}" for row in rows],
            variance,
            compute(np.square, sd),
            "computed from the printed sd",
        ),
        equal(
            "Sixteen domains: variance at k = 6 from that at k = 2, by 1/k - 1/16",
            "Table 20",
            variance.part(2),
            compute(
                lambda v: v * finite_pool_variance(6, 1.0, 16) / finite_pool_variance(2, 1.0, 16),
                variance.part(0),
            ),
            "the printed variance rises up to k = 6: no law that falls with k describes it",
        ),
    ]


def order_claims() -> list[Claim]:
    """Return checks of Tables 21 and 22: spread over orders."""
    rows = published.rows("21")
    labels = [f"{row['n_params_billions']}B, k = {row['k']}" for row in rows]
    sd, mean = (published.column("21", name) for name in ("sd", "mean"))
    return [
        all_follow(
            "Orders: coefficients of variation that are sd / mean",
            "Table 21",
            labels,
            published.column("21", "cv"),
            compute(np.divide, sd, mean),
            "computed from the printed sd and mean",
        ),
        all_follow(
            "Orders: sd that follow from the fits of Table 22",
            "Table 21, Table 22",
            labels,
            sd,
            _spread_of_table_22(rows),
            "c0 + c1 / (k + offset); all offsets of Table 22 are at the end of the searched range",
        ),
    ]


def _spread_of_table_22(rows: list[dict[str, object]]) -> Found:
    """Return Table 22's sd at the rows of Table 21."""
    names = ("c0", "c1")
    fits = {row["n_params_billions"]: row for row in published.rows("22")}
    flat = published.printed(fits[row["n_params_billions"]][name] for row in rows for name in names)
    k = np.array([float(str(row["k"])) for row in rows])
    offset = np.array([float(fits[row["n_params_billions"]]["offset"]) for row in rows])

    def spread(values: Array) -> Array:
        c0, c1 = values.reshape(-1, 2).T
        return np.asarray(c0 + c1 / (k + offset))

    return compute(spread, flat)


def range_claims() -> list[Claim]:
    """Return checks of how much spread over orders falls with k."""
    falls = {name: compute(_falls, published.column("21", name)) for name in ("sd", "range")}
    least, largest = (
        Found(pick(falls["sd"].value), falls["sd"].shift[int(arg(falls["sd"].value))])
        for pick, arg in ((np.min, np.argmin), (np.max, np.argmax))
    )
    text = "Orders: the sd falls by {} this percentage from k = 1 to 8"
    reductions = published.column("range reductions", "percent")
    return [
        at_least(
            text.format("at least"),
            place("sd_fall_least"),
            number("sd_fall_least"),
            least,
            "the least of Table 21's three sizes",
        ),
        at_most(
            text.format("at most"),
            place("sd_fall_largest"),
            number("sd_fall_largest"),
            largest,
            "the largest of Table 21's three sizes",
        ),
        all_follow(
            "Orders: percentages by which the range falls from k = 1 to 9, beside Table 21's to "
            "k = 8: sizes that agree",
            "section 4.3, Table 21",
            [f"{row['n_params_billions']}B" for row in published.rows("range reductions")],
            reductions,
            falls["range"],
            "at k = 9 a merge that does not depend on the order has no range but its masks'",
        ),
    ]


def _falls(values: Array) -> Array:
    """Return the percentages by which k = 8 is below k = 1, from rows in this order by size."""
    return np.asarray(100 * (1 - values[1::2] / values[::2]))
