"""What `mergelaw forecast --from-merge` does: a forecast from one merge, made on the spot."""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from mergelaw.errors import ConfigError, FitError, MergeLawError, listing
from mergelaw.files import atomic_file, write_json
from mergelaw.tools.from_merge_inputs import Asked, AskedMerge, merge_of_options, merge_of_study
from mergelaw.tools.options import out_problems, problem_lines

if TYPE_CHECKING:
    from mergelaw.theory.merge_forecast import MergeForecast

TABLES = (".parquet", ".csv", ".json")


def forecast_from_merge(asked: Asked, others: Mapping[str, object], as_json: bool) -> None:
    """Measure derivatives at one merge, print what they predict, and write the table.

    Parameters
    ----------
    asked : Asked
    others : mapping
        Options of a forecast from points, by name, with their values: none may be given.
    as_json : bool

    Raises
    ------
    ConfigError
        If options do not go together, or the method is not predicted; all problems are listed.
    FitError
        If the text is too short for the precision that is asked for; the forecast is printed.
    """
    problems = [*_conflicts(others), *_range_problems(asked), *out_problems(asked.out)]
    merge = None
    try:
        merge = merge_of_study(asked) if asked.config is not None else merge_of_options(asked)
    except MergeLawError as error:
        problems += problem_lines(error)
    if problems or merge is None:
        raise ConfigError(listing("forecast --from-merge", list(dict.fromkeys(problems))))
    _tell(asked, _measured(asked, merge), as_json)


def _measured(asked: Asked, merge: AskedMerge) -> "MergeForecast":
    from mergelaw.theory.from_one_merge import forecast_merge

    return forecast_merge(
        merge.settings, merge.base, merge.experts, merge.method, merge.text, asked.route,
        merge.theory.step, merge.theory.mask_probes,
    )  # fmt: skip


def _tell(asked: Asked, found: "MergeForecast", as_json: bool) -> None:
    """Print the forecast and write its table; then refuse, if it is not as precise as asked."""
    from mergelaw.theory.forecast_facts import forecast_facts
    from mergelaw.theory.words import forecast_text, precision_problem

    if asked.out is not None:
        _write(asked.out, found, asked.top)
    if as_json:
        print(json.dumps(forecast_facts(found, asked.top), indent=2, allow_nan=False))
    else:
        print(forecast_text(found, asked.top), end="")
    problem = None if asked.precision is None else precision_problem(found, asked.precision)
    if problem is not None:
        raise FitError(problem)


def _conflicts(others: Mapping[str, object]) -> Iterator[str]:
    given = [name for name, value in others.items() if value is not None]
    if given:
        yield (
            f"{', '.join(given)}: for a forecast from measured points; --from-merge measures one "
            "merge itself, leave them out"
        )


def _range_problems(asked: Asked) -> Iterator[str]:
    if asked.precision is not None and not 0 < asked.precision < math.inf:
        yield (
            f"--precision {asked.precision:g}: must be a finite number above 0, in nats per token"
        )
    if asked.top is not None and asked.top < 1:
        yield f"--top {asked.top}: must be at least 1"
    if asked.top is not None and asked.route == "differences":
        yield (
            "--top: single subsets need the route hvp, gauss_newton or pairs; differences along "
            "each task vector tell the curve alone"
        )
    if asked.out is not None and asked.out.suffix not in TABLES:
        yield f"--out {asked.out}: must end in {', '.join(TABLES)}"


def _write(out: Path, found: "MergeForecast", top: int | None) -> None:
    """Write the predicted points as a table, or all that is known as JSON."""
    from mergelaw.theory.forecast_facts import forecast_facts, forecast_table

    if out.suffix == ".json":
        write_json(out, forecast_facts(found, top))
        return
    frame = forecast_table(found)
    with atomic_file(out) as part:
        frame.write_csv(part) if out.suffix == ".csv" else frame.write_parquet(part)
