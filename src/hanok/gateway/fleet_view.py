"""The fleet as people see it: each endpoint with its state, its load and how it has fared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hanok.serving.fleet import Endpoint, Fleet, Load, Pace, Replicas


def fleet_form(fleet: Fleet, policies: Mapping[str, str], *, now: float) -> dict[str, Any]:
    """Every endpoint, and how many replicas scaled models have, in JSON's terms.

    `policies` by model; `now` in seconds of the monotonic clock.
    """
    return {
        "endpoints": [_endpoint_form(each, policies.get(each.model, "least-busy"), now) for each in fleet.endpoints],
        "replicas": [_replicas_form(model, each) for model, each in fleet.replicas.items()],
    }


def _replicas_form(model: str, replicas: Replicas) -> dict[str, Any]:
    return {
        "model": model,
        "replicas": replicas.count,
        "min": replicas.fewest,
        "max": replicas.most,
        "because": replicas.because,
    }


def hit_rate(load: Load | None) -> float | None:
    """The share of prompt tokens that the engine found in its cache since it started."""
    if load is None or not load.query_tokens or load.hit_tokens is None:
        return None
    return load.hit_tokens / load.query_tokens


def _endpoint_form(endpoint: Endpoint, policy: str, now: float) -> dict[str, Any]:
    load = endpoint.load
    return {
        "endpoint": endpoint.name,
        "model": endpoint.model,
        "engine": endpoint.kind,
        "policy": policy,
        "state": endpoint.state,
        "reason": endpoint.reason or None,
        "circuit": _circuit(endpoint, now),
        "weight": endpoint.weight,
        "tags": sorted(endpoint.tags),
        "teams": sorted(endpoint.teams),
        "role": endpoint.role,
        "in_flight": endpoint.in_flight,
        "max_in_flight": endpoint.max_in_flight,
        "first_token_ms": _ms(endpoint.pace(stream=True)),
        "answer_ms": _ms(endpoint.pace(stream=False)),
        "load": None
        if load is None
        else {
            "age_s": round(max(0.0, now - load.at), 3),
            "running": load.running,
            "waiting": load.waiting,
            "kv_usage": load.kv_usage,
            "cache_tokens": load.cache_tokens,
            "hit_rate": hit_rate(load),
        },
    }


def _circuit(endpoint: Endpoint, now: float) -> str:
    circuit = endpoint.circuit
    if circuit.until == 0.0:
        return "closed"
    return "open" if circuit.until > now else "half-open"


def _ms(pace: Pace | None) -> float | None:
    return None if pace is None else round(pace.seconds * 1000, 3)
