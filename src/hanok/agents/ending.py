"""How runs end that nobody leads, and what becomes of those above and below a run that ends, waits or goes on."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hanok.agents.conversing import Conversing
from hanok.agents.limits import KeyEnded
from hanok.agents.using import run_of_call
from hanok.agents.values import ENDED, Event, Receipt, Run, RunState
from hanok.agents.watching import TOLD
from hanok.agents.worker import Worker
from hanok.errors import RequestError, Unknown

REST: frozenset[RunState] = frozenset({*ENDED, "waiting", "paused"})
MOST_BELOW = 100_000
"""Runs that one has started, all of them: a run uses no more tools than this."""
_log = logging.getLogger(__name__)


class Ending(Conversing):
    """Runs of a house, found again and ended."""

    _worker: Worker

    @abstractmethod
    def _take(self, id_: str) -> None:
        """Have somebody lead it."""

    async def run(self, id_: str, *, tenant: str | None) -> Run:
        found: Run | None = await self._in_thread(self._store.run, id_, tenant=tenant)
        if found is None:
            raise Unknown(f"there is no run {id_!r}", param="run", code="run_not_found")
        return found

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
        listed: list[Run] = await self._in_thread(
            self._store.runs,
            tenant=tenant,
            agent=agent,
            thread=thread,
            states=states,
            parent=parent,
            limit=limit,
            before=before,
        )
        return listed

    # with those above and below

    async def _on_end(self, run: Run) -> None:
        self._outside.allot(run.caller, run.path, None)
        if run.state != "done":
            await self._rest_below(run)
        try:
            await self._checkpoints.prune(run.thread, keep=self._platform.runs.checkpoints)
        except Exception:  # noqa: BLE001 - the run has ended, whatever is wrong with what it leaves
            _log.exception("the old checkpoints of thread %s are not forgotten", run.thread)

    async def _rest_below(self, run: Run) -> None:
        """What goes on below a run that has ended before it ends with it, or rests until that is resumed."""
        for child in await self.runs(tenant=None, parent=run.id, states=["queued", "running"], limit=MOST_BELOW):
            if run.state == "cancelled":
                await self._cancel(child)
            else:
                await self._worker.rested(child.id)
            await self._rest_one(await self.run(child.id, tenant=None), run)

    async def rest_orphans(self) -> None:
        """End or rest what is `running` below a run that has ended, and that nobody leads: its process died, or the
        lease of the one that led it was not over yet when the run above ended. Raises `StoreError`."""
        for child in await self.runs(tenant=None, parent="*", states=["running"], limit=MOST_BELOW):
            above = child.parent and await self._in_thread(self._store.run, _last(child.parent), tenant=None)
            if above and above.ended:
                await self._rest_one(child, above)

    async def _rest_one(self, child: Run, above: Run) -> None:
        """It rests until the run above, which has ended, is resumed, or is called off where that cannot be."""
        child, worker = await self._without_leader(child)
        if child.state != "queued" and worker is None:
            return
        rests = replace(child, state="paused", lease_by=None, lease_until=0.0, wish=None)
        told = Event(run=child.id, seq=0, type="run", data={"state": "paused"}, at=self._clock())
        if not await self._in_thread(self._store.save, rests, worker=worker, events=[told]):
            return
        self._recorder.published(child.id)
        if above.state in ("done", "cancelled") and await self._end_idle(rests):
            rests = replace(rests, state="cancelled")
        await self._rest_below(rests)

    async def _without_leader(self, child: Run) -> tuple[Run, str | None]:
        """It, taken for this worker where whoever led it is not there any more; as it is where it is led."""
        if child.state != "running" or self._worker.leads(child.id):
            return child, None
        taken: list[Run] = await self._in_thread(
            self._store.claim,
            self._worker.name,
            now=self._clock(),
            lease_s=self._terms().lease_s,
            most=1,
            ids=[child.id],
        )
        return (taken[0], self._worker.name) if taken else (child, None)

    async def _answer_up(self, run_id: str, answers: dict[str, dict[str, Any]], by: str) -> None:
        """Tell the run that wants it, and those above that wait for it: also where that run waits no more, since it
        was answered meanwhile, or what it waited for was lost with its server's last second."""
        while True:
            told = Event(run=run_id, seq=0, type="answered", data={"answers": answers, "by": by}, at=self._clock())
            run: Run | None = await self._in_thread(self._store.answer, run_id, answers, events=[told])
            self._recorder.published(run_id)
            run = run or await self._in_thread(self._store.run, run_id, tenant=None)
            if run is None or run.parent is None:
                self._take(run_id)
                return
            run_id = run.parent

    async def _cancel(self, run: Run) -> None:
        """Cancel it and those below, whoever takes it up or lets it go meanwhile."""
        for child in await self.runs(tenant=None, parent=run.id, limit=MOST_BELOW):
            await self._cancel(child)
        while not run.ended:
            if run.state != "running" and await self._end_idle(run):
                return
            await self._in_thread(self._store.wish, run.id, "cancel")
            self._worker.tell_wish(run.id, "cancel")
            run = await self.run(run.id, tenant=None)
            if run.state == "running":
                return

    async def _end_without_key(self, run: Run) -> None:
        """End what cannot go on, since the key that ordered it opens nothing any more, from its root on. Raises
        `RequestError` then."""
        if (why := self._outside.key_ended(run.caller)) is None:
            return
        root = run
        while root.parent is not None:
            root = await self.run(root.parent, tenant=None)
        await self._fail_waiting(root, KeyEnded(run.caller, why).message)
        raise cannot_go_on(run, why)

    async def _fail_waiting(self, run: Run, error: str) -> None:
        for child in await self.runs(tenant=None, parent=run.id, limit=MOST_BELOW):
            await self._fail_waiting(child, error)
        if run.state == "waiting":
            await self._end_idle(run, "failed", KeyEnded.reason, error)

    async def _end_idle(
        self, run: Run, state: RunState = "cancelled", reason: str = "cancelled", error: str | None = None
    ) -> bool:
        """End a run that nobody leads; False where somebody does by now."""
        ended = replace(run, state=state, reason=reason, error=error, wanted={}, ended_at=self._clock(), wish=None)
        told = {"state": state, "reason": reason, "answer": run.answer, "error": error}
        event = Event(run=run.id, seq=0, type="done", data=told, at=self._clock())
        done: bool = await self._in_thread(self._store.save, ended, events=[event])
        self._recorder.published(run.id)
        if done:
            past = await self._in_thread(self._store.events, run.id, types=TOLD)
            self._outside.watcher.ended(self._outside.watcher.led(ended, past[:-1]), past)
        return done

    async def _queue_below(self, id_: str) -> None:
        """What stopped with a run goes on with it, but for what it was told the end of."""
        receipts: dict[str, Receipt] = await self._in_thread(self._store.receipts, id_)
        told = {run_of_call(f"{id_}:{key}") for key, receipt in receipts.items() if receipt.state == "done"}
        for child in await self.runs(tenant=None, parent=id_, states=["paused", "failed"], limit=MOST_BELOW):
            if child.id in told:
                continue
            await self._queue_below(child.id)
            queued = replace(child, state="queued", ended_at=None, error=None, wish=None, takeovers=0, let_go=0)
            await self._in_thread(self._store.save, queued)

    async def _rests(self, id_: str) -> bool:
        run: Run | None = await self._in_thread(self._store.run, id_, tenant=None)
        return run is None or run.state in REST


def _last(path: str) -> str:
    """The id of the run at a path's end."""
    return path.rpartition("/")[2]


def cannot_go_on(run: Run, why: str) -> RequestError:
    ended = KeyEnded(run.caller, why)
    message = f"run {run.id!r} cannot go on: {ended.message}; order it anew with another"
    return RequestError(message, param="run", code=ended.reason)
