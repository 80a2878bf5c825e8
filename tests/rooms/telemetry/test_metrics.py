"""Metrics from finished calls, and of the export of spans, as Prometheus reads them."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from hanok.telemetry import Counts, Metrics
from tests.rooms.telemetry.given import charge


def samples(metrics: Metrics) -> dict[tuple[str, ...], float]:
    """Every sample, by its name and the values of its labels."""
    families = text_string_to_metric_families(metrics.render().decode())
    return {(each.name, *each.labels.values()): each.value for family in families for each in family.samples}


def test_calls_are_counted_as_they_end() -> None:
    metrics = Metrics()
    metrics.record(charge())
    metrics.record(charge(status="failed", completion_tokens=0, first_token_ms=0.0))
    seen = samples(metrics)
    assert seen["hanok_requests_total", "smart", "ok"] == 1
    assert seen["hanok_requests_total", "smart", "failed"] == 1
    assert seen["hanok_requests_total", "smart", "cancelled"] == 0
    assert seen["hanok_tokens_total", "input", "smart"] == 2400
    assert seen["hanok_tokens_total", "output", "smart"] == 340
    assert seen["hanok_request_duration_seconds_count", "smart"] == 2
    assert seen["hanok_request_duration_seconds_sum", "smart"] == 3.0
    assert seen["hanok_time_to_first_token_seconds_count", "smart"] == 1
    assert seen["hanok_time_to_first_token_seconds_sum", "smart"] == 0.25


def test_what_calls_cost_and_what_they_saved_is_told_in_dollars() -> None:
    metrics = Metrics()
    metrics.record(charge(cost_nano_usd=1_500_000))
    metrics.record(charge(cost_nano_usd=500_000, saved_nano_usd=250_000_000))
    seen = samples(metrics)
    assert seen["hanok_cost_usd_total", "smart"] == 0.002
    assert seen["hanok_saved_usd_total", "smart"] == 0.25


def test_a_call_that_fell_back_counts_for_the_model_that_served_it() -> None:
    metrics = Metrics()
    metrics.record(charge(model="cheap"))
    seen = samples(metrics)
    assert seen["hanok_requests_total", "cheap", "ok"] == 1
    assert ("hanok_requests_total", "smart", "ok") not in seen


def test_what_became_of_spans_is_told_by_receiver() -> None:
    metrics = Metrics()
    metrics.watch_exports(lambda: {"otlp": Counts(5, 1, 2, 3), "langfuse": Counts(9, 0, 0, 0)})
    seen = samples(metrics)
    assert seen["hanok_spans_exported_total", "otlp"] == 5
    assert seen["hanok_spans_dropped_total", "otlp"] == 1
    assert seen["hanok_spans_failed_total", "otlp"] == 2
    assert seen["hanok_spans_waiting", "otlp"] == 3
    assert seen["hanok_spans_exported_total", "langfuse"] == 9
