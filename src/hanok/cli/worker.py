"""`python -m hanok.cli.worker POST`: one of the processes that answer calls; `hanok up` starts it, and it alone.

It is a whole house but for the engine processes. When the supervisor says so, or is gone, it lets running calls end.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from hanok.assemble import Crew, House, http_server, running
from hanok.cli.app import saying_what_went_wrong
from hanok.cli.channel import (
    Ask,
    Begin,
    Channel,
    Everyones,
    Listening,
    Look,
    Message,
    Mine,
    Post,
    States,
    Stop,
    Tell,
    Took,
    Workers,
)
from hanok.cli.listen import bind
from hanok.cli.serve import accepting, calm_the_collector, drain
from hanok.errors import HanokError, NotNow
from hanok.spec.load import parse
from hanok.telemetry import configure_logging

ANSWER_LIMIT_S = 3.0


class Worker:
    """What one worker knows of the others, by way of the supervisor."""

    def __init__(self, post: Post, channel: Channel) -> None:
        self._post = post
        self._channel = channel
        self._workers = Workers(declared=0, running=0)
        self._asked: asyncio.Future[str] | None = None
        self.stopping = asyncio.Event()

    def crew(self, begin: Begin) -> Crew:
        return Crew(ports=begin.ports, metrics=self._ask, about=self._about)

    async def follow(self, house: House, orders: AsyncIterator[Message]) -> None:
        """Do what the supervisor says, until it says no more."""
        try:
            async for order in orders:
                self._do(house, order)
        finally:
            self.stopping.set()

    def _do(self, house: House, order: Message) -> None:
        match order:
            case States():
                for endpoint in house.fleet.endpoints:
                    if endpoint.name in order.states:
                        house.fleet.mark(endpoint, *order.states[endpoint.name])
            case Workers():
                self._workers = order
            case Tell():
                self._channel.send(Mine(house.metrics.families()))
            case Everyones():
                if self._asked is not None and not self._asked.done():
                    self._asked.set_result(order.text)
            case Look():
                house.config.ask()
            case Stop():
                self.stopping.set()
            case _:
                raise HanokError(f"the supervisor says something unheard of: {type(order).__name__}")

    async def take_up(self, house: House, now: str) -> None:
        """Go on by what the others work by now, and tell of what is taken up from here on."""
        await house.config.take(now)
        house.config.took = lambda text: self._channel.send(
            Took(text=text, drain_s=house.loaded.platform.gateway.drain_s)
        )
        if house.loaded.platform.gateway.reload:
            house.config.ask()  # the file may be newer than `now`, and have been looked at before

    def _about(self) -> Mapping[str, Any]:
        return {"worker": self._post.number, "workers": msgspec.structs.asdict(self._workers)}

    async def _ask(self) -> bytes:
        """Everyone's metrics. Raises `NotNow` when they do not come: ours alone would look like sums that shrank."""
        if self._asked is None or self._asked.done():
            self._asked = asyncio.get_running_loop().create_future()
            self._channel.send(Ask())
        try:
            async with asyncio.timeout(ANSWER_LIMIT_S):
                return (await asyncio.shield(self._asked)).encode()
        except TimeoutError:
            message = f"the sums of all workers did not come within {ANSWER_LIMIT_S:g} s; ask again"
            raise NotNow(message, code="metrics_late") from None


async def _work(post: Post) -> None:
    channel = await Channel.over(socket.socket(fileno=post.orders))
    orders = channel.messages()
    begin = await anext(orders, None)
    if not isinstance(begin, Begin):  # the supervisor is gone already
        return
    loaded = parse(begin.text, Path(post.file), os.environ)
    worker = Worker(post, channel)
    async with running(loaded, crew=worker.crew(begin)) as house:
        house.take_up_keys()
        await worker.take_up(house, begin.now)
        listener = bind(post.host, post.port, shared=True)
        server = http_server(house, post.host, post.port, listener=listener)
        serving = asyncio.create_task(server.serve())
        for name in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(name, worker.stopping.set)
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, house.config.ask)
        await accepting(server, serving)
        calm_the_collector()
        channel.send(Listening())
        following = asyncio.create_task(worker.follow(house, orders))
        try:
            await asyncio.wait([serving, asyncio.create_task(worker.stopping.wait())], return_when="FIRST_COMPLETED")
            if serving.done():
                serving.result()
        finally:
            await drain(house, server, serving, house.loaded.platform.gateway.drain_s)
            channel.send(Mine(house.metrics.families()))
            await channel.flush()
            following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await following


def main() -> None:
    """Work at the post that the one argument describes."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is a file to look at
    post = msgspec.json.decode(sys.argv[1], type=Post)
    configure_logging(post.log_level, "json" if post.log_json else "text")
    with saying_what_went_wrong():
        uvloop.run(_work(post))


if __name__ == "__main__":
    main()
