"""Command line of a benchmark that reads a study's results."""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any


def print_figures(
    about: str | None, measure: Callable[[Path], dict[str, Any]], text: Callable[[Any], str]
) -> None:
    """Measure the results that the command line names, and print the figures."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("results", type=Path, help="Such as results/default.")
    parser.add_argument("--json", type=Path, help="Write the figures to this file, too.")
    arguments = parser.parse_args()
    figures = measure(arguments.results)
    print(text(figures), end="")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
