"""Work: all that a step of an agent may do. Ask the model, use tools, ask a person; nothing else reaches outside.

A step may be done again: after a crash, after a person has answered. So every call has a key made of its task (which
LangGraph names alike when it is done again) and its place in it; what a call gave back is kept under that key before
anybody sees it, and the step that is done again gets the same. Limits, events and approvals are kept here once, so that
patterns are nothing but the order of steps.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from fnmatch import fnmatchcase
from typing import Any, Protocol, cast

import msgspec
from langgraph.config import get_config
from langgraph.types import interrupt

from hanok.agents.limits import LimitReached, check_spent, check_step, check_tool_call
from hanok.agents.recorder import Recorder
from hanok.agents.reply import Hearing, Reply
from hanok.agents.tool import Tool, ToolCall, ToolResult, ToolSpec
from hanok.agents.values import EventType, Message, Receipt, Run, Used, Wish
from hanok.errors import BudgetExceeded, HanokError
from hanok.spec import Agent
from hanok.wire import Caller, ChatModel, ChatRequest, Usage

ASK_USER = "ask_user"
UNKNOWN_OUTCOME = (
    "It is not known whether this call took effect: the platform stopped while it ran. "
    "It was not repeated. Look whether it did before you try again."
)
_NOTHING_USED = Usage()


class Stopped(HanokError):
    """Somebody wants the run to pause or to end."""

    def __init__(self, wish: Wish) -> None:
        super().__init__(f"the run was told to {wish}")
        self.wish: Wish = wish


@dataclass(frozen=True, kw_only=True)
class Waits:
    """What a tool gives back that cannot go on without a person: requests, by their ids."""

    requests: dict[str, dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Delegated:
    """What work given to another agent came to: its result, and what it used."""

    result: ToolResult
    used: Used


class Delegate(Protocol):
    """Gives a task to another agent, in a run of that id below ours, and leads it to its end."""

    def __call__(self, work: Work, agent: str, task: str, run_id: str) -> Coroutine[Any, Any, Delegated | Waits]: ...


Check = Callable[[Mapping[str, Any], Mapping[str, Any]], str | None]
"""Whether arguments fit a JSON Schema, and if not why."""
Allot = Callable[[Run, int], Coroutine[Any, Any, None]]
"""Tells the ledger what a run may spend on models, when its tools have cost so many nano dollars."""


class Work:
    """One run's work in this process. LangGraph hands it to every node as `runtime.context`."""

    def __init__(
        self,
        *,
        run: Run,
        agent: Agent,
        model: str,
        instructions: str,
        tools: Sequence[Tool],
        models: ChatModel,
        recorder: Recorder,
        receipts: Mapping[str, Receipt],
        caller_of_call: Callable[[Caller], Caller],
        delegate: Delegate,
        check: Check,
        allot: Allot,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.run = run
        self.agent = agent
        self.model = model
        self.instructions = instructions
        self.used = run.used
        self.wish: Wish | None = None
        self.said = ""
        self._tools = {tool.spec.name: tool for tool in tools}
        self._models = models
        self._recorder = recorder
        self._receipts = dict(receipts)
        self._caller_of_call = caller_of_call
        self._delegate = delegate
        self._check = check
        self._allot = allot
        self._clock = clock
        self._since = clock()
        self._places: dict[str, int] = {}

    # what patterns ask for

    @property
    def tools(self) -> tuple[ToolSpec, ...]:
        """What may be used, as models are told of it."""
        return tuple(tool.spec for tool in self._tools.values())

    async def think(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[str] | None = None,
        schema: Mapping[str, Any] | None = None,
        model: str | None = None,
        silent: bool = False,
    ) -> Reply:
        """Ask the model once. `tools` are the names of those offered (all by default); `schema` is a JSON Schema that
        the answer must fit (`Reply.parsed`); `silent` tells nobody its tokens.

        Raises `LimitReached`, `Stopped`, and what models raise.
        """
        key = self._key("model")
        if (kept := self._receipts.get(key)) is not None and kept.result is not None:
            return _reply_of(kept.result)
        self._stop_if_wished()
        check_step(self.run.bounds, self.used)
        self._count(steps=1)
        step = self.used.steps
        self.tell("step", {"step": step, "node": _node()})
        request = self._request(messages, tools, schema, model)
        hearing = Hearing(lambda text, reasoning: None if silent else self._hear(step, text, reasoning))
        reply = await self._ask(request, hearing, schema)
        kept = {**vars(reply), "usage": msgspec.to_builtins(reply.usage)}
        await self._keep(key, "model", {**kept, "used": asdict(_used_by(reply))})
        self._recorder.fold(self.run.id)
        self.tell(
            "message", {"step": step, "message": reply.message, "model": reply.model, "usage": _usage_form(reply)}
        )
        self._tell_budget()
        if reply.cut is not None:
            raise LimitReached(_limit_of(reply.cut), "a budget ended the answer", said=str(reply.message["content"]))
        return reply

    async def use(self, calls: Sequence[Mapping[str, Any]]) -> list[Message]:
        """Use tools, side by side: a message of role `tool` for each of a model's `tool_calls`, in their order.

        What goes wrong is told in the messages. Waits for people where they must approve, or are asked. Raises
        `LimitReached` and `Stopped`.
        """
        self._stop_if_wished()
        keys = [self._key(f"tool:{call.get('id')}") for call in calls]
        wanted = {
            id_: request for call, key in zip(calls, keys, strict=True) for id_, request in self._wants(call, key)
        }
        if missing := {id_: each for id_, each in wanted.items() if id_ not in self.run.answers}:
            self._wait(missing)
        done = await asyncio.gather(*(self._use(call, key) for call, key in zip(calls, keys, strict=True)))
        if waits := {id_: each for one in done if isinstance(one, Waits) for id_, each in one.requests.items()}:
            self._wait(waits)
        self._tell_budget()
        return [cast(Message, each) for each in done]

    async def once(self, do: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """Do something of one's own once: its value (plain JSON) is kept, and given back when the step is redone."""
        key = self._key("value")
        if (kept := self._receipts.get(key)) is not None and kept.result is not None:
            return kept.result["value"]
        value = await do()
        await self._keep(key, "value", {"value": value})
        return value

    def ask(self, text: str) -> str:
        """Ask the run's user a question, and wait for the answer."""
        id_ = self._key("question")
        answer = self.run.answers.get(id_)
        if answer is None:
            self._wait({id_: {"kind": "question", "question": text}})
        return str(answer.get("text") or "")

    def tell(self, type_: EventType, data: dict[str, Any]) -> None:
        """Tell whoever watches."""
        self._recorder.tell(self.run.id, type_, data)

    # what the worker asks for

    def clocked(self) -> Used:
        """What was used, with the seconds until now."""
        return replace(self.used, seconds=self.run.used.seconds + self._clock() - self._since)

    # a model call

    def _request(
        self,
        messages: Sequence[Message],
        tools: Sequence[str] | None,
        schema: Mapping[str, Any] | None,
        model: str | None,
    ) -> ChatRequest:
        offered = [_tool_form(spec) for spec in self.tools if tools is None or spec.name in tools]
        request = ChatRequest.ask(
            model or self.model,
            [_told(message) for message in messages],
            stream=True,
            tools=offered or None,
            response_format=None if schema is None else _format(schema),
            temperature=self.agent.temperature,
            max_tokens=self._most_tokens(),
        )
        caller = msgspec.structs.replace(
            self.run.caller, run=self.run.path, session=self.run.caller.session or self.run.thread
        )
        return msgspec.structs.replace(request, caller=self._caller_of_call(caller))

    def _most_tokens(self) -> int | None:
        bound = self.run.bounds.tokens
        left = None if bound is None else max(1, bound - self.used.tokens)
        return min((most for most in (self.agent.max_tokens, left) if most is not None), default=None)

    async def _ask(self, request: ChatRequest, hearing: Hearing, schema: Mapping[str, Any] | None) -> Reply:
        try:
            answer = await self._models.open(request)
        except BudgetExceeded as error:
            raise LimitReached("usd", error.message, said=self.said) from error
        try:
            await hearing.listen(answer)
        finally:
            await answer.aclose()
        usage = hearing.usage or _NOTHING_USED
        cost = int(getattr(answer, "cost_nano_usd", 0))
        self._count(prompt_tokens=usage.prompt_tokens, completion_tokens=usage.completion_tokens, cost_nano_usd=cost)
        message = hearing.message(f"msg_{secrets.token_hex(8)}")
        self.said = str(message["content"]) or self.said
        return Reply(
            message=message,
            finish=hearing.finish,
            usage=usage,
            cost_nano_usd=cost,
            model=answer.model,
            cut=hearing.cut,
            parsed=None if schema is None else read_object(str(message["content"])),
        )

    def _hear(self, step: int, text: str, reasoning: bool) -> None:
        self._recorder.tell_token(self.run.id, step, text, reasoning)

    # tool calls

    def _wants(self, call: Mapping[str, Any], key: str) -> list[tuple[str, dict[str, Any]]]:
        """The approval that a call needs, or the question that it is."""
        name, arguments = _name(call), _arguments(call)
        if key in self._receipts or name not in self._tools or not isinstance(arguments, dict):
            return []
        if name == ASK_USER and self._check(self._tools[name].spec.parameters, arguments) is None:
            return [
                (key, {"kind": "question", "question": str(arguments.get("question") or ""), "call": call.get("id")})
            ]
        if any(fnmatchcase(name, pattern) for pattern in self.agent.approvals):
            return [(key, {"kind": "approval", "tool": name, "arguments": arguments, "call": call.get("id")})]
        return []

    def _wait(self, requests: dict[str, dict[str, Any]]) -> Any:
        interrupt({"requests": requests})
        raise AssertionError("an interrupt comes back only with an answer, and these are kept in the run")

    async def _use(self, call: Mapping[str, Any], key: str) -> Message | Waits:
        kept = self._receipts.get(key)
        if kept is not None and kept.result is not None:
            return kept.result["message"]
        name, id_ = _name(call), str(call.get("id") or key)
        arguments, refused = self._arguments(call, key)
        if refused is None and kept is not None and not self._tools[name].spec.safe:
            refused = UNKNOWN_OUTCOME
        if refused is not None:
            return await self._finish(key, id_, name, ToolResult(content=refused, failed=True), 0.0, Used())
        tool = self._tools[name]
        check_tool_call(self.run.bounds, self.used, tool.spec.cost_nano_usd)
        self._count(tool_calls=1)
        self.tell("tool_call", {"step": self.used.steps, "id": id_, "name": name, "arguments": arguments})
        if not tool.spec.safe:
            await self._recorder.keep(Receipt(run=self.run.id, key=key, kind="tool", state="begun", at=self._clock()))
        began = self._clock()
        result = await self._call(tool, self._tool_call(id_, name, arguments, key))
        if isinstance(result, Waits):
            self._count(tool_calls=-1)
            return result
        spent = Used(tool_calls=1, cost_nano_usd=tool.spec.cost_nano_usd)
        if isinstance(result, Delegated):
            spent = replace(result.used, steps=0, tool_calls=1, seconds=0.0)
            result = result.result
        self._count(**{name: value for name, value in asdict(replace(spent, tool_calls=0, seconds=0)).items() if value})
        message = await self._finish(
            key, id_, name, _fitted(result, tool.spec.max_output), self._clock() - began, spent
        )
        if tool.spec.cost_nano_usd:
            await self._allot(self.run, self._paid_to_tools())
        return message

    def _arguments(self, call: Mapping[str, Any], key: str) -> tuple[dict[str, Any], str | None]:
        """The arguments to use, and why they cannot be: for the model to do it better."""
        name, arguments = _name(call), _arguments(call)
        if name not in self._tools:
            return {}, f"There is no tool {name!r}. There are: {', '.join(self._tools) or 'none'}."
        if not isinstance(arguments, dict):
            return {}, f"The arguments of {name} are no JSON object: {arguments}"
        answer = self.run.answers.get(key)
        if answer is not None and name != ASK_USER:
            if not answer.get("approve"):
                reason = str(answer.get("reason") or "").strip()
                return arguments, "A person did not approve this call." + (f" Their reason: {reason}" if reason else "")
            if isinstance(edited := answer.get("arguments"), dict):
                arguments = cast("dict[str, Any]", edited)
        problem = self._check(self._tools[name].spec.parameters, arguments)
        return arguments, None if problem is None else f"The arguments of {name} do not fit: {problem}"

    def _tool_call(self, id_: str, name: str, arguments: Mapping[str, Any], key: str) -> ToolCall:
        return ToolCall(
            id=id_,
            name=name,
            arguments=arguments,
            caller=msgspec.structs.replace(self.run.caller, run=self.run.path),
            run=self.run.path,
            thread=self.run.thread,
            step=self.used.steps,
            idempotency_key=f"{self.run.id}:{key}",
        )

    async def _call(self, tool: Tool, call: ToolCall) -> ToolResult | Delegated | Waits:
        if call.name == ASK_USER:
            answer = self.run.answers.get(call.idempotency_key.removeprefix(f"{self.run.id}:"), {})
            return ToolResult(content=str(answer.get("text") or ""))
        try:
            if (agent := getattr(tool, "agent", None)) is not None:
                child = f"run_{_digest(call.idempotency_key)[:24]}"
                return await self._delegate(self, str(agent), str(call.arguments.get("task") or ""), child)
            async with asyncio.timeout(tool.spec.timeout_s):
                return await tool.use(call)
        except TimeoutError:
            return ToolResult(content=f"{call.name} did not answer within {tool.spec.timeout_s:g} s.", failed=True)
        except (LimitReached, Stopped, asyncio.CancelledError):
            raise
        except HanokError as error:
            return ToolResult(content=f"{call.name} failed: {error.message}", failed=True)
        except Exception as error:  # noqa: BLE001 - a tool's fault is told to the model, not to the run
            return ToolResult(content=f"{call.name} failed ({type(error).__name__}).", failed=True)

    async def _finish(self, key: str, id_: str, name: str, result: ToolResult, seconds: float, spent: Used) -> Message:
        message: Message = {
            "id": f"tool_{_digest(key)[:16]}",
            "role": "tool",
            "tool_call_id": id_,
            "content": result.content,
        }
        price = self._tools[name].spec.cost_nano_usd if spent.tool_calls else 0
        await self._keep(key, "tool", {"message": message, "used": asdict(spent), "price": price})
        told: dict[str, Any] = {"step": self.used.steps, "id": id_, "name": name, "content": result.content}
        told |= {"failed": result.failed, "seconds": round(seconds, 3)}
        self.tell("tool_result", told | ({"data": dict(result.data)} if result.data else {}))
        return message

    # keys, receipts, counts

    def _key(self, what: str) -> str:
        task = str(get_config()["configurable"].get("checkpoint_ns") or "")
        task = task.rpartition(":")[2]
        if what.startswith("tool:"):
            return f"{task}/{what}"
        place = self._places[f"{task}/{what}"] = self._places.get(f"{task}/{what}", 0) + 1
        return f"{task}/{what}/{place}"

    async def _keep(self, key: str, kind: Any, result: dict[str, Any]) -> None:
        receipt = Receipt(run=self.run.id, key=key, kind=kind, state="done", result=result, at=self._clock())
        self._receipts[key] = receipt
        await self._recorder.keep(receipt)

    def _paid_to_tools(self) -> int:
        return sum((receipt.result or {}).get("price") or 0 for receipt in self._receipts.values())

    def _count(self, **more: int) -> None:
        self.used = replace(self.used, **{name: getattr(self.used, name) + value for name, value in more.items()})

    def _tell_budget(self) -> None:
        self.tell("budget", {"used": used_form(self.clocked()), "limits": asdict(self.run.bounds)})

    def _stop_if_wished(self) -> None:
        if self.wish is not None:
            raise Stopped(self.wish)
        check_spent(self.run.bounds, self.used)


def used_by_receipts(receipts: Iterable[Receipt], seconds: float) -> Used:
    """What the finished calls of a run have used: what a run that goes on after a crash begins with."""
    used = Used(seconds=seconds)
    for receipt in receipts:
        spent = Used(**((receipt.result or {}).get("used") or {}))
        used = Used(**{name: getattr(used, name) + getattr(spent, name) for name in vars(used)})
    return used


def used_form(used: Used) -> dict[str, Any]:
    """What was used, for people and machines: money in US dollars."""
    form = asdict(used)
    cost = form.pop("cost_nano_usd")
    return {**form, "seconds": round(used.seconds, 3), "usd": cost / 1e9}


def read_object(text: str) -> dict[str, Any] | None:
    """The JSON object in an answer: all of it, or what stands in a fence or between the outer braces, if any does."""
    tries = [text, text.partition("```json")[2].partition("```")[0], text[text.find("{") : text.rfind("}") + 1]]
    for each in tries:
        try:
            read = json.loads(each)
        except (ValueError, RecursionError):
            continue
        if isinstance(read, dict):
            return cast("dict[str, Any]", read)
    return None


def _reply_of(kept: dict[str, Any]) -> Reply:
    fields = {name: value for name, value in kept.items() if name != "used"}
    return Reply(**{**fields, "usage": msgspec.convert(kept["usage"], Usage)})


def _used_by(reply: Reply) -> Used:
    usage = reply.usage
    return Used(
        steps=1,
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        cost_nano_usd=reply.cost_nano_usd,
    )


def _node() -> str:
    return str(get_config().get("metadata", {}).get("langgraph_node") or "")


def _name(call: Mapping[str, Any]) -> str:
    return str((call.get("function") or {}).get("name") or "")


def _arguments(call: Mapping[str, Any]) -> Any:
    """The arguments as an object; a text says why they are none."""
    raw = (call.get("function") or {}).get("arguments")
    if isinstance(raw, dict):
        return cast("dict[str, Any]", raw)
    try:
        read = json.loads(str(raw or "{}"))
    except (ValueError, RecursionError) as error:
        return str(error)
    return cast("dict[str, Any]", read) if isinstance(read, dict) else "they must be an object"


def _fitted(result: ToolResult, most: int) -> ToolResult:
    if len(result.content) <= most:
        return result
    cut = len(result.content) - most
    return replace(result, content=f"{result.content[:most]}\n[{cut} more characters were cut off]")


def _told(message: Message) -> Message:
    return {name: value for name, value in message.items() if name not in ("id", "reasoning_content")}


def _tool_form(spec: ToolSpec) -> dict[str, Any]:
    parameters = dict(spec.parameters) or {"type": "object", "properties": {}}
    return {
        "type": "function",
        "function": {"name": spec.name, "description": spec.description, "parameters": parameters},
    }


def _format(schema: Mapping[str, Any]) -> dict[str, Any]:
    name = str(schema.get("title") or "answer")
    return {"type": "json_schema", "json_schema": {"name": name, "schema": dict(schema)}}


def _usage_form(reply: Reply) -> dict[str, Any]:
    usage = reply.usage
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "usd": reply.cost_nano_usd / 1e9,
    }


def _limit_of(cut: Mapping[str, Any]) -> str:
    unit = (cut.get("budget") or {}).get("unit")
    return "tokens" if unit == "tokens" else "usd"


def _digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
