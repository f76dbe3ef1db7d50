"""How loss, gradient and curvature are taken at a merge, by products, gradients or logits."""

import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch

from mergelaw.costs.theory import GRADIENT, PRODUCT, logit_rows
from mergelaw.evaluation.loss import make_batches
from mergelaw.laws.forms import Array
from mergelaw.models.head import Head
from mergelaw.theory import differences, gauss_newton
from mergelaw.theory.attention import Attention
from mergelaw.theory.backward import free_bytes
from mergelaw.theory.derivatives import Folds
from mergelaw.theory.passes import Passes


class Sums(NamedTuple):
    """Loss, gradient and curvature, summed over the tokens of folds."""

    nll: Array
    gradient: Array
    curvature: Array


def by_products(
    passes: Passes, weights: Array, chosen: Sequence[int], attention: Attention
) -> Sums:
    """Return what Hessian-vector products tell of some folds.

    Parameters
    ----------
    passes : Passes
    weights : array, shape (n,)
    chosen : sequence of int
        Numbers of the folds.
    attention : Attention
        What the model is differentiated twice with.
    """
    start = time.perf_counter()
    passes.show(weights)
    parts = [passes.backward.curvature(passes.fold_batches(fold), attention) for fold in chosen]
    nll, gradient, curvature = (np.stack(rows) for rows in zip(*parts, strict=True))
    seconds = time.perf_counter() - start
    forwards = (GRADIENT + PRODUCT * len(weights)) * passes.folded.share(chosen)  # by convention
    passes.count(seconds, forwards=forwards, gradients=1, products=len(weights))
    if list(chosen) == passes.all_folds:
        nll = passes.losses(weights)
        passes.keep_gradient(weights, gradient)
    return Sums(nll, gradient, (curvature + curvature.transpose(0, 2, 1)) / 2)


def by_gradients(passes: Passes, weights: Array, chosen: Sequence[int], step: float) -> Sums:
    """Return what gradients over a step to each side tell.

    Raises
    ------
    NotDifferentiableError, NoRoomBackwardError, CheckpointError
        As `Passes.gradient`.
    """
    nll, gradient = passes.gradient(weights, chosen)
    curvature = differences.gradient_differences(
        lambda w: passes.gradient(w, chosen)[1], weights, step
    )
    passes.spent.n_products += len(weights)
    return Sums(nll, gradient, curvature)


def by_logits(
    passes: Passes, folds: Folds, weights: Array, chosen: Sequence[int], step: float
) -> Sums:
    """Return the generalised Gauss-Newton matrix; see `mergelaw.theory.gauss_newton`.

    Its gradient is wrong by the order of the step. Where the exact one was taken, it is that; where
    it was taken over other folds, folds are moved so that those of a domain sum to it.

    Parameters
    ----------
    folds : Folds
        Those chosen.
    """
    start, folded = time.perf_counter(), passes.folded
    items = np.concatenate([folded.members(fold) for fold in chosen])
    number = {fold: index for index, fold in enumerate(chosen)}
    of_item = torch.tensor([number[int(folded.of_item[item])] for item in items])
    batches = make_batches([folded.items[item] for item in items], passes.batch_tokens)
    head = Head.of(passes.engine.model)
    vocabulary = head.embeddings.weight.shape[0]
    most_rows = logit_rows(free_bytes(head.device), vocabulary, len(weights))
    blocks = gauss_newton.pieces_of(batches, of_item, most_rows)
    nll, gradient, curvature = gauss_newton.gauss_newton(
        passes.logits, blocks, weights, step, len(chosen)
    )
    gradient = _exact(passes, folds, weights, chosen, gradient)
    forwards = (len(weights) + 1) * folded.share(chosen)
    passes.count(time.perf_counter() - start, forwards=forwards, products=len(weights))
    return Sums(nll, gradient, curvature)


def _exact(
    passes: Passes, folds: Folds, weights: Array, chosen: Sequence[int], gradient: Array
) -> Array:
    kept = passes.kept_gradient(weights)
    if kept is None:
        return gradient
    of_domains, of_folds = kept
    if of_folds is not None:
        return of_folds[list(chosen)]
    whole = list(chosen) == passes.all_folds
    return folds.moved(gradient, of_domains) if whole else gradient
