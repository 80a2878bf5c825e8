"""The gateway: calls, first tokens, tokens, errors, money, budgets, caches, queues, endpoints."""

from __future__ import annotations

from hanok.kubernetes.alerts.gateway import FAILING, SEGMENTS, SLOW_S
from hanok.kubernetes.dashboards.panel import RED, YELLOW, Board, Panel, Query, Row, figure
from hanok.kubernetes.dashboards.queries import grown, lines, per_second, quantiles, share, total

_MODEL = 'model=~"$model"'


def gateway_board() -> Board:
    return Board(
        name="gateway", title="Gateway", variables={"model": "label_values(hanok_requests_total, model)"},
        rows=[_now(), _calls(), _money(), _limits(), _endpoints(), _house()],
    )  # fmt: skip


def _now() -> Row:
    failed = f'sum(rate(hanok_requests_total{{{_MODEL}, status="failed"}}[5m]))'
    calls = f"sum(rate(hanok_requests_total{{{_MODEL}}}[5m]))"
    slow = f"histogram_quantile(0.99, sum by (le) (rate(hanok_time_to_first_token_seconds_bucket{{{_MODEL}}}[5m])))"
    return Row(title="Now", panels=[
        figure("Calls a second", calls, "reqps"),
        figure("Failing", share(failed, calls), "percentunit", ((FAILING, RED),)),
        figure("First token, p99", slow, "s", ((SLOW_S, RED),)),
        figure("Running", "sum(hanok_in_flight_requests)"),
        figure("Waiting for a slot", f"sum(hanok_waiting_requests{{{_MODEL}}})", thresholds=((10, YELLOW),)),
        figure("Spent in the time shown", f"sum(increase(hanok_cost_usd_total{{{_MODEL}}}[$__range]))", "currencyUSD"),
    ])  # fmt: skip


def _calls() -> Row:
    failed = per_second("hanok_requests_total", "model", f'{_MODEL}, status="failed"')
    whole = per_second("hanok_requests_total", "model", _MODEL)
    return Row(title="Calls", panels=[
        Panel(title="Calls", unit="reqps", stacked=True, queries=lines(whole, "model")),
        Panel(title="How they end", unit="reqps", stacked=True,
              queries=lines(per_second("hanok_requests_total", "status", _MODEL), "status")),
        Panel(title="Failing", unit="percentunit", thresholds=((FAILING, RED),),
              queries=lines(share(failed, whole), "model")),
        Panel(title="First token", unit="s", thresholds=((SLOW_S, RED),),
              queries=quantiles("hanok_time_to_first_token_seconds", "model", _MODEL)),
        Panel(title="Whole answer", unit="s", queries=quantiles("hanok_request_duration_seconds", "model", _MODEL)),
        Panel(title="Tokens", unit="short", about="A second.", stacked=True,
              queries=lines(per_second("hanok_tokens_total", "model, direction", _MODEL), "model, direction")),
    ])  # fmt: skip


def _money() -> Row:
    tokens = per_second("hanok_tokens_total", "model", _MODEL)
    return Row(title="Money", panels=[
        Panel(title="Spent an hour", unit="currencyUSD", stacked=True,
              queries=lines(f"{per_second('hanok_cost_usd_total', 'model', _MODEL)} * 3600", "model")),
        Panel(title="A million tokens", unit="currencyUSD", about="Spent by tokens, prompts and answers together.",
              queries=lines(share(f"1e6 * {per_second('hanok_cost_usd_total', 'model', _MODEL)}", tokens), "model")),
        Panel(title="Saved in the time shown", unit="currencyUSD", kind="bargauge",
              about="What calls would have cost more without kept answers and tiers.",
              queries=lines(grown("hanok_saved_usd_total", "model", _MODEL), "model")),
        Panel(title="Answers from the cache", unit="percentunit", most=1, queries=lines(share(
            per_second("hanok_cache_lookups_total", "model", f'{_MODEL}, result=~"hit|semantic"'),
            per_second("hanok_cache_lookups_total", "model", _MODEL)), "model")),
        Panel(title="Kept answers", unit="bytes", queries=lines(total("hanok_cache_bytes", "model", _MODEL), "model")),
        Panel(title="Tiers", unit="reqps", stacked=True,
              queries=lines(per_second("hanok_tier_requests_total", "asked, tier"), "asked, tier")),
    ])  # fmt: skip


def _limits() -> Row:
    return Row(title="Budgets, limits, queues", panels=[
        Panel(title="Turned away", unit="reqps", stacked=True, about="By a budget, a rate limit, or a full queue.",
              queries=lines(per_second("hanok_limited_total", "reason"), "reason")),
        Panel(title="Cut at the end of a budget", unit="reqps",
              queries=lines(per_second("hanok_requests_total", "model", f'{_MODEL}, status="cut"'), "model")),
        Panel(title="Waiting for a slot", queries=lines(total("hanok_waiting_requests", "model", _MODEL), "model")),
        Panel(title="HTTP errors", unit="reqps", stacked=True,
              queries=lines(per_second("hanok_http_refused_total", "status"), "status")),
        Panel(title="Lines of batches in hand", queries=lines(total("hanok_batch_lines", "state"), "state")),
        Panel(title="Lines of batches that ended", unit="ops", stacked=True,
              queries=lines(per_second("hanok_batch_lines_ended_total", "result"), "result")),
    ])  # fmt: skip


def _endpoints() -> Row:
    by = "endpoint"
    return Row(title="Endpoints", panels=[
        Panel(title="Up", most=1, kind="bargauge", queries=lines(total("hanok_endpoint_up", by, _MODEL, "max"), by)),
        Panel(title="Running", queries=lines(total("hanok_endpoint_in_flight", by, _MODEL), by)),
        Panel(title="Waiting in the engine",
              queries=lines(total("hanok_endpoint_engine_waiting", by, _MODEL, "max"), by)),
        Panel(title="Key-value cache in use", unit="percentunit", most=1,
              queries=lines(total("hanok_endpoint_cache_usage", by, _MODEL, "max"), by)),
        Panel(title="Prompt tokens found in its cache", unit="percentunit", most=1,
              queries=lines(total("hanok_endpoint_cache_hit_rate", by, _MODEL, "max"), by)),
        Panel(title="Left alone after failures", most=1,
              queries=lines(total("hanok_endpoint_circuit_open", by, _MODEL, "max"), by)),
    ])  # fmt: skip


def _house() -> Row:
    return Row(title="The house", panels=[
        Panel(title="Segments that wait for the ledger's database", thresholds=((SEGMENTS, RED),),
              queries=[Query(expr="max(hanok_ledger_waiting_segments)", legend="segments")]),
        Panel(title="Spans", unit="ops", queries=[
            *lines(per_second("hanok_spans_exported_total", "receiver"), "receiver"),
            Query(expr=per_second("hanok_spans_dropped_total", "receiver"), legend="{{receiver}} dropped"),
            Query(expr=per_second("hanok_spans_failed_total", "receiver"), legend="{{receiver}} refused"),
        ]),
        Panel(title="Started again", kind="bargauge", about="Embedded engines, in the time shown.",
              queries=lines(grown("hanok_engine_restarts_total", "endpoint"), "endpoint")),
    ])  # fmt: skip
