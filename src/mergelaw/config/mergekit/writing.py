"""A recipe as mergekit's YAML, where mergekit can say it."""

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import yaml

from mergelaw.config.mergekit.document import DTYPES
from mergelaw.config.mergekit.peers import PEERS, Peer, della_problems, one_or_by_expert
from mergelaw.config.methods import of_expert
from mergelaw.errors import ConfigError, listing

if TYPE_CHECKING:
    from mergelaw.config.recipe import MergeRecipe


def to_mergekit(
    recipe: "MergeRecipe", base_dtype: str | None = None, adapters: Collection[str] = ()
) -> str:
    """Return YAML that mergekit 0.1.5 reads and that means the same merge.

    Parameters
    ----------
    recipe : MergeRecipe
        What to write. Its seeds and its lineage have no place in mergekit's file.
    base_dtype : str, optional
        Type of the base's tensors, written as `out_dtype` where the recipe's `dtype` is `base`.
    adapters : collection of str
        Experts that are LoRA adapters, written as `base+adapter`.

    Raises
    ------
    ConfigError
        With one line for each thing that mergekit cannot say.
    """
    name, peer = _peer_of(recipe.method.method)
    dtype = base_dtype if recipe.dtype == "base" else recipe.dtype
    problems = [
        *_dtype_problems(dtype),
        *_reference_problems(recipe, peer),
        *_fixed_problems(recipe, name, peer),
    ]
    models = [
        {"model": _reference(recipe, expert, adapters)}
        | _as_parameters(_values(recipe, peer, expert, problems))
        for expert in recipe.experts
    ]
    shared = _as_parameters(_values(recipe, peer, None, problems))
    if problems:
        raise ConfigError(listing(f"as mergekit's {name}", list(dict.fromkeys(problems))))
    written = {"merge_method": name} | _with_base(recipe, peer, models) | shared
    written |= {"dtype": "float32", "out_dtype": dtype}
    return yaml.safe_dump(written, sort_keys=False, allow_unicode=True, width=2**16)


def _peer_of(method: str) -> tuple[str, Peer]:
    for name, peer in PEERS.items():
        if peer.method == method:
            return name, peer
    raise ConfigError(
        f"method = {method!r}: mergekit has no such method; write mergelaw's own YAML (--native)"
    )


def _dtype_problems(dtype: str | None) -> Iterator[str]:
    if dtype not in DTYPES:
        told = "'base'" if dtype is None else repr(dtype)
        yield f"dtype = {told}: mergekit's file names the type; one of {', '.join(DTYPES)}"


def _reference_problems(recipe: "MergeRecipe", peer: Peer) -> Iterator[str]:
    """Yield references that mergekit would split or read twice, and a base among the experts."""
    for key, ref in {"base": recipe.base, **_keyed(recipe.experts)}.items():
        if "+" in ref or ref.count("@") > 1:
            yield f"{key} = {ref!r}: mergekit would split it at '+' or '@'; give it another path"
    seen: dict[str, str] = {}
    for key, ref in _keyed(recipe.experts).items():
        if ref in seen:
            yield f"{key} = {ref!r}: is {seen[ref]} too; mergekit merges no model twice"
        seen.setdefault(ref, key)
    if _has_task_vectors(recipe, peer):
        for expert in (name for name, ref in recipe.experts.items() if ref == recipe.base):
            yield f"experts.{expert} = {recipe.base!r}: is the base, which has no task vector"


def _keyed(experts: Mapping[str, str]) -> dict[str, str]:
    return {f"experts.{name}": ref for name, ref in experts.items()}


def _has_task_vectors(recipe: "MergeRecipe", peer: Peer) -> bool:
    if peer.base == "optional":
        return bool(recipe.method.parameters.space == "task_vectors")
    return peer.base == "required"


def _fixed_problems(recipe: "MergeRecipe", name: str, peer: Peer) -> Iterator[str]:
    """Yield variants that mergekit has not, and numbers that it refuses."""
    for key, only in peer.fixed.items():
        value = getattr(recipe.method.parameters, key)
        if key == "weight":
            weights = {expert: of_expert(value, expert) for expert in recipe.experts}
            if isinstance(one_or_by_expert(weights), Mapping):
                yield f"parameters.weight = {value!r}: mergekit's {name} weighs all models equally"
        elif value != only:
            yield f"parameters.{key} = {value!r}: mergekit's {name} can only say {only!r}"
    if "epsilon" in peer.parameters:
        p = recipe.method.parameters
        for expert in recipe.experts:
            yield from della_problems(
                f"experts.{expert}", of_expert(p.density, expert), of_expert(p.epsilon, expert)
            )


def _values(
    recipe: "MergeRecipe", peer: Peer, expert: str | None, problems: list[str]
) -> dict[str, Any]:
    """Return mergekit's parameters of one expert, or with None those for all."""
    written = {}
    for name, parameter in peer.parameters.items():
        if parameter.ours is None or parameter.by_model != (expert is not None):
            continue
        value = getattr(recipe.method.parameters, parameter.ours)
        own = value if expert is None else of_expert(value, expert)
        written[name] = parameter.back(own)
        if written[name] is None:
            problems.append(
                f"parameters.{parameter.ours} = {own!r}: mergekit's methods rescale to the former "
                "L1 norm ('l1') or not at all ('none')"
            )
    return written


def _as_parameters(values: Mapping[str, Any]) -> dict[str, Any]:
    return {"parameters": dict(values)} if values else {}


def _reference(recipe: "MergeRecipe", expert: str, adapters: Collection[str]) -> str:
    ref = recipe.experts[expert]
    return f"{recipe.base}+{ref}" if expert in adapters else ref


def _with_base(recipe: "MergeRecipe", peer: Peer, models: list[dict[str, Any]]) -> dict[str, Any]:
    """Return `base_model` and `models`: where the base is one more model, it weighs nothing."""
    named = {"base_model": recipe.base}
    if _has_task_vectors(recipe, peer) or (peer.base == "input" and recipe.stand_in):
        return named | {"models": models}
    if peer.base == "input" and "weight" in peer.parameters:
        left_out = {"model": recipe.base, "parameters": {"weight": 0.0}}
        return named | {"models": [*models, left_out]}
    return {"models": models}
