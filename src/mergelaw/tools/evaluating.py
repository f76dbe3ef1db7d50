"""The command that scores checkpoints, and tells them apart; it needs no study."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mergelaw.errors import ConfigError
from mergelaw.tools.options import Json

if TYPE_CHECKING:
    from mergelaw.evaluation.checkpoint import Score


def evaluate(
    checkpoint: Annotated[str, typer.Argument(help="A folder, or org/name in the Hub's cache.")],
    shard: Annotated[
        list[Path],
        typer.Option(
            "--shard", help="Prepared text of a study (data/shards/*.safetensors); repeatable."
        ),
    ],
    out: Annotated[
        Path | None, typer.Option("--out", help="Write the losses to this parquet file.")
    ] = None,
    batch_tokens: Annotated[
        int, typer.Option("--batch-tokens", help="Padded tokens of a forward pass.", min=1)
    ] = 4096,
    dtype: Annotated[
        Literal["float32", "bfloat16"], typer.Option("--dtype", help="Type of the forward pass.")
    ] = "float32",
    against: Annotated[
        str | None,
        typer.Option(
            "--against",
            help="Print how the losses differ from those of this checkpoint, or of a table that "
            "--out wrote.",
        ),
    ] = None,
    standard_error: Annotated[
        float | None,
        typer.Option(
            "--standard-error",
            help="Stop when the macro difference on the whole text is known to this standard "
            "error, in nats/token; by default all items are scored.",
            min=1e-12,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Score a checkpoint on prepared text: exact token cross-entropy, domain by domain."""
    if against is not None:
        if out is not None:
            raise ConfigError("--out holds the losses of one checkpoint: leave --against out")
        _difference(checkpoint, against, shard, dtype, batch_tokens, standard_error, as_json)
        return
    if standard_error is not None:
        raise ConfigError("--standard-error is that of a difference: name a model with --against")
    if out is not None and out.suffix != ".parquet":
        raise ConfigError(f"--out {out}: must end in .parquet, so that --against finds it again")
    scores = _scores(checkpoint, shard, dtype, batch_tokens, out)
    if as_json:
        print(json.dumps([score.facts() for score in scores], indent=2))
        return
    for score in scores:
        print(f"{score.domain:>20}: {score.loss:.6f} nats/token over {score.n_tokens:,} tokens")
    macro = sum(score.loss for score in scores) / len(scores)
    print(f"{'macro':>20}: {macro:.6f}")
    if out is not None:
        print(f"wrote {out}")


def _scores(
    checkpoint: str, shard: Sequence[Path], dtype: str, batch_tokens: int, out: Path | None
) -> "list[Score]":
    """Return the losses of a checkpoint; write them where that is asked for."""
    from mergelaw.evaluation.checkpoint import (
        Origin,
        open_checkpoint,
        read_text,
        score_model,
        write_scores,
    )
    from mergelaw.hub import resolve

    folder, text = resolve(checkpoint), read_text(shard, batch_tokens)
    scores = score_model(open_checkpoint(folder, text, dtype), text, str(folder))
    if out is not None:
        write_scores(out, scores, Origin.of(checkpoint, dtype, text))
    return scores


def _difference(
    checkpoint: str,
    against: str,
    shard: Sequence[Path],
    dtype: str,
    batch_tokens: int,
    standard_error: float | None,
    as_json: bool,
) -> None:
    """Print how the losses of two checkpoints differ."""
    from mergelaw.evaluation.paired import compare_checkpoints

    found = compare_checkpoints(checkpoint, against, shard, dtype, batch_tokens, standard_error)
    if as_json:
        given = {"checkpoint": checkpoint, "against": against}
        print(json.dumps(given | found.facts(), indent=2))
        return
    print(f"{checkpoint} less {against}, in nats/token on this text:")
    for part in found.domains:
        print(
            f"{part.domain:>20}: {part.difference:+.6f} (standard error {part.standard_error:.6f}) "
            f"from {part.n_items:,} of {part.of_items:,} items, {part.n_tokens:,} tokens"
        )
    print(f"{'macro':>20}: {found.difference:+.6f} (standard error {found.standard_error:.6f})")
    if found.stopped:
        share = sum(d.n_tokens for d in found.domains) / sum(d.of_tokens for d in found.domains)
        print(f"stopped: {share:.1%} of the tokens give a standard error of {standard_error:g}")
    elif standard_error is not None:
        print(
            f"all items were scored, as fewer did not give a standard error of {standard_error:g}: "
            "the difference on this text is exact"
        )
