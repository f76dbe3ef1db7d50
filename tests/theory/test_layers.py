"""Groups of layers: named from the parameters, joined beyond a number, complete."""

from mergelaw.theory.layers import groups_of


def names(n_layers):
    layers = [f"model.layers.{i}.mlp.up_proj.weight" for i in range(n_layers)]
    return sorted([*layers, "model.embed_tokens.weight", "model.norm.weight", "lm_head.weight"])


def test_one_group_for_the_model():
    found = groups_of(names(3), "model")
    assert found.names == ("model",)
    assert set(found.of_tensor) == {0}


def test_layers_are_in_the_order_of_the_forward_pass():
    tensors = names(11)
    found = groups_of(tensors, "layers")
    assert found.names == ("embeddings", *(f"layer {i}" for i in range(11)), "rest")
    group = dict(zip(tensors, found.of_tensor, strict=True))
    assert found.names[group["model.layers.10.mlp.up_proj.weight"]] == "layer 10"
    assert found.names[group["lm_head.weight"]] == "rest"


def test_adjacent_layers_are_joined_beyond_the_most():
    tensors = names(10)
    found = groups_of(tensors, "layers", most_layers=4)
    assert found.names == (
        "embeddings",
        "layers 0 to 2",
        "layers 3 to 4",
        "layers 5 to 7",
        "layers 8 to 9",
        "rest",
    )
    group = dict(zip(tensors, found.of_tensor, strict=True))
    for index in range(10):
        label = found.names[group[f"model.layers.{index}.mlp.up_proj.weight"]]
        first, last = map(int, label.removeprefix("layers ").split(" to "))
        assert first <= index <= last


def test_names_of_other_families_are_known():
    tensors = ["transformer.h.0.attn.weight", "transformer.wpe.weight", "transformer.wte.weight"]
    found = groups_of(tensors, "layers")
    assert [found.names[g] for g in found.of_tensor] == ["layer 0", "embeddings", "embeddings"]
