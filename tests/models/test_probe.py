"""Heads and their scales and caps; models whose loss would be wrong are refused before scoring."""

from types import SimpleNamespace

import pytest
import torch
import transformers

from mergelaw.errors import CheckpointError
from mergelaw.models import head as head_module
from mergelaw.models.head import Head
from mergelaw.models.loading import load_model
from mergelaw.models.probe import check_scoring
from tests.evaluation.families import SETTINGS, family


@pytest.fixture(params=[torch.float32, torch.bfloat16], ids=str)
def dtype(request):
    return request.param


@pytest.mark.parametrize("kind", SETTINGS)
def test_families_pass_in_both_types(kind, dtype):
    model = family(kind).to(dtype)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    check_scoring(model, kind)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("kind", "table"),
    [
        ("cohere", "MULTIPLIED_BY"),
        ("granite", "DIVIDED_BY"),
        ("gemma2", "CAPPED_AT"),
        ("hyperclovax", "MULTIPLIED_ALL_THE_SAME"),
    ],
)
def test_an_unknown_scale_or_cap_is_found_out(kind, table, monkeypatch, dtype):
    """As if the family were new: nothing of it in the tables."""
    monkeypatch.setattr(head_module, table, ())
    with pytest.raises(
        CheckpointError,
        match=rf"^the merge: models of type '{kind}' cannot be scored: .*their head",
    ):
        check_scoring(family(kind).to(dtype), "the merge")


def test_a_cap_far_above_the_logits_is_found_out(monkeypatch):
    """Logits of a new model are small; those of a merge of experts need not be."""
    model = family("gemma2", initializer_range=0.001, final_logit_softcapping=30.0)
    check_scoring(model, "base")
    monkeypatch.setattr(head_module, "CAPPED_AT", ())
    with pytest.raises(CheckpointError, match="not those of their head"):
        check_scoring(model, "base")


def test_a_scale_in_the_config_that_the_model_ignores_is_found_out():
    model = family("llama")
    model.config.logit_scale = 0.5
    with pytest.raises(CheckpointError, match="'llama' cannot be scored"):
        check_scoring(model, "base")


@pytest.mark.parametrize("kind", ["bert", "bert-generation", "roberta"])
def test_models_that_look_ahead_are_refused(kind, dtype):
    config = transformers.CONFIG_MAPPING[kind](
        vocab_size=300,
        hidden_size=32,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        initializer_range=0.3,
    )
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config).eval().to(dtype)
    with pytest.raises(CheckpointError, match="cannot be scored"):
        check_scoring(model, "base")


def test_a_causal_model_made_to_look_ahead_is_refused(dtype):
    model = family("llama", attn_implementation="eager").to(dtype)
    see_all = torch.zeros(1, 1, 12, 12, dtype=dtype)
    model.model.register_forward_pre_hook(
        lambda _module, _args, given: ((), given | {"attention_mask": see_all}), with_kwargs=True
    )
    with pytest.raises(CheckpointError, match="a token sees what comes after it"):
        check_scoring(model, "base")


def test_a_backbone_that_is_passed_by_is_refused():
    model = family("llama")
    model.model.forward = None
    with pytest.raises(CheckpointError, match="a forward pass of tokens alone fails"):
        check_scoring(model, "base")
    model = family("llama")
    backbone, model.forward = (
        model.model,
        lambda **_: SimpleNamespace(logits=torch.zeros(2, 12, 300)),
    )
    assert backbone is head_module.backbone(model)
    with pytest.raises(CheckpointError, match="goes through their backbone otherwise"):
        check_scoring(model, "base")


def test_the_trial_leaves_no_hook_behind():
    model = family("llama")
    check_scoring(model, "base")
    assert not model.model._forward_hooks


def test_weights_that_are_not_finite_are_left_to_the_loss():
    model = family("llama")
    with torch.no_grad():
        model.model.norm.weight.fill_(float("nan"))
    check_scoring(model, "base")
    ids = torch.arange(4)[None]
    assert model(input_ids=ids).logits.isnan().all(), "nothing was mended"


def test_checkpoints_are_tried_when_they_are_loaded(tmp_path, monkeypatch):
    family("cohere").save_pretrained(tmp_path)
    load_model(tmp_path, torch.float32)
    monkeypatch.setattr(head_module, "MULTIPLIED_BY", ())
    with pytest.raises(CheckpointError, match=f"{tmp_path}: models of type 'cohere'"):
        load_model(tmp_path, torch.float32)


# --- the head alone ---


def head_of(**settings):
    config = SimpleNamespace(model_type=settings.pop("model_type", "x"), **settings)
    config.get_text_config = lambda: config
    model = SimpleNamespace(config=config, get_output_embeddings=lambda: torch.nn.Linear(4, 9))
    return Head.of(model)


@pytest.mark.parametrize(
    ("settings", "scale", "cap"),
    [
        ({}, 1.0, None),
        ({"logit_scale": 0.25}, 0.25, None),
        ({"logits_scaling": 8.0}, 0.125, None),
        ({"logits_scaling": 8.0, "model_type": "hyperclovax"}, 8.0, None),
        ({"lm_head_multiplier": 0.5, "final_logit_softcapping": None}, 0.5, None),
        ({"output_multiplier": 0.5, "final_logit_softcapping": 20.0}, 0.5, 20.0),
        ({"logits_mup_width_multiplier": 4.0}, 0.25, None),
        ({"logits_soft_cap": 30.0}, 1.0, 30.0),
    ],
)
def test_what_a_config_says_of_the_logits(settings, scale, cap):
    head = head_of(**settings)
    assert (head.scale, head.cap) == (scale, cap)


@pytest.mark.parametrize("spread", [1.0, 60.0])
def test_a_head_gives_minus_log_p_to_float32(spread):
    generator = torch.Generator().manual_seed(0)
    embeddings = torch.nn.Linear(16, 5000, bias=False)
    embeddings.weight.data.normal_(generator=generator)
    hidden = torch.randn(40, 16, generator=generator) * spread / 4
    targets = torch.randint(5000, (40,), generator=generator)
    with torch.inference_mode():
        found = Head(embeddings, 0.5, 45.0).nll(hidden, targets)
        raw = embeddings(hidden).double() * 0.5
    exact = -(45.0 * torch.tanh(raw / 45.0)).log_softmax(1)[torch.arange(40), targets]
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), exact, rtol=1e-5, atol=1e-5)


def test_logits_of_one_chunk_at_a_time_and_no_copy_of_them(monkeypatch):
    """Entries alive at once: a chunk, and the model's own type beside it while it is cast."""
    monkeypatch.setitem(head_module.CHUNK_ENTRIES, "cpu", 64 * 1000)
    head = Head(torch.nn.Linear(8, 1000, bias=False).bfloat16())
    hidden, targets = torch.randn(1000, 8).bfloat16(), torch.randint(1000, (1000,))
    with (
        torch.inference_mode(),
        torch.profiler.profile(profile_memory=True, record_shapes=False) as profile,
    ):
        head.nll(hidden, targets)
    held = most = 0
    for event in sorted(profile.profiler.kineto_results.events(), key=lambda e: e.start_ns()):
        if event.name() == "[memory]":
            held += event.nbytes()
            most = max(most, held)
    chunk = 64 * 1000
    assert chunk * 6 <= most <= chunk * 6.5
