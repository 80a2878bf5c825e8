"""An agency whose runs do what they are told in the task, for tests of the doors: no model, no store, no clock.

The last message says what happens: `wait` asks for approval, `ask` a question, `slow` goes on until it is cancelled,
`fail` and `limit` end so; anything else is answered with what was said, in words that come one by one.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from hanok.agents.values import Bounds, Event, EventType, Order, Run, RunState, Thread, Used, text_of
from hanok.errors import RequestError, Unknown
from hanok.spec import Agent

BOUNDS = Bounds(steps=25, tool_calls=50, iterations=5, retries=2, wall_time_s=600.0, depth=4)
USED = Used(steps=1, prompt_tokens=7, completion_tokens=3, cost_nano_usd=2_000_000)
PASSAGE = {"document": "a.md", "path": "a.md", "start": 0, "text": "All of it."}
_CALL = {"id": "call_1", "name": "delete_file", "arguments": {"path": "/tmp/x"}}


@dataclass(frozen=True, kw_only=True)
class FakeSnapshot:
    checkpoint: str
    parent: str | None
    values: dict[str, Any]
    next: tuple[str, ...] = ()
    interrupts: tuple[dict[str, Any], ...] = ()
    metadata: dict[str, Any] = field(default_factory=dict[str, Any])
    at: float = 0.0


class FakeAgency:
    """Everything in memory, on one event loop."""

    def __init__(self, *agents: Agent) -> None:
        self._agents = {agent.name: agent for agent in agents}
        self._ids = itertools.count(1)
        self._runs: dict[str, Run] = {}
        self._threads: dict[str, Thread] = {}
        self._states: dict[str, list[FakeSnapshot]] = {}
        self._events: dict[str, list[Event]] = {}
        self._changed = asyncio.Condition()
        self.tasks: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        for task in list(self.tasks):
            task.cancel()

    def agents(self) -> tuple[Agent, ...]:
        return tuple(self._agents.values())

    def agent(self, name: str) -> Agent:
        return self._agents[name]

    async def graph(self, name: str) -> str:
        return f"graph TD;\n\t__start__ --> {name};\n\t{name} --> __end__;\n"

    async def start(self, order: Order) -> Run:
        if order.run_id in self._runs:
            return self._runs[order.run_id]
        tenant = order.caller.tenant
        if order.thread is None:
            made = Thread(id=f"thread_{next(self._ids)}", tenant=tenant, agent=order.agent)
            thread = (await self.add_thread(made)).id
        else:
            thread = (await self.thread(order.thread, tenant=tenant)).id
        id_ = order.run_id or f"run_{next(self._ids):04d}"
        run = Run(
            id=id_, path=id_, agent=order.agent, thread=thread, caller=order.caller, state="queued",
            input=order.input, bounds=BOUNDS, metadata=order.metadata, checkpoint=order.checkpoint,
            created_at=float(next(self._ids)),
        )  # fmt: skip
        self._runs[id_], self._events[id_] = run, []
        self._put(thread, [*self._messages(thread), *order.input])
        task = asyncio.create_task(self._work(run))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return run

    async def _work(self, run: Run) -> None:
        said = text_of(run.input[-1] if run.input else None)
        await self._set(run.id, "running")
        await self._tell(run.id, "step", step=1, node="agent")
        match said.split(" ")[0]:
            case "wait":
                await self._tell(run.id, "tool_call", step=1, **_CALL)
                await self._want(
                    run.id, {"id": "ask_1", "kind": "approval", "tool": "delete_file", "arguments": _CALL["arguments"]}
                )
            case "ask":
                await self._want(run.id, {"id": "ask_1", "kind": "question", "question": "Which colour?"})
            case "slow":
                await self._tell(run.id, "token", step=1, text="…")
            case "fail":
                await self._end(run.id, "failed", None, error="the model is not up")
            case "limit":
                await self._end(run.id, "limited", "as far as it came", reason="steps")
            case "tool":
                await self._tell(run.id, "tool_call", step=1, **_CALL)
                await self._tell(
                    run.id,
                    "tool_result",
                    data={"passages": [PASSAGE, PASSAGE]},
                    step=1,
                    id="call_1",
                    name="delete_file",
                    content="gone",
                    failed=False,
                    seconds=0.1,
                )
                await self._speak(run, "it is gone")
            case _:
                await self._speak(run, f"{len(self._messages(run.thread))}: {said}")

    async def _speak(self, run: Run, text: str) -> None:
        for word in text.split(" "):
            await self._tell(run.id, "token", step=1, text=word if text.startswith(word) else f" {word}")
        message = {"id": f"msg_{next(self._ids)}", "role": "assistant", "content": text}
        self._put(run.thread, [*self._messages(run.thread), message])
        usage = {"prompt_tokens": 7, "completion_tokens": 3, "usd": 0.002}
        await self._tell(run.id, "message", step=1, message=message, model="x", usage=usage)
        await self._end(run.id, "done", text)

    async def _want(self, id_: str, request: dict[str, Any]) -> None:
        self._runs[id_] = replace(self._runs[id_], wanted={request["id"]: request})
        await self._tell(id_, "wanted", requests=[request])
        await self._set(id_, "waiting")

    async def _end(self, id_: str, state: RunState, answer: str | None, **more: Any) -> None:
        self._runs[id_] = replace(self._runs[id_], state=state, answer=answer, used=USED, ended_at=9.0, **more)
        await self._tell(id_, "done", state=state, answer=answer, usage={}, **more)

    async def _set(self, id_: str, state: RunState) -> None:
        self._runs[id_] = replace(self._runs[id_], state=state)
        await self._tell(id_, "run", state=state, attempt=1)

    async def _tell(self, id_: str, type_: EventType, **data: Any) -> None:
        events = self._events[id_]
        async with self._changed:
            events.append(Event(run=id_, seq=len(events) + 1, type=type_, data=data, at=1.0))
            self._changed.notify_all()

    async def run(self, id_: str, *, tenant: str | None) -> Run:
        run = self._runs.get(id_)
        if run is None or run.tenant != tenant:
            raise Unknown(f"there is no run {id_!r} here", param="run", code="run_not_found")
        return run

    async def runs(
        self,
        *,
        tenant: str | None,
        agent: str | None = None,
        thread: str | None = None,
        states: Sequence[RunState] | None = None,
        parent: str | None = None,
        limit: int = 100,
        before: str | None = None,
    ) -> list[Run]:
        found = [run for run in reversed(self._runs.values()) if run.tenant == tenant and run.parent == parent]
        found = [run for run in found if agent in (None, run.agent) and thread in (None, run.thread)]
        found = [run for run in found if states is None or run.state in states]
        ids = [run.id for run in found]
        return found[ids.index(before) + 1 if before in ids else 0 :][:limit]

    async def events(self, id_: str, *, tenant: str | None, after: int = 0, wait: bool = True) -> AsyncIterator[Event]:
        await self.run(id_, tenant=tenant)
        while True:
            for event in self._events[id_][after:]:
                after = event.seq
                yield event
            async with self._changed:
                if len(self._events[id_]) > after:
                    continue
                if not wait or self._rests(id_):
                    return
                await self._changed.wait()

    def _rests(self, id_: str) -> bool:
        run = self._runs[id_]
        return run.ended or run.state == "waiting"

    async def ended(self, id_: str, *, tenant: str | None) -> Run:
        async for _ in self.events(id_, tenant=tenant):
            pass
        return self._runs[id_]

    async def answer(self, id_: str, answers: dict[str, dict[str, Any]], *, tenant: str | None, by: str) -> Run:
        run = await self.run(id_, tenant=tenant)
        if not answers.keys() <= run.wanted.keys() - run.answers.keys():
            raise RequestError("the run wants nothing of the kind", param="answers", code="not_wanted")
        self._runs[id_] = replace(run, answers=answers)
        await self._tell(id_, "answered", answers=answers, by=by)
        await self._set(id_, "running")
        answer = answers["ask_1"]
        await self._speak(run, answer.get("text") or ("approved" if answer.get("approve") else "left alone"))
        return self._runs[id_]

    async def cancel(self, id_: str, *, tenant: str | None) -> Run:
        if not (await self.run(id_, tenant=tenant)).ended:
            await self._end(id_, "cancelled", None)
        return self._runs[id_]

    async def pause(self, id_: str, *, tenant: str | None) -> Run:
        await self.run(id_, tenant=tenant)
        await self._set(id_, "paused")
        return self._runs[id_]

    async def resume(self, id_: str, *, tenant: str | None) -> Run:
        if (await self.run(id_, tenant=tenant)).state != "paused":
            raise RequestError("the run is not paused", param="run", code="not_paused")
        await self._set(id_, "running")
        return self._runs[id_]

    # threads

    async def thread(self, id_: str, *, tenant: str | None) -> Thread:
        found = self._threads.get(id_)
        if found is None or found.tenant != tenant:
            raise Unknown(f"there is no thread {id_!r} here", param="thread", code="thread_not_found")
        return found

    async def add_thread(self, thread: Thread) -> Thread:
        found = self._threads.setdefault(thread.id, replace(thread, created_at=1.0, used_at=1.0))
        return await self.thread(found.id, tenant=thread.tenant)

    async def threads(
        self,
        *,
        tenant: str | None,
        agent: str | None = None,
        metadata: dict[str, Any] | None = None,
        below: bool = False,
        limit: int = 100,
        offset: int = 0,
    ) -> list[Thread]:
        found = [each for each in self._threads.values() if each.tenant == tenant and agent in (None, each.agent)]
        wanted = (metadata or {}).items()
        return [each for each in found if wanted <= each.metadata.items()][offset : offset + limit]

    async def change_thread(self, id_: str, *, tenant: str | None, metadata: dict[str, Any]) -> Thread:
        found = self._threads[id_] = replace(await self.thread(id_, tenant=tenant), metadata=metadata)
        return found

    async def remove_thread(self, id_: str, *, tenant: str | None) -> None:
        await self.thread(id_, tenant=tenant)
        del self._threads[id_]

    def _messages(self, thread: str) -> list[dict[str, Any]]:
        states = self._states.get(thread)
        return states[-1].values["messages"] if states else []

    def _put(self, thread: str, messages: list[dict[str, Any]]) -> str:
        states = self._states.setdefault(thread, [])
        parent = states[-1].checkpoint if states else None
        made = FakeSnapshot(checkpoint=f"cp_{len(states)}", parent=parent, values={"messages": messages})
        states.append(made)
        return made.checkpoint

    async def state(self, thread: str, *, tenant: str | None, checkpoint: str | None = None) -> FakeSnapshot | None:
        await self.thread(thread, tenant=tenant)
        states = self._states.get(thread, [])
        return next((each for each in reversed(states) if checkpoint in (None, each.checkpoint)), None)

    async def history(
        self, thread: str, *, tenant: str | None, limit: int = 20, before: str | None = None
    ) -> list[FakeSnapshot]:
        await self.thread(thread, tenant=tenant)
        states = list(reversed(self._states.get(thread, [])))
        ids = [each.checkpoint for each in states]
        return states[ids.index(before) + 1 if before in ids else 0 :][:limit]

    async def copy_thread(self, thread: str, *, tenant: str | None, checkpoint: str | None = None) -> Thread:
        found = await self.state(thread, tenant=tenant, checkpoint=checkpoint)
        if found is None:
            raise Unknown(f"there is no checkpoint {checkpoint!r}", param="checkpoint", code="checkpoint_not_found")
        made = replace(self._threads[thread], id=f"thread_{next(self._ids)}")
        self._put(made.id, found.values["messages"])
        return await self.add_thread(made)

    async def set_state(
        self,
        thread: str,
        values: dict[str, Any],
        *,
        tenant: str | None,
        node: str | None = None,
        checkpoint: str | None = None,
    ) -> str:
        await self.thread(thread, tenant=tenant)
        return self._put(thread, [*self._messages(thread), *values.get("messages", [])])
