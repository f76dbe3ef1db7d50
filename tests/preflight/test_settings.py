"""config.json: one function in two spellings is one; other functions of the weights are doubts."""

import pytest

from mergelaw.preflight.findings import Findings
from mergelaw.preflight.settings import check_settings, quantisation, settings, tied

LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "original_max_position_embeddings": 8192}
QWEN = {"model_type": "qwen2", "use_sliding_window": False}

SAME = {
    "rotary settings of two versions": (
        {"rope_theta": 10000.0, "rope_scaling": None},
        {"rope_parameters": {"rope_theta": 10000, "rope_type": "default"}},
    ),
    "a scaled rotary encoding": (
        {"rope_theta": 5e5, "rope_scaling": LLAMA3},
        {"rope_parameters": LLAMA3 | {"rope_theta": 5e5}},
    ),
    "an older word for a type": (
        {"rope_scaling": {"type": "su", "short_factor": [1.0]}},
        {"rope_parameters": {"rope_type": "longrope", "short_factor": [1.0]}},
    ),
    "sections of a rotary encoding": (
        {"rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 24]}},
        {"rope_parameters": {"rope_type": "default", "mrope_section": [16, 24, 24]}},
    ),
    "partial rotary encoding": (
        {"rotary_pct": 0.25},
        {"rope_parameters": {"partial_rotary_factor": 0.25, "rope_type": "default"}},
    ),
    "older names of a rotary encoding": (
        {"rotary_emb_base": 10000, "rotary_pct": 0.25},
        {"rope_theta": 10000.0, "partial_rotary_factor": 0.25},
    ),
    "a part of which the older version is silent": (
        {"vision_config": {"depth": 32}},
        {"vision_config": {"depth": 32, "rope_parameters": {"rope_type": "axial"}}},
    ),
    "a window that is switched off": (
        QWEN | {"sliding_window": 131072, "max_window_layers": 28},
        QWEN | {"sliding_window": None, "layer_types": ["full_attention"]},
    ),
    "what only one of the two states": ({"head_dim": None}, {"head_dim": 64, "rms_norm_eps": 1e-6}),
    "what has nothing to do with the function": (
        {"torch_dtype": "bfloat16", "transformers_version": "4.40", "use_cache": True},
        {"torch_dtype": "float32", "transformers_version": "5.0", "use_cache": False},
    ),
    "letter case of an old class": (
        {"architectures": ["LLaMAForCausalLM"]},
        {"architectures": ["LlamaForCausalLM"]},
    ),
}


def judged(base, expert, lineage="strict") -> Findings:
    findings = Findings(lineage)
    check_settings(findings, "code", base, expert)
    return findings


@pytest.mark.parametrize(("one", "other"), SAME.values(), ids=SAME)
def test_one_function_in_two_spellings(one, other):
    for base, expert in ((one, other), (other, one)):
        found = judged(base, expert)
        assert (found.problems, found.notes) == ([], [])


OTHER = {
    "rope_theta": ({"rope_theta": 1e4}, {"rope_parameters": {"rope_theta": 1e6}}),
    "rope_theta ": ({"rotary_emb_base": 10000}, {"rope_parameters": {"rope_theta": 1e6}}),
    "rope_type": ({"rope_theta": 5e5}, {"rope_theta": 5e5, "rope_scaling": LLAMA3}),
    "rope_type ": ({}, {"rope_scaling": {"type": "linear", "factor": 8.0}}),
    "rope.factor": (
        {"rope_scaling": LLAMA3},
        {"rope_scaling": LLAMA3 | {"factor": 32.0}},
    ),
    "rope.full_attention.rope_theta": (
        {"rope_parameters": {"full_attention": {"rope_theta": 1e6}}},
        {"rope_parameters": {"full_attention": {"rope_theta": 1e5}}},
    ),
    "rope.max_position_embeddings": (
        {"rope_scaling": {"type": "dynamic"}, "max_position_embeddings": 4096},
        {"rope_scaling": {"type": "dynamic"}, "max_position_embeddings": 8192},
    ),
    "hidden_act": ({"hidden_act": "silu"}, {"hidden_act": "gelu"}),
    "num_attention_heads": ({"num_attention_heads": 8}, {"num_attention_heads": 16}),
    "sliding_window": ({"sliding_window": 4096}, {"sliding_window": None}),
    "text_config.rope.factor": (
        {"text_config": {"rope_scaling": LLAMA3}},
        {"text_config": {"rope_scaling": LLAMA3 | {"factor": 32.0}}},
    ),
    "text_config.rope_type": ({"text_config": {}}, {"text_config": {"rope_scaling": LLAMA3}}),
    "text_config.rms_norm_eps": (
        {"text_config": {"rms_norm_eps": 1e-6}},
        {"text_config": {"rms_norm_eps": 1e-5}},
    ),
    "num_experts_per_tok": ({"num_experts_per_tok": 2}, {"num_experts_per_tok": 4}),
}


@pytest.mark.parametrize(("key", "pair"), OTHER.items(), ids=OTHER)
def test_another_function_is_a_doubt(key, pair):
    strict, report = judged(*pair), judged(*pair, "report")
    assert len(strict.problems) == 1
    assert (
        "expert 'code': by config.json its weights are those of another function"
        in (strict.problems[0])
    )
    assert f"{key.strip()} = " in strict.problems[0]
    assert strict.problems[0].endswith("; if that is meant, use lineage: report")
    assert report.problems == []
    assert len(report.notes) == 1


def test_other_differences_are_noted_in_one_line():
    found = judged(
        {"max_position_embeddings": 4096, "eos_token_id": 2},
        {"max_position_embeddings": 8192, "eos_token_id": [2, 7]},
    )
    assert found.problems == []
    assert found.notes == [
        "expert 'code': config.json differs from the base's, whose values the merged model gets: "
        "eos_token_id = [2, 7] (base: 2), max_position_embeddings = 8192 (base: 4096)"
    ]


@pytest.mark.parametrize("lineage", ["strict", "report"])
def test_two_architectures_are_refused_in_any_case(lineage):
    found = judged({"model_type": "llama"}, {"model_type": "mistral"}, lineage)
    assert found.problems == [
        "expert 'code': config.json has model_type = mistral, the base's llama: "
        "only models of one architecture can be merged"
    ]
    both = {"model_type": "m", "architectures": ["M"], "hidden_act": "relu"}
    other = {"model_type": "n", "architectures": ["N"], "hidden_act": "silu"}
    assert len(judged(both, other).problems) == 1
    assert judged({"architectures": ["A"]}, {"architectures": ["B"]}).problems
    assert not judged({"architectures": None}, {"architectures": ["B"]}).problems


def test_tying_is_read_where_it_is_stated():
    assert tied({"tie_word_embeddings": True}) is True
    assert tied({"text_config": {"tie_word_embeddings": False}}) is False
    assert tied({}) is None
    assert tied(None) is None


def test_quantisation_is_named():
    assert quantisation({"quantization_config": {"quant_method": "gptq"}}) == "gptq"
    assert quantisation({"text_config": {"quantization_config": {"bits": 4}}}) == (
        "quantization_config"
    )
    assert quantisation({"quantization_config": None}) is None


@pytest.mark.parametrize("config", [{}, {"rope_scaling": 3}, {"rope_parameters": []}])
def test_odd_configs_are_read(config):
    assert settings(config) == {"rope.rope_type": "default"}
