"""Kueue: whether what waits in a queue can ever be admitted.

A workload is admitted as a whole, each of its pod templates from one flavor. What asks for more than a flavor's quota
with all that may be borrowed waits for ever. Source: Kueue v0.19, ClusterQueue v1beta1 and v1beta2.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from hanok.preflight.findings import Finding, Rule
from hanok.preflight.manifests import Body, Manifest, at, mappings_at, text_at
from hanok.preflight.quantities import amount, say
from hanok.preflight.scheduling.asks import Ask

if TYPE_CHECKING:
    from hanok.preflight.case import Case

NEVER_ADMITTED = Rule(
    "HK327", "error", "a workload that its queue can never admit", "raise the queue's quota, or ask for less at once"
)
QUEUE = "kueue.x-k8s.io/queue-name"
_ONE_BY_ONE = ("Deployment", "StatefulSet", "ReplicaSet", "Pod")
"""Kinds whose pods are admitted one by one."""


def check_queues(case: Case) -> Iterator[Finding]:
    """Everything that waits in a queue fits into its quota."""
    for ask in case.ground.pods:
        queue = _queue_of(ask, case)
        if queue is not None and ask.workload.most:
            yield from _check(case, ask, queue)


def _queue_of(ask: Ask, case: Case) -> Manifest | None:
    """The ClusterQueue of a workload that says in which queue it waits; None where either is not here."""
    workload = ask.workload
    name = workload.manifest.labels.get(QUEUE) or workload.labels.get(QUEUE, "")
    local = case.cluster.find("LocalQueue", name, workload.namespace) if name else None
    return case.cluster.find("ClusterQueue", text_at(local.body, "spec", "clusterQueue")) if local else None


def _check(case: Case, ask: Ask, queue: Manifest) -> Iterator[Finding]:
    count = 1 if ask.workload.manifest.kind in _ONE_BY_ONE else ask.workload.most
    for group in mappings_at(queue.body, "spec", "resourceGroups"):
        for key, wanted in ask.requests.items():
            flavors = [_ceiling(case, queue, flavor, key) for flavor in mappings_at(group, "flavors")]
            known = [each for each in flavors if each is not None]
            if known and len(known) == len(flavors) and wanted * count > max(known):
                pods = f"{count} pods ask" if count > 1 else "each pod asks"
                message = (
                    f"{pods} for {say(key, wanted * count)} at once, and {queue.title} has {say(key, max(known))} "
                    "in its largest flavor"
                )
                yield NEVER_ADMITTED.on(ask.workload.manifest, *ask.workload.path, "spec", message=message)


def _ceiling(case: Case, queue: Manifest, flavor: Body, key: str) -> int | None:
    """The most that a queue may have of a resource in one flavor; None where it does not say, or may borrow freely."""
    told = next((each for each in mappings_at(flavor, "resources") if text_at(each, "name") == key), None)
    own = amount(key, at(told, "nominalQuota")) if told else None
    cohort = _cohort(queue)
    if own is None or not cohort:
        return own
    limit = amount(key, at(told, "borrowingLimit"))
    if limit is not None:
        return own + limit
    if case.cluster.find("Cohort", cohort) is not None:
        return None
    members = [each for each in case.cluster.of("ClusterQueue") if _cohort(each) == cohort]
    return sum(_nominal(each, text_at(flavor, "name"), key) for each in members)


def _cohort(queue: Manifest) -> str:
    return text_at(queue.body, "spec", "cohortName") or text_at(queue.body, "spec", "cohort")


def _nominal(queue: Manifest, flavor: str, key: str) -> int:
    return sum(
        amount(key, at(told, "nominalQuota")) or 0
        for group in mappings_at(queue.body, "spec", "resourceGroups")
        for each in mappings_at(group, "flavors")
        if text_at(each, "name") == flavor
        for told in mappings_at(each, "resources")
        if text_at(told, "name") == key
    )


CHECKS = (check_queues,)
