"""Where PromQL stands in a tree: alerts and recordings, autoscalers' triggers, dashboards, files of rules."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from hanok.preflight.case import Case
from hanok.preflight.consistency.embedded import Embedded, read_embedded
from hanok.preflight.consistency.promql import Query, read_query
from hanok.preflight.findings import Finding, Rule, Severity
from hanok.preflight.manifests import Manifest, Step, at, list_at, mapping_at, mappings_at, text_at

DEPTH_LIMIT = 30


@dataclass(frozen=True, kw_only=True, eq=False)
class Asked:
    """One expression, and where it stands."""

    text: str
    place: Embedded
    path: tuple[Step, ...]
    kind: str
    """`alert`, `record`, `trigger` or `dashboard`."""
    query: Query | None = None
    name: str = ""
    """Of the alert, or of what is recorded."""
    sure: bool = True
    """Whether it is Prometheus' for certain: a dashboard may ask others in words of their own."""
    threshold: float | None = field(default=None)
    """What a trigger compares its value with."""

    def finding(self, rule: Rule, message: str, hint: str | None = None, severity: Severity | None = None) -> Finding:
        return self.place.finding(rule, *self.path, message=message, hint=hint, severity=severity)


@lru_cache(maxsize=1)
def asked(case: Case) -> list[Asked]:
    """Every expression of the tree. Kept for the case in hand, since several checks ask in a row."""
    return [each for find in (_rules, _triggers, _configs, _boards) for each in find(case)]


def recorded(queries: list[Asked]) -> set[str]:
    """The names that rules of the tree record."""
    return {each.name for each in queries if each.kind == "record"}


def _whole(manifest: Manifest) -> Embedded:
    return Embedded(outer=manifest, key="", inner=manifest)


def _rules(case: Case) -> Iterator[Asked]:
    for manifest in case.cluster.of("PrometheusRule"):
        yield from _of_groups(_whole(manifest), ("spec", "groups"))


def _of_groups(place: Embedded, path: tuple[Step, ...]) -> Iterator[Asked]:
    for group, each in enumerate(mappings_at(place.body, *path)):
        for index, rule in enumerate(mappings_at(each, "rules")):
            text, name = text_at(rule, "expr"), text_at(rule, "record")
            if text:
                kind, name = ("record", name) if name else ("alert", text_at(rule, "alert"))
                where = (*path, group, "rules", index, "expr")
                yield Asked(text=text, place=place, path=where, kind=kind, name=name, query=read_query(text))


def _triggers(case: Case) -> Iterator[Asked]:
    for manifest in case.cluster.of("ScaledObject", "ScaledJob"):
        for index, trigger in enumerate(mappings_at(manifest.body, "spec", "triggers")):
            text = text_at(trigger, "metadata", "query")
            if text_at(trigger, "type") == "prometheus" and text:
                path: tuple[Step, ...] = ("spec", "triggers", index, "metadata", "query")
                limit = _number(at(trigger, "metadata", "threshold"))
                place, query = _whole(manifest), read_query(text)
                yield Asked(text=text, place=place, path=path, kind="trigger", query=query, threshold=limit)


def _number(value: object) -> float | None:
    try:
        return float(str(value))
    except ValueError:
        return None


def _configs(case: Case) -> Iterator[Asked]:
    """Dashboards and rule files in ConfigMaps."""
    for config in case.cluster.of("ConfigMap"):
        for key, text in mapping_at(config.body, "data").items():
            if isinstance(text, str) and '"expr"' in text and key.endswith(".json"):
                yield from _read(config, text, ("data", key), lambda place: _of_board(place, place.body, (), 0))
            elif isinstance(text, str) and "expr:" in text and "groups:" in text:
                yield from _read(config, text, ("data", key), lambda place: _of_groups(place, ("groups",)))


def _boards(case: Case) -> Iterator[Asked]:
    """Dashboards as objects of Grafana's operator."""
    for board in case.cluster.of("GrafanaDashboard"):
        text = text_at(board.body, "spec", "json")
        if '"expr"' in text:
            yield from _read(board, text, ("spec", "json"), lambda place: _of_board(place, place.body, (), 0))


def _read(
    manifest: Manifest, text: str, path: tuple[Step, ...], find: Callable[[Embedded], Iterator[Asked]]
) -> Iterator[Asked]:
    inner = read_embedded(manifest, text, *path)
    if inner is not None:
        yield from find(Embedded(outer=manifest, key=str(path[-1]), inner=inner))


def _of_board(place: Embedded, value: object, path: tuple[Step, ...], depth: int) -> Iterator[Asked]:
    """Every `expr` of a dashboard's targets, however deep its rows."""
    if depth > DEPTH_LIMIT:
        return
    for key, each in mapping_at(value).items():
        if key == "expr" and isinstance(each, str) and each and _is_prometheus(value):
            query, sure = read_query(each, dashboard=True), text_at(value, "datasource", "type") == "prometheus"
            yield Asked(text=each, place=place, path=(*path, key), kind="dashboard", query=query, sure=sure)
        else:
            yield from _of_board(place, each, (*path, key), depth + 1)
    for index, each in enumerate(list_at(value)):
        yield from _of_board(place, each, (*path, index), depth + 1)


def _is_prometheus(target: object) -> bool:
    """Loki's and Tempo's targets have an `expr` as well."""
    return text_at(target, "datasource", "type") in ("", "prometheus")
