"""The cost model: formulas against numbers worked by hand, shapes, devices."""

import pytest

from mergelaw.config.models import Architecture
from mergelaw.costs.devices import DEVICES, device_of
from mergelaw.costs.model import (
    LOGITS_ENTRIES,
    MASK_BYTES,
    compute_seconds,
    devices_needed,
    forward_flops,
    forward_seconds,
    merge_bytes,
    sparsify_seconds,
    training_flops,
    working_bytes,
)
from mergelaw.costs.shapes import (
    ModelShape,
    assumed_shape,
    shape_of_architecture,
    shape_of_config,
)
from mergelaw.errors import ConfigError

SHAPE = ModelShape(n_params=1100, n_params_nonembedding=1000, layers=2, width=10, vocabulary=10)
QWEN_05B = {
    "num_hidden_layers": 24,
    "hidden_size": 896,
    "vocab_size": 151936,
    "tie_word_embeddings": True,
}


def test_flops_of_a_forward_pass_term_by_term():
    # 2 * 1000 * 7 tokens; 4 * 2 * 10 * (3^2 + 4^2); 2 * 10 * 10 * 5 scored
    assert forward_flops(SHAPE, 7, 5, 25.0) == 14_000 + 2_000 + 1_000


def test_the_head_costs_at_scored_positions_only():
    assert forward_flops(SHAPE, 7, 0) == 14_000


def test_flops_equal_those_that_torch_counts():
    torch = pytest.importorskip("torch")
    from torch.utils.flop_counter import FlopCounterMode
    from transformers import Qwen2Config, Qwen2ForCausalLM

    architecture = Architecture(
        hidden_size=16, layers=2, heads=2, kv_heads=1, intermediate_size=24, context=32
    )
    config = Qwen2Config(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
        intermediate_size=24, vocab_size=50, tie_word_embeddings=True, attn_implementation="eager",
    )  # fmt: skip
    shape = shape_of_architecture(architecture, 50)
    model = Qwen2ForCausalLM(config)
    assert shape.n_params == sum(p.numel() for p in model.parameters())
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.zeros(3, 8, dtype=torch.long))
    vectors = 2 * (2 * 16 + 16 + 2 * 8) + 16  # norms and biases are no products
    rotary = 3 * 8 * 2 * 8 / 2  # angles of the rotary encoding, a product per position
    expected = forward_flops(shape, 24, 24, 3 * 8**2) - 2 * 24 * vectors
    assert counter.get_total_flops() == pytest.approx(expected, abs=2 * rotary)


def test_training_is_six_operations_a_parameter_and_token():
    assert training_flops(7_000_000_000, 10**9) == 4.2e19


def test_seconds_from_flops():
    assert compute_seconds(8e12, 1e12, 0.4) == 20


def test_a_merge_of_k_reads_k_plus_one_models_and_writes_one():
    assert merge_bytes(9, 10**9, 2, 2) == 22 * 10**9
    assert merge_bytes(0, 10**9, 4.0, 2) == 6 * 10**9


def test_trimming_and_masking_64_million_entries_take_what_was_measured():
    assert sparsify_seconds(64_000_000, 1, 15e9) == pytest.approx(0.55, rel=0.01)
    assert sparsify_seconds(64_000_000, 1, 15e9, MASK_BYTES) == pytest.approx(0.10, rel=0.05)


def test_a_gpu_launches_while_it_computes_and_a_cpu_does_not():
    gpu, cpu = DEVICES["H100"], DEVICES["cpu"]
    flops = 0.4 * 989.4e12  # a second
    assert forward_seconds(SHAPE, flops, 10, gpu, "bfloat16", 0.4) == pytest.approx(1)
    assert forward_seconds(SHAPE, flops, 10**4, gpu, "bfloat16", 0.4) == pytest.approx(10)
    flops = 0.4 * 170e9
    assert forward_seconds(SHAPE, flops, 10, cpu, "float32", 0.4) == pytest.approx(1.03)


def test_a_pass_cannot_be_faster_than_reading_the_weights():
    large = ModelShape(335 * 10**8, 335 * 10**8, 1, 10, 10)
    assert forward_seconds(large, 1.0, 1000, DEVICES["H100"], "bfloat16", 0.4) == 20


def test_no_more_logits_than_one_chunk_whatever_the_batch():
    large = ModelShape(10**9, 10**9, 10, 1000, 152_064)
    few, many = (working_bytes(large, n, "bfloat16") for n in (4096, 8192))
    assert many - few == 20 * 4096 * 1000 * 2
    assert many == 20 * 8192 * 1000 * 2 + 8 * 2**26
    assert working_bytes(large, 1, "float32") == 20 * 1000 * 4 + 8 * 152_064


def test_the_chunk_of_logits_is_the_evaluation_s():
    logits = pytest.importorskip("mergelaw.models.head")
    assert max(*logits.CHUNK_ENTRIES.values(), logits.OTHER_DEVICES) <= LOGITS_ENTRIES


def test_devices_that_hold_a_model():
    a100 = DEVICES["A100"]  # 0.9 * (80 - 0.5) = 71.55 GB
    assert devices_needed(71_050_000_000, 500_000_000, a100) == 1
    assert devices_needed(71_050_000_001, 500_000_000, a100) == 2
    assert devices_needed(145_412_407_296, 2_000_000_000, a100) == 3
    assert devices_needed(1, 72_000_000_000, a100) is None
    assert devices_needed(10**15, 10**15, DEVICES["cpu"]) == 1


def test_the_shape_in_a_checkpoint_s_config():
    shape = shape_of_config(494_032_768, QWEN_05B)
    assert (shape.layers, shape.width, shape.vocabulary) == (24, 896, 151936)
    assert shape.n_params_nonembedding == 357_898_112  # published: 0.36B
    assert shape.head_params == 136_134_656
    assert not shape.assumed


def test_an_untied_head_is_neither_embedding_nor_passed_by_every_token():
    config = {"num_hidden_layers": 28, "hidden_size": 3584, "vocab_size": 152064}
    shape = shape_of_config(7_615_616_512, {"text_config": config})
    assert shape.n_params_nonembedding == 6_525_621_760  # published: 6.53B


def test_without_a_shape_every_parameter_counts_once_and_the_head_not_again():
    shape = shape_of_config(7_615_616_512, {})
    assert shape == assumed_shape(7_615_616_512)
    assert shape.assumed
    assert forward_flops(shape, 100, 100) == 2 * 7_615_616_512 * 100
    assert 0.5 < shape.layers / 28 < 2
    assert 0.5 < shape.width / 3584 < 2


def test_devices_are_found_in_any_case_and_an_unknown_one_is_told_the_list():
    assert device_of("h100") is DEVICES["H100"]
    with pytest.raises(ConfigError, match="--device tpu: is unknown; must be one of cpu, H100"):
        device_of("tpu")


@pytest.mark.parametrize(
    ("recorded", "name"),
    [
        ("NVIDIA H100 80GB HBM3", "H100"),
        ("NVIDIA H200, NVIDIA H200", "H200"),
        ("NVIDIA A100-SXM4-80GB", "A100"),
        ("NVIDIA GeForce RTX 4090", "RTX4090"),
        ("cpu", "cpu"),
    ],
)
def test_a_job_s_record_names_one_device(recorded, name):
    assert [device.name for device in DEVICES.values() if device.is_named(recorded)] == [name]


def test_every_device_says_where_its_figures_are_from():
    for device in DEVICES.values():
        assert device.source
        assert device.peak_flops.keys() == {"float32", "bfloat16"}
        assert device.is_gpu == (device.link_bandwidth is not None)
