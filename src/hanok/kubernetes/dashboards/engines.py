"""vLLM's engines, by model: queues, key-value cache, first tokens, tokens, preemptions. Names as of vLLM 0.32."""

from __future__ import annotations

from hanok.kubernetes.alerts.engines import CACHE, QUEUE
from hanok.kubernetes.alerts.gateway import SLOW_S
from hanok.kubernetes.dashboards.panel import RED, YELLOW, Board, Panel, Row
from hanok.kubernetes.dashboards.queries import lines, per_second, quantiles, share, total

_PICK = 'model_name=~"$model"'
_BY = "model_name"


def engine_board() -> Board:
    return Board(
        name="engines", title="Engines",
        variables={"model": "label_values(vllm:num_requests_running, model_name)"},
        rows=[_load(), _latency(), _work()],
    )  # fmt: skip


def _load() -> Row:
    return Row(title="Load", panels=[
        Panel(title="Running", queries=lines(total("vllm:num_requests_running", "pod", _PICK), "pod")),
        Panel(title="Waiting", thresholds=((QUEUE, YELLOW),),
              queries=lines(total("vllm:num_requests_waiting", "pod", _PICK), "pod")),
        Panel(title="Key-value cache in use", unit="percentunit", most=1, thresholds=((CACHE, RED),),
              queries=lines(total("vllm:kv_cache_usage_perc", "pod", _PICK, "max"), "pod")),
        Panel(title="Preemptions", unit="ops", about="Calls that were broken off for want of room, and began anew.",
              queries=lines(per_second("vllm:num_preemptions_total", "pod", _PICK), "pod")),
        Panel(title="Prompt tokens found in the cache", unit="percentunit", most=1, queries=lines(share(
            per_second("vllm:prefix_cache_hits_total", _BY, _PICK),
            per_second("vllm:prefix_cache_queries_total", _BY, _PICK)), _BY)),
        Panel(title="Replicas that tell of themselves",
              queries=lines(f"count by ({_BY}) (vllm:num_requests_running{{{_PICK}}})", _BY)),
    ])  # fmt: skip


def _latency() -> Row:
    return Row(title="How soon", panels=[
        Panel(title="First token", unit="s", thresholds=((SLOW_S, RED),),
              queries=quantiles("vllm:time_to_first_token_seconds", _BY, _PICK)),
        Panel(title="Between tokens", unit="s", queries=quantiles("vllm:inter_token_latency_seconds", _BY, _PICK)),
        Panel(title="Whole answer", unit="s", queries=quantiles("vllm:e2e_request_latency_seconds", _BY, _PICK)),
        Panel(title="In the queue", unit="s", queries=quantiles("vllm:request_queue_time_seconds", _BY, _PICK)),
        Panel(title="Prompt", unit="s", about="Prefill.",
              queries=quantiles("vllm:request_prefill_time_seconds", _BY, _PICK)),
        Panel(title="Answer", unit="s", about="Decode.",
              queries=quantiles("vllm:request_decode_time_seconds", _BY, _PICK)),
    ])  # fmt: skip


def _work() -> Row:
    return Row(title="Work", panels=[
        Panel(title="Prompt tokens a second", queries=lines(per_second("vllm:prompt_tokens_total", _BY, _PICK), _BY)),
        Panel(title="Tokens made a second", queries=lines(per_second("vllm:generation_tokens_total", _BY, _PICK), _BY)),
        Panel(title="Calls that ended", unit="reqps", stacked=True, queries=lines(
            per_second("vllm:request_success_total", "finished_reason", _PICK), "finished_reason")),
        Panel(title="Length of prompts", queries=quantiles("vllm:request_prompt_tokens", _BY, _PICK)),
        Panel(title="Length of answers", queries=quantiles("vllm:request_generation_tokens", _BY, _PICK)),
        Panel(title="Tokens in one pass", about="How full batches are.",
              queries=quantiles("vllm:iteration_tokens_total", _BY, _PICK)),
    ])  # fmt: skip
