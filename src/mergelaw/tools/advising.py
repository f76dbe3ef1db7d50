"""The command `mergelaw advise`: from a base, experts and text to a merged checkpoint."""

import contextlib
import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from mergelaw.files import write_json
from mergelaw.tools.advice_study import workflow_words
from mergelaw.tools.options import Json

ADVICE = "advice.json"


def advise(
    base: Annotated[str, typer.Option("--base", help="The base: a folder, or org/name.")],
    expert: Annotated[
        list[str],
        typer.Option("--expert", help="An expert, [NAME=]PATH, or a LoRA adapter; repeatable."),
    ],
    data: Annotated[
        list[str],
        typer.Option(
            "--data",
            help="Held-out text of a domain, [NAME=]FILE: JSONL, JSON, parquet, CSV or plain text; "
            "repeatable.",
        ),
    ],
    budget: Annotated[
        int, typer.Option("--budget", help="The most merges that are made and scored.")
    ] = 40,
    out: Annotated[
        Path, typer.Option("--out", help="Folder of the study, the advice and the merged model.")
    ] = Path("advice"),
    method: Annotated[
        str, typer.Option("--method", help="METHOD[:KEY=VALUE,...], as ties:density=0.2.")
    ] = "average",
    target: Annotated[
        str | None,
        typer.Option("--target", help="The domain whose loss shall be small; macro when absent."),
    ] = None,
    mixture: Annotated[
        str | None, typer.Option("--mixture", help="Weights of domains, as a=0.5,b=0.5.")
    ] = None,
    k: Annotated[int | None, typer.Option("--k", help="Choose among subsets of k experts.")] = None,
    max_k: Annotated[
        int | None, typer.Option("--max-k", help="Choose among subsets of at most so many.")
    ] = None,
    eps: Annotated[
        float, typer.Option("--eps", help="The least gain worth one more expert, nats per token.")
    ] = 0.01,
    tokens: Annotated[
        int, typer.Option("--tokens", help="Tokens of each domain that merges are scored on.")
    ] = 20_000,
    max_length: Annotated[
        int | None,
        typer.Option("--max-length", help="Longest item in tokens; the base's, at most 2048."),
    ] = None,
    template: Annotated[
        str | None,
        typer.Option(
            "--template",
            help="Chat template where the base has none: chatml, llama3, gemma or a .jinja file.",
        ),
    ] = None,
    device: Annotated[
        str, typer.Option("--device", help="What the cost is estimated for: cpu, h100, ...")
    ] = "cpu",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check, tell the cost, write the study; no merges.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Measure a few merges of your experts, and merge those that do best; a kill loses nothing."""
    from mergelaw.planning.advice import advice_text
    from mergelaw.tools.advice_study import Asked, prepared
    from mergelaw.tools.advice_work import cost_words, made_advice

    asked = Asked(
        base, tuple(expert), tuple(data), budget, out, method, target, mixture, k, max_k, eps,
        tokens, max_length, template,
    )  # fmt: skip
    with contextlib.redirect_stdout(sys.stderr):  # what stages print is progress here
        opened = prepared(asked)
        for line in (*opened.notes, *cost_words(opened, device)):
            _say(line)
        advice = None if dry_run else made_advice(opened, asked, _say)
    if advice is None:
        told = {"study": str(opened.config), "results": str(opened.paths.root)}
        print(json.dumps(told, indent=2) if as_json else _next_words(opened.config, out))
        return
    write_json(out / ADVICE, advice.facts())
    if as_json:
        print(json.dumps(advice.facts(), indent=2, allow_nan=False))
    else:
        print(advice_text(advice), end="")
        print(f"all of it: {out / ADVICE}; the study: {opened.config}")
        print(_next_words(opened.config, out))
    if advice.merged is None:
        raise typer.Exit(1)


def _next_words(config: Path, out: Path) -> str:
    return (
        "the same study with its report, from a copy of mergelaw's repository: "
        + workflow_words(out, config)
    )


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
