"""What points at workloads from beside them: autoscalers, disruption budgets, network policies, monitors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from hanok.preflight import helmfiles
from hanok.preflight.case import Case
from hanok.preflight.charts import RELEASES, charts, charts_of, release_name
from hanok.preflight.findings import Finding, Rule
from hanok.preflight.labelled import watched_namespaces
from hanok.preflight.makers import spots
from hanok.preflight.manifests import (
    Body,
    Manifest,
    Step,
    at,
    labels_at,
    list_at,
    mapping_at,
    mappings_at,
    text_at,
)
from hanok.preflight.ports import as_port
from hanok.preflight.references.uses import Use, follow
from hanok.preflight.wording import labelled

NO_TARGET = Rule("HK222", "error", "an autoscaler of nothing", "name a workload that there is, in the same namespace")
NOTHING_SELECTED = Rule(
    "HK223", "warning", "a selector that means no pod", "give it the labels of the pods that are meant"
)
NOTHING_MONITORED = Rule(
    "HK224", "warning", "a monitor that finds nothing", "give it the labels of the Service (or pods), and its namespace"
)
NO_MONITORED_PORT = Rule("HK225", "error", "a monitor of a port that is not there", "name a port as the Service does")
NOT_RELEASED = Rule(
    "HK226",
    "warning",
    "a monitor that Prometheus passes over",
    "add the label `release`, or set serviceMonitorSelectorNilUsesHelmValues and its like to false",
)
NO_PROMETHEUS = Rule(
    "HK227", "info", "monitors without a Prometheus", "install kube-prometheus-stack, or another that reads monitors"
)

_MONITORS: Mapping[str, str] = {
    "ServiceMonitor": "serviceMonitor",
    "PodMonitor": "podMonitor",
    "PrometheusRule": "rule",
    "Probe": "probe",
}
"""Kinds that Prometheus picks by label, and how the chart's values begin."""
_SCALED = ("Deployment", "StatefulSet", "ReplicaSet", "LeaderWorkerSet")


def check_targets(case: Case) -> Iterator[Finding]:
    for kind, where in (
        ("HorizontalPodAutoscaler", "scaleTargetRef"),
        ("ScaledObject", "scaleTargetRef"),
        ("VerticalPodAutoscaler", "targetRef"),
    ):
        uses = (use for each in case.cluster.of(kind) for use in _target(each, ("spec", where)))
        yield from follow(case, uses, NO_TARGET, "it scales nothing")


def _target(scaler: Manifest, where: tuple[Step, ...]) -> Iterator[Use]:
    body = mapping_at(scaler.body, *where)
    kind = text_at(body, "kind") or "Deployment"
    if kind in _SCALED:
        yield Use(manifest=scaler, path=where, kind=kind, name=text_at(body, "name"), namespace=scaler.namespace)


def check_pod_selectors(case: Case) -> Iterator[Finding]:
    for kind, where in (("PodDisruptionBudget", "selector"), ("NetworkPolicy", "podSelector")):
        for manifest in case.cluster.of(kind):
            selector = mapping_at(manifest.body, "spec", where)
            yield from _selecting_nothing(case, manifest, ("spec", where), selector)


def _selecting_nothing(case: Case, manifest: Manifest, where: tuple[Step, ...], selector: Body) -> Iterator[Finding]:
    labels = labels_at(selector, "matchLabels")
    if not labels or case.inventory.selected(manifest.namespace, selector):
        return
    if case.inventory.may_have_pods(manifest.namespace, labels) is None and case.inventory.selected(
        manifest.namespace, {}
    ):
        words = labelled(labels)
        message = f"no pod in {manifest.namespace} has the labels {words}: it protects nothing"
        yield NOTHING_SELECTED.on(manifest, *where, message=message)


# --- Monitors ---------------------------------------------------------------------------------------------------------


def check_service_monitors(case: Case) -> Iterator[Finding]:
    for monitor in case.cluster.of("ServiceMonitor"):
        spaces = watched_namespaces(monitor)
        selector = at(monitor.body, "spec", "selector")
        services = [each for space in spaces or (None,) for each in case.inventory.services(space, selector)]
        if services:
            yield from _monitored_ports(monitor, services)
        elif spaces is not None and all(_is_known(case, each, monitor) for each in spaces):
            where = ", ".join(sorted(spaces))
            message = f"no Service in {where} has the labels that it asks for: nothing is scraped"
            yield NOTHING_MONITORED.on(monitor, "spec", "selector", message=message)


_CLUSTERS_OWN = "kube-system"
"""Here stand the kubelets' Service, CoreDNS and the like, which are in nobody's files."""


def _is_known(case: Case, namespace: str, monitor: Manifest) -> bool:
    labels = labels_at(monitor.body, "spec", "selector", "matchLabels")
    known = namespace == monitor.namespace or (case.inventory.is_peopled(namespace) and namespace != _CLUSTERS_OWN)
    return known and case.inventory.may_have_pods(namespace, labels) is None


def _monitored_ports(monitor: Manifest, services: Sequence[Manifest]) -> Iterator[Finding]:
    ports = [each for service in services for each in mappings_at(service.body, "spec", "ports")]
    named = {text_at(each, "name") for each in ports} - {""}
    for path, port in spots(monitor.body, "spec.endpoints[].port"):
        if isinstance(port, str) and port not in named:
            there = ", ".join(sorted(named)) or "no names"
            message = f"{services[0].title} has no port named `{port}`; its ports have {there}"
            yield NO_MONITORED_PORT.on(monitor, *path, message=message)


def check_pod_monitors(case: Case) -> Iterator[Finding]:
    for monitor in case.cluster.of("PodMonitor"):
        spaces = watched_namespaces(monitor)
        selector = at(monitor.body, "spec", "selector")
        pods = [pod for space in spaces or (None,) for pod in case.inventory.selected(space, selector)]
        ports = [each for pod in pods for box in pod.containers for each in mappings_at(box.body, "ports")]
        named = {text_at(each, "name") for each in ports}
        for path, port in spots(monitor.body, "spec.podMetricsEndpoints[].port"):
            if pods and isinstance(port, str) and port not in named and as_port(port) is None:
                message = f"no container of {pods[0].title} has a port named `{port}`"
                yield NO_MONITORED_PORT.on(monitor, *path, message=message)
        if not pods and spaces is not None and all(_is_known(case, each, monitor) for each in spaces):
            message = f"no pod in {', '.join(sorted(spaces))} has the labels that it asks for: nothing is scraped"
            yield NOTHING_MONITORED.on(monitor, "spec", "selector", message=message)


def check_releases(case: Case) -> Iterator[Finding]:
    """The chart's Prometheus reads monitors of its own release only, unless told otherwise (chart 88, its values)."""
    stacks = [each for each in case.cluster.of("HelmRelease", helmfiles.KIND) if _is_stack(each)]
    for kind, begin in _MONITORS.items():
        picky = [each for each in stacks if _is_picky(each, begin)]
        if picky and len(picky) == len(stacks):
            wanted = {release_name(each) for each in picky}
            for monitor in case.cluster.of(kind, group="monitoring.coreos.com"):
                if monitor.labels.get("release") not in wanted:
                    name = min(wanted)
                    message = f"{picky[0].title} reads only what has the label `release: {name}`; this is passed over"
                    yield NOT_RELEASED.on(monitor, "metadata", message=message)


def _is_stack(release: Manifest) -> bool:
    return any(each.name == "kube-prometheus-stack" for each in charts_of(release))


def _is_picky(release: Manifest, begin: str) -> bool:
    spec = mapping_at(release.body, "spec", "values", "prometheus", "prometheusSpec")
    chosen = mapping_at(spec, f"{begin}Selector")
    unknown = bool(list_at(release.body, "spec", "valuesFrom"))
    return not chosen and at(spec, f"{begin}SelectorNilUsesHelmValues") is not False and not unknown


def check_prometheus(case: Case) -> Iterator[Finding]:
    monitor = next(case.cluster.of("ServiceMonitor", "PodMonitor"), None)
    readers = ("Prometheus", "PrometheusAgent", "TargetAllocator", "OpenTelemetryCollector")
    words = ("prometheus", "victoria", "alloy", "mimir", "monitoring")
    named = {each.name for each in case.cluster.of(*RELEASES)} | {each.name for each in charts(case.cluster)}
    read = any(True for _ in case.cluster.of(*readers))
    there = read or any(word in name for name in named for word in words)
    if monitor is not None and not there:
        message = "nothing in these files reads monitors; a Prometheus of the operator must be in the cluster"
        yield NO_PROMETHEUS.on(monitor, message=message)


CHECKS = (
    check_targets,
    check_pod_selectors,
    check_service_monitors,
    check_pod_monitors,
    check_releases,
    check_prometheus,
)
