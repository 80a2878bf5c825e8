"""MCP servers that are reached: streamable HTTP, to addresses that may be asked.

A name is resolved at each connection, every address that it has is judged, and the connection is made to one that was
judged, under the name that was asked for. Redirects stay within the server's origin (the SDK sees to it); proxies and
credentials of the environment are not used; answers are bounded, and taken uncompressed so that the bound holds.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpcore2
import httpx2
from mcp.client._transport import TransportStreams
from mcp.client.streamable_http import streamable_http_client

from hanok import __version__
from hanok.web.addresses import refusal_of

CONNECT_S = 10.0
SILENCE_S = 300.0
"""How long a stream may say nothing; servers send signs of life more often."""
_EVENTS = "text/event-stream"


@asynccontextmanager
async def reached(
    url: str, *, headers: Mapping[str, str], private: bool, limit_bytes: int, refused: list[int]
) -> AsyncGenerator[TransportStreams]:
    """Reach a server; gives the streams of its messages, as the SDK's transports do.

    HTTP statuses that are errors are put into `refused`. What goes wrong on the way is raised as `httpx2.HTTPError`.
    """
    own = {"user-agent": f"hanok/{__version__}", "accept-encoding": "identity"}
    timeout = httpx2.Timeout(CONNECT_S, read=SILENCE_S)
    transport = Guarded(private=private, limit_bytes=limit_bytes, refused=refused)
    async with (
        httpx2.AsyncClient(transport=transport, headers={**own, **headers}, timeout=timeout, trust_env=False) as client,
        streamable_http_client(url, http_client=client, max_sse_event_size=limit_bytes) as streams,
    ):
        yield streams


class Guarded(httpx2.AsyncHTTPTransport):
    """Connects to addresses that may be asked, and lets in so much of an answer."""

    def __init__(self, *, private: bool, limit_bytes: int, refused: list[int]) -> None:
        super().__init__(trust_env=False)
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=ssl.create_default_context(), network_backend=JudgedBackend(private=private)
        )
        self._limit_bytes = limit_bytes
        self._refused = refused

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Raises `httpx2.ConnectError` where it may not be asked."""
        response = await super().handle_async_request(request)
        if response.status_code >= 400:
            self._refused.append(response.status_code)
        if response.headers.get("content-encoding", "identity") != "identity":
            await response.aclose()
            raise httpx2.DecodingError("it answers compressed, though it was asked not to")
        if not response.headers.get("content-type", "").startswith(_EVENTS):  # those are bounded one by one
            response.stream = _Bounded(response.stream, self._limit_bytes)
        return response


class _Bounded(httpx2.AsyncByteStream):
    def __init__(self, stream: Any, limit_bytes: int) -> None:
        self._stream = stream
        self._limit_bytes = limit_bytes

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for data in self._stream:
            size += len(data)
            if size > self._limit_bytes:
                raise httpx2.StreamError(f"the answer is longer than {self._limit_bytes} bytes (`max_bytes`)")
            yield data

    async def aclose(self) -> None:
        await self._stream.aclose()


class JudgedBackend(httpcore2.AsyncNetworkBackend):
    """Connects by names whose every address may be asked."""

    def __init__(self, *, private: bool) -> None:
        self._private = private
        self._backend: Any = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Raises `httpcore2.ConnectError`."""
        failed = httpcore2.ConnectError(f"{host} has no address")
        for address in await self._addresses(host, port):
            try:
                return await self._backend.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failed = httpcore2.ConnectError(f"{host} takes no connections at port {port}: {error or 'no answer'}")
        raise failed

    async def _addresses(self, host: str, port: int) -> list[str]:
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=1)
        except (OSError, UnicodeError) as error:
            raise httpcore2.ConnectError(f"{host} cannot be found: {error}") from None
        addresses = list(dict.fromkeys(str(address[0]) for *_, address in found))
        for address in addresses:
            if reason := refusal_of(address, private=self._private):
                hint = "; declare `private: true` if it is yours" if "private" in reason else ""
                raise httpcore2.ConnectError(f"{host} is not asked: {address} {reason}{hint}")
        return addresses

    async def sleep(self, seconds: float) -> None:
        """As asked for between retries, of which there are none."""
        await anyio.sleep(seconds)
