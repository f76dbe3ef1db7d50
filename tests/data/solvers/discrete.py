"""Solve the discrete prompts by listing, simulating and counting."""

import re
from itertools import combinations, permutations


def _integers(text):
    return [int(number) for number in re.findall(r"-?\d+", text)]


def two_group_choice(prompt):
    pick, first, take, second = _integers(prompt)
    ways = len(list(combinations(range(first), pick)))
    return f"{ways * len(list(combinations(range(second), take)))} ways"


def inclusion_exclusion(prompt):
    total, first, second, both = _integers(prompt)
    players = set(range(first)) | set(range(first - both, first - both + second))
    return f"{len(set(range(total)) - players)} {re.search(r'Of [0-9]+ ([a-z]+)', prompt)[1]}"


def recurrence(prompt):
    start = int(re.search(r"\(1\) = (\d+)", prompt)[1])
    ratio, sign, shift = re.search(r"\(n\) = (\d+)\w\(n-1\) ([+-]) (\d+)", prompt).groups()
    last = int(re.search(r"Find \w\((\d+)\)", prompt)[1])
    shift = int(sign + shift)
    # Closed form around the fixed point of the rule.
    fixed_times = int(ratio) - 1
    scaled = (start * fixed_times + shift) * int(ratio) ** (last - 1) - shift
    assert scaled % fixed_times == 0
    return str(scaled // fixed_times)


def edges_from_degrees(prompt):
    ends = [vertex for vertex, degree in enumerate(_integers(prompt)) for _ in range(degree)]
    edges = []
    while ends:
        edges.append((ends.pop(), ends.pop()))
    return f"{len(edges)} edges"


def pigeonhole(prompt):
    kinds, alike = _integers(prompt)
    drawn = [0] * kinds
    while max(drawn) < alike:
        drawn[drawn.index(min(drawn))] += 1
    return f"{sum(drawn)} {re.search(r'many ([a-z]+) of', prompt)[1]}"


def letter_arrangements(prompt):
    return str(len(set(permutations(re.search(r"string ([A-Z]+)", prompt)[1]))))


def set_operation(prompt):
    one, two = ({*_integers(part)} for part in re.findall(r"\{(.*?)\}", prompt))
    if "symmetric" in prompt:
        result = one ^ two
    elif "difference" in prompt:
        result = one - two
    else:
        result = one | two if "union" in prompt else one & two
    return "{" + ", ".join(str(element) for element in sorted(result)) + "}"


def lattice_paths(prompt):
    x, y, right, top = _integers(prompt)
    row = [1] * (right - x + 1)
    for _ in range(top - y):
        for i in range(1, len(row)):
            row[i] += row[i - 1]
    return f"{row[-1]} paths"


def set_operation_steps(prompt, steps):
    one, two = ({*_integers(part)} for part in re.findall(r"\{(.*?)\}", prompt))
    both, first, second = ({*_integers(part)} for part in re.findall(r"\{(.*?)\}", " ".join(steps)))
    return (both, first, second) == (one & two, one - two, two - one)
