"""Solve the physics prompts by other formulas than the worked steps use."""

import re
from fractions import Fraction

DENSITY_KG_PER_M3 = {
    "aluminium": 2700,
    "iron": 7900,
    "copper": 9000,
    "lead": 11300,
    "gold": 19300,
    "silver": 10500,
    "zinc": 7100,
    "tin": 7300,
    "titanium": 4500,
    "platinum": 21500,
    "magnesium": 1700,
    "tungsten": 19300,
    "ice": 920,
    "glass": 2500,
    "cork": 240,
}
HEAT_J_PER_KG_K = {
    "water": 4200,
    "ethanol": 2400,
    "aluminium": 900,
    "iron": 450,
    "copper": 390,
    "lead": 130,
    "silver": 240,
    "gold": 130,
    "brass": 380,
    "glass": 840,
    "granite": 790,
    "concrete": 880,
    "zinc": 390,
    "nickel": 440,
}


def _numbers(text):
    return [Fraction(number) for number in re.findall(r"\d+(?:\.\d+)?", text)]


def _decimal(value):
    text = f"{float(value):.6f}".rstrip("0").rstrip(".")
    assert Fraction(text) == value
    return text


def uniform_acceleration(prompt):
    start, rate, _, time = _numbers(prompt)
    return f"{_decimal(start * time + rate * time**2 / 2)} m"


def series_circuit(prompt):
    voltage, one, two = _numbers(prompt)
    current = voltage / (one + two)
    return f"{_decimal(current)} A, {_decimal(current**2 * (one + two))} W"


def braking_force(prompt):
    mass, speed, distance = _numbers(prompt)
    deceleration = speed**2 / (2 * distance)
    return f"{_decimal(mass * deceleration)} N"


def block_mass(prompt):
    (material,) = [name for name in DENSITY_KG_PER_M3 if f" {name} " in prompt]
    a, b, c = (side / 100 for side in _numbers(prompt))
    return f"{_decimal(a * b * c * DENSITY_KG_PER_M3[material] * 1000)} g"


def wave_travel(prompt):
    frequency, wavelength, distance = _numbers(prompt)
    waves = distance / wavelength
    return f"{_decimal(waves / frequency)} s"


def thin_lens(prompt):
    height, near, focal = _numbers(prompt)
    beyond = near - focal
    far = focal + focal**2 / beyond
    return f"v = {_decimal(far)} cm, {_decimal(height * focal / beyond)} cm tall"


def sticking_collision(prompt):
    one, speed, two = _numbers(prompt)
    return f"{_decimal(speed / (1 + two / one))} m/s"


def heating(prompt):
    mass, low, high = _numbers(prompt)
    material = re.search(r"kg of (\w+) from", prompt)[1]
    warm, cold = (mass * HEAT_J_PER_KG_K[material] * end for end in (high, low))
    return f"{_decimal((warm - cold) / 1000)} kJ"


def heating_steps(prompt, steps):
    material, capacity = re.search(r"For (\w+) c = ([\d.]+)", steps[1]).groups()
    return Fraction(capacity) * 1000 == HEAT_J_PER_KG_K[material]


def block_mass_steps(prompt, steps):
    material, density = re.search(r"Density of (\w+) is ([\d.]+)", steps[1]).groups()
    return Fraction(density) * 1000 == DENSITY_KG_PER_M3[material]
