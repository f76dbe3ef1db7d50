"""Procedural problems of nine domains, each with worked steps and a computed answer."""

import random

from mergelaw.data.domains import (
    algebra,
    analysis,
    biology,
    chemistry,
    code,
    discrete,
    geometry,
    number_theory,
    physics,
)
from mergelaw.data.domains.problem import Problem, Template
from mergelaw.errors import DataError

__all__ = ["DOMAINS", "Problem", "Template", "generate"]

DOMAINS: dict[str, tuple[Template, ...]] = {
    "algebra": algebra.TEMPLATES,
    "analysis": analysis.TEMPLATES,
    "discrete": discrete.TEMPLATES,
    "geometry": geometry.TEMPLATES,
    "number_theory": number_theory.TEMPLATES,
    "biology": biology.TEMPLATES,
    "physics": physics.TEMPLATES,
    "chemistry": chemistry.TEMPLATES,
    "code": code.TEMPLATES,
}

# Templates are at least 20,000 prompts wide, so an honest request never gets near this bound.
DRAWS_PER_PROBLEM = 20


def generate(domain: str, rng: random.Random, n: int) -> list[Problem]:
    """Draw problems of a domain whose prompts are all distinct.

    A template is drawn uniformly, then its problem; a prompt seen before is drawn again, also
    where only case or white space differs.
    The result depends on the state of `rng` alone, never on the process.

    Parameters
    ----------
    domain : str
        A key of `DOMAINS`.
    rng : random.Random
        Source of all randomness; it is advanced.
    n : int
        Number of problems.

    Returns
    -------
    list of Problem
        `n` problems in the order of their draw.

    Raises
    ------
    DataError
        If the domain is unknown, `n` is negative, or the domain did not yield `n` distinct
        prompts within 20 draws per problem.
    """
    if domain not in DOMAINS:
        raise DataError(f"unknown domain {domain!r}; choose one of {', '.join(DOMAINS)}")
    if n < 0:
        raise DataError(f"the number of problems must not be negative, got {n}")
    problems: dict[str, Problem] = {}
    for _ in range(DRAWS_PER_PROBLEM * n):
        if len(problems) == n:
            break
        problem = rng.choice(DOMAINS[domain])(rng)
        problems.setdefault(" ".join(problem.prompt.split()).casefold(), problem)
    if len(problems) < n:
        raise DataError(
            f"domain {domain!r} gave only {len(problems)} distinct prompts of {n} "
            f"in {DRAWS_PER_PROBLEM * n} draws"
        )
    return list(problems.values())
