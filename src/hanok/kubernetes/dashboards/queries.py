"""Forms of PromQL that panels share."""

from __future__ import annotations

from collections.abc import Sequence

from hanok.kubernetes.dashboards.panel import Query

OVER = "$__rate_interval"


def per_second(metric: str, by: str, pick: str = "") -> str:
    """How fast a counter grows, by labels."""
    return f"sum by ({by}) (rate({metric}{{{pick}}}[{OVER}]))"


def grown(metric: str, by: str, pick: str = "") -> str:
    """How much a counter has grown over the time that is shown."""
    return f"sum by ({by}) (increase({metric}{{{pick}}}[$__range]))"


def total(metric: str, by: str, pick: str = "", how: str = "sum") -> str:
    """A gauge, by labels."""
    return f"{how} by ({by}) ({metric}{{{pick}}})"


def share(part: str, whole: str) -> str:
    """One by the other, as a share; nothing where there is nothing to divide by."""
    return f"{part} / ({whole} > 0)"


def quantiles(metric: str, by: str, pick: str = "", shares: Sequence[float] = (0.5, 0.99)) -> list[Query]:
    """Quantiles of a histogram, each with its label in front of it."""
    return [
        Query(
            expr=f"histogram_quantile({each:g}, sum by ({by}, le) (rate({metric}_bucket{{{pick}}}[{OVER}])))",
            legend=f"{{{{{by}}}}} p{each * 100:g}",
        )
        for each in shares
    ]


def lines(expr: str, by: str) -> list[Query]:
    """One query whose lines are called by a label, or by several."""
    return [Query(expr=expr, legend=" ".join(f"{{{{{each.strip()}}}}}" for each in by.split(",")))]
