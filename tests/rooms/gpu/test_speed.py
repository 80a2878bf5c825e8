"""How fast: figures that are common knowledge, within the error that is told, and how they move."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from hanok.gpu import Anatomy, Catalog, Shape, Split
from hanok.gpu.speed import Device, Roofline
from hanok.gpu.weights import packing_named

CALL = Shape(prompt=1000, output=250)
Line = Callable[..., Roofline]


@pytest.fixture
def line(catalog: Catalog, model: Callable[[str], Anatomy]) -> Line:
    """The roofline of a model on a GPU."""

    def line(name: str, gpu: str, tensor: int = 1, quantization: str | None = None, pipeline: int = 1) -> Roofline:
        accelerator, anatomy = catalog.accelerators[gpu], model(name)
        anatomy = replace(anatomy, packing=packing_named(quantization)) if quantization else anatomy
        assert accelerator.memory_mib is not None
        device = Device.of(accelerator, memory_mib=accelerator.memory_mib)
        return Roofline(anatomy=anatomy, device=device, split=Split(tensor=tensor, pipeline=pipeline), kv_bytes=2)

    return line


@pytest.mark.parametrize(
    ("name", "gpu", "tensor", "low", "high"),
    [
        ("Llama-3.1-8B", "h100", 1, 100, 190),
        ("Llama-3.1-8B", "a10g", 1, 25, 38),
        ("Llama-3.1-8B", "l4", 1, 12, 19),
        ("Llama-3.1-70B", "h100", 4, 45, 75),
        ("Llama-3.1-70B", "l40s", 4, 12, 24),
        ("openai/gpt-oss-120b", "h100", 1, 120, 280),
        ("deepseek-ai/DeepSeek-V3", "h200", 8, 50, 140),
    ],
)
def test_one_call_alone_gets_the_usual_tokens_a_second(
    name: str, gpu: str, tensor: int, low: float, high: float, line: Line
) -> None:
    assert low < 1 / line(name, gpu, tensor).rate(CALL, 1).tpot_s < high


def test_more_calls_give_more_tokens_in_all_and_fewer_to_each(line: Line) -> None:
    rates = [line("Llama-3.1-8B", "h100").rate(CALL, batch) for batch in (1, 4, 16, 64, 256)]
    assert [rate.requests_per_s for rate in rates] == sorted(rate.requests_per_s for rate in rates)
    assert [rate.tpot_s for rate in rates] == sorted(rate.tpot_s for rate in rates)
    assert [rate.ttft_s for rate in rates] == sorted(rate.ttft_s for rate in rates)


def test_two_gpus_are_quicker_than_one_but_not_twice(line: Line) -> None:
    one, two = (line("Llama-3.1-8B", "h100", count).step_s(1, 1000) for count in (1, 2))
    assert one / 2 < two < one


def test_gpus_on_pcie_lose_more_than_those_on_nvlink(line: Line) -> None:
    pcie, nvlink = (line("Llama-3.1-70B", gpu, 4).exchange_s(64) for gpu in ("l40s", "a100-80gb"))
    assert pcie > nvlink


def test_fp8_is_quicker_at_prompts_only_where_the_gpu_multiplies_it(line: Line) -> None:
    def gain(gpu: str) -> float:
        full, small = (line("Llama-3.1-8B", gpu, 1, form).rate(CALL, 1) for form in ("none", "fp8"))
        return small.prefill_tokens_s / full.prefill_tokens_s

    assert gain("h100") > 1.5
    assert gain("a100-80gb") == pytest.approx(1.0, abs=0.05)


def test_a_few_calls_touch_few_experts(line: Line) -> None:
    qwen = line("Qwen/Qwen3-30B-A3B", "h100")
    assert qwen.weights_read(1) < 0.15 * qwen.weights_read(1000)


def test_stages_double_what_goes_through_and_not_what_one_call_waits(line: Line) -> None:
    one, two = line("Llama-3.1-70B", "h100", 8), line("Llama-3.1-70B", "h100", 8, None, 2)
    assert two.step_s(1, 1000) == pytest.approx(one.step_s(1, 1000), rel=0.15)
    assert two.rate(CALL, 1).prefill_tokens_s == pytest.approx(2 * one.rate(CALL, 1).prefill_tokens_s, rel=0.15)
