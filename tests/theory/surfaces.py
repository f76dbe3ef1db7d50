"""Surfaces over the tiny trained study, and what they are held against."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch.func import functional_call

from mergelaw.checkpoints.reading import BlockReader
from mergelaw.config import Study
from mergelaw.design import BASE
from mergelaw.evaluation.prepared import read_shards
from mergelaw.evaluation.text import EvalText
from mergelaw.merging.task_vectors import TaskVectors
from mergelaw.models.loading import load_model
from mergelaw.paths import StudyPaths, checkpoint_ref
from mergelaw.preflight.report import preflight
from mergelaw.sweep.engine import Engine
from mergelaw.theory.model_surface import ModelSurface
from mergelaw.theory.text_folds import FoldedText

EXPERTS = ("algebra", "biology", "code")
WEIGHTS = np.asarray([0.5, 0.2, 0.4])
"""Not equal: what holds for a merge of equal weights alone would show."""


def refs_of(study: Study, paths: StudyPaths, size: str) -> tuple[str, dict[str, str]]:
    """Return base and experts of a size."""
    experts = {name: checkpoint_ref(study, paths, size, name) for name in EXPERTS}
    return checkpoint_ref(study, paths, size, BASE), experts


def text_of(study: Study, paths: StudyPaths) -> EvalText:
    """Return the study's evaluation text."""
    return EvalText.of(read_shards(study, paths), study.evaluation.batch_tokens)


@contextmanager
def surface_of(
    study: Study, paths: StudyPaths, size: str = "large", method: str = "average", **settings: Any
) -> Iterator[ModelSurface]:
    """Open a surface over a size's experts."""
    base, experts = refs_of(study, paths, size)
    text = text_of(study, paths)
    with ModelSurface.open(study, base, experts, study.method(method), text, **settings) as surface:
        yield surface


@contextmanager
def placed_surface(
    study: Study, paths: StudyPaths, holding: Any, device_map: Any
) -> Iterator[ModelSurface]:
    """Open a surface whose pool is held, and whose model is placed, in a given way."""
    base, experts = refs_of(study, paths, "large")
    checked = preflight(base, experts)
    with BlockReader() as reader:
        engine = Engine(study, checked, reader, holding, device_map)
        folded = FoldedText.of(text_of(study, paths))
        yield ModelSurface.over(engine, study, study.method("average"), folded)


class Oracle:
    """Losses of one fold in float64, written anew: the whole model, its logits, its labels."""

    def __init__(self, study: Study, paths: StudyPaths, size: str = "large") -> None:
        base, experts = refs_of(study, paths, size)
        vectors = TaskVectors.load(base, experts)
        self.model = load_model(paths.trained(size, BASE), torch.float32).double()
        self.model.set_attn_implementation("eager")
        self.segments = vectors.segments
        self.base = vectors.base.double()
        self.deltas = torch.stack([vectors.deltas[name].double() for name in EXPERTS])

    def parameters(self, weights: torch.Tensor) -> dict[str, torch.Tensor]:
        flat = self.base + weights @ self.deltas
        return {part.name: flat[part.span].view(part.shape) for part in self.segments}

    def logits(self, weights: torch.Tensor, item: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """Return logits of an item's scored tokens, and these tokens."""
        ids = torch.tensor([item.input_ids.tolist()])
        places = torch.tensor(np.flatnonzero(item.scored))
        found = functional_call(self.model, self.parameters(weights), (ids,), {"use_cache": False})
        return found.logits[0, places - 1], ids[0, places]

    def loss(self, weights: torch.Tensor, items: list[Any]) -> torch.Tensor:
        pairs = [self.logits(weights, item) for item in items]
        return sum(
            torch.nn.functional.cross_entropy(logits, targets, reduction="sum")
            for logits, targets in pairs
        )

    def derivatives(self, weights: Any, items: list[Any]) -> tuple[Any, Any, Any]:
        """Return loss, gradient and dense Hessian in the weights."""
        at = torch.tensor(weights, dtype=torch.float64)
        function = lambda w: self.loss(w, items)  # noqa: E731
        gradient = torch.autograd.functional.jacobian(function, at)
        hessian = torch.autograd.functional.hessian(function, at)
        return float(function(at)), gradient.numpy(), hessian.numpy()

    def gauss_newton(self, weights: Any, items: list[Any]) -> Any:
        """Return the dense matrix: J' (diag p - p p') J of each token, J by autograd."""
        at, total = torch.tensor(weights, dtype=torch.float64), 0.0
        for item in items:
            function = lambda w, item=item: self.logits(w, item)[0]  # noqa: E731
            columns = [
                torch.func.jvp(function, (at,), (unit,))[1] for unit in torch.eye(3).double()
            ]
            jacobian = torch.stack(columns, -1)
            p = self.logits(at, item)[0].softmax(-1)
            inner = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
            total = total + torch.einsum("tvi,tvu,tuj->ij", jacobian, inner, jacobian)
        return total.detach().numpy()


def items_of(surface: ModelSurface, fold: int) -> list[Any]:
    """Return the items of a fold."""
    folded = surface.passes.folded
    return [folded.items[i] for i in folded.members(fold)]
