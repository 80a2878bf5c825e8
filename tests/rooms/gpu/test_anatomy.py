"""What a model is made of: against what model cards publish, and what is refused."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest

from hanok.errors import PlanError
from hanok.gpu import Anatomy, load_models, read_anatomy

PUBLISHED = {name: entry for name, entry in load_models().items() if "published_b" in entry}
DENSE = {
    "architectures": ["LlamaForCausalLM"], "num_hidden_layers": 2, "hidden_size": 64, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": 100, "intermediate_size": 128, "max_position_embeddings": 512,
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_those_that_the_model_card_says_within_one_and_a_half_per_cent(
    name: str, model: Callable[[str], Anatomy]
) -> None:
    assert model(name).parameters / 1e9 == pytest.approx(PUBLISHED[name]["published_b"], rel=0.015)


@pytest.mark.parametrize("name", PUBLISHED)
def test_active_parameters_are_those_of_the_model_card_within_a_tenth(
    name: str, model: Callable[[str], Anatomy]
) -> None:
    """Cards count the embedding, which is looked up and not multiplied with, and round to whole thousand millions."""
    found = model(name)
    with_embedding = (found.active + found.parts["embedding"]) / 1e9
    published = PUBLISHED[name]["published_active_b"]
    assert min(abs(found.active / 1e9 - published), abs(with_embedding - published)) <= 0.1 * published


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Llama-3.1-8B", 131_072),
        ("Llama-3.1-70B", 327_680),
        ("Qwen/Qwen3-32B", 262_144),
        ("deepseek-ai/DeepSeek-V3", 70_272),  # 61 layers of one latent head of 512 + 64 values
        ("openai/gpt-oss-120b", 73_728),
        ("Qwen/Qwen3.5-27B", 65_536),  # 16 of 64 layers have attention
        ("nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16", 6_144),  # 6 of 52
    ],
)
def test_a_token_takes_the_known_bytes_of_cache(name: str, expected: int, model: Callable[[str], Anatomy]) -> None:
    assert sum(each.layers * each.heads * each.values * 2 for each in model(name).memories) == expected


@pytest.mark.parametrize(
    ("name", "gigabytes"),
    [
        ("Llama-3.1-70B", 141.1),
        ("openai/gpt-oss-120b", 65.2),
        ("openai/gpt-oss-20b", 13.8),
        ("Qwen/Qwen3-32B-FP8", 34.3),
        ("mistralai/Mixtral-8x7B-v0.1", 93.4),
    ],
)
def test_weights_take_what_the_checkpoint_takes_on_disk(
    name: str, gigabytes: float, model: Callable[[str], Anatomy]
) -> None:
    found = model(name)
    size = sum(count * found.packing.bytes_of(part) for part, count in found.parts.items())
    assert size / 1e9 == pytest.approx(gigabytes, rel=0.01)


def test_gpt_oss_slides_in_half_of_its_layers(model: Callable[[str], Anatomy]) -> None:
    assert [(each.layers, each.window) for each in model("gpt-oss-120b").memories] == [(18, None), (18, 128)]


def test_hybrid_models_keep_a_state_besides(model: Callable[[str], Anatomy]) -> None:
    assert model("Qwen/Qwen3.5-27B").state_bytes == 48 * (48 * 128 * 128 * 4 + (2 * 16 * 128 + 48 * 128) * 3 * 2)
    assert model("Llama-3.1-8B").state_bytes == 0


@pytest.mark.parametrize(
    ("quantization", "form", "left"),
    [
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, "fp8", set()),
        ({"quant_method": "awq", "bits": 4, "group_size": 128}, "int4", set()),
        ({"quant_method": "gptq", "bits": 8}, "int8", set()),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4", "ignore": ["*.self_attn*"]}, "nvfp4", {"attention"}),
        (
            {
                "quant_method": "compressed-tensors",
                "config_groups": {"group_0": {"weights": {"num_bits": 4, "type": "int", "group_size": 32}}},
                "ignore": ["re:.*self_attn.*", "re:.*shared_experts.*"],
            },
            "int4",
            {"attention", "shared"},
        ),
    ],
)  # fmt: skip
def test_quantization_is_read_as_it_is_written(quantization: dict[str, Any], form: str, left: set[str]) -> None:
    packing = read_anatomy("m", {**DENSE, "quantization_config": quantization}).packing
    assert (packing.format, {"attention", "mlp", "shared", "experts"} - packing.parts) == (form, left)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"architectures": None}, "no `architectures`"),
        ({"num_hidden_layers": None}, "no `num_hidden_layers`"),
        ({"num_hidden_layers": "many"}, "not a whole number"),
        ({"num_hidden_layers": True}, "not a whole number"),
        ({"num_attention_heads": 0}, "0 layers"),
        ({"is_encoder_decoder": True}, "encoder with a decoder"),
        ({"mamba_d_state": 16}, "not modelled (`mamba_d_state`"),
        ({"quantization_config": {"quant_method": "bitsandbytes"}}, "(bitsandbytes) is not modelled"),
        ({"quantization_config": {"quant_method": "gptq", "bits": 3}}, "(gptq) is not modelled"),
    ],
)
def test_what_cannot_be_told_is_refused_with_a_reason(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(PlanError) as refused:
        read_anatomy("m", {**DENSE, **changed})
    assert said in refused.value.message


@pytest.mark.parametrize("name", ["openai/gpt-oss-20b", "nvidia/Llama-3_3-Nemotron-Super-49B-v1", "zai-org/GLM-5.2"])
@pytest.mark.parametrize("strange", [None, -1, 0, 1, 10**12, 1.5, "x", True, [], ["x"], [None], {}, {"x": 10**12}])
def test_a_strange_config_is_refused_or_counted_but_nothing_breaks(name: str, strange: object) -> None:
    config = load_models()[name]["config"]
    keys = [*config, "text_config", "vision_config", "quantization_config", "layer_types", "moe_layer_freq"]
    for key in keys:
        with contextlib.suppress(PlanError):
            found = read_anatomy("m", {**config, key: strange})
            assert all(count >= 0 for count in found.parts.values()), key


def test_a_known_model_that_is_not_modelled_says_why(model: Callable[[str], Anatomy]) -> None:
    with pytest.raises(PlanError, match="DeepseekV4ForCausalLM remembers is not modelled"):
        model("deepseek-ai/DeepSeek-V4-Flash")


def test_models_are_found_in_any_case_and_without_their_owner(model: Callable[[str], Anatomy]) -> None:
    assert model("llama-3.3-70b-instruct").name == "meta-llama/Llama-3.3-70B-Instruct"


def test_a_model_that_nobody_knows_is_told_with_the_nearest(model: Callable[[str], Anatomy]) -> None:
    with pytest.raises(PlanError) as unknown:
        model("Qwen/Qwen3-33B")
    assert "Qwen/Qwen3-32B" in (unknown.value.hint or "")
