"""Solve the analysis prompts by exact difference formulas, Simpson's rule, scans and long sums."""

import re
from fractions import Fraction


def _function(expression):
    text = re.sub(r"[a-z]", "x", expression)
    text = re.sub(r"(?<=[\dx)])(?=[x(])", "*", text).replace("^", "**")
    return lambda point: eval(text, {"x": Fraction(point)})


def _slope(function, point):
    """Differentiate by the five-point formula, exact up to the fourth degree."""
    near = function(point + 1) - function(point - 1)
    far = function(point + 2) - function(point - 2)
    return (8 * near - far) / 12


def _formula_and_point(prompt):
    formula = re.search(r"\w\(x\) = (.*?)(?:\. Find| at)", prompt)[1]
    point = re.search(r"(?:'\(|x = )(-?\d+)", prompt)[1]
    return _function(formula), int(point)


def derivative_value(prompt):
    return str(_slope(*_formula_and_point(prompt)))


def chain_rule(prompt):
    return str(_slope(*_formula_and_point(prompt)))


def definite_integral(prompt):
    integrand, low, high = re.search(r"\((.*)\) d\w from (-?\d+) to (-?\d+)", prompt).groups()
    function, low, high = _function(integrand), int(low), int(high)
    middle = function(Fraction(low + high, 2))
    return str(Fraction(high - low, 6) * (function(low) + 4 * middle + function(high)))


def limit_at_infinity(prompt):
    above, below = re.search(r"\((.*)\) / \((.*)\) as", prompt).groups()
    far = 10**9
    return str((_function(above)(far) / _function(below)(far)).limit_denominator(50))


def limit_at_removable_gap(prompt):
    above, below, point = re.search(r"\((.*)\) / \((.*)\) as x -> (-?\d+)", prompt).groups()
    above, below, point = _function(above), _function(below), int(point)
    sides = [above(near) / below(near) for near in (point - 1, point + 1)]
    return str(sum(sides) / 2)


def extreme_value(prompt):
    kind, formula = re.search(r"the (\w+) of \w\(x\) = (.*)\.", prompt).groups()
    function = _function(formula)
    point = (min if kind == "minimum" else max)(range(-50, 51), key=function)
    return f"{kind} {function(point)} at x = {point}"


def geometric_series(prompt):
    first = int(re.search(r"(?:first term|starts with) (-?\d+)", prompt)[1])
    ratio = float(Fraction(re.search(r"ratio (-?\d+/\d+)", prompt)[1]))
    total = sum(first * ratio**n for n in range(1500))
    assert abs(total - round(total)) < 1e-6
    return str(round(total))


def tangent_line(prompt):
    formula, point = re.search(r"y = (.*) at x = (-?\d+)", prompt).groups()
    function, point = _function(formula), int(point)
    slope = (function(point + 1) - function(point - 1)) / 2
    start = function(point) - slope * point
    if slope == 0:
        return f"y = {start}"
    steep = {1: "x", -1: "-x"}.get(slope, f"{slope}x")
    if start == 0:
        return f"y = {steep}"
    return f"y = {steep} {'-' if start < 0 else '+'} {abs(start)}"


def _derivative_holds(step, function):
    """Compare a derivative written as "f'(x) = 6x^2 - 4" with difference quotients."""
    written = _function(re.search(r"'\(x\) = (.*?)(?: vanishes|$)", step)[1])
    return all(written(point) == _slope(function, point) for point in range(-3, 4))


def derivative_value_steps(prompt, steps):
    return _derivative_holds(steps[0], _formula_and_point(prompt)[0])


chain_rule_steps = derivative_value_steps


def definite_integral_steps(prompt, steps):
    integrand = _function(re.search(r"\((.*)\) d", prompt)[1])
    antiderivative = _function(steps[0].split(" = ")[1])
    return all(_slope(antiderivative, point) == integrand(point) for point in range(-3, 4))


def extreme_value_steps(prompt, steps):
    function = _function(re.search(r"\w\(x\) = (.*)\.", prompt)[1])
    point = int(steps[0].rsplit(" ", 1)[1])
    return _derivative_holds(steps[0], function) and _slope(function, point) == 0


def limit_at_removable_gap_steps(prompt, steps):
    above = _function(re.search(r"\((.*?)\) / ", prompt)[1])
    gap, rest = map(_function, re.search(r"Cancel (.*): (.*)", steps[0]).groups())
    return all(above(point) == gap(point) * rest(point) for point in range(-3, 4))


def tangent_line_steps(prompt, steps):
    formula, point = re.search(r"y = (.*) at x = (-?\d+)", prompt).groups()
    height = int(steps[0].rsplit(" ", 1)[1])
    return _function(formula)(int(point)) == height
