"""Geometry: points and distances, angles, areas, solids, similarity and circles."""

import math
import random
from fractions import Fraction

from mergelaw.data.domains.problem import Problem, Template
from mergelaw.data.domains.wording import decimal_text, nonzero, polynomial, signed

UNITS = ("mm", "cm", "dm", "m")
LONGEST_LEG = 40
TRIPLES = tuple(
    (a, b, math.isqrt(a * a + b * b))
    for a in range(1, LONGEST_LEG + 1)
    for b in range(1, LONGEST_LEG + 1)
    if math.isqrt(a * a + b * b) ** 2 == a * a + b * b
)
QUADRILATERALS = ("ABCD", "EFGH", "JKLM", "PQRS", "TUVW", "KLMN", "WXYZ", "DEFG")
TRIANGLES = ("ABC", "DEF", "GHK", "LMN", "PQR", "STU", "XYZ")


def distance_between_points(rng: random.Random) -> Problem:
    """Measure a segment whose length is the hypotenuse of an integer triangle."""
    across, up, length = rng.choice(TRIPLES)
    x, y = rng.randint(-20, 20), rng.randint(-20, 20)
    across, up = across * rng.choice((-1, 1)), up * rng.choice((-1, 1))
    start, end = rng.choice(("AB", "CD", "MN", "PQ"))
    points = f"{start}({x}, {y}) and {end}({x + across}, {y + up})"
    prompt = rng.choice((f"How far apart are {points}?", f"Find the distance between {points}."))
    steps = (
        f"Differences {x + across} {signed(-x)} = {across}, {y + up} {signed(-y)} = {up}",
        f"{across**2} + {up**2} = {length**2} = {length}^2",
    )
    return Problem(prompt, steps, str(length))


def quadrilateral_angle(rng: random.Random) -> Problem:
    """Find the fourth angle of a quadrilateral."""
    name = rng.choice(QUADRILATERALS)
    angles = [rng.randint(40, 115) for _ in range(3)]
    total = sum(angles)
    given = ", ".join(f"{corner} = {angle}" for corner, angle in zip(name, angles, strict=False))
    prompt = f"Quadrilateral {name} has angles {given} degrees. Find angle {name[3]}."
    steps = (
        f"Known angles {' + '.join(map(str, angles))} = {total}",
        f"Angle {name[3]} = 360 - {total} = {360 - total}",
    )
    return Problem(prompt, steps, f"{360 - total} degrees")


def triangle_area(rng: random.Random) -> Problem:
    """Compute the area of a triangle with a vertex at the origin."""
    a, b, c = (rng.randint(1, 20) for _ in range(3))
    d = rng.choice([height for height in range(1, 21) if a * height != b * c])
    prompt = rng.choice(
        (
            f"Find the area of the triangle with vertices (0, 0), ({a}, {b}), ({c}, {d}).",
            f"What area has the triangle (0, 0), ({a}, {b}), ({c}, {d})?",
        )
    )
    cross = a * d - c * b
    area = decimal_text(Fraction(abs(cross), 2))
    steps = (
        f"Cross product {a} * {d} - {c} * {b} = {cross}",
        f"Half its size: {abs(cross)} / 2 = {area}",
    )
    return Problem(prompt, steps, area)


def trapezoid_area(rng: random.Random) -> Problem:
    """Compute the area of a trapezoid."""
    unit, height = rng.choice(UNITS), rng.randint(2, 30)
    short = rng.randint(3, 40)
    long = short + rng.randint(2, 30)
    prompt = (
        f"A trapezoid has parallel sides {short} {unit} and {long} {unit} "
        f"and height {height} {unit}. Find its area."
    )
    mean = decimal_text(Fraction(short + long, 2))
    area = decimal_text(Fraction((short + long) * height, 2))
    steps = (
        f"Mean side ({short} + {long}) / 2 = {mean}",
        f"Area {mean} * {height} = {area}",
    )
    return Problem(prompt, steps, f"{area} {unit}^2")


def box_surface(rng: random.Random) -> Problem:
    """Compute the surface of a rectangular box."""
    unit = rng.choice(UNITS)
    a, b, c = (rng.randint(2, 20) for _ in range(3))
    prompt = rng.choice(("A rectangular box is", "A cuboid measures"))
    prompt = f"{prompt} {a} by {b} by {c} {unit}. Find its surface area."
    faces = a * b + a * c + b * c
    steps = (
        f"{a} * {b} = {a * b}, {a} * {c} = {a * c}, {b} * {c} = {b * c}",
        f"2 * ({a * b} + {a * c} + {b * c}) = {2 * faces}",
    )
    return Problem(prompt, steps, f"{2 * faces} {unit}^2")


def cylinder_surface(rng: random.Random) -> Problem:
    """Compute the total surface of a cylinder as a multiple of pi."""
    unit, radius, height = rng.choice(UNITS), rng.randint(2, 60), rng.randint(2, 99)
    prompt = rng.choice(
        (
            f"Find the total surface of a cylinder of radius {radius} {unit} "
            f"and height {height} {unit}.",
            f"A cylinder has radius {radius} {unit} and height {height} {unit}. "
            "Find its total surface.",
        )
    )
    total = radius + height
    steps = (
        f"Surface is 2 pi r (r + h) with r + h = {radius} + {height} = {total}",
        f"2 * {radius} * {total} = {2 * radius * total}",
    )
    return Problem(prompt, steps, f"{2 * radius * total} pi {unit}^2")


def similar_triangles(rng: random.Random) -> Problem:
    """Scale a side between similar triangles."""
    one_triangle, other_triangle = rng.sample(TRIANGLES, 2)
    a, b, c = list(one_triangle)
    d, e, f = list(other_triangle)
    top, bottom = rng.sample(range(2, 10), 2)
    one, two = rng.randint(2, 12), rng.randint(2, 12)
    factor = Fraction(top, bottom)
    known, image, other = bottom * one, top * one, bottom * two
    prompt = (
        f"Triangles {one_triangle} and {other_triangle} are similar, {a}{b} = {known}, "
        f"{d}{e} = {image}, {b}{c} = {other}. Find {e}{f}."
    )
    steps = (
        f"Scale factor {d}{e} / {a}{b} = {image} / {known} = {factor}",
        f"{e}{f} = {other} * {factor} = {top * two}",
    )
    return Problem(prompt, steps, f"{e}{f} = {top * two}")


def circle_equation(rng: random.Random) -> Problem:
    """Complete squares to find the centre and the radius of a circle."""
    x, y, radius = nonzero(rng, 15), nonzero(rng, 15), rng.randint(2, 20)
    constant = x * x + y * y - radius * radius
    ending = f" {signed(constant)}" if constant else ""
    equation = f"x^2 + y^2 {signed(-2 * x)}x {signed(-2 * y)}y{ending} = 0"
    prompt = rng.choice(("Find centre and radius of", "Describe the circle"))
    left = f"({polynomial((1, -x))})^2 + ({polynomial((1, -y), 'y')})^2"
    squares = f"{x * x} + {y * y} {signed(-constant)}" if constant else f"{x * x} + {y * y}"
    steps = (
        f"{left} = r^2",
        f"r^2 = {squares} = {radius}^2",
    )
    return Problem(f"{prompt} {equation}.", steps, f"centre ({x}, {y}), radius {radius}")


TEMPLATES: tuple[Template, ...] = (
    distance_between_points,
    quadrilateral_angle,
    triangle_area,
    trapezoid_area,
    box_surface,
    cylinder_surface,
    similar_triangles,
    circle_equation,
)
