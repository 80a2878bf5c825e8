"""Ingestion: jobs, one for each knowledge base, not gateways, of which each would do it.

What `on_start` says is a Job whose name holds the digest of the base and of its pods: another recipe, other sources or
another image are another Job. A disk that only one pod at a time may have keeps two ingests of one base apart.
They stand in a folder of their own, which nobody waits for: an ingest takes hours, and a disk that nobody has used yet
is bound to none.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

from hanok.kubernetes.component import Body
from hanok.kubernetes.components.own.pods import FILE, container, pod
from hanok.kubernetes.objects import given, label, labels, thing
from hanok.kubernetes.places import HANOK
from hanok.kubernetes.plan import ClusterPlan
from hanok.kubernetes.rewriting import rewritten
from hanok.kubernetes.walls import READS
from hanok.spec.tree import Knowledge

COMPONENT = "ingestion"
BY_HAND = "0 0 1 1 *"
"""The schedule of a base that has none: it is suspended, and there so that a person can begin one."""
TRIES, LATE_S, GRACE_S = 12, 3600, 60
"""Tries that outlast a new cluster's start: a pod that failed is started again after 10, 20, 40, 80, 160 and then each
300 seconds, so that twelve take 40 minutes; a machine with a GPU, its image and its weights take up to half of that."""
STATE_GIB = 5
"""For clones of repositories and what is known of documents; passages are in Milvus."""


def ingestion(plan: ClusterPlan) -> Iterator[Body]:
    """For each base its disk, its CronJob, and the Job of its start."""
    values = rewritten(plan).get("knowledge", [])
    for base, written in zip(plan.platform.knowledge, values, strict=True):
        name = label(f"ingest-{base.name}", 43)
        yield _disk(name)
        yield _scheduled(plan, name, base)
        if base.on_start:
            yield _once(name, written, _job(plan, name, base))


def _disk(name: str) -> Body:
    spec = {"accessModes": ["ReadWriteOncePod"], "resources": {"requests": {"storage": f"{STATE_GIB}Gi"}}}
    return thing("v1", "PersistentVolumeClaim", name, HANOK, labels=labels(name, COMPONENT), spec=spec)


def _scheduled(plan: ClusterPlan, name: str, base: Knowledge) -> Body:
    spec: Body = {
        "schedule": base.schedule or BY_HAND,
        "timeZone": "Etc/UTC",
        "concurrencyPolicy": "Forbid",
        "startingDeadlineSeconds": LATE_S,
        "suspend": None if base.schedule else True,
        "successfulJobsHistoryLimit": 1,
        "failedJobsHistoryLimit": 3,
        "jobTemplate": {"spec": _job(plan, name, base)},
    }
    return thing("batch/v1", "CronJob", name, HANOK, labels=labels(name, COMPONENT), spec=given(**spec))


def _once(disk: str, written: Body, spec: Body) -> Body:
    """Its pods count, too: the API server refuses to change those of a Job that is there."""
    digest = hashlib.sha256(json.dumps([written, spec], sort_keys=True, default=str).encode()).hexdigest()
    return thing("batch/v1", "Job", f"{disk}-{digest[:8]}", HANOK, labels=labels(disk, COMPONENT), spec=spec)


def _job(plan: ClusterPlan, disk: str, base: Knowledge) -> Body:
    """Tried again after a while: the database, Milvus or the model may still be on their way."""
    work = container(plan, COMPONENT, ["knowledge", "ingest", base.name, "--file", FILE, "--json"])
    state = {"name": "state", "persistentVolumeClaim": {"claimName": disk}}
    spec = {**pod(plan, work, state=state, grace_s=GRACE_S), "restartPolicy": "OnFailure"}
    marks = {**labels(disk, COMPONENT), **READS}
    return {"backoffLimit": TRIES, "template": {"metadata": {"labels": marks}, "spec": spec}}
