"""What a container is given as environment: values in the manifest, from ConfigMaps, from Secrets of the tree.

`sealed` says that there are variables which nobody can know: a Secret or ConfigMap that is not in the tree is taken
whole. Whoever wants to say that a variable is missing asks that first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from hanok.preflight.manifests import Body, Cluster, Manifest, Step, mapping_at, mappings_at, text_at
from hanok.preflight.workloads import Container, Workload

_INJECTS = re.compile(r"vault|agent-inject|secrets-webhook|doppler|infisical|1password", re.IGNORECASE)
"""Annotations by which something brings secrets into a pod's environment."""
_REFERENCE = re.compile(r"\$\(([A-Za-z_][\w.-]*)\)")


@dataclass(frozen=True, kw_only=True, eq=False)
class Variable:
    """One variable, and where its value stands. `value` is None where a Secret or something else holds it."""

    name: str
    value: str | None
    manifest: Manifest
    path: tuple[Step, ...]


@dataclass(frozen=True, kw_only=True)
class Environment:
    """All variables by name."""

    variables: Mapping[str, Variable]
    sealed: bool

    def value(self, *names: str) -> str:
        """The value of the first of these that has one; empty where none has."""
        return next((found.value for name in names if (found := self.variables.get(name)) and found.value), "")

    def may_have(self, *names: str) -> bool:
        """Whether one of these is there, or might be."""
        return self.sealed or any(name in self.variables for name in names)


def environment(cluster: Cluster, workload: Workload, container: Container) -> Environment:
    """The environment of one container."""
    found: dict[str, Variable] = {}
    sealed = any(_INJECTS.search(key) for key in workload.annotations)
    for source in mappings_at(container.body, "envFrom"):
        taken = _taken(cluster, workload, source)
        sealed = sealed or taken is None
        found |= {each.name: each for each in taken or ()}
    for each in _written(cluster, workload, container):
        value = each.value and _REFERENCE.sub(lambda match: _known(match, found), each.value)
        found[each.name] = Variable(name=each.name, value=value, manifest=each.manifest, path=each.path)
    return Environment(variables=found, sealed=sealed)


def _known(match: re.Match[str], found: Mapping[str, Variable]) -> str:
    """What `$(NAME)` becomes; it stays as it is where the value is not known."""
    named = found.get(match[1])
    return named.value if named and named.value is not None else match[0]


def _written(cluster: Cluster, workload: Workload, container: Container) -> Iterator[Variable]:
    for index, each in enumerate(mappings_at(container.body, "env")):
        here = (*container.path, "env", index)
        name, held = text_at(each, "name"), mapping_at(each, "valueFrom", "configMapKeyRef")
        config = cluster.find("ConfigMap", text_at(held, "name"), workload.namespace) if held else None
        key = text_at(held, "key")
        if config is not None and key in mapping_at(config.body, "data"):
            yield Variable(name=name, value=text_at(config.body, "data", key), manifest=config, path=("data", key))
        elif name:
            value = each.get("value")
            text = None if "valueFrom" in each else "" if value is None else str(value)
            yield Variable(name=name, value=text, manifest=workload.manifest, path=(*here, "value"))


def _taken(cluster: Cluster, workload: Workload, source: Body) -> list[Variable] | None:
    """What one entry of `envFrom` gives; None where it is not in the tree."""
    prefix = text_at(source, "prefix")
    for kind, field, keys in (
        ("ConfigMap", "configMapRef", ("data",)),
        ("Secret", "secretRef", ("data", "stringData")),
    ):
        name = text_at(source, field, "name")
        held = cluster.find(kind, name, workload.namespace) if name else None
        if held is not None:
            return [
                Variable(
                    name=prefix + name, manifest=held, path=(key, name),
                    value=text_at(held.body, key, name) if kind == "ConfigMap" else None,
                )
                for key in keys for name in mapping_at(held.body, key)
            ]  # fmt: skip
    return None
