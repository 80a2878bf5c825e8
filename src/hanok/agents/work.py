"""Work: all that a step of an agent may do. Ask the model, use tools, ask a person; nothing else reaches outside.

What is kept of it is in `keeping.py`, tools are in `using.py`; here are the model calls. Limits, events and approvals
are kept once for all, so that patterns are nothing but the order of steps.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from langgraph.config import get_config

from hanok.agents.calls import read_object, schema_form, tool_form
from hanok.agents.counting import used_by_reply
from hanok.agents.limits import LimitReached, check_step
from hanok.agents.measuring import Length
from hanok.agents.recorder import Recorder
from hanok.agents.reply import Hearing, Reply
from hanok.agents.tool import Missing, Tool
from hanok.agents.using import Allot, Check, Delegate, Using
from hanok.agents.values import Message, Receipt, Run, Used
from hanok.agents.watching import NOBODY, Watcher
from hanok.errors import BudgetExceeded
from hanok.spec import Agent
from hanok.wire import NANO, Caller, ChatModel, ChatRequest, Usage

_NOTHING_USED = Usage()


class Work(Using):
    """One run's work in this process. LangGraph hands it to every node as `runtime.context`."""

    def __init__(
        self,
        *,
        run: Run,
        agent: Agent,
        model: str,
        instructions: str,
        tools: Sequence[Tool],
        missing: Sequence[Missing],
        models: ChatModel,
        recorder: Recorder,
        receipts: Mapping[str, Receipt],
        caller_of_call: Callable[[Caller], Caller],
        delegate: Delegate,
        check: Check,
        allot: Allot,
        key_ended: Callable[[Caller], str | None],
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        watcher: Watcher = NOBODY,
        gathers: bool = False,
    ) -> None:
        super().__init__(
            run=run,
            agent=agent,
            tools=tools,
            missing=missing,
            recorder=recorder,
            receipts=receipts,
            delegate=delegate,
            check=check,
            allot=allot,
            key_ended=key_ended,
            clock=clock,
            monotonic=monotonic,
            watcher=watcher,
            gathers=gathers,
        )
        self.model = model
        self.length = Length()
        self._instructions = instructions
        self._models = models
        self._caller_of_call = caller_of_call

    @property
    def instructions(self) -> str:
        """What the agent is told, with what it has to do without."""
        if not self._missing:
            return self._instructions
        names = ", ".join(each.name for each in self._missing)
        told = f"Out of reach now, with all their tools: {names}. Do without, and say so."
        return f"{self._instructions}\n\n{told}".strip()

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

        Raises `LimitReached`, `KeyEnded`, `Stopped`, and what models raise.
        """
        key = self._key("model")
        if (kept := self._receipts.get(key)) is not None and kept.result is not None:
            return _reply_of(kept.result)
        await self._settle()
        self._stop_if_wished()
        check_step(self.run.bounds, self.used)
        self._count(Used(steps=1))
        step = self.used.steps
        self._watcher.stepped(self.run)
        self.tell("step", {"step": step, "node": _node()} | ({"silent": True} if silent else {}))
        request = self._request(messages, tools, schema, model)
        hearing = Hearing(lambda text, reasoning: None if silent else self._hear(step, text, reasoning))
        reply = await self._ask(request, hearing, schema)
        kept = {**vars(reply), "usage": msgspec.to_builtins(reply.usage)}
        self._recorder.fold(self.run.id)
        told = {"step": step, "message": reply.message, "model": reply.model, "usage": _usage_form(reply)}
        self.tell("message", told)  # before it is kept: both are written at once, or neither
        await self._keep(key, "model", {**kept, "used": dict(vars(used_by_reply(reply)))}, gather=True)
        self._tell_budget()
        if reply.cut is not None:
            raise LimitReached(_limit_of(reply.cut), "a budget ended the answer", said=str(reply.message["content"]))
        return reply

    # one call

    def _request(
        self,
        messages: Sequence[Message],
        tools: Sequence[str] | None,
        schema: Mapping[str, Any] | None,
        model: str | None,
    ) -> ChatRequest:
        offered = [tool_form(spec) for spec in self.tools if tools is None or spec.name in tools]
        request = ChatRequest.ask(
            model or self.model,
            [_told(message) for message in messages],
            stream=True,
            tools=offered or None,
            response_format=None if schema is None else schema_form(schema),
            temperature=self.agent.temperature,
            max_tokens=self._most_tokens(),
        )
        return msgspec.structs.replace(request, caller=self._caller_of_call(self._in_run(self.run.caller)))

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
        self._count(
            Used(
                prompt_tokens=usage.prompt_tokens,
                completion_tokens=usage.completion_tokens,
                cost_nano_usd=cost,
            )
        )
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


def _reply_of(kept: Mapping[str, Any]) -> Reply:
    return Reply(
        message=kept["message"],
        finish=kept["finish"],
        usage=msgspec.convert(kept["usage"], Usage),
        cost_nano_usd=kept["cost_nano_usd"],
        model=kept["model"],
        cut=kept["cut"],
        parsed=kept["parsed"],
    )


def _node() -> str:
    return str(get_config().get("metadata", {}).get("langgraph_node") or "")


def _told(message: Message) -> Message:
    return {name: value for name, value in message.items() if name not in ("id", "reasoning_content")}


def _usage_form(reply: Reply) -> dict[str, Any]:
    usage = reply.usage
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "usd": reply.cost_nano_usd / NANO,
    }


def _limit_of(cut: Mapping[str, Any]) -> str:
    budget: Mapping[str, Any] = cut.get("budget") or {}
    return "tokens" if budget.get("unit") == "tokens" else "usd"
