"""The toolboxes of a process: opened once for all agents that declare the same, closed when nobody does any more."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from hanok.agents.tool import Missing, Tool, Toolbox
from hanok.agents.tools.ask_user import AskUser
from hanok.agents.tools.single import Ready
from hanok.agents.tools.surroundings import Surroundings
from hanok.agents.tools.table import called_by_code, declared_tools, open_toolbox
from hanok.errors import ToolUnavailable
from hanok.spec import Agent, Platform
from hanok.spec import Tool as Declared

_ELSEWHERE = ("mcp",)
"""Kinds that are reached or started: they may be away for a while, and a run does without them."""
_OF_ONE_AGENT = ("code", "agent", "knowledge")
"""Kinds that are made of more than their declaration, and cost nothing to make."""


@dataclass
class _Open:
    tool: Declared
    agent: Agent | None
    box: Toolbox


@dataclass(frozen=True, kw_only=True)
class Had:
    """The tools that one run has, and the servers whose tools it is without."""

    tools: Sequence[Tool]
    missing: Sequence[Missing]


@dataclass
class _Others:
    """What an agent's code may call, as far as it was opened."""

    tools: list[Tool] = field(default_factory=list[Tool])


class Boxes:
    """One for each process. `around` is what tools are made with, but for what depends on the agent."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._open: list[_Open] = []
        self._gone: list[Toolbox] = []

    async def tools(self, agent: Agent, platform: Platform) -> list[Tool]:
        """The tools of one agent. Raises `AgentError`, and `ToolUnavailable` naming the one that cannot be had."""
        had = await self.had(agent, platform)
        for missing in had.missing:
            raise ToolUnavailable(missing.why)
        return list(had.tools)

    async def had(self, agent: Agent, platform: Platform) -> Had:
        """Those that it has now; servers that cannot be reached are missing. Raises `AgentError`, and
        `ToolUnavailable` for what is elsewhere only by mistake."""
        others = _Others()
        agents = {each.name: each for each in platform.agents}
        around = replace(self._around, agents=agents, others=lambda: others.tools)
        offered = declared_tools(agent, platform.tools)
        called = called_by_code(offered, agent, platform.tools)
        declared = {tool.name: tool for tool in (*offered, *called)}
        boxes = {name: self._box(tool, agent, around) for name, tool in declared.items()}
        missing: dict[str, Missing] = {}
        opened = (self._opened(tool, boxes[name], missing) for name, tool in declared.items())
        found = dict(zip(declared, await asyncio.gather(*opened), strict=True))  # side by side: none waits for another
        others.tools = [each for tool in called for each in found[tool.name]]
        tools = [each for tool in offered for each in found[tool.name]]
        return Had(
            tools=[*tools, AskUser()] if agent.questions else tools,
            missing=[missing[name] for name in declared if name in missing],
        )

    async def _opened(self, tool: Declared, box: Toolbox, missing: dict[str, Missing]) -> Sequence[Tool]:
        try:
            return await box.open()
        except ToolUnavailable as error:
            if tool.type not in _ELSEWHERE:
                raise
            missing[tool.name] = Missing(name=tool.name, why=error.message, box=box)
            return ()

    def change(self, platform: Platform) -> None:
        """Let go of what this platform declares no more; runs that are led may use it until `tidy`."""
        kept = _declared(platform)
        for each in self._open:
            if not any(each.tool == tool and each.agent in (None, agent) for agent, tool in kept):
                self._gone.append(each.box)
        self._open = [each for each in self._open if each.box not in self._gone]

    async def tidy(self) -> None:
        """Close what nobody declares any more."""
        gone, self._gone = self._gone, []
        await asyncio.gather(*(box.aclose() for box in gone), return_exceptions=True)

    async def aclose(self) -> None:
        """Close all."""
        self._gone += [each.box for each in self._open]
        self._open = []
        await self.tidy()

    def _box(self, tool: Declared, agent: Agent, around: Surroundings) -> Toolbox:
        owner = agent if tool.type in _OF_ONE_AGENT else None
        for each in self._open:
            if each.tool == tool and each.agent == owner:
                return each.box
        replaced: Mapping[str, Tool] = around.replaced
        box = Ready(replaced[tool.name]) if tool.name in replaced else open_toolbox(tool, around)
        self._open.append(_Open(tool, owner, box))
        return box


def _declared(platform: Platform) -> Sequence[tuple[Agent, Declared]]:
    found: list[tuple[Agent, Declared]] = []
    for agent in platform.agents:
        offered = declared_tools(agent, platform.tools)
        found += [(agent, tool) for tool in (*offered, *called_by_code(offered, agent, platform.tools))]
    return found
