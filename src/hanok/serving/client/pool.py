"""Requests to one endpoint, each over a connection that was kept or is opened for it."""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from collections.abc import Mapping

from hanok.errors import EngineBroken, EngineUnreachable
from hanok.serving.client.connection import Connection
from hanok.serving.client.origin import Origin
from hanok.serving.client.request_form import RequestForm
from hanok.serving.client.response import Response
from hanok.serving.client.stock import Stock
from hanok.spec import Timeouts
from hanok.wire import ANONYMOUS, Caller


class Pool:
    """What one endpoint is asked through."""

    def __init__(
        self,
        url: str,
        *,
        timeouts: Timeouts,
        headers: Mapping[str, str] | None = None,
        verify_tls: bool = True,
        ca_file: str | None = None,
    ) -> None:
        self.origin = Origin.parse(url)
        self._tls = _tls_context(verify_tls, ca_file) if self.origin.secure else None
        self._form = RequestForm(self.origin, headers or {})
        self._stock = Stock(self.origin, timeouts)

    async def request(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        accept: str = "application/json",
        caller: Caller = ANONYMOUS,
    ) -> Response:
        """Send a request and wait for the head of its response.

        `path` is added to the path of the pool's URL; the caller's request id and trace are sent along. A kept
        connection that the engine closed just as we used it, with nothing answered, is replaced once. Raises
        `EngineUnreachable`, `EngineTimeout` or `EngineBroken`.
        """
        message = self._form.write(method, path, body, accept, caller)
        connection = self._stock.take_idle()
        if connection is not None:
            try:
                return await self._exchange(connection, message)
            except EngineBroken:
                if connection.begun or self._stock.closed:
                    raise
        return await self._exchange(await self._connect(), message)

    def adjust(self, timeouts: Timeouts) -> None:
        """Wait that long from now on."""
        self._stock.timeouts = timeouts

    def close(self) -> None:
        """Cut every connection."""
        self._stock.close()

    def connections(self) -> tuple[int, int]:
        """How many connections are busy and idle."""
        return self._stock.counts()

    def pieces(self) -> int:
        """How many pieces of bodies have come, ever: it grows while answers flow."""
        return self._stock.pieces()

    async def _exchange(self, connection: Connection, message: bytes) -> Response:
        self._stock.set_busy(connection)
        connection.send(message, time.monotonic(), self._stock.timeouts.first_byte_s)
        try:
            await connection.head()
        except BaseException:
            self._stock.give_back(connection)
            raise
        return Response(connection, self._stock)

    async def _connect(self) -> Connection:
        self._refuse_if_closed()
        loop = asyncio.get_running_loop()
        seconds = self._stock.timeouts.connect_s
        try:
            async with asyncio.timeout(seconds):
                _, connection = await loop.create_connection(
                    lambda: Connection(self.origin),
                    self.origin.host,
                    self.origin.port,
                    ssl=self._tls,
                    server_hostname=self.origin.host if self._tls else None,
                )
        except TimeoutError:
            raise EngineUnreachable(f"{self.origin} did not accept a connection for {seconds:g} s") from None
        except ssl.SSLError as error:
            raise EngineUnreachable(f"{self.origin} failed the TLS handshake: {error.reason or error}") from None
        except (OSError, UnicodeError) as error:  # UnicodeError: a name too long to be looked up
            reason = _reason(error) if isinstance(error, OSError) else str(error)
            raise EngineUnreachable(f"{self.origin} cannot be reached: {reason}") from None
        if self._stock.closed:
            connection.abort()
            self._refuse_if_closed()
        return connection

    def _refuse_if_closed(self) -> None:
        if self._stock.closed:
            raise EngineUnreachable(f"the connections to {self.origin} were closed")


def _tls_context(verify: bool, ca_file: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca_file)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _reason(error: OSError) -> str:
    """Why a connection failed: asyncio words it around the number, uvloop gives the plain reason."""
    return os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or str(error)
