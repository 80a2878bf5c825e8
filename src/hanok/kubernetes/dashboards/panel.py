"""Panels and boards as values, and the JSON that Grafana reads of them. The same values give the same text.

Source of the format: Grafana's dashboard schema, version 41. Panels stand in rows of 24 columns, left to right, in the
order in which they are written; their ids are their places, and a board's uid is its name.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

SCHEMA = 41
COLUMNS = 24
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
Kind = Literal["timeseries", "stat", "bargauge"]
GREEN, YELLOW, RED = "green", "yellow", "red"
Thresholds = Sequence[tuple[float, str]]
"""From which figure on which colour; below the first it is green."""


@dataclass(frozen=True, kw_only=True)
class Query:
    """PromQL, and what its lines are called."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, kw_only=True)
class Panel:
    """`unit` is Grafana's name of one. `about` says what it means, where the title does not."""

    title: str
    queries: Sequence[Query]
    unit: str = "short"
    kind: Kind = "timeseries"
    about: str = ""
    width: int = 8
    height: int = 8
    thresholds: Thresholds = ()
    stacked: bool = False
    most: float | None = None


@dataclass(frozen=True, kw_only=True)
class Row:
    """Panels under a heading."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True, kw_only=True)
class Board:
    """`variables` are names that one picks from, each with the query for its values."""

    name: str
    title: str
    rows: Sequence[Row]
    variables: Mapping[str, str] = field(default_factory=dict[str, str])

    def text(self) -> str:
        """As Grafana imports it."""
        body: dict[str, Any] = {
            "uid": f"hanok-{self.name}",
            "title": f"Hanok / {self.title}",
            "tags": ["hanok"],
            "schemaVersion": SCHEMA,
            "version": 1,
            "editable": False,
            "graphTooltip": 1,
            "refresh": "30s",
            "time": {"from": "now-3h", "to": "now"},
            "timezone": "browser",
            "links": [{"type": "dashboards", "tags": ["hanok"], "title": "Hanok", "asDropdown": True}],
            "templating": {"list": [_datasource(), *(_variable(*each) for each in self.variables.items())]},
            "annotations": {"list": [_alerts()]},
            "panels": list(_laid_out(self.rows)),
        }
        return json.dumps(body, indent=2) + "\n"


def _datasource() -> dict[str, Any]:
    return {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Prometheus"}


def _variable(name: str, query: str) -> dict[str, Any]:
    return {
        "name": name,
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": ["All"], "value": ["$__all"]},
    }


def _alerts() -> dict[str, Any]:
    """Alerts as marks over every line."""
    return {
        "name": "Alerts",
        "datasource": SOURCE,
        "enable": True,
        "iconColor": "red",
        "expr": 'ALERTS{part_of="hanok", alertstate="firing", severity!="info"}',
        "titleFormat": "{{alertname}}",
        "step": "60s",
    }


def _laid_out(rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
    number = y = 0
    for row in rows:
        number += 1
        heading: dict[str, Any] = {"id": number, "type": "row", "title": row.title, "collapsed": False, "panels": []}
        yield {**heading, "gridPos": _at(0, y, COLUMNS, 1)}
        y, x, tallest = y + 1, 0, 0
        for panel in row.panels:
            if x + panel.width > COLUMNS:
                x, y, tallest = 0, y + tallest, 0
            number += 1
            yield _panel(panel, number, _at(x, y, panel.width, panel.height))
            x, tallest = x + panel.width, max(tallest, panel.height)
        y += tallest


def _at(x: int, y: int, width: int, height: int) -> dict[str, int]:
    return {"x": x, "y": y, "w": width, "h": height}


def _panel(panel: Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": SOURCE,
        "gridPos": place,
        "targets": [_target(each, index, panel.kind) for index, each in enumerate(panel.queries)],
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "options": _options(panel.kind),
    }


def _target(query: Query, index: int, kind: Kind) -> dict[str, Any]:
    return {
        "refId": chr(ord("A") + index),
        "datasource": SOURCE,
        "expr": query.expr,
        "legendFormat": query.legend or "__auto",
        "range": kind == "timeseries",
        "instant": kind != "timeseries",
    }


def _defaults(panel: Panel) -> dict[str, Any]:
    steps = [{"color": GREEN, "value": None}, *({"color": color, "value": value} for value, color in panel.thresholds)]
    found: dict[str, Any] = {
        "unit": panel.unit,
        "min": 0,
        "thresholds": {"mode": "absolute", "steps": steps},
        "color": {"mode": "palette-classic" if panel.kind == "timeseries" else "thresholds"},
    }
    if panel.most is not None:
        found["max"] = panel.most
    if panel.kind == "timeseries":
        found["custom"] = {
            "fillOpacity": 25 if panel.stacked else 5,
            "stacking": {"mode": "normal" if panel.stacked else "none"},
            "thresholdsStyle": {"mode": "line" if panel.thresholds else "off"},
            "showPoints": "never",
        }
    return found


def _options(kind: Kind) -> dict[str, Any]:
    if kind == "timeseries":
        legend = {"displayMode": "table", "placement": "bottom", "showLegend": True, "calcs": ["mean", "max"]}
        return {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}}
    reduced = {"calcs": ["lastNotNull"], "fields": "", "values": False}
    if kind == "bargauge":
        return {"reduceOptions": reduced, "orientation": "horizontal", "displayMode": "basic"}
    return {"reduceOptions": reduced, "colorMode": "value", "graphMode": "area", "textMode": "auto"}


def figure(title: str, expr: str, unit: str = "short", thresholds: tuple[tuple[float, str], ...] = ()) -> Panel:
    """One number, large; `thresholds` are the figures from which it has a colour."""
    return Panel(
        title=title, queries=[Query(expr=expr)], unit=unit, kind="stat", width=4, height=4, thresholds=thresholds
    )
