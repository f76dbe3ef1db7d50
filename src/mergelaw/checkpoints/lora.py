"""LoRA adapters in PEFT's folders, read from their headers: which tensors they change, and how.

An adapted weight is W + scaling * B @ A (Hu et al., arXiv 2106.09685). What `peft` can do beyond
that is refused by name: such an adapter is merged by `peft` first and taken as a whole model.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mergelaw.checkpoints.headers import MERGED_DTYPES, Entry, read_header
from mergelaw.checkpoints.lora_settings import LoraSettings, setting_problems
from mergelaw.checkpoints.store import ADAPTER_CONFIG, INDEX, SINGLE, count_of, read_json
from mergelaw.errors import CheckpointError, listing

WEIGHTS = "adapter_model.safetensors"
PICKLED = "adapter_model.bin"
PREFIX = "base_model.model."
FACTOR = re.compile(r"(?P<module>.+)\.lora_((?P<plain>[AB])\.weight|(?P<kind>embedding_[AB]))")
WRAPPED = re.compile(r"\.base_layer(?=\.(weight|bias)$)")
FOREIGN = re.compile(r"(^|\.)(lora_|(base_layer|original_module|modules_to_save|token_adapter)\.)")
"""Parts of keys that are not the base's own, where they are no factor of plain LoRA."""

WAY_OUT = (
    "merge it into its base by peft (merge_and_unload, then save_pretrained) and give the merged "
    "model"
)


@dataclass(frozen=True)
class LowRank:
    """The change of one weight matrix: scaling * B @ A, transposed where the weight is stored so.

    Attributes
    ----------
    a : Entry
        A, of shape (r, in).
    b : Entry
        B, of shape (out, r).
    scaling : float
        alpha / r, or alpha / sqrt(r).
    transposed : bool
        Whether the weight has shape (in, out), as embeddings and GPT-2's Conv1D.
    """

    a: Entry
    b: Entry
    scaling: float
    transposed: bool

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of the weight that it changes."""
        out, into = self.b.shape[0], self.a.shape[1]
        return (into, out) if self.transposed else (out, into)


@dataclass(frozen=True)
class LoraAdapter:
    """An adapter: the expert's tensor is its replacement, or else the base's, plus its update.

    Attributes
    ----------
    folder : Path
        The adapter.
    base : str or None
        The base that it names.
    updates : mapping of str to LowRank
        Low-rank changes by tensor.
    replacements : mapping of str to Entry
        Whole tensors in place of the base's: biases, `modules_to_save`, embeddings. A tensor may
        be among the updates too.
    """

    folder: Path
    base: str | None
    updates: Mapping[str, LowRank]
    replacements: Mapping[str, Entry]

    @classmethod
    def open(cls, folder: Path) -> "LoraAdapter":
        """Read the config and the header of an adapter's folder; tensors bear the adapter's names.

        Raises
        ------
        CheckpointError
            If a file is missing or broken, or the adapter is not plain LoRA; lists every problem.
        """
        path = _weights_file(folder)
        config = read_json(folder / ADAPTER_CONFIG)
        modules, replacements, problems = _sorted_out(read_header(path).entries)
        problems += setting_problems(config)
        for module, factors in modules.items():
            problems += _factor_problems(module, factors)
        updates: dict[str, LowRank] = {}
        if not problems:
            settings = LoraSettings.of(config)
            updates = {f"{m}.weight": _low_rank(m, f, settings) for m, f in modules.items()}
            problems += _wrong_ranks(updates, settings)
        if problems:
            headline = f"{folder}: is not read as a LoRA adapter; {WAY_OUT}"
            raise CheckpointError(listing(headline, problems))
        return cls(folder, config.get("base_model_name_or_path"), updates, replacements)

    def bind(self, base_shapes: Mapping[str, tuple[int, ...]]) -> tuple["LoraAdapter", list[str]]:
        """Return the adapter under the base's tensor names, and why it does not fit the base.

        The names may differ by one prefix ("model.") that either side lacks, if there is one way
        only to read them so.

        Returns
        -------
        LoraAdapter
            To be used if there is no problem.
        list of str
            Every problem, to be read after the expert's name.
        """
        names = sorted({*self.updates, *self.replacements})
        in_base, problems = _names_in_base(names, base_shapes)
        lacking = [name for name in names if in_base[name] not in base_shapes]
        if lacking and not problems:
            problems.append(
                f"the adapter changes, beyond what the base stores, {count_of(lacking)}"
            )
        bound = replace(
            self,
            updates={in_base[name]: update for name, update in self.updates.items()},
            replacements={in_base[name]: entry for name, entry in self.replacements.items()},
        )
        return bound, problems + list(_misshapen(bound, base_shapes))


def is_adapter(folder: Path) -> bool:
    """Return whether a folder holds an adapter, by the names of its files."""
    return any((folder / name).exists() for name in (ADAPTER_CONFIG, WEIGHTS))


def _weights_file(folder: Path) -> Path:
    """Return the adapter's file of tensors; raise if the folder is not one adapter's."""
    if any((folder / name).exists() for name in (SINGLE, INDEX)):
        raise CheckpointError(
            f"{folder}: holds an adapter and a whole model, and it is not known which is meant: "
            "move one of them to a folder of its own"
        )
    if (folder / WEIGHTS).exists():
        return folder / WEIGHTS
    if (folder / PICKLED).exists():
        raise CheckpointError(
            f"{folder}: holds pickled weights ({PICKLED}), which are not read: they can run code; "
            "convert them where you trust them, by peft's from_pretrained and then save_pretrained"
        )
    raise CheckpointError(f"{folder}: has {ADAPTER_CONFIG} but no {WEIGHTS}")


def _sorted_out(
    entries: Mapping[str, Entry],
) -> tuple[dict[str, dict[str, Entry]], dict[str, Entry], list[str]]:
    """Return the factors of each module, the whole tensors by name, and what is neither."""
    modules: dict[str, dict[str, Entry]] = {}
    replacements: dict[str, Entry] = {}
    foreign = []
    for key, entry in sorted(entries.items()):
        name = WRAPPED.sub("", key.removeprefix(PREFIX))
        factor = FACTOR.fullmatch(name)
        own = f"{factor['module']}." if factor else name
        if not key.startswith(PREFIX) or FOREIGN.search(own) or name in replacements:
            foreign.append(key)
        elif factor:
            modules.setdefault(factor["module"], {})[factor["kind"] or factor["plain"]] = entry
        else:
            replacements[name] = entry
    problems = [f"it holds {count_of(foreign)}, which plain LoRA has not"] if foreign else []
    if not entries:
        problems.append("it holds no tensor")
    problems += [
        f"{entry.name} is of dtype {entry.dtype}; {', '.join(sorted(MERGED_DTYPES))} can be merged"
        for entry in entries.values()
        if entry.dtype not in MERGED_DTYPES
    ]
    return modules, replacements, problems


def _factor_problems(module: str, factors: Mapping[str, Entry]) -> Iterator[str]:
    """Yield why a module's factors cannot be multiplied."""
    if set(factors) not in ({"A", "B"}, {"embedding_A", "embedding_B"}):
        yield f"{module} has lora_{' and lora_'.join(factors)}, which is no pair of A and B"
        return
    (_, a), (_, b) = sorted(factors.items())
    if len(a.shape) != 2 or len(b.shape) != 2 or a.shape[0] != b.shape[1]:
        yield (
            f"{module}: B of shape {list(b.shape)} and A of shape {list(a.shape)} do not make a "
            "product of two matrices"
        )


def _low_rank(module: str, factors: Mapping[str, Entry], settings: LoraSettings) -> LowRank:
    (kind, a), (_, b) = sorted(factors.items())
    transposed = kind == "embedding_A" or settings.fan_in_fan_out
    return LowRank(a, b, settings.scaling(module), transposed)


def _wrong_ranks(updates: Mapping[str, LowRank], settings: LoraSettings) -> Iterator[str]:
    """Yield where the config gives another rank, hence another scaling, than the tensors have."""
    for name, update in updates.items():
        rank = settings.rank(name.removesuffix(".weight"))
        if rank != update.a.shape[0]:
            yield f"{name}: A has rank {update.a.shape[0]}, the config gives {rank}"


def _names_in_base(names: Sequence[str], base: Collection[str]) -> tuple[dict[str, str], list[str]]:
    """Return each name as the base has it, by the one prefix that explains most of them."""
    same = {name: name for name in names}
    ways = [same]
    for prefix in sorted({name.split(".")[0] + "." for name in names}):
        ways.append({n: n if n in base else n.removeprefix(prefix) for n in names})
    for prefix in sorted({name.split(".")[0] + "." for name in base}):
        ways.append({n: n if n in base else prefix + n for n in names})
    ways = [way for way in ways if len(set(way.values())) == len(names)]
    found = [sum(name in base for name in way.values()) for way in ways]
    best = [way for way, n in zip(ways, found, strict=True) if n == max(found)]
    if best[0] is same or all(way == best[0] for way in best):
        return best[0], []
    unclear = next(name for name in names if len({way[name] for way in best}) > 1)
    readings = sorted({way[unclear] for way in best})
    return same, [f"the adapter's {unclear} can be the base's {' or '.join(readings)}"]


def _misshapen(bound: LoraAdapter, base: Mapping[str, tuple[int, ...]]) -> Iterator[str]:
    """Yield what has another shape than the base's tensor of that name."""
    for name, update in sorted(bound.updates.items()):
        shape = base.get(name, update.shape)
        if shape != update.shape:
            swapped = shape == update.shape[::-1]
            yield (
                f"{name}: the adapter's B @ A has shape {list(update.shape)}, the base's tensor "
                f"{list(shape)}{' (fan_in_fan_out says the other way)' if swapped else ''}"
            )
    for name, entry in sorted(bound.replacements.items()):
        shape = base.get(name, entry.shape)
        if shape != entry.shape:
            yield f"{name} has shape {list(entry.shape)}, the base {list(shape)}"
