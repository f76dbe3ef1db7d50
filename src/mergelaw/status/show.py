"""What `mergelaw status` tells, for a terminal."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from mergelaw.costs.words import duration, number

N_SHOWN = 8
"""Running jobs that are shown one by one."""

Facts = Mapping[str, Any]


def status_view(facts: Facts) -> RenderableType:
    """Return the facts of `status_facts` as a terminal shows them."""
    parts: list[RenderableType] = [_title(facts), "", _stages(facts), "", _sums(facts)]
    if facts["running"]:
        parts += ["", _running(facts["running"])]
    if facts["last_error"]:
        parts += ["", *_error(facts)]
    parts += [Text(f"note: {note}", style="yellow") for note in _notes(facts)]
    return Group(*parts)


def _title(facts: Facts) -> Text:
    time = facts["time"].partition("T")[2].partition("+")[0]
    return Text.assemble(
        (facts["study"], "bold"), (f"  {facts['folder']}  {time} UTC", "dim"), overflow="ellipsis"
    )


def _stages(facts: Facts) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("")
    table.add_column("", width=20)
    for name in ("done", "running", "failed", "left"):
        table.add_column(name, justify="right")
    for row in facts["stages"]:
        if not row["jobs"]:
            continue
        bar = ProgressBar(
            total=row["jobs"],
            completed=row["done"],
            width=20,
            complete_style="cyan",
            finished_style="green",
        )
        table.add_row(
            row["stage"],
            bar,
            f"{row['done']:,}/{row['jobs']:,}",
            Text(_count(row["running"]), "cyan"),
            Text(_count(row["failed"]), "bold red"),
            _count(row["left"]),
        )
    return table


def _count(n: int) -> str:
    return f"{n:,}" if n else "·"


def _sums(facts: Facts) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    for label, words in _sum_rows(facts):
        table.add_row(label, words)
    return table


def _sum_rows(facts: Facts) -> Iterator[tuple[str, str]]:
    merges, gpus, jobs = facts["merges"], facts["gpu_hours"], facts["job_hours"]
    words = f"{merges['scored']:,} of {merges['all']:,} scored"
    if merges["per_hour"]:
        over = duration(60 * merges["per_hour_over_minutes"])
        words += f", {number(merges['per_hour'])} an hour in {over} of work"
    yield "merges", words
    if gpus["spent"] or gpus["left"]:
        failed = gpus["spent_by_failed_attempts"]
        lost = f" ({number(failed)} by failed attempts)" if failed > 0.001 * gpus["spent"] else ""
        left = "" if gpus["left"] is None else f", about {number(gpus['left'])} left"
        yield "GPU-hours", f"{number(gpus['spent'])} spent{lost}{left}"
    left = "" if jobs["left"] is None else f", about {duration(3600 * jobs['left'])} left"
    yield "job time", f"{duration(3600 * jobs['spent'])} spent{left}{_source(jobs)}"
    if facts["time_left_hours"]:
        n_running = len(facts["running"])
        at_once = f"{n_running} jobs at once" if n_running > 1 else "one job at a time"
        yield "time left", f"about {duration(3600 * facts['time_left_hours'])} with {at_once}"
    elif jobs["left"]:
        yield "time left", "no job runs"
    slurm = facts["slurm"]
    if slurm["answers"] and (slurm["running"] or slurm["waiting"]):
        yield "Slurm", f"{slurm['running']:,} jobs run, {slurm['waiting']:,} wait"


def _source(jobs: Facts) -> str:
    """Say what the hours left rest on."""
    if not jobs["left"]:
        return ""
    modelled = jobs["left_by_model"]
    if not modelled:
        return " (as its jobs took so far)"
    part = "" if modelled > 0.99 * jobs["left"] else f"{duration(3600 * modelled)} "
    return f" ({part}by the model of costs for {jobs['model_of']})"


def _running(jobs: list[Facts]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("running", overflow="fold")
    table.add_column("merges", justify="right")
    table.add_column("for", justify="right")
    table.add_column("on", overflow="ellipsis", no_wrap=True)
    for job in jobs[:N_SHOWN]:
        merges = f"{job['merges_scored']:,}/{job['merges']:,}" if job["merges"] else ""
        slurm = f", job {job['slurm_job']}" if job["slurm_job"] else ""
        table.add_row(_name(job), merges, duration(job["seconds"]), f"{job['host']}{slurm}")
    if len(jobs) > N_SHOWN:
        table.add_row(f"and {len(jobs) - N_SHOWN:,} more")
    return table


def _name(job: Facts) -> str:
    again = f" (attempt {job['attempt']})" if job["attempt"] > 1 else ""
    return " ".join([job["rule"], *job["targets"].values()]) + again


def _error(facts: Facts) -> Iterator[RenderableType]:
    last, n_failed = facts["last_error"], len(facts["failed"])
    headline = "failed" if n_failed == 1 else f"last of {n_failed:,} failed"
    yield Text.assemble((f"{headline}: ", "bold red"), (_name(last), "bold"))
    yield Text(last["error"])
    if last["log"]:
        yield Text(f"log: {last['log']}", style="dim")
    yield from (Text(f"  {line}", "dim", no_wrap=True) for line in _new_lines(last))


def _new_lines(last: Facts) -> list[str]:
    """Return the log's last lines, those that the error does not tell already."""
    told = {line.strip() for line in last["error"].splitlines()}
    told.add("")
    return [
        line for line in last["log_lines"] if line.removeprefix("error: ").strip(" ^") not in told
    ]


def _notes(facts: Facts) -> Iterator[str]:
    slurm, on_cpu = facts["slurm"], facts["on_cpu_despite_gpu"]
    if facts["job_hours"]["lack"]:
        yield f"what is left is not known: {facts['job_hours']['lack']}"
    if slurm["lack"]:
        yield f"{slurm['lack']}; jobs count as running by the times of their records"
    if slurm["orphans"]:
        yield (
            f"no snakemake waits for these Slurm jobs any more: {_some(slurm['orphans'])}; let "
            "them end before you start it again, or scancel them"
        )
    if slurm["head_not_seen"]:
        yield (
            "no snakemake is seen here, though the folder is locked: it runs on another machine, "
            "or was killed (then: snakemake --unlock)"
        )
    if on_cpu:
        yield (
            f"had GPUs and used none: {_some([_name(job) for job in on_cpu])}; is torch there a "
            "CUDA build?"
        )


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 4:,} more" if len(names) > 4 else ""
    return ", ".join(names[:4]) + more
