"""Another agent as a tool: it gets a task, works in a run of its own, and gives its answer."""

from __future__ import annotations

from hanok.agents.tool import ToolCall, ToolResult, ToolSpec
from hanok.agents.tools.single import Ready
from hanok.agents.tools.surroundings import Surroundings
from hanok.spec import AgentTool
from hanok.wire import NANO

_PARAMETERS = {
    "type": "object",
    "properties": {
        "task": {"type": "string", "minLength": 1, "description": "What to do, with everything it needs to know."}
    },
    "required": ["task"],
    "additionalProperties": False,
}


class AgentTask:
    """Work for another agent. `Work` leads its run, so that it is resumed and paid for like all others."""

    def __init__(self, tool: AgentTool, description: str) -> None:
        self.agent = tool.agent
        self._spec = ToolSpec(
            name=tool.name,
            description=tool.description or description or f"Gives a task to the agent {tool.agent}.",
            parameters=_PARAMETERS,
            timeout_s=tool.timeout_s,
            max_output=tool.max_output,
            cost_nano_usd=round(tool.usd * NANO),
        )

    @property
    def spec(self) -> ToolSpec:
        """Its one argument is `task`."""
        return self._spec

    async def use(self, call: ToolCall) -> ToolResult:
        """Never called: `Work` hands the task over."""
        return ToolResult(content=f"{call.name} is an agent", failed=True)


def open_agent(tool: AgentTool, around: Surroundings) -> Ready:
    """The agent as it is declared."""
    declared = around.agents.get(tool.agent)
    return Ready(AgentTask(tool, declared.description if declared else ""))
