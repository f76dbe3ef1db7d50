"""Checks across sections of a config: each yields problems in words, key first."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import Any

from mergelaw.config.data import (
    TEMPLATE_NAMES,
    Data,
    DatasetsSource,
    Domain,
    FilesSource,
    Tokenizer,
)
from mergelaw.config.design import BalancedPart, DesignPart
from mergelaw.config.design_checks import unbalanced
from mergelaw.config.method_checks import (
    by_expert_problems,
    counted_experts,
    has_scale,
    is_equal_mean,
    takes,
    weight_problems,
)
from mergelaw.config.methods import Method
from mergelaw.config.models import (
    Evaluation,
    Expert,
    ExpertTraining,
    Multitask,
    Setting,
    Size,
    Training,
)
from mergelaw.config.study import Laws, Lineage, Orders, Scales, Sweep
from mergelaw.config.theory import Theory
from mergelaw.config.theory_checks import objective_problems

Problems = Iterator[str]

TAKEN = {"base": "the base model", "multitask": "the multitask baseline"}
"""Names that no expert may have."""


def _repeated(key: str, names: list[str]) -> Problems:
    for name, count in Counter(names).items():
        if count > 1:
            yield f"{key} = {name!r} occurs {count} times: every name must be used once"


def check_domains(domains: tuple[Domain, ...]) -> Problems:
    """Names are unique, `macro` is left free, and a file source names one kind of field."""
    yield from _repeated("domains.name", [domain.name for domain in domains])
    for index, domain in enumerate(domains):
        if domain.name == "macro":
            yield f"domains[{index}].name = 'macro': the word is taken by the mean over domains"
        if isinstance(domain.source, FilesSource | DatasetsSource):
            fields = domain.source.fields
            pair = (fields.prompt is not None, fields.response is not None)
            kinds = (
                (pair == (True, True)) + (fields.messages is not None) + (fields.text is not None)
            )
            if kinds != 1 or pair in {(True, False), (False, True)}:
                yield (
                    f"domains[{index}].source.fields = {fields.model_dump(exclude_none=True)}: "
                    "give `prompt` and `response`, or `messages`, or `text`"
                )


def check_experts(experts: tuple[Expert, ...], domains: tuple[Domain, ...]) -> Problems:
    """Names are unique, `base` and `multitask` are left free, and home domains exist."""
    yield from _repeated("experts.name", [expert.name for expert in experts])
    known = [domain.name for domain in domains]
    for index, expert in enumerate(experts):
        if expert.name in TAKEN:
            taken = TAKEN[expert.name]
            yield f"experts[{index}].name = {expert.name!r}: the word is taken by {taken}"
        if expert.domain is not None and expert.domain not in known:
            yield f"experts[{index}].domain = {expert.domain!r}: must be one of {', '.join(known)}"


def check_sizes(sizes: tuple[Size, ...], experts: tuple[Expert, ...]) -> Problems:
    """Each size has one origin, known experts, and a checkpoint or a domain for every expert."""
    yield from _repeated("sizes.name", [size.name for size in sizes])
    yield from _counts_do_not_rise(sizes)
    known = {expert.name for expert in experts}
    for index, size in enumerate(sizes):
        key = f"sizes[{index}]"
        if (size.architecture is None) == (size.base is None):
            yield f"{key}: give either `architecture` (train a base) or `base` (use a checkpoint)"
        if size.architecture is not None and size.n_params is not None:
            yield f"{key}.n_params: follows from `architecture`; leave it out"
        yield from _wrong_refs(key, size)
        if size.architecture is not None and size.experts:
            yield f"{key}.experts: finished experts need the `base` that they were made from"
        for name in sorted(size.experts.keys() - known):
            yield f"{key}.experts = {name!r}: not in the pool ({', '.join(sorted(known))})"
        for expert in experts:
            if expert.domain is None and expert.name not in size.experts:
                yield (
                    f"{key}.experts: expert {expert.name!r} has no home domain to be trained on; "
                    "give its checkpoint here or its `domain` in `experts`"
                )


def _counts_do_not_rise(sizes: tuple[Size, ...]) -> Problems:
    """Yield sizes that state no more parameters than the last one before them that states any."""
    stated = [(index, size.n_params) for index, size in enumerate(sizes) if size.n_params]
    for (before, smaller), (index, count) in pairwise(stated):
        if count <= smaller:
            yield (
                f"sizes[{index}].n_params = {count:,}: must be above sizes[{before}].n_params = "
                f"{smaller:,}; list sizes smallest first"
            )


def _wrong_refs(key: str, size: Size) -> Problems:
    """Yield references that are blank or the address of a page, and checkpoints named twice."""
    places = {f"{key}.base": size.base} if size.base is not None else {}
    places |= {f"{key}.experts.{name}": ref for name, ref in size.experts.items()}
    first: dict[str, str] = {}
    for place, ref in places.items():
        if not ref.strip() or "://" in ref:
            yield f"{place} = {ref!r}: must be a folder, or org/name or org/name@revision"
        elif first.setdefault(ref, place) != place:
            yield f"{place} = {ref!r}: is {first[ref]} too; each checkpoint is used once"


def check_architectures(sizes: tuple[Size, ...]) -> Problems:
    """Heads divide the width and each other; sizes rise."""
    smaller: tuple[str, int] | None = None
    for index, size in enumerate(sizes):
        model, key = size.architecture, f"sizes[{index}].architecture"
        if model is None:
            continue
        if model.hidden_size % (2 * model.heads):
            yield (
                f"{key}.heads = {model.heads}: hidden_size / heads must be an even whole number "
                f"(hidden_size = {model.hidden_size})"
            )
        if model.heads % model.kv_heads:
            yield f"{key}.kv_heads = {model.kv_heads}: must divide heads = {model.heads}"
        count = model.n_params_nonembedding
        if smaller and count <= smaller[1]:
            yield (
                f"sizes[{index}] = {size.name!r}: has no more parameters than {smaller[0]!r}; "
                "list sizes smallest first"
            )
        smaller = (size.name, count)


def check_lengths(sizes: tuple[Size, ...], training: Training, evaluation: Evaluation) -> Problems:
    """No item may be longer than a context."""
    lengths = {"training.expert": training.expert.max_length, "evaluation": evaluation.max_length}
    for index, size in enumerate(sizes):
        for name, length in lengths.items() if size.architecture else ():
            if size.architecture and length > size.architecture.context:
                yield (
                    f"{name}.max_length = {length}: at most "
                    f"sizes[{index}].architecture.context = {size.architecture.context}"
                )


def check_training(training: Training) -> Problems:
    """Lengths of trainings are given once; snapshots rise."""
    sections: dict[str, ExpertTraining | Setting] = {"training.expert": training.expert}
    sections |= {f"training.settings[{i}]": entry for i, entry in enumerate(training.settings)}
    for key, entry in sections.items():
        if {"steps", "epochs"} <= entry.model_fields_set and None not in (
            entry.steps,
            entry.epochs,
        ):
            yield f"{key}: give either `steps` or `epochs`"
    shares = list(training.expert.snapshots)
    if shares != sorted(set(shares)) or shares[-1:] == [1.0]:
        yield (
            f"training.expert.snapshots = {shares}: must rise and be below 1, which is the expert "
            "itself"
        )
    if training.expert.attention == "flash_attention_2":
        if training.expert.precision == "float32":
            yield (
                "training.expert.attention = 'flash_attention_2': takes no float32; give "
                "precision: bfloat16, or attention: sdpa"
            )
        if training.expert.pack and training.expert.micro_batch_rows != 1:
            yield (
                f"training.expert.micro_batch_rows = {training.expert.micro_batch_rows}: "
                "flash_attention_2 keeps packed items apart in one row only; give 1"
            )


def check_settings(training: Training, sizes: tuple[Size, ...]) -> Problems:
    """Names of settings are unique, each changes something, and experts are trained here."""
    names = [entry.name for entry in training.settings]
    yield from _repeated("training.settings.name", names)
    for index, name in enumerate(names):
        if training.of(name) == training.expert:
            yield (
                f"training.settings[{index}] = {name!r}: trains experts just as training.expert "
                "does; change something, or leave it out"
            )
    for index, size in enumerate(sizes if training.settings else ()):
        if size.experts:
            yield (
                f"sizes[{index}].experts: {', '.join(sorted(size.experts))} are finished, and "
                "training.settings trains every expert under each setting; leave one of them out"
            )


def check_launch(sizes: tuple[Size, ...]) -> Problems:
    """Launch files are named by paths."""
    for index, size in enumerate(sizes):
        if size.launch is not None and not size.launch.strip().endswith((".yaml", ".yml")):
            yield (
                f"sizes[{index}].launch = {size.launch!r}: must be the path of a YAML file of "
                "`accelerate launch`, such as workflow/launch/zero3.yaml"
            )


def check_multitask(multitask: Multitask | None, experts: tuple[Expert, ...]) -> Problems:
    """Its experts are of the pool, at least two, and have items."""
    if multitask is None:
        return
    domains = {expert.name: expert.domain for expert in experts}
    names = multitask.experts or tuple(domains)
    yield from _repeated("multitask.experts", list(names))
    for name in names:
        if name not in domains:
            yield f"multitask.experts = {name!r}: not in the pool ({', '.join(sorted(domains))})"
        elif domains[name] is None:
            yield (
                f"multitask.experts: expert {name!r} has no home domain whose items could be "
                "learned from; give its `domain` in `experts`, or list the others"
            )
    if len(set(names)) < 2:
        yield f"multitask.experts = {list(names)}: must be two at least"


def check_data(
    data: Data, sizes: tuple[Size, ...], experts: tuple[Expert, ...], multitask: Multitask | None
) -> Problems:
    """Shares add up and no trained model lacks text."""
    shares = data.shares
    total = shares.base + shares.train + shares.heldout
    if abs(total - 1) > 1e-9:
        yield f"data.shares = {total:g} in all: base + train + heldout must be 1"
    if any(size.architecture for size in sizes) and shares.base == 0 and data.generic_share < 1:
        yield "data.shares.base = 0: bases are pre-trained here and need a share above 0"
    trains = any(e.name not in size.experts for size in sizes for e in experts)
    if shares.train == 0 and (trains or multitask is not None):
        who = (
            "experts are trained here and need" if trains else "multitask is trained here and needs"
        )
        yield f"data.shares.train = 0: {who} a share above 0"


def check_tokenizer(tokenizer: Tokenizer, sizes: tuple[Size, ...]) -> Problems:
    """One origin; a given base needs its own tokenizer; a template that can be found."""
    if (tokenizer.vocab_size is None) == (tokenizer.path is None):
        yield "tokenizer: give either `vocab_size` (train one) or `path` (use one)"
    if tokenizer.path is None and any(size.base for size in sizes):
        yield "tokenizer.path: is missing; a given `base` needs its own tokenizer, name its folder"
    for key in ("template", "system"):
        given = getattr(tokenizer, key)
        if given is not None and not given.strip():
            yield f"tokenizer.{key}: is blank; leave it out or say what it is"
    template = (tokenizer.template or "").strip()
    if template and template not in TEMPLATE_NAMES and not template.endswith(".jinja"):
        yield (
            f"tokenizer.template = {template!r}: must be one of {', '.join(TEMPLATE_NAMES)}, "
            "or the path of a .jinja file"
        )


def check_design(
    design: tuple[DesignPart, ...], sizes: tuple[Size, ...], experts: tuple[Expert, ...]
) -> Problems:
    """Every k is within the pool, and a budget buys at least the two ends of the curve."""
    parts = [(f"design[{i}]", part) for i, part in enumerate(design)]
    for index, size in enumerate(sizes):
        parts += [(f"sizes[{index}].design[{i}]", part) for i, part in enumerate(size.design or ())]
    for key, part in parts:
        yield from _wrong_ks(f"{key}.k", part.k, experts)
        if isinstance(part, BalancedPart):
            yield from unbalanced(key, part, len(experts))


def check_methods(methods: tuple[Method, ...], experts: tuple[Expert, ...]) -> Problems:
    """Labels are unique, and numbers by expert name every expert of the pool."""
    yield from _repeated("methods.label", [method.label for method in methods])
    names = [expert.name for expert in experts]
    for index, method in enumerate(methods):
        yield from by_expert_problems(f"methods[{index}].parameters", method, names)


def check_methods_k(
    methods: tuple[Method, ...],
    design: tuple[DesignPart, ...],
    sizes: tuple[Size, ...],
    experts: tuple[Expert, ...],
    scales: Scales | None,
    orders: Orders | None,
) -> Problems:
    """Every method takes every k of the design (k = 0, the base, is no merge)."""
    names = [expert.name for expert in experts]
    parts = {key: part.k or range(1, len(names) + 1) for key, part in _parts_in_use(design, sizes)}
    others = {k for section in (scales, orders) if section for k in section.ks(len(names))}
    for index, method in enumerate(methods):
        for key, ks in parts.items():
            refused = [str(k) for k in ks if not takes(method.k_range, k)]
            if refused:
                yield (
                    f"methods[{index}].method = {method.method!r}: merges "
                    f"{counted_experts(method.k_range)}, but {key} has k = {', '.join(refused)}: "
                    "give it a list `k` without, or leave the method out"
                )
        every_k = {k for ks in parts.values() for k in ks}
        every_k |= {k for k in others if takes(method.k_range, k)}
        yield from weight_problems(f"methods[{index}].parameters", method, names, every_k)


def _parts_in_use(
    design: tuple[DesignPart, ...], sizes: tuple[Size, ...]
) -> Iterator[tuple[str, DesignPart]]:
    """Yield every part that some size follows, with its key."""
    if any(size.design is None for size in sizes):
        yield from ((f"design[{i}]", part) for i, part in enumerate(design))
    for index, size in enumerate(sizes):
        yield from ((f"sizes[{index}].design[{i}]", p) for i, p in enumerate(size.design or ()))


def check_mask_seeds(mask_seeds: tuple[int, ...]) -> Problems:
    """Mask seeds are unique."""
    yield from _repeated("mask_seeds", [str(seed) for seed in mask_seeds])


def check_sweep(sweep: Sweep, accumulate: str) -> Problems:
    """Refuse a running sum, which is float32, for sums of another type."""
    if sweep.incremental and accumulate != "float32":
        yield (
            f"sweep.incremental = true: its running sum is float32, accumulate = {accumulate!r} "
            "another; leave out one of the two"
        )


def check_scales(
    scales: Scales | None, methods: tuple[Method, ...], experts: tuple[Expert, ...]
) -> Problems:
    """Scales and k are distinct, k is within the pool, and some method has a scale."""
    if scales is None:
        return
    yield from _repeated("scales.fitted", [f"{scale:g}" for scale in scales.fitted])
    yield from _repeated("scales.checked", [f"{scale:g}" for scale in scales.checked])
    for scale in sorted(set(scales.fitted) & set(scales.checked)):
        yield f"scales.checked = {scale:g}: is in scales.fitted too; leave out one of the two"
    yield from _wrong_ks("scales.k", scales.k, experts)
    if not any(has_scale(method) for method in methods):
        yield (
            "scales: no method of the study has a scale of a mean; add one, such as "
            "task_arithmetic, or leave `scales` out"
        )


def check_orders(orders: Orders | None, experts: tuple[Expert, ...]) -> Problems:
    """Refuse k that occur twice or exceed the pool."""
    if orders is not None:
        yield from _wrong_ks("orders.k", orders.k, experts, least=2)


def _wrong_ks(
    key: str, ks: tuple[int, ...] | None, experts: tuple[Expert, ...], least: int = 1
) -> Problems:
    """Yield k that exceed the pool or occur twice."""
    for k in ks or ():
        if k > len(experts):
            yield f"{key} = {k}: allowed {least} to {len(experts)}, the number of experts"
    yield from _repeated(key, [str(k) for k in ks or ()])


def check_lineage(lineage: Lineage) -> Problems:
    """Experts that seem not to come from the base are merged for a reason only."""
    if lineage.check == "report" and not (lineage.reason or "").strip():
        yield "lineage.reason: is missing; say why experts that name another base are merged"


def check_laws(laws: Laws) -> Problems:
    """Three different k in rising order make the forecast; those above the pool make none."""
    if list(laws.forecast_k) != sorted(set(laws.forecast_k)) or laws.forecast_k[0] < 1:
        yield f"laws.forecast_k = {list(laws.forecast_k)}: must be three k in rising order"


def check_theory(
    theory: Theory | None,
    domains: tuple[Domain, ...],
    experts: tuple[Expert, ...],
    methods: tuple[Method, ...],
) -> Problems:
    """Refuse a study of no merge that is linear in weights, and searches for what it has not."""
    if theory is None:
        return
    yield from _repeated("theory.routes", list(theory.routes))
    pool = [expert.name for expert in experts]
    if not any(is_equal_mean(method, pool) for method in methods):
        yield (
            "theory: no method of the study is a mean with one weight for all experts, divided by "
            "their sum, of which one merge tells the curve; add one, such as average, or leave "
            "`theory` out"
        )
    yield from _repeated("theory.objectives.label", [entry.label for entry in theory.objectives])
    names = [domain.name for domain in domains]
    for index, objective in enumerate(theory.objectives):
        key = f"theory.objectives[{index}]"
        yield from objective_problems(key, objective, names, len(pool))


CHECKS: tuple[Callable[..., Problems], ...] = (
    check_domains,
    check_experts,
    check_sizes,
    check_architectures,
    check_lengths,
    check_training,
    check_settings,
    check_launch,
    check_multitask,
    check_data,
    check_tokenizer,
    check_design,
    check_methods,
    check_methods_k,
    check_mask_seeds,
    check_sweep,
    check_scales,
    check_orders,
    check_lineage,
    check_laws,
    check_theory,
)


def cross_section_problems(sections: Mapping[str, Any]) -> list[str]:
    """Run every check whose sections are all valid.

    Parameters
    ----------
    sections : mapping of str to section
        Valid sections by their key in the config.

    Returns
    -------
    list of str
        One line per problem, key first.
    """
    problems: list[str] = []
    for check in CHECKS:
        needs = [name for name in check.__annotations__ if name != "return"]
        if all(name in sections for name in needs):
            problems += check(**{name: sections[name] for name in needs})
    return problems
