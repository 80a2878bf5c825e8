"""Which machines serve a model: what everybody knows, what is cheapest, and why the others cannot."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hanok.errors import PlanError
from hanok.gpu import Option, Plan

Planned = Callable[..., Plan]


def option(plan: Plan, instance: str) -> Option:
    return next(each for each in plan.options if each.instance == instance)


def reasons(plan: Plan, instance: str, profile: str | None = None) -> list[str]:
    found = next(each for each in plan.misses if each.instance == instance and each.machine.profile == profile)
    return list(found.way.reasons)


def test_llama_8b_runs_on_a_g5_xlarge(planned: Planned) -> None:
    found = option(planned("Llama-3.1-8B", concurrency=2), "g5.xlarge")
    assert (found.count, found.split.gpus, found.cost and found.cost.hour) == (1, 1, 1.006)


def test_llama_70b_in_16_bits_needs_many_gpus_and_little_room_is_left_on_l40s(planned: Planned) -> None:
    plan = planned("Llama-3.1-70B", concurrency=4, gpu=["g6e.*", "p4d.*", "p5.*"])
    assert option(plan, "g6e.12xlarge").split.tensor == 4
    assert option(plan, "g6e.12xlarge").fit.kv_tokens < 80_000
    assert option(plan, "p4d.24xlarge").split.tensor == 8
    assert option(plan, "p5.48xlarge").split.tensor >= 2
    assert reasons(plan, "p5.4xlarge") == ["weights 131.4 GiB + engine 2.2 GiB > 73.6 GiB usable"]


def test_deepseek_v3_takes_one_machine_of_h200_or_two_of_h100(planned: Planned) -> None:
    plan = planned("deepseek-ai/DeepSeek-V3", gpu=["p5.48xlarge", "p5en.48xlarge"])
    two, one = option(plan, "p5.48xlarge"), option(plan, "p5en.48xlarge")
    assert (one.count, one.split.tensor, one.split.pipeline) == (1, 8, 1)
    assert (two.count, two.split.tensor, two.split.pipeline) == (2, 8, 2)


def test_gpt_oss_120b_runs_on_one_h100(planned: Planned) -> None:
    found = option(planned("openai/gpt-oss-120b"), "p5.4xlarge")
    assert (found.count, found.split.gpus, found.tight) == (1, 1, False)


def test_the_cheapest_comes_first(planned: Planned) -> None:
    prices = [each.cost.hour for each in planned("Qwen/Qwen3-32B").options if each.cost]
    assert prices == sorted(prices)
    assert len(prices) > 5


def test_a_machine_without_a_price_is_told_and_comes_last(planned: Planned) -> None:
    options = planned("deepseek-ai/DeepSeek-V3").options
    assert [each.instance for each in options if each.cost is None] == [options[-1].instance] == ["p5e.48xlarge"]


def test_more_calls_than_one_replica_holds_take_more_replicas(planned: Planned) -> None:
    found = option(planned("Llama-3.1-8B", concurrency=10), "g5.xlarge")  # three calls fit on each
    assert (found.replicas, found.count) == (4, 4)
    together = option(planned("Llama-3.1-8B", concurrency=10, gpu=["g5.12xlarge"]), "g5.12xlarge")
    assert together.count == 1
    assert together.fit.concurrency * together.replicas >= 10


def test_a_load_beyond_one_replica_takes_more(planned: Planned) -> None:
    wishes = {"concurrency": 1, "gpu": ["g6e.xlarge"]}
    few = planned("Llama-3.1-8B", load={"requests_per_s": 1}, **wishes).options[0]
    many = planned("Llama-3.1-8B", load={"requests_per_s": 40}, **wishes).options[0]
    assert few.replicas == 1 < many.replicas
    assert many.full.requests_per_s * many.replicas >= 40
    assert few.cost and many.cost and many.cost.million_load < few.cost.million_load


def test_what_is_too_slow_even_alone_falls_out_and_a_quicker_split_is_found(planned: Planned) -> None:
    plan = planned("Llama-3.1-8B", latency={"tpot_ms": 20}, concurrency=1, gpu=["g6.xlarge", "g6.12xlarge", "h100"])
    assert "64.1 ms a token > 20 ms, even alone" in reasons(plan, "g6.xlarge")
    assert option(plan, "g6.12xlarge").split.tensor == 4
    assert all(each.load.tpot_s <= 0.02 for each in plan.options)


def test_every_reason_is_told_not_only_the_first(planned: Planned) -> None:
    plan = planned("Qwen/Qwen3-32B", quantization="nvfp4", latency={"tpot_ms": 5}, gpu=["g4dn.xlarge"])
    told = "; ".join(reasons(plan, "g4dn.xlarge"))
    for each in ("weights 19.2 GiB", "capability 8", "ms a token > 5 ms"):
        assert each in told, told


def test_slices_serve_small_models_and_never_together(planned: Planned) -> None:
    plan = planned("Llama-3.1-8B", concurrency=1, context_tokens=4096)
    names = {(each.machine.accelerator, each.machine.profile) for each in plan.slices}
    assert ("a100-80gb", "3g.40gb") in names
    assert all(each.split.gpus == 1 for each in plan.slices)
    cheapest = plan.slices[0]
    assert cheapest.cost and cheapest.host.usd_hour
    assert cheapest.cost.hour == pytest.approx(cheapest.host.usd_hour / cheapest.machine.gpus * cheapest.count)
    big = planned("Llama-3.1-70B", gpu=["p4de.24xlarge"])
    assert "slices cannot work together" in reasons(big, "p4de.24xlarge", "3g.40gb")


def test_a_small_slice_leaves_little_for_the_cache_of_8b(planned: Planned) -> None:
    plan = planned("Llama-3.1-8B", concurrency=1, context_tokens=4096, gpu=["p4de.24xlarge"])
    found = next(each for each in plan.slices if each.machine.profile == "2g.20gb")
    assert found.fit.kv_tokens == pytest.approx(6_700, rel=0.03)
    assert found.tight


def test_no_slices_where_none_are_wanted(planned: Planned) -> None:
    assert planned("Llama-3.1-8B", mig=False).slices == []


def test_other_makers_accelerators_say_why_they_are_not_planned(planned: Planned) -> None:
    assert "not modelled" in reasons(planned("Llama-3.1-8B"), "inf2.xlarge")[0]
    assert "7.5" in reasons(planned("Llama-3.1-8B"), "p3dn.24xlarge")[0]


def test_a_turing_gpu_is_told_to_use_float16(planned: Planned) -> None:
    plan = planned("Qwen/Qwen3-0.6B", gpu=["g4dn.xlarge"])
    assert "--dtype float16" in plan.options[0].flags
    assert planned("Qwen/Qwen3-0.6B", gpu=["g4dn.xlarge"], dtype="bfloat16").options == []


def test_flags_say_what_the_plan_supposes(planned: Planned) -> None:
    wishes = {"context_tokens": 32768, "kv_dtype": "fp8", "memory_utilization": 0.9, "gpu": ["p5.48xlarge"]}
    flags = planned("Qwen/Qwen3-235B-A22B-FP8", **wishes).options[0].flags
    assert "--max-model-len 32768" in flags
    assert "--kv-cache-dtype fp8" in flags
    assert "--gpu-memory-utilization 0.9" in flags


def test_an_api_of_the_same_class_stands_beside(planned: Planned) -> None:
    assert (found := planned("Qwen/Qwen3-32B").api) and found.model == "Qwen3 32B"
    assert planned("Qwen/Qwen3-0.6B").api is None


def test_a_context_longer_than_the_models_is_refused(planned: Planned) -> None:
    with pytest.raises(PlanError, match="40960 tokens at most; wanted are 99999"):
        planned("Qwen/Qwen3-8B", context_tokens=99999)


def test_a_gpu_that_nobody_knows_is_refused(planned: Planned) -> None:
    with pytest.raises(PlanError, match="no GPU or instance type is called 'h1000'"):
        planned("Qwen/Qwen3-8B", gpu=["h1000"])


def test_usual_calls_shrink_to_a_short_context(planned: Planned) -> None:
    assert planned("Qwen/Qwen3-8B", context_tokens=500).wanted.shape.total == 500


def test_any_wish_gives_a_plan_or_reasons(planned: Planned) -> None:
    """Every built-in model at odd wishes: no machine is lost, and who falls out says why."""
    for name in (
        "Qwen/Qwen3.5-397B-A17B",
        "moonshotai/Kimi-K2-Instruct",
        "google/gemma-4-26B-A4B",
        "MiniMaxAI/MiniMax-M3",
    ):
        for wishes in ({"context_tokens": 1, "concurrency": 100_000}, {"context_tokens": 65536, "kv_dtype": "fp8"}):
            plan = planned(name, **wishes)
            assert all(miss.way.reasons for miss in plan.misses)
            for each in [*plan.options, *plan.slices]:
                assert each.fit.concurrency * each.replicas >= plan.wanted.deploy.concurrency
                assert 0 < each.load.tpot_s < 100


def test_where_nothing_fits_single_changes_that_help_are_told(planned: Planned) -> None:
    plan = planned("Qwen/Qwen3-32B", gpu=["g6e.xlarge"], context_tokens=4096)
    assert not plan.fits
    told = {words: option.instance for words, option in plan.remedies}
    assert told["weights in fp8"] == told["weights in 4 bits (awq)"] == "g6e.xlarge"
    assert "other machines than `gpu` names" in told
    assert "an fp8 KV cache" not in told
    assert planned("Qwen/Qwen3-32B").remedies == []


def test_sparse_attention_runs_on_hopper_and_blackwell_of_data_centres_only(planned: Planned) -> None:
    plan = planned("deepseek-ai/DeepSeek-V3.2")
    assert {each.machine.accelerator for each in plan.options} <= {"h100", "h200", "b200", "b300"}
    assert any("sparse attention" in reason for reason in reasons(plan, "g7e.48xlarge"))
