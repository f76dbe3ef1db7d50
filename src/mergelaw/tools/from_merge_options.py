"""Options of `mergelaw forecast --from-merge`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

FromMerge = Annotated[
    bool,
    typer.Option(
        "--from-merge",
        help="Predict from derivatives of the loss at one merge, that of all experts, in place of "
        "measured points: --base, --expert, --shard and --method, or --config, --size, --method.",
    ),
]
MergeShards = Annotated[
    list[Path] | None,
    typer.Option(
        "--shard", help="Prepared text of a study (data/shards/*.safetensors); repeatable."
    ),
]
MergeStudy = Annotated[
    Path | None,
    typer.Option("--config", help="A study; --size and --method name one of its merges."),
]
MergeSize = Annotated[str | None, typer.Option("--size", help="With --config: a size of it.")]
MergeRoute = Annotated[
    Literal["hvp", "gauss_newton", "differences", "pairs"] | None,
    typer.Option(
        "--route",
        help="How curvature is measured (default hvp); differences and pairs only go forward, "
        "differences alone tells no single subsets.",
    ),
]
MergeDtype = Annotated[
    Literal["float32", "bfloat16"] | None,
    typer.Option("--dtype", help="Type of the model (default float32); bfloat16 is noisy."),
]
MergeBatch = Annotated[
    int | None,
    typer.Option("--batch-tokens", help="Padded tokens of a forward pass (default 4096).", min=1),
]
Precision = Annotated[
    float | None,
    typer.Option(
        "--precision",
        help="Fail if the macro loss is not known to so many nats per token on other text, and say "
        "how much text would do.",
    ),
]
Top = Annotated[
    int | None, typer.Option("--top", help="Show so many subsets, by predicted macro loss.")
]
