"""The fleet's gauges: what `/metrics` shows of each endpoint, read when somebody asks."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial

from hanok.gateway.fleet_view import hit_rate
from hanok.serving import Endpoint, Fleet
from hanok.telemetry import Metrics

Read = Callable[[Endpoint], float | None]


def watch_fleet(metrics: Metrics, fleet: Fleet) -> None:
    """Show every endpoint of the fleet; what is not known of one is left out."""
    for name, text, read in _GAUGES:
        metrics.watch(name, text, ["model", "endpoint"], partial(_values, fleet, read))

    metrics.watch(
        "hanok_replicas",
        "Replicas of a scaled model's engine that are asked for.",
        ["model"],
        lambda: {(model,): float(each.count) for model, each in fleet.replicas.items()},
    )


def _values(fleet: Fleet, read: Read) -> Mapping[tuple[str, ...], float]:
    found = (((each.model, each.name), read(each)) for each in fleet.endpoints)
    return {labels: value for labels, value in found if value is not None}


def _first_token_s(endpoint: Endpoint) -> float | None:
    pace = endpoint.pace(stream=True)
    return pace.seconds if pace else None


_GAUGES: tuple[tuple[str, str, Read], ...] = (
    ("hanok_endpoint_up", "1 when the endpoint is up.", lambda each: float(each.state == "up")),
    ("hanok_endpoint_in_flight", "Calls running on the endpoint.", lambda each: float(each.in_flight)),
    (
        "hanok_endpoint_circuit_open",
        "1 while the endpoint is left alone after failures.",
        lambda each: float(each.circuit.until > time.monotonic()),
    ),
    ("hanok_endpoint_weight", "The endpoint's declared weight.", lambda each: each.weight),
    (
        "hanok_endpoint_first_token_seconds",
        "How soon the endpoint's streams begin, a mean over recent ones, where routing looks at it.",
        _first_token_s,
    ),
    (
        "hanok_endpoint_engine_running",
        "Calls that the engine says it is working on.",
        lambda each: None if each.load is None else float(each.load.running),
    ),
    (
        "hanok_endpoint_engine_waiting",
        "Calls that the engine says wait in it.",
        lambda each: None if each.load is None else float(each.load.waiting),
    ),
    (
        "hanok_endpoint_cache_usage",
        "Share of its key-value cache that the engine says is in use.",
        lambda each: None if each.load is None else each.load.kv_usage,
    ),
    (
        "hanok_endpoint_cache_hit_rate",
        "Share of prompt tokens that the engine found in its cache since it started.",
        lambda each: hit_rate(each.load),
    ),
)
NAMES = tuple(name for name, _, _ in _GAUGES)
