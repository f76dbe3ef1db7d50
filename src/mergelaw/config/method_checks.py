"""What a method asks of a pool: numbers by expert for each of them, a k that it can merge."""

from collections.abc import Collection, Iterator, Mapping, Sequence

from mergelaw.config.base import Section
from mergelaw.config.messages import likeliest
from mergelaw.config.methods import Method, of_expert


def by_expert_problems(key: str, method: Method, names: Sequence[str]) -> Iterator[str]:
    """Yield a problem for each mapping by expert that lacks one or names a stranger.

    Parameters
    ----------
    key : str
        Where the method's parameters stand.
    method : Method
        The entry.
    names : sequence of str
        The pool.
    """
    yield from _mapping_problems(key, method.parameters, names)
    for number, group in enumerate(getattr(method.parameters, "groups", ())):
        yield from _mapping_problems(f"{key}.groups[{number}]", group, names)


def _mapping_problems(key: str, section: Section, names: Sequence[str]) -> Iterator[str]:
    """Yield a problem for each mapping of a section that lacks an expert or names a stranger."""
    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(value, Mapping):
            missing = [expert for expert in names if expert not in value]
            if missing:
                yield f"{key}.{name}: lacks {', '.join(missing)}; a mapping names every expert"
            for stray in (expert for expert in value if expert not in names):
                yield f"{key}.{name}.{stray}: not in the pool; {likeliest(stray, names)}"


def weight_problems(
    key: str, method: Method, names: Sequence[str], ks: Collection[int]
) -> Iterator[str]:
    """Yield a problem where a mean would divide by a sum of weights that is 0.

    Elections divide entry by entry, by weights of those that agree, and need no check.

    Parameters
    ----------
    key : str
        Where the method's parameters stand.
    method : Method
        The entry.
    names : sequence of str
        The pool; a weight by expert that lacks one of it is another check's problem.
    ks : collection of int
        The numbers of experts that are merged.
    """
    parameters = method.parameters
    weight = getattr(parameters, "weight", 1.0)
    is_sum = hasattr(parameters, "groups") or not getattr(parameters, "normalize", True)
    if hasattr(parameters, "zero_sign") or is_sum:
        return
    if isinstance(weight, Mapping) and weight.keys() != set(names):
        return
    weights = [of_expert(weight, name) for name in names]
    all_vanish = len(names) in ks and abs(sum(weights)) < 1e-8
    if all_vanish or any(k <= weights.count(0) for k in ks):
        yield (
            f"{key}.weight = {weight!r}: the weights of "
            f"{'all' if all_vanish else 'some'} experts that are merged add up to 0, "
            "by which the mean divides"
        )


def k_problems(method: Method, k: int) -> Iterator[str]:
    """Yield a problem if a method does not take this number of experts."""
    if not takes(method.k_range, k):
        given = "1 is given" if k == 1 else f"{k} are given"
        yield f"method = {method.method!r}: merges {counted_experts(method.k_range)}; {given}"


def counted_experts(k_range: tuple[int, int | None]) -> str:
    """Return a range of k in words, such as `exactly 2 experts`."""
    least, most = k_range
    if most is None:
        return f"at least {least} expert{'s'[: least != 1]}"
    if least == most:
        return f"exactly {least} expert{'s'[: least != 1]}"
    return f"{least} to {most} experts"


def takes(k_range: tuple[int, int | None], k: int) -> bool:
    """Tell whether a range of k holds this k."""
    least, most = k_range
    return least <= k and (most is None or k <= most)


def has_scale(method: Method) -> bool:
    """Tell whether a method multiplies a mean by a scale; Average is such a mean at scale 1.

    Without `normalize` a sum is scaled, and what it does to the loss is no matter of scale alone.
    """
    scaled = hasattr(method.parameters, "scale") and method.parameters.normalize
    return scaled or method.method == "average"


def is_mean(method: Method) -> bool:
    """Tell whether a method merges by a weighted mean, so that the merge is linear in weights.

    Elections, spheres and angles are none.
    """
    parameters = method.parameters
    scaled = hasattr(parameters, "scale") and not hasattr(parameters, "zero_sign")
    return scaled or method.method == "average"


def is_normalised(method: Method) -> bool:
    """Tell whether a mean divides by the sum of its weights, as Average always does."""
    return bool(getattr(method.parameters, "normalize", True))


def has_equal_weights(method: Method, names: Collection[str]) -> bool:
    """Tell whether all experts have one weight; of a mapping those count that it names."""
    weight = getattr(method.parameters, "weight", 1.0)
    return not isinstance(weight, Mapping) or len({weight[n] for n in names if n in weight}) <= 1


def is_equal_mean(method: Method, names: Collection[str]) -> bool:
    """Tell whether a merge of k experts is `base + c/k sum psi(v_i)`, of which there is a curve.

    Parameters
    ----------
    method : Method
        The entry.
    names : collection of str
        The pool.
    """
    return is_mean(method) and is_normalised(method) and has_equal_weights(method, names)
