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

    zero_stage: int = Field(
        ge=0, le=3, description="0 shares nothing; 1 states; 2 gradients too; 3 parameters too."
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
    distributed_type: Literal["NO", "MULTI_GPU", "MULTI_CPU", "DEEPSPEED"] = Field(
        "NO", description="How the processes share the work."
    )
    deepspeed_config: DeepSpeed | None = Field(
        None, description="DeepSpeed's keys; plain data parallelism when absent."
    )

    @property
    def zero_stage(self) -> int | None:
        """ZeRO's stage, 0 to 3; None without DeepSpeed."""
        return None if self.deepspeed_config is None else self.deepspeed_config.zero_stage

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
    deepspeed = values.get("deepspeed_config")
    if deepspeed is not None:
        yield from _useless_offloads(deepspeed)
    elif "deepspeed_config" in values and values.get("distributed_type") == "DEEPSPEED":
        yield "deepspeed_config: is missing; give its zero_stage, or another distributed_type"


def _useless_offloads(deepspeed: DeepSpeed) -> Iterator[str]:
    """Yield what DeepSpeed offloads at higher stages only."""
    least = {"offload_optimizer_device": 1, "offload_param_device": 3}
    for key, stage in least.items():
        if getattr(deepspeed, key) == "cpu" and deepspeed.zero_stage < stage:
            yield (
                f"deepspeed_config.{key} = 'cpu': needs zero_stage {stage} or more, and it is "
                f"{deepspeed.zero_stage}"
            )
