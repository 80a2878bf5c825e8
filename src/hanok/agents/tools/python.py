"""A declared Python function as a tool, run in the sandbox."""

from __future__ import annotations

from collections.abc import Sequence

from hanok.agents.tool import Tool, ToolCall, ToolResult, ToolSpec
from hanok.agents.tools.carried import NotCarried, text_of
from hanok.agents.tools.sandbox_launch import GRACE_S, WAIT_S, Bounds, Failed, Sandbox, enter_sandbox
from hanok.agents.tools.surroundings import Surroundings
from hanok.errors import ToolUnavailable
from hanok.spec import CodeTool, PythonTool
from hanok.spec.signatures import NoSignature, Signature, read_signature
from hanok.wire import NANO

_GIVEN = "arguments_of_this_call"


class PythonFunction:
    """One function: its arguments come by their names, its value goes as JSON (a text as it is)."""

    def __init__(self, tool: PythonTool, signature: Signature, sandbox: Sandbox) -> None:
        waits = "await " if signature.awaited else ""
        self._code = f"{tool.code.rstrip()}\n\n{waits}{signature.name}(**{_GIVEN})"
        self._bounds = bounds_of(tool)
        self._sandbox = sandbox
        self._spec = ToolSpec(
            name=tool.name,
            description=tool.description or signature.description or f"Calls {signature.name}.",
            parameters=tool.parameters or signature.parameters,
            timeout_s=tool.timeout_s + GRACE_S + WAIT_S,
            max_output=tool.max_output,
            cost_nano_usd=round(tool.usd * NANO),
        )

    @property
    def spec(self) -> ToolSpec:
        """Its time is that of the function, with what waiting for a free sandbox may take."""
        return self._spec

    async def use(self, call: ToolCall) -> ToolResult:
        """Call the function."""
        try:
            value, _ = await self._sandbox.run(self._code, self._bounds, inputs={_GIVEN: dict(call.arguments)})
            return ToolResult(content=value if isinstance(value, str) else text_of(value, self._bounds.printed))
        except Failed as error:
            return ToolResult(content=f"{call.name} failed: {error.message}", failed=True)
        except NotCarried as error:
            return ToolResult(content=f"{call.name} failed: it returned {error}", failed=True)


class PythonBox:
    """The toolbox of one declared function."""

    def __init__(self, tool: PythonTool) -> None:
        self._tool = tool
        self._sandbox: Sandbox | None = None
        self._opened: tuple[Tool, ...] = ()

    async def open(self) -> Sequence[Tool]:
        """The function, whose definitions have been run once. Raises `ToolUnavailable` where the sandbox cannot."""
        if not self._opened:
            signature = self._signature()
            self._sandbox = self._sandbox or enter_sandbox()
            await self._try_out(self._sandbox)
            self._opened = (PythonFunction(self._tool, signature, self._sandbox),)
        return self._opened

    async def aclose(self) -> None:
        """Let go of the sandbox."""
        sandbox, self._sandbox, self._opened = self._sandbox, None, ()
        if sandbox is not None:
            await sandbox.leave()

    def _signature(self) -> Signature:
        try:
            return read_signature(self._tool.code, self._tool.function, annotated=not self._tool.parameters)
        except NoSignature as error:
            raise ToolUnavailable(f"the code of {self._tool.name}: {error.message}", hint=error.hint) from error

    async def _try_out(self, sandbox: Sandbox) -> None:
        try:
            await sandbox.run(f"{self._tool.code.rstrip()}\n\nNone", bounds_of(self._tool))
        except Failed as error:
            message = f"the code of {self._tool.name} cannot be run in the sandbox: {error.message}"
            hint = "the sandbox has a part of Python alone: no generators, no packages; see docs/agent-tools-sandbox.md"
            raise ToolUnavailable(message, hint=hint) from error


def bounds_of(tool: PythonTool | CodeTool) -> Bounds:
    """What is declared for one call."""
    return Bounds(time_s=tool.timeout_s, memory_bytes=round(tool.memory_mib * 1024**2), printed=tool.max_output)


def open_python(tool: PythonTool, _: Surroundings) -> PythonBox:
    """The function as it is declared."""
    return PythonBox(tool)
