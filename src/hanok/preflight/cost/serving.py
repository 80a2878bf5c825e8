"""Who answers calls, and what protects him: the questions that checks of availability share.

*On the path* are engines, gateways and what the outside reaches; a pod behind a Service inside the cluster serves, too,
but its absence is not every caller's. Dashboards and controllers are neither.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cached_property

from hanok.preflight.engines import Engine
from hanok.preflight.image import read_image
from hanok.preflight.inventory import Inventory
from hanok.preflight.manifests import (
    Cluster,
    Manifest,
    at,
    labels_at,
    mapping_at,
    mappings_at,
    text_at,
)
from hanok.preflight.workloads import Workload

SERVERS = ("Deployment", "StatefulSet", "ReplicaSet", "LeaderWorkerSet")
_GATEWAY = re.compile(
    r"(^|[/_-])(litellm|hanok|envoy|nginx|traefik|haproxy|kong|apisix|agentgateway|kgateway|llm-d-router|"
    r"llm-d-inference-scheduler|epp)([/:@_-]|$)"
)
_WATCHER = re.compile(
    r"(^|[/_-])(grafana|prometheus|alertmanager|jaeger|loki|tempo|langfuse|langsmith|mlflow|phoenix|kibana|"
    r"opentelemetry-collector|otel-collector|pushgateway|exporter)([/:@_-]|$)"
)
_LEADER = re.compile(r"--?(enable-)?leader-elect(ion)?\b")
_DATABASES = (
    "redis", "redis-stack", "redis-stack-server", "valkey", "postgres", "postgresql", "pgvector", "timescaledb",
    "mysql", "mariadb", "mongo", "mongodb", "qdrant", "weaviate", "chroma", "clickhouse", "clickhouse-server", "minio",
    "elasticsearch", "opensearch", "neo4j", "etcd",
)  # fmt: skip
_CLIENTS = re.compile(
    r"(^|/)(psql|pg_dump|pg_isready|redis-cli|valkey-cli|mysql|mysqldump|mongosh|mongos|mc|curl|etcdctl)$"
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Serving:
    """Who serves, of all workloads of a cluster; each answer is found once."""

    cluster: Cluster
    inventory: Inventory
    engines: Mapping[Workload, Sequence[Engine]]

    def engine(self, workload: Workload) -> Engine | None:
        """The engine in these pods, if there is one."""
        return next(iter(self.engines.get(workload, ())), None)

    def services(self, workload: Workload) -> Sequence[Manifest]:
        """The Services that lead to these pods, but for those of metrics and webhooks."""
        return self._services.get(workload, ())

    def guards(self, workload: Workload) -> Sequence[Manifest]:
        """The PodDisruptionBudgets that mean these pods."""
        return self._guards.get(workload, ())

    def guarded(self, guard: Manifest) -> Sequence[Workload]:
        """The workloads that a PodDisruptionBudget means."""
        return self._guarded.get(guard, ())

    def is_served(self, workload: Workload) -> bool:
        """Whether a Service leads to it, for more than metrics and webhooks."""
        return answers(workload) and bool(self.services(workload))

    def is_on_path(self, workload: Workload) -> bool:
        """Whether calls from outside come to a stand without it."""
        return workload in self._on_path

    @cached_property
    def _services(self) -> Mapping[Workload, Sequence[Manifest]]:
        found: dict[Workload, list[Manifest]] = {}
        for service in self.cluster.of("Service"):
            if not _is_side_door(service):
                for each in self.inventory.pods(service.namespace, labels_at(service.body, "spec", "selector")):
                    found.setdefault(each, []).append(service)
        return found

    @cached_property
    def _guards(self) -> Mapping[Workload, Sequence[Manifest]]:
        found: dict[Workload, list[Manifest]] = {}
        for guard, meant in self._guarded.items():
            for each in meant:
                found.setdefault(each, []).append(guard)
        return found

    @cached_property
    def _guarded(self) -> Mapping[Manifest, Sequence[Workload]]:
        guards = self.cluster.of("PodDisruptionBudget")
        return {guard: self._meant_by(guard) for guard in guards}

    def _meant_by(self, guard: Manifest) -> Sequence[Workload]:
        """The pods that a budget means; an empty selector means all of the namespace."""
        if not isinstance(at(guard.body, "spec", "selector"), dict):
            return ()
        return self.inventory.selected(guard.namespace, mapping_at(guard.body, "spec", "selector"))

    @cached_property
    def _on_path(self) -> frozenset[Workload]:
        exposed = _exposed(self.cluster)
        return frozenset(each for each in self.inventory.workloads if self._is_on_path(each, exposed))

    def _is_on_path(self, workload: Workload, exposed: Set[tuple[str, str]]) -> bool:
        if not answers(workload) or is_controller(workload) or database(workload):
            return False
        if self.engine(workload) is not None:
            return True
        services = self.services(workload)
        if not services or any(_WATCHER.search(each.image) for each in workload.containers):
            return False
        return any(_GATEWAY.search(each.image) for each in workload.containers) or _is_open(services, exposed)


def answers(workload: Workload) -> bool:
    """Whether it is of a kind that answers calls, as opposed to work that ends, or what each node has."""
    whole = workload.part in ("", "leader")
    return workload.manifest.kind in SERVERS and workload.most > 0 and whole and not workload.finite


def _is_side_door(service: Manifest) -> bool:
    ports = [text_at(each, "name") for each in mappings_at(service.body, "spec", "ports")]
    metrics = bool(ports) and all("metric" in each for each in ports)
    return metrics or "webhook" in service.name or service.name.endswith("-metrics")


def _is_open(services: Sequence[Manifest], exposed: Set[tuple[str, str]]) -> bool:
    """Whether one of these is reached from outside: of type LoadBalancer, or behind an Ingress or a route."""
    if any(text_at(each.body, "spec", "type") == "LoadBalancer" for each in services):
        return True
    return any((each.namespace, each.name) in exposed for each in services)


def _exposed(cluster: Cluster) -> set[tuple[str, str]]:
    """Namespaces and names of Services that an Ingress or a route sends calls to."""
    found: set[tuple[str, str]] = set()
    for route in cluster.of("HTTPRoute", "GRPCRoute"):
        for rule in mappings_at(route.body, "spec", "rules"):
            for back in mappings_at(rule, "backendRefs"):
                if text_at(back, "kind") in ("", "Service"):
                    found.add((text_at(back, "namespace") or route.namespace, text_at(back, "name")))
    for ingress in cluster.of("Ingress"):
        backends = [mapping_at(ingress.body, "spec", "defaultBackend")]
        for rule in mappings_at(ingress.body, "spec", "rules"):
            backends += [mapping_at(each, "backend") for each in mappings_at(rule, "http", "paths")]
        found |= {(ingress.namespace, text_at(each, "service", "name")) for each in backends}
    return found


def is_controller(workload: Workload) -> bool:
    """Whether of its replicas one works and the others wait."""
    return any(_LEADER.search(word) for each in workload.containers for word in each.words)


def database(workload: Workload) -> str:
    """The name of the database or store whose data these pods hold, by its image; empty where it is none."""
    for each in workload.containers:
        image = read_image(each.image)
        name = image.name.rsplit("/", 1)[-1].lower() if image else ""
        if name in _DATABASES and not (each.words and _CLIENTS.search(each.words[0])):
            return name
    return ""


def share_of(value: object, count: int, *, up: bool) -> int | None:
    """A number or a percentage of `count`, as Kubernetes reckons; None where it is neither."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and (found := re.fullmatch(r"(\d{1,6})%", value)):
        exact = int(found[1]) * count / 100
        return math.ceil(exact) if up else math.floor(exact)
    return None
