"""What fits: the figures that vLLM's own reckoning gives, and the rules by which caches are spread over GPUs."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hanok.gpu import GIB, Anatomy, Fit, Split
from hanok.gpu.memory import needs_expert_parallel, obstacles, sequence_bytes

Fitted = Callable[..., Fit]
Model = Callable[[str], Anatomy]


@pytest.mark.parametrize(
    ("gpu", "tensor", "thousand_tokens"),
    [("a10g", 8, 21), ("a100-40gb", 4, 15), ("l40s", 4, 74), ("h200", 2, 421), ("h100", 4, 513)],
)
def test_llama_70b_leaves_the_known_room_for_tokens(
    gpu: str, tensor: int, thousand_tokens: int, fitted: Fitted
) -> None:
    """At 95 % of the memory, as reckoned by hand from vLLM's source and measured overheads."""
    room = fitted("Llama-3.1-70B", gpu, tensor=tensor, utilization=0.95)
    assert room.kv_tokens / 1000 == pytest.approx(thousand_tokens, rel=0.03)


def test_llama_8b_fits_24_gb_with_some_cache(fitted: Fitted) -> None:
    room = fitted("Llama-3.1-8B", "a10g")
    assert room.kv_tokens == pytest.approx(28_000, rel=0.03)
    assert room.concurrency == 3


def test_llama_70b_does_not_fit_four_gpus_of_24_gb(fitted: Fitted) -> None:
    room = fitted("Llama-3.1-70B", "a10g", tensor=4)
    assert room.kv < 0
    assert (room.concurrency, room.kv_tokens) == (0, 0)


def test_deepseek_v3_needs_eight_h200_or_two_machines_of_h100(fitted: Fitted) -> None:
    assert fitted("deepseek-ai/DeepSeek-V3", "h100", tensor=8).kv < 0
    assert fitted("deepseek-ai/DeepSeek-V3", "h200", tensor=8).concurrency > 50
    assert fitted("deepseek-ai/DeepSeek-V3", "h100", tensor=8, pipeline=2).concurrency > 50


def test_gpt_oss_120b_fits_one_h100(fitted: Fitted) -> None:
    assert fitted("openai/gpt-oss-120b", "h100").concurrency > 20


def test_llama_405b_in_16_bits_does_not_fit_eight_h100(fitted: Fitted) -> None:
    room = fitted("Llama-3.1-405B", "h100", tensor=8)
    assert room.weights * 8 / GIB == pytest.approx(756, rel=0.01)
    assert room.kv < 0


def test_an_fp8_cache_holds_twice_the_tokens(fitted: Fitted) -> None:
    half = fitted("Llama-3.1-8B", "l4", kv_bytes=1).kv_tokens
    assert half == pytest.approx(2 * fitted("Llama-3.1-8B", "l4").kv_tokens, abs=2)


def test_a_sliding_window_stops_growing(model: Model) -> None:
    anatomy, split = model("gpt-oss-20b"), Split()
    grows = sequence_bytes(anatomy, split, 20_000, 2) - sequence_bytes(anatomy, split, 10_000, 2)
    assert grows == 10_000 * 12 * 8 * 128 * 2  # of 24 layers, 12 remember everything


def test_a_latent_cache_is_not_shared_among_gpus(model: Model) -> None:
    anatomy = model("deepseek-ai/DeepSeek-V3")
    assert sequence_bytes(anatomy, Split(tensor=8), 1000, 2) == sequence_bytes(anatomy, Split(), 1000, 2)


def test_more_gpus_than_key_value_heads_keep_copies(model: Model) -> None:
    anatomy = model("Qwen/Qwen3-30B-A3B")  # four key-value heads
    four, eight = (sequence_bytes(anatomy, Split(tensor=count), 1000, 2) for count in (4, 8))
    assert four == eight == sequence_bytes(anatomy, Split(), 1000, 2) / 4


def test_stages_share_layers_and_their_cache(model: Model, fitted: Fitted) -> None:
    anatomy = model("Llama-3.1-70B")
    assert sequence_bytes(anatomy, Split(pipeline=2), 1000, 2) == sequence_bytes(anatomy, Split(), 1000, 2) / 2
    assert fitted("Llama-3.1-70B", "h100", pipeline=2).weights < 0.52 * fitted("Llama-3.1-70B", "h100").weights


def test_what_does_not_divide_is_told(model: Model) -> None:
    assert obstacles(model("meta-llama/Llama-4-Scout-17B-16E-Instruct"), Split(tensor=16)) == [
        "40 attention heads do not divide among 16 GPUs"
    ]
    assert obstacles(model("Llama-3.1-70B"), Split(tensor=8)) == []


def test_experts_whose_blocks_would_be_cut_stay_whole(model: Model) -> None:
    anatomy = model("Qwen/Qwen3-235B-A22B-FP8")  # experts are 1536 wide, and 128 share a scale
    assert needs_expert_parallel(anatomy, Split(tensor=8))
    assert not needs_expert_parallel(anatomy, Split(tensor=4))
