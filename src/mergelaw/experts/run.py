"""One training as data: what a worker process is told, and all that its result depends on."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from mergelaw.config.models import Architecture, ExpertTraining

TEXT = "text.safetensors"
"""File of the prepared items, in the folder of what a killed training goes on from."""


class TrainingRun(BaseModel):
    """A training of a base, an expert or the multitask baseline.

    Attributes
    ----------
    size, expert : str
        Names of the size, and of the expert (or `base`, or `multitask`).
    start : str or None
        Folder of the checkpoint that it starts from; None where a base is made from scratch.
    architecture : Architecture or None
        The model that is made from scratch.
    tokenizer : str
        Folder of the tokenizer, which is saved with the model.
    seed : str
        Names the initial weights and the adapters' random numbers.
    n_steps : int
        Optimizer steps.
    settings : ExpertTraining
        How it is trained.
    progress : str
        Folder of what a killed training goes on from.
    out : str
        Folder that the finished checkpoint is written to; exists.
    identity : dict of str to str
        What decides the result, by name: a state with other values is not gone on with.
    """

    model_config = ConfigDict(frozen=True)

    size: str
    expert: str
    start: str | None
    architecture: Architecture | None
    tokenizer: str
    seed: str
    n_steps: int
    settings: ExpertTraining
    progress: str
    out: str
    identity: dict[str, str]

    @property
    def title(self) -> str:
        """What progress and errors call it."""
        return f"base {self.size}" if self.expert == "base" else f"expert {self.size} {self.expert}"

    @property
    def text(self) -> Path:
        """The prepared items."""
        return Path(self.progress) / TEXT

    @property
    def snapshot_steps(self) -> tuple[int, ...]:
        """Steps after which the model is kept."""
        steps = {max(1, round(share * self.n_steps)) for share in self.settings.snapshots}
        return tuple(sorted(steps - {self.n_steps}))
