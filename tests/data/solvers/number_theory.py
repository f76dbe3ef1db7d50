"""Solve the number theory prompts by trial over all candidates."""

import re
from itertools import count, product


def _integers(text):
    return [int(number) for number in re.findall(r"\d+", text)]


def euclid_gcd(prompt):
    a, b = _integers(prompt)
    return f"gcd {max(d for d in range(1, min(a, b) + 1) if a % d == b % d == 0)}"


def least_common_multiple(prompt):
    a, b = _integers(prompt)
    return f"lcm {next(n for n in count(a, a) if n % b == 0)}"


def modular_power(prompt):
    base, exponent, modulus = _integers(prompt)
    return f"remainder {base**exponent % modulus}"


def divisor_count(prompt):
    powers = re.findall(r"(\d+)\^(\d+)", prompt)
    choices = [[int(p) ** i for i in range(int(e) + 1)] for p, e in powers]
    return f"{len({a * b * c for a, b, c in product(*choices)})} divisors"


def linear_congruence(prompt):
    slope, right, modulus = _integers(prompt)
    (root,) = [x for x in range(modulus) if (slope * x - right) % modulus == 0]
    return f"x = {root}"


def chinese_remainders(prompt):
    _, small, first, large, second = _integers(prompt)
    return f"n = {next(n for n in count() if n % small == first and n % large == second)}"


def digits_in_base(prompt):
    base, number = sorted(_integers(prompt))
    power = max(base**i for i in range(20) if base**i <= number)
    digits = ""
    while power:
        digits += str(number // power)
        number, power = number % power, power // base
    return f"{digits} in base {base}"


def digit_sum_remainder(prompt):
    number, modulus = _integers(prompt)
    return f"remainder {number % modulus}"
