"""What came of a simulated rule: how long calls waited, how many replicas there were, what they cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """The pool when a decision was made. `replicas` were asked for, of which `up` answer."""

    at_s: float
    replicas: int
    up: int
    running: int
    waiting: int
    kv_share: float
    """Of the caches of those that are up."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Seconds, USD, and shares. `ttfts` are sorted; `firsts` has when each call came, and its time to a first token."""

    title: str
    calls: int
    left_out: int
    """Calls that are longer than the engine takes."""
    prompt_tokens: int
    output_tokens: int
    ttfts: Sequence[float]
    waits: Sequence[float]
    """Sorted seconds until a call's prompt began to be read."""
    firsts: Sequence[tuple[float, float]]
    moments: Sequence[Moment]
    lasted_s: float
    replica_s: float
    """Seconds of all replicas together, from when they were asked for to when they were gone."""
    node_s: float
    gpus: int
    most: int
    changes: int
    """How often the number of replicas was changed."""
    usd_hour: float | None
    spot_usd_hour: tuple[float, float] | None

    def ttft_s(self, share: float) -> float:
        """The time to a first token that this share of calls did not exceed."""
        return at_share(self.ttfts, share)

    def wait_s(self, share: float) -> float:
        return at_share(self.waits, share)

    @property
    def mean_replicas(self) -> float:
        return self.replica_s / self.lasted_s if self.lasted_s else 0.0

    @property
    def gpu_hours(self) -> float:
        return self.replica_s * self.gpus / 3600

    @property
    def usd(self) -> float | None:
        return None if self.usd_hour is None else self.node_s / 3600 * self.usd_hour

    @property
    def spot_usd(self) -> tuple[float, float] | None:
        """From spot's lowest price to its highest."""
        if self.spot_usd_hour is None:
            return None
        low, high = (self.node_s / 3600 * price for price in self.spot_usd_hour)
        return low, high

    @property
    def usd_million(self) -> float | None:
        """USD for a million tokens, prompts and answers together."""
        tokens = self.prompt_tokens + self.output_tokens
        return None if self.usd is None or not tokens else self.usd / tokens * 1e6

    def form(self) -> dict[str, Any]:
        """As JSON."""
        spot = self.spot_usd
        return {
            "rule": self.title,
            "calls": self.calls,
            "left_out": self.left_out,
            "ttft_p50_s": round(self.ttft_s(0.5), 4),
            "ttft_p99_s": round(self.ttft_s(0.99), 4),
            "wait_p50_s": round(self.wait_s(0.5), 4),
            "wait_p99_s": round(self.wait_s(0.99), 4),
            "replicas_mean": round(self.mean_replicas, 3),
            "replicas_max": self.most,
            "changes": self.changes,
            "gpu_hours": round(self.gpu_hours, 3),
            "usd": None if self.usd is None else round(self.usd, 4),
            "spot_usd": None if spot is None else [round(each, 4) for each in spot],
            "usd_million_tokens": None if self.usd_million is None else round(self.usd_million, 4),
            "prompt_tokens": self.prompt_tokens,
            "output_tokens": self.output_tokens,
            "lasted_s": round(self.lasted_s, 1),
        }


def at_share(ordered: Sequence[float], share: float) -> float:
    """The value that this share does not exceed; 0 of nothing."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0
