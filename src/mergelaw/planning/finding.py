"""Laws by name: what comes with the package, law files, and studies' results."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mergelaw.config.messages import likeliest
from mergelaw.errors import TableError
from mergelaw.laws import forms
from mergelaw.laws.schemas import MACRO
from mergelaw.planning.law_file import Curve, Joint, Law, LawFile, read_law_file

KNOWN = Path(__file__).parent / "known"
"""Laws that come with the package."""


@dataclass(frozen=True)
class Found:
    """A law file, and which method and domain of it were named."""

    file: LawFile
    method: str | None = None
    domain: str | None = None


def known_names() -> list[str]:
    """Return the names of the laws that come with the package."""
    return sorted(path.stem for path in KNOWN.glob("*.json"))


def find(named: str) -> Found:
    """Return the law file that `NAME|FILE|FOLDER[/METHOD[/DOMAIN]]` names.

    Parameters
    ----------
    named : str
        A name of `known_names`, which wins over a file; a law file; or the results of a study.

    Raises
    ------
    TableError
        If there is no such law file, or it cannot be used.
    """
    parts = named.rstrip("/").split("/")
    for n_left in (0, 1, 2):
        rest = parts[len(parts) - n_left :]
        path = _path("/".join(parts[: len(parts) - n_left]))
        if path is not None:
            return Found(read_law_file(path), *rest)
    raise TableError(
        f"--law {named}: no law file, no results of a study with planning/laws.json, and none of "
        f"the laws that come with mergelaw ({likeliest(parts[0], known_names())}); `mergelaw "
        "forecast --out FILE` makes one from a few losses"
    )


def _path(name: str) -> Path | None:
    if name in known_names():
        return KNOWN / f"{name}.json"
    given = Path(name).expanduser()
    places = (given, given / "planning" / "laws.json", given / "laws.json")
    return next((place for place in places if name and place.is_file()), None)


def choose(file: LawFile, methods: Sequence[str], domains: Sequence[str]) -> list[Law]:
    """Return the laws of some methods and domains, of known names; all where none is named.

    Raises
    ------
    TableError
        If the file has none of them together.
    """
    if found := _laws_of(file, methods, domains):
        return found
    named = f" of {' and '.join([*methods, *domains])} together" if methods or domains else "s"
    raise TableError(f"{file.name} has no law{named}")


def _laws_of(file: LawFile, methods: Sequence[str], domains: Sequence[str]) -> list[Law]:
    return [
        law
        for law in file.laws
        if (not methods or law.method in methods) and (not domains or law.domain in domains)
    ]


def unknown_names(
    file: LawFile, methods: Sequence[str], domains: Sequence[str], sizes: Sequence[str]
) -> Iterator[str]:
    """Yield names that the file has no law of, with the likeliest ones meant.

    Sizes are looked for in the laws of the methods and domains, in all where there are none.
    """
    for kind, names in {"method": methods, "domain": domains}.items():
        known = list(dict.fromkeys(getattr(law, kind) for law in file.laws))
        for name in names:
            if name not in known:
                yield f"{file.name} has no law of {kind} {name!r}; {likeliest(name, known)}"
    laws = _laws_of(file, methods, domains) or list(file.laws)
    there = list(dict.fromkeys(curve.size for law in laws for curve in law.curves))
    of = f"{laws[0].method}/{laws[0].domain}" if len(laws) == 1 else "these"
    for size in sizes:
        if size not in there:
            yield f"{file.name} has no law of {of} at size {size!r}; {likeliest(size, there)}"


def at_sizes(laws: Sequence[Law], sizes: Sequence[str]) -> list[Law]:
    """Return those laws that have a curve at any of some sizes; all where no size is named."""
    return [law for law in laws if not sizes or any(c.size in sizes for c in law.curves)]


def size_name(n_params_billions: float) -> str:
    """Return what a size off the ladder is called."""
    return f"{n_params_billions:g}B"


def curve_at(file: LawFile, law: Law, n_params_billions: float) -> Curve:
    """Return the curve that the law over sizes has at N parameters; its errors are not known.

    The macro law is the mean of the domains' laws, where it has no joint law of its own.

    Raises
    ------
    TableError
        If there is no law over sizes.
    """
    joints = _joints(file, law)
    if not joints:
        raise TableError(
            f"--n-params: {file.name} has no law over sizes of {law.method}/{law.domain}; "
            f"sizes with a law of their own: {', '.join(curve.size for curve in law.curves)}"
        )
    ks = range(1, file.pool + 1)
    each = [[_loss(joint, n_params_billions, k) for k in ks] for joint in joints]
    loss = tuple(math.fsum(column) / len(joints) for column in zip(*each, strict=True))
    floors = [_loss(joint, n_params_billions, math.inf) for joint in joints]
    tail, offset = _end(joints, n_params_billions)
    return Curve(
        size=size_name(n_params_billions),
        floor=math.fsum(floors) / len(floors),
        tail=tail,
        offset=offset,
        identified=all(joint.identified for joint in joints),
        notes=tuple(_notes(file, n_params_billions)),
        loss=loss,
    )


def _joints(file: LawFile, law: Law) -> list[Joint]:
    if law.joint is not None:
        return [law.joint]
    if law.domain != MACRO:
        return []
    others = [other for other in file.laws if other.method == law.method and other is not law]
    joints = [other.joint for other in others if other.joint is not None]
    return joints if len(joints) == len(others) else []


def _loss(joint: Joint, n: float, k: float) -> float:
    values = joint.model_dump(exclude={"identified"})
    return float(forms.joint(n, k, **values))


def _end(joints: Sequence[Joint], n: float) -> tuple[float, float]:
    """Return tail and offset at N parameters, of several laws those of `mean_tail`."""
    tails = [float(forms.size_tail(n, joint.tail_scale, joint.tail_exponent)) for joint in joints]
    return mean_tail(tails, [joint.offset for joint in joints])


def mean_tail(tails: Sequence[float], offsets: Sequence[float]) -> tuple[float, float]:
    """Return the tail and offset that the mean of several curves has for large k.

    ``mean A_i / (k + b_i) = A / k - A b / k^2 + ...`` with ``A = mean A_i`` and
    ``A b = mean A_i b_i``: exact to the second order in 1/k.
    """
    tail = math.fsum(tails) / len(tails)
    moment = math.fsum(a * b for a, b in zip(tails, offsets, strict=True)) / len(tails)
    return tail, moment / tail if tail else 0.0


def _notes(file: LawFile, n: float) -> list[str]:
    sizes = [size.n_params_billions for size in file.sizes if size.n_params_billions]
    notes = ["by the law over sizes; its errors are not known"]
    if sizes and not min(sizes) <= n <= max(sizes):
        notes.append(f"{n:g} billion parameters are outside {min(sizes):g} to {max(sizes):g}")
    return notes
