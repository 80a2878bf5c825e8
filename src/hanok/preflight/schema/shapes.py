"""Shapes: schemas of Kubernetes, read once, so that walking a value asks each question quickly.

Built-in kinds come as JSON Schema with references, custom ones as structural OpenAPI; a shape says the same of both:
what a value may be, which fields there are, and what more is asked of it. Source of the semantics: Kubernetes'
documentation of structural schemas, and k8s.io/apiextensions-apiserver.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, cast

from hanok.preflight.manifests import Body, at, list_at, mapping_at, mappings_at, text_at, texts_at, whole_at

OBJECT_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
POD_SPEC = "io.k8s.api.core.v1.PodSpec"
QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
OF_EVERY_OBJECT = ("apiVersion", "kind", "metadata")
_PYTHON: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "array": (list,),
    "object": (dict,),
}
_NOTHING_MORE: Mapping[str, Body] = {}
_REFERENCE = "#/$defs/"


@dataclass(frozen=True, kw_only=True, eq=False)
class Definitions:
    """Named schemas that refer to each other. `more` adds to fields what the schemas leave out: enumerations."""

    schemas: Mapping[str, Body]
    more: Mapping[str, Mapping[str, Body]] = field(default_factory=dict[str, Mapping[str, Body]])
    _shapes: dict[str, Shape] = field(default_factory=dict[str, "Shape"])

    def shape(self, name: str) -> Shape:
        """The shape of that name; one that takes anything where there is none."""
        if name not in self._shapes:
            self._shapes[name] = Shape(schema=self.schemas.get(name, {}), definitions=self, name=name)
        return self._shapes[name]


@dataclass(frozen=True, kw_only=True, eq=False)
class Shape:
    """One schema. `definitions` are there for built-in kinds; a custom one stands for itself."""

    schema: Body
    definitions: Definitions | None = None
    name: str = ""
    root: bool = False
    """Whether an object as a whole has this shape."""
    loose: bool = False
    """Whether it only asks for more (a branch of `anyOf`), and names not all fields."""

    @cached_property
    def types(self) -> frozenset[str]:
        """What a value may be, in JSON's words; empty where it may be anything."""
        if self.int_or_string:
            return frozenset(("integer", "string"))
        if self.root or self.embedded:
            return frozenset(("object",))
        return frozenset(_types(self.schema)) - {"null"}

    @cached_property
    def accepts(self) -> frozenset[type]:
        """The same as types of Python; a fraction that is whole counts as an integer besides."""
        return frozenset(each for name in self.types for each in _PYTHON.get(name, ()))

    @cached_property
    def nullable(self) -> bool:
        return self.schema.get("nullable") is True or "null" in _types(self.schema) or not self.types

    @cached_property
    def int_or_string(self) -> bool:
        return self.schema.get("x-kubernetes-int-or-string") is True

    @cached_property
    def embedded(self) -> bool:
        return self.schema.get("x-kubernetes-embedded-resource") is True

    @cached_property
    def properties(self) -> Mapping[str, Shape]:
        more = self.definitions.more.get(self.name, _NOTHING_MORE) if self.definitions else _NOTHING_MORE
        own = mapping_at(self.schema, "properties")
        found = {
            name: self._below({**mapping_at(own, name), **more[name]} if name in more else mapping_at(own, name))
            for name in own
        }
        if (self.root or self.embedded) and self.definitions is None:
            found |= {name: Shape(schema={"type": "string"}) for name in OF_EVERY_OBJECT if name != "metadata"}
            found |= {"metadata": Shape(schema={"type": "object", "x-kubernetes-preserve-unknown-fields": True})}
        return found

    @cached_property
    def extra(self) -> Shape | None:
        """The shape of fields that have no name of their own, where all of them have one."""
        found = self.schema.get("additionalProperties")
        return self._below(cast("Body", found)) if isinstance(found, dict) else None

    @cached_property
    def closed(self) -> bool:
        """Whether fields that it does not name are refused."""
        extra = self.schema.get("additionalProperties")
        if self.loose or isinstance(extra, dict) or extra is True or self.preserving:
            return False
        return extra is False or (self.definitions is None and "object" in self.types)

    @cached_property
    def preserving(self) -> bool:
        return self.schema.get("x-kubernetes-preserve-unknown-fields") is True

    @cached_property
    def required(self) -> Sequence[str]:
        own = texts_at(self.schema, "required")
        return [*own, *(name for name in ("apiVersion", "kind") if name not in own)] if self.embedded else own

    @cached_property
    def items(self) -> Shape | None:
        """Items of a list that keeps unknown fields keep them, too. Source: apiextensions, pruning/algorithm.go."""
        found = self.schema.get("items")
        if not isinstance(found, dict):
            return None
        keeps = {"x-kubernetes-preserve-unknown-fields": True} if self.preserving else {}
        return self._below({**keeps, **cast("Body", found)})

    @cached_property
    def unique_by(self) -> Sequence[str] | None:
        """The keys that no two items may share; none of them: no two items are equal; None: nothing is asked."""
        kind = text_at(self.schema, "x-kubernetes-list-type")
        if self.definitions is not None or kind not in ("set", "map"):
            return () if self.schema.get("uniqueItems") is True else None
        return texts_at(self.schema, "x-kubernetes-list-map-keys") if kind == "map" else ()

    @cached_property
    def default(self) -> Any:
        return self.schema.get("default")

    @cached_property
    def choices(self) -> list[Any]:
        return list_at(self.schema, "enum")

    @cached_property
    def format(self) -> str:
        return text_at(self.schema, "format")

    @cached_property
    def pattern(self) -> str:
        return text_at(self.schema, "pattern")

    @cached_property
    def bounded(self) -> bool:
        """Whether it bounds a length, a count or a number."""
        return any(key in self.schema for key in _BOUNDS)

    def whole(self, key: str) -> int | None:
        return whole_at(self.schema, key)

    def number(self, key: str) -> float | None:
        found = self.schema.get(key)
        return found if isinstance(found, int | float) and not isinstance(found, bool) else None

    def branches(self, word: str) -> Sequence[Shape]:
        """The schemas under `allOf`, `anyOf` or `oneOf`."""
        return self._junctors.get(word, ())

    @cached_property
    def joined(self) -> bool:
        return bool(self._junctors)

    @cached_property
    def _junctors(self) -> Mapping[str, Sequence[Shape]]:
        found = {word: mappings_at(self.schema, word) for word in ("allOf", "anyOf", "oneOf")}
        if self.schema.get("not"):
            found["not"] = [mapping_at(self.schema, "not")]
        kept = {word: branches for word, branches in found.items() if branches and not _only_types(branches)}
        return {word: [self._loosely(each) for each in branches] for word, branches in kept.items()}

    @cached_property
    def rules(self) -> Sequence[Body]:
        """Rules in CEL."""
        return mappings_at(self.schema, "x-kubernetes-validations")

    def _below(self, schema: Body) -> Shape:
        reference = text_at(schema, "$ref")
        if reference and self.definitions is not None:
            return self.definitions.shape(reference.rpartition(_REFERENCE)[2])
        return Shape(schema=schema, definitions=self.definitions, loose=self.loose)

    def _loosely(self, schema: Body) -> Shape:
        return Shape(schema=schema, definitions=self.definitions, loose=True)


_BOUNDS = (
    "minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties", "minimum", "maximum",
    "multipleOf",
)  # fmt: skip


def _types(schema: Body) -> list[str]:
    found = schema.get("type")
    if isinstance(found, str):
        return [found]
    if isinstance(found, list):
        return texts_at(schema, "type")
    either = mappings_at(schema, "oneOf") or mappings_at(schema, "anyOf")
    return [each for branch in either for each in _types(branch)] if either and _only_types(either) else []


def _only_types(branches: Sequence[Body]) -> bool:
    """Whether the branches tell nothing but types, as an `IntOrString` does."""
    return all(at(each, "type") is not None and len(each) == 1 for each in branches)
