"""What the theory stage costs: passes over its texts by route and search, and a graph's memory."""

from collections.abc import Sequence
from typing import NamedTuple

from mergelaw.config.method_checks import is_equal_mean
from mergelaw.config.methods import METHODS, Method
from mergelaw.config.theory import Objective, Route
from mergelaw.costs.model import DTYPE_BYTES, USABLE, devices_needed
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

HELD_VECTORS = 40
"""ASSUME vectors of the model's width that a layer keeps of a token for the pass backward."""

TWICE = 2.7
"""What a pass backward that is differentiated itself keeps, in those of a plain one (measured)."""

LOGITS_SHARE = 0.25
"""Share of the free memory that the logits by all weights take in the Gauss-Newton route."""

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


def route_passes(route: Route, n_experts: int, n_blocks: int = 1) -> Passes:
    """Return what derivatives at one merge cost by a route.

    Parameters
    ----------
    route : Route
    n_experts : int
    n_blocks : int
        Blocks of tokens in the Gauss-Newton route: each goes through all its merges.
    """
    pairs = n_experts * (n_experts - 1) // 2
    match route:
        case "hvp":
            return Passes(GRADIENT + PRODUCT * n_experts, 1)
        case "gauss_newton":
            return Passes(GRADIENT + n_experts + 1, (n_experts + 1) * n_blocks)
        case "differences":
            return Passes(2 * n_experts + 3, 2 * n_experts + 3)
        case "pairs":
            return Passes(1 + 2 * n_experts + pairs, 1 + 2 * n_experts + pairs)


def derivatives_row(at: SweepSize) -> Row:
    """Return the job that takes a size's derivatives, with every method that has a curve."""
    study, n_experts = at.case.study, len(at.case.study.experts)
    entries = [m for m in study.methods if is_equal_mean(m, study.expert_names)]
    found = [(entry, _method_passes(at, entry)) for entry in entries]
    forwards = sum(passes.forwards for _, passes in found)
    seconds = forwards * at.score_seconds
    seconds += sum(p.n_merges * at.merge_seconds(entry, n_experts) for entry, p in found)
    return _row(at, "derivatives", seconds, forwards, entries, "hvp" in theory_of(study).routes)


def _method_passes(at: SweepSize, entry: Method) -> Passes:
    """Return the work of every route under each mask seed, and of random masks."""
    study = at.case.study
    theory = theory_of(study)
    routes = [route_passes(route, len(study.experts), _blocks(at)) for route in theory.routes]
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


def _graph(at: SweepSize, twice: bool) -> tuple[int, int]:
    """Return the bytes of a graph, and devices of a job: of a batch, else of one item.

    On a GPU batches are halved where memory runs out.

    Raises
    ------
    ConfigError
        If one item does not fit.
    """
    evaluation, kept = at.case.study.evaluation, COPIES * at.live_bytes
    device, graph = at.case.machine.device, 0
    for n_tokens in (evaluation.batch_tokens, min(evaluation.batch_tokens, evaluation.max_length)):
        graph = graph_bytes(at, twice, n_tokens)
        n_devices = devices_needed(kept, graph, device)
        if n_devices is not None:
            return graph, n_devices
    raise ConfigError(
        f"evaluation.max_length = {evaluation.max_length}: derivatives at size {at.size!r} keep "
        f"{graph / 1e9:.1f} GB of an item beside the weights, more than {device.name} has; lower "
        "it, or leave hvp out of theory.routes"
    )


def _row(
    at: SweepSize,
    rule: str,
    seconds: float,
    forwards: float,
    entries: Sequence[Method],
    twice: bool = False,
) -> Row:
    """Return one job: it holds the pool, a graph, and a gradient beside the weights."""
    n_experts, machine = len(at.case.study.experts), at.case.machine
    (graph, n_devices), kept = _graph(at, twice), COPIES * at.live_bytes
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


def graph_bytes(at: SweepSize, twice: bool, n_tokens: int) -> int:
    """Return what derivatives keep of some tokens for the way back.

    Activations of a plain pass backward are made anew, layer by layer, where they fill the memory:
    each layer's input is kept, and one layer's graph. Those of a pass backward that is
    differentiated itself (`twice`: Hessian-vector products) are not: all layers' are kept.
    """
    shape, study = at.case.sizes[at.size].shape, at.case.study
    each = n_tokens * shape.width * DTYPE_BYTES[study.dtype]
    if twice:
        return at.working_bytes + round(TWICE * HELD_VECTORS * shape.layers * each)
    return 2 * at.working_bytes + shape.layers * each


def logit_rows(free_bytes: float, vocabulary: int, n_weights: int) -> int:
    """Return the tokens of a block of the Gauss-Newton route: whose logits by all weights fit.

    Parameters
    ----------
    free_bytes : float
        Of the device that the model is on.
    vocabulary : int
    n_weights : int
    """
    return max(1, int(LOGITS_SHARE * free_bytes / (4 * vocabulary)) // (n_weights + 3))


def _blocks(at: SweepSize) -> int:
    """Return how many blocks the scored tokens make where the model leaves its memory free."""
    case, shape = at.case, at.case.sizes[at.size].shape
    machine = case.machine
    whole = machine.device.memory_bytes or machine.host_bytes
    free = max(0.0, USABLE * whole - at.live_bytes)
    return -(-case.text.n_scored // logit_rows(free, shape.vocabulary, len(case.study.experts)))
