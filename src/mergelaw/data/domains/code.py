"""Code: short Python programs to trace; the answer is what the program prints."""

import random
import string

from mergelaw.data.domains.problem import Problem, Template
from mergelaw.data.domains.wording import nonzero, signed, words

INTRODUCTIONS = ("What does this program print?", "Trace this program:")
WORDS = words(
    "planet river garden copper silver window bridge castle forest market pocket rocket "
    "basket button candle dragon engine finger guitar hammer island jacket kettle ladder "
    "magnet needle orange pencil quartz rabbit saddle ticket umpire velvet walnut yellow "
    "zipper anchor butter carpet desert effort flower ginger helmet insect jungle kitten"
)


def _program(rng: random.Random, lines: list[str]) -> str:
    """Put an introduction above the lines of a program."""
    return "\n".join([rng.choice(INTRODUCTIONS), *lines])


def loop_total(rng: random.Random) -> Problem:
    """Accumulate multiples in a for loop."""
    name, first, turns = rng.choice("stvw"), rng.randint(1, 12), rng.randint(3, 4)
    start, step, operator = rng.randint(0, 60), rng.randint(2, 9), rng.choice("+-")
    lines = [
        f"{name} = {start}",
        f"for i in range({first}, {first + turns}):",
        f"    {name} {operator}= {step} * i",
        f"print({name})",
    ]
    counters = range(first, first + turns)
    terms = [step * i for i in counters]
    total = start + sum(terms) if operator == "+" else start - sum(terms)
    steps = (
        f"i runs over {', '.join(map(str, counters))}",
        f"{start} {operator} {f' {operator} '.join(map(str, terms))} = {total}",
    )
    return Problem(_program(rng, lines), steps, str(total))


def while_division(rng: random.Random) -> Problem:
    """Divide in a while loop and count the turns."""
    name, start = rng.choice("nmkx"), rng.randint(100, 999)
    divisor, bound = rng.randint(2, 7), rng.randint(5, 40)
    lines = [
        f"{name}, c = {start}, 0",
        f"while {name} > {bound}:",
        f"    {name} //= {divisor}",
        "    c += 1",
        f"print({name}, c)",
    ]
    values = [start]
    while values[-1] > bound:
        values.append(values[-1] // divisor)
    turns = len(values) - 1
    steps = (
        f"{name} is {', '.join(map(str, values))}",
        f"{values[-1]} > {bound} is False after {turns} turns",
    )
    return Problem(_program(rng, lines), steps, f"{values[-1]} {turns}")


def string_slices(rng: random.Random) -> Problem:
    """Join a slice of one word and the reversed head of another."""
    one, two = rng.sample(WORDS, 2)
    start, count = rng.randint(0, 3), rng.randint(2, 4)
    stop = start + rng.randint(2, 3)
    lines = [f"s, t = '{one}', '{two}'", f"print(s[{start}:{stop}] + t[::-1][:{count}])"]
    head, tail = one[start:stop], two[::-1]
    steps = (
        f"s[{start}:{stop}] is '{head}'",
        f"t[::-1] is '{tail}', cut to '{tail[:count]}'",
    )
    return Problem(_program(rng, lines), steps, head + tail[:count])


def filtered_sum(rng: random.Random) -> Problem:
    """Sum the list elements with a given remainder."""
    values = [rng.randint(2, 60) for _ in range(5)]
    divisor = rng.randint(2, 4)
    rest = rng.choice(values) % divisor
    lines = [f"a = {values}", f"print(sum(x for x in a if x % {divisor} == {rest}))"]
    kept = [value for value in values if value % divisor == rest]
    steps = (
        f"Kept: {', '.join(map(str, kept))}",
        f"{' + '.join(map(str, kept))} = {sum(kept)}",
    )
    return Problem(_program(rng, lines), steps, str(sum(kept)))


def letter_counts(rng: random.Random) -> Problem:
    """Count letters with a dictionary."""
    letters = rng.sample(string.ascii_lowercase, 3)
    word = letters + [rng.choice(letters) for _ in range(rng.randint(3, 4))]
    rng.shuffle(word)
    asked, scale = rng.choice(letters), rng.randint(2, 9)
    lines = [
        "d = {}",
        f"for c in '{''.join(word)}':",
        "    d[c] = d.get(c, 0) + 1",
        f"print({scale} * d['{asked}'])",
    ]
    counts = {letter: word.count(letter) for letter in dict.fromkeys(word)}
    steps = (
        f"d is {counts}",
        f"{scale} * {counts[asked]} = {scale * counts[asked]}",
    )
    return Problem(_program(rng, lines), steps, str(scale * counts[asked]))


def bit_operation(rng: random.Random) -> Problem:
    """Combine two numbers bit by bit and shift."""
    a, b = rng.randint(8, 63), rng.randint(8, 63)
    operator, shift = rng.choice("&|^"), rng.randint(1, 3)
    lines = [f"a, b = {a}, {b}", f"print((a {operator} b) << {shift})"]
    combined = {"&": a & b, "|": a | b, "^": a ^ b}[operator]
    steps = (
        f"a is {a:06b}, b is {b:06b}",
        f"a {operator} b is {combined:06b}, that is {combined}",
        f"{combined} * {2**shift} = {combined << shift}",
    )
    return Problem(_program(rng, lines), steps, str(combined << shift))


def recursion(rng: random.Random) -> Problem:
    """Unwind a recursive function."""
    f, depth, start = rng.choice("fgh"), 2, rng.randint(1, 60)
    ratio, shift = rng.randint(2, 5), nonzero(rng, 30)
    lines = [
        f"def {f}(n):",
        f"    return {ratio} * {f}(n - 1) {signed(shift)} if n else {start}",
        f"print({f}({depth}))",
    ]
    steps, value = [], start
    for n in range(1, depth + 1):
        following = ratio * value + shift
        steps.append(f"{f}({n}) = {ratio} * {value} {signed(shift)} = {following}")
        value = following
    return Problem(_program(rng, lines), tuple(steps), str(value))


def list_methods(rng: random.Random) -> Problem:
    """Append, sort and index a list."""
    values, extra = rng.sample(range(1, 60), 4), rng.randint(1, 60)
    first, operator = rng.choice((0, 1)), rng.choice("+-*")
    second = rng.choice((-1, -2))
    lines = [
        f"a = {values}",
        f"a.append({extra})",
        "a.sort()",
        f"print(a[{second}] {operator} a[{first}])",
    ]
    ordered = sorted([*values, extra])
    left, right = ordered[second], ordered[first]
    result = {"+": left + right, "-": left - right, "*": left * right}[operator]
    steps = (
        f"Sorted a is {ordered}",
        f"{left} {operator} {right} = {result}",
    )
    return Problem(_program(rng, lines), steps, str(result))


TEMPLATES: tuple[Template, ...] = (
    loop_total,
    while_division,
    string_slices,
    filtered_sum,
    letter_counts,
    bit_operation,
    recursion,
    list_methods,
)
