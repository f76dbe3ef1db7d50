"""Low-rank adapters: what is trained, and what is saved."""

import pytest
import torch
from transformers import AutoModelForCausalLM

from mergelaw.config.models import Lora
from mergelaw.errors import TrainingError
from mergelaw.experts.adapters import add_adapters, merged
from tests.experts.making import small_model


def adapted(lora, seed=0):
    """Return a model with adapters whose second factor is not zero, as after a training."""
    model = small_model()
    torch.manual_seed(seed)
    add_adapters(model, lora)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".lora_B." in name:
                parameter.normal_(std=0.1)
    return model


@pytest.mark.parametrize(
    "lora", [Lora(rank=2, alpha=6.0), Lora(rank=3, targets=["q_proj"])], ids=str
)
def test_merged_weights_do_what_the_adapted_model_does(lora):
    model = adapted(lora)
    plain = small_model()
    names = {name for name, _ in plain.named_parameters()}
    own = {name: tensor for name, tensor in model.named_parameters()}
    weights = merged(own, lora)
    assert weights.keys() == names
    changed = {n for n, p in plain.named_parameters() if not torch.equal(p, weights[n])}
    parts = lora.targets or ("q_proj", "k_proj", "v_proj", "o_proj", "up", "down", "gate")
    assert changed
    assert all(any(part in name for part in parts) for name in changed)
    ids = torch.arange(20)[None]
    plain.load_state_dict(weights, strict=False)
    torch.testing.assert_close(plain(ids).logits, model(ids).logits, rtol=1e-4, atol=1e-5)


def test_only_adapters_are_trained_and_a_new_one_changes_nothing():
    model, plain = small_model(), small_model()
    add_adapters(model, Lora(rank=2))
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert trained
    assert all(".lora_" in name for name in trained)
    ids = torch.arange(20)[None]
    assert torch.equal(model(ids).logits, plain(ids).logits)


def test_targets_that_the_model_lacks_are_refused_in_words():
    with pytest.raises(TrainingError, match=r"training.expert.lora.targets = \['qkv'\]"):
        add_adapters(small_model(), Lora(rank=2, targets=["qkv"]))


def test_an_expert_with_adapters_is_saved_whole(own_copy):
    from mergelaw.experts import stage

    study, paths = own_copy
    lora = Lora(rank=2, alpha=4.0)
    settings = study.training.expert.model_copy(update={"lora": lora, "learning_rate": 0.1})
    training = study.training.model_copy(update={"expert": settings})
    stage.train_expert(study.model_copy(update={"training": training}), paths, "small", "code")
    folder = paths.trained("small", "code")
    expert, info = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert not (folder / "adapter_config.json").exists()
    base = AutoModelForCausalLM.from_pretrained(paths.trained("small", "base"))
    ranks = {}
    for (name, one), (_, other) in zip(
        expert.named_parameters(), base.named_parameters(), strict=True
    ):
        if not torch.equal(one, other):
            ranks[name] = int(torch.linalg.matrix_rank((one - other).double(), rtol=1e-4))
    assert ranks
    assert set(ranks.values()) == {2}
    assert not any("embed" in name or "norm" in name for name in ranks)
