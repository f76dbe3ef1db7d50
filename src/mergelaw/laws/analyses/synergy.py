"""Which expert helps which domain: the gain from adding a donor, balanced over k."""

import numpy as np
import polars as pl

from mergelaw.config import Study
from mergelaw.laws.forms import Array
from mergelaw.laws.schemas import MACRO, SYNERGY


def synergy(losses: pl.DataFrame, study: Study) -> pl.DataFrame:
    """Return the gain of every donor (expert) to every receiver (domain), schema `SYNERGY`.

    ``gain = mean over k of mean over S of L(S) - L(S + donor)``, over all measured pairs of
    subsets with |S| = k >= 1 and the donor not in S; in nats per token, positive where the donor
    helps. A gain shrinks like 1/k, so means are taken within k first: the paper's average over
    the steps of permutations (appendix M.1) mixes k as its sampling happens to. Sampled subsets may
    have no pair at some k: gains of other `n_k` then cannot be compared.

    Parameters
    ----------
    losses : polars.DataFrame
        From `mergelaw.laws.rows.subset_losses`.
    """
    merges = losses.filter(pl.col("k") > 0)
    receivers = [*study.domain_names, MACRO]
    rows = []
    parts = merges.partition_by("size", "method", as_dict=True, maintain_order=True)
    for (size, method), part in parts.items():
        wide = part.pivot("domain", index="subset", values="loss")
        subsets = [frozenset(name.split("+")) for name in wide["subset"]]
        members = np.array([[name in subset for name in study.expert_names] for subset in subsets])
        matrix = wide.select(receivers).to_numpy()
        for donor, name in enumerate(study.expert_names):
            gain, n_pairs, n_k = donor_gain(members, matrix, donor)
            rows += [
                {
                    "size": size,
                    "method": method,
                    "donor": name,
                    "receiver": receiver,
                    "gain": None if gain is None else float(gain[i]),
                    "n_pairs": n_pairs,
                    "n_k": n_k,
                }
                for i, receiver in enumerate(receivers)
            ]
    return SYNERGY.frame(rows)


def donor_gain(members: Array, losses: Array, donor: int) -> tuple[Array | None, int, int]:
    """Return the gain from one donor, balanced over k, with the numbers of pairs and of k.

    Parameters
    ----------
    members : bool array, shape (subsets, experts)
    losses : array, shape (subsets, receivers)
    donor : int
        Column of `members`.

    Returns
    -------
    Array of shape (receivers,), or None without a pair; number of pairs; number of k.
    """
    rows = {row.tobytes(): i for i, row in enumerate(members)}
    extended = members.copy()
    extended[:, donor] = True
    pairs = [
        (i, rows[extended[i].tobytes()])
        for i in np.flatnonzero(~members[:, donor])
        if extended[i].tobytes() in rows
    ]
    if not pairs:
        return None, 0, 0
    before, after = np.array(pairs).T
    gains, k = losses[before] - losses[after], members[before].sum(axis=1)
    within = [gains[k == value].mean(axis=0) for value in np.unique(k)]
    return np.mean(within, axis=0), len(pairs), len(within)
