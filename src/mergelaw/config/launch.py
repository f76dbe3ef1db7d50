"""The `accelerate launch` file of a size: how many processes train there, and what they share."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from mergelaw.config.load import mapping_of, read_yaml, validate_sections
from mergelaw.errors import ConfigError, listing


class _Keys(BaseModel):
    """The keys that are read, of the many that `accelerate config` writes."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class DeepSpeed(_Keys):
    """What DeepSpeed shares out and offloads (ZeRO)."""

    zero_stage: Literal[3] = Field(
        description="3: AdamW's states, gradients and parameters are shared out."
    )
    offload_optimizer_device: Literal["none", "cpu"] = Field(
        "none", description="Where AdamW's states are, and its steps are made."
    )
    offload_param_device: Literal["none", "cpu"] = Field(
        "none", description="Where parameters are between their uses."
    )


class LaunchFile(_Keys):
    """Processes of one training on one node."""

    num_processes: int = Field(gt=0, description="Processes, each with one device.")
    num_machines: int = Field(1, gt=0, description="Nodes; a training runs on one.")
    use_cpu: bool = Field(False, description="Train on processors, not on GPUs.")
    distributed_type: Literal["DEEPSPEED"] = Field(
        "DEEPSPEED", description="How the processes share the work."
    )
    deepspeed_config: DeepSpeed | None = Field(
        None, description="DeepSpeed's keys; None: one plain process, without a file."
    )

    @property
    def is_plain(self) -> bool:
        """Whether it is one process without DeepSpeed."""
        return self.deepspeed_config is None

    @property
    def offload_optimizer(self) -> bool:
        """Whether master weights and AdamW's moments are in the host's memory."""
        deepspeed = self.deepspeed_config
        return deepspeed is not None and deepspeed.offload_optimizer_device == "cpu"

    @property
    def offload_param(self) -> bool:
        """Whether parameters are in the host's memory between their uses."""
        deepspeed = self.deepspeed_config
        return deepspeed is not None and deepspeed.offload_param_device == "cpu"

    @property
    def on_processors(self) -> bool:
        """Whether the processes use no GPU."""
        return self.use_cpu


def read_launch_file(path: str | Path) -> LaunchFile:
    """Read an `accelerate launch` file; keys that decide nothing here are accelerate's own affair.

    Parameters
    ----------
    path : str or Path
        As the config gives it: relative to the current folder; `~` is expanded.

    Raises
    ------
    ConfigError
        If the file is missing or is not YAML, lacks a key or has one out of range, or asks for
        more than one node; all are listed.
    """
    place = Path(path).expanduser()
    raw = mapping_of("keys", read_yaml(place), str(place))
    read = {key: value for key, value in raw.items() if key in LaunchFile.model_fields}
    values, problems = validate_sections(LaunchFile, read)
    problems += _cross_problems(values)
    if problems:
        raise ConfigError(listing(str(place), problems))
    return LaunchFile.model_validate(values)


def _cross_problems(values: Mapping[str, Any]) -> Iterator[str]:
    """Yield what cannot be run, of the keys that are valid on their own."""
    n_machines = values.get("num_machines", 1)
    if n_machines > 1:
        yield (
            f"num_machines = {n_machines}: a training runs on one node; give 1, and as "
            "num_processes the devices of one node"
        )
    if values.get("deepspeed_config", ...) is None:
        yield (
            "deepspeed_config: is missing; launched processes train under DeepSpeed ZeRO-3 "
            "(zero_stage: 3). One plain process needs no launch file"
        )
