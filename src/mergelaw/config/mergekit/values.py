"""The parameters of mergekit's YAML: where mergekit looks for each, and values of its type."""

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from mergelaw.config.mergekit.document import Document, Model
from mergelaw.config.mergekit.peers import PEERS, REQUIRED, Parameter, Peer
from mergelaw.config.messages import unknown_key, wrong_value

ByModel = dict[str, dict[str, Any]]
"""By mergekit's name of a parameter: each expert's value."""


def read_values(
    document: Document, peer: Peer, experts: Mapping[str, Model], problems: list[str]
) -> tuple[ByModel, dict[str, Any]]:
    """Read a method's parameters.

    Parameters
    ----------
    document : Document
        The file.
    peer : Peer
        Its method.
    experts : mapping of str to Model
        The merged models by our names.
    problems : list of str
        A line is appended for each parameter that is missing, stray or not of its type.

    Returns
    -------
    by_model : dict of str to dict
        Values by parameter and expert; None stands for a problem.
    shared : dict
        Values of the parameters that all models share.
    """
    _check_names(document, problems)
    by_model: ByModel = {}
    shared: dict[str, Any] = {}
    for name, parameter in peer.parameters.items():
        if parameter.by_model:
            if name in document.parameters:  # also where every model has its own
                _shared(name, parameter, document, problems)
            by_model[name] = {
                expert: _of_model(name, parameter, model, document, problems)
                for expert, model in experts.items()
            }
        else:
            shared[name] = _shared(name, parameter, document, problems)
    return by_model, shared


def _check_names(document: Document, problems: list[str]) -> None:
    """Append a problem for each key that is none of the method's, or stands in the wrong place."""
    known = PEERS[document.method].parameters
    for key in document.parameters:
        if key not in known:
            problems.append(_stray(f"parameters.{key}", key, document.method))
    for model in document.models:
        for key in model.parameters:
            place = f"{model.key}.parameters.{key}"
            if key not in known:
                problems.append(_stray(place, key, document.method))
            elif not known[key].by_model:
                problems.append(
                    f"{place}: is one for all models, and mergekit ignores it here; "
                    "move it to the top level's `parameters`"
                )


def _stray(place: str, key: object, method: str) -> str:
    if any(key in peer.parameters for peer in PEERS.values()):
        return f"{place}: {method} has no such parameter (mergekit ignores it); leave it out"
    return unknown_key(place, str(key), PEERS[method].parameters)


def _of_model(
    name: str, parameter: Parameter, model: Model, document: Document, problems: list[str]
) -> Any:
    """Return a model's value: its own, else the one for all, else the default."""
    if name in model.parameters:
        key = f"{model.key}.parameters.{name}"
        return _checked(key, model.parameters[name], parameter, problems)
    if name in document.parameters or parameter.default is not REQUIRED:
        return _shared(name, parameter, document, problems)
    if model.key == "base_model":
        problems.append(
            f"base_model: {document.method} merges it like the others and needs its {name}; "
            f"list it under `models` ({name} 0 leaves it out), or drop `base_model`"
        )
    else:
        problems.append(
            f"{model.key}.parameters.{name}: is missing; mergekit's {document.method} needs it, "
            "here or for all in the top level's `parameters`"
        )
    return None


def _shared(name: str, parameter: Parameter, document: Document, problems: list[str]) -> Any:
    if name in document.parameters:
        return _checked(f"parameters.{name}", document.parameters[name], parameter, problems)
    if parameter.default is REQUIRED:
        problems.append(f"parameters.{name}: is missing; mergekit's {document.method} needs it")
    return parameter.default


def _checked(key: str, value: object, parameter: Parameter, problems: list[str]) -> Any:
    """Return a value as the parameter's type; None with a problem appended where it has none."""
    if isinstance(value, list | Mapping):
        problems.append(
            f"{key} = {value!r}: changes with the layer or the tensor's name; "
            "mergelaw takes one number for all: give that"
        )
        return None
    adapter: TypeAdapter[Any] = TypeAdapter(parameter.kind)
    try:
        result = adapter.validate_python(value)
    except ValidationError as error:
        problems.append(wrong_value(key, value, error.errors()[0], adapter.json_schema()))
        return None
    if parameter.only is not None and result != parameter.only:
        problems.append(
            f"{key} = {value!r}: has no like in mergelaw, which merges as for {parameter.only}; "
            "leave it out"
        )
    return result
