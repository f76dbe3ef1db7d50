"""What a fit cannot tell, in plain words: bounds, few points, parameters that trade off."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from mergelaw.laws.forms import Array
from mergelaw.laws.law import WORDS, Law
from mergelaw.laws.result import Correlation, Parameter

HIGH_CORRELATION = 0.95


class Findings(NamedTuple):
    """What is known of a fit when it is judged."""

    parameters: tuple[Parameter, ...]
    correlations: tuple[Correlation, ...]
    freedom: int  # points less free parameters
    n_basins: int


def judge(
    law: Law, variables: Mapping[str, Array], findings: Findings
) -> tuple[bool, tuple[str, ...]]:
    """Return whether the parameters are identified, and notes.

    Not identified: a parameter at a bound that is not an answer, few sizes or few k, no degree
    of freedom, a second minimum, or an extrapolation with a standard error above its value. A
    high correlation alone is only noted: both parameters may still be known well.
    """
    bounds = _bounds(law, findings)
    grave = _few(law, variables) + bounds[False] + _undetermined(law, findings)
    mild = bounds[True] + [
        f"|correlation| of {c.first} and {c.second} is {abs(c.correlation):.2f}: "
        "they trade off, so quote predictions"
        for c in findings.correlations
        if abs(c.correlation) > HIGH_CORRELATION
    ]
    return not grave, tuple(grave + mild)


def _few(law: Law, variables: Mapping[str, Array]) -> list[str]:
    return [
        f"fewer than {enough} {WORDS.get(name, f'distinct {name}')}"
        for name, (_, enough) in law.variables.items()
        if len(np.unique(variables[name])) < enough
    ]


def _bounds(law: Law, findings: Findings) -> dict[bool, list[str]]:
    """Return notes on parameters at a bound, by whether the bound is an answer."""
    values = {parameter.name: parameter.value for parameter in findings.parameters}
    result: dict[bool, list[str]] = {True: [], False: []}
    for spec in law.parameters:
        value = values[spec.name]
        if spec.needs and values[spec.needs] == 0:
            continue
        if spec.minimum == spec.maximum:
            result[True].append(f"{spec.name} is held at {value:g}")
        elif value == spec.minimum:
            result[spec.minimum_is_a_value].append(_at(spec.name, value, spec.at_minimum))
        elif value == spec.maximum:
            result[False].append(_at(spec.name, value, spec.at_maximum))
    return result


def _at(name: str, value: float, meaning: str) -> str:
    return f"{name} is at its bound {value:g}" + (f": {meaning}" if meaning else "")


def _undetermined(law: Law, findings: Findings) -> list[str]:
    problems = []
    if findings.freedom < 1:
        problems.append("as many free parameters as points: no standard errors")
    elif any(p.stderr is None and not p.at_bound for p in findings.parameters):
        problems.append("the standard errors cannot be computed")
    if findings.n_basins > 1:
        problems.append(f"{findings.n_basins} distinct minima are about equally good")
    problems += [
        f"the standard error of {p.name} exceeds its value: it is an extrapolation"
        for p in findings.parameters
        if p.name == law.extrapolated and p.stderr is not None and p.stderr > abs(p.value)
    ]
    return problems
