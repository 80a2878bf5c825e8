"""Tools as a run uses them: approved by people where they must be, each call once, told whatever comes of it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any, NoReturn, Protocol, TypeVar, cast

from langgraph.types import interrupt

from hanok.agents.calls import Asked, fitted, read_call
from hanok.agents.counting import add, paid_to_tools
from hanok.agents.keeping import Keeping, Stopped
from hanok.agents.limits import KeyEnded, LimitReached, check_tool_call
from hanok.agents.tool import Missing, Tool, ToolCall, ToolResult, ToolSpec
from hanok.agents.values import Message, Receipt, Run, Used
from hanok.agents.watching import Use, Watcher
from hanok.errors import HanokError, StoreError, ToolUnavailable
from hanok.spec import Agent
from hanok.wire import Caller

T = TypeVar("T")
ASK_USER = "ask_user"
UNKNOWN_OUTCOME = (
    "It is not known whether this call took effect: the platform stopped while it ran. "
    "It was not repeated. Look whether it did before you try again."
)
LOOKS_FOR_MISSING = 3
LOOK_FOR_MISSING_S = 10.0
"""How often a run asks again for tools of a server that was out of reach, and how long it rests between."""


@dataclass(frozen=True, kw_only=True)
class Waits:
    """What a tool gives back that cannot go on without a person: requests, by their ids."""

    requests: dict[str, dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Delegated:
    """What work given to another agent came to: its result, what it used, and when it was begun (Unix seconds; earlier
    than this call where that is made again)."""

    result: ToolResult
    used: Used
    began: float | None = None


class Delegate(Protocol):
    """Gives a task to another agent, in a run of that id below ours, and leads it to its end. `caller` is in the span
    of the tool call that it is."""

    def __call__(
        self, work: Keeping, agent: str, task: str, run_id: str, *, caller: Caller
    ) -> Coroutine[Any, Any, Delegated | Waits]: ...


Check = Callable[[Mapping[str, Any], Mapping[str, Any]], str | None]
"""Whether arguments fit a JSON Schema, and if not why."""
Allot = Callable[[Run, int], Coroutine[Any, Any, None]]
"""Tells the ledger what a run may spend on models, when its tools have cost so many nano dollars."""


class Using(Keeping):
    """The tools of one run in this process."""

    def __init__(
        self,
        *,
        agent: Agent,
        tools: Sequence[Tool],
        missing: Sequence[Missing],
        delegate: Delegate,
        check: Check,
        allot: Allot,
        watcher: Watcher,
        **kept: Any,
    ) -> None:
        super().__init__(**kept)
        self.agent = agent
        self._missing = list(missing)
        self._looks_left = LOOKS_FOR_MISSING
        self._look_at = self._monotonic() + LOOK_FOR_MISSING_S
        self._tools = {tool.spec.name: tool for tool in tools}
        self._delegate = delegate
        self._check = check
        self._allot = allot
        self._watcher = watcher
        self._uses: dict[str, Use] = {}

    @property
    def tools(self) -> tuple[ToolSpec, ...]:
        """What may be used, as models are told of it."""
        return tuple(tool.spec for tool in self._tools.values())

    async def use(self, calls: Sequence[Mapping[str, Any]]) -> list[Message]:
        """Use tools, side by side: a message of role `tool` for each of a model's `tool_calls`, in their order.

        What goes wrong is told in the messages. Waits for people where they must approve, or are asked. Raises
        `LimitReached`, `KeyEnded` and `Stopped`.
        """
        self._stop_if_wished()
        asked = [read_call(call, self._key(f"tool:{name}")) for call, name in zip(calls, _names(calls), strict=True)]
        wanted = {each.key: self._request_of(each) for each in asked if each.key not in self.run.answers}
        if missing := {key: request for key, request in wanted.items() if request is not None}:
            self._wait(missing)
        done = await _all_of([self._use(each) for each in asked])
        if waits := {id_: each for one in done if isinstance(one, Waits) for id_, each in one.requests.items()}:
            self._wait(waits)
        self._tell_budget()
        await self._look_for_missing()
        return [each for each in done if not isinstance(each, Waits)]

    def ask(self, text: str) -> str:
        """Ask the run's user a question, and wait for the answer."""
        id_ = self._key("question")
        answer = self.run.answers.get(id_)
        if answer is None:
            self._wait({id_: {"kind": "question", "question": text}})
        return str(answer.get("text") or "")

    def tell_missing(self) -> None:
        """Tell whoever watches which servers it works without, if any."""
        if self._missing:
            self.tell("tools", {"missing": [{"name": each.name, "why": each.why} for each in self._missing]})

    async def _look_for_missing(self) -> None:
        """Ask servers again that were out of reach, a few times and with a rest between."""
        if not self._missing or not self._looks_left or self._monotonic() < self._look_at:
            return
        self._looks_left -= 1
        gone, self._missing = self._missing, list[Missing]()
        await asyncio.gather(*(self._look_for(each) for each in gone))
        self._look_at = self._monotonic() + LOOK_FOR_MISSING_S

    async def _look_for(self, gone: Missing) -> None:
        try:
            self._tools |= {tool.spec.name: tool for tool in await gone.box.open()}
            self.tell("tools", {"found": [gone.name]})
        except ToolUnavailable as error:
            self._missing.append(replace(gone, why=error.message))

    def give_up(self, error: str) -> None:
        """The run has ended so, whatever its tools were at."""
        for key in list(self._uses):
            self._end_use(key, error=error)

    # one call

    def _request_of(self, asked: Asked) -> dict[str, Any] | None:
        """The approval that a call needs, or the question that it is."""
        tool = self._tools.get(asked.name)
        if tool is None or asked.problem is not None or asked.key in self._receipts:
            return None
        approved = any(fnmatchcase(asked.name, pattern) for pattern in self.agent.approvals)
        if asked.name != ASK_USER and not approved:
            return None
        if self._check(tool.spec.parameters, asked.arguments) is not None:
            return None
        if asked.name == ASK_USER:
            return {"kind": "question", "question": str(asked.arguments["question"]), "call": asked.id}
        return {"kind": "approval", "tool": asked.name, "arguments": asked.arguments, "call": asked.id}

    def _wait(self, requests: dict[str, dict[str, Any]]) -> NoReturn:
        interrupt({"requests": requests})
        raise AssertionError("an interrupt comes back only with an answer, and these are kept in the run")

    async def _use(self, asked: Asked) -> Message | Waits:
        kept = self._receipts.get(asked.key)
        if kept is not None and kept.result is not None:
            return kept.result["message"]
        asked, refused = self._settled(asked)
        if refused is None and kept is not None and not self._tools[asked.name].spec.safe:
            refused = UNKNOWN_OUTCOME
        if refused is not None:
            self._begin_use(asked, refused=True)
            return await self._finish(asked, ToolResult(content=refused, failed=True), 0.0, Used())
        tool = self._tools[asked.name]
        check_tool_call(self.run.bounds, self.used, tool.spec.cost_nano_usd)
        taken = Used(tool_calls=1, cost_nano_usd=tool.spec.cost_nano_usd)  # now: others begin beside it
        self._count(taken)
        use = self._begin_use(asked)
        self.tell("tool_call", {"step": self.used.steps, **_call_form(asked)})
        if not tool.spec.safe:
            begun = Receipt(run=self.run.id, key=asked.key, kind="tool", state="begun", at=self._clock())
            await self._recorder.keep(begun)
        await self._settle()
        since = self._monotonic()
        result = await self._call(tool, asked, use)
        if isinstance(result, Waits):
            self._uses.pop(asked.key)
            self._count(Used(tool_calls=-1, cost_nano_usd=-taken.cost_nano_usd))
            return result
        return await self._account(tool, asked, result, self._monotonic() - since)

    async def _account(self, tool: Tool, asked: Asked, result: ToolResult | Delegated, seconds: float) -> Message:
        """Count what those below a call have used, and keep what it gave back."""
        price = tool.spec.cost_nano_usd
        spent = Used(tool_calls=1, cost_nano_usd=price)
        if isinstance(result, Delegated):
            self._uses[asked.key].began = result.began or self._uses[asked.key].began
            below = replace(result.used, steps=0, tool_calls=0, seconds=0.0)
            self._count(below)
            spent, result = add(spent, below), result.result
        safe = tool.spec.safe
        message = await self._finish(asked, fitted(result, tool.spec.max_output), seconds, spent, price, gather=safe)
        if price:
            await self._allot(self.run, paid_to_tools(self._receipts.values()))
        return message

    def _settled(self, asked: Asked) -> tuple[Asked, str | None]:
        """The call as it is to be made, and why it cannot be: for the model to do it better."""
        name = asked.name
        if name not in self._tools:
            away = ", ".join(each.name for each in self._missing)
            more = f" Out of reach now: those of {away}." if away else ""
            return asked, f"There is no tool {name!r}. There are: {', '.join(self._tools) or 'none'}.{more}"
        if asked.problem is not None:
            return asked, f"The arguments of {name} are no JSON object: {asked.problem}"
        answer = self.run.answers.get(asked.key)
        if answer is not None and name != ASK_USER:
            if not answer.get("approve"):
                reason = str(answer.get("reason") or "").strip()
                return asked, "A person did not approve this call." + (f" Their reason: {reason}" if reason else "")
            if isinstance(edited := answer.get("arguments"), dict):
                asked = replace(asked, arguments=cast("dict[str, Any]", edited))
        problem = self._check(self._tools[name].spec.parameters, asked.arguments)
        return asked, None if problem is None else f"The arguments of {name} do not fit: {problem}"

    def _begin_use(self, asked: Asked, *, refused: bool = False) -> Use:
        caller = self._watcher.below(self.run.caller, f"{self.run.id}:{asked.key}")
        use = self._uses[asked.key] = Use(
            tool=asked.name,
            call=asked.id,
            arguments=asked.arguments,
            caller=caller,
            began=self._clock(),
            known=asked.name in self._tools,
            refused=refused,
        )
        return use

    def _end_use(self, key: str, *, result: str = "", error: str = "") -> None:
        use = self._uses.pop(key)
        use.ended, use.result, use.error = self._clock(), result, use.error or error
        self._watcher.used(self.run, use)

    def _tool_call(self, asked: Asked, caller: Caller) -> ToolCall:
        return ToolCall(
            id=asked.id,
            name=asked.name,
            arguments=asked.arguments,
            caller=self._in_run(caller),
            run=self.run.path,
            thread=self.run.thread,
            step=self.used.steps,
            idempotency_key=f"{self.run.id}:{asked.key}",
        )

    async def _call(self, tool: Tool, asked: Asked, use: Use) -> ToolResult | Delegated | Waits:
        if asked.name == ASK_USER:
            return ToolResult(content=str(self.run.answers.get(asked.key, {}).get("text") or ""))
        call, agent = self._tool_call(asked, use.caller), getattr(tool, "agent", None)
        try:
            if agent is not None:
                child = run_of_call(call.idempotency_key)
                task = str(asked.arguments.get("task") or "")
                return await self._delegate(self, str(agent), task, child, caller=use.caller)
            async with asyncio.timeout(tool.spec.timeout_s):
                return await tool.use(call)
        except TimeoutError:
            use.error = "timeout"
            return ToolResult(content=f"{asked.name} did not answer within {tool.spec.timeout_s:g} s.", failed=True)
        except (KeyEnded, LimitReached, Stopped):
            raise
        except HanokError as error:
            if agent is not None and isinstance(error, StoreError):  # how the work below ended is not known yet
                raise
            use.error = type(error).__name__
            return ToolResult(content=f"{asked.name} failed: {error.message}", failed=True)
        except Exception as error:  # noqa: BLE001 - a tool's fault is told to the model, not to the run
            use.error = type(error).__name__
            return ToolResult(content=f"{asked.name} failed ({type(error).__name__}).", failed=True)

    async def _finish(
        self, asked: Asked, result: ToolResult, seconds: float, spent: Used, price: int = 0, *, gather: bool = False
    ) -> Message:
        id_ = f"tool_{_digest(asked.key)[:16]}"
        message: Message = {"id": id_, "role": "tool", "tool_call_id": asked.id, "content": result.content}
        told: dict[str, Any] = {"step": self.used.steps, "id": asked.id, "name": asked.name, "content": result.content}
        told |= {"failed": result.failed, "seconds": round(seconds, 3)}
        self.tell("tool_result", told | ({"data": dict(result.data)} if result.data else {}))
        self._end_use(asked.key, result=result.content, error=_error_of(result, self._uses[asked.key]))
        kept = {"message": message, "used": dict(vars(spent)), "price": price}
        await self._keep(asked.key, "tool", kept, gather=gather)
        return message


def run_of_call(idempotency_key: str) -> str:
    """The id of the run below that a tool call of a run begins."""
    return f"run_{_digest(idempotency_key)[:24]}"


def _error_of(result: ToolResult, use: Use) -> str:
    return "refused" if use.refused else "failed" if result.failed else ""


def _names(calls: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of a message's calls: their ids, marked where one comes again, so that none is taken for another."""
    names: dict[str, None] = {}
    for call in calls:
        name = str(call.get("id"))
        while name in names:
            name += "'"
        names[name] = None
    return list(names)


async def _all_of(works: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """What each gives. Where one raises, all others end before it is raised: none goes on behind a run that is over."""
    if len(works) == 1:
        return [await works[0]]
    done = await asyncio.gather(*works, return_exceptions=True)
    for each in done:
        if isinstance(each, BaseException):
            raise each
    return cast("list[T]", done)


def _call_form(asked: Asked) -> dict[str, Any]:
    return {"id": asked.id, "name": asked.name, "arguments": asked.arguments}


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
