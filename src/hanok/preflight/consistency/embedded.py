"""Files inside of ConfigMaps: read as manifests are, with the lines of the file around them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import cast

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from hanok.preflight.findings import Finding, Rule, Severity
from hanok.preflight.manifests import Body, Cluster, Manifest, Step, mapping_at
from hanok.preflight.reading import documents


@dataclass(frozen=True, kw_only=True, eq=False)
class Embedded:
    """A mapping that stands in a key of a ConfigMap, or by itself in an article."""

    outer: Manifest
    key: str
    inner: Manifest

    @property
    def body(self) -> Body:
        return self.inner.body

    def finding(
        self, rule: Rule, *path: Step, message: str, hint: str | None = None, severity: Severity | None = None
    ) -> Finding:
        """A finding at a place within it, told of the object around it."""
        found = rule.on(self.inner, *path, message=message, hint=hint, severity=severity)
        if self.outer is self.inner:
            return found
        return replace(found, object=self.outer.title, manifest=self.outer, path=f"data.{self.key}: {found.path}")


def embedded(cluster: Cluster, *, holding: str) -> Iterator[Embedded]:
    """Every YAML or JSON text in ConfigMaps, and every fragment, that is a mapping with this key."""
    for config in cluster.of("ConfigMap"):
        for key, text in mapping_at(config.body, "data").items():
            if isinstance(text, str) and holding in text:
                inner = read_embedded(config, text, "data", key)
                if inner is not None and holding in inner.body:
                    yield Embedded(outer=config, key=key, inner=inner)
    yield from (Embedded(outer=each, key="", inner=each) for each in cluster.fragments if holding in each.body)


def read_embedded(outer: Manifest, text: str, *path: Step) -> Manifest | None:
    """The first document of a text, as a fragment whose lines are those of the file; None where it is no mapping.

    A text that is not written as a block (`|`) has no lines of its own: every place in it is the line of the text.
    """
    scalar = _node(outer.node, path)
    for document in documents(text, outer.file, lambda _: None, offset=outer.line(*path)):
        value: object = document.value
        if isinstance(value, dict):
            body = cast("Body", value)
            if _is_block(scalar):
                return Manifest(body=body, file=outer.file, node=document.node, offset=document.offset)
            return Manifest(body=body, file=outer.file, node=scalar, offset=outer.offset)
        return None
    return None


def line_of(outer: Manifest, text: str, position: int, *path: Step) -> int:
    """The line of a position in a text that stands there."""
    start = outer.line(*path)
    return start + 1 + text.count("\n", 0, position) if _is_block(_node(outer.node, path)) else start


def _is_block(node: Node | None) -> bool:
    return isinstance(node, ScalarNode) and node.style == "|"


def _node(node: Node | None, path: tuple[Step, ...]) -> Node | None:
    for step in path:
        if isinstance(node, MappingNode):
            pairs = cast("list[tuple[Node, Node]]", node.value)
            node = next((value for key, value in pairs if key.value == step), None)
        elif isinstance(node, SequenceNode) and isinstance(step, int):
            items = cast("list[Node]", node.value)
            node = items[step] if step < len(items) else None
        else:
            return None
    return node
