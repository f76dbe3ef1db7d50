"""Subsets as rows of a matrix of members, with their losses; and the blocks experts are from."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from mergelaw.config import Study
from mergelaw.laws.forms import Array


class Measured(NamedTuple):
    """The measured subsets of one size and method, the base among them.

    Attributes
    ----------
    members : bool array, shape (subsets, experts)
        Columns in the config's order of experts; no member: the base.
    losses : array, shape (subsets, domains)
        Nats per token.
    """

    size: str
    method: str
    members: Array
    losses: Array

    @property
    def merges(self) -> "Measured":
        """The same without the base."""
        merged = self.members.any(axis=1)
        return self._replace(members=self.members[merged], losses=self.losses[merged])


def measured(losses: pl.DataFrame, study: Study, domains: Sequence[str]) -> Iterator[Measured]:
    """Yield the subsets of every size and method with their losses on the given domains.

    Parameters
    ----------
    losses : polars.DataFrame
        From `mergelaw.laws.rows.subset_losses`.
    """
    parts = losses.partition_by("size", "method", as_dict=True, maintain_order=True)
    for (size, method), part in parts.items():
        wide = part.pivot("domain", index="subset", values="loss")
        subsets = [set(name.split("+")) for name in wide["subset"]]
        members = np.array([[name in subset for name in study.expert_names] for subset in subsets])
        yield Measured(str(size), str(method), members, wide.select(domains).to_numpy())


def domain_blocks(study: Study) -> dict[str, str]:
    """Return the block of each domain that has one."""
    return {domain.name: domain.block for domain in study.domains if domain.block is not None}


def expert_blocks(study: Study) -> dict[str, str]:
    """Return the block of each expert, its home domain's; experts without one are left out."""
    blocks = domain_blocks(study)
    homes = {expert.name: expert.domain for expert in study.experts if expert.domain is not None}
    return {name: blocks[home] for name, home in homes.items() if home in blocks}
