"""What samples of vLLM say of its load, and how fast it works between two looks. Pure.

Engines of one model in one place (data parallel ones, told apart by the label `engine`) are added up.

Metrics: vLLM 0.32, https://docs.vllm.ai/en/latest/usage/metrics/. `gpu_cache_usage_perc` is what
`kv_cache_usage_perc` was called before 0.10; both are shares, not percents.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from hanok.gpu.monitor.readings import Load, Pod
from hanok.gpu.monitor.samples import Sample

RATE_LABEL = "hanok_rate"
"""The label by which our query of Prometheus tells rates: the value is a name of a field of `Load`."""
SUMS = {
    "vllm:num_requests_running": "running",
    "vllm:num_requests_waiting": "waiting",
    "vllm:prompt_tokens_total": "prompt_tokens",
    "vllm:generation_tokens_total": "output_tokens",
}
SHARES = {"vllm:kv_cache_usage_perc": "cache_used", "vllm:gpu_cache_usage_perc": "cache_used"}
NAMES = frozenset(SUMS | SHARES)
_RATES = ("prompt_rate", "output_rate")
_MOST = 1e18


def read_loads(samples: Iterable[Sample], *, source: str, host: str, local: bool = False) -> list[Load]:
    """The load of each model in each place. `host` is the place where no label tells a pod."""
    found: dict[tuple[str, str, str], dict[str, Any]] = {}
    for sample in samples:
        rate = sample.labels.get(RATE_LABEL, "")
        field = rate if rate in _RATES else SUMS.get(sample.name) or SHARES.get(sample.name)
        if field is None or not 0 <= sample.value < _MOST:
            continue
        pod = _pod(sample.labels)
        model = sample.labels.get("model_name", "")
        place = pod.name if pod else sample.labels.get("instance") or host
        figures = found.setdefault((model, pod.namespace if pod else "", place), {"pod": pod})
        figures[field] = _joined(field, figures.get(field), sample.value)
    return [
        Load(source=source, model=model, place=place, local=local, **figures)
        for (model, _, place), figures in found.items()
    ]


def paced(now: Iterable[Load], before: Iterable[Load], *, seconds: float) -> tuple[Load, ...]:
    """The loads with their rates, as told by what was counted since the look before. A counter that fell began anew."""
    known = {(each.model, each.place): each for each in before}
    return tuple(_paced(each, known.get((each.model, each.place)), seconds) for each in now)


def _pod(labels: Mapping[str, str]) -> Pod | None:
    before = "exported_" if labels.get("exported_pod") else ""
    name = labels.get(f"{before}pod", "")
    return Pod(namespace=labels.get(f"{before}namespace", ""), name=name) if name else None


def _joined(field: str, value: float | None, more: float) -> float:
    if value is None:
        return more
    return max(value, more) if field == "cache_used" else value + more


def _paced(now: Load, before: Load | None, seconds: float) -> Load:
    if before is None or seconds <= 0:
        return now
    return replace(
        now,
        prompt_rate=_rate(now.prompt_tokens, before.prompt_tokens, seconds)
        if now.prompt_rate is None
        else now.prompt_rate,
        output_rate=_rate(now.output_tokens, before.output_tokens, seconds)
        if now.output_rate is None
        else now.output_rate,
    )


def _rate(now: float | None, before: float | None, seconds: float) -> float | None:
    return (now - before) / seconds if now is not None and before is not None and now >= before else None
