"""Algebra: equations, systems, inequalities, polynomials and powers."""

import random

from mergelaw.data.domains.problem import Problem, Template
from mergelaw.data.domains.wording import factor, nonzero, polynomial, signed

UNKNOWNS = ("x", "y", "z", "t", "w")
FLIPPED = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}


def linear_equation(rng: random.Random) -> Problem:
    """Solve ax + b = c for an integer unknown."""
    x = rng.choice(UNKNOWNS)
    slope, root, shift = rng.randint(2, 19), nonzero(rng, 40), nonzero(rng, 99)
    product = slope * root
    equation = f"{polynomial((slope, shift), x)} = {product + shift}"
    prompt = rng.choice((f"Solve for {x}: {equation}.", f"Find {x} if {equation}."))
    steps = (
        f"{slope}{x} = {product + shift} {signed(-shift)} = {product}",
        f"{x} = {product} / {slope} = {root}",
    )
    return Problem(prompt, steps, f"{x} = {root}")


def equation_with_unknown_on_both_sides(rng: random.Random) -> Problem:
    """Solve ax + b = cx + d for an integer unknown."""
    x = rng.choice(UNKNOWNS)
    right, gap, root = rng.randint(2, 12), rng.randint(2, 12), nonzero(rng, 25)
    left, shift = right + gap, nonzero(rng, 60)
    other = gap * root + shift
    equation = f"{polynomial((left, shift), x)} = {polynomial((right, other), x)}"
    prompt = rng.choice((f"Solve the equation {equation}.", f"Which {x} satisfies {equation}?"))
    steps = (
        f"Collect {x}: {left} - {right} = {gap}",
        f"Collect numbers: {other} {signed(-shift)} = {gap * root}",
        f"{x} = {gap * root} / {gap} = {root}",
    )
    return Problem(prompt, steps, f"{x} = {root}")


def linear_system(rng: random.Random) -> Problem:
    """Solve x + y = s and ax + by = t by elimination."""
    x, y = rng.choice((("x", "y"), ("u", "v"), ("p", "q"), ("a", "b")))
    first, second = rng.randint(1, 40), rng.randint(1, 40)
    low, gap = rng.randint(2, 7), rng.randint(1, 6)
    high, total = low + gap, first + second
    weighted = high * first + low * second
    prompt = f"Solve the system {x} + {y} = {total} and {high}{x} + {low}{y} = {weighted}."
    difference = polynomial((gap, 0), x)
    steps = (
        f"Eliminate {y}: {difference} = {weighted} - {low} * {total} = {gap * first}",
        f"{x} = {gap * first} / {gap} = {first}",
        f"{y} = {total} - {first} = {second}",
    )
    return Problem(prompt, steps, f"{x} = {first}, {y} = {second}")


def quadratic_roots(rng: random.Random) -> Problem:
    """Factor a quadratic with two distinct integer roots."""
    x = rng.choice(UNKNOWNS)
    low, high = sorted(rng.sample([root for root in range(-20, 21) if root], 2))
    lead, total, product = rng.randint(2, 9), low + high, low * high
    equation = polynomial((lead, -lead * total, lead * product), x)
    monic = polynomial((1, -total, product), x)
    prompt = rng.choice((f"Find the roots of {equation} = 0.", f"Factor and solve {equation} = 0."))
    steps = (
        f"Divide by {lead}: {monic} = 0",
        f"Sum {low} {signed(high)} = {total}, product {factor(low)} * {factor(high)} = {product}",
    )
    return Problem(prompt, steps, f"{x} = {low} or {x} = {high}")


def polynomial_value(rng: random.Random) -> Problem:
    """Evaluate a quadratic polynomial at an integer."""
    name, point = rng.choice("pqr"), nonzero(rng, 9)
    a, b, c = rng.randint(2, 9), nonzero(rng, 15), nonzero(rng, 60)
    formula = f"{name}(x) = {polynomial((a, b, c))}"
    prompt = rng.choice(
        (f"If {formula}, find {name}({point}).", f"Evaluate {formula} at x = {point}.")
    )
    square, middle = a * point**2, b * point
    steps = (
        f"{a} * {point**2} = {square} and {factor(b)} * {factor(point)} = {middle}",
        f"{name}({point}) = {square} {signed(middle)} {signed(c)} = {square + middle + c}",
    )
    return Problem(prompt, steps, str(square + middle + c))


def linear_inequality(rng: random.Random) -> Problem:
    """Solve ax + b < c, turning the sign where a is negative."""
    x, sign = rng.choice(UNKNOWNS), rng.choice(tuple(FLIPPED))
    slope = rng.choice((-1, 1)) * rng.randint(2, 15)
    bound, shift = nonzero(rng, 30), nonzero(rng, 60)
    product = slope * bound
    inequality = f"{polynomial((slope, shift), x)} {sign} {product + shift}"
    prompt = rng.choice((f"Solve the inequality {inequality}.", f"For which {x} is {inequality}?"))
    solved = f"{x} {FLIPPED[sign] if slope < 0 else sign} {bound}"
    rule = "negative, so flip the sign" if slope < 0 else "positive, so keep the sign"
    steps = (
        f"{slope}{x} {sign} {product + shift} {signed(-shift)} = {product}",
        f"{product} / {factor(slope)} = {bound}, {rule}",
    )
    return Problem(prompt, steps, solved)


def expand_product(rng: random.Random) -> Problem:
    """Expand the product of two linear factors."""
    x = rng.choice(UNKNOWNS)
    a, c = rng.randint(2, 9), rng.randint(2, 9)
    b, d = nonzero(rng, 12), nonzero(rng, 12)
    product = f"({polynomial((a, b), x)})({polynomial((c, d), x)})"
    prompt = rng.choice((f"Expand {product}.", f"Multiply out {product}."))
    middle = a * d + b * c
    steps = (
        f"Lead {a} * {c} = {a * c}, constant {factor(b)} * {factor(d)} = {b * d}",
        f"Middle {a} * {factor(d)} {signed(b)} * {c} = {middle}",
    )
    return Problem(prompt, steps, polynomial((a * c, middle, b * d), x))


def combine_powers(rng: random.Random) -> Problem:
    """Write a quotient of powers of one base as a single power."""
    base = rng.randint(2, 60)
    first, second = rng.randint(3, 30), rng.randint(3, 30)
    total = first + second
    divisor = rng.randint(2, total - 2)
    quotient = f"{base}^{first} * {base}^{second} / {base}^{divisor}"
    prompt = rng.choice((f"Simplify {quotient}.", f"Write {quotient} as a single power."))
    steps = (
        f"Multiplying adds exponents: {first} + {second} = {total}",
        f"Dividing subtracts: {total} - {divisor} = {total - divisor}",
    )
    return Problem(prompt, steps, f"{base}^{total - divisor}")


TEMPLATES: tuple[Template, ...] = (
    linear_equation,
    equation_with_unknown_on_both_sides,
    linear_system,
    quadratic_roots,
    polynomial_value,
    linear_inequality,
    expand_product,
    combine_powers,
)
