"""Exact numbers and polynomials as text, and the draws that the domains share."""

import random
from collections.abc import Sequence
from fractions import Fraction

LONGEST_DECIMAL = 6


def words(text: str) -> tuple[str, ...]:
    """Split a table of words at its blanks."""
    return tuple(text.split())


def table(text: str) -> dict[str, str]:
    """Read a table of blank-separated "key:value" pairs."""
    return dict(pair.split(":") for pair in text.split())


def nonzero(rng: random.Random, limit: int) -> int:
    """Draw an integer between -limit and limit that is not zero."""
    return rng.choice((-1, 1)) * rng.randint(1, limit)


def signed(value: int) -> str:
    """Write a term of a sum with its sign apart: "+ 3" or "- 3"."""
    return f"- {-value}" if value < 0 else f"+ {value}"


def factor(value: int) -> str:
    """Write a factor of a product, in brackets where it is negative."""
    return f"({value})" if value < 0 else str(value)


def decimal_text(value: Fraction | int) -> str:
    """Write an exact finite decimal without trailing zeros; refuse any other number."""
    scaled = Fraction(value) * 10**LONGEST_DECIMAL
    if scaled.denominator != 1:
        raise ValueError(f"{value} has no decimal of at most {LONGEST_DECIMAL} places")
    whole, rest = divmod(abs(scaled.numerator), 10**LONGEST_DECIMAL)
    sign = "-" if value < 0 else ""
    places = f"{rest:0{LONGEST_DECIMAL}d}".rstrip("0")
    return f"{sign}{whole}.{places}" if places else f"{sign}{whole}"


def polynomial(coefficients: Sequence[int], variable: str = "x") -> str:
    """Write a polynomial, highest power first: (3, -1, 0) gives "3x^2 - x"."""
    text = ""
    for i, value in enumerate(coefficients):
        if value == 0:
            continue
        power = len(coefficients) - 1 - i
        letter = "" if power == 0 else variable if power == 1 else f"{variable}^{power}"
        size = letter if abs(value) == 1 and letter else f"{abs(value)}{letter}"
        if text:
            text += f" - {size}" if value < 0 else f" + {size}"
        else:
            text = f"-{size}" if value < 0 else size
    return text or "0"
