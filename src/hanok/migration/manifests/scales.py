"""How many replicas there are: of a Deployment itself, and what an autoscaler makes of it.

An HPA or a KEDA ScaledObject scales by a metric; those of vLLM (calls that run, calls that wait, share of the cache)
are thresholds for each replica.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from hanok.migration.manifests.told import Block, Told
from hanok.preflight import Case, Manifest
from hanok.preflight.manifests import Body, at, mapping_at, mappings_at, text_at, whole_at
from hanok.preflight.workloads import Workload
from hanok.spec.tree.scaling import ScaleDown, ScaleSteps, ScaleUp

_METRICS = {
    "running": re.compile(r"num_requests_running"),
    "waiting": re.compile(r"num_requests_waiting"),
    "kv_cache": re.compile(r"kv_cache_usage|gpu_cache_usage"),
}

_MOST, _MOST_S, _MOST_IDLE_S = 1000, 3600, 86_400
_EVERY_S = 15
"""Between two looks, as Kubernetes does."""


def read_scale(case: Case, workload: Workload, told: Told, to: str) -> Block:
    """A model's `scale` of what an engine's workload says; empty where one replica is all there is."""
    scaler = _scaler(case, workload)
    if scaler is None:
        count = min(workload.replicas, _MOST)
        if count < 2:
            return {}
        told.carried(workload.manifest, ("spec", "replicas"), to, "as many, whatever their load")
        return {"min": count, "max": count}
    told.take(scaler)
    found = thresholds(mapping_at(scaler.body, "spec"))
    if found:
        told.carried(scaler, ("spec",), to, ", ".join(f"{key} {value:g}" for key, value in found.items()))
    else:
        told.changed(scaler, ("spec",), "scales by other metrics: Hanok looks at calls and caches, as by default", to)
    bounds = scale_between(workload.least, workload.most, found)
    return bounds | _pace(scaler, bounds, told, to)


def _pace(scaler: Manifest, bounds: Block, told: Told, to: str) -> Block:
    """How soon and how far it scales, as far as that differs from the usual."""
    spec = mapping_at(scaler.body, "spec")
    inner = ("advanced", "horizontalPodAutoscalerConfig") if scaler.kind == "ScaledObject" else ()
    found: Block = {}
    for key, step, usual in (("scaleUp", "up", ScaleUp()), ("scaleDown", "down", ScaleDown())):
        path = (*inner, "behavior", key)
        steps = _steps(mapping_at(spec, *path), usual)
        if steps is None:
            told.left(scaler, ("spec", *path), "policies that Hanok has no words for: its own are kept")
        elif steps:
            found[step] = steps
            told.carried(scaler, ("spec", *path), f"{to}.{step}")
    every, idle = whole_at(spec, "pollingInterval"), whole_at(spec, "cooldownPeriod")
    found |= {"every_s": every} if every is not None and every != _EVERY_S and 1 <= every <= _MOST_S else {}
    return found | ({"idle_s": idle} if idle is not None and bounds["min"] == 0 and 0 <= idle <= _MOST_IDLE_S else {})


def _steps(behavior: Body, usual: ScaleSteps) -> Block | None:
    """One direction's steps that differ from the usual; None where they cannot be said."""
    policies = mappings_at(behavior, "policies")
    kinds = [text_at(each, "type") for each in policies]
    periods = {whole_at(each, "periodSeconds") for each in policies}
    if text_at(behavior, "selectPolicy") not in ("", "Max") or len(set(kinds)) < len(kinds) or len(periods) > 1:
        return None
    found: Block = {"stable_s": whole_at(behavior, "stabilizationWindowSeconds")}
    if policies:
        values = {kind: whole_at(each, "value") for kind, each in zip(kinds, policies, strict=True)}
        found |= {"replicas": values.get("Pods"), "percent": values.get("Percent"), "period_s": periods.pop()}
    plain = usual.model_dump()
    said = {key: value for key, value in found.items() if value is not None or key in ("replicas", "percent")}
    return {key: value for key, value in said.items() if value != plain[key]}


def scale_between(least: int, most: int, found: Mapping[str, float]) -> Block:
    """`scale` within these bounds; where thresholds were found, nothing else is looked at."""
    high = min(max(1, most), _MOST)
    bounds: Block = {"min": min(max(0, least), high), "max": high}
    return bounds | ({key: found.get(key) for key in _METRICS} if found else {})


def _scaler(case: Case, workload: Workload) -> Manifest | None:
    target = workload.manifest
    for each in case.cluster.of("ScaledObject", "HorizontalPodAutoscaler"):
        aim = mapping_at(each.body, "spec", "scaleTargetRef")
        kind = text_at(aim, "kind") or "Deployment"
        if (kind, each.namespace, text_at(aim, "name")) == (target.kind, target.namespace, target.name):
            return each
    return None


def together(scales: Sequence[Block]) -> Block:
    """`scale` of a model that several workloads serve: their sum, by the first thresholds; empty where each is one."""
    if not any(scales):
        return {}
    bounds = scale_between(sum(each.get("min", 1) for each in scales), sum(each.get("max", 1) for each in scales), {})
    return next(each for each in scales if each) | bounds


def thresholds(spec: Body) -> dict[str, float]:
    """What the triggers of a ScaledObject, or the metrics of an HPA, want of each replica."""
    found: dict[str, float] = {}
    for each in mappings_at(spec, "triggers"):
        metadata = mapping_at(each, "metadata")
        _add(found, f"{metadata.get('query')} {metadata.get('metricName')}", metadata.get("threshold"))
    for each in mappings_at(spec, "metrics"):
        for part in ("pods", "object", "external"):
            named, target = text_at(each, part, "metric", "name"), mapping_at(each, part, "target")
            _add(found, named, target.get("averageValue", target.get("value")))
    return found


def _add(found: dict[str, float], metric: str, threshold: object) -> None:
    key = next((key for key, pattern in _METRICS.items() if pattern.search(metric)), None)
    number = _number(threshold)
    if key is not None and number is not None and 0 < number <= (1 if key == "kv_cache" else number):
        found.setdefault(key, number)


def _number(value: object) -> float | None:
    """A quantity as Kubernetes writes it: `16`, `"0.7"`, `700m`."""
    match = re.fullmatch(r"(\d{1,12}(?:\.\d{1,12})?)(m?)", str(value))
    return float(match[1]) / (1000 if match[2] else 1) if match else None


def agent_scale(body: Body) -> Block:
    """`scale` of an agent by what the sketch of kagent's first days says: `replicas`, `autoscaling`."""
    replicas = whole_at(body, "replicas")
    scaling: Mapping[str, Any] = mapping_at(body, "autoscaling")
    if at(scaling, "enabled") is not False and scaling:
        low, high = whole_at(scaling, "minReplicas"), whole_at(scaling, "maxReplicas")
        found = {"min": low if low is not None else replicas, "max": high if high is not None else replicas}
        cpu = whole_at(scaling, "targetCPUUtilization") or whole_at(scaling, "targetCPUUtilizationPercentage")
        found |= {"target_cpu": cpu}
        return {key: max(1, each) for key, each in found.items() if each is not None}
    return {"min": max(1, replicas), "max": max(1, replicas)} if replicas is not None and replicas != 1 else {}
