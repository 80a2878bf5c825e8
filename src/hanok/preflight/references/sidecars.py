"""Ports of sidecars (init containers that stay) that are looked up by name: not everybody finds them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hanok.preflight.case import Case
from hanok.preflight.findings import Finding, Rule
from hanok.preflight.makers import spots
from hanok.preflight.manifests import Manifest, labels_at, mappings_at, text_at
from hanok.preflight.workloads import Workload

BY_NAME = Rule("HK232", "warning", "a sidecar's port by its name", "write the port's number")
_NAMES = {
    "Service": (("spec", "selector"), "spec.ports[].targetPort"),
    "NetworkPolicy": (("spec", "podSelector", "matchLabels"), "spec.ingress[].ports[].port"),
}
"""Where each says which pods it means, and by which ports."""


def check(case: Case) -> Iterator[Finding]:
    """Services and walls."""
    for kind, (selector, ports) in _NAMES.items():
        for manifest in case.cluster.of(kind):
            pods = case.inventory.pods(manifest.namespace, labels_at(manifest.body, *selector))
            yield from _found(manifest, ports, pods)


def _found(manifest: Manifest, ports: str, pods: Sequence[Workload]) -> Iterator[Finding]:
    known, hidden = _named(pods, init=False), _named(pods, init=True)
    for path, name in spots(manifest.body, ports):
        if isinstance(name, str) and name in hidden - known:
            message = (
                f"`{name}` is a port of a sidecar of {pods[0].title}: Kubernetes before 1.33 and several network "
                "plugins look for names among the other containers alone, and let nothing through"
            )
            yield BY_NAME.on(manifest, *path, message=message)


def _named(pods: Sequence[Workload], *, init: bool) -> set[str]:
    containers = [each for pod in pods for each in pod.containers if each.init == init]
    return {text_at(port, "name") for each in containers for port in mappings_at(each.body, "ports")} - {""}


CHECKS = (check,)
