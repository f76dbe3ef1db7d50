"""Finite fields of few elements, on which planes and difference families are built."""

import math
from functools import lru_cache
from typing import NamedTuple

Element = list[int]
"""Coefficients of a polynomial, the constant one first."""


class Field(NamedTuple):
    """The field of q elements, numbered 0 (zero), 1 (one) to q - 1.

    Attributes
    ----------
    q : int
    plus, times : tuple of tuple of int, shape (q, q)
        Tables of sums and products.
    """

    q: int
    plus: tuple[tuple[int, ...], ...]
    times: tuple[tuple[int, ...], ...]

    def powers(self) -> list[int]:
        """Return the non-zero elements as 1, g, g^2, ... of the first primitive element g."""
        for g in range(1, self.q):
            found = [1]
            while (after := self.times[found[-1]][g]) != 1:
                found.append(after)
            if len(found) == self.q - 1:
                return found
        raise ValueError("no primitive element: not a field")


def prime_power(q: int) -> tuple[int, int] | None:
    """Return (p, n) with q = p^n and p prime; None: q is no power of a prime."""
    p = next((d for d in range(2, math.isqrt(max(q, 0)) + 1) if q % d == 0), q)
    n = 0
    while p > 1 and q % p == 0:
        q, n = q // p, n + 1
    return (p, n) if q == 1 and n else None


@lru_cache(maxsize=32)
def field(q: int) -> Field:
    """Return the field of q elements.

    Elements are polynomials of degree below n over the integers modulo p, q = p^n, the number of
    one being its value at p; products are taken modulo the first monic polynomial of degree n of
    which x is a primitive element: its powers are all elements but zero (Lidl & Niederreiter,
    Finite Fields, 2nd ed. 1997, sections 2.1 and 3.1).

    Raises
    ------
    ValueError
        If q is no power of a prime.
    """
    found = prime_power(q)
    if found is None:
        raise ValueError(f"there is no field of {q} elements: no power of a prime")
    p, n = found
    elements = [[value // p**i % p for i in range(n)] for value in range(q)]
    plus = tuple(
        tuple(_number([(x + y) % p for x, y in zip(a, b, strict=True)], p) for b in elements)
        for a in elements
    )
    powers = next(filter(None, (_powers(low, p, q) for low in elements)))
    logs = {value: exponent for exponent, value in enumerate(powers)}
    times = tuple(
        tuple(powers[(logs[a] + logs[b]) % (q - 1)] if a and b else 0 for b in range(q))
        for a in range(q)
    )
    return Field(q, plus, times)


def _powers(low: Element, p: int, q: int) -> list[int] | None:
    """Return 1, x, x^2, ... modulo x^n + low[n-1] x^(n-1) + ...; None: not all but zero."""
    element = [1] + [0] * (len(low) - 1)
    found: dict[int, None] = {}
    while (number := _number(element, p)) not in found:
        found[number] = None
        top = element[-1]
        shifted = [0, *element[:-1]]
        element = [(c - top * at) % p for c, at in zip(shifted, low, strict=True)]
    return list(found) if len(found) == q - 1 and 0 not in found else None


def _number(element: Element, p: int) -> int:
    return sum(c * p**i for i, c in enumerate(element))
