"""A recipe from mergekit's YAML: who is the base, who the experts, what each parameter means."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from mergelaw.config.mergekit.document import Document, Model, read_document
from mergelaw.config.mergekit.peers import PEERS, Peer, della_problems, one_or_by_expert
from mergelaw.config.mergekit.values import read_values
from mergelaw.config.method_checks import counted_experts, takes
from mergelaw.config.methods import METHODS
from mergelaw.config.refs import expert_names
from mergelaw.errors import ConfigError, listing


def is_mergekit(raw: Mapping[Any, Any]) -> bool:
    """Tell whether a recipe file is mergekit's: by `merge_method`, or by keys that only it has."""
    own = "method" in raw or "experts" in raw
    return "merge_method" in raw or (not own and bool(raw.keys() & {"models", "slices", "modules"}))


def from_mergekit(raw: Mapping[Any, Any], origin: str = "recipe") -> dict[str, Any]:
    """Return the flat mapping of the recipe that means what a file of mergekit's means.

    Parameters
    ----------
    raw : mapping
        What the YAML holds.
    origin : str
        Where it comes from; starts the error message.

    Returns
    -------
    dict
        As `mergelaw.config.recipe.parse_recipe` takes it.

    Raises
    ------
    ConfigError
        With one line for each key or value that mergekit refuses, or that has no like here.

    Notes
    -----
    Merges are computed in float32, whatever `dtype` says, and rounded once: to `out_dtype`, else to
    `dtype`, else to the base's type. `int8_mask` changes no number and is taken. Random masks are
    drawn otherwise than mergekit's. SCE: mergekit weighs experts equally where the mean squares of
    their task vectors add up to less than 1e-6; mergelaw has no such threshold.

    A file without `base_model` (linear, karcher, nuslerp) takes its first model for the base, which
    then is an expert too. The merge does not depend on it, so lineage is reported, not required.
    """
    problems: list[str] = []
    recipe: dict[str, Any] = {}
    document = read_document(raw, problems)
    if document is not None:
        recipe = _Translation(document, PEERS[document.method], problems).recipe()
    if problems:
        raise ConfigError(listing(origin, list(dict.fromkeys(problems))))
    return recipe


@dataclass(frozen=True)
class _Translation:
    """One document on its way; `problems` grows by a line for each."""

    document: Document
    peer: Peer
    problems: list[str]

    def recipe(self) -> dict[str, Any]:
        """Return the recipe's flat mapping; without meaning if there are problems."""
        experts = dict(zip(expert_names(map(_source, self.experts)), self.experts, strict=True))
        self._check_base()
        self._check_experts()
        by_model, shared = read_values(self.document, self.peer, experts, self.problems)
        if self.problems:
            return {}
        if self.document.method == "linear":
            self._settle_linear(experts, by_model["weight"], shared["normalize"])
        if "epsilon" in by_model:
            self._settle_della(experts, by_model["density"], by_model["epsilon"])
        return {
            "base": self.base,
            "experts": {expert: _source(model) for expert, model in experts.items()},
            "method": self.peer.method,
            "parameters": self._parameters(by_model, shared),
            "dtype": self.document.dtype,
            "lineage": self._lineage(experts),
        }

    @cached_property
    def base(self) -> str:
        """The base, or the first model where the file names none."""
        return self.document.base or self.document.models[0].ref

    @cached_property
    def merges_models(self) -> bool:
        """Whether models are merged themselves, the base among them, and not task vectors."""
        role = self.peer.base
        return role == "input" or (role == "optional" and self.document.base is None)

    @cached_property
    def experts(self) -> tuple[Model, ...]:
        """The models that are merged: without the base, or with it where it is one of them."""
        models = self.document.models
        if not self.merges_models:
            return tuple(model for model in models if not self._is_base(model))
        if any(map(self._is_base, models)):
            return models
        return models if self.document.base is None else (*models, _added(self.document.base))

    def _is_base(self, model: Model) -> bool:
        return model.ref == self.base and model.adapter is None

    def _check_base(self) -> None:
        """Refuse a base that is missing, or has parameters although it has no task vector."""
        name = self.document.method
        if self.document.base is None and self.peer.base == "required":
            self.problems.append(f"base_model: is missing; mergekit's {name} needs it")
        for model in self.document.models if self.document.base else ():
            if not self.merges_models and self._is_base(model) and model.parameters:
                self.problems.append(
                    f"{model.key}.parameters: the base has none in {name} (mergekit ignores them); "
                    "leave them out"
                )

    def _check_experts(self) -> None:
        """Refuse adapters on another model than the base, and a number that is not merged."""
        name, k_range = self.document.method, METHODS[self.peer.method].k_range
        for model in self.experts:
            if model.adapter and model.ref != self.base:
                self.problems.append(
                    f"{model.key}.model: an adapter is taken on the base alone, and {model.ref!r} "
                    f"is not {self.base!r}; merge the adapter into its model first"
                )
        if not takes(k_range, len(self.experts)):
            besides = "" if self.merges_models else " besides the base"
            self.problems.append(
                f"models: {name} merges {counted_experts(k_range)}{besides}; "
                f"here are {len(self.experts)}"
            )

    def _settle_linear(
        self, experts: dict[str, Model], weights: dict[str, float], normalize: bool
    ) -> None:
        """Leave a base of weight 0 out; without normalising, only a sum of 1 is a mean."""
        for expert in [name for name, model in experts.items() if self._is_base(model)]:
            if self.document.base is not None and weights[expert] == 0 and len(experts) > 1:
                del experts[expert], weights[expert]
        total = sum(weights.values())
        if not normalize and abs(total - 1) > 1e-6:
            self.problems.append(
                f"parameters.normalize = False: the weights add up to {total:g}, and mergelaw's "
                "average divides by that: let them add up to 1, or leave normalize out"
            )

    def _settle_della(
        self, experts: Mapping[str, Model], density: dict[str, float], epsilon: dict[str, float]
    ) -> None:
        """At density 1 nothing is dropped, whatever epsilon says."""
        for expert, model in experts.items():
            if density[expert] == 1:
                epsilon[expert] = 0.0
            self.problems.extend(della_problems(model.key, density[expert], epsilon[expert]))

    def _parameters(
        self, by_model: Mapping[str, Mapping[str, Any]], shared: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Return our parameters from mergekit's values."""
        ours = dict(self.peer.fixed)
        for name, parameter in self.peer.parameters.items():
            if parameter.ours is None:
                continue
            if parameter.by_model:
                values = {expert: parameter.into(v) for expert, v in by_model[name].items()}
                ours[parameter.ours] = one_or_by_expert(values)
            else:
                ours[parameter.ours] = parameter.into(shared[name])
        if self.peer.base == "optional":
            ours["space"] = "weights" if self.merges_models else "task_vectors"
        return ours

    def _lineage(self, experts: Mapping[str, Model]) -> str:
        """Experts need not come from a base that is only one of the models or an end of a path."""
        sibling = self.document.method == "slerp" or any(map(self._is_base, experts.values()))
        return "report" if sibling else "strict"


def _added(base: str) -> Model:
    """Return the entry that mergekit adds for a base that is not listed."""
    return Model("base_model", base, None, {})


def _source(model: Model) -> str:
    return model.adapter or model.ref
