"""Tells those who asked for it how runs stand: a task each time its state changes, at least once, in order.

Where it is sent is judged when it is asked for, and again at every sending, when the connection is made to the very
address that was judged (`hanok.web`). Nothing is followed to another place.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, cast

from hanok.agents.agency import Agency
from hanok.agents.values import Event, Run
from hanok.errors import HanokError, Unknown, WebError
from hanok.gateway.a2a.push_store import Push, PushStore
from hanok.web.client import Request, Web
from hanok.web.place import place_of
from hanok.wire import json_bytes

LOOK_EVERY_S = 2.0
LEASE_S = 30.0
AT_ONCE = 200
"""Pushes that one process follows at once."""
WAITING_S = 5.0
"""How often it is looked whether a run that waits for a person goes on."""
TRIES_AFTER_S = (1.0, 5.0, 25.0)
ANSWER_LIMIT_BYTES = 64 * 1024
SEND_S = 15.0
KEPT_S = 7 * 86_400.0
"""How long one is remembered that has nothing more to tell."""
_AGAIN = frozenset((408, 425, 429))
_log = logging.getLogger(__name__)


class Pusher:
    """Pushes of one process. `wall` gives Unix seconds, `worker` is a name that no other process has."""

    def __init__(
        self,
        agency: Agency,
        store: PushStore,
        *,
        web: Web,
        wall: Callable[[], float],
        worker: str,
        tries_after_s: Sequence[float] = TRIES_AFTER_S,
    ) -> None:
        self.web = web
        self._agency = agency
        self._store = store
        self._wall = wall
        self._worker = worker
        self._tries_after_s = tries_after_s
        self._following: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._wake = asyncio.Event()

    async def check(self, url: str) -> None:
        """Raises `WebError` where that is no place to send to."""
        await self.web.addresses(place_of(url))

    async def add(self, push: Push) -> bool:
        """Keep it and follow its run; False when the run has as many as it may. Raises `StoreError`."""
        added = await asyncio.to_thread(self._store.add, push)
        self._wake.set()
        return added

    async def of_run(self, run: str, *, tenant: str) -> list[Push]:
        """Those of a run. Raises `StoreError`."""
        return await asyncio.to_thread(self._store.of_run, run, tenant=tenant)

    async def remove(self, run: str, id_: str, *, tenant: str) -> None:
        """Raises `StoreError`."""
        await asyncio.to_thread(self._store.remove, run, id_, tenant=tenant)

    async def live(self) -> None:
        """For ever: follow the runs of pushes that nobody else has."""
        try:
            while True:
                await self._take_up()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_EVERY_S):
                        await self._wake.wait()
                self._wake.clear()
        finally:
            for task in self._following.values():
                task.cancel()
            await asyncio.gather(*self._following.values(), return_exceptions=True)

    async def _take_up(self) -> None:
        now, most = self._wall(), AT_ONCE - len(self._following)
        if self._following:
            await asyncio.to_thread(self._store.renew, self._worker, until=now + LEASE_S)
        if most > 0:
            found = await asyncio.to_thread(self._store.claim, self._worker, now=now, until=now + LEASE_S, most=most)
            for push in found:
                self._follow(push)

    def _follow(self, push: Push) -> None:
        name = push.run, push.id
        if (before := self._following.get(name)) is not None:
            before.cancel()  # it was set anew
        task = self._following[name] = asyncio.create_task(self._tell_all(push))

        def ended(task: asyncio.Task[None]) -> None:
            if self._following.get(name) is task:
                del self._following[name]

        task.add_done_callback(ended)

    async def _tell_all(self, push: Push) -> None:
        until = self._wall() + WAITING_S
        try:
            if await self._tell(push):
                now = self._wall()
                await asyncio.to_thread(self._store.finish, push, at=now, forget_before=now - KEPT_S)
                return
            if await self._goes_on(push):  # somebody has answered it meanwhile
                until = 0.0
        except HanokError as error:
            _log.warning("%s is not told of run %s for now: %s", push.url, push.run, error)
        except Exception:  # noqa: BLE001 - the others are to be told whatever is wrong with this one
            _log.exception("telling %s of run %s failed", push.url, push.run)
        with contextlib.suppress(HanokError):
            await asyncio.to_thread(self._store.release, push, until=until)
            if not until:
                self._wake.set()

    async def _goes_on(self, push: Push) -> bool:
        """Whether there is something to tell soon, or already."""
        return (await self._agency.run(push.run, tenant=push.tenant)).state not in ("waiting", "paused")

    async def _tell(self, push: Push) -> bool:
        """Tell what happens until it waits for a person or ends; whether nothing more can come."""
        try:
            events = self._agency.events(push.run, tenant=push.tenant, after=push.seq)
            async with aclosing(cast("AsyncGenerator[Event]", events)):
                async for event in events:
                    if event.type not in ("run", "done"):
                        continue
                    run = await self._agency.run(push.run, tenant=push.tenant)
                    if not await self._deliver(push, run, event) or event.type == "done":
                        return True
            return (await self._agency.run(push.run, tenant=push.tenant)).ended
        except Unknown:
            return True

    async def _deliver(self, push: Push, run: Run, event: Event) -> bool:
        """Send, again where that may help; False when the push was removed meanwhile."""
        request = _request(push, run)
        for wait_s in (*self._tries_after_s, None):
            if await self._send(push, request) or wait_s is None:
                break
            await asyncio.sleep(wait_s)
        return await asyncio.to_thread(self._store.told, push, seq=event.seq)

    async def _send(self, push: Push, request: Request) -> bool:
        """Whether it arrived, or never will."""
        try:
            answer = await self.web.ask(request, limit_bytes=ANSWER_LIMIT_BYTES, within=lambda _: False, total_s=SEND_S)
        except WebError as error:
            _log.warning("run %s: %s", push.run, error.message)
            return error.code in ("forbidden_address", "forbidden_header", "moved")
        if answer.status >= 300:
            _log.warning("run %s: %s answers %d to a push", push.run, push.url, answer.status)
        return answer.status < 500 and answer.status not in _AGAIN


def _request(push: Push, run: Run) -> Request:
    headers = {"content-type": "application/json"}
    if push.token:
        headers["x-a2a-notification-token"] = push.token
    if push.scheme and push.credentials:
        headers["authorization"] = f"{push.scheme} {push.credentials}"
    return Request(url=push.url, method="POST", headers=headers, body=json_bytes(_form(push, run)))


def _form(push: Push, run: Run) -> Mapping[str, Any]:
    """The task, as 1.0 wraps it, or bare, as 0.3 wants it."""
    from a2a.compat.v0_3.conversions import to_compat_task
    from google.protobuf.json_format import MessageToDict

    from hanok.gateway.a2a.telling import task_of

    task = task_of(run)
    if push.version.startswith("0."):
        return to_compat_task(task).model_dump(mode="json", by_alias=True, exclude_none=True)
    return {"task": MessageToDict(task)}
