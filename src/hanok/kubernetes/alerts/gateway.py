"""Of Hanok's own door: whether it answers, how soon, and whether money is counted."""

from __future__ import annotations

from hanok.kubernetes.alerts.alert import Alert, quantile, ratio
from hanok.kubernetes.plan import ClusterPlan

FAILING = 0.05
"""Share of calls that may fail."""
SLOWER = "HanokSlowerThanDeclared"
SLOW_S = 5.0
"""First tokens that come later than this, one of a hundred, are slow."""
SEGMENTS = 5
"""Of the journal, that the ledger's database has not taken: a few are usual."""


def gateway_alerts(plan: ClusterPlan) -> list[Alert]:
    """Calls, endpoints, the ledger."""
    calls = "sum by (model) (rate(hanok_requests_total{}[5m]))"
    failed = calls.replace("{}", '{status="failed"}')
    return [
        Alert(
            name="HanokDown", minutes=3, severity="critical",
            expr="absent(hanok_in_flight_requests)",
            summary="No gateway answers",
            todo="Look at the pods of namespace hanok and at what their logs end with.",
        ),
        Alert(
            name="HanokModelDown", minutes=2, severity="critical",
            expr="max by (model) (hanok_endpoint_up) == 0",
            summary="No endpoint of {{ $labels.model }} is up",
            todo="Look at its engines: whether their pods run, and what their readiness says.",
        ),
        Alert(
            name="HanokEndpointDown", minutes=10, severity="warning",
            expr="max by (model, endpoint) (hanok_endpoint_up) == 0",
            summary="{{ $labels.endpoint }} is down",
            todo="Others of {{ $labels.model }} may still answer. Look at this engine's pod.",
        ),
        Alert(
            name="HanokCircuitOpen", minutes=10, severity="warning",
            expr="max by (model, endpoint) (hanok_endpoint_circuit_open) == 1",
            summary="{{ $labels.endpoint }} is left alone after failures",
            todo="It answers its checks and fails calls. Its log says why.",
        ),
        Alert(
            name="HanokCallsFail", minutes=10, severity="warning",
            expr=f'{ratio(failed, calls.replace("{}", ""))} > {FAILING}',
            summary="{{ $value | humanizePercentage }} of calls to {{ $labels.model }} fail",
            todo="The dashboard Gateway shows since when; the gateway's log says with which code.",
        ),
        Alert(
            name="HanokFirstTokensSlow", minutes=10, severity="warning",
            expr=f"{quantile(0.99, 'hanok_time_to_first_token_seconds', 'model')} > {SLOW_S:g}",
            summary="One first token of {{ $labels.model }} in a hundred takes {{ $value | humanizeDuration }}",
            todo="Look whether calls wait in its engines (dashboard Engines) or for a slot (Gateway).",
        ),
        *_slower_than_declared(plan),
        Alert(
            name="HanokCallsWait", minutes=10, severity="warning",
            expr="sum by (model) (hanok_waiting_requests) > 10",
            summary="{{ $value }} calls wait for a slot of {{ $labels.model }}",
            todo="It has fewer replicas than it needs, or its `scale.max` is reached.",
        ),
        Alert(
            name="HanokQueueFull", minutes=5, severity="warning",
            expr='sum by (reason) (increase(hanok_limited_total{reason=~"queue_full|queue_timeout"}[10m])) > 0',
            summary="Calls are turned away: {{ $labels.reason }}",
            todo="More calls come than engines take. Give the model more replicas, or callers lower limits.",
        ),
        Alert(
            name="HanokLedgerBehind", minutes=10, severity="critical",
            expr=f"max(hanok_ledger_waiting_segments) > {SEGMENTS}",
            summary="{{ $value }} segments of the journal wait for the ledger's database",
            todo="Charges are on the gateways' disks and not in PostgreSQL. See whether it is up and takes writes.",
        ),
        Alert(
            name="HanokEnginesRestart", minutes=0, severity="warning",
            expr="increase(hanok_engine_restarts_total[30m]) > 3",
            summary="An embedded engine of {{ $labels.endpoint }} has ended {{ $value }} times in half an hour",
            todo="Its log is in the gateway's state folder; too little memory is the usual reason.",
        ),
        Alert(
            name="HanokReloadRefused", minutes=0, severity="warning",
            expr='increase(hanok_reloads_total{result="refused"}[15m]) > 0',
            summary="A change of platform.yaml was refused",
            todo="The gateway runs by the old one. Its log names the line.",
        ),
    ]  # fmt: skip


def _slower_than_declared(plan: ClusterPlan) -> list[Alert]:
    """Models that say how soon their first token must come: the mean of ten minutes is later."""
    found: list[Alert] = []
    for model in plan.platform.models:
        limit = model.deploy.latency.ttft_s if model.deploy else None
        if limit is not None:
            sums = [
                f'sum by (model) (rate(hanok_time_to_first_token_seconds_{end}{{model="{model.name}"}}[10m]))'
                for end in ("sum", "count")
            ]
            expr = f"{ratio(*sums)} > {limit:g}"
            summary = "First tokens of {{ $labels.model }} take {{ $value | humanizeDuration }} on average"
            todo = f"`deploy.latency.ttft_s` says {limit:g} s. `hanok plan` shows what would be faster."
            found.append(Alert(name=SLOWER, expr=expr, minutes=15, severity="warning", summary=summary, todo=todo))
    return found


def span_alerts(plan: ClusterPlan) -> list[Alert]:
    """Spans that do not arrive."""
    if not plan.platform.telemetry.export and not plan.cluster.observe.langfuse and not plan.cluster.observe.mlflow:
        return []
    lost, refused = "hanok_spans_dropped_total", "hanok_spans_failed_total"
    return [
        Alert(
            name="HanokSpansLost", minutes=0, severity="info",
            expr=f"sum by (receiver) (increase({lost}[15m])) > 0 or sum by (receiver) (increase({refused}[15m])) > 0",
            summary="Spans are lost on their way to {{ $labels.receiver }}",
            todo="Calls are not harmed. Look whether the receiver is up, and whether it takes our key.",
        )
    ]  # fmt: skip


def budget_alerts() -> list[Alert]:
    """Money that has run out."""
    return [
        Alert(
            name="HanokBudgetSpent", minutes=0, severity="warning",
            expr='sum(increase(hanok_limited_total{reason="budget_exceeded"}[15m])) > 0',
            summary="Calls are turned away because a budget is spent",
            todo="`hanok budgets` shows which. Raise it, or wait for its window to end.",
        ),
        Alert(
            name="HanokAnswersCut", minutes=0, severity="info",
            expr='sum by (model) (increase(hanok_requests_total{status="cut"}[15m])) > 0',
            summary="Answers of {{ $labels.model }} were cut at the end of a budget",
            todo="`hanok budgets` shows which is near its end.",
        ),
        Alert(
            name="HanokRateLimited", minutes=15, severity="info",
            expr='sum(rate(hanok_limited_total{reason="rate_limit_exceeded"}[15m])) > 1',
            summary="More than one call a second meets a rate limit",
            todo="A caller asks faster than declared; its key is in the gateway's log.",
        ),
    ]  # fmt: skip
