"""Analysis: derivatives, integrals, limits, series and extreme values."""

import math
import random
from fractions import Fraction

from mergelaw.data.domains.problem import Problem, Template
from mergelaw.data.domains.wording import factor, nonzero, polynomial, signed

FUNCTIONS = ("f", "g", "h")
RATIOS = tuple(
    Fraction(above, below)
    for below in range(2, 21)
    for above in range(1 - below, below)
    if math.gcd(above, below) == 1
)


def derivative_value(rng: random.Random) -> Problem:
    """Differentiate a cubic and evaluate the derivative at a point."""
    f, point = rng.choice(FUNCTIONS), nonzero(rng, 6)
    a, b, c = rng.randint(1, 6), nonzero(rng, 9), nonzero(rng, 20)
    formula = f"{f}(x) = {polynomial((a, b, c, 0))}"
    prompt = rng.choice(
        (f"Let {formula}. Find {f}'({point}).", f"Differentiate {formula} at x = {point}.")
    )
    slope = 3 * a * point**2 + 2 * b * point + c
    terms = f"{3 * a} * {point**2} {signed(2 * b)} * {factor(point)} {signed(c)}"
    steps = (
        f"{f}'(x) = {polynomial((3 * a, 2 * b, c))}",
        f"{f}'({point}) = {terms} = {slope}",
    )
    return Problem(prompt, steps, str(slope))


def definite_integral(rng: random.Random) -> Problem:
    """Integrate a quadratic through its antiderivative."""
    x = rng.choice("xtus")
    a, b = rng.randint(1, 8), nonzero(rng, 10)
    low = rng.randint(-3, 3)
    high = low + rng.randint(1, 4)
    integrand = polynomial((3 * a, 2 * b, 0), x)
    prompt = rng.choice(("Integrate", "Find the integral of"))
    prompt = f"{prompt} ({integrand}) d{x} from {low} to {high}."
    top, bottom = (a * end**3 + b * end**2 for end in (high, low))
    steps = (
        f"F({x}) = {polynomial((a, b, 0, 0), x)}",
        f"F({high}) = {a * high**3} {signed(b * high**2)} = {top}, "
        f"F({low}) = {a * low**3} {signed(b * low**2)} = {bottom}",
        f"{top} {signed(-bottom)} = {top - bottom}",
    )
    return Problem(prompt, steps, str(top - bottom))


def limit_at_infinity(rng: random.Random) -> Problem:
    """Take the limit of a rational function from its leading terms."""
    degree = rng.randint(2, 5)
    top, bottom = rng.randint(2, 30), rng.randint(2, 30)
    above = f"{top}x^{degree} {signed(nonzero(rng, 40))}x"
    below = f"{bottom}x^{degree} {signed(nonzero(rng, 40))}"
    prompt = f"Find the limit of ({above}) / ({below}) as x -> infinity."
    limit = Fraction(top, bottom)
    steps = (
        f"The leading terms are {top}x^{degree} and {bottom}x^{degree}",
        f"Their ratio tends to {top} / {bottom} = {limit}",
    )
    return Problem(prompt, steps, str(limit))


def limit_at_removable_gap(rng: random.Random) -> Problem:
    """Cancel the vanishing factor of a quotient and take the limit."""
    point, other, lead = nonzero(rng, 30), nonzero(rng, 30), rng.randint(2, 9)
    above = polynomial((lead, -lead * (point + other), lead * point * other))
    below = polynomial((1, -point))
    prompt = rng.choice(("Find the limit of", "Evaluate the limit of"))
    prompt = f"{prompt} ({above}) / ({below}) as x -> {point}."
    limit = lead * (point - other)
    steps = (
        f"Cancel {below}: {lead}({polynomial((1, -other))})",
        f"At x = {point}: {lead} * ({point} {signed(-other)}) = {limit}",
    )
    return Problem(prompt, steps, str(limit))


def extreme_value(rng: random.Random) -> Problem:
    """Find the extreme value of a parabola from the zero of its derivative."""
    f, point = rng.choice(FUNCTIONS), nonzero(rng, 12)
    a, c = nonzero(rng, 9), nonzero(rng, 60)
    b, kind = -2 * a * point, "minimum" if a > 0 else "maximum"
    prompt = f"Find the {kind} of {f}(x) = {polynomial((a, b, c))}."
    square, value = a * point**2, a * point**2 + b * point + c
    steps = (
        f"{f}'(x) = {polynomial((2 * a, b))} vanishes at x = {point}",
        f"{f}({point}) = {square} {signed(b * point)} {signed(c)} = {value}",
    )
    return Problem(prompt, steps, f"{kind} {value} at x = {point}")


def geometric_series(rng: random.Random) -> Problem:
    """Sum an infinite geometric series with a rational ratio."""
    ratio = rng.choice(RATIOS)
    first = (ratio.denominator - ratio.numerator) * nonzero(rng, 40)
    prompt = rng.choice(
        (
            f"Sum the infinite geometric series with first term {first} and ratio {ratio}.",
            f"A geometric series starts with {first} and has ratio {ratio}. Find its sum.",
        )
    )
    total = first / (1 - ratio)
    steps = (
        f"1 - ratio = 1 {'-' if ratio > 0 else '+'} {abs(ratio)} = {1 - ratio}",
        f"Sum = {first} / ({1 - ratio}) = {total}",
    )
    return Problem(prompt, steps, str(total))


def chain_rule(rng: random.Random) -> Problem:
    """Differentiate a power of a linear function at a point."""
    f, power, slope = rng.choice(FUNCTIONS), rng.randint(2, 4), rng.randint(2, 12)
    point, inner = rng.randint(-12, 12), nonzero(rng, 12)
    shift = inner - slope * point
    linear = polynomial((slope, shift))
    prompt = rng.choice(
        (
            f"Let {f}(x) = ({linear})^{power}. Find {f}'({point}).",
            f"Find the slope of {f}(x) = ({linear})^{power} at x = {point}.",
        )
    )
    outer, raised = power * slope, inner ** (power - 1)
    exponent = "" if power == 2 else f"^{power - 1}"
    steps = (
        f"Chain rule: {f}'(x) = {outer}({linear}){exponent}",
        f"{slope} * {factor(point)} {signed(shift)} = {inner}",
        f"{f}'({point}) = {outer} * {factor(raised)} = {outer * raised}",
    )
    return Problem(prompt, steps, str(outer * raised))


def tangent_line(rng: random.Random) -> Problem:
    """Write the tangent of a parabola at a point."""
    a, b, c = rng.randint(1, 9), nonzero(rng, 15), nonzero(rng, 30)
    point = nonzero(rng, 8)
    curve = f"y = {polynomial((a, b, c))}"
    prompt = rng.choice(("Find the tangent to", "Give the tangent line of"))
    prompt = f"{prompt} {curve} at x = {point}."
    slope, height = 2 * a * point + b, a * point**2 + b * point + c
    start = height - slope * point
    steps = (
        f"Slope y' = {2 * a} * {factor(point)} {signed(b)} = {slope}, height y = {height}",
        f"Intercept {height} - {factor(slope)} * {factor(point)} = {start}",
    )
    return Problem(prompt, steps, f"y = {polynomial((slope, start))}")


TEMPLATES: tuple[Template, ...] = (
    derivative_value,
    definite_integral,
    limit_at_infinity,
    limit_at_removable_gap,
    extreme_value,
    geometric_series,
    chain_rule,
    tangent_line,
)
