"""The table of losses made ready: checked against the study, one loss a row."""

import polars as pl

from mergelaw.config import Study
from mergelaw.errors import TableError, listing
from mergelaw.laws.schemas import MACRO
from mergelaw.tables import LOSSES_KEY

BILLION = 1e9
SUBSET = ("size", "n_params_billions", "method", "subset", "k")


def prepare(losses: pl.DataFrame, study: Study) -> pl.DataFrame:
    """Return the rows of `results/{study}/sweep/losses.parquet` as the laws use them.

    Adds `loss` (nll_sum / n_tokens, nats per token) and `n_params_billions` (the count that
    `laws.n_params` names), and sorts, so that results do not depend on the order of rows.

    Raises
    ------
    TableError
        If a key occurs twice, a name is not the study's, a row has no tokens, or a subset lacks
        a domain.
    """
    problems = _problems(losses, study)
    if problems:
        raise TableError(listing("the table of losses", problems))
    rows = losses.with_columns(
        pl.col("k").cast(pl.Int64),
        loss=pl.col("nll_sum") / pl.col("n_tokens"),
        n_params_billions=pl.col(f"n_params_{study.laws.n_params}") / BILLION,
    )
    ready = in_order(rows, study, "subset", "order", "mask_seed", "accumulate")
    _require_every_domain(ready, study)
    return ready


def subset_losses(rows: pl.DataFrame) -> pl.DataFrame:
    """Return one loss per subset and domain, mask seeds averaged, and the macro loss.

    Parameters
    ----------
    rows : polars.DataFrame
        From `prepare`.

    Returns
    -------
    polars.DataFrame
        Columns size, n_params_billions, method, subset, k, domain, loss, n_mask_seeds.
    """
    repeats = rows.group_by(*SUBSET, "domain", maintain_order=True).agg("loss", "mask_seed")
    domains = repeats.with_columns(
        pl.col("loss").list.mean(), n_mask_seeds=pl.col("mask_seed").list.n_unique().cast(pl.Int64)
    ).drop("mask_seed")
    macro = domains.group_by(*SUBSET, maintain_order=True).agg("loss", "n_mask_seeds")
    macro = macro.with_columns(
        pl.col("loss").list.mean(), pl.col("n_mask_seeds").list.min(), domain=pl.lit(MACRO)
    )
    return pl.concat([domains, macro.select(domains.columns)])


def in_order(frame: pl.DataFrame, study: Study, *more: str) -> pl.DataFrame:
    """Sort by the config's order of sizes, methods and domains (macro last), k, and `more`."""
    order = {
        "size": study.size_names,
        "method": study.method_labels,
        "domain": (*study.domain_names, MACRO),
    }
    ranks = [pl.col(name).cast(pl.Enum(names)) for name, names in order.items()]
    return frame.sort(*ranks, "k", *more)


def _problems(losses: pl.DataFrame, study: Study) -> list[str]:
    merges = losses.filter(pl.col("k") > 0)
    problems = _unknown(losses, "size", study.size_names)
    problems += _unknown(losses, "domain", study.domain_names)
    problems += _unknown(merges, "method", study.method_labels)
    experts = merges.select(pl.col("subset").unique().str.split("+").explode().alias("expert"))
    problems += _unknown(experts, "expert", study.expert_names)
    repeated = losses.group_by(*LOSSES_KEY, "subset").len().filter(pl.col("len") > 1)
    problems += [
        f"{row['len']} rows for " + ", ".join(f"{k}={row[k]}" for k in LOSSES_KEY)
        for row in repeated.sort(*LOSSES_KEY).head(10).to_dicts()
    ]
    n_empty = losses.filter(pl.col("n_tokens") <= 0).height
    return problems + [f"{n_empty} rows without a token"] * (n_empty > 0)


def _unknown(frame: pl.DataFrame, column: str, names: tuple[str, ...]) -> list[str]:
    found = frame.filter(~pl.col(column).is_in(names))[column].unique().sort()
    return [f"the {column} {name!r} is not in the study" for name in found]


def _require_every_domain(rows: pl.DataFrame, study: Study) -> None:
    """Raise unless every repeat of every subset has every domain: a macro needs them all."""
    repeat = ["size", "method", "subset", "order", "mask_seed", "accumulate"]
    incomplete = (
        rows.group_by(repeat)
        .agg(n=pl.col("domain").n_unique())
        .filter(pl.col("n") < len(study.domains))
        .sort(repeat)
    )
    if incomplete.height:
        names = [
            f"{row['size']}, {row['method']}, {row['subset']}: {row['n']} of "
            f"{len(study.domains)} domains"
            for row in incomplete.head(10).to_dicts()
        ]
        raise TableError(
            listing(f"{incomplete.height} merges are not scored on every domain", names)
        )
