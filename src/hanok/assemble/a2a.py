"""A2A of a house: the desk in front of its agents, and who is told of their runs. a2a-sdk is imported when asked."""

from __future__ import annotations

import asyncio
import time

from hanok.assemble.agents import Wing, new_id
from hanok.gateway import Reception
from hanok.gateway.a2a import A2a
from hanok.gateway.a2a.push_client import Pusher
from hanok.gateway.a2a.push_store import PushStore
from hanok.spec import Loaded, Platform
from hanok.web.client import Web

PUSHES = "pushes.db"


class A2aWing:
    """What answers over A2A for the agents of a wing, once it is built."""

    def __init__(self, loaded: Loaded, wing: Wing) -> None:
        self._store = PushStore(loaded.state / PUSHES)
        self._wing = wing
        self._pusher: Pusher | None = None
        self._built = asyncio.Event()
        self._desk: A2a | None = None
        self._before: list[A2a] = []

    def desk(self, platform: Platform, reception: Reception) -> A2a | None:
        """A desk for what is declared now; None where no agents are."""
        agency = self._wing.agency
        if agency is None or not platform.agents:
            return None
        web = Web(private=platform.gateway.a2a.private)
        if self._pusher is None:
            self._pusher = Pusher(agency, self._store, web=web, wall=time.time, worker=new_id("pusher"))
            self._built.set()
        self._pusher.web = web
        if self._desk is not None:
            self._before.append(self._desk)
        self._desk = A2a(
            platform.agents,
            agency=agency,
            reception=reception,
            pusher=self._pusher,
            open_cards=platform.gateway.a2a.cards == "public",
            url=platform.gateway.url,
        )
        return self._desk

    async def live(self) -> None:
        """For ever: tell who is to be told."""
        await self._built.wait()
        if self._pusher is not None:
            await self._pusher.live()

    async def aclose(self) -> None:
        """End what runs."""
        for desk in (*self._before, *filter(None, [self._desk])):
            await desk.aclose()
        await asyncio.to_thread(self._store.close)
