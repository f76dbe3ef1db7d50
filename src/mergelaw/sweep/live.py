"""A model that merges are written into."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from mergelaw.errors import CheckpointError
from mergelaw.merging.pool import Segment
from mergelaw.models.devices import DeviceMap
from mergelaw.models.loading import load_model


class LiveModel:
    """A model and one flat vector of its weights, which merges are written to.

    On the processor the parameters are slices of the vector. On other devices the vector is in the
    host's memory, pinned, and `show` copies it.

    Parameters
    ----------
    folder : Path
        Checkpoint of the base.
    segments : sequence of Segment
        The tensors that are merged; they must be the model's parameters.
    dtype : torch.dtype
        Type of the merged weights and of the forward pass.
    device_map : DeviceMap, optional
        Where the model is placed; the processor without it.

    Attributes
    ----------
    model : transformers causal language model
    weights : tensor, shape (n_params,)
        Tensors in the order of their names.
    staged : bool
        Whether the weights must be shown to the model.
    """

    def __init__(
        self,
        folder: Path,
        segments: Sequence[Segment],
        dtype: torch.dtype,
        device_map: DeviceMap | None = None,
    ) -> None:
        self.model = load_model(folder, dtype, device_map)
        self.staged = device_map is not None
        parameters = dict(self.model.named_parameters())
        names = {segment.name for segment in segments}
        if parameters.keys() != names:
            lacks, extra = sorted(parameters.keys() - names), sorted(names - parameters.keys())
            raise CheckpointError(
                f"{folder}: lacks parameters of its model: {lacks[:5]}; "
                f"has tensors that the model does not: {extra[:5]}"
            )
        n = sum(segment.n for segment in segments)
        self.weights = torch.empty(n, dtype=dtype, pin_memory=torch.cuda.is_available())
        self._copied: list[tuple[Tensor, Tensor]] = []
        for segment in segments:
            view = self.weights[segment.span].view(segment.shape)
            parameter = parameters[segment.name].data
            if self.staged or parameter.dtype != dtype:  # some families keep a part in float32
                self._copied.append((parameter, view))
            else:
                parameters[segment.name].data = view

    def show(self) -> None:
        """Copy the weights to the parameters that are not slices of them."""
        for parameter, view in self._copied:
            parameter.copy_(view, non_blocking=True)
        if self.staged and torch.cuda.is_available():
            torch.cuda.synchronize()  # the vector may be written again when this returns
