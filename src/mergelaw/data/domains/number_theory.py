"""Number theory: divisors, remainders, congruences and digits in other bases."""

import math
import random

from mergelaw.data.domains.problem import Problem, Template
from mergelaw.data.domains.wording import signed

PRIMES = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37)
LONGEST_EUCLID = 4


def euclid_gcd(rng: random.Random) -> Problem:
    """Find a greatest common divisor in at most four divisions."""
    divisions: list[tuple[int, int]] = []
    while not 2 <= len(divisions) <= LONGEST_EUCLID:
        common = rng.randint(2, 13)
        small, large = sorted(common * part for part in rng.sample(range(2, 75), 2))
        divisions = _divisions(large, small)
    prompt = rng.choice(
        (f"Find gcd({large},{small}) by Euclid.", f"Run Euclid on {large} and {small}: what gcd?")
    )
    steps = tuple(f"{a} mod {b} = {a % b}" for a, b in divisions)
    return Problem(prompt, steps, f"gcd {divisions[-1][1]}")


def _divisions(a: int, b: int) -> list[tuple[int, int]]:
    """List the pairs that Euclid's algorithm divides."""
    pairs = []
    while b:
        pairs.append((a, b))
        a, b = b, a % b
    return pairs


def least_common_multiple(rng: random.Random) -> Problem:
    """Find a least common multiple through the greatest common divisor."""
    common = rng.randint(2, 25)
    first, second = (common * part for part in rng.sample(range(2, 40), 2))
    divisor = math.gcd(first, second)
    multiple = first * second // divisor
    prompt = rng.choice(("Find", "Compute the least common multiple"))
    steps = (
        f"gcd({first},{second}) = {divisor}",
        f"{second} / {divisor} = {second // divisor}",
        f"{first} * {second // divisor} = {multiple}",
    )
    return Problem(f"{prompt} lcm({first},{second}).", steps, f"lcm {multiple}")


def modular_power(rng: random.Random) -> Problem:
    """Reduce a power by repeated squaring."""
    base, modulus = rng.randint(2, 99), rng.randint(7, 99)
    exponent, helper = rng.choice(((5, 1), (6, 2), (8, 4)))
    square = base**2 % modulus
    fourth, lower = square**2 % modulus, base**helper % modulus
    result = fourth * lower % modulus
    power = f"{base}^{exponent}"
    prompt = rng.choice(
        (f"Find {power} mod {modulus}.", f"What remainder has {power} modulo {modulus}?")
    )
    steps = (
        f"{base}^2 mod {modulus} = {base**2} mod {modulus} = {square}",
        f"{base}^4 mod {modulus} = {square**2} mod {modulus} = {fourth}",
        f"{power} mod {modulus} = {fourth} * {lower} mod {modulus} = {result}",
    )
    return Problem(prompt, steps, f"remainder {result}")


def divisor_count(rng: random.Random) -> Problem:
    """Count the divisors of a number given by its prime powers."""
    primes = sorted(rng.sample(PRIMES, 3))
    exponents = [rng.randint(2, 9) for _ in primes]
    number = " * ".join(f"{p}^{e}" for p, e in zip(primes, exponents, strict=True))
    prompt = rng.choice((f"How many divisors has {number}?", f"Count the divisors of {number}."))
    raised = [exponent + 1 for exponent in exponents]
    first, second, third = raised
    steps = (
        f"Exponents plus 1: {first}, {second}, {third}",
        f"{first} * {second} = {first * second}",
        f"{first * second} * {third} = {math.prod(raised)}",
    )
    return Problem(prompt, steps, f"{math.prod(raised)} divisors")


def linear_congruence(rng: random.Random) -> Problem:
    """Solve ax = b modulo m through the inverse of a."""
    modulus = rng.randint(11, 80)
    units = [a for a in range(2, modulus) if math.gcd(a, modulus) == 1]
    slope, right = rng.choice(units), rng.randint(2, modulus - 1)
    inverse = pow(slope, -1, modulus)
    root = inverse * right % modulus
    prompt = rng.choice(("Solve the congruence", "Find x with"))
    steps = (
        f"{slope} * {inverse} mod {modulus} = 1, so {inverse} inverts {slope}",
        f"{inverse} * {right} = {inverse * right}",
        f"{inverse * right} mod {modulus} = {root}",
    )
    return Problem(f"{prompt} {slope}x = {right} (mod {modulus}).", steps, f"x = {root}")


def chinese_remainders(rng: random.Random) -> Problem:
    """Find the least number with two given remainders."""
    small, large = sorted(rng.sample(range(5, 26), 2))
    while math.gcd(small, large) > 1:
        small, large = sorted(rng.sample(range(5, 26), 2))
    number = rng.randrange(large, small * large)
    first, second, turns = number % small, number % large, number // large
    pair = f"n mod {small} = {first} and n mod {large} = {second}"
    prompt = rng.choice((f"Find the least n >= 0 with {pair}.", f"Which least n >= 0 has {pair}?"))
    steps = (
        f"Try n = {large}t + {second} for t = 0, 1, 2, ...",
        f"t = {turns} gives {large} * {turns} + {second} = {number}",
        f"Check {number} mod {small} = {first}",
    )
    return Problem(prompt, steps, f"n = {number}")


def digits_in_base(rng: random.Random) -> Problem:
    """Write a number in another base by repeated division."""
    base = rng.randint(7, 9)
    number = rng.randint(base**2, base**4 - 1)
    prompt = rng.choice(
        (
            f"Write {number} in base {base}.",
            f"Convert {number} to base {base}.",
            f"Find the base {base} digits of {number}.",
        )
    )
    quotient, digits, divisions = number, "", []
    while quotient >= base:
        rest = quotient % base
        divisions.append(f"{quotient} = {quotient // base} * {base} + {rest}")
        quotient, digits = quotient // base, f"{rest}{digits}"
    digits = f"{quotient}{digits}"
    half = (len(divisions) + 1) // 2
    steps = (
        ", ".join(divisions[:half]),
        ", ".join(divisions[half:]),
        f"Read upwards: {', '.join(digits)}",
    )
    return Problem(prompt, steps, f"{digits} in base {base}")


def digit_sum_remainder(rng: random.Random) -> Problem:
    """Reduce a long number modulo 9 or 11 through its digits."""
    modulus = rng.choice((9, 11))
    number = rng.randint(10**5, 10**7 - 1)
    prompt = rng.choice(
        (
            f"Find the remainder of {number} divided by {modulus}.",
            f"What remainder leaves {number} on division by {modulus}?",
        )
    )
    digits = [int(digit) for digit in str(number)]
    if modulus == 9:
        rule, terms = "Digit sum", digits
    else:
        rule = "Alternating sum from the right"
        terms = [-digit if i % 2 else digit for i, digit in enumerate(reversed(digits))]
    total = " ".join([str(terms[0]), *map(signed, terms[1:])])
    steps = (
        f"{rule}: {total} = {sum(terms)}",
        f"{sum(terms)} mod {modulus} = {sum(terms) % modulus}",
    )
    return Problem(prompt, steps, f"remainder {sum(terms) % modulus}")


TEMPLATES: tuple[Template, ...] = (
    euclid_gcd,
    least_common_multiple,
    modular_power,
    divisor_count,
    linear_congruence,
    chinese_remainders,
    digits_in_base,
    digit_sum_remainder,
)
