"""The law file: fitted laws with their errors and what merging costs, as one JSON file.

`results/{study}/planning/laws.json` is one, the laws that come with the package are others, and
`mergelaw forecast --out` writes one. The planner, its page and `mergelaw next` read nothing else.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from mergelaw.config.base import Section
from mergelaw.config.load import mapping_of, validate_sections
from mergelaw.errors import ConfigError, TableError, listing
from mergelaw.files import write_text

FORMAT: Literal["mergelaw laws 1"] = "mergelaw laws 1"
METRIC: Literal["cross-entropy, nats per token"] = "cross-entropy, nats per token"

Positive = Annotated[float, Field(gt=0)]
AtLeastZero = Annotated[float, Field(ge=0)]
Numbers = tuple[float, ...]
Known = tuple[float | None, ...]
Errors = tuple[AtLeastZero | None, ...]


class Curve(Section):
    """A law of one method and domain at one size."""

    size: str = Field(description="Name of a size of the file.")
    floor: float = Field(description="Extrapolation to k = infinity, nats per token.")
    floor_stderr: AtLeastZero | None = Field(
        None, description="Its standard error; null: not known."
    )
    tail: float = Field(description="Nats per token times experts.")
    offset: float = Field(description="In experts.")
    identified: bool = Field(description="Whether the points determine the law's parameters.")
    notes: tuple[str, ...] = Field((), description="What the fit cannot tell.")
    loss: Numbers = Field(description="The law at k = 1..pool.")
    stderr: Errors = Field(
        (), description="Standard errors of `loss`; empty or null where not known."
    )
    gain_stderr: Errors = Field(
        (), description="Standard errors of loss(k) - loss(k + 1), k = 1..pool - 1."
    )
    freedom: Positive | None = Field(
        None,
        description="Degrees of freedom of the errors, the least of the curve's; null: normal.",
    )
    measured: Known = Field((), description="Mean losses that were measured, by k; null: not.")


class Joint(Section):
    """The law over sizes of one method and domain (`mergelaw.laws.forms.joint`)."""

    floor_limit: float
    size_scale: float
    size_exponent: float
    tail_scale: float
    tail_exponent: float
    offset: AtLeastZero
    identified: bool


class Law(Section):
    """What is known of one method and domain."""

    method: str
    domain: str
    curves: tuple[Curve, ...] = Field(min_length=1, description="By size, in the order of `sizes`.")
    joint: Joint | None = Field(None, description="The law over sizes; null: there is none.")


class Costs(Section):
    """Device-hours at one size; null where not known."""

    device: str = Field(description="What the hours are of.")
    source: str = Field(description="`measured`, `estimated`, or where they were printed.")
    train_expert: AtLeastZero | None = Field(None, description="Fine-tuning of one expert.")
    train_multitask: AtLeastZero | None = Field(None, description="Fine-tuning on all domains.")
    merge: AtLeastZero | None = Field(
        None, description="One merge of no experts: reading and writing."
    )
    merge_per_expert: AtLeastZero | None = Field(None, description="More for each expert merged.")
    merge_by_method: dict[str, AtLeastZero] = Field(
        {}, description="One merge of any k, in the place of both, by method."
    )
    evaluate: AtLeastZero | None = Field(None, description="Scoring one merge on all domains.")
    serve_per_billion_tokens: AtLeastZero | None = Field(
        None, description="Serving one merged model; the same for every k."
    )


class Size(Section):
    """A base."""

    name: str
    n_params_billions: Positive | None = Field(None, description="N, counted as `n_params` says.")
    costs: Costs | None = None


class Baseline(Section):
    """Losses of models that are no merges, at one size and domain; null where not measured."""

    size: str
    domain: str
    base: AtLeastZero | None = None
    expert: AtLeastZero | None = Field(None, description="The domain's own expert.")
    multitask: AtLeastZero | None = Field(None, description="One model fine-tuned on all domains.")


class LawFile(Section):
    """Laws of one pool of experts."""

    format: Literal["mergelaw laws 1"] = Field(FORMAT, description="This format.")
    name: str = Field(description="What `--law NAME/METHOD/DOMAIN` calls it.")
    source: str = Field(description="Where the laws are from.")
    caveats: tuple[str, ...] = Field((), description="What a reader has to know.")
    metric: str = Field(description=f"What the losses are: {METRIC!r}.")
    text: str | None = Field(None, description="Digest of the evaluation text; null: not known.")
    pool: int = Field(ge=1, description="Experts in the pool, M.")
    experts: tuple[str, ...] = Field((), description="Their names; empty: not told.")
    n_params: Literal["total", "nonembedding"] | None = Field(
        None, description="Which parameters N counts."
    )
    sizes: tuple[Size, ...] = Field(description="The bases that laws are of.")
    laws: tuple[Law, ...] = Field(description="One per method and domain.")
    baselines: tuple[Baseline, ...] = ()
    provenance: dict[str, Any] = Field(default_factory=dict, description="Of the file itself.")


def read_law_file(path: Path) -> LawFile:
    """Read a law file.

    Raises
    ------
    TableError
        If it is missing, no law file, of another metric, or does not fit together; every problem
        is listed.
    """
    try:
        raw = mapping_of("keys", json.loads(path.read_text(encoding="utf-8")), str(path))
    except OSError as error:
        raise TableError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise TableError(
            f"{path}: is no law file: not JSON ({error}); `mergelaw planning laws` and `mergelaw "
            "forecast --out` write one"
        ) from error
    except ConfigError as error:
        raise TableError(str(error)) from error
    return law_file_of(raw, str(path))


def law_file_of(raw: Mapping[Any, Any], origin: str) -> LawFile:
    """Return the law file that raw JSON holds; raises `TableError` as `read_law_file` does."""
    _, problems = validate_sections(LawFile, raw)
    if "format" not in raw:
        problems.append(f"format: is missing; it is {FORMAT!r} in every law file")
    if not problems:
        file = LawFile.model_validate(raw)
        problems = _cross_problems(file)
    if problems:
        raise TableError(listing(f"{origin} is no law file that can be used", problems))
    return file


def write_laws(path: Path, file: LawFile) -> None:
    """Write a law file, complete or not at all: a law per line, so that two can be compared.

    Raises
    ------
    TableError
        If its parts do not go together, so that it could not be read again.
    """
    if problems := _cross_problems(file):
        raise TableError(listing(f"{path} would be no law file that can be used", problems))
    raw = file.model_dump(mode="json")
    laws = ",\n".join(f"  {json.dumps(law, allow_nan=False)}" for law in raw.pop("laws"))
    head = json.dumps(raw, indent=1, allow_nan=False)
    write_text(path, head.removesuffix("\n}") + f',\n "laws": [\n{laws}\n ]\n}}\n')


def _cross_problems(file: LawFile) -> list[str]:
    """Return what does not fit together in a file whose keys are valid on their own."""
    problems = []
    if file.metric != METRIC:
        problems.append(f"metric = {file.metric!r}: planning is for {METRIC!r}")
    problems += _name_problems(file)
    names = {size.name for size in file.sizes}
    for law in file.laws:
        for curve in law.curves:
            where = f"laws: {law.method}/{law.domain}/{curve.size}"
            if curve.size not in names:
                problems.append(f"{where}: the size is not among `sizes`")
            problems += [f"{where}: {problem}" for problem in _curve_problems(curve, file.pool)]
    return problems


def _curve_problems(curve: Curve, pool: int) -> Iterator[str]:
    if curve.identified:
        for name, value in (("tail", curve.tail), ("offset", curve.offset)):
            if value < 0:
                yield f"{name} = {value:g}: is below 0; a law that is identified falls with k"
    if len(curve.loss) != pool:
        yield f"loss has {len(curve.loss)} numbers, k = 1..{pool}"
    for k, loss in enumerate(curve.loss, 1):
        if loss < 0:
            yield f"loss at k = {k} is {loss:g}; a cross-entropy is not below 0"
    for name, fewer in LENGTHS.items():
        given = len(getattr(curve, name))
        if given and given != pool - fewer:
            yield f"{name} has {given} numbers, not {pool - fewer}"


def _name_problems(file: LawFile) -> Iterator[str]:
    """Yield names that occur twice, and those that `--law NAME/METHOD/DOMAIN` could not name."""
    laws = [f"{law.method}/{law.domain}" for law in file.laws]
    yield from (f"laws: {name} is given twice; keep one" for name in _repeated(laws))
    sizes = [size.name for size in file.sizes]
    yield from (f"sizes: {name!r} is given twice; keep one" for name in _repeated(sizes))
    for name, law in zip(laws, file.laws, strict=True):
        again = _repeated([curve.size for curve in law.curves])
        yield from (f"laws: {name}/{size} is given twice; keep one" for size in again)
    baselines = [f"{one.domain}/{one.size}" for one in file.baselines]
    yield from (f"baselines: {name} is given twice; keep one" for name in _repeated(baselines))
    named = [("method", law.method) for law in file.laws]
    named += [("domain", law.domain) for law in file.laws]
    for kind, value in dict.fromkeys(named):
        if not value or "/" in value:
            words = "is empty" if not value else "has a '/', which parts names of --law"
            yield f"laws: {kind} {value!r} {words}; give it another name"


def _repeated(names: list[str]) -> list[str]:
    return [name for name, count in Counter(names).items() if count > 1]


LENGTHS = {"stderr": 0, "measured": 0, "gain_stderr": 1}
"""Lists of a curve that may be empty, and by how many numbers they are shorter than `pool`."""
