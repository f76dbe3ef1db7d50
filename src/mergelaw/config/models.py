"""Config of models: the sizes of a study, its expert pool, and how they are trained."""

import math
from typing import Annotated, Literal

from pydantic import Field, PrivateAttr

from mergelaw.config.base import Fraction, Name, Section
from mergelaw.config.design import DesignPart

Decay = Annotated[float, Field(ge=0, lt=1)]


class Architecture(Section):
    """A Qwen2 model to pre-train from scratch; embeddings are tied."""

    hidden_size: int = Field(gt=0, description="Width of the residual stream.")
    layers: int = Field(gt=0, description="Number of transformer layers.")
    heads: int = Field(gt=0, description="Attention heads; must divide `hidden_size`.")
    kv_heads: int = Field(gt=0, description="Key/value heads; must divide `heads`.")
    intermediate_size: int = Field(gt=0, description="Width of the feed-forward layer.")
    context: int = Field(128, gt=1, description="Longest sequence in tokens.")
    rope_theta: float = Field(1e4, gt=0, description="Base of the rotary position encoding.")
    initializer_range: float = Field(
        0.02, gt=0, description="Standard deviation of initial weights."
    )

    @property
    def n_params_nonembedding(self) -> int:
        """Parameters without embeddings: attention with biases on q, k, v; gated feed-forward."""
        d, kv = self.hidden_size, self.hidden_size // self.heads * self.kv_heads
        attention = 2 * d * d + d + 2 * (d + 1) * kv
        layer = attention + 3 * d * self.intermediate_size + 2 * d
        return self.layers * layer + d


class Size(Section):
    """One base model: pre-trained here (`architecture`) or given (`base`)."""

    name: Name = Field(description="The size's name in tables, figures and paths.")
    architecture: Architecture | None = Field(None, description="Pre-train this model as the base.")
    base: str | None = Field(
        None,
        description="Checkpoint to use as the base: a folder, or `org/name[@revision]` in the "
        "hub's cache.",
    )
    experts: dict[str, str] = Field(
        {},
        description="Finished experts by name, folders or hub names; the others are trained here.",
    )
    n_params: int | None = Field(
        None,
        gt=0,
        description="Parameters of `base`, for `estimate` on a machine that lacks the checkpoint.",
    )
    chunk_size: int | None = Field(
        None,
        gt=0,
        description="Subsets of a job at this size, in place of the design's; from `estimate`.",
    )
    design: tuple[DesignPart, ...] | None = Field(
        None, description="Subsets of this size, where they differ from the study's `design`."
    )
    launch: str | None = Field(
        None,
        description="`accelerate launch` file, such as workflow/launch/zero3.yaml, by whose "
        "processes experts are trained at this size; one plain process when absent.",
    )
    _setting: str = PrivateAttr("")

    @property
    def setting(self) -> str:
        """Name in `training.settings` of how its experts are trained; "" for `training.expert`."""
        return self._setting

    @property
    def base_size(self) -> str:
        """Name of the size as the config lists it, whose base this one has."""
        return self.name.removesuffix(f"@{self.setting}")

    def under(self, setting: str) -> "Size":
        """Return the same base with experts that are trained under another setting."""
        other = self.model_copy(update={"name": f"{self.name}@{setting}"})
        other._setting = setting
        return other


class Expert(Section):
    """A member of the pool that subsets are drawn from."""

    name: Name = Field(description="The expert's name in tables, figures and paths.")
    domain: Name | None = Field(
        None, description="Home domain: what it is trained on here, and what 'own' means for it."
    )


class BaseTraining(Section):
    """Pre-training of ladder bases on packed plain text (AdamW, warm-up, cosine to a tenth)."""

    steps: int = Field(250, gt=0, description="Optimizer steps.")
    batch_rows: int = Field(32, gt=0, description="Sequences of `context` tokens a step.")
    learning_rate: float = Field(1e-2, gt=0, description="Peak rate at `learning_rate_width`.")
    learning_rate_width: int | None = Field(
        64,
        gt=0,
        description="Width at which the rate holds; it scales with width/hidden_size. Null: fixed.",
    )
    warmup_share: float = Field(0.1, ge=0, lt=1, description="Share of steps with a rising rate.")
    betas: tuple[Decay, Decay] = Field((0.9, 0.98), description="AdamW's moment decays.")
    weight_decay: float = Field(0.0, ge=0, description="AdamW's decoupled weight decay.")
    clip_norm: float = Field(1.0, gt=0, description="Largest gradient norm of a step.")


class Lora(Section):
    """Low-rank adapters by PEFT; the expert is saved with them merged into its base."""

    rank: int = Field(gt=0, description="Rank of each update.")
    alpha: float = Field(16.0, gt=0, description="Each update is scaled by alpha / rank.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Share of the adapters' inputs dropped.")
    targets: tuple[str, ...] = Field(
        (), description="Names of the linear layers; all but the head when empty."
    )


class ExpertTraining(BaseTraining):
    """Supervised fine-tuning of experts: loss on the response only, no attention across items."""

    steps: int = Field(40, gt=0, description="Optimizer steps; not read where `epochs` are given.")
    epochs: float | None = Field(
        None, gt=0, description="Rounds over the domain's training items, in place of `steps`."
    )
    batch_rows: int = Field(16, gt=0, description="Items a step.")
    learning_rate: float = Field(1e-3, gt=0, description="Peak rate at `learning_rate_width`.")
    betas: tuple[Decay, Decay] = Field((0.9, 0.99), description="AdamW's moment decays.")
    max_length: int = Field(128, gt=1, description="Longest item in tokens.")
    truncate: bool = Field(
        False, description="Cut longer items, and count them; else they are an error."
    )
    precision: Literal["float32", "bfloat16"] = Field(
        "float32",
        description="Type of the forward pass and of the saved expert; the optimizer's weights "
        "are float32.",
    )
    pack: bool = Field(
        False,
        description="Join the items of a step to rows of at most `max_length` tokens, without "
        "attention across items.",
    )
    micro_batch_rows: int | None = Field(
        None,
        gt=0,
        description="Rows of one forward pass, over which a step's gradient is accumulated; all "
        "of a process when absent.",
    )
    gradient_checkpointing: bool = Field(
        False, description="Compute activations anew in the backward pass, for memory."
    )
    attention: Literal["sdpa", "eager", "flash_attention_2"] = Field(
        "sdpa", description="Implementation of attention; the last needs the package flash-attn."
    )
    save_minutes: float = Field(
        15.0, gt=0, description="Time between two checkpoints that a killed training goes on from."
    )
    snapshots: tuple[Fraction, ...] = Field(
        (),
        description="Shares of the training after which the expert is kept, and scored on its own "
        "domain for the full report.",
    )
    lora: Lora | None = Field(None, description="Low-rank adapters; full fine-tuning when absent.")

    def n_steps(self, n_items: int) -> int:
        """Return the optimizer steps: `steps`, or those of `epochs` over so many items."""
        if self.epochs is None:
            return self.steps
        return max(1, math.ceil(self.epochs * n_items / self.batch_rows))


class Setting(Section):
    """Another way of training every expert; what is absent is as in `training.expert`."""

    name: Name = Field(description="Its name; a size trained so is called SIZE@NAME.")
    steps: int | None = Field(None, gt=0, description="Optimizer steps.")
    epochs: float | None = Field(None, gt=0, description="Rounds, in place of steps.")
    batch_rows: int | None = Field(None, gt=0, description="Items a step.")
    learning_rate: float | None = Field(None, gt=0, description="Peak rate.")
    lora: Lora | None = Field(None, description="Low-rank adapters.")


class Training(Section):
    """Settings of everything that the study trains."""

    base: BaseTraining = Field(BaseTraining(), description="Pre-training of ladder bases.")
    expert: ExpertTraining = Field(ExpertTraining(), description="Fine-tuning of experts.")
    settings: tuple[Setting, ...] = Field(
        (),
        description="Further settings of `expert`: each size is trained, merged and scored under "
        "each, and curves are reported for each.",
    )

    def of(self, setting: str) -> ExpertTraining:
        """Return how experts are trained under a setting; "" is `expert` itself."""
        if not setting:
            return self.expert
        other = next(entry for entry in self.settings if entry.name == setting)
        changes = other.model_dump(exclude={"name", "lora"}, exclude_none=True)
        if other.steps is not None:
            changes["epochs"] = None
        if other.lora is not None:
            changes["lora"] = other.lora
        return self.expert.model_copy(update=changes)


class Multitask(Section):
    """The multitask baseline: one model fine-tuned on the items of all experts together.

    It sees each item as often as the experts did, in one random order.
    """

    experts: tuple[Name, ...] = Field(
        (), description="Experts whose items it is trained on; the whole pool when empty."
    )


class Evaluation(Section):
    """What every merge is scored on, and how."""

    tokens_per_domain: int = Field(
        256, gt=0, description="Held-out items are drawn until they hold this many tokens."
    )
    max_length: int = Field(
        128, gt=1, description="Longest item in tokens; longer ones are cut and counted."
    )
    scored: Literal["response", "all"] = Field(
        "response", description="Tokens that count: the response's, or all but the first."
    )
    batch_tokens: int = Field(
        4096,
        gt=0,
        description="Padded tokens of one forward pass; changes speed, losses by rounding only.",
    )
