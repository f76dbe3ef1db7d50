"""Solve the algebra prompts by evaluating both sides at points, by search and by interpolation."""

import re
from fractions import Fraction


def _value(expression, point):
    """Evaluate text such as "3x^2 - (x + 1)(x - 2)" at a point."""
    text = re.sub(r"(?<=[\dx)])(?=[x(])", "*", re.sub(r"[a-z]", "x", expression))
    text = text.replace("^", "**")
    return eval(text, {"x": Fraction(point)})


def _root(left, right):
    at_zero = _value(left, 0) - _value(right, 0)
    at_one = _value(left, 1) - _value(right, 1)
    return at_zero / (at_zero - at_one)


def linear_equation(prompt):
    unknown = re.search(r"(?:for|Find) ([a-z])\b", prompt)[1]
    left, right = re.search(r"(-?\d+[a-z][^=:]*) = (-?\d+)", prompt).groups()
    return f"{unknown} = {_root(left, right)}"


def equation_with_unknown_on_both_sides(prompt):
    left, right = re.search(r"(\d+[a-z] [+-] \d+) = (\d+[a-z](?: [+-] \d+)?)", prompt).groups()
    return f"{re.search('[a-z]', left)[0]} = {_root(left, right)}"


def linear_system(prompt):
    x, y, total = re.search(r"system (\w) \+ (\w) = (\d+)", prompt).groups()
    high, low, weighted = map(int, re.search(r"and (\d+)\w \+ (\d+)\w = (\d+)", prompt).groups())
    (first,) = [
        value for value in range(1000) if high * value + low * (int(total) - value) == weighted
    ]
    return f"{x} = {first}, {y} = {int(total) - first}"


def quadratic_roots(prompt):
    left = re.search(r"(\d+\w\^2.*) = 0", prompt)[1]
    x = re.search("[a-z]", left)[0]
    roots = [point for point in range(-100, 101) if _value(left, point) == 0]
    return " or ".join(f"{x} = {root}" for root in roots)


def polynomial_value(prompt):
    formula = re.search(r"\(x\) = (.*?)(?:,| at)", prompt)[1]
    point = re.search(r"(?:find \w\(|x = )(-?\d+)", prompt)[1]
    return str(_value(formula, point))


def linear_inequality(prompt):
    pattern = r"(-?\d+([a-z]) [+-] \d+) (<=|>=|<|>) (-?\d+)"
    left, unknown, sign, right = re.search(pattern, prompt).groups()
    bound = _root(left, right)

    def holds(point):
        return eval(f"{_value(left, point)} {sign} {right}")

    solved = (">" if holds(bound + 1) else "<") + ("=" if holds(bound) else "")
    return f"{unknown} {solved} {bound}"


def expand_product(prompt):
    product = re.search(r"\(.*\)", prompt)[0]
    x = re.search("[a-z]", product)[0]
    constant, above, below = (_value(product, point) for point in (0, 1, -1))
    square, linear = (above + below) / 2 - constant, (above - below) / 2
    text = f"{square}{x}^2"
    if linear:
        size = "" if abs(linear) == 1 else abs(linear)
        text += f" {'-' if linear < 0 else '+'} {size}{x}"
    return text + f" {'-' if constant < 0 else '+'} {abs(constant)}"


def combine_powers(prompt):
    base, first, again, second, below, divisor = map(
        int, re.search(r"(\d+)\^(\d+) \* (\d+)\^(\d+) / (\d+)\^(\d+)", prompt).groups()
    )
    value = base**first * again**second // below**divisor
    power = 0
    while value > 1:
        value, power = value // base, power + 1
    return f"{base}^{power}"


def quadratic_roots_steps(prompt, steps):
    """Check that the monic equation of the first step has the same values but for a factor."""
    lead, monic = re.search(r"Divide by (\d+): (.*) = 0", steps[0]).groups()
    equation = re.search(r"(\d+\w\^2.*) = 0", prompt)[1]
    return all(
        _value(equation, point) == int(lead) * _value(monic, point) for point in range(-3, 4)
    )
