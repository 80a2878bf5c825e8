"""Flags of `vllm serve` for an engine: the planned ones, and on top those of the platform file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Literal

from hanok.kubernetes.components.vllm.parts import own_port
from hanok.kubernetes.engines import EnginePlan
from hanok.kubernetes.places import ENGINE_PORT
from hanok.kubernetes.plan import ClusterPlan

Part = Literal["alone", "leader", "worker"]
Value = str | int | float | bool
DRAIN_S = 90
"""Seconds in which running answers may end before an engine stops; with the wait before it, what spot leaves."""
POOLING = ("embedding", "rerank")
OURS = frozenset({
    "model", "served-model-name", "host", "port", "uds", "headless", "nnodes", "node-rank", "master-addr",
    "master-port", "api-key", "config", "data-parallel-size",
})  # fmt: skip
"""Flags that follow from the cluster, or would make an engine something else than was planned."""


def arguments(plan: ClusterPlan, engine: EnginePlan, part: Part) -> list[str]:
    """The words after `vllm serve`."""
    return [engine.weights, *(_word(name, value) for name, value in flags_of(plan, engine, part).items())]


def _word(name: str, value: Value) -> str:
    return f"--{name}" if value is True else f"--{name}={value}"


def flags_of(plan: ClusterPlan, engine: EnginePlan, part: Part) -> dict[str, Value]:
    """Every flag by its name; what the platform file says wins, and `false` there leaves one out."""
    found: dict[str, Value] = {"served-model-name": engine.model.name}
    if (port := own_port(plan, engine)) != ENGINE_PORT:
        found["port"] = port
    found |= dict([*_planned(engine), *_shared(plan, engine), *_usual(engine)])
    found |= dict([*engine.flags.items(), *_joined(engine, part)])
    return {name: value for name, value in found.items() if value is not False}


def _planned(engine: EnginePlan) -> Iterator[tuple[str, Value]]:
    """The planner's, as `--max-model-len 8192`."""
    for flag in engine.option.flags:
        name, _, value = flag.removeprefix("--").partition(" ")
        yield name, value or True


def _shared(plan: ClusterPlan, engine: EnginePlan) -> Iterator[tuple[str, Value]]:
    """Where others use the same GPU, no engine may take all of its memory."""
    if share := plan.pool_of(engine).memory_utilization:
        yield "gpu-memory-utilization", share


def _usual(engine: EnginePlan) -> Iterator[tuple[str, Value]]:
    yield "disable-access-log-for-endpoints", "/health,/metrics"
    yield "shutdown-timeout", DRAIN_S
    if engine.type in POOLING:
        yield "runner", "pooling"
    if engine.role:
        yield "kv-transfer-config", json.dumps({"kv_connector": "NixlConnector", "kv_role": "kv_both"})


def _joined(engine: EnginePlan, part: Part) -> Iterator[tuple[str, Value]]:
    """How pods of one replica find one another; LeaderWorkerSet sets these variables."""
    if part == "alone":
        return
    yield "nnodes", engine.machines
    yield "node-rank", "0" if part == "leader" else "$(LWS_WORKER_INDEX)"
    yield "master-addr", "$(LWS_LEADER_ADDRESS)"
    if part == "worker":
        yield "headless", True


def asked(flags: Mapping[str, Value], name: str) -> float:
    """A flag's number; 0 where it is not given or no number."""
    value = flags.get(name)
    return float(value) if isinstance(value, int | float) else 0.0
