"""Metrics of several processes as one."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from hanok.telemetry import Metrics, Sums
from tests.rooms.telemetry.given import charge


def process(calls: int, *, up: float = 1.0) -> Metrics:
    metrics = Metrics()
    metrics.watch("hanok_endpoint_up", "Up.", ["model", "endpoint"], lambda: {("smart", "smart#1"): up})
    metrics.watch("hanok_in_flight_requests", "Running.", [], lambda: {(): 2.0})
    for _ in range(calls):
        metrics.record(charge())
    return metrics


def samples(sums: Sums) -> dict[tuple[str, ...], float]:
    families = text_string_to_metric_families(sums.render(Metrics().families()).decode())
    return {(each.name, *each.labels.values()): each.value for family in families for each in family.samples}


def test_counts_of_processes_that_ended_stay_and_their_gauges_go() -> None:
    sums = Sums()
    sums.take("1.1", process(3).families())
    sums.take("2.1", process(4, up=0.0).families())
    seen = samples(sums)
    assert seen["hanok_requests_total", "smart", "ok"] == 7
    assert seen["hanok_request_duration_seconds_count", "smart"] == 7
    assert seen["hanok_request_duration_seconds_bucket", "+Inf", "smart"] == 7
    assert seen["hanok_in_flight_requests",] == 4
    assert seen["hanok_endpoint_up", "smart#1", "smart"] == 1
    sums.end("1.1")
    sums.end("1.1")
    sums.take("1.2", process(1).families())
    seen = samples(sums)
    assert seen["hanok_requests_total", "smart", "ok"] == 8
    assert seen["hanok_in_flight_requests",] == 4


def test_the_sum_of_one_process_reads_as_its_own_metrics() -> None:
    sums, alone = Sums(), process(2)
    sums.take("1.1", alone.families())
    own = text_string_to_metric_families(alone.render().decode())
    told = {(each.name, *sorted(each.labels.values())): each.value for family in own for each in family.samples}
    seen = {(name, *sorted(labels)): value for (name, *labels), value in samples(sums).items()}
    assert told == seen
