"""Where runs end: what an agent declares, what a caller asks less of, and what a parent has left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import isfinite

from hanok.agents.values import Bounds, Used
from hanok.errors import HanokError, RequestError
from hanok.spec import AgentLimits
from hanok.wire import NANO, Caller

ASKABLE = ("steps", "tool_calls", "iterations", "retries", "wall_time_s", "tokens", "usd")
"""What a caller may ask less of."""


class LimitReached(HanokError):
    """A run has reached one of its limits: `limit` is its name as declared, `said` what there is of an answer."""

    def __init__(self, limit: str, message: str, *, said: str | None = None) -> None:
        super().__init__(message)
        self.limit = limit
        self.said = said


class KeyEnded(HanokError):
    """The key that ordered a run opens nothing any more: `why` is `revoked` or `expired`. Nothing is charged to it."""

    reason = "key_ended"

    def __init__(self, caller: Caller, why: str) -> None:
        super().__init__(
            f"the key {caller.key_name!r} that ordered this run {'was revoked' if why == 'revoked' else 'has expired'}",
            hint="order it anew with another key",
        )


def bounds_of(limits: AgentLimits, asked: Mapping[str, float], parent: tuple[Bounds, Used] | None = None) -> Bounds:
    """The limits of one run. Raises `RequestError` for a limit that cannot be asked."""
    for name, value in asked.items():
        if name not in ASKABLE:
            raise RequestError(f"there is no limit {name!r}; there are {', '.join(ASKABLE)}", param=f"limits.{name}")
        if not _is_amount(value):
            raise RequestError(f"{name} must be a number of 0 or more", param=f"limits.{name}")
    usd = _least(limits.usd, asked.get("usd"))
    tokens = _least(limits.tokens, asked.get("tokens"))
    bounds = Bounds(
        steps=int(_less(limits.steps, asked.get("steps"))),
        tool_calls=int(_less(limits.tool_calls, asked.get("tool_calls"))),
        iterations=int(_less(limits.iterations, asked.get("iterations"))),
        retries=int(_less(limits.retries, asked.get("retries"))),
        wall_time_s=_less(limits.wall_time_s, asked.get("wall_time_s")),
        depth=limits.depth,
        tokens=None if tokens is None else int(tokens),
        cost_nano_usd=None if usd is None else round(usd * NANO),
    )
    return bounds if parent is None else _within(bounds, *parent)


def check_step(bounds: Bounds, used: Used) -> None:
    """Whether one more model call may be made. Raises `LimitReached`."""
    if used.steps >= bounds.steps:
        raise LimitReached("steps", f"the run has made its {_counted(bounds.steps, 'model call')}")
    check_spent(bounds, used)


def check_tool_call(bounds: Bounds, used: Used, cost_nano_usd: int) -> None:
    """Whether one more tool call may be made. Raises `LimitReached`."""
    if used.tool_calls >= bounds.tool_calls:
        raise LimitReached("tool_calls", f"the run has made its {_counted(bounds.tool_calls, 'tool call')}")
    most = bounds.cost_nano_usd
    if most is not None and cost_nano_usd and used.cost_nano_usd + cost_nano_usd > most:
        raise LimitReached("usd", f"the run has too little left of its {most / NANO:g} USD for this tool")


def check_spent(bounds: Bounds, used: Used) -> None:
    """Whether anything is left. Raises `LimitReached`."""
    if bounds.tokens is not None and used.tokens >= bounds.tokens:
        raise LimitReached("tokens", f"the run has used its {_counted(bounds.tokens, 'token')}")
    if bounds.cost_nano_usd is not None and used.cost_nano_usd >= bounds.cost_nano_usd:
        raise LimitReached("usd", f"the run has spent its {bounds.cost_nano_usd / NANO:g} USD")


def _within(bounds: Bounds, parent: Bounds, used: Used) -> Bounds:
    left_tokens = None if parent.tokens is None else max(0, parent.tokens - used.tokens)
    left_cost = None if parent.cost_nano_usd is None else max(0, parent.cost_nano_usd - used.cost_nano_usd)
    tokens, cost = _least(bounds.tokens, left_tokens), _least(bounds.cost_nano_usd, left_cost)
    return replace(
        bounds,
        wall_time_s=min(bounds.wall_time_s, max(0.0, parent.wall_time_s - used.seconds)),
        depth=min(bounds.depth, parent.depth) - 1,
        tokens=None if tokens is None else int(tokens),
        cost_nano_usd=None if cost is None else int(cost),
    )


def _counted(number: int, name: str) -> str:
    return f"{number} {name}{'' if number == 1 else 's'}"


def _is_amount(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value) and value >= 0


def _less(declared: float, asked: float | None) -> float:
    return declared if asked is None else min(declared, asked)


def _least(*values: float | None) -> float | None:
    return min((value for value in values if value is not None), default=None)
