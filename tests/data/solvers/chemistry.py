"""Solve the chemistry prompts: balance by search, weigh with measured atomic masses."""

import math
import re
from collections import Counter
from fractions import Fraction
from functools import cache
from itertools import product

MEASURED_MASSES = {
    "H": 1.008, "He": 4.003, "Li": 6.94, "C": 12.011, "N": 14.007, "O": 15.999, "F": 18.998,
    "Ne": 20.180, "Na": 22.990, "Mg": 24.305, "Al": 26.982, "Si": 28.085, "P": 30.974, "S": 32.06,
    "Cl": 35.45, "Ar": 39.95, "K": 39.098, "Ca": 40.078, "Ti": 47.867, "Cr": 51.996, "Mn": 54.938,
    "Fe": 55.845, "Cu": 63.546, "Zn": 65.38, "Br": 79.904, "Ag": 107.868, "I": 126.904,
    "Ba": 137.327, "Pb": 207.2,
}  # fmt: skip
WITH_HALVES = {"Cl", "Cu", "Zn", "Ba"}


def _numbers(text):
    return [Fraction(number) for number in re.findall(r"(?<![\w(])\d+(?:\.\d+)?(?![\w.])", text)]


def _decimal(value):
    text = f"{float(value):.6f}".rstrip("0").rstrip(".")
    assert Fraction(text) == value
    return text


def _school_mass(element):
    steps = 2 if element in WITH_HALVES else 1
    return Fraction(math.floor(MEASURED_MASSES[element] * steps + 0.5), steps)


@cache
def _atoms(formula):
    """Count atoms from right to left, so that a number comes before what it counts."""
    counts, factors, number = Counter(), [1], 1
    for token in reversed(re.findall(r"[A-Z][a-z]?|\d+|[()]", formula)):
        if token.isdigit():
            number = int(token)
            continue
        if token == ")":
            factors.append(factors[-1] * number)
        elif token == "(":
            factors.pop()
        else:
            counts[token] += factors[-1] * number
        number = 1
    return counts


def _weight(formula):
    return sum(count * _school_mass(element) for element, count in _atoms(formula).items())


@cache
def _balanced(equation):
    """Find the least coefficients of "A + B -> C + D" by search."""
    left, right = (side.split(" + ") for side in equation.split(" -> "))
    species = left + right
    elements = sorted({element for formula in species for element in _atoms(formula)})
    signs = [1] * len(left) + [-1] * len(right)
    rows = [
        [sign * _atoms(formula)[element] for formula, sign in zip(species, signs, strict=True)]
        for element in elements
    ]
    for coefficients in product(range(1, 14), repeat=len(species)):
        if all(sum(map(int.__mul__, row, coefficients)) == 0 for row in rows):
            return dict(zip(species, coefficients, strict=True))
    raise AssertionError(f"cannot balance {equation}")


def mass_of_moles(prompt):
    amount, formula = re.search(r"([\d.]+) mol of ([\w()]+)", prompt).groups()
    return f"{_decimal(Fraction(amount) * _weight(formula))} g"


def moles_in_mass(prompt):
    mass, formula = re.search(r"([\d.]+) g of ([\w()]+)", prompt).groups()
    return f"{_decimal(Fraction(mass) / _weight(formula))} mol"


def _partner_moles(prompt, asked):
    equation = re.search(r"(?:Balance )?(.*?)[:.] ", prompt)[1]
    amount, given = re.search(r"([\d.]+) mol of ([\w()]+)\?", prompt).groups()
    coefficients = _balanced(equation)
    return Fraction(amount) / coefficients[given] * coefficients[asked]


def reaction_moles(prompt):
    asked = re.search(r"How much (\S+) goes with", prompt)[1]
    return f"{_decimal(_partner_moles(prompt, asked))} mol {asked}"


def reaction_mass(prompt):
    asked = re.search(r"mass of (\S+) per", prompt)[1]
    return f"{_decimal(_partner_moles(prompt, asked) * _weight(asked))} g"


def dilution(prompt):
    strong, total, weak = _numbers(prompt)
    return f"{_decimal(total / (strong / weak))} mL"


def strong_acid_ph(prompt):
    amount = float(re.search(r"([\d.]+) mmol", prompt)[1])
    volume = float(re.search(r"([\d.]+) mL", prompt)[1])
    acidity = -math.log10(amount / volume)
    assert abs(acidity - round(acidity)) < 1e-9
    return f"pH {14 - round(acidity) if 'OH' in prompt else round(acidity)}"


def titration(prompt):
    burette, strength, sample = _numbers(prompt)
    acid = re.search(r"mL of (\w+)\. ", prompt)[1]
    protons = 2 if acid.startswith("H2") else 1
    return f"{_decimal(burette * strength / (sample * protons))} M"


def gas_volume(prompt):
    mass, formula = re.search(r"([\d.]+) g of (\w+) gas", prompt).groups()
    return f"{_decimal(Fraction(mass) * Fraction(224, 10) / _weight(formula))} L"


def reaction_moles_steps(prompt, steps):
    """Check that the balanced equation holds every atom and the species of the prompt."""
    sides = steps[0].split(" -> ")
    totals, species = [Counter(), Counter()], []
    for total, side in zip(totals, sides, strict=True):
        for count, formula in re.findall(r"(\d*)([A-Z(][\w()]*)", side):
            species.append(formula)
            for element, atoms in _atoms(formula).items():
                total[element] += atoms * int(count or 1)
    asked = re.search(r"(?:Balance )?(.*?)[:.] ", prompt)[1]
    return totals[0] == totals[1] and species == re.split(r" \+ | -> ", asked)


reaction_mass_steps = reaction_moles_steps


def strong_acid_ph_steps(prompt, steps):
    return steps[1].startswith("Strong base" if "OH" in prompt else "Strong acid")
