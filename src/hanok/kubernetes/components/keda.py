"""KEDA: as many replicas of an engine as its model's `scale` wants, by what engines tell of themselves.

The rule is the one that `hanok simulate` tries and `hanok up` keeps: each target is a trigger whose query gives the sum
over all replicas and whose threshold is what one replica should have; steps and windows are the autoscaler's own.
"""

from __future__ import annotations

from collections.abc import Iterator

from hanok.errors import Problem
from hanok.kubernetes.component import Body, Chart, Component, Piece, Placed
from hanok.kubernetes.engines import EnginePlan
from hanok.kubernetes.notes import Known, Told
from hanok.kubernetes.objects import given, labels, thing
from hanok.kubernetes.places import HANOK, MODELS, PROMETHEUS
from hanok.kubernetes.plan import ClusterPlan
from hanok.kubernetes.replicas import is_picked, picker_release, shape_of, workload_name
from hanok.spec.tree import ModelScale, ScaleSteps

NAME = "keda"
METRICS = {"running": "vllm:num_requests_running", "kv_cache": "vllm:kv_cache_usage_perc"}
WAITING, AT_THE_DOOR, ASKED = "vllm:num_requests_waiting", "hanok_waiting_requests", "hanok_requests_total"
AT_THE_PICKER = "llm_d_epp_flow_control_queue_size"
NEVER_SCALES = 1_000_000
"""A threshold that no sum reaches: such a trigger says whether there is to be any replica, not how many."""
_APIS = {"Deployment": "apps/v1", "StatefulSet": "apps/v1", "LeaderWorkerSet": "leaderworkerset.x-k8s.io/v1"}
_TAILS = {"Deployment": "[a-z0-9]+-[a-z0-9]+", "StatefulSet": "[0-9]+", "LeaderWorkerSet": "[0-9]+"}
"""How the names of pods that answer end: an engine's name may begin another's."""


def render(plan: ClusterPlan) -> Iterator[Piece]:
    """The operator, and a ScaledObject for each engine whose number of replicas changes."""
    values = {
        "prometheus": {"operator": {"enabled": plan.cluster.observe.prometheus}},
        "podDisruptionBudget": {"operator": {"maxUnavailable": 1}, "metricServer": {"maxUnavailable": 1}},
    }
    yield Chart(chart=NAME, release=NAME, namespace=NAME, values=values)
    for engine, scale in _scaled(plan):
        yield Placed(stage="apps", folder=MODELS, body=scaled_object(plan, engine, scale))


def _scaled(plan: ClusterPlan) -> Iterator[tuple[EnginePlan, ModelScale]]:
    for engine in plan.engines:
        if engine.model.scale is not None and engine.least != engine.most:
            yield engine, engine.model.scale


def scaled_object(plan: ClusterPlan, engine: EnginePlan, scale: ModelScale) -> Body:
    """The rule as KEDA takes it."""
    kind = shape_of(plan, engine)
    behavior = {"scaleUp": _steps(scale.up), "scaleDown": _steps(scale.down)}
    spec = given(
        scaleTargetRef={"apiVersion": _APIS[kind], "kind": kind, "name": workload_name(engine)},
        minReplicaCount=scale.min,
        maxReplicaCount=scale.max,
        pollingInterval=scale.every_s,
        cooldownPeriod=scale.idle_s if scale.min == 0 else None,
        advanced={"horizontalPodAutoscalerConfig": {"behavior": behavior}},
        triggers=[_trigger(*each) for each in triggers(plan, engine, scale)],
    )
    named = labels(engine.name, NAME)
    return thing("keda.sh/v1alpha1", "ScaledObject", engine.name, MODELS, labels=named, spec=spec)


def _steps(steps: ScaleSteps) -> Body:
    """Of several policies the one that changes most counts, as the rule says."""
    policies = [("Pods", steps.replicas), ("Percent", steps.percent)]
    return {
        "stabilizationWindowSeconds": steps.stable_s,
        "selectPolicy": "Max",
        "policies": [
            {"type": kind, "value": value, "periodSeconds": steps.period_s} for kind, value in policies if value
        ],
    }


def triggers(plan: ClusterPlan, engine: EnginePlan, scale: ModelScale) -> Iterator[tuple[str, str, float]]:
    """Each target's name, its query, and what one replica should have of it."""
    tail = _TAILS[shape_of(plan, engine)]
    pods = f'namespace="{MODELS}", pod=~"{workload_name(engine)}-{tail}"'
    elsewhere = [] if engine.role else [f'{AT_THE_DOOR}{{namespace="{HANOK}", model="{engine.model.name}"}}']
    if is_picked(plan, engine) and not engine.role:
        elsewhere.append(f'{AT_THE_PICKER}{{namespace="{MODELS}", service="{picker_release(engine.model)}-epp"}}')
    none = _none(plan, engine) if scale.min == 0 else ""
    if scale.running is not None:
        yield "running", f"sum({METRICS['running']}{{{pods}}}){none}", scale.running
    if scale.waiting is not None:
        yield "waiting", f"sum({' or '.join([f'{WAITING}{{{pods}}}', *elsewhere])}){none}", scale.waiting
    if scale.kv_cache is not None:
        yield "kv-cache", f"sum({METRICS['kv_cache']}{{{pods}}}){none}", scale.kv_cache
    if scale.min == 0:
        asked = f'{ASKED}{{namespace="{HANOK}", model="{engine.model.name}"}}'
        yield "asked", f"sum(increase({asked}[1m])) or vector(0)", NEVER_SCALES


def _none(plan: ClusterPlan, engine: EnginePlan) -> str:
    """Nothing, where no replica is wanted: such an engine tells nothing of itself, and is yet well. Else KEDA takes
    the trigger for broken, and Flux waits for the whole namespace. A LeaderWorkerSet has a StatefulSet of its name."""
    kind = "deployment" if shape_of(plan, engine) == "Deployment" else "statefulset"
    metric = "kube_deployment_spec_replicas" if kind == "deployment" else "kube_statefulset_replicas"
    return f' or sum({metric}{{namespace="{MODELS}", {kind}="{workload_name(engine)}"}} == 0)'


def _trigger(name: str, query: str, threshold: float) -> Body:
    """No value is no value: of an engine that is not seen nothing is taken for idle."""
    metadata = {
        "serverAddress": PROMETHEUS,
        "query": query,
        "threshold": f"{threshold:.10g}",
        "activationThreshold": "0",
        "ignoreNullValues": "false",
    }
    return {"type": "prometheus", "name": name, "metricType": "AverageValue", "metadata": metadata}


def refuse(plan: ClusterPlan) -> Iterator[Problem]:
    """Who scales by metrics needs somebody who keeps them."""
    for engine, _ in () if plan.cluster.observe.prometheus else _scaled(plan):
        message = f"{engine.model.name} cannot be scaled without metrics, and the cluster has no Prometheus"
        hint = "say `cluster.observe.prometheus: true`, or give `scale` the same `min` and `max`"
        yield plan.written.problem(("models", engine.index, "scale"), message, hint)


def notes(plan: ClusterPlan) -> Iterator[Told]:
    """What the rule cannot say to KEDA."""
    for engine, scale in _scaled(plan):
        if scale.min == 0:
            yield Known(
                f"{engine.model.name} may have no replica at all: who asks then is told that it is not up, "
                "until one is there; fallbacks answer meanwhile"
            )


def is_wanted(plan: ClusterPlan) -> bool:
    """Where the number of any engine's replicas changes."""
    return any(each.least != each.most for each in plan.engines)


COMPONENT = Component(name=NAME, wanted=is_wanted, adapters={"v1alpha1": render}, refuse=refuse, notes=notes)
