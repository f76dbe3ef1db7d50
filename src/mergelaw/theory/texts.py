"""Text that weights are chosen and judged on: held-out items that no other stage reads."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import polars as pl

from mergelaw.config import Study
from mergelaw.config.theory import Theory
from mergelaw.data.encode import Encoder
from mergelaw.errors import DataError, listing
from mergelaw.evaluation.prepared import encoder_of, read_shards
from mergelaw.evaluation.shards import EvalShard, prepare_shard
from mergelaw.evaluation.text import EvalText
from mergelaw.paths import StudyPaths
from mergelaw.tables import ITEMS, read_table
from mergelaw.variants import theory_of

ALL = 2**62
"""A budget of tokens that no text reaches."""


class Cut(NamedTuple):
    """Items of one domain, in order, and where the held-out ones begin.

    Attributes
    ----------
    rows : polars.DataFrame
        Columns of `mergelaw.tables.ITEMS`; an item without a scored token counts for nothing.
    n_tokens : tuple of int, length rows
        Tokens of each item.
    start : int
        Rows before it are for calibration; 0 or `rows.height` if there is nothing to divide.
    is_short : bool
        Whether the items hold less than was asked for.
    """

    rows: pl.DataFrame
    n_tokens: tuple[int, ...]
    start: int
    is_short: bool

    def parts(self) -> tuple[int, int]:
        """Return the tokens of the two parts."""
        return sum(self.n_tokens[: self.start]), sum(self.n_tokens[self.start :])


def calibration_and_heldout(
    study: Study, paths: StudyPaths, tell: Callable[[str], None] = print
) -> tuple[EvalText, EvalText]:
    """Return the text that weights are chosen on, and that which they are judged on.

    Of each domain the held-out items after those of its evaluation shard, in the same order: first
    `theory.calibration_tokens`, then `theory.heldout_tokens`. No model was trained on either, and
    no other stage scores them. Where a domain has fewer, both are shorter in that proportion, and a
    line says so.

    Parameters
    ----------
    tell : callable
        Takes each such line; standard output without it.

    Returns
    -------
    calibration, heldout : EvalText
        All domains, in the config's order.

    Raises
    ------
    ConfigError
        If the config has no `theory`.
    DataError
        If the evaluation text is missing or of another config, or a domain has no item left for one
        of the two; all domains are listed.
    """
    theory, encoder = theory_of(study), encoder_of(study, paths)
    shards = read_shards(study, paths)
    cuts = {shard.domain: _cut(paths, encoder, shard, theory) for shard in shards}
    problems = list(_too_few(cuts, shards))
    if problems:
        raise DataError(listing("too few held-out items are left for theory", problems))
    for line in _shorter(cuts, theory):
        tell(line)
    parts = zip(*(_parts(domain, cut, encoder) for domain, cut in cuts.items()), strict=True)
    calibration, heldout = (EvalText.of(p, study.evaluation.batch_tokens) for p in parts)
    return calibration, heldout


def _cut(paths: StudyPaths, encoder: Encoder, shard: EvalShard, theory: Theory) -> Cut:
    """Draw items after those of a shard until they hold one budget, then the other."""
    heldout = read_table(paths.items(shard.domain), ITEMS).filter(split="heldout").sort("item_id")
    rows = heldout.slice(len(shard.items) + shard.n_skipped)
    items = encoder.encode(rows.iter_rows(named=True))
    tokens = (len(item.input_ids) if item.scored.any() else 0 for item in items)
    first = _drawn(tokens, theory.calibration_tokens)
    last = _drawn(tokens, theory.heldout_tokens)
    start, lengths, is_short = len(first), [*first, *last], sum(last) < theory.heldout_tokens
    if is_short:
        share = theory.calibration_tokens / (theory.calibration_tokens + theory.heldout_tokens)
        start = _start(lengths, share * sum(lengths))
    return Cut(rows.head(len(lengths)), tuple(lengths), start, is_short)


def _drawn(tokens: Iterator[int], budget: float) -> list[int]:
    """Return the first numbers whose sum reaches a budget; all where none does."""
    found, left = list[int](), budget
    while left > 0 and (following := next(tokens, None)) is not None:
        found.append(following)
        left -= following
    return found


def _start(lengths: list[int], budget: float) -> int:
    """Return how many items it takes to hold a budget; one item, if any can, is left over."""
    usable = [place for place, length in enumerate(lengths) if length]
    return min(len(_drawn(iter(lengths), budget)), usable[-1]) if usable else 0


def _too_few(cuts: dict[str, Cut], shards: list[EvalShard]) -> Iterator[str]:
    """Yield domains of which a part would be empty, with what is there and what would do."""
    scored = {shard.domain: len(shard.items) for shard in shards}
    for domain, cut in cuts.items():
        if not all(cut.parts()):
            n_left = sum(map(bool, cut.n_tokens))
            yield (
                f"domain {domain!r}: {n_left} left beside the {scored[domain]} of the evaluation "
                "text, and calibration and held-out text take one at the least each; give more "
                "items, a larger data.shares.heldout, or a lower evaluation.tokens_per_domain"
            )


def _shorter(cuts: dict[str, Cut], theory: Theory) -> Iterator[str]:
    """Yield a line about each domain whose text is shorter than was asked for."""
    for domain, cut in cuts.items():
        if cut.is_short:
            calibration, heldout = cut.parts()
            yield (
                f"domain {domain!r}: {calibration:,} tokens for calibration "
                f"(theory.calibration_tokens = {theory.calibration_tokens:,}) and {heldout:,} held "
                f"out (theory.heldout_tokens = {theory.heldout_tokens:,}): all that the evaluation "
                "text leaves"
            )


def _parts(domain: str, cut: Cut, encoder: Encoder) -> tuple[EvalShard, EvalShard]:
    """Return the two parts of a domain's items as prepared text."""
    keys = encoder.keys()
    calibration = prepare_shard(domain, cut.rows.head(cut.start), encoder, ALL, keys)
    heldout = prepare_shard(domain, cut.rows.slice(cut.start), encoder, ALL, keys)
    return calibration, heldout
