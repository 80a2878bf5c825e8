"""A tool: something an agent may use. The seam: `tools/` implements it, one kind a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from hanok.wire import Caller


@dataclass(frozen=True, kw_only=True)
class ToolSpec:
    """What a model is told of a tool, and what holds for its calls.

    `parameters` is a JSON Schema of an object. `safe` says that a call may be repeated when it is not known whether
    it happened; `cost_nano_usd` is charged for each call. Units: seconds, characters.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]
    timeout_s: float = 30.0
    max_output: int = 20_000
    safe: bool = True
    cost_nano_usd: int = 0


@dataclass(frozen=True, kw_only=True)
class ToolCall:
    """One call: arguments that fit the schema, who pays, and where it is.

    `idempotency_key` is the same when the call is repeated after a crash; `run` is the path of the run.
    """

    id: str
    name: str
    arguments: Mapping[str, Any]
    caller: Caller
    run: str
    thread: str
    step: int
    idempotency_key: str


@dataclass(frozen=True, kw_only=True)
class ToolResult:
    """What came of a call: a text for the model; `failed` says that it went wrong, and the text why and what to do.

    `data` is the same for machines (citations, a sub-run's id); `wanted` are requests to a person without whom it
    cannot go on: the run waits, and the call is made again with their answers.
    """

    content: str
    failed: bool = False
    data: Mapping[str, Any] | None = None


class Tool(Protocol):
    """Something an agent may use. Bounds (time, size, validity of arguments) are kept by who calls it."""

    @property
    def spec(self) -> ToolSpec: ...

    async def use(self, call: ToolCall) -> ToolResult:
        """Do it. What goes wrong in a way that the model can mend is a failed result; what it raises is told to the
        model as an error of the tool, without its details."""
        ...


@dataclass(frozen=True, kw_only=True)
class Missing:
    """A declared server whose tools cannot be had now, and `why`; its `box` may be asked again."""

    name: str
    why: str
    box: Toolbox


class Toolbox(Protocol):
    """Where tools come from that are several, or must be opened: MCP servers, OpenAPI documents, single tools too."""

    async def open(self) -> Sequence[Tool]:
        """The tools, opened if need be. Raises `ToolUnavailable`. Safe to call again."""
        ...

    async def aclose(self) -> None: ...
