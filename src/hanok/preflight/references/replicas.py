"""Replicas by name: hosts such as `llama-0.llama.models.svc:8000`, behind a Service that gives the pods themselves.

A headless Service maps no ports: what is asked is the pod's own port. A StatefulSet's pods are numbered, and never are
there more of them than its most replicas.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hanok.preflight.findings import Finding, Rule
from hanok.preflight.manifests import Manifest, labels_at, mappings_at, text_at, whole_at
from hanok.preflight.ports import as_port
from hanok.preflight.references.services import NO_PORT, is_listening
from hanok.preflight.references.uses import Use
from hanok.preflight.workloads import Workload

if TYPE_CHECKING:
    from hanok.preflight.case import Case, Check

NO_REPLICA = Rule(
    "HK233",
    "warning",
    "a replica that never is there",
    "write the name of a pod that there may be, or allow more replicas",
)
ENGINE_PORT = 8000
"""Where vLLM listens unless it is told otherwise."""
_NUMBERED = re.compile(r"(?P<owner>.+)-(?P<number>\d{1,9})")
SHOWN = 8


def is_headless(service: Manifest) -> bool:
    """Whether DNS gives callers the pods themselves."""
    return text_at(service.body, "spec", "clusterIP") == "None"


def is_numbered(label: str) -> bool:
    """Whether a pod of a StatefulSet could be called so."""
    return _NUMBERED.fullmatch(label) is not None


@dataclass(frozen=True, kw_only=True, eq=False)
class Behind:
    """The pods behind a headless Service: looked through once, as thousands may ask for them."""

    pods: Sequence[Workload]
    ports: Sequence[int]
    """What containers declare, and where engines listen."""
    sure: bool
    """Whether nothing else can listen there."""
    sets: Mapping[str, range] | None
    """Numbers of pods by their StatefulSet; None where others stand there, too."""
    _spoken: dict[int, bool] = field(default_factory=dict[int, bool])

    def listens(self, port: int) -> bool:
        """Whether somebody declares the port, or speaks of it."""
        if port not in self._spoken:
            containers = (each for pod in self.pods for each in pod.containers)
            self._spoken[port] = port in self.ports or any(is_listening(each, port) for each in containers)
        return self._spoken[port]


@dataclass(frozen=True, kw_only=True, eq=False)
class Replicas:
    """Who stands behind headless Services."""

    case: Case
    _found: dict[int, Behind] = field(default_factory=dict[int, Behind])

    def check(self, use: Use, service: Manifest, *, pod: str, port: int | None) -> Iterator[Finding]:
        """What is wrong with who is asked for; `pod` is a replica's name, or empty."""
        behind = self._found.get(id(service))
        if behind is None:
            behind = self._found[id(service)] = _behind(self.case, service)
        if behind.ports and port is not None and not behind.listens(port):
            yield _wrong_port(use, behind, port)
        if behind.sets and pod and not _may_be(behind.sets, pod):
            told = ", ".join(_named(name, numbers) for name, numbers in list(behind.sets.items())[:3])
            yield use.say(NO_REPLICA, f"no pod is ever called {pod} behind {use.title}; there may be {told}")


def _behind(case: Case, service: Manifest) -> Behind:
    pods = case.inventory.pods(service.namespace, labels_at(service.body, "spec", "selector"))
    return Behind(
        pods=pods,
        ports=sorted({each for pod in pods for each in _ports(case, pod)}),
        sure=all(len(pod.containers) == 1 and pod in case.engines_in for pod in pods),
        sets={each.manifest.name: _numbers(each) for each in pods} if _are_sets(pods, service) else None,
    )


def _ports(case: Case, pod: Workload) -> Iterator[int]:
    """The ports that containers of a pod declare, and those of its engines."""
    for container in pod.containers:
        found = (whole_at(each, "containerPort") for each in mappings_at(container.body, "ports"))
        yield from (number for number in found if number)
    for engine in case.engines_in.get(pod, ()):
        given = engine.given.get("port")
        number = as_port(given) if given else ENGINE_PORT
        yield from (number,) if number else ()


def _wrong_port(use: Use, behind: Behind, port: int) -> Finding:
    """An error where it is known what listens there; else only that nobody declares it."""
    there = ", ".join(map(str, behind.ports[:SHOWN]))
    who, verb = behind.pods[0].title, "listens on" if behind.sure else "declares"
    message = f"a headless Service maps no ports, and no container of {who} {verb} {port}; they have {there}"
    severity = None if behind.sure else "warning"
    return use.say(NO_PORT, f"{use.title}: {message}", hint=f"write `:{behind.ports[0]}`", severity=severity)


def _are_sets(pods: Sequence[Workload], service: Manifest) -> bool:
    named = (each.manifest.kind == "StatefulSet" and _governor(each) == service.name and each.most for each in pods)
    return bool(pods) and all(named)


def _governor(workload: Workload) -> str:
    return text_at(workload.manifest.body, "spec", "serviceName")


def _numbers(workload: Workload) -> range:
    first = whole_at(workload.manifest.body, "spec", "ordinals", "start") or 0
    return range(first, first + workload.most)


def _may_be(sets: Mapping[str, range], pod: str) -> bool:
    found = _NUMBERED.fullmatch(pod)
    return found is not None and int(found["number"]) in sets.get(found["owner"], range(0))


def _named(name: str, numbers: range) -> str:
    return f"{name}-{numbers[0]}" + (f" to {name}-{numbers[-1]}" if len(numbers) > 1 else "")


CHECKS: tuple[Check, ...] = ()
"""Asked by who follows hosts."""
