"""The command that reads downstream scores of subsets: oriented, repeats dropped, means by k."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import polars as pl
import typer

from mergelaw.errors import TableError
from mergelaw.files import write_json
from mergelaw.tools.options import Json, Out

if TYPE_CHECKING:
    from mergelaw.laws.downstream import Metric

READERS = {".csv": lambda path: pl.read_csv(path, infer_schema=False), ".parquet": pl.read_parquet}


def downstream(
    file: Annotated[
        Path,
        typer.Argument(
            help="CSV or parquet: a row per subset, a column that names it (experts joined by '+' "
            "or '-'), and a column of scores in 0..1 per metric."
        ),
    ],
    lower: Annotated[
        list[str] | None,
        typer.Option(
            "--lower", help="A metric of which lower is better; higher is assumed; repeatable."
        ),
    ] = None,
    subset: Annotated[
        str, typer.Option("--subset", help="The column that names subsets.")
    ] = "subset",
    metric: Annotated[
        list[str] | None,
        typer.Option("--metric", help="Only this metric; repeatable; by default all columns."),
    ] = None,
    as_json: Json = False,
    out: Out = None,
) -> None:
    """Average downstream scores by k: one orientation, each metric counted once."""
    from mergelaw.laws.downstream import means_by_k, metrics_of, subset_scores

    scores = subset_scores(_read(file), str(file), subset, metric)
    metrics = metrics_of(scores, lower or (), str(file))
    means = means_by_k(scores, metrics)
    found = {**_subsets(scores, metrics), "by_k": means.to_dicts()}
    if out is not None:
        write_json(out, found)
    print(json.dumps(found, indent=2) if as_json else _words(found, metrics, means))


def _read(file: Path) -> pl.DataFrame:
    if file.suffix not in READERS:
        raise TableError(f"{file}: must end in {' or '.join(READERS)}")
    try:
        return READERS[file.suffix](file)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise TableError(f"{file}: cannot be read ({error})") from error


def _subsets(scores: pl.DataFrame, metrics: "list[Metric]") -> dict[str, Any]:
    """Return what was measured, the metrics, and the best single expert."""
    from mergelaw.laws.downstream import subset_means

    means = scores.with_columns(mean=pl.Series(subset_means(scores, metrics)))
    single = means.filter(pl.col("k") == 1).sort("mean", "subset", descending=[True, False])
    best = single.select("subset", "mean").head(1).to_dicts()
    return {
        "n_subsets": len(scores),
        "experts": sorted(scores["experts"].explode().drop_nulls().unique()),
        "metrics": [{**metric._asdict(), "kept": metric.kept} for metric in metrics],
        "best_single_expert": best[0] if best else None,
    }


def _words(found: dict[str, Any], metrics: "list[Metric]", means: pl.DataFrame) -> str:
    from mergelaw.laws.downstream import MEAN

    experts, best = found["experts"], found["best_single_expert"]
    counts = means.filter(pl.col("metric") == MEAN)
    width = max(len(metric.name) for metric in metrics) + 2
    lines = [
        f"{found['n_subsets']} subsets of {len(experts)} experts: {', '.join(experts)}",
        "mean scores as reported; better = what was taken to be better, see --lower",
        f"{'':{width}}{'better':8}" + "".join(f"{f'k={k}':>8}" for k in counts["k"]),
        f"{'subsets':{width}}{'':8}" + "".join(f"{n:>8}" for n in counts["n_subsets"]),
    ]
    for metric in metrics:
        values = means.filter(pl.col("metric") == metric.name)["value"]
        word = "higher" if metric.higher_is_better else "lower"
        note = "" if metric.kept else f"  not counted: repeats {metric.repeats}"
        lines.append(f"{metric.name:{width}}{word:8}" + _cells(values) + note)
    n_kept = sum(metric.kept for metric in metrics)
    lines.append(f"{MEAN:{width}}{'higher':8}" + _cells(counts["oriented"]))
    lines.append(
        f"({MEAN}: of {n_kept} of {len(metrics)} metrics; 1 - score where lower is better)"
    )
    if best is not None:
        lines.append(f"best single expert: {best['subset']}, with a mean of {best['mean']:.4f}")
    return "\n".join(lines)


def _cells(values: pl.Series) -> str:
    return "".join(f"{value:>8.4f}" for value in values)
