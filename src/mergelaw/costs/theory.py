"""What the theory stage costs: passes over its texts by route and search, and a graph's memory."""

from collections.abc import Sequence
from typing import NamedTuple

from mergelaw.config import Study
from mergelaw.config.method_checks import is_equal_mean
from mergelaw.config.methods import METHODS, Method
from mergelaw.config.theory import Objective, Route
from mergelaw.costs.model import DTYPE_BYTES, devices_needed
from mergelaw.costs.row import Row
from mergelaw.costs.sweep import START_SECONDS, SweepMethod, SweepSize
from mergelaw.errors import ConfigError
from mergelaw.variants import theory_of

GRADIENT = 3.0
"""A forward and a backward pass, in forward passes (measured 2 to 3)."""

PRODUCT = 4.0
"""ASSUME a Hessian-vector product costs so many (measured: nine and the gradient, 35 to 45)."""

STEPS = 3
"""ASSUME a search takes curvature once and so many gradients (measured on the default study)."""

LAYERS = 12
"""Groups of transformer layers that have weights of their own, at most."""

COMPARED = 11.0
"""ASSUME the ways that the first search is compared with cost together so many times as much
(measured there)."""

COPIES = 4
"""Arrays as long as the weights: they, a gradient, a direction, and its product."""


class Passes(NamedTuple):
    """Work of a measurement.

    Attributes
    ----------
    forwards : float
        Passes over the text, in forward passes.
    n_merges : int
        Merges that are made for them.
    """

    forwards: float
    n_merges: int


def route_passes(route: Route, n_experts: int) -> Passes:
    """Return what derivatives at one merge cost by a route."""
    pairs = n_experts * (n_experts - 1) // 2
    match route:
        case "hvp":
            return Passes(GRADIENT + PRODUCT * n_experts, 1)
        case "gauss_newton":
            return Passes(GRADIENT + n_experts + 1, n_experts + 1)
        case "differences":
            return Passes(2 * n_experts + 3, 2 * n_experts + 3)
        case "pairs":
            return Passes(1 + 2 * n_experts + pairs, 1 + 2 * n_experts + pairs)


def derivatives_row(at: SweepSize) -> Row:
    """Return the job that takes a size's derivatives, with every method that has a curve."""
    study, n_experts = at.case.study, len(at.case.study.experts)
    entries = [m for m in study.methods if is_equal_mean(m, study.expert_names)]
    found = [(entry, _method_passes(study, entry)) for entry in entries]
    forwards = sum(passes.forwards for _, passes in found)
    seconds = forwards * at.score_seconds
    seconds += sum(p.n_merges * at.merge_seconds(entry, n_experts) for entry, p in found)
    return _row(at, "derivatives", seconds, forwards, entries)


def _method_passes(study: Study, entry: Method) -> Passes:
    """Return the work of every route under each mask seed, and of random masks."""
    theory = theory_of(study)
    routes = [route_passes(route, len(study.experts)) for route in theory.routes]
    found = routes * len(study.mask_seeds_of(entry))
    if entry.draws_masks:
        found.append(Passes(2 * theory.mask_probes + 1, 2 * theory.mask_probes + 1))
    return _sum(found)


def weights_row(at: SweepSize) -> Row:
    """Return the job that searches a size's best weights.

    ASSUME text costs in proportion to its tokens. What was found is judged by one pass each over
    the held-out text.
    """
    study, theory = at.case.study, theory_of(at.case.study)
    n_domains, n_experts = len(study.domains), len(study.experts)
    searches = [_search_passes(at, entry) for entry in theory.objectives]
    first = searches[0] if searches else Passes(0, 0)
    found = _sum([*searches, Passes(COMPARED * first.forwards, round(COMPARED * first.n_merges))])
    tokens = theory.calibration_tokens * found.forwards
    tokens += theory.heldout_tokens * (len(searches) + COMPARED)
    forwards = tokens * n_domains / max(1, at.case.text.n_tokens)
    plain = METHODS["average"].model_validate({"label": "average", "method": "average"})
    seconds = forwards * at.score_seconds + found.n_merges * at.merge_seconds(plain, n_experts)
    return _row(at, "weights", seconds, forwards, [plain])


def _search_passes(at: SweepSize, objective: Objective) -> Passes:
    """Return the work of one search, by Gauss-Newton products."""
    layers = at.case.sizes[at.size].shape.layers
    n_groups = min(layers, LAYERS) + 2 if objective.groups == "layers" else 1
    n_products = len(at.case.study.experts) * n_groups + 1
    return Passes(GRADIENT * STEPS + n_products, STEPS + n_products)


def _sum(found: Sequence[Passes]) -> Passes:
    return Passes(sum(p.forwards for p in found), sum(p.n_merges for p in found))


def _row(
    at: SweepSize, rule: str, seconds: float, forwards: float, entries: Sequence[Method]
) -> Row:
    """Return one job: it holds the pool, a graph, and a gradient beside the weights."""
    n_experts, machine = len(at.case.study.experts), at.case.machine
    graph, kept = graph_bytes(at), COPIES * at.live_bytes
    n_devices = devices_needed(kept, graph, machine.device)
    if n_devices is None:
        batch = at.case.study.evaluation.batch_tokens
        raise ConfigError(
            f"evaluation.batch_tokens = {batch}: derivatives at size {at.size!r} keep "
            f"{graph / 1e9:.1f} GB of a batch beside the weights, more than {machine.device.name} "
            "has; lower it"
        )
    setups = [SweepMethod(at, entry).setup_seconds(n_experts) for entry in entries]
    seconds += START_SECONDS + sum(setup - START_SECONDS for setup in setups)
    reading = (1 + n_experts) * at.checkpoint_bytes
    on_gpu = machine.device.is_gpu
    return Row(
        rule,
        at.size,
        bytes_read=len(entries) * reading,
        job_seconds=seconds,
        longest_job_seconds=seconds,
        devices_per_job=n_devices,
        host_bytes=at.host_bytes(n_experts) + (0 if on_gpu else graph + kept - at.live_bytes),
        device_bytes=-(-kept // n_devices) + graph if on_gpu else 0,
        flops=forwards * at.flops,
        holding=at.holding,
        staged_bytes=reading,
    )


def graph_bytes(at: SweepSize) -> int:
    """Return what derivatives keep of a batch: each layer's input, and one layer's graph twice.

    ASSUME activations are made anew, layer by layer, on the way back.
    """
    shape, study = at.case.sizes[at.size].shape, at.case.study
    each = study.evaluation.batch_tokens * shape.width * DTYPE_BYTES[study.dtype]
    return 2 * at.working_bytes + shape.layers * each
