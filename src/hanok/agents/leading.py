"""Leads one run to where it ends, pauses or waits: the same at the first time and after a crash.

The thread's checkpoint says which step comes, receipts say what of it is finished already.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from langgraph.types import Command

from hanok.agents.counting import said_last, used_by_receipts, used_form
from hanok.agents.keeping import Stopped
from hanok.agents.limits import LimitReached
from hanok.agents.outcome import Seen, answer_of, requests_of
from hanok.agents.recorder import Recorder
from hanok.agents.state import fresh, in_addition, message_id
from hanok.agents.store import RunStore
from hanok.agents.together import to_its_end
from hanok.agents.values import Event, Message, Receipt, Run, RunState
from hanok.agents.watching import NOBODY, TOLD, Watcher
from hanok.agents.work import Work
from hanok.errors import AgentError, HanokError, StoreError

MOST_LET_GO = 5
"""How often in a row a run is led until its store fails; then that ends it. Pauses and answers are not counted."""
PROCESS_LOST = "process_lost"
"""Why a run has failed that was taken over too often."""
MOST_AT_ONCE_BELOW = 1000
"""Runs below one that are looked at when it is taken over."""
LONGEST_PAST = 1000
"""Events of a run's past that its watcher is told of."""
_log = logging.getLogger(__name__)


class Prepared(Protocol):
    """What a run is led with: its compiled graph, and the work that its steps do."""

    @property
    def graph(self) -> Any: ...

    @property
    def work(self) -> Work: ...


class Prepare(Protocol):
    """Gets a run ready. Raises `HanokError` where that cannot be."""

    def __call__(self, run: Run, receipts: Mapping[str, Receipt]) -> Coroutine[Any, Any, Prepared]: ...


@dataclass(frozen=True, kw_only=True)
class Terms:
    """How many runs at once, how long a lease holds without a sign of life (seconds), and how often a run whose process
    died is taken over without having come further. `agents` are those known here; `unknown_agent_s` is how long a run
    waits for a process that knows its own."""

    concurrent: int
    lease_s: float
    takeovers: int
    agents: Sequence[str]
    unknown_agent_s: float


class Leader:
    """One for each process. `working` is told of what a run is worked with, `ended` of runs that have."""

    def __init__(
        self,
        *,
        store: RunStore,
        recorder: Recorder,
        in_thread: Callable[..., Coroutine[Any, Any, Any]],
        prepare: Prepare,
        reached: Callable[[Run], Coroutine[Any, Any, str]],
        terms: Callable[[], Terms],
        working: Callable[[Work], None],
        ended: Callable[[Run], Coroutine[Any, Any, None]],
        clock: Callable[[], float] = time.time,
        watcher: Watcher = NOBODY,
    ) -> None:
        self._store = store
        self._recorder = recorder
        self._in_thread = in_thread
        self._prepare = prepare
        self._reached = reached
        self._terms = terms
        self._working = working
        self._ended = ended
        self._clock = clock
        self._watcher = watcher

    async def lead(self, run: Run) -> Run:
        """To where it ends, pauses, or waits for a person; the run as it is then."""
        try:
            run, receipts = await self._begin(run)
            if run.takeovers > self._terms().takeovers:
                return await self._fail_lost(run, receipts)
            prepared = await self._prepare(run, receipts)
        except asyncio.CancelledError as error:
            return await self._cancelled(run, None, error)
        except StoreError as error:
            return await self._let_go(run, None, error)
        except HanokError as error:
            return await self._finish(run, None, "failed", reason=_reason_of(error), error=error.message)
        except Exception as error:  # noqa: BLE001 - told as the run's end
            _log.exception("run %s could not begin", run.id)
            return await self._finish(run, None, "failed", error=f"{type(error).__name__}: {error}")
        prepared.work.wish = run.wish
        self._working(prepared.work)
        return await self._drive(run, prepared)

    async def _begin(self, run: Run) -> tuple[Run, dict[str, Receipt]]:
        """The run as it goes on, and what it has finished before; nothing at its first attempt."""
        past: tuple[int, dict[str, Receipt]] = (0, {})
        if not _is_new(run):
            past = await self._in_thread(self._store.past, run.id)
        seq, receipts = past
        told = await self._told_before(run)
        self._recorder.begin(run.id, seq)
        begun = replace(
            run,
            started_at=run.started_at or self._clock(),
            used=used_by_receipts(receipts.values(), run.used.seconds),
        )
        begins: dict[str, Any] = {"state": "running", "attempt": run.attempt}
        if run.taken_from is None:
            self._recorder.tell(run.id, "run", begins)
        else:  # counted before anything is done that may end this process, too
            begun = await self._count_takeover(begun, receipts)
            await self._recorder.save(begun, "run", {**begins, "takeovers": begun.takeovers})
        return self._watcher.led(begun, told), receipts

    async def _count_takeover(self, run: Run, receipts: Mapping[str, Receipt]) -> Run:
        """Once more, if it has not come further since it was last taken from a process that died; else anew.

        Where a run below was being led, it is that one which has come further, or is counted.
        """
        below: list[Run] = await self._in_thread(
            self._store.runs, tenant=None, parent=run.id, states=["running"], limit=MOST_AT_ONCE_BELOW
        )
        done = sum(receipt.state == "done" for receipt in receipts.values())
        marks = [str(done), await self._reached(run), *sorted(f"{each.id}:{each.takeovers}" for each in below)]
        reached = hashlib.sha256("/".join(marks).encode()).hexdigest()[:16]
        return replace(run, reached=reached, takeovers=run.takeovers + 1 if run.reached == reached else 1)

    async def _fail_lost(self, run: Run, receipts: Mapping[str, Receipt]) -> Run:
        """End a run that ends whoever leads it, with what it has."""
        message = f"the process that led it died {run.takeovers} times at the same place: nothing was finished since"
        return await self._finish(
            run, None, "failed", reason=PROCESS_LOST, error=message, answer=said_last(receipts.values())
        )

    async def _told_before(self, run: Run) -> list[Event]:
        """What its watcher is told of the times that it was led before."""
        if _is_new(run):
            return []
        told: list[Event] = await self._in_thread(self._store.events, run.id, types=TOLD, limit=LONGEST_PAST)
        return told

    async def _drive(self, run: Run, prepared: Prepared) -> Run:
        work = prepared.work
        try:
            left = max(0.05, run.bounds.wall_time_s - run.used.seconds)
            async with asyncio.timeout(left):
                seen, state = await self._take_steps(run, prepared)
        except LimitReached as error:
            return await self._finish(run, work, "limited", reason=error.limit, error=error.message, answer=error.said)
        except TimeoutError:
            message = f"the run has worked its {run.bounds.wall_time_s:g} seconds"
            return await self._finish(run, work, "limited", reason="wall_time_s", error=message)
        except Stopped as error:
            if error.wish == "cancel":
                return await self._finish(run, work, "cancelled", reason="cancelled")
            return await self._rest(run, work, "paused")
        except asyncio.CancelledError as error:
            return await self._cancelled(run, work, error)
        except StoreError as error:
            return await self._let_go(run, work, error)
        except HanokError as error:
            return await self._finish(run, work, "failed", reason=_reason_of(error), error=error.message)
        except Exception as error:  # noqa: BLE001 - of the user's own graph, say: told as the run's end
            _log.exception("run %s failed", run.id)
            return await self._finish(run, work, "failed", reason="error", error=f"{type(error).__name__}: {error}")
        if state is not None and state.interrupts:
            return await self._await_person(run, work, state)
        return await self._finish(run, work, "done", answer=answer_of(seen.values if state is None else state.values))

    async def _take_steps(self, run: Run, prepared: Prepared) -> tuple[Seen, Any]:
        """Step after step until there is none to take: what was seen, and the thread's state where that tells more."""
        graph, work = prepared.graph, prepared.work
        config = self._config(run)
        seen = Seen(graph, writes=work.agent.graph is not None)
        async for mode, part in graph.astream(
            await self._input(run, graph, config),
            config,
            context=work,
            stream_mode=seen.modes,
            durability="sync",
        ):
            if mode == "custom":
                work.tell("custom", {"value": part})
            else:
                seen.see(part)
        return seen, None if seen.ends else await graph.aget_state(self._latest(run))

    def _config(self, run: Run) -> dict[str, Any]:
        """Where the run goes on: the thread's latest state, or the checkpoint that it forks from, as long as it has
        not begun."""
        return {**self._latest(run), "metadata": {"run": run.id}, "recursion_limit": 10 * run.bounds.steps + 1000}

    def _latest(self, run: Run) -> dict[str, Any]:
        return {"configurable": {"thread_id": run.thread}}

    async def _input(self, run: Run, graph: Any, config: dict[str, Any]) -> Any:
        """What the graph is given: the run's messages at its beginning, nothing where it goes on, answers where its
        own code waits for them."""
        state = None if _is_new(run) else await graph.aget_state(self._latest(run))
        if state is None or not (state.metadata and state.metadata.get("run") == run.id):
            if run.attempt > 1 and await self._has_begun(run, graph):
                message = f"the thread {run.thread!r} went on with another run while this one rested"
                raise AgentError(message, hint="ask for what is still to be done in a new run")
            if run.checkpoint is not None:
                config["configurable"]["checkpoint_id"] = run.checkpoint
            given = await self._added(run, graph, config)
            return fresh(given) if "answer" in graph.channels else {"messages": given}
        values = {each.id: run.answers[each.id].get("value") for each in state.interrupts if each.id in run.answers}
        if not values:
            return None
        return Command(resume=values)

    async def _added(self, run: Run, graph: Any, config: dict[str, Any]) -> list[Message]:
        """Its messages, none of which has the id of one that its thread has at its beginning."""
        if all(message.get("id") == message_id(run.id, place) for place, message in enumerate(run.input)):
            return list(run.input)
        values = (await graph.aget_state(config)).values
        return in_addition(run.input, values.get("messages") or (), run.id)

    async def _has_begun(self, run: Run, graph: Any) -> bool:
        """Whether the thread holds anything of it."""
        async for _ in graph.aget_state_history(self._latest(run), filter={"run": run.id}, limit=1):
            return True
        return False

    # ends

    async def _await_person(self, run: Run, work: Work, state: Any) -> Run:
        requests: dict[str, dict[str, Any]] = {}
        for each in state.interrupts:
            own = requests_of(each.value)
            requests |= {each.id: {"kind": "interrupt", "value": each.value}} if own is None else own
        self._watcher.waits(run)
        work.tell("wanted", {"requests": [{"id": id_, **request} for id_, request in requests.items()]})
        heard = {
            id_: answer for id_, answer in run.answers.items() if id_ not in requests
        }  # what is asked again was not
        return await self._rest(replace(run, answers=heard), work, "waiting", wanted=requests)

    async def _rest(self, run: Run, work: Work, state: RunState, *, wanted: dict[str, Any] | None = None) -> Run:
        run = replace(
            run,
            state=state,
            used=work.clocked(),
            wanted=wanted or {},
            lease_by=None,
            lease_until=0.0,
            wish=None,
            let_go=0,
        )
        return await self._save(run, {"state": state})

    async def _cancelled(self, run: Run, work: Work | None, error: asyncio.CancelledError) -> Run:
        why = error.args[0] if error.args else None
        if why == "lost":
            return run
        if why == "unkept":
            return await self._let_go(run, work, StoreError("what the run tells could not be kept"))
        if why == "cancel" or (work is not None and work.wish == "cancel"):
            return await self._finish(run, work, "cancelled", reason="cancelled")
        used = work.clocked() if work is not None else run.used
        return await self._save(replace(run, state="queued", used=used, lease_by=None, lease_until=0.0), None)

    async def _let_go(self, run: Run, work: Work | None, error: StoreError) -> Run:
        """The store could not be written or read: whoever can may try again, and again, but not for ever."""
        run = replace(run, let_go=run.let_go + 1)
        if run.let_go >= MOST_LET_GO:
            return await self._finish(run, work, "failed", reason="StoreError", error=error.message)
        used = work.clocked() if work is not None else run.used
        run = await self._save(replace(run, state="queued", used=used, lease_by=None, lease_until=0.0), None)
        _log.warning("run %s is tried again: %s", run.id, error.message)
        return run

    async def _finish(
        self,
        run: Run,
        work: Work | None,
        state: RunState,
        *,
        reason: str | None = None,
        error: str | None = None,
        answer: str | None = None,
    ) -> Run:
        used = work.clocked() if work is not None else run.used
        said = answer or (work.said if work is not None and state == "limited" else None) or answer
        run = replace(
            run,
            state=state,
            used=used,
            answer=said,
            reason=reason,
            error=error,
            wanted={},
            wish=None,
            lease_by=None,
            lease_until=0.0,
            ended_at=self._clock(),
        )
        told = {"state": state, "reason": reason, "error": error, "answer": said, "used": used_form(used)}
        await to_its_end(asyncio.create_task(self._end(run, work, told), name="agents-end"))
        await self._ended(run)
        return run

    async def _end(self, run: Run, work: Work | None, told: dict[str, Any]) -> None:
        """Have its end kept, and tell of it: both or neither, also where the house is closed meanwhile."""
        await self._save(run, told, last=True)
        if work is not None:
            work.give_up(run.state)
        self._watcher.ended(run, await self._told_before(run))

    async def _save(self, run: Run, told: dict[str, Any] | None, *, last: bool = False) -> Run:
        """Everything told before is kept before this is: who sees the end has seen all."""
        await self._recorder.save(run, "done" if last else "run", told)
        self._recorder.published(run.id)
        return run


def _is_new(run: Run) -> bool:
    """Whether nobody has led it before: there is nothing of it then."""
    return run.attempt <= 1


def _reason_of(error: HanokError) -> str:
    return str(getattr(error, "reason", type(error).__name__))
