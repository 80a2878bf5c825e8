"""Pods: every template that a manifest holds, how many of it there will be, and what one asks for.

The idea that makes it simple: whatever makes pods (a Deployment, a Job, a LeaderWorkerSet, a Ray cluster) becomes a
list of `Workload`s, and nobody further on asks for the kind. How many there are at most comes from autoscalers, where
there is one. Requests are the scheduler's: the containers' sum, or the largest init container, and the pod's overhead.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from hanok.preflight.manifests import (
    Body,
    Cluster,
    Manifest,
    Step,
    at,
    labels_at,
    mapping_at,
    mappings_at,
    text_at,
    texts_at,
    whole_at,
)
from hanok.preflight.quantities import Amounts, add, amounts, most

GPU = "nvidia.com/gpu"
Path = tuple[Step, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Container:
    """One container of a pod, and where it stands in its manifest."""

    body: Body
    path: Path
    init: bool = False

    @cached_property
    def name(self) -> str:
        return text_at(self.body, "name")

    @cached_property
    def image(self) -> str:
        return text_at(self.body, "image")

    @cached_property
    def words(self) -> list[str]:
        """Command and arguments, as the process will be given them."""
        return [*texts_at(self.body, "command"), *texts_at(self.body, "args")]

    @cached_property
    def env(self) -> dict[str, str]:
        """Variables whose values stand in the manifest."""
        return {text_at(each, "name"): text_at(each, "value") for each in mappings_at(self.body, "env")}

    @cached_property
    def requests(self) -> Amounts:
        """What it asks for; what has only a limit is asked for as much."""
        return {**self.limits, **amounts(at(self.body, "resources", "requests"))}

    @cached_property
    def limits(self) -> Amounts:
        return amounts(at(self.body, "resources", "limits"))

    @cached_property
    def sidecar(self) -> bool:
        """An init container that stays."""
        return self.init and text_at(self.body, "restartPolicy") == "Always"


@dataclass(frozen=True, kw_only=True, eq=False)
class Workload:
    """One kind of pod. `path` leads to its template (which holds `metadata` and `spec`) in the manifest."""

    manifest: Manifest
    path: Path
    least: int
    most: int
    replicas: int
    """As many as are declared, without an autoscaler."""
    per_node: bool = False
    """One on each node that takes it."""
    finite: bool = False
    """It ends by itself."""
    part: str = ""
    """Which of several templates of its manifest: `leader`, `worker`."""
    made: Body | None = None
    """The template, where an operator makes it of what stands at `path`."""

    @cached_property
    def template(self) -> Body:
        return self.made or mapping_at(self.manifest.body, *self.path)

    @cached_property
    def spec(self) -> Body:
        return mapping_at(self.template, "spec")

    @cached_property
    def likeness(self) -> str:
        """The same text for pods with the same spec: what holds of one spec holds of all that are like it."""
        return repr(self.spec)

    @cached_property
    def title(self) -> str:
        return f"{self.manifest.title} ({self.part})" if self.part else self.manifest.title

    @property
    def namespace(self) -> str:
        return self.manifest.namespace

    @cached_property
    def labels(self) -> dict[str, str]:
        return labels_at(self.template, "metadata", "labels")

    @cached_property
    def annotations(self) -> dict[str, str]:
        return labels_at(self.template, "metadata", "annotations")

    @cached_property
    def containers(self) -> Sequence[Container]:
        """Those that run side by side."""
        return [*self._mains, *(each for each in self.inits if each.sidecar)]

    @cached_property
    def everyone(self) -> Sequence[Container]:
        """Every container once, in the order of the manifest."""
        return [*self.inits, *self._mains]

    @cached_property
    def _mains(self) -> Sequence[Container]:
        return self._containers("containers")

    @cached_property
    def inits(self) -> Sequence[Container]:
        return self._containers("initContainers")

    def _containers(self, key: str) -> list[Container]:
        found = mappings_at(self.spec, key)
        where = (*self.path, "spec", key)
        return [
            Container(body=body, path=(*where, index), init=key == "initContainers") for index, body in enumerate(found)
        ]

    @cached_property
    def requests(self) -> Amounts:
        """What one pod asks of a node, `pods: 1` among it."""
        running = add({}, *(each.requests for each in self.containers))
        first = most({}, *(each.requests for each in self.inits if not each.sidecar))
        declared = amounts(at(self.spec, "resources", "requests"))
        total = {**most(running, first), **declared}
        return {
            name: each for name, each in add(total, amounts(at(self.spec, "overhead")), {"pods": 1}).items() if each
        }

    @cached_property
    def gpus(self) -> int:
        """GPUs that one pod asks for, in whatever name NVIDIA's are asked for."""
        return sum(each for name, each in self.requests.items() if name.startswith("nvidia.com/"))

    def line(self, *path: Step) -> int:
        """The line of what stands there in the pod template."""
        return self.manifest.line(*self.path, *path)


_TEMPLATE: Path = ("spec", "template")
_PLAIN = ("Deployment", "StatefulSet", "ReplicaSet", "ReplicationController")
_RAY: Mapping[str, Path] = {
    "RayCluster": ("spec",),
    "RayJob": ("spec", "rayClusterSpec"),
    "RayService": ("spec", "rayClusterConfig"),
}


def workloads(cluster: Cluster) -> list[Workload]:
    """Every kind of pod in the cluster, in the order of the manifests."""
    scalers = _scalers(cluster)
    return [workload for manifest in cluster.manifests for workload in _of(manifest, scalers)]


def _of(manifest: Manifest, scalers: Mapping[tuple[str, str, str], tuple[int, int]]) -> Iterator[Workload]:
    body, kind = manifest.body, manifest.kind
    if kind == "Pod" and manifest.group == "":
        yield Workload(manifest=manifest, path=(), least=1, most=1, replicas=1)
    elif kind in _PLAIN:
        yield _scaled(manifest, _TEMPLATE, scalers)
    elif kind == "DaemonSet":
        yield Workload(manifest=manifest, path=_TEMPLATE, least=1, most=1, replicas=1, per_node=True)
    elif kind == "Job" and manifest.group == "batch":
        yield _job(manifest, ("spec",))
    elif kind == "CronJob" and manifest.group == "batch":
        yield _job(manifest, ("spec", "jobTemplate", "spec"))
    elif kind == "LeaderWorkerSet":
        yield from _leader_and_workers(manifest, scalers)
    elif kind in _RAY and manifest.group == "ray.io":
        yield from _ray(manifest, _RAY[kind], mapping_at(body, *_RAY[kind]))


def _scaled(manifest: Manifest, path: Path, scalers: Mapping[tuple[str, str, str], tuple[int, int]]) -> Workload:
    declared = whole_at(manifest.body, "spec", "replicas")
    replicas = 1 if declared is None else max(0, declared)
    low, high = scalers.get((manifest.kind, manifest.namespace, manifest.name), (replicas, replicas))
    return Workload(manifest=manifest, path=path, least=low, most=high, replicas=replicas)


def _job(manifest: Manifest, path: Path) -> Workload:
    """As many pods at once as it says; a job that is over needs none."""
    spec = mapping_at(manifest.body, *path)
    wanted, left = whole_at(spec, "parallelism"), whole_at(spec, "completions")
    count = 1 if wanted is None else max(0, wanted)
    count = count if left is None else min(count, max(0, left))
    return Workload(manifest=manifest, path=(*path, "template"), least=0, most=count, replicas=count, finite=True)


def _leader_and_workers(
    manifest: Manifest, scalers: Mapping[tuple[str, str, str], tuple[int, int]]
) -> Iterator[Workload]:
    """Each replica is one leader and `size - 1` workers; without a leader's template it is made as a worker."""
    whole = _scaled(manifest, _TEMPLATE, scalers)
    inner: Path = ("spec", "leaderWorkerTemplate")
    size = max(1, whole_at(manifest.body, *inner, "size") or 1)
    worker, leader = (*inner, "workerTemplate"), (*inner, "leaderTemplate")
    has_leader = bool(mapping_at(manifest.body, *leader))
    for part, path, count in (("leader", leader if has_leader else worker, 1), ("worker", worker, size - 1)):
        if count:
            yield Workload(
                manifest=manifest, path=path, part=part,
                least=whole.least * count, most=whole.most * count, replicas=whole.replicas * count,
            )  # fmt: skip


def _ray(manifest: Manifest, path: Path, body: Body) -> Iterator[Workload]:
    finite = manifest.kind == "RayJob"
    head = (*path, "headGroupSpec", "template")
    yield Workload(manifest=manifest, path=head, part="head", least=1, most=1, replicas=1, finite=finite)
    for index, group in enumerate(mappings_at(body, "workerGroupSpecs")):
        count = _whole(at(group, "replicas"), 1)
        low, high = _whole(at(group, "minReplicas"), count), _whole(at(group, "maxReplicas"), count)
        if not at(body, "enableInTreeAutoscaling"):
            low = high = count
        yield Workload(
            manifest=manifest, path=(*path, "workerGroupSpecs", index, "template"),
            part=text_at(group, "groupName") or f"workers {index + 1}", least=low, most=max(low, high), replicas=count,
            finite=finite,
        )  # fmt: skip


_MILVUS = (
    "standalone", "proxy", "mixCoord", "rootCoord", "dataCoord", "queryCoord", "indexCoord", "dataNode", "indexNode",
    "queryNode", "streamingNode",
)  # fmt: skip
_POD_KEYS = ("nodeSelector", "tolerations", "affinity", "schedulerName", "volumes", "runtimeClassName")


def operated(cluster: Cluster) -> list[Workload]:
    """Pods that an operator makes of a resource of its own, as far as the resource says what they ask for."""
    return [each for manifest in cluster.of("Milvus", group="milvus.io") for each in _milvus(manifest)]


def _milvus(manifest: Manifest) -> Iterator[Workload]:
    """Milvus' components; what stands beside them counts for all. Source: milvus-operator 1.3, ComponentSpec."""
    everywhere = mapping_at(manifest.body, "spec", "components")
    for name in _MILVUS:
        own = mapping_at(everywhere, name)
        if own:
            replicas = max(0, _whole(at(own, "replicas"), 1))
            keys = {key: each for key in _POD_KEYS if (each := at(own, key) or at(everywhere, key))}
            container = {
                "name": name,
                "image": text_at(own, "image") or text_at(everywhere, "image"),
                "resources": mapping_at(own, "resources") or mapping_at(everywhere, "resources"),
            }
            yield Workload(
                manifest=manifest, path=("spec", "components", name), part=name, least=replicas, most=replicas,
                replicas=replicas, made={"spec": {**keys, "containers": [container]}},
            )  # fmt: skip


def _whole(value: Any, default: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else default


def _scalers(cluster: Cluster) -> dict[tuple[str, str, str], tuple[int, int]]:
    """What autoscalers may do, by the kind, namespace and name of what they scale: at least and at most so many."""
    found: dict[tuple[str, str, str], tuple[int, int]] = {}
    for scaler in cluster.of("HorizontalPodAutoscaler"):
        low, high = whole_at(scaler.body, "spec", "minReplicas"), whole_at(scaler.body, "spec", "maxReplicas")
        found |= _scaler(scaler, 1 if low is None else low, 1 if high is None else high)
    for scaler in cluster.of("ScaledObject"):
        low, high = (whole_at(scaler.body, "spec", f"{end}ReplicaCount") for end in ("min", "max"))
        found |= _scaler(scaler, low or 0, 100 if high is None else high)
    return found


def _scaler(scaler: Manifest, low: int, high: int) -> dict[tuple[str, str, str], tuple[int, int]]:
    target = mapping_at(scaler.body, "spec", "scaleTargetRef")
    key = (text_at(target, "kind") or "Deployment", scaler.namespace, text_at(target, "name"))
    return {key: (max(0, low), max(0, low, high))}
