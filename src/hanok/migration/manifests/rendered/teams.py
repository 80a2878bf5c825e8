"""Queues, training and what teams have: `cluster.jobs` and `cluster.teams`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from hanok.migration.manifests.rendered.tree import JOBS, RenderedTree, gib, given, number, said, whole_gib
from hanok.migration.manifests.told import Block, Told
from hanok.preflight import Manifest
from hanok.preflight.manifests import at, mapping_at, mappings_at, text_at, texts_at, whole_at

_GPU = "nvidia.com/gpu"
_SPACE = "team-"
_GENERAL = "general"
"""Kueue's name of machines without GPUs."""


def read_jobs(tree: RenderedTree, told: Told) -> Block:
    """What jobs may take, and what leads them."""
    pool = tree.find("NodePool", "jobs", group="karpenter.sh")
    kueue = tree.has_chart("kueue")
    trainer, ray = tree.has_chart("trainer", "kubeflow-trainer"), tree.has_chart("kuberay-operator")
    queues = list(tree.of("ClusterQueue", group="kueue.x-k8s.io"))
    counted = sum(_quota(each) for each in queues)
    runtime = tree.find("ClusterTrainingRuntime", "torch")
    image = said(runtime, told, "cluster.jobs.image", *_CONTAINER, "image")
    gpu = next(iter(_types(pool, told)), None)
    found = given(
        kueue=kueue or None,
        trainer=trainer or None,
        ray=ray or None,
        gpus=counted or _limit(tree, pool, gpu) or None,
        gpu=gpu,
        machine=_machine(queues, runtime) if counted and pool is None else None,
        always=True if pool is not None and at(pool.body, "spec", "replicas") else None,
        image=image,
        efa=True if "efa" in str(_class(tree)) else None,
        placement_group=text_at(_class(tree), "spec", "placementGroupSelector", "name") or None,
        fsx_gib=_shared(tree, told),
    )
    return {"jobs": found} if found else {}


_CONTAINER = (
    "spec", "template", "spec", "replicatedJobs", 0, "template", "spec", "template", "spec", "containers", 0,
)  # fmt: skip


def _quota(queue: Manifest) -> int:
    """GPUs that are a queue's own."""
    return int(number(_owned(queue, JOBS).get(_GPU)) or 0)


def _owned(queue: Manifest, machines: str) -> dict[str, str]:
    """What a queue has of one kind of machines."""
    flavors = [
        each for group in mappings_at(queue.body, "spec", "resourceGroups") for each in mappings_at(group, "flavors")
    ]
    kept = [each for each in flavors if text_at(each, "name") == machines]
    return {
        text_at(each, "name"): str(each.get("nominalQuota"))
        for flavor in kept
        for each in mappings_at(flavor, "resources")
    }


def _machine(queues: Sequence[Manifest], runtime: Manifest | None) -> Block:
    """One machine of one's own: what goes with a GPU in the queues, and as many GPUs as training takes."""
    owned = [_owned(each, JOBS) for each in queues]
    all_gpus = sum(number(each.get(_GPU)) or 0 for each in owned)
    gpus = int(number(at(runtime.body, *_CONTAINER, "resources", "limits", _GPU)) or 1) if runtime else 1
    part = gpus / all_gpus
    return {
        "gpus": gpus,
        "cpu": round(sum(number(each.get("cpu")) or 0 for each in owned) * part, 3),
        "memory_gib": round(sum(gib(each.get("memory")) or 0 for each in owned) * part, 3),
    }


def _limit(tree: RenderedTree, pool: Manifest | None, gpu: str | None) -> int:
    """GPUs that a pool may have; of one that is always there, those of its machines."""
    if pool is None:
        return 0
    machine = tree.case.facts.catalog.instances.get(gpu or "")
    nodes = whole_at(pool.body, "spec", "replicas")
    if nodes and machine:
        return nodes * machine.gpus
    return int(number(at(pool.body, "spec", "limits", _GPU)) or 0)


def _types(pool: Manifest | None, told: Told) -> list[str]:
    for each in mappings_at(pool.body, "spec", "template", "spec", "requirements") if pool else ():
        if text_at(each, "key") == "node.kubernetes.io/instance-type" and pool is not None:
            told.take(pool)
            told.carried(pool, ("spec", "template", "spec", "requirements"), "cluster.jobs.gpu")
            return texts_at(each, "values")
    return []


def _class(tree: RenderedTree) -> Any:
    found = tree.find("EC2NodeClass", "jobs") or tree.find("NodeClass", "jobs")
    return found.body if found else {}


def _shared(tree: RenderedTree, told: Told) -> int | None:
    claim = tree.find("PersistentVolumeClaim", "shared", JOBS)
    size = gib(said(claim, told, "cluster.jobs.fsx_gib", "spec", "resources", "requests", "storage"))
    return int(size) if size else None


# --- Teams ------------------------------------------------------------------------------------------------------------


def read_teams(tree: RenderedTree, told: Told) -> Block:
    """Each team's share, by its namespace."""
    quotas = [each for each in tree.of("ResourceQuota", group="") if each.namespace.startswith(_SPACE)]
    found = [_team(tree, each, told) for each in quotas]
    usual = {"cpu": 16, "memory_gib": 64, "pods": 50}
    differing = [{key: value for key, value in each.items() if usual.get(key) != value} for each in found]
    kept = [each for each in differing if len(each) > 1]
    return {"teams": kept} if kept else {}


def _team(tree: RenderedTree, quota: Manifest, told: Told) -> Block:
    hard, space = mapping_at(quota.body, "spec", "hard"), quota.namespace
    people = tree.find("RoleBinding", "people", space)
    group = text_at(people.body, "subjects", 0, "name") if people else ""
    queue = tree.find("ClusterQueue", space, group="kueue.x-k8s.io")
    declared = (str(each.get("name")) for each in mappings_at(tree.platform, "teams"))
    name = next((each for each in declared if _labelled(each) == space.removeprefix(_SPACE)), space)
    told.take(quota)
    told.carried(quota, ("spec", "hard"), f"cluster.teams[{name}]")
    gpus = _quota(queue) if queue else int(number(hard.get("requests.nvidia.com/gpu")) or 0)
    own = _owned(queue, _GENERAL) if queue else {}  # with queues the quota is that of all that can be lent
    memory = own.get("memory", hard.get("requests.memory"))
    return given(
        team=name,
        cpu=number(own.get("cpu", hard.get("requests.cpu"))),
        memory_gib=whole_gib(memory) or gib(memory),
        gpus=gpus or None,
        pods=number(hard.get("pods")),
        group=group if group and group != f"hanok:{name}" else None,
    )


def _labelled(name: str) -> str:
    """A team's name as its namespace has it."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
