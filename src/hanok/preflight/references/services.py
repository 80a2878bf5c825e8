"""Services and the pods behind them: what a selector means, and the ports that it can be reached at."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from hanok.preflight.case import Case
from hanok.preflight.findings import Finding, Rule
from hanok.preflight.makers import spots
from hanok.preflight.manifests import (
    Body,
    Manifest,
    Step,
    at,
    labels_at,
    mappings_at,
    text_at,
    whole_at,
)
from hanok.preflight.ports import as_port, target_of
from hanok.preflight.references.uses import OUTSIDE, Use, follow
from hanok.preflight.wording import labelled
from hanok.preflight.workloads import Container, Workload

NO_PODS = Rule(
    "HK211", "error", "a Service that no pod stands behind", "give selector and pod template the same labels"
)
NO_NAMED_PORT = Rule("HK212", "error", "a target port by a name that no container has", "name a container's port so")
NO_NUMBERED_PORT = Rule(
    "HK213",
    "warning",
    "a target port that no container declares",
    "point it at the port that the container listens on",
)
NO_SERVICE = Rule("HK214", "error", "a Service that does not exist", "add it, or name one that there is")
NO_PORT = Rule("HK215", "error", "a port that a Service does not have", "use a port of the Service, or add this one")


def check_selectors(case: Case) -> Iterator[Finding]:
    for service in case.cluster.of("Service", group=""):
        wanted = labels_at(service.body, "spec", "selector")
        if wanted and text_at(service.body, "spec", "type") != "ExternalName":
            pods = case.inventory.pods(service.namespace, wanted)
            if pods:
                yield from _target_ports(service, pods)
            elif not _are_misnamed(case, service.namespace, wanted):
                yield _without_pods(case, service, wanted)


def _are_misnamed(case: Case, namespace: str, wanted: dict[str, str]) -> bool:
    """Whether a workload's own selector has the labels, and its pods have not: that is told of the workload."""
    own = (
        labels_at(each.manifest.body, "spec", "selector", "matchLabels")
        for each in case.workloads
        if each.namespace == namespace
    )
    return any(wanted.items() <= labels.items() for labels in own)


def _without_pods(case: Case, service: Manifest, wanted: dict[str, str]) -> Finding:
    words = labelled(wanted)
    maker = case.inventory.may_have_pods(service.namespace, wanted)
    if maker is not None or not _has_pods(case, service.namespace):
        who = f"{maker.title} may make them" if maker else f"no pods of {service.namespace} are in these files"
        return OUTSIDE.on(service, "spec", "selector", message=f"no pod here has the labels {words}; {who}")
    message = f"no pod in {service.namespace} has the labels {words}: every connection is refused"
    return NO_PODS.on(service, "spec", "selector", message=message, hint=_nearest(case, service, wanted))


def _has_pods(case: Case, namespace: str) -> bool:
    return bool(case.inventory.selected(namespace, {}))


def _nearest(case: Case, service: Manifest, wanted: dict[str, str]) -> str:
    """The pods that have most of the labels, or the name."""
    there = case.inventory.selected(service.namespace, {})
    best = max(there, key=lambda pod: sum(pod.labels.get(key) == value for key, value in wanted.items()))
    labels = labelled({key: best.labels[key] for key in wanted if key in best.labels} or best.labels) or "no labels"
    return f"{NO_PODS.hint}; pods of {best.title} have {labels}"


def _target_ports(service: Manifest, pods: Sequence[Workload]) -> Iterator[Finding]:
    for index, port in enumerate(mappings_at(service.body, "spec", "ports")):
        where = ("spec", "ports", index, "targetPort" if "targetPort" in port else "port")
        yield from port_findings(service, where, target_of(port), pods)


def port_findings(
    manifest: Manifest, where: tuple[Step, ...], target: object, pods: Sequence[Workload]
) -> Iterator[Finding]:
    """What is wrong with a port of pods, named or numbered."""
    containers = [each for pod in pods for each in pod.containers]
    ports = [each for container in containers for each in mappings_at(container.body, "ports")]
    number = as_port(target)
    if isinstance(target, str) and number is None:
        named = sorted({text_at(each, "name") for each in ports} - {""})
        if target not in named and "$" not in target:
            there = f"they have {', '.join(named)}" if named else "none of their ports has a name"
            message = f"no container of {pods[0].title} has a port named `{target}`; {there}"
            yield NO_NAMED_PORT.on(manifest, *where, message=message)
    elif number is not None and not any(is_listening(each, number) for each in containers):
        declared = sorted({found for each in ports if (found := whole_at(each, "containerPort"))})
        if declared:
            message = f"no container of {pods[0].title} declares port {number}; they declare {_list(declared)}"
            yield NO_NUMBERED_PORT.on(manifest, *where, message=message)


def _list(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers[:8]))


def is_listening(container: Container, number: int) -> bool:
    """Whether it declares the port, or speaks of it in its command or variables."""
    if any(whole_at(each, "containerPort") == number for each in mappings_at(container.body, "ports")):
        return True
    alone = re.compile(rf"(?<!\d){number}(?!\d)")
    return any(alone.search(word) for word in (*container.words, *container.env.values()))


def service_ports(service: Manifest) -> list[Body]:
    """The ports of a Service."""
    return mappings_at(service.body, "spec", "ports")


def is_open_ended(service: Manifest) -> bool:
    """Whether callers reach other ports, too: DNS gives the pods themselves, or a name outside."""
    headless = text_at(service.body, "spec", "clusterIP") == "None"
    return headless or text_at(service.body, "spec", "type") == "ExternalName"


def backend(case: Case, use: Use, port: object, *, so: str) -> Iterator[Finding]:
    """What is wrong with a Service that traffic is sent to, at a port (number or name; None where none is named)."""
    service = case.cluster.find("Service", use.name, use.namespace)
    if service is None:
        yield from follow(case, [use], NO_SERVICE, so)
    elif port is not None:
        yield from wrong_port(use, service, port)


def wrong_port(use: Use, service: Manifest, port: object) -> Iterator[Finding]:
    """A port that a Service does not have."""
    ports = service_ports(service)
    numbers, named = {whole_at(each, "port") for each in ports}, {text_at(each, "name") for each in ports}
    number = as_port(port)
    if (number not in numbers) if number is not None else (not isinstance(port, str) or port not in named):
        there = ", ".join(str(whole_at(each, "port")) for each in ports) or "none"
        yield use.say(NO_PORT, f"{use.title} has no port {port}; it has {there}")


def check_governing(case: Case) -> Iterator[Finding]:
    """A StatefulSet's `serviceName` gives its pods their names in DNS; they run without."""
    for manifest in case.cluster.of("StatefulSet"):
        if name := text_at(manifest.body, "spec", "serviceName"):
            where = ("spec", "serviceName")
            use = Use(manifest=manifest, path=where, kind="Service", name=name, namespace=manifest.namespace)
            found = follow(case, [use], NO_SERVICE, "its pods have no names of their own")
            yield from (replace(each, severity="warning") if each.rule is NO_SERVICE else each for each in found)


def check_webhooks(case: Case) -> Iterator[Finding]:
    """Services that the API server itself calls."""
    for kind, pattern in (
        ("ValidatingWebhookConfiguration", "webhooks[].clientConfig.service"),
        ("MutatingWebhookConfiguration", "webhooks[].clientConfig.service"),
        ("APIService", "spec.service"),
    ):
        for manifest in case.cluster.of(kind):
            for path, found in spots(manifest.body, pattern):
                name, space = text_at(found, "name"), text_at(found, "namespace")
                if case.inventory.is_peopled(space):
                    use = Use(manifest=manifest, path=path, kind="Service", name=name, namespace=space)
                    yield from backend(case, use, at(found, "port"), so="requests that it watches fail")


CHECKS = (check_selectors, check_governing, check_webhooks)
