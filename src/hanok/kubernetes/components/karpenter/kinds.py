"""Kinds of nodes: what each pool of machines is for, before it is written for either target. Pure."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from hanok.gpu import GIB, Split
from hanok.gpu.catalog import Instance
from hanok.gpu.memory import weights_bytes
from hanok.kubernetes.engines import EnginePlan
from hanok.kubernetes.places import JOBS, WORKLOAD
from hanok.kubernetes.plan import ClusterPlan
from hanok.kubernetes.pools import GENERAL, GPU, Pool
from hanok.spec.written import Place

KARPENTER = "karpenter"
GENERAL_DISK_GIB = 100
SYSTEM_GIB = 60
"""What the system, vLLM's image (some 30 GiB unpacked) and logs take of a disk."""
SYSTEM_ONLY_GIB = 50
"""A root disk where images and pods are on the machine's own NVMe."""
NVME_LEFT = 0.9
"""Share of NVMe that is left of what is sold (GB, file system)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class NodeKind:
    """One pool of machines. `families` are those it may take of, else `instances`; `gpus` are those of one.

    `limits` are of all its nodes together; `overlay` is what one node will offer and the cloud does not say.
    """

    name: str
    instances: Sequence[tuple[str, Instance]]
    families: Sequence[str] = ()
    gpus: int = 0
    limits: Mapping[str, int] = field(default_factory=dict[str, int])
    spot: bool = False
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    weights_gib: int = 0
    overlay: Mapping[str, int] = field(default_factory=dict[str, int])
    replicas: int | None = None
    """Of nodes that are there whether pods want them or not."""
    efa: bool = False
    placement_group: str | None = None

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.instances]

    @cached_property
    def on_nvme(self) -> bool:
        """Whether each of its machines has disks of its own that hold images and weights."""
        needed = SYSTEM_GIB + self.weights_gib
        found = [each.nvme_gb * 1e9 * NVME_LEFT / GIB for _, each in self.instances]
        return bool(self.gpus and found) and min(found) >= needed

    @cached_property
    def cards(self) -> int:
        """EFA interfaces of one machine."""
        return min((each.efa for _, each in self.instances), default=0) if self.efa else 0


def node_kinds(plan: ClusterPlan) -> Iterator[NodeKind]:
    """One for all that needs no GPU, one for each pool of engines, one for jobs."""
    yield _general(plan)
    yield from (_of_pool(plan, each) for each in plan.pools)
    if plan.cluster.jobs.gpus:
        yield _jobs(plan)


def _general(plan: ClusterPlan) -> NodeKind:
    patterns = plan.cluster.nodes.general
    whole = all(each.endswith(".*") and "*" not in each[:-2] for each in patterns)
    families = [each.removesuffix(".*") for each in patterns] if whole else []
    return NodeKind(
        name=GENERAL, instances=_general_instances(plan, patterns), families=families,
        labels={WORKLOAD: GENERAL}, limits={"cpu": plan.cluster.nodes.general_cpu},
    )  # fmt: skip


def _general_instances(plan: ClusterPlan, patterns: Sequence[str]) -> list[tuple[str, Instance]]:
    names = {name for pattern in patterns for name in fnmatch.filter(plan.instances, pattern)}
    found = [(name, plan.instances[name]) for name in names]
    return sorted(found, key=lambda each: (each[1].usd_hour or math.inf, each[0]))


def _of_pool(plan: ClusterPlan, pool: Pool) -> NodeKind:
    multi = any(each.machines > 1 for each in pool.engines)
    spot = plan.cluster.nodes.spot or all(each.deploy.spot for each in pool.engines)
    return NodeKind(
        name=pool.name, instances=pool.machines, gpus=pool.gpus, limits=_limits(plan, pool),
        spot=spot and not multi, labels={**pool.labels, **pool.operator_labels}, efa=multi,
        weights_gib=weights_gib(pool) if plan.cluster.serving.weights == "node" else 0,
        overlay=_overlay(pool), replicas=pool.most_machines if pool.claimed else None,
    )  # fmt: skip


def _limits(plan: ClusterPlan, pool: Pool) -> dict[str, int]:
    """A machine more than its engines fill, so that one can be replaced before it goes; never beyond what is allowed.

    By the name under which nodes offer GPUs, for Karpenter adds up what they offer. Of claimed
    GPUs nothing is offered: their nodes are counted.
    """
    wished, allowed = pool.most_machines + 1, plan.cluster.nodes.gpus
    machines = wished if allowed is None else min(wished, allowed // pool.gpus)
    if pool.claimed:
        return {"nodes": machines}
    return {pool.device: machines * pool.gpus * pool.shares}


def weights_gib(pool: Pool) -> int:
    """Weights of all pods that may stand on one machine: each fetches its own, with a fifth for what is on its way."""
    return math.ceil(sum(_copies(pool, each) * _engine_gib(each) for each in pool.engines))


def _copies(pool: Pool, engine: EnginePlan) -> int:
    return min(engine.most, max(1, pool.gpus * pool.shares // engine.gpus))


def _engine_gib(engine: EnginePlan) -> float:
    return weights_bytes(engine.anatomy, Split()) * 1.2 / GIB + 5


def _overlay(pool: Pool) -> dict[str, int]:
    return {} if pool.mode == "whole" or pool.claimed else {pool.device: pool.gpus * pool.shares}


def _jobs(plan: ClusterPlan) -> NodeKind:
    jobs = plan.cluster.jobs
    known = plan.catalog.instances.get(jobs.gpu)
    gpus = known.gpus if known else 1
    machines = -(-jobs.gpus // gpus)
    return NodeKind(
        name=JOBS, instances=[(jobs.gpu, known)] if known else [], gpus=gpus,
        limits={"nodes": machines} if jobs.always else {GPU: machines * gpus},
        replicas=machines if jobs.always else None, labels={WORKLOAD: JOBS},
        efa=jobs.efa, placement_group=jobs.placement_group,
    )  # fmt: skip


def unknown_instances(plan: ClusterPlan) -> Iterator[tuple[Place, str]]:
    """Names of machines in the file that the catalogue does not have; those of jobs are looked at with jobs."""
    for index, pattern in enumerate(plan.cluster.nodes.general):
        if not _general_instances(plan, [pattern]):
            yield ("cluster", "nodes", "general", index), pattern
