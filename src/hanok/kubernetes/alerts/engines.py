"""Of vLLM: queues, the key-value cache, first tokens, preemptions. Names as vLLM 0.32 has them."""

from __future__ import annotations

from hanok.kubernetes.alerts.alert import Alert, quantile
from hanok.kubernetes.alerts.gateway import SLOW_S
from hanok.kubernetes.plan import ClusterPlan

QUEUE = 10
"""Calls that wait in one engine, on average of its replicas."""
CACHE = 0.95
PREEMPTIONS_S = 0.1


def engine_alerts(plan: ClusterPlan) -> list[Alert]:  # noqa: ARG001 - as its neighbours
    """Of all engines, by the model's name."""
    return [
        Alert(
            name="VllmCallsWait", minutes=10, severity="warning",
            expr=f"avg by (model_name) (vllm:num_requests_waiting) > {QUEUE}",
            summary="{{ $value }} calls wait in each engine of {{ $labels.model_name }}",
            todo="KEDA has not caught up, or the most replicas are reached: see ScaledObjects and pending pods.",
        ),
        Alert(
            name="VllmCacheFull", minutes=10, severity="warning",
            expr=f"max by (model_name, pod) (vllm:kv_cache_usage_perc) > {CACHE}",
            summary="The key-value cache of {{ $labels.pod }} is {{ $value | humanizePercentage }} full",
            todo="Calls will be preempted and begin anew. `hanok plan` says how many calls fit; a shorter "
            "`max-model-len`, kv-cache-dtype fp8 or more replicas give room.",
        ),
        Alert(
            name="VllmPreempts", minutes=10, severity="warning",
            expr=f"sum by (model_name, pod) (rate(vllm:num_preemptions_total[5m])) > {PREEMPTIONS_S}",
            summary="{{ $labels.pod }} breaks off and begins anew {{ $value }} calls a second",
            todo="There is too little room for the calls that run: see VllmCacheFull.",
        ),
        Alert(
            name="VllmFirstTokensSlow", minutes=10, severity="warning",
            expr=f"{quantile(0.99, 'vllm:time_to_first_token_seconds', 'model_name')} > {SLOW_S:g}",
            summary="One first token of {{ $labels.model_name }} in a hundred takes {{ $value | humanizeDuration }}",
            todo="Long prompts, a queue or preemptions: the dashboard Engines shows which.",
        ),
        Alert(
            name="VllmStuck", minutes=10, severity="critical",
            expr="sum by (model_name, pod) (vllm:num_requests_running) > 0 and "
            "sum by (model_name, pod) (rate(vllm:generation_tokens_total[5m])) == 0 and "
            "sum by (model_name, pod) (rate(vllm:prompt_tokens_total[5m])) == 0",
            summary="{{ $labels.pod }} holds calls and makes no token",
            todo="A GPU or the engine hangs. See its log and XID errors, and delete the pod.",
        ),
    ]  # fmt: skip
