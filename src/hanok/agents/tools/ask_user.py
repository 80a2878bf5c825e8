"""`ask_user`: a question to the user. The run waits for the answer; `Work` sees to that."""

from __future__ import annotations

from hanok.agents.tool import ToolCall, ToolResult, ToolSpec

_PARAMETERS = {
    "type": "object",
    "properties": {"question": {"type": "string", "minLength": 1, "description": "What you need to know."}},
    "required": ["question"],
    "additionalProperties": False,
}


class AskUser:
    """Asks the user."""

    @property
    def spec(self) -> ToolSpec:
        """Its one argument is `question`."""
        text = "Ask the user a question when you cannot go on without the answer."
        return ToolSpec(name="ask_user", description=text, parameters=_PARAMETERS)

    async def use(self, call: ToolCall) -> ToolResult:
        """Never called: a question is answered by a person, through `Work`."""
        return ToolResult(content=f"{call.name} is answered by people", failed=True)
