"""Config of text: where each domain's items come from, how they are split, the tokenizer."""

from typing import Annotated, Literal

from pydantic import Field

from mergelaw.config.base import Fraction, Name, Section

Generator = Literal[
    "algebra",
    "analysis",
    "discrete",
    "geometry",
    "number_theory",
    "biology",
    "physics",
    "chemistry",
    "code",
]
"""The procedural generators of `mergelaw.data.domains`."""

TEMPLATE_NAMES = ("chatml", "llama3", "gemma")
"""The chat templates of `mergelaw.data.templates`."""


class Fields(Section):
    """Names of the fields of a record: `prompt` and `response`, or `messages`, or `text`."""

    prompt: str | None = Field(None, description="Field with the problem or instruction.")
    response: str | None = Field(None, description="Field with the solution or output.")
    messages: str | None = Field(
        None, description="Field with a list of {role, content}; the last assistant turn is scored."
    )
    text: str | None = Field(None, description="Field with plain text; every token is scored.")

    @property
    def names(self) -> tuple[str, ...]:
        """The fields that are read."""
        return tuple(filter(None, (self.prompt, self.response, self.messages, self.text)))


class ProceduralSource(Section):
    """Problems drawn by one of mergelaw's seeded generators."""

    kind: Literal["procedural"] = Field(description="Text drawn by a generator of mergelaw.")
    generator: Generator = Field(description="Which generator draws the problems.")
    items: int = Field(1000, gt=0, description="Problems drawn, before the split.")


class FilesSource(Section):
    """Your own text: JSON (a list of records), JSONL or parquet files."""

    kind: Literal["files"] = Field(description="Text read from JSON, JSONL or parquet files.")
    files: tuple[str, ...] = Field(
        min_length=1, description="Files, relative to `data_folder` unless absolute."
    )
    fields: Fields = Field(
        Fields(prompt="instruction", response="output"),
        description="Which fields of a record hold the text.",
    )


class DatasetsSource(Section):
    """Your own text through the `datasets` library: a local path or a name in its cache."""

    kind: Literal["datasets"] = Field(description="Text read with the `datasets` library.")
    path: str = Field(
        description="What `datasets.load_dataset` takes: a folder or a data set's name."
    )
    subset: str | None = Field(None, description="The data set's configuration name.")
    split: str = Field("train", description="The split to read; it is split again by item.")
    revision: str | None = Field(None, description="Commit or tag of the data set; pin it.")
    fetch: bool = Field(
        False, description="Download what the cache lacks; else only the cache is read."
    )
    streaming: bool = Field(
        False, description="Read record by record from the hub, without a copy on disk."
    )
    items: int | None = Field(
        None, gt=0, description="Records read, from the first on; all when absent."
    )
    fields: Fields = Field(
        Fields(prompt="instruction", response="output"),
        description="Which fields of a record hold the text.",
    )


Source = Annotated[ProceduralSource | FilesSource | DatasetsSource, Field(discriminator="kind")]


class Domain(Section):
    """One evaluation domain and the text that it is measured on."""

    name: Name = Field(description="The domain's name in tables, figures and paths.")
    source: Source = Field(description="Where the domain's items come from.")
    block: Name | None = Field(
        None, description="Group of domains, such as math or science, in analyses of mixtures."
    )


class Shares(Section):
    """Shares of a domain's items, by content hash: an item's text is on one side only."""

    base: float = Field(ge=0, lt=1, description="Share for pre-training of bases.")
    train: float = Field(ge=0, lt=1, description="Share for fine-tuning of the domain's expert.")
    heldout: Fraction = Field(description="Share that only evaluation sees.")


class Data(Section):
    """How items are split and what bases are pre-trained on."""

    shares: Shares = Field(description="Split of every domain's items; the three add up to 1.")
    generic_share: float = Field(
        0.7, ge=0, le=1, description="Share of generic documents in the pre-training text."
    )


class Tokenizer(Section):
    """The study's one tokenizer: losses in nats/token compare only under the same tokens."""

    vocab_size: int | None = Field(
        None,
        ge=300,
        le=65536,
        description="Entries of a byte-level BPE trained on the study's text; or give `path`.",
    )
    path: str | None = Field(
        None, description="Tokenizer to use: a folder, or `org/name[@revision]` in the hub's cache."
    )
    template: str | None = Field(
        None,
        description="Chat template: chatml, llama3 or gemma, or a `.jinja` file; else its own.",
    )
    system: str | None = Field(
        None, description="System turn put before every conversation that begins without one."
    )
