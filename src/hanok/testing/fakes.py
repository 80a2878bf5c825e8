"""Functions that stand for declared tools: they are called as the tools would be, by the same rules."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from typing import Any

from hanok.agents.tool import ToolCall, ToolResult, ToolSpec
from hanok.spec import Platform, Tool
from hanok.wire import NANO

Fake = Callable[..., Any]
"""Takes the call's arguments by their names; gives text, any JSON value, or a `ToolResult`; may be a coroutine
function. What it raises is told to the model as the tool's failure."""


class FakeTool:
    """A declared tool, done by a function."""

    def __init__(self, name: str, fake: Fake, declared: Tool | None) -> None:
        self._fake = fake
        self._spec = ToolSpec(
            name=name,
            description=(declared.description if declared else "") or inspect.getdoc(fake) or "",
            parameters=getattr(declared, "parameters", None) or _parameters(fake),
            timeout_s=declared.timeout_s if declared else 30.0,
            max_output=declared.max_output if declared else 20_000,
            cost_nano_usd=round(declared.usd * NANO) if declared else 0,
        )

    @property
    def spec(self) -> ToolSpec:
        """As declared; without declared parameters, those of the function."""
        return self._spec

    async def use(self, call: ToolCall) -> ToolResult:
        """Call the function."""
        said = self._fake(**call.arguments)
        if inspect.isawaitable(said):
            said = await said
        if isinstance(said, ToolResult):
            return said
        return ToolResult(content=said if isinstance(said, str) else json.dumps(said, ensure_ascii=False, default=str))


def declared_tool(platform: Platform, name: str) -> Tool | None:
    """The tool of this name, wherever it is declared."""
    inline = (tool for agent in platform.agents for tool in agent.tools if not isinstance(tool, str))
    return next((tool for tool in (*platform.tools, *inline) if tool.name == name), None)


def _parameters(fake: Fake) -> dict[str, Any]:
    """The function's parameters, of any type."""
    known = inspect.signature(fake).parameters.values()
    named = [each for each in known if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)]
    return {
        "type": "object",
        "properties": {each.name: {} for each in named},
        "required": [each.name for each in named if each.default is each.empty],
        "additionalProperties": any(each.kind is each.VAR_KEYWORD for each in known),
    }
