"""Many rules on one trace: the cheapest that is quick enough is the one to write down."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from hanok.autoscaling.rule import Rule
from hanok.autoscaling.simulation.hardware import Hardware
from hanok.autoscaling.simulation.outcome import Outcome
from hanok.autoscaling.simulation.pool import simulate
from hanok.autoscaling.trace import Call
from hanok.spec import ModelScale

RUNNING = (4.0, 16.0, None)
WAITING = (1.0, 4.0, None)
KV_CACHE = (0.7, None)
MIN_SHARES = (0.0, 0.33, 0.66)
"""How far from min to max the fewest are tried: where a start takes minutes, that counts most."""
P99 = 0.99


def _silent(_done: int) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Tried:
    """A rule as it is declared, and what came of it."""

    scale: ModelScale
    outcome: Outcome

    @property
    def cost(self) -> float:
        """Dollars; where there is no price, node seconds, which are as good for comparing."""
        return self.outcome.node_s if self.outcome.usd is None else self.outcome.usd


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What all rules are tried with."""

    calls: Sequence[Call]
    hardware: Hardware
    start_s: float | None = None
    max_in_flight: int | None = None

    def try_out(
        self, scale: ModelScale, *, title: str | None = None, progress: Callable[[int], None] = _silent
    ) -> Tried:
        """Replay the trace by this rule. Raises `PlanError`."""
        outcome = simulate(
            self.calls,
            hardware=self.hardware,
            rule=Rule.of(scale),
            title=title or named(scale),
            start_s=self.start_s if self.start_s is not None else scale.start_s,
            max_in_flight=self.max_in_flight,
            progress=progress,
        )
        return Tried(scale=scale, outcome=outcome)


def fixed(scale: ModelScale) -> list[tuple[str, ModelScale]]:
    """What there is to compare with: always as many as min (at least one), as max, and some between."""
    low, high = max(1, scale.min), scale.max
    counts = sorted({round(low + (high - low) * step / 4) for step in range(5)})
    return [(f"always {count}", scale.model_copy(update={"min": count, "max": count})) for count in counts]


def candidates(scale: ModelScale) -> Iterator[ModelScale]:
    """The declared rule with other targets and other fewest, itself first; rules that look at nothing are none."""
    yield scale
    seen = {_key(scale)}
    least = dict.fromkeys(round(scale.min + (scale.max - scale.min) * share) for share in MIN_SHARES)
    for fewest, running, waiting, kv_cache in product(least, RUNNING, WAITING, KV_CACHE):
        targets = {"running": running, "waiting": waiting, "kv_cache": kv_cache}
        found = scale.model_copy(update={"min": fewest, **targets})
        if any(targets.values()) and (fewest or waiting) and _key(found) not in seen:
            seen.add(_key(found))
            yield found


def cheapest(tried: Sequence[Tried], *, ttft_s: float) -> Tried | None:
    """Of those whose p99 of the time to a first token is within the limit, the cheapest; None where there is none."""
    good = [each for each in tried if each.outcome.ttft_s(P99) <= ttft_s]
    return min(good, key=lambda each: (each.cost, each.outcome.ttft_s(P99)), default=None)


def worthwhile(tried: Sequence[Tried]) -> list[Tried]:
    """Those that no other beats both in cost and in p99, cheapest first."""
    found: list[Tried] = []
    quickest = math.inf
    for each in sorted(tried, key=lambda one: (one.cost, one.outcome.ttft_s(P99))):
        if each.outcome.ttft_s(P99) < quickest:
            quickest = each.outcome.ttft_s(P99)
            found.append(each)
    return found


def named(scale: ModelScale) -> str:
    """A rule in few words: its bounds and its targets."""
    told = [f"{scale.min}–{scale.max}"]
    told += [f"{name.replace('_', ' ')} {value:g}" for name, value in _pairs(scale) if value is not None]
    return ", ".join(told)


def as_yaml(scale: ModelScale) -> str:
    """The block `scale:` to paste, with what differs from the defaults, and all targets. A fixed number has none."""
    given: dict[str, Any] = {"min": scale.min, "max": scale.max}
    if scale.min == scale.max:
        return "\n".join(["scale:", *(_line(name, value) for name, value in given.items())])
    given |= dict(_pairs(scale))
    rest = scale.model_dump(mode="json", exclude_defaults=True)
    given |= {name: value for name, value in rest.items() if name not in given}
    return "\n".join(["scale:", *(_line(name, value) for name, value in given.items())])


def _line(name: str, value: Any) -> str:
    if isinstance(value, dict):
        inner = ", ".join(f"{key}: {_word(each)}" for key, each in value.items())  # pyright: ignore[reportUnknownVariableType]
        return f"  {name}: {{{inner}}}"
    return f"  {name}: {_word(value)}"


def _word(value: Any) -> str:
    return "null" if value is None else f"{value:g}"


def _pairs(scale: ModelScale) -> list[tuple[str, float | None]]:
    return [("running", scale.running), ("waiting", scale.waiting), ("kv_cache", scale.kv_cache)]


def _key(scale: ModelScale) -> tuple[float | None, ...]:
    return (scale.min, *(value for _, value in _pairs(scale)))
