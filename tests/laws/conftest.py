"""Studies and tables of losses made up from plain functions of the subset."""

from collections.abc import Callable, Sequence
from itertools import combinations

import numpy as np
import polars as pl
import pytest

from mergelaw.config import Study
from mergelaw.tables import LOSSES

DARE = {"label": "dare", "method": "dare"}
AVERAGE = {"label": "average", "method": "average"}
ARCHITECTURE = {"hidden_size": 8, "layers": 1, "heads": 1, "kv_heads": 1, "intermediate_size": 8}
SHARES = {"base": 0.5, "train": 0.25, "heldout": 0.25}


def study_of(
    n_experts: int = 4,
    n_domains: int = 2,
    sizes: Sequence[str] = ("s0", "s1", "s2", "s3"),
    methods: Sequence[dict] = (AVERAGE,),
    **laws: object,
) -> Study:
    """Return a study of experts e0, e1, ... at home in domains d0, d1, ... (the rest homeless)."""
    domains = [f"d{i}" for i in range(n_domains)]
    source = {"kind": "procedural", "generator": "algebra"}
    return Study.model_validate(
        {
            "name": "test",
            "seed": 7,
            "domains": [{"name": name, "source": source} for name in domains],
            "experts": [
                {"name": f"e{i}", "domain": domains[i] if i < n_domains else None}
                for i in range(n_experts)
            ],
            "data": {"shares": SHARES},
            "tokenizer": {"vocab_size": 512},
            "sizes": [
                {"name": name, "architecture": ARCHITECTURE | {"layers": i + 1}}
                for i, name in enumerate(sizes)
            ],
            "methods": list(methods),
            "design": [{"kind": "exhaustive"}],
            "laws": laws,
        }
    )


def subsets_of(n_experts: int, ks: Sequence[int] | None = None) -> list[tuple[int, ...]]:
    """Return all subsets of the pool with the given sizes, the empty one too by default."""
    sizes = range(n_experts + 1) if ks is None else ks
    return [subset for k in sizes for subset in combinations(range(n_experts), k)]


def n_params(size_index: int) -> int:
    """Return the parameter count of a made-up size."""
    return 10_000 * 3**size_index


def losses_of(
    study: Study,
    item_losses: Callable[[int, str, tuple[int, ...], int, int], Sequence[float]],
    ks: Sequence[int] | None = None,
    mask_seeds: Sequence[int] = (0,),
    n_tokens: Sequence[int] = (10, 30),
) -> pl.DataFrame:
    """Return a table of losses.

    `item_losses(size index, method, subset, domain index, mask seed)` gives nats per token of
    every item, and `n_tokens` how many tokens an item has.
    """
    rows = []
    for s, size in enumerate(study.size_names):
        for method in study.method_labels:
            for subset in subsets_of(len(study.experts), ks):
                name = "+".join(f"e{i}" for i in subset) or "base"
                for seed in mask_seeds:
                    for d, domain in enumerate(study.domain_names):
                        nll = np.asarray(item_losses(s, method, subset, d, seed)) * n_tokens
                        rows.append(
                            (
                                size,
                                n_params(s) + 1000,
                                n_params(s),
                                method,
                                name,
                                len(subset),
                                name,
                                seed,
                                "float32",
                                domain,
                                nll.sum(),
                                sum(n_tokens),
                                nll.tolist(),
                                list(n_tokens),
                            )
                        )
    return pl.DataFrame(rows, schema=LOSSES, orient="row")


def quadratic_pool(
    n_experts: int, n_items: int, spread: float = 1, dimension: int = 6, seed: int = 0
):
    """Return losses of averages of task vectors in a quadratic bowl: item -> loss(subset)."""
    draw = np.random.default_rng(seed)
    vectors = 1 + spread * draw.normal(size=(n_experts, dimension))
    roots = draw.normal(size=(n_items, dimension, dimension)) / dimension
    hessians = roots @ roots.transpose(0, 2, 1)
    gradients = draw.normal(size=(n_items, dimension)) * 0.3

    def losses(subset: tuple[int, ...]) -> np.ndarray:
        step = vectors[list(subset)].mean(axis=0) if subset else np.zeros(dimension)
        return 5 + gradients @ step + np.einsum("i,nij,j->n", step, hessians, step) / 2

    return losses


@pytest.fixture
def make_study() -> Callable[..., Study]:
    return study_of


@pytest.fixture
def make_losses() -> Callable[..., pl.DataFrame]:
    return losses_of


@pytest.fixture
def make_quadratic() -> Callable[..., Callable]:
    return quadratic_pool
