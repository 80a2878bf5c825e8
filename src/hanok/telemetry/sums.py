"""Metrics of several processes as one: what each says of itself, added up.

Sums never go down while processes come and go: what a process that ended counted stays, as far as it was told. Whatever
was shown came through here, so nobody has seen more than that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

SAME_FOR_ALL = frozenset(
    {
        "hanok_endpoint_up",
        "hanok_endpoint_weight",
        "hanok_endpoint_first_token_seconds",
        "hanok_endpoint_engine_running",
        "hanok_endpoint_engine_waiting",
        "hanok_endpoint_cache_usage",
        "hanok_endpoint_cache_hit_rate",
        "hanok_knowledge_documents",
        "hanok_knowledge_passages",
        "hanok_knowledge_refused_documents",
        "hanok_knowledge_ingesting",
        "hanok_knowledge_last_success_timestamp_seconds",
    }
)
"""Gauges that several processes see of one thing: not added up; the largest counts."""


_Labelled = tuple[str, tuple[tuple[str, str], ...]]


class Family(msgspec.Struct, frozen=True):
    """One metric: its name, its help text, its type, and its samples as name, labels and value."""

    name: str
    text: str
    kind: str
    samples: list[tuple[str, dict[str, str], float]]


def read_families(registry: CollectorRegistry) -> list[Family]:
    """Everything that a registry has now."""
    return [
        Family(
            metric.name,
            metric.documentation,
            metric.type,
            [(sample.name, sample.labels, sample.value) for sample in metric.samples],
        )
        for metric in registry.collect()
    ]


class Sums:
    """What processes last said of themselves, by a name that each has only once, and what ended ones had counted."""

    def __init__(self) -> None:
        self._living: dict[str, list[Family]] = {}
        self._ended: list[Family] = []

    def take(self, process: str, families: list[Family]) -> None:
        """What a process says now, in place of what it said before."""
        self._living[process] = families

    def end(self, process: str) -> None:
        """It is gone: its counts stay, its gauges go."""
        counted = [family for family in self._living.pop(process, []) if family.kind != "gauge"]
        self._ended = _add_up([self._ended, counted])

    def render(self, own: list[Family]) -> bytes:
        """All of them and `own`, in Prometheus' text format 0.0.4."""
        registry = CollectorRegistry()
        registry.register(_Families(_add_up([own, *self._living.values(), self._ended])))
        return generate_latest(registry)


def _add_up(many: Iterable[list[Family]]) -> list[Family]:
    kinds: dict[str, tuple[str, str]] = {}
    sums: dict[str, dict[_Labelled, float]] = {}
    for family in (family for families in many for family in families):
        kinds.setdefault(family.name, (family.text, family.kind))
        values = sums.setdefault(family.name, {})
        for name, labels, value in family.samples:
            key = (name, tuple(labels.items()))
            known = values.get(key, 0.0)
            values[key] = max(known, value) if family.name in SAME_FOR_ALL else known + value
    return [Family(name, *kinds[name], _samples(values)) for name, values in sums.items()]


def _samples(
    values: Mapping[tuple[str, tuple[tuple[str, str], ...]], float],
) -> list[tuple[str, dict[str, str], float]]:
    return [(name, dict(labels), value) for (name, labels), value in values.items()]


class _Families(Collector):
    def __init__(self, families: list[Family]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        for family in self._families:
            metric: Any = Metric(family.name, family.text, family.kind)
            for name, labels, value in family.samples:
                metric.add_sample(name, labels, value)
            yield metric
