"""Discrete mathematics: counting, sets, graphs, recurrences and the pigeonhole principle."""

import math
import random
from itertools import groupby

from mergelaw.data.domains.problem import Problem, Template
from mergelaw.data.domains.wording import nonzero, signed

FLOWERS = ("roses", "tulips", "lilies", "daisies", "irises", "violets", "asters", "poppies")
BALLS = ("red balls", "blue balls", "green balls", "white balls", "black balls", "pink balls")
PEOPLE = ("poets", "dancers", "singers", "painters", "actors", "drummers", "writers", "judges")
CROWDS = ("students", "guests", "members", "workers", "tourists", "campers")
PASTIMES = ("chess", "tennis", "golf", "darts", "rugby", "poker", "hockey", "bridge", "squash")
THINGS = ("socks", "marbles", "cards", "beads", "gloves", "hats", "tokens", "stamps", "ribbons")
KINDS = ("colours", "patterns", "sizes", "brands")
LETTERS = "ABCDEHKLMNOPRSTUVW"


def two_group_choice(rng: random.Random) -> Problem:
    """Choose a few of each of two kinds independently."""
    one, two = rng.sample(rng.choice((FLOWERS, BALLS, PEOPLE)), 2)
    first, second = rng.randint(4, 12), rng.randint(4, 12)
    pick, take = rng.randint(1, 3), rng.randint(2, 3)
    prompt = (
        f"In how many ways can one choose {pick} of {first} {one} and {take} of {second} {two}?"
    )
    ways, others = math.comb(first, pick), math.comb(second, take)
    steps = (
        f"C({first},{pick}) = {ways} and C({second},{take}) = {others}",
        f"Product rule: {ways} * {others} = {ways * others}",
    )
    return Problem(prompt, steps, f"{ways * others} ways")


def inclusion_exclusion(rng: random.Random) -> Problem:
    """Count those outside two overlapping sets."""
    crowd, (one, two) = rng.choice(CROWDS), rng.sample(PASTIMES, 2)
    both, first, second = (rng.randint(2, 40) for _ in range(3))
    outside = rng.randint(1, 40)
    union = both + first + second
    prompt = (
        f"Of {union + outside} {crowd}, {first + both} play {one}, {second + both} play {two} "
        f"and {both} play both. How many play neither?"
    )
    steps = (
        f"Union: {first + both} + {second + both} - {both} = {union}",
        f"Outside: {union + outside} - {union} = {outside}",
    )
    return Problem(prompt, steps, f"{outside} {crowd}")


def recurrence(rng: random.Random) -> Problem:
    """Unroll a linear recurrence of first order."""
    a, last = rng.choice("abcuv"), rng.choice((3, 4))
    start, ratio, shift = rng.randint(1, 40), rng.randint(2, 4), nonzero(rng, 20)
    prompt = rng.choice(("Let", "Given"))
    rule = f"{a}(n) = {ratio}{a}(n-1) {signed(shift)}"
    prompt = f"{prompt} {a}(1) = {start} and {rule}. Find {a}({last})."
    steps, value = [], start
    for n in range(2, last + 1):
        following = ratio * value + shift
        steps.append(f"{a}({n}) = {ratio} * {value} {signed(shift)} = {following}")
        value = following
    return Problem(prompt, tuple(steps), str(value))


def edges_from_degrees(rng: random.Random) -> Problem:
    """Count the edges of a multigraph by the handshake lemma."""
    degrees = [rng.randint(3, 9) for _ in range(rng.randint(5, 7))]
    degrees[-1] += sum(degrees) % 2
    listed = ", ".join(map(str, degrees))
    prompt = rng.choice(
        (
            f"A multigraph has vertices of degree {listed}. How many edges has it?",
            f"Count the edges of a multigraph with vertex degrees {listed}.",
        )
    )
    total = sum(degrees)
    steps = (
        f"Degree sum {' + '.join(map(str, degrees))} = {total}",
        f"Each edge counts twice: {total} / 2 = {total // 2}",
    )
    return Problem(prompt, steps, f"{total // 2} edges")


def pigeonhole(rng: random.Random) -> Problem:
    """Draw just enough things to force equal ones."""
    things, kinds = rng.choice(THINGS), rng.choice(KINDS)
    count, alike = rng.randint(3, 60), rng.randint(3, 20)
    prompt = (
        f"A drawer holds many {things} of {count} {kinds}. "
        f"How many must be drawn to force {alike} alike?"
    )
    worst = count * (alike - 1)
    steps = (
        f"Worst case: {alike - 1} of each, {count} * {alike - 1} = {worst}",
        f"One more forces it: {worst} + 1 = {worst + 1}",
    )
    return Problem(prompt, steps, f"{worst + 1} {things}")


def letter_arrangements(rng: random.Random) -> Problem:
    """Count the distinct orders of letters with repeats."""
    letters = rng.sample(LETTERS, rng.randint(2, 4))
    length = rng.randint(5, 6)
    word = letters + [rng.choice(letters) for _ in range(length - len(letters))]
    rng.shuffle(word)
    prompt = rng.choice(("How many distinct arrangements has", "Count the anagrams of"))
    prompt = f"{prompt} the letter string {''.join(word)}{'?' if 'How' in prompt else '.'}"
    counts = [(letter, len(list(run))) for letter, run in groupby(sorted(word))]
    below = math.prod(math.factorial(count) for _, count in counts)
    above = math.factorial(length)
    repeats = " * ".join(f"{count}!" for _, count in counts)
    steps = (
        f"{length} letters: " + ", ".join(f"{letter} {count}" for letter, count in counts),
        f"{length}! / ({repeats}) = {above} / {below} = {above // below}",
    )
    return Problem(prompt, steps, str(above // below))


def set_operation(rng: random.Random) -> Problem:
    """Combine two finite sets of integers."""
    elements = rng.sample(range(1, 40), rng.randint(5, 6))
    common, one, two = elements[:1], elements[1:3], elements[3:]
    results = {
        "union": common + one + two,
        "intersection": common,
        "difference": one,
        "symmetric difference": one + two,
    }
    operation = rng.choice(tuple(results))
    sets = f"A = {_braces(common + one)} and B = {_braces(common + two)}"
    steps = (
        f"Both: {_braces(common)}",
        f"Only A: {_braces(one)}, only B: {_braces(two)}",
    )
    return Problem(f"Find the {operation} of {sets}.", steps, _braces(results[operation]))


def _braces(elements: list[int]) -> str:
    """Write a set in ascending order."""
    return "{" + ", ".join(map(str, sorted(elements))) + "}"


def lattice_paths(rng: random.Random) -> Problem:
    """Count monotone paths between two lattice points."""
    right, up = rng.randint(2, 6), rng.randint(2, 6)
    x, y = rng.randint(0, 40), rng.randint(0, 40)
    ends = f"from ({x}, {y}) to ({x + right}, {y + up})"
    prompt = rng.choice(
        (
            f"How many lattice paths lead {ends} by unit steps right or up?",
            f"Count the lattice paths {ends} with unit steps right or up.",
        )
    )
    total, paths = right + up, math.comb(right + up, right)
    steps = (
        f"Steps right {x + right} - {x} = {right}, up {y + up} - {y} = {up}",
        f"Choose the {right} right steps: C({total},{right}) = {paths}",
    )
    return Problem(prompt, steps, f"{paths} paths")


TEMPLATES: tuple[Template, ...] = (
    two_group_choice,
    inclusion_exclusion,
    recurrence,
    edges_from_degrees,
    pigeonhole,
    letter_arrangements,
    set_operation,
    lattice_paths,
)
