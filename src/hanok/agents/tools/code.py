"""Python that the model writes, run in the sandbox; it may call some of the agent's other tools as functions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import msgspec

from hanok.agents.checking import Checker
from hanok.agents.tool import Tool, ToolCall, ToolResult, ToolSpec
from hanok.agents.tools.carried import shown
from hanok.agents.tools.python import bounds_of
from hanok.agents.tools.sandbox_launch import GRACE_S, WAIT_S, Failed, Function, Refused, Sandbox, enter_sandbox
from hanok.agents.tools.surroundings import Surroundings
from hanok.errors import HanokError
from hanok.spec import CodeTool
from hanok.wire import NANO

_PARAMETERS: Mapping[str, Any] = {
    "type": "object",
    "properties": {"code": {"type": "string", "minLength": 1, "maxLength": 100_000, "description": "Python to run."}},
    "required": ["code"],
    "additionalProperties": False,
}
_ABOUT = (
    "Runs Python and answers what it prints, and the value of its last line. Each call begins anew: nothing is kept "
    "of the one before. There are no files, no network and no packages; of modules there are math, json, re, datetime, "
    "time, random, decimal, collections, itertools, functools, dataclasses, csv, hashlib, base64, bisect and copy. "
    "`yield` and class inheritance are not supported."
)


class Code:
    """Runs what the model writes. `others` gives the tools that it may call, when they are known."""

    def __init__(self, tool: CodeTool, sandbox: Sandbox, others: Callable[[], Sequence[Tool]]) -> None:
        self._tool = tool
        self._sandbox = sandbox
        self._others = others
        self._check = Checker()

    @property
    def spec(self) -> ToolSpec:
        """Its one argument is `code`. It may be repeated where all that it may call may be."""
        tools = self._callable().values()
        waiting = sum(tool.spec.timeout_s for tool in tools)
        return ToolSpec(
            name=self._tool.name,
            description="\n".join([self._tool.description or _ABOUT, *(_offered(tool.spec) for tool in tools)]),
            parameters=_PARAMETERS,
            timeout_s=self._tool.timeout_s + GRACE_S + WAIT_S + waiting,
            max_output=self._tool.max_output,
            safe=all(tool.spec.safe for tool in tools),
            cost_nano_usd=round(self._tool.usd * NANO),
        )

    async def use(self, call: ToolCall) -> ToolResult:
        """Run the code; what it called is told beside the result, for people who look at the run."""
        called: list[dict[str, Any]] = []
        functions = {name: partial(self._ask, tool, call, called) for name, tool in self._callable().items()}
        failed, said = await self._said(str(call.arguments["code"]), functions)
        return ToolResult(content=said, failed=failed, data={"called": called} if called else None)

    async def _said(self, code: str, functions: Mapping[str, Function]) -> tuple[bool, str]:
        """Whether it failed, and what the model is answered."""
        try:
            value, printed = await self._run(code, functions)
        except Failed as error:
            return True, _parts(error.printed, error.message)
        if value is None:
            return False, printed or "It ran, printed nothing, and its last line has no value."
        return False, _parts(printed, shown(value, self._tool.max_output))

    async def _run(self, code: str, functions: Mapping[str, Function]) -> tuple[Any, str]:
        return await self._sandbox.run(code, bounds_of(self._tool), functions=functions)

    def _callable(self) -> dict[str, Tool]:
        return {tool.spec.name: tool for tool in self._others() if tool.spec.name in self._tool.functions}

    async def _ask(
        self, tool: Tool, call: ToolCall, called: list[dict[str, Any]], places: Sequence[Any], named: Mapping[str, Any]
    ) -> Any:
        """Use a tool for the code: what it answers is read as JSON where it is some. Raises `Refused`."""
        spec = tool.spec
        arguments = _by_name(spec, places, named)
        if problem := self._check(spec.parameters, arguments):
            raise Refused(f"the arguments of {spec.name} do not fit: {problem}")
        called.append({"name": spec.name, "arguments": arguments})
        inner = f".{len(called)}"
        asked = replace(
            call,
            id=call.id + inner,
            name=spec.name,
            arguments=arguments,
            idempotency_key=call.idempotency_key + inner,
        )
        result = await _used(tool, asked)
        if result.failed:
            raise Refused(result.content)
        return _read(result.content[: spec.max_output])


async def _used(tool: Tool, call: ToolCall) -> ToolResult:
    """As the run itself would use it: bounded, and its faults told without their details."""
    try:
        async with asyncio.timeout(tool.spec.timeout_s):
            return await tool.use(call)
    except TimeoutError:
        return ToolResult(content=f"{call.name} did not answer within {tool.spec.timeout_s:g} s", failed=True)
    except HanokError as error:
        return ToolResult(content=f"{call.name} failed: {error.message}", failed=True)
    except Exception as error:  # noqa: BLE001 - a tool's fault is told to the code, not to the run
        return ToolResult(content=f"{call.name} failed ({type(error).__name__})", failed=True)


def _by_name(spec: ToolSpec, places: Sequence[Any], named: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments by their names; those that are given by place are the schema's in its order."""
    names = list(spec.parameters.get("properties", {}))
    if len(places) > len(names):
        raise Refused(f"{spec.name} takes {len(names)} arguments, not {len(places)}")
    return {**dict(zip(names, places, strict=False)), **named}


def _read(content: str) -> Any:
    try:
        return msgspec.json.decode(content)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return content


def _offered(spec: ToolSpec) -> str:
    """A function as the model is told of it."""
    names: Mapping[str, Mapping[str, Any]] = spec.parameters.get("properties", {})
    needed = spec.parameters.get("required", ())
    taken = ", ".join(name if name in needed else f"{name}=…" for name in names)
    return f"It may call {spec.name}({taken}): {spec.description}"


def _parts(printed: str, rest: str) -> str:
    return f"{printed.rstrip()}\n{rest}" if printed.strip() else rest


class CodeBox:
    """The toolbox of one declared `code` tool."""

    def __init__(self, tool: CodeTool, others: Callable[[], Sequence[Tool]]) -> None:
        self._tool = tool
        self._others = others
        self._sandbox: Sandbox | None = None
        self._opened: tuple[Tool, ...] = ()

    async def open(self) -> Sequence[Tool]:
        """The tool. The sandbox starts with the first call."""
        if not self._opened:
            self._sandbox = self._sandbox or enter_sandbox()
            self._opened = (Code(self._tool, self._sandbox, self._others),)
        return self._opened

    async def aclose(self) -> None:
        """Let go of the sandbox."""
        sandbox, self._sandbox, self._opened = self._sandbox, None, ()
        if sandbox is not None:
            await sandbox.leave()


def open_code(tool: CodeTool, around: Surroundings) -> CodeBox:
    """The tool as it is declared."""
    return CodeBox(tool, around.others)
