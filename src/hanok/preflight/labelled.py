"""Things that are found by their labels, and what pools and monitors look for: an index in place of a search."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Generic, TypeVar

from hanok.preflight.manifests import Manifest, at, labels_at, mapping_at, selects, texts_at

Thing = TypeVar("Thing")


class Labelled(Generic[Thing]):
    """Things of namespaces with labels. The namespace None stands for all of them."""

    def __init__(self, things: Iterable[tuple[str, Mapping[str, str], Thing]]) -> None:
        self._inside: dict[str | None, list[tuple[Mapping[str, str], Thing]]] = {}
        self._paired: dict[tuple[str | None, str, str], list[tuple[Mapping[str, str], Thing]]] = {}
        for namespace, labels, thing in things:
            for space in (namespace, None):
                self._inside.setdefault(space, []).append((labels, thing))
                for key, value in labels.items():
                    self._paired.setdefault((space, key, value), []).append((labels, thing))

    def selected(self, namespace: str | None, selector: object) -> list[Thing]:
        """Those that a label selector means; an empty one means all."""
        return [thing for labels, thing in self._near(namespace, selector) if selects(selector, labels)]

    def _near(self, namespace: str | None, selector: object) -> Sequence[tuple[Mapping[str, str], Thing]]:
        """Few of which the selector can mean some."""
        wanted = labels_at(selector, "matchLabels")
        candidates = [self._paired.get((namespace, *pair), []) for pair in wanted.items()]
        return min(candidates, key=len, default=self._inside.get(namespace, []))


def pool_labels(pool: Manifest) -> dict[str, str]:
    """What an InferencePool selects pods by: `matchLabels`; before v1, labels without that word."""
    plain = labels_at(pool.body, "spec", "selector")
    return labels_at(pool.body, "spec", "selector", "matchLabels") or {
        key: value for key, value in plain.items() if key not in ("matchLabels", "matchExpressions")
    }


def watched_namespaces(monitor: Manifest) -> frozenset[str] | None:
    """The namespaces that a ServiceMonitor or PodMonitor looks into; None for all."""
    chosen = mapping_at(monitor.body, "spec", "namespaceSelector")
    if at(chosen, "any") is True:
        return None
    return frozenset(texts_at(chosen, "matchNames")) or frozenset({monitor.namespace})
