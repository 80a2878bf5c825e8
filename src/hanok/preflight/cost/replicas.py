"""Checks of how many copies there are, and of what keeps them apart and alive: replicas, PodDisruptionBudgets, data."""

from __future__ import annotations

from collections.abc import Iterator

from hanok.preflight.case import Case
from hanok.preflight.cost.serving import (
    database,
    is_controller,
    share_of,
)
from hanok.preflight.findings import Finding, Rule, Severity
from hanok.preflight.manifests import Manifest, at, mappings_at
from hanok.preflight.workloads import Workload

ALONE = Rule(
    "HK610",
    "warning",
    "a single point of failure",
    "run two replicas or more, with a PodDisruptionBudget; or accept it: `# hanok: ignore HK610 why`",
)
UNGUARDED = Rule(
    "HK611",
    "warning",
    "replicas without a PodDisruptionBudget",
    "add a PodDisruptionBudget with `maxUnavailable: 1` whose selector means these pods",
)
NEVER_EVICTED = Rule(
    "HK612",
    "warning",
    "a PodDisruptionBudget that forbids every eviction",
    "write `maxUnavailable: 1`: nodes cannot be drained, updated or consolidated otherwise",
)
TOGETHER = Rule(
    "HK613",
    "info",
    "replicas that may stand on one node",
    "add `topologySpreadConstraints` over kubernetes.io/hostname and topology.kubernetes.io/zone",
)
FORGETFUL = Rule(
    "HK614",
    "warning",
    "a database that forgets",
    "give it a PersistentVolumeClaim: `volumeClaimTemplates` of a StatefulSet",
)


def check_single_replicas(case: Case) -> Iterator[Finding]:
    for workload in case.workloads:
        if workload.least > 1 or not (case.serving.is_on_path(workload) or case.serving.is_served(workload)):
            continue
        what = "engine" if case.serving.engine(workload) else "pod"
        if workload.most <= 1:
            message = f"one {what} answers all calls: none is answered while it restarts, moves or loads"
        else:
            message = f"{workload.most} replicas at most, but as few as {workload.least} at times"
        yield ALONE.on(workload.manifest, "spec", "replicas", message=message, severity=_weight(case, workload))


def _weight(case: Case, workload: Workload) -> Severity:
    """Worth a warning where callers wait for it and it is always alone."""
    grave = case.serving.is_on_path(workload) and workload.most <= 1 and not is_controller(workload)
    return "warning" if grave else "info"


def check_unguarded(case: Case) -> Iterator[Finding]:
    for workload in case.workloads:
        if workload.most > 1 and case.serving.is_on_path(workload) and not case.serving.guards(workload):
            message = f"{workload.most} replicas, and nothing keeps a drain of nodes from evicting all at once"
            yield UNGUARDED.on(workload.manifest, "metadata", "name", message=message)


def check_guards(case: Case) -> Iterator[Finding]:
    """Budgets that allow no eviction, always or with the fewest replicas."""
    for guard in case.cluster.of("PodDisruptionBudget"):
        meant = [each for each in case.serving.guarded(guard) if not each.per_node and not each.finite]
        least, most = sum(each.least for each in meant), sum(each.most for each in meant)
        if most and (said := _forbids(guard, most)):
            yield NEVER_EVICTED.on(guard, "spec", said, message=_why(guard, said, most))
        elif 0 < least < most and (said := _forbids(guard, least)):
            message = f"{_why(guard, said, least)}, as few as there may be"
            yield NEVER_EVICTED.on(guard, "spec", said, message=message, severity="info")


def _forbids(guard: Manifest, count: int) -> str:
    """The field that allows no eviction of so many pods; empty where one may go."""
    kept = share_of(at(guard.body, "spec", "minAvailable"), count, up=True)
    gone = share_of(at(guard.body, "spec", "maxUnavailable"), count, up=True)
    if kept is not None and kept >= count:
        return "minAvailable"
    return "maxUnavailable" if gone == 0 else ""


def _why(guard: Manifest, said: str, count: int) -> str:
    pods = f"{count} pod{'s' if count > 1 else ''}"
    return f"`{said}: {at(guard.body, 'spec', said)}` lets none of {pods} be evicted"


def check_spread(case: Case) -> Iterator[Finding]:
    for workload in case.workloads:
        reached = case.serving.is_on_path(workload) or case.serving.is_served(workload)
        if workload.most > 1 and reached and not _is_spread(workload):
            message = f"nothing keeps its {workload.most} replicas from standing on one node, in one zone"
            yield TOGETHER.on(workload.manifest, *workload.path, "spec", message=message)


def _is_spread(workload: Workload) -> bool:
    return bool(
        mappings_at(workload.spec, "topologySpreadConstraints") or at(workload.spec, "affinity", "podAntiAffinity")
    )


def check_data(case: Case) -> Iterator[Finding]:
    for workload in case.workloads:
        name = database(workload)
        if not name or not workload.most or workload.finite or workload.per_node or _keeps(workload):
            continue
        cache = name in ("redis", "valkey") and workload.manifest.kind != "StatefulSet" and not _saves(workload)
        message = f"{name} keeps its data in the pod: it is lost with the pod"
        hint = "nothing to do where it is a cache alone; else give it a PersistentVolumeClaim" if cache else None
        severity: Severity = "info" if cache else "warning"
        yield FORGETFUL.on(workload.manifest, *workload.path, "spec", message=message, hint=hint, severity=severity)


def _keeps(workload: Workload) -> bool:
    """Whether a volume outlives the pod."""
    if mappings_at(workload.manifest.body, "spec", "volumeClaimTemplates"):
        return True
    lasting = ("persistentVolumeClaim", "hostPath", "nfs", "csi", "awsElasticBlockStore", "gcePersistentDisk")
    return any(key in each for each in mappings_at(workload.spec, "volumes") for key in lasting)


def _saves(workload: Workload) -> bool:
    words = " ".join(word or '""' for each in workload.containers for word in each.words)
    return "appendonly yes" in words or ("--save" in words and '--save ""' not in words and "--save ''" not in words)


CHECKS = (check_single_replicas, check_unguarded, check_guards, check_spread, check_data)
