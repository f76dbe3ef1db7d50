"""Derivatives of real merges: held against dense ones, against each other, and in every setting."""

import numpy as np
import pytest
import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import eager_mask
from transformers.models.qwen2.modeling_qwen2 import eager_attention_forward

from mergelaw.config.recipe import MergeRecipe
from mergelaw.errors import CheckpointError, ConfigError, DataError
from mergelaw.merging.checkpoint import merge_checkpoints
from mergelaw.models import head as head_module
from mergelaw.models.loading import load_model
from mergelaw.theory import backward, directions, gauss_newton, routes
from mergelaw.theory.text_folds import FoldedText
from tests.helpers import edit_weights
from tests.theory.surfaces import (
    EXPERTS,
    WEIGHTS,
    Oracle,
    items_of,
    placed_surface,
    refs_of,
    surface_of,
    text_of,
)


@pytest.fixture(scope="module")
def oracle(trained):
    return Oracle(*trained)


@pytest.fixture(scope="module")
def products(trained):
    with surface_of(*trained, most_folds=2) as surface:
        yield surface, surface.curvature(WEIGHTS)


# --- routes against dense derivatives ---


def test_products_are_the_dense_hessian_of_every_fold(products, oracle):
    surface, found = products
    assert found.folds.domains == ("algebra", "algebra", "biology", "biology", "code", "code")
    for fold in (0, 3, 5):
        nll, gradient, hessian = oracle.derivatives(WEIGHTS, items_of(surface, fold))
        assert found.nll[fold] == pytest.approx(nll, rel=1e-5)
        np.testing.assert_allclose(found.gradient[fold], gradient, rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(
            found.curvature[fold], hessian, atol=2e-3 * np.abs(hessian).max()
        )


def test_gauss_newton_is_the_dense_one(trained, oracle):
    with surface_of(*trained, most_folds=2, route="gauss_newton") as surface:
        found = surface.curvature(WEIGHTS)
        for fold in (1, 4):
            items = items_of(surface, fold)
            dense = oracle.gauss_newton(WEIGHTS, items)
            _, gradient, hessian = oracle.derivatives(WEIGHTS, items)
            scale = np.abs(dense).max()
            np.testing.assert_allclose(found.curvature[fold], dense, atol=0.02 * scale)
            assert np.abs(hessian - dense).max() > 0.04 * scale, "or it could be either"
            np.testing.assert_allclose(
                found.gradient[fold], gradient, atol=0.02 * np.abs(gradient).max()
            )
        assert np.linalg.eigvalsh(found.curvature.sum(0)).min() > 0


def test_gauss_newton_takes_the_exact_gradient_that_was_paid_for(trained):
    with surface_of(*trained, route="gauss_newton") as surface:
        alone = surface.curvature(WEIGHTS).gradient
        _, exact = surface.gradient(WEIGHTS)
        assert np.array_equal(surface.curvature(WEIGHTS).gradient, exact)
        assert not np.array_equal(alone, exact)


@pytest.mark.parametrize("free", [1, 160_000])
def test_blocks_of_logits_do_not_change_the_matrix(trained, monkeypatch, free):
    """Logits by all weights take a share of the free memory; each block shows all merges again."""
    with surface_of(*trained, route="gauss_newton") as surface:
        whole = surface.curvature(WEIGHTS).curvature
        monkeypatch.setattr(routes, "free_bytes", lambda device: free)
        monkeypatch.setattr(gauss_newton, "ROWS_ENTRIES", 3000)
        passes, logits, n_shown = surface.passes, surface.passes.logits, []
        monkeypatch.setattr(passes, "logits", lambda *a: n_shown.append(1) or logits(*a))
        parts = surface.curvature(WEIGHTS).curvature
        n_scored = int(surface.folds.n_tokens.sum())
        n_words = passes.engine.model.config.vocab_size
    rows = max(1, free // (4 * 4 * n_words) // (3 + 3))
    assert len(n_shown) == 4 * -(-n_scored // rows)
    assert len(n_shown) > 8
    np.testing.assert_allclose(parts, whole, atol=1e-3 * np.abs(whole).max())


def test_differences_and_pairs_agree_with_products(trained):
    with surface_of(*trained, most_folds=1, step=0.06) as surface:
        exact = surface.curvature(surface.full())
        curve = surface.differences()
        pairs = surface.pairs(surface.full())
    largest = np.abs(exact.curvature).max()
    np.testing.assert_allclose(curve.spread, exact.curve().spread, atol=0.02 * largest)
    np.testing.assert_allclose(curve.radial, exact.curve().radial, atol=0.02 * largest)
    np.testing.assert_allclose(pairs.curvature, exact.curvature, atol=0.04 * largest)
    np.testing.assert_allclose(curve.slope, exact.curve().slope)
    assert np.array_equal(curve.nll, exact.nll)


def test_third_derivatives_are_those_along_each_vector_apart(trained, oracle):
    with surface_of(*trained, most_folds=1, step=0.5) as surface:
        found = surface.differences().third
        items = items_of(surface, 0)
    along = torch.tensor(np.eye(3)[1] - 1 / 3)
    at = torch.full((3,), 1 / 3, dtype=torch.float64)

    def second(t):
        bent = torch.autograd.functional.hessian(lambda w: oracle.loss(w, items), at + t * along)
        return float(along @ bent @ along)

    exact = (second(0.05) - second(-0.05)) / 0.1
    assert found[0, 1] == pytest.approx(exact, rel=0.15)


def test_without_a_gradient_there_is_no_third_derivative(trained):
    with surface_of(*trained) as surface:
        assert surface.differences(third=False).third is None
        assert surface.spent.n_gradients == 0
        assert surface.differences().third is not None


# --- folds, layers, other ways of computing ---


def test_folds_sum_to_the_whole(trained, products):
    _, found = products
    with surface_of(*trained, most_folds=1) as surface:
        whole = surface.curvature(WEIGHTS)
    for name in ("nll", "gradient", "curvature"):
        parts = getattr(found, name).reshape(3, 2, *getattr(found, name).shape[1:]).sum(1)
        np.testing.assert_allclose(parts, getattr(whole, name), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("route", ["hvp", "gauss_newton", "pairs"])
def test_some_folds_alone_are_the_same_folds_for_less(trained, route):
    with surface_of(*trained, most_folds=2, route=route) as surface:
        whole = surface.curvature(WEIGHTS)
        before = surface.spent.forwards
        part = surface.curvature(WEIGHTS, folds=[4, 1])
        assert surface.spent.forwards - before < before or route == "hvp"
    assert part.folds.domains == ("code", "algebra")
    for name in ("nll", "gradient", "curvature"):
        np.testing.assert_allclose(
            getattr(part, name), getattr(whole, name)[[4, 1]], rtol=5e-3, atol=5e-3
        )


def test_groups_of_layers_sum_to_the_model(trained, products):
    _, model = products
    with surface_of(*trained, most_folds=2, groups="layers") as surface:
        assert surface.groups == ("embeddings", "layer 0", "layer 1", "rest")
        assert surface.tensors["rest"] == ("model.norm.weight",)
        weights = np.tile(WEIGHTS, 4)
        found = surface.curvature(weights)
        uneven = weights.copy()
        uneven[4] += 1.0  # biology in layer 0
        surface.passes.show(uneven)
        moved = {p: v.clone() for p, v in surface.passes.engine.model.named_parameters()}
        surface.passes.show(weights)
        changed = {
            name
            for name, value in surface.passes.engine.model.named_parameters()
            if not torch.equal(value, moved[name])
        }
        assert changed == set(surface.tensors["layer 0"])
    gradient = found.gradient.reshape(6, 4, 3).sum(1)
    np.testing.assert_allclose(gradient, model.gradient, rtol=1e-3, atol=1e-3)
    curvature = found.curvature.reshape(6, 4, 3, 4, 3).sum((1, 3))
    np.testing.assert_allclose(curvature, model.curvature, rtol=1e-3, atol=2e-3)


def test_products_one_by_one_are_those_in_one_go(trained, products, monkeypatch):
    _, together = products
    monkeypatch.setattr(backward, "TOGETHER_TOKENS", 0)
    with surface_of(*trained, most_folds=2) as surface:
        alone = surface.curvature(WEIGHTS)
    np.testing.assert_allclose(alone.curvature, together.curvature, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("holding", "placed"), [("streamed", None), ("stored", {"": "cpu"})])
def test_task_vectors_from_disk_and_staged_models_give_the_same(
    trained, monkeypatch, holding, placed
):
    with surface_of(*trained) as surface:
        expected = surface.curvature(WEIGHTS)
    monkeypatch.setattr(directions, "TOGETHER_BYTES", 0)
    with placed_surface(*trained, holding, placed) as surface:
        found = surface.curvature(WEIGHTS)
        assert not surface.passes.directions.stackable
    assert np.array_equal(found.nll, expected.nll)
    np.testing.assert_allclose(found.curvature, expected.curvature, rtol=1e-3, atol=1e-3)


def test_layers_made_again_and_chunks_of_logits_change_nothing(trained, products, monkeypatch):
    """Never more than a chunk's rows go through the head, and no layer keeps its activations."""
    _, expected = products
    monkeypatch.setitem(head_module.CHUNK_ENTRIES, "cpu", 300 * 7)
    monkeypatch.setattr(backward, "CHECKPOINT_SHARE", 0.0)
    with surface_of(*trained, most_folds=2) as surface:
        rows = []
        model = surface.passes.engine.model
        model.lm_head.register_forward_hook(lambda m, args, out: rows.append(len(args[0])))
        passes = []
        model.model.layers[0].self_attn.register_forward_hook(lambda *_: passes.append(1))
        _, gradient = surface.gradient(WEIGHTS)
        n_passes = len(passes)
        found = surface.curvature(WEIGHTS)
    assert n_passes == 2 * len(expected.nll), "forward, and again in the pass backward"
    assert max(rows) <= 7
    np.testing.assert_allclose(gradient, expected.gradient, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(found.curvature, expected.curvature, rtol=1e-3, atol=2e-3)


def test_bfloat16_agrees_within_its_rounding(trained, products):
    study, paths = trained
    low = study.model_copy(update={"dtype": "bfloat16"})
    with surface_of(*trained, most_folds=1) as surface:
        exact = surface.curvature(surface.full()).curve()
    with surface_of(low, paths, most_folds=1) as surface:
        found = surface.curvature(surface.full()).curve()
        assert "it was not checked" in " ".join(surface.notes)
        differences = surface.differences()
        notes = " ".join(surface.notes)
    total = exact.spread.sum()
    assert found.spread.sum() == pytest.approx(total, rel=0.1)
    assert differences.spread.sum() == pytest.approx(total, rel=0.5)
    assert "noisy" in notes


# --- the same merges as on disk, what was spent ---


@pytest.mark.parametrize("groups", ["model", "layers"])
def test_merges_are_those_on_disk_to_the_bit(trained, tmp_path, groups):
    study, paths = trained
    base, experts = refs_of(study, paths, "large")
    weights = dict(zip(EXPERTS, WEIGHTS.tolist(), strict=True))
    method = {"label": "w", "method": "task_arithmetic"}
    method["parameters"] = {"weight": weights, "normalize": False, "scale": 1.0}
    recipe = MergeRecipe.model_validate({"base": base, "experts": experts, "method": method})
    merge_checkpoints(recipe, tmp_path / "merged")
    stored = dict(load_model(tmp_path / "merged", torch.float32).named_parameters())
    with surface_of(study, paths, groups=groups) as surface:
        surface.losses(np.tile(WEIGHTS, len(surface.groups)))
        for name, value in surface.passes.engine.model.named_parameters():
            assert torch.equal(value, stored[name])


def test_losses_of_the_full_merge_are_the_sweeps(trained):
    with surface_of(*trained) as surface:
        engine = surface.passes.engine
        nll = surface.item_losses(surface.full())
        ours = engine.live.weights.clone()
        engine.merge(EXPERTS)
        engine.live.show()
        scores = engine.score(surface.passes.folded.text, "the merge")
    torch.testing.assert_close(ours, engine.live.weights, rtol=0, atol=2e-7)
    np.testing.assert_allclose(nll, np.concatenate([s.item_nll_sum for s in scores]), rtol=1e-5)


def test_what_is_spent_is_counted(trained):
    with surface_of(*trained) as surface:
        spent = surface.spent
        surface.losses(WEIGHTS)
        surface.losses(WEIGHTS)  # kept
        assert (spent.n_losses, spent.forwards) == (1, 1.0)
        surface.gradient(WEIGHTS)
        assert (spent.n_gradients, spent.forwards) == (1, 4.0)
        surface.curvature(WEIGHTS)
        assert (spent.n_gradients, spent.n_products) == (2, 3)
        assert spent.forwards > 4.0
        before = spent.forwards
        surface.route = "gauss_newton"
        surface.curvature(WEIGHTS)
        assert spent.forwards - before == pytest.approx(4)
        before = spent.n_losses
        surface.pairs(WEIGHTS)
        assert spent.n_losses - before == 2 * 3 + 3, "the loss at the merge was kept"
        assert spent.seconds > 0


# --- what cannot be done ---


class Once(torch.autograd.Function):
    """The identity, whose backward pass cannot be differentiated; torch 2.13 raises nothing."""

    @staticmethod
    def forward(ctx, x):
        return x * 1.0

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        return gradient * 1.0


class Silent(torch.autograd.Function):
    """A square whose backward pass is not differentiated, and raises nothing."""

    @staticmethod
    def forward(ctx, x):
        ctx.kept = x.detach()
        return x * x

    @staticmethod
    def backward(ctx, gradient):
        return gradient * 2 * ctx.kept


class Never(torch.autograd.Function):
    """The identity, without a backward pass."""

    @staticmethod
    def forward(ctx, x):
        return x * 1.0

    @staticmethod
    def backward(ctx, gradient):
        raise NotImplementedError("no kernel")


class Acting(torch.nn.Module):
    """A function as the model's activation."""

    def __init__(self, function):
        super().__init__()
        self.forward = function


def acting(surface, function):
    for layer in surface.passes.engine.model.model.layers:
        layer.mlp.act_fn = Acting(function)


def fallbacks(surface):
    """Return the notes but that of plain attention: on a processor torch's own is not enough."""
    return [note for note in surface.notes if not note.startswith("taken: ")]


@pytest.mark.parametrize("kind", [Once, Silent])
def test_without_second_derivatives_gradients_are_differenced(trained, kind):
    with surface_of(*trained, most_folds=1) as surface:
        acting(surface, torch.square if kind is Silent else torch.clone)
        expected = surface.curvature(WEIGHTS)
        assert fallbacks(surface) == []
    with surface_of(*trained, most_folds=1) as surface:
        acting(surface, kind.apply)
        found = surface.curvature(WEIGHTS)
        assert "cannot be differentiated twice" in fallbacks(surface)[0]
        assert surface.spent.n_gradients >= 7
    np.testing.assert_allclose(
        found.curvature, expected.curvature, atol=0.01 * np.abs(expected.curvature).max()
    )


def test_without_derivatives_losses_are_differenced(trained):
    with surface_of(*trained, most_folds=1) as surface:
        exact = surface.curvature(WEIGHTS)
    with surface_of(*trained, most_folds=1, step=0.06) as surface:
        acting(surface, lambda x: Never.apply(torch.nn.functional.silu(x)))
        found = surface.curvature(WEIGHTS)
        assert "no kernel" in surface.notes[0]
        assert "pairs" in surface.notes[0]
        with pytest.raises(CheckpointError, match="only go forward"):
            surface.gradient(WEIGHTS)
        assert surface.differences().third is None
    largest = np.abs(exact.curvature).max()
    np.testing.assert_allclose(found.curvature, exact.curvature, atol=0.05 * largest)


@pytest.mark.parametrize("label", ["ties"])
def test_methods_that_are_not_linear_are_refused_with_the_reason(trained, label):
    match = "what an expert adds depends on the other experts"
    with pytest.raises(ConfigError, match=match), surface_of(*trained, method=label):
        pass


def test_a_loss_that_is_not_finite_names_its_domain(own_copy):
    study, paths = own_copy
    edit_weights(paths.trained("large", "code"), "model.norm.weight", lambda t: t * 1e38)
    with surface_of(study, paths) as surface:
        for ask in (surface.losses, surface.curvature, surface.pairs):
            with pytest.raises(CheckpointError, match=r"not finite on domain 'algebra'"):
                ask(1000 * WEIGHTS)


def test_a_derivative_that_is_not_finite_names_direction_and_domain(trained):
    class Broken(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1.0

        @staticmethod
        def backward(ctx, gradient):
            return gradient * float("nan")

    with surface_of(*trained) as surface:
        acting(surface, lambda x: Broken.apply(x))
        match = "not finite on domain 'algebra' along model/algebra"
        asks = [
            lambda: surface.gradient(WEIGHTS),
            lambda: surface.curvature(WEIGHTS),
            surface.differences,  # its third derivatives are not given up for that
        ]
        for ask in asks:
            with pytest.raises(CheckpointError, match=match):
                ask()
        vars(surface._routes)["_attention"] = None  # nor are differences of losses taken instead
        with pytest.raises(CheckpointError, match=match):
            surface.curvature(WEIGHTS)
        assert fallbacks(surface) == []


def test_without_memory_for_a_gradient_differences_go_on_without_third_derivatives(
    trained, monkeypatch
):
    def full(*_):
        raise MemoryError

    with surface_of(*trained, route="gauss_newton") as surface:
        exact = surface.differences()
    with surface_of(*trained, route="gauss_newton") as surface:
        monkeypatch.setattr(backward.Backward, "_first", full)
        surface.curvature(surface.full())
        assert surface.notes == []
        found = surface.differences()
        assert found.third is None
        (note,) = surface.notes
        assert "memory runs out on the gradient of one item" in note
        assert "take the route" not in note, "he has taken it"
        with pytest.raises(DataError, match="take the route gauss_newton"):
            surface.gradient(WEIGHTS)
    assert exact.third is not None
    assert np.array_equal(found.spread, exact.spread)


def test_another_attention_is_taken_and_told(trained, products):
    """Eager attention whose last step has no second derivative, as fused kernels have none."""

    def fused(*args, **kwargs):
        output, weights = eager_attention_forward(*args, **kwargs)
        return Once.apply(output), weights

    AttentionInterface.register("fused", fused)
    AttentionMaskInterface.register("fused", eager_mask)
    _, expected = products
    with surface_of(*trained, most_folds=2) as surface:
        surface.passes.engine.model.set_attn_implementation("fused")
        found = surface.curvature(WEIGHTS)
        (note,) = surface.notes
        assert "transformers' plain attention (eager)" in note
        surface.notes.clear()  # as the stage does between methods
        surface.curvature(surface.full())
        assert surface.notes == [note]
    np.testing.assert_allclose(found.curvature, expected.curvature, rtol=1e-3, atol=2e-3)


def test_differences_of_groups_of_layers_are_refused(trained):
    with (
        surface_of(*trained, groups="layers") as surface,
        pytest.raises(ConfigError, match="one weight per expert"),
    ):
        surface.differences()


# --- the same text in other folds ---


def test_few_folds_and_many_are_one_text_and_share_what_was_measured(trained):
    with surface_of(*trained) as surface:
        few = surface.refolded(FoldedText.of_route(surface.passes.folded.text, "hvp"))
        assert few.folds.domains == EXPERTS, "fewer tokens than a pass backward is worth"
        many, member = surface.folds, surface.folds.membership
        assert len(many.domains) > 3
        exact = few.curvature(surface.full())
        spent = surface.spent.n_gradients
        found = surface.differences()
        assert surface.spent.n_gradients == spent, "the gradient of the domains was taken"
        np.testing.assert_allclose(member @ surface.losses(surface.full()), exact.nll)
        np.testing.assert_allclose(member @ found.slope, exact.curve().slope, rtol=1e-9)
        surface.route = "gauss_newton"
        gradient = surface.curvature(surface.full()).gradient
        np.testing.assert_allclose(member @ gradient, exact.gradient, rtol=1e-9)
        _, own = surface.gradient(surface.full())
        np.testing.assert_allclose(gradient, own, atol=0.02 * np.abs(own).max())
        assert few.notes is not surface.notes
        few.losses(surface.full(0.5))  # shown by one: the other shows its own again
        before = surface.losses(surface.full(0.9))
        assert np.array_equal(before, surface.passes.folded.sums(few.item_losses(few.full(0.9))))


@pytest.mark.parametrize(
    ("most", "least", "wanted"), [(8, 1, None), (2, 1, 2), (8, 10**6, 1), (8, 0.4, None)]
)
def test_folds_hold_the_tokens_asked_for(trained, most, least, wanted):
    study, paths = trained
    text = text_of(study, paths)
    lengths = [sum(len(item.input_ids) for item in shard.items) for shard in text.shards]
    if least < 1:  # a share of the shortest domain
        least = int(least * min(lengths))
    folded = FoldedText.of(text, most, least)
    for shard, length in zip(text.shards, lengths, strict=True):
        count = folded.folds.domains.count(shard.domain)
        assert count == wanted or wanted is None
        assert count == min(most, len(shard.items), max(1, length // least))
    assert folded.folds.n_items.sum() == text.n_items
