"""Physics: motion, circuits, work, density, waves, lenses, collisions and heat."""

import math
import random
from fractions import Fraction

from mergelaw.data.domains.problem import Problem, Template
from mergelaw.data.domains.wording import decimal_text, table, words

VEHICLES = words("car tram train cyclist boat truck bus skater lorry")
SLIDERS = words("sled crate trolley wagon cart puck block barrel scooter")
OBJECTS = words("candle arrow pin lamp pencil statue bottle key flower")
MEDIA = ("rope", "string", "spring", "wire", "water tank", "steel rod", "air column")
# Density in g/cm^3 at room temperature (ice at 0 C).
DENSITIES = table(
    "aluminium:2.7 iron:7.9 copper:9 lead:11.3 gold:19.3 silver:10.5 zinc:7.1 tin:7.3 "
    "titanium:4.5 platinum:21.5 magnesium:1.7 tungsten:19.3 ice:0.92 glass:2.5 cork:0.24"
)
# Specific heat in kJ/(kg K).
SPECIFIC_HEATS = table(
    "water:4.2 ethanol:2.4 aluminium:0.9 iron:0.45 copper:0.39 lead:0.13 silver:0.24 "
    "gold:0.13 brass:0.38 glass:0.84 granite:0.79 concrete:0.88 zinc:0.39 nickel:0.44"
)


def uniform_acceleration(rng: random.Random) -> Problem:
    """Find the distance covered at constant acceleration."""
    body, start = rng.choice(VEHICLES), rng.randint(2, 30)
    rate, time = rng.randint(1, 6), rng.randint(2, 12)
    prompt = (
        f"A {body} at {start} m/s accelerates at {rate} m/s^2 for {time} s. "
        f"{rng.choice(('How far does it go?', 'Find the distance.'))}"
    )
    final = start + rate * time
    mean = Fraction(start + final, 2)
    distance = decimal_text(mean * time)
    steps = (
        f"Final speed {start} + {rate} * {time} = {final}",
        f"Mean ({start} + {final}) / 2 = {decimal_text(mean)}",
        f"{decimal_text(mean)} * {time} = {distance} m",
    )
    return Problem(prompt, steps, f"{distance} m")


def series_circuit(rng: random.Random) -> Problem:
    """Find current and power of two resistors in series."""
    one, two, amperes = rng.randint(2, 50), rng.randint(2, 50), rng.randint(1, 9)
    volts = amperes * (one + two)
    watts = volts * amperes
    prompt = rng.choice(("A battery of", "A supply of"))
    prompt = f"{prompt} {volts} V feeds {one} ohm and {two} ohm in series. Current and power?"
    steps = (
        f"R = {one} + {two} = {one + two} ohm",
        f"I = {volts} / {one + two} = {amperes} A",
        f"P = {volts} * {amperes} = {watts} W",
    )
    return Problem(prompt, steps, f"{amperes} A, {watts} W")


def braking_force(rng: random.Random) -> Problem:
    """Find the force that takes all kinetic energy over a distance."""
    body, mass, speed = rng.choice(SLIDERS), 2 * rng.randint(1, 40), rng.randint(2, 20)
    distance = rng.choice((2, 4, 5, 8, 10, 20, 25))
    prompt = rng.choice(("What force stops", "Find the braking force on"))
    prompt = f"{prompt} a {mass} kg {body} moving at {speed} m/s within {distance} m"
    energy = mass * speed**2 // 2
    force = decimal_text(Fraction(energy, distance))
    steps = (
        f"Kinetic energy {mass} * {speed}^2 / 2 = {energy} J",
        f"Force {energy} / {distance} = {force} N",
    )
    return Problem(prompt + ("?" if "What" in prompt else "."), steps, f"{force} N")


def block_mass(rng: random.Random) -> Problem:
    """Weigh a block of a known material."""
    material = rng.choice(tuple(DENSITIES))
    a, b, c = (rng.randint(2, 13) for _ in range(3))
    prompt = rng.choice(
        (
            f"Find the mass of a block of {material} of {a} cm x {b} cm x {c} cm.",
            f"What is the mass of a {material} block of {a} cm x {b} cm x {c} cm?",
        )
    )
    density, volume = DENSITIES[material], a * b * c
    mass = decimal_text(Fraction(density) * volume)
    steps = (
        f"{a} * {b} * {c} = {volume} cm^3",
        f"Density of {material} is {density} g/cm^3",
        f"{density} * {volume} = {mass} g",
    )
    return Problem(prompt, steps, f"{mass} g")


def wave_travel(rng: random.Random) -> Problem:
    """Find the travel time of a wave from frequency and wavelength."""
    medium, frequency, time = rng.choice(MEDIA), rng.randint(2, 90), rng.randint(2, 15)
    wavelength = Fraction(rng.randint(2, 40), 10)
    speed = frequency * wavelength
    length, metres = decimal_text(wavelength), decimal_text(speed * time)
    prompt = (
        f"A {frequency} Hz wave on a {medium} has wavelength {length} m. "
        f"How long does it need for {metres} m?"
    )
    steps = (
        f"Speed {frequency} * {length} = {decimal_text(speed)} m/s",
        f"Time {metres} / {decimal_text(speed)} = {time} s",
    )
    return Problem(prompt, steps, f"{time} s")


def thin_lens(rng: random.Random) -> Problem:
    """Find position and size of the image of a converging lens."""
    a, b = rng.sample(range(1, 7), 2)
    scale, thing = rng.randint(1, 8), rng.choice(OBJECTS)
    height = a * rng.randint(1, 20)
    # Any lens whose focal, object and image distances are all integers has this form.
    focal, near, far = a * b * scale, a * (a + b) * scale, b * (a + b) * scale
    prompt = (
        f"A {thing} {height} cm tall stands {near} cm before a lens of focal length {focal} cm. "
        "Find the image."
    )
    size = decimal_text(Fraction(height * far, near))
    steps = (
        f"1/v = 1/{focal} - 1/{near} = 1/{far}",
        f"Height {height} * {far} / {near} = {size} cm",
    )
    return Problem(prompt, steps, f"v = {far} cm, {size} cm tall")


def sticking_collision(rng: random.Random) -> Problem:
    """Conserve momentum in a perfectly inelastic collision."""
    (mover, target), one, two = rng.sample(SLIDERS, 2), rng.randint(2, 24), rng.randint(2, 24)
    total = one + two
    # The joint speed is an integer for every multiple of this speed.
    least = total // math.gcd(one, total)
    speed = least * rng.randint(1, max(1, 48 // least))
    prompt = (
        f"A {one} kg {mover} at {speed} m/s hits a resting {two} kg {target} and sticks. "
        f"Joint speed?"
    )
    momentum = one * speed
    steps = (
        f"Momentum {one} * {speed} = {momentum}",
        f"Mass {one} + {two} = {total}",
        f"{momentum} / {total} = {momentum // total} m/s",
    )
    return Problem(prompt, steps, f"{momentum // total} m/s")


def heating(rng: random.Random) -> Problem:
    """Find the heat that warms a known material."""
    material, mass = rng.choice(tuple(SPECIFIC_HEATS)), rng.randint(2, 40)
    low, rise = rng.randint(5, 30), rng.randint(5, 45)
    prompt = rng.choice(("How much heat warms", "Find the heat that warms"))
    prompt = f"{prompt} {mass} kg of {material} from {low} C to {low + rise} C"
    heat_capacity = SPECIFIC_HEATS[material]
    heat = decimal_text(mass * rise * Fraction(heat_capacity))
    steps = (
        f"Rise {low + rise} - {low} = {rise} K",
        f"For {material} c = {heat_capacity} kJ/(kg K)",
        f"Q = {mass} * {heat_capacity} * {rise} = {heat} kJ",
    )
    return Problem(prompt + ("?" if "How" in prompt else "."), steps, f"{heat} kJ")


TEMPLATES: tuple[Template, ...] = (
    uniform_acceleration,
    series_circuit,
    braking_force,
    block_mass,
    wave_travel,
    thin_lens,
    sticking_collision,
    heating,
)
