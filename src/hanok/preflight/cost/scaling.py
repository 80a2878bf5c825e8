"""Checks of autoscalers: what engines are scaled by, and what it means to begin from none."""

from __future__ import annotations

import math
from collections.abc import Iterator

from hanok.errors import PlanError
from hanok.gpu import GIB
from hanok.preflight.case import Case
from hanok.preflight.findings import Finding, Rule
from hanok.preflight.manifests import Manifest, mapping_at, mappings_at, text_at, whole_at
from hanok.preflight.workloads import Workload

BY_PROCESSOR = Rule(
    "HK622",
    "warning",
    "engines that are scaled by their CPU",
    "scale by what waits: KEDA on `vllm:num_requests_waiting` or on the router's queue",
)
FROM_NONE = Rule(
    "HK623",
    "info",
    "engines that are scaled to none",
    "`minReplicaCount: 1` where people wait for the first answer; callers must be able to wait otherwise",
)
LOAD_GIB_S = 1.0
"""Weights from disk or network to GPUs: what a quick disk or 10 Gbit/s give; an assumption, usually it is less."""
NODE_S = 180
"""Until a node is there and has pulled an engine's image of 8 GB and more: an assumption."""


def check_metrics(case: Case) -> Iterator[Finding]:
    for scaler in case.cluster.of("HorizontalPodAutoscaler"):
        scaled = _engine_scaled(case, scaler)
        if scaled and (used := _processor_alone(scaler)):
            message = f"{used} of {scaled.title} says little of its load: its work is on GPUs, its CPU is busy anyway"
            yield BY_PROCESSOR.on(scaler, "spec", "metrics", message=message)
    for scaler in case.cluster.of("ScaledObject"):
        scaled = _engine_scaled(case, scaler)
        kinds = [text_at(each, "type") for each in mappings_at(scaler.body, "spec", "triggers")]
        if scaled and kinds and all(each in ("cpu", "memory") for each in kinds):
            message = f"{' and '.join(kinds)} of {scaled.title} say little of its load: its work is on GPUs"
            yield BY_PROCESSOR.on(scaler, "spec", "triggers", message=message)


def _engine_scaled(case: Case, scaler: Manifest) -> Workload | None:
    """The pods of an engine on GPUs that an autoscaler means."""
    target = mapping_at(scaler.body, "spec", "scaleTargetRef")
    key = (text_at(target, "kind") or "Deployment", scaler.namespace, text_at(target, "name"))
    found = (each.workload for each in case.engines if each.workload.gpus)
    return next((each for each in found if (each.manifest.kind, each.namespace, each.manifest.name) == key), None)


def _processor_alone(scaler: Manifest) -> str:
    """The metrics of an autoscaler, where they are CPU and memory alone; that is its default, too."""
    metrics = mappings_at(scaler.body, "spec", "metrics")
    names = [
        text_at(each, "resource", "name") or text_at(each, "containerResource", "name") or "other" for each in metrics
    ]
    if not names:
        return "cpu"
    return " and ".join(dict.fromkeys(names)) if set(names) <= {"cpu", "memory"} else ""


def check_scale_to_none(case: Case) -> Iterator[Finding]:
    for scaler in case.cluster.of("ScaledObject"):
        fewest = whole_at(scaler.body, "spec", "minReplicaCount") or 0
        idle = whole_at(scaler.body, "spec", "idleReplicaCount")
        scaled = _engine_scaled(case, scaler) if min(fewest, fewest if idle is None else idle) == 0 else None
        if scaled is not None:
            message = (
                f"the first call to {scaled.title} waits {_minutes(case, scaled)} for a node, the image and the model"
            )
            yield FROM_NONE.on(scaler, "spec", "minReplicaCount", message=message)


def _minutes(case: Case, workload: Workload) -> str:
    engine = case.serving.engine(workload)
    try:
        anatomy = case.facts.anatomy(engine.model if engine else "")
    except PlanError:
        return "minutes"
    size = sum(count * anatomy.packing.bytes_of(part) for part, count in anatomy.parts.items()) / GIB
    return f"{math.ceil((NODE_S + size / LOAD_GIB_S) / 60)} minutes or more ({size:.0f} GiB of weights)"


CHECKS = (check_metrics, check_scale_to_none)
