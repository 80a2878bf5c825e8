"""Schemas: one kind in one version, and the shape that its objects must have.

They come from Kubernetes itself, from files that a user names, or from definitions among the manifests; checks do not
ask which.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from hanok.preflight.manifests import Body, Cluster, mapping_at, mappings_at, text_at
from hanok.preflight.schema.shapes import Definitions, Shape

DEFINITION = "CustomResourceDefinition"


@dataclass(frozen=True, kw_only=True, eq=False)
class KindSchema:
    """One kind in one version."""

    group: str
    version: str
    kind: str
    shape: Shape
    served: bool = True
    deprecated: str | None = None
    """What its definition says of its being outdated; None where it is not."""

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version


class CustomSchemas(Protocol):
    """Schemas of custom kinds, found when asked for."""

    def of(self, kind: str) -> Sequence[KindSchema]:
        """All groups and versions of a kind."""
        ...

    def problems(self) -> Sequence[tuple[str, str]]:
        """Files that could not be read as far as was asked, and why."""
        ...


class BuiltinSchemas(Protocol):
    """Schemas of one version of Kubernetes."""

    @property
    def definitions(self) -> Definitions: ...

    def find(self, group: str, version: str, kind: str) -> KindSchema | None: ...

    def of(self, kind: str) -> Sequence[KindSchema]:
        """All groups and versions of a kind."""
        ...

    def has_group(self, group: str) -> bool: ...

    def served_by(self, group: str, version: str, kind: str) -> Sequence[str]:
        """The known versions of Kubernetes that serve it: `1.25`, …, in order."""
        ...


@dataclass(frozen=True)
class NoSchemas:
    """No custom kind is known."""

    def of(self, kind: str) -> Sequence[KindSchema]:  # noqa: ARG002 - the seam's own shape
        return ()

    def problems(self) -> Sequence[tuple[str, str]]:
        return ()


@dataclass(frozen=True, kw_only=True, eq=False)
class DeclaredSchemas:
    """Schemas of definitions among the manifests."""

    cluster: Cluster
    _schemas: dict[str, list[KindSchema]] = field(default_factory=dict[str, list[KindSchema]])

    def of(self, kind: str) -> Sequence[KindSchema]:
        if not self._schemas:
            self._schemas[""] = []
            for definition in self.cluster.of(DEFINITION):
                for schema in defined(definition.body):
                    self._schemas.setdefault(schema.kind, []).append(schema)
        return self._schemas.get(kind, ())


def defined(definition: Body) -> Iterator[KindSchema]:
    """The schemas that a CustomResourceDefinition defines, of apiextensions.k8s.io/v1 or v1beta1."""
    spec = mapping_at(definition, "spec")
    versions = mappings_at(spec, "versions") or [{"name": spec.get("version")}]
    older = mapping_at(spec, "validation", "openAPIV3Schema")
    for each in versions:
        schema = mapping_at(each, "schema", "openAPIV3Schema") or older
        if spec.get("preserveUnknownFields") is True or not schema:
            schema = {**schema, "x-kubernetes-preserve-unknown-fields": True}
        yield _schema(
            text_at(spec, "group"), text_at(each, "name"), text_at(spec, "names", "kind"), schema,
            served=each.get("served") is not False, deprecated=_deprecation(each),
        )  # fmt: skip


def _deprecation(version: Body) -> str | None:
    if version.get("deprecated") is not True:
        return None
    return text_at(version, "deprecationWarning") or "its definition says that it is deprecated"


def recorded(record: Mapping[str, object]) -> KindSchema:
    """The schema in a file that records one: `group`, `version`, `kind` and `schema`."""
    return _schema(
        text_at(record, "group"), text_at(record, "version"), text_at(record, "kind"), mapping_at(record, "schema")
    )


def _schema(
    group: str, version: str, kind: str, schema: Body, *, served: bool = True, deprecated: str | None = None
) -> KindSchema:
    shape = Shape(schema=schema, root=True)
    return KindSchema(group=group, version=version, kind=kind, shape=shape, served=served, deprecated=deprecated)
