"""Solve the code prompts by running the printed program."""

import contextlib
import io
import re
import sys
from itertools import groupby


def _run(prompt):
    _, program = prompt.split("\n", 1)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(program, {})
    return printed.getvalue().rstrip("\n")


loop_total = while_division = string_slices = filtered_sum = _run
letter_counts = bit_operation = recursion = list_methods = _run


def _watched(prompt, expression):
    """Run a program and return the values of an expression before each line and at the end."""
    values, frames = [], {}

    def watch(frame, event, argument):
        if frame.f_code.co_filename == "<program>" and event == "line":
            with contextlib.suppress(NameError):
                values.append(eval(expression, dict(frame.f_locals)))
        return watch

    with contextlib.redirect_stdout(io.StringIO()):
        previous = sys.gettrace()
        sys.settrace(watch)
        try:
            exec(compile(prompt.split("\n", 1)[1], "<program>", "exec"), frames)
        finally:
            sys.settrace(previous)
    return [*values, eval(expression, frames)]


def _numbers(text):
    return [int(number) for number in re.findall(r"-?\d+", text)]


def while_division_steps(prompt, steps):
    name = prompt.split("\n")[1][0]
    seen = [value for value, _ in groupby(_watched(prompt, name))]
    return _numbers(steps[0]) == seen and _numbers(steps[1])[0] == seen[-1]


def loop_total_steps(prompt, steps):
    return _numbers(steps[0]) == [value for value, _ in groupby(_watched(prompt, "i"))]


def string_slices_steps(prompt, steps):
    frame = dict(zip("st", re.findall(r"'(\w+)'", prompt), strict=True))
    head, head_text = re.search(r"^(.*) is '(\w+)'", steps[0]).groups()
    tail, tail_text, cut = re.search(r"^(.*) is '(\w+)', cut to '(\w+)'", steps[1]).groups()
    return (
        eval(head, frame) == head_text
        and eval(tail, frame) == tail_text
        and head_text + cut == _run(prompt)
    )


def letter_counts_steps(prompt, steps):
    written = steps[0].removeprefix("d is ")
    return written == str(_watched(prompt, "d")[-1])


def bit_operation_steps(prompt, steps):
    a, b = _watched(prompt, "a")[-1], _watched(prompt, "b")[-1]
    first, second = re.search(r"a is (\d+), b is (\d+)", steps[0]).groups()
    expression, bits, value = re.search(r"^(.*) is (\d+), that is (\d+)", steps[1]).groups()
    combined = eval(expression, {"a": a, "b": b})
    return [int(text, 2) for text in (first, second, bits)] == [a, b, combined] and combined == int(
        value
    )


def list_methods_steps(prompt, steps):
    return steps[0].removeprefix("Sorted a is ") == str(_watched(prompt, "a")[-1])


def filtered_sum_steps(prompt, steps):
    kept = re.search(r"sum\((.*)\)\)", prompt)[1]
    return _numbers(steps[0]) == _watched(prompt, f"[{kept}]")[-1]
