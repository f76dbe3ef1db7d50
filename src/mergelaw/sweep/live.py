"""A model that merges are written into."""

from pathlib import Path

import torch

from mergelaw.errors import CheckpointError
from mergelaw.evaluation.model import load_model
from mergelaw.merging.task_vectors import TaskVectors


class LiveModel:
    """A model whose parameters are slices of one flat buffer, so that a merge is one copy.

    Parameters
    ----------
    folder : Path
        Checkpoint of the base.
    vectors : TaskVectors
        Base and experts; their segments must be the model's parameters.
    dtype : torch.dtype
        Type of the merged weights and of the forward pass.
    """

    def __init__(self, folder: Path, vectors: TaskVectors, dtype: torch.dtype) -> None:
        self.model = load_model(folder, dtype)
        parameters = dict(self.model.named_parameters())
        names = {segment.name for segment in vectors.segments}
        if parameters.keys() != names:
            lacks, extra = sorted(parameters.keys() - names), sorted(names - parameters.keys())
            raise CheckpointError(
                f"{folder}: lacks parameters of its model: {lacks[:5]}; "
                f"has tensors that the model does not: {extra[:5]}"
            )
        self.buffer = torch.empty(vectors.base.numel(), dtype=dtype)
        for segment in vectors.segments:
            parameters[segment.name].data = self.buffer[segment.span].view(segment.shape)
