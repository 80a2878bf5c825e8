"""What a run has done and used, kept so that nothing is done twice.

A step may be done again: after a crash, after a person has answered. So every call has a key made of its task (which
LangGraph names alike when it is done again) and its place in it; what a call gave back is kept under that key before
anybody sees it, and the step that is done again gets the same.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from typing import Any

import msgspec
from langgraph.config import get_config

from hanok.agents.counting import add, bounds_form, said_last, used_form
from hanok.agents.limits import KeyEnded, check_spent
from hanok.agents.recorder import Recorder
from hanok.agents.values import EventType, Receipt, Run, Used, Wish
from hanok.errors import HanokError
from hanok.wire import Caller


class Stopped(HanokError):
    """Somebody wants the run to pause or to end."""

    def __init__(self, wish: Wish) -> None:
        super().__init__(f"the run was told to {wish}")
        self.wish: Wish = wish


class Keeping:
    """Receipts, counts and events of one run in this process."""

    def __init__(
        self,
        *,
        run: Run,
        recorder: Recorder,
        receipts: Mapping[str, Receipt],
        key_ended: Callable[[Caller], str | None],
        clock: Callable[[], float],
        monotonic: Callable[[], float],
        gathers: bool = False,
    ) -> None:
        """`gathers` says that a checkpoint of this run's steps is written when what they did is kept, and not before,
        and that they do nothing outside but through this work."""
        self.run = run
        self.used = run.used
        self.wish: Wish | None = None
        self.said = said_last(receipts.values()) or ""
        self._recorder = recorder
        self._receipts = dict(receipts)
        self._key_ended = key_ended
        self._gathers = gathers
        self._clock = clock
        self._monotonic = monotonic
        self._since = monotonic()
        self._places: dict[str, int] = {}

    async def once(self, do: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """Do something of one's own once: its value (plain JSON) is kept, and given back when the step is redone."""
        key = self._key("value")
        if (kept := self._receipts.get(key)) is not None and kept.result is not None:
            return kept.result["value"]
        value = await do()
        await self._keep(key, "value", {"value": value})
        return value

    def tell(self, type_: EventType, data: dict[str, Any]) -> None:
        """Tell whoever watches."""
        self._recorder.tell(self.run.id, type_, data)

    def clocked(self) -> Used:
        """What was used, with the seconds to now of this lead and those before; no clock that is set changes them."""
        return replace(self.used, seconds=self.run.used.seconds + self._monotonic() - self._since)

    def _in_run(self, caller: Caller) -> Caller:
        return msgspec.structs.replace(caller, run=self.run.path, session=caller.session or self.run.thread)

    def _key(self, what: str) -> str:
        where: Mapping[str, Any] = get_config().get("configurable") or {}
        task = str(where.get("checkpoint_ns") or "").rpartition(":")[2]
        if what.startswith("tool:"):
            return f"{task}/{what}"
        place = self._places[f"{task}/{what}"] = self._places.get(f"{task}/{what}", 0) + 1
        return f"{task}/{what}/{place}"

    async def _keep(self, key: str, kind: Any, result: dict[str, Any], *, gather: bool = False) -> None:
        """Have it kept: now, or, where it may be gathered, with the checkpoint that follows."""
        result = {**result, "worked_s": round(self.clocked().seconds, 3)}
        receipt = Receipt(run=self.run.id, key=key, kind=kind, state="done", result=result, at=self._clock())
        self._receipts[key] = receipt
        if gather and self._gathers:
            self._recorder.gather(receipt)
        else:
            await self._recorder.keep(receipt)

    async def _settle(self) -> None:
        """Nothing outside is asked before all is kept that was finished."""
        if self._recorder.owes(self.run.id):
            await self._recorder.flushed()

    def _count(self, more: Used) -> None:
        self.used = add(self.used, more)

    def _tell_budget(self) -> None:
        self.tell("budget", {"used": used_form(self.clocked()), "limits": bounds_form(self.run.bounds)})

    def _stop_if_wished(self) -> None:
        if self.wish is not None:
            raise Stopped(self.wish)
        if (why := self._key_ended(self.run.caller)) is not None:
            raise KeyEnded(self.run.caller, why)
        check_spent(self.run.bounds, self.used)
