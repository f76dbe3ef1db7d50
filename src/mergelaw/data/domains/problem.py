"""What a template of a domain returns: a problem with its worked steps and its answer."""

import random
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """A problem in words, its worked steps and its computed answer.

    Parameters
    ----------
    prompt : str
        The question, ASCII; programs in it have lines of their own.
    steps : tuple of str
        Worked steps in order, one sentence each, without the "Step i:" label.
    answer : str
        The answer with its unit, without the "Answer:" label.
    """

    prompt: str
    steps: tuple[str, ...]
    answer: str

    @property
    def response(self) -> str:
        """The labelled steps and the answer, one on each line."""
        lines = [f"Step {i}: {step}" for i, step in enumerate(self.steps, start=1)]
        return "\n".join([*lines, f"Answer: {self.answer}"])


Template = Callable[[random.Random], Problem]
