"""The command line: a group per stage, whose commands are the workflow's jobs.

Heavy imports are inside the commands: a job pays for what it uses, `--help` for nothing.
"""

import gc
import json
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from mergelaw import __version__
from mergelaw.cells import cell
from mergelaw.config import Study, read_study
from mergelaw.errors import ConfigError, MergeLawError
from mergelaw.jobs.recording import error_words, recorded
from mergelaw.jobs.rules import RULES
from mergelaw.paths import StudyPaths
from mergelaw.signals import EndedBySignal, end_in_order
from mergelaw.tools import add_tools

app = typer.Typer(
    name="mergelaw",
    help="Model merging scaling laws: train or take experts, merge subsets, score, fit, report.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Config = Annotated[Path, typer.Option("--config", help="Study config (YAML or JSON).")]
Domains = Annotated[
    list[str] | None, typer.Option("--domain", help="Only this domain; repeatable.")
]
Sizes = Annotated[list[str] | None, typer.Option("--size", help="Only this size; repeatable.")]
Experts = Annotated[
    list[str] | None, typer.Option("--expert", help="Only this expert; repeatable.")
]
Methods = Annotated[list[str] | None, typer.Option("--method", help="Only this label; repeatable.")]
Chunks = Annotated[list[int] | None, typer.Option("--chunk", help="Only this chunk; repeatable.")]
Part = Annotated[str | None, typer.Option("--part", help="Only this part: SIZE, or SIZE/METHOD.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
add_tools(app)


def main() -> None:
    """Run the CLI: a user's mistake ends in words and exit status 1, never in a traceback."""
    gc.set_threshold(200_000)  # imports make a million lasting objects: 15% of a job's start
    end_in_order()
    status = _status()
    _end_workers()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # every file is closed; taking torch's modules apart would last a second


def _status() -> int:
    try:
        app()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except EndedBySignal as end:
        print(error_words(end), file=sys.stderr)
        return end.status
    except (MergeLawError, OSError) as error:
        print(f"error: {error_words(error)}", file=sys.stderr)
    except Exception:
        traceback.print_exc()
    return 1


def _end_workers() -> None:
    """End forked processes that an error left in the middle of their work."""
    multiprocessing = sys.modules.get("multiprocessing")
    for worker in multiprocessing.active_children() if multiprocessing else ():
        worker.terminate()


def _version(wanted: bool) -> None:
    if wanted:
        print(f"mergelaw {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Take the options that belong to no command."""


def _group(name: str, help_text: str) -> typer.Typer:
    group = typer.Typer(name=name, help=help_text, no_args_is_help=True)
    app.add_typer(group)
    return group


def _open(config: Path) -> tuple[Study, StudyPaths]:
    study = read_study(config)
    return study, StudyPaths.of(study)


def _chosen(asked: Sequence[Any] | None, known: Iterable[Any], kind: str) -> list[Any]:
    """Return what was asked for, or everything; refuse what the study does not have."""
    names = list(known)
    unknown = [name for name in asked or () if name not in names]
    if unknown:
        raise ConfigError(
            f"--{kind} {unknown[0]}: the study has no such {kind}; "
            f"one of {', '.join(map(str, names)) or 'none'}"
        )
    return list(asked) if asked else names


def _run(
    rule: str, job: Callable[..., Path], study: Study, paths: StudyPaths, *targets: Any
) -> None:
    """Run one job of a rule, keep its record, and say what it wrote."""
    named = dict(zip(RULES[rule].targets, targets, strict=True))
    with recorded(study, paths, rule, **named):
        print(job(study, paths, *targets), flush=True)


@app.command()
def design(config: Config, as_json: Json = False) -> None:
    """Write the subset list, and show how many merges and jobs the study has."""
    from mergelaw.planned import balance_lines, study_counts, write_subsets

    study, paths = _open(config)
    with recorded(study, paths, "design"):
        write_subsets(study, paths)
    counts = study_counts(study)
    if as_json:
        print(json.dumps(counts, indent=2))
        return
    for row in counts["sizes"]:
        print(f"{row['size']:>12}: {row['merges']:,} merges in {row['chunks']:,} chunks")
        for part in row["balanced"]:
            print(*(f"{'':>14}{line}" for line in balance_lines(part)), sep="\n")
    print(f"{'all':>12}: {counts['merges']:,} merges in {counts['chunks']:,} chunks")


data = _group(
    "data", "Items of every domain, the tokenizer, pre-training tokens, evaluation shards."
)


@data.command("items")
def data_items(config: Config, domain: Domains = None) -> None:
    """Draw or read the items of each domain and split them."""
    from mergelaw.data.stage import write_items

    study, paths = _open(config)
    for name in _chosen(domain, study.domain_names, "domain"):
        _run("items", write_items, study, paths, name)


@data.command("tokenizer")
def data_tokenizer(config: Config) -> None:
    """Train the tokenizer, or copy the one that the config names."""
    from mergelaw.data.stage import write_tokenizer

    _run("tokenizer", write_tokenizer, *_open(config))


@data.command("pretraining")
def data_pretraining(config: Config) -> None:
    """Write the tokens that bases are pre-trained on."""
    from mergelaw.data.stage import write_pretraining

    _run("pretraining", write_pretraining, *_open(config))


@data.command("shards")
def data_shards(config: Config) -> None:
    """Prepare the evaluation text of all domains."""
    from mergelaw.evaluation.prepared import write_shards

    _run("shards", write_shards, *_open(config))


experts = _group("experts", "Pre-training of bases, fine-tuning of experts, and their scores.")


@experts.command("base")
def experts_base(config: Config, size: Sizes = None) -> None:
    """Pre-train the base of each size that has an architecture."""
    from mergelaw.experts.stage import train_base

    study, paths = _open(config)
    trained = [name for name in study.ladder if study.size(name).architecture]
    for name in _chosen(size, trained, "size"):
        _run("base", train_base, study, paths, name)


@experts.command("expert")
def experts_expert(config: Config, size: Sizes = None, expert: Experts = None) -> None:
    """Fine-tune each expert that is not given as a checkpoint."""
    from mergelaw.experts.stage import train_expert

    study, paths = _open(config)
    for size_name in _chosen(size, study.size_names, "size"):
        trained = [e for e in study.expert_names if e not in study.size(size_name).experts]
        for name in _chosen(expert, trained, "expert"):
            _run("expert", train_expert, study, paths, size_name, name)


@experts.command("multitask")
def experts_multitask(config: Config, size: Sizes = None) -> None:
    """Fine-tune the multitask baseline of each size."""
    from mergelaw.experts.stage import train_multitask

    study, paths = _open(config)
    for name in _chosen(size, study.ladder, "size"):
        _run("multitask", train_multitask, study, paths, name)


@experts.command("multitask-losses")
def experts_multitask_losses(config: Config, size: Sizes = None) -> None:
    """Score the multitask baseline of each size on every domain."""
    from mergelaw.evaluation.trained import score_multitask

    study, paths = _open(config)
    for name in _chosen(size, study.ladder, "size"):
        _run("multitask_losses", score_multitask, study, paths, name)


@experts.command("snapshot-losses")
def experts_snapshot_losses(config: Config, size: Sizes = None) -> None:
    """Score the experts of each size along their training, each on its own domain."""
    from mergelaw.evaluation.trained import score_snapshots

    _run_sizes("snapshot_losses", score_snapshots, config, size)


@experts.command("training-logs")
def experts_training_logs(config: Config, size: Sizes = None) -> None:
    """Join the logs of all trainings of each size."""
    from mergelaw.experts.logs import join_logs

    _run_sizes("training_logs", join_logs, config, size)


sweep = _group("sweep", "Merge subsets in memory and score them.")


@sweep.command("chunk")
def sweep_chunk(
    config: Config, size: Sizes = None, method: Methods = None, chunk: Chunks = None
) -> None:
    """Merge and score each chunk of subsets."""
    from mergelaw.design import chunks
    from mergelaw.sweep.chunk import run_chunk

    study, paths = _open(config)
    for size_name in _chosen(size, study.size_names, "size"):
        indices = range(len(chunks(study, size_name)))
        for label in _chosen(method, study.method_labels, "method"):
            for index in _chosen(chunk, indices, "chunk"):
                _run("chunk", run_chunk, study, paths, size_name, label, index)


@sweep.command("collect")
def sweep_collect(config: Config, part: Part = None) -> None:
    """Join all chunks into one table and check that it is complete."""
    from mergelaw.sweep.collect import collect

    if part is None:
        _run("losses", collect, *_open(config))
    else:
        _run("part", collect, *_open(config), part)


@sweep.command("scales")
def sweep_scales(config: Config, size: Sizes = None) -> None:
    """Merge and score the subsets of `scales` at several scales."""
    from mergelaw.sweep.scales import run_scales

    _run_sizes("scales", run_scales, config, size)


@sweep.command("best-scales")
def sweep_best_scales(config: Config, size: Sizes = None) -> None:
    """Merge and score the same subsets at the best scale of each method and k."""
    from mergelaw.sweep.scales import run_best_scales

    _run_sizes("best_scales", run_best_scales, config, size)


@sweep.command("orders")
def sweep_orders(config: Config, size: Sizes = None) -> None:
    """Merge and score the subsets of `orders` in several orders and under several mask seeds."""
    from mergelaw.sweep.orders import run_orders

    _run_sizes("orders", run_orders, config, size)


merge_cell = _group("merge-cell", "Cells of a study as checkpoints; statistics of task vectors.")

Cells = Annotated[
    list[str],
    typer.Option(
        "--subset",
        help="Experts, sorted and joined by '+', or 'base'; ~mask{n} for another mask seed n; "
        "repeatable.",
    ),
]


@merge_cell.command("checkpoint")
def merge_cell_checkpoint(
    config: Config, subset: Cells, size: Sizes = None, method: Methods = None
) -> None:
    """Write each cell as a checkpoint: the weights that the sweep scores, bit for bit."""
    from mergelaw.merging.stage import write_cell

    _run_cells("cell", write_cell, config, size, method, subset)


@merge_cell.command("losses")
def merge_cell_losses(
    config: Config, subset: Cells, size: Sizes = None, method: Methods = None
) -> None:
    """Score the checkpoint of each cell from disk, on every domain."""
    from mergelaw.evaluation.cell import score_cell

    _run_cells("cell_losses", score_cell, config, size, method, subset)


@merge_cell.command("statistics")
def merge_cell_statistics(config: Config, size: Sizes = None) -> None:
    """Measure the task vectors of each size, and what each method makes of all of them."""
    from mergelaw.merging.stage import write_pool_statistics

    _run_sizes("task_vectors", write_pool_statistics, config, size)


def _run_sizes(
    rule: str, job: Callable[..., Path], config: Path, sizes: Sequence[str] | None
) -> None:
    """Run a job on sizes."""
    study, paths = _open(config)
    for name in _chosen(sizes, study.size_names, "size"):
        _run(rule, job, study, paths, name)


def _run_cells(
    rule: str,
    job: Callable[..., Path],
    config: Path,
    sizes: Sequence[str] | None,
    methods: Sequence[str] | None,
    names: Sequence[str],
) -> None:
    """Run a job on cells, all of which are checked before the first is run."""
    study, paths = _open(config)
    cells = [
        cell(study, size, method, name)
        for size in _chosen(sizes, study.size_names, "size")
        for method in _chosen(methods, study.method_labels, "method")
        for name in names
    ]
    for found in cells:
        named = {"size": found.size, "method": found.method, "subset": found.name}
        with recorded(study, paths, rule, **named):
            print(job(study, paths, found), flush=True)


laws = _group("laws", "Curves, fits and analyses.")


@laws.command("curves")
def laws_curves(config: Config, part: Part = None) -> None:
    """Average losses over subsets, with standard errors."""
    from mergelaw.laws.stage import write_curves, write_part_curves

    if part is None:
        _run("curves", write_curves, *_open(config))
    else:
        _run("part_curves", write_part_curves, *_open(config), part)


@laws.command("fits")
def laws_fits(config: Config) -> None:
    """Fit floor and tail of every curve, and one joint law over sizes."""
    from mergelaw.laws.stage import write_fits

    _run("fits", write_fits, *_open(config))


@laws.command("analysis")
def laws_analysis(
    config: Config,
    analysis: Annotated[
        list[str] | None,
        typer.Option("--analysis", help="Only this one of the full report's; repeatable."),
    ] = None,
) -> None:
    """Make the table of each analysis: checks on points left out, intervals, rivals, and more."""
    from mergelaw.laws.registry import ANALYSES
    from mergelaw.laws.stage import write_analysis

    study, paths = _open(config)
    for name in _chosen(analysis, ANALYSES, "analysis"):
        _run("analysis", write_analysis, study, paths, name)


theory = _group("theory", "Derivatives at the full merge, what they predict, the best weights.")


@theory.command("derivatives")
def theory_derivatives(config: Config, size: Sizes = None) -> None:
    """Take derivatives of the loss along task vectors at each size's full merge."""
    from mergelaw.theory.measure import write_derivatives

    _run_sizes("derivatives", write_derivatives, config, size)


@theory.command("weights")
def theory_weights(config: Config, size: Sizes = None) -> None:
    """Search each size's best weights of the experts, and judge them on other text."""
    from mergelaw.theory.weights import write_weights

    _run_sizes("weights", write_weights, config, size)


@theory.command("predictions")
def theory_predictions(config: Config) -> None:
    """Predict curves, subsets, laws and synergy from the derivatives, beside the measured."""
    from mergelaw.theory.stage import write_predictions

    _run("predictions", write_predictions, *_open(config))


planning = _group("planning", "The study's laws as planning reads them, and the planner's page.")


@planning.command("laws")
def planning_laws(config: Config) -> None:
    """Write the laws with their errors, baselines and costs as one file."""
    from mergelaw.planning.stage import write_law_file

    _run("law_file", write_law_file, *_open(config))


@planning.command("page")
def planning_page(config: Config) -> None:
    """Write the planner, one HTML file that needs no network."""
    from mergelaw.planning.stage import write_planner

    _run("planner", write_planner, *_open(config))


report = _group("report", "Figures and the page.")


@report.command("figure")
def report_figure(
    config: Config,
    figure: Annotated[
        list[str] | None, typer.Option("--figure", help="Only this figure; repeatable.")
    ] = None,
) -> None:
    """Draw figures from the laws' tables."""
    from mergelaw.report.registry import FIGURES
    from mergelaw.report.stage import write_figure

    study, paths = _open(config)
    for name in _chosen(figure, FIGURES, "figure"):
        _run("figure", write_figure, study, paths, name)


@report.command("costs")
def report_costs(config: Config, as_json: Json = False) -> None:
    """Sum what the study's jobs cost, by stage, size and method, and show it."""
    from mergelaw.costs.summary import costs_json, costs_text, write_costs

    study, paths = _open(config)
    with recorded(study, paths, "costs"):
        table = write_costs(study, paths)
    print(costs_json(table) if as_json else costs_text(table))


@report.command("page")
def report_page(
    config: Config,
    page: Annotated[
        str,
        typer.Option(
            "--page",
            help="`report`, `full`: every analysis, or `theory`: predicted from one merge.",
        ),
    ] = "report",
) -> None:
    """Write a page, one HTML file that needs no network."""
    from mergelaw.report.registry import PAGES
    from mergelaw.report.stage import write_page

    _run("page", write_page, *_open(config), *_chosen([page], PAGES, "page"))
