"""Where calls are listened for, until they are to stop: then what runs is let end."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

import uvicorn

from hanok.gateway.http.call import Handle
from hanok.gateway.http.connection import Connection, Shared

_LOOK_S = 0.01


class HttpServer:
    """Listens, and hands calls to `handle` until it is stopped."""

    def __init__(
        self,
        handle: Handle,
        *,
        host: str,
        port: int,
        body_limit: int,
        new_request_id: Callable[[], str],
        listener: socket.socket | None = None,
    ) -> None:
        """Listens at `host` and `port`, or on the `listener` that is bound to them."""
        self._listener = listener
        shared = self._shared = Shared(handle, body_limit, new_request_id)
        config = uvicorn.Config(
            _no_app,
            host=host,
            port=port,
            http=cast("Any", partial(Connection, shared)),
            ws="none",
            lifespan="off",
            interface="asgi3",
            proxy_headers=False,
            log_config=None,
            access_log=False,
            backlog=2048,
        )
        self._server = _Server(config)

    async def serve(self) -> None:
        """Serve until `stop`, then let running calls end."""
        await self._server.serve(None if self._listener is None else [self._listener])

    def busy(self) -> int:
        """How many connections have a call running, or an answer not yet sent."""
        return sum(cast("Connection", each).busy for each in self._server.server_state.connections)

    @property
    def listening(self) -> bool:
        return self._server.started

    def change(self, *, body_limit: int) -> None:
        """Let in bodies of that many bytes, from the next request on, on every connection."""
        self._shared.body_limit = body_limit
        for connection in self._server.server_state.connections:
            cast("Connection", connection).body_limit = body_limit

    def stop(self) -> None:
        """Take no more connections, and return from `serve` when the running calls are over."""
        self._server.should_exit = True
        self._server.ending.set()

    def cut(self) -> None:
        """End every running call now, each with a last word to its caller."""
        for connection in list(self._server.server_state.connections):
            cast("Connection", connection).cut()


class _Server(uvicorn.Server):
    """uvicorn's server, which leaves signals to whoever starts it, and ends at once instead of after 0.2 s."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ending = asyncio.Event()

    async def main_loop(self) -> None:
        await self.ending.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more connections, and wait until those that there are have ended their calls."""
        for listener in (*self.servers, *(sockets or ())):
            listener.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        await asyncio.sleep(_LOOK_S)  # who was let in just now is a connection then
        while self.server_state.connections:
            await asyncio.sleep(_LOOK_S)

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


async def _no_app(scope: Any, receive: Any, send: Any) -> None:
    """uvicorn wants an ASGI application; our protocol never asks it."""
    del scope, receive, send
