"""One alert, one recording, a group of them; and the PrometheusRule that a group becomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from hanok.kubernetes.component import Body
from hanok.kubernetes.objects import labels, thing
from hanok.kubernetes.places import OBSERVABILITY, PROMETHEUS_RELEASE

Severity = Literal["critical", "warning", "info"]
"""`critical`: callers are turned away, or money is not counted; `warning`: it will come to that; `info`: no hurry."""


@dataclass(frozen=True, kw_only=True)
class Alert:
    """`minutes`: how long it must hold. `todo` is what who hears of it does first."""

    name: str
    expr: str
    minutes: int
    severity: Severity
    summary: str
    todo: str

    def body(self) -> Body:
        return {
            "alert": self.name,
            "expr": self.expr,
            "for": f"{self.minutes}m",
            "labels": {"severity": self.severity, "part_of": "hanok"},
            "annotations": {"summary": self.summary, "description": self.todo},
        }


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """A figure that is reckoned once and asked for often."""

    name: str
    expr: str
    labels: Mapping[str, str] = field(default_factory=dict[str, str])

    def body(self) -> Body:
        marks = {"labels": dict(self.labels)} if self.labels else {}
        return {"record": self.name, "expr": self.expr, **marks}


@dataclass(frozen=True, kw_only=True)
class Group:
    """Rules of one subject."""

    name: str
    rules: Sequence[Alert | Recorded]

    def body(self) -> Body:
        """A PrometheusRule that our Prometheus finds by its release."""
        name = f"hanok-{self.name}"
        spec = {"groups": [{"name": name, "interval": "30s", "rules": [each.body() for each in self.rules]}]}
        marks = labels(name, "alerts", release=PROMETHEUS_RELEASE)
        return thing("monitoring.coreos.com/v1", "PrometheusRule", name, OBSERVABILITY, labels=marks, spec=spec)


def quantile(share: float, metric: str, by: str, over: str = "10m") -> str:
    """A quantile of a histogram, by labels."""
    return f"histogram_quantile({share:g}, sum by ({by}, le) (rate({metric}_bucket[{over}])))"


def ratio(part: str, whole: str) -> str:
    """One sum by another, where there is something to divide by."""
    return f"({part}) / ({whole} > 0)"
