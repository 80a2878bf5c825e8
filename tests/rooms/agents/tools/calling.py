"""What tests of tools share: open a declared toolbox, use a tool of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from hanok.agents.tool import Tool, Toolbox, ToolCall, ToolResult
from hanok.agents.tools.http_client import Clock
from hanok.agents.tools.http_tool import HttpToolbox
from hanok.spec import HttpTool
from hanok.spec.tree.templates import names_in
from hanok.web.client import Web
from hanok.wire import Caller


def call_of(name: str, arguments: Mapping[str, Any], key: str = "key-1", trace: str | None = None) -> ToolCall:
    """A call with these arguments."""
    caller = Caller(key_id="", key_name="", trace=trace)
    return ToolCall(
        id="c1", name=name, arguments=arguments, caller=caller, run="r", thread="t", step=1, idempotency_key=key
    )


class Waits:
    """A clock that goes on when somebody sleeps; chance is always in the middle."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    @property
    def clock(self) -> Clock:
        return Clock(now=lambda: sum(self.slept), sleep=self.sleep, chance=lambda: 0.5)


def declare(url: str, **declared: Any) -> HttpTool:
    """A tool named `api`, in private networks, that takes what its placeholders name."""
    named = names_in([url, declared.get("query"), declared.get("body")])
    declared.setdefault("parameters", {"type": "object", "properties": {name: {} for name in named}})
    return HttpTool.model_validate({"name": "api", "type": "http", "url": url, "private": True, **declared})


def opened(toolbox: Toolbox) -> Sequence[Tool]:
    """Its tools."""
    return asyncio.run(toolbox.open())


def use_one(tool: Tool, arguments: Mapping[str, Any], *, trace: str | None = None) -> ToolResult:
    """What one call gives."""
    return asyncio.run(tool.use(call_of(tool.spec.name, arguments, trace=trace)))


def use(
    url: str,
    arguments: Mapping[str, Any] | None = None,
    *,
    web: Web | None = None,
    waits: Waits | None = None,
    trace: str | None = None,
    **declared: Any,
) -> ToolResult:
    """Declare a tool and use it once. Times are real unless `waits` counts them."""
    toolbox = HttpToolbox(declare(url, **declared), web=web, clock=(waits or Waits()).clock)
    (tool,) = opened(toolbox)
    return use_one(tool, arguments or {}, trace=trace)
