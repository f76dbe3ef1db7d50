"""Solve the geometry prompts with lengths, cuts into pieces and distances to a centre."""

import math
import re
from fractions import Fraction
from itertools import combinations


def _integers(text):
    return [int(number) for number in re.findall(r"-?\d+", text)]


def _halves(value):
    """Write a number that is a multiple of one half."""
    whole, rest = divmod(Fraction(value), 1)
    assert rest in (0, Fraction(1, 2))
    return f"{whole}.5" if rest else str(whole)


def distance_between_points(prompt):
    x, y, u, v = _integers(prompt)
    length = math.dist((x, y), (u, v))
    assert length.is_integer()
    return str(int(length))


def quadrilateral_angle(prompt):
    outer = sum(180 - angle for angle in _integers(prompt))
    return f"{180 - (360 - outer)} degrees"


def triangle_area(prompt):
    x, y, a, b, c, d = _integers(prompt)
    corners = ((x, y), (a, b), (c, d))
    sides = [math.dist(one, two) for one, two in combinations(corners, 2)]
    half = sum(sides) / 2
    squared = half * math.prod(half - side for side in sides)
    doubled = 2 * math.sqrt(max(squared, 0.0))
    assert abs(doubled - round(doubled)) < 1e-3
    return _halves(Fraction(round(doubled), 2))


def trapezoid_area(prompt):
    short, long, height = _integers(prompt)
    unit = re.search(r"height \d+ (\w+)", prompt)[1]
    area = short * height + Fraction((long - short) * height, 2)
    return f"{_halves(area)} {unit}^2"


def box_surface(prompt):
    sides = _integers(prompt)
    shell = math.prod(side + 2 for side in sides) - math.prod(sides)
    # Growing a box by 1 on all sides adds its surface, four units per edge triple, and 8 corners.
    return f"{shell - 4 * sum(sides) - 8} {re.search(r'[0-9] ([a-z]+)[.]', prompt)[1]}^2"


def cylinder_surface(prompt):
    radius, height = _integers(prompt)
    caps, side = 2 * radius**2, 2 * radius * height
    return f"{caps + side} pi {re.search(r'radius [0-9]+ ([a-z]+)', prompt)[1]}^2"


def similar_triangles(prompt):
    known, image, other = _integers(prompt)
    length = Fraction(image * other, known)
    return f"{re.search(r'Find ([A-Z]+)', prompt)[1]} = {length}"


def circle_equation(prompt):
    left = re.search(r"(x\^2.*) = 0", prompt)[1]
    text = re.sub(r"(?<=\d)(?=[xy])", "*", left.replace("^", "**"))

    def power(x, y):
        return eval(text, {"x": x, "y": y})

    x = (power(-1, 0) - power(1, 0)) // 4
    y = (power(0, -1) - power(0, 1)) // 4
    radius = math.isqrt(-power(x, y))
    assert radius**2 == -power(x, y)
    return f"centre ({x}, {y}), radius {radius}"
