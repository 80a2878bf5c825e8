"""Kept answers on a Redis (6.2 or newer) or Valkey server, through redis-py (extra `redis`).

A server that is away costs little: after a failure nobody asks for `PAUSE_S`, and what is looked for is not there.
Answers are written beside calls; too many that wait to be written are not kept.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, TypeVar

import msgspec

from hanok.caches.entry import Entry
from hanok.caches.store import StoreCounts
from hanok.errors import StartError

TIMEOUT_S = 0.25
PAUSE_S = 5.0
CONNECTIONS = 32
WAITING = 256
SCANNED = 500
LOOKED_AT = 100_000
"""How many keys are counted at most when somebody wants to see what there is."""
_log = logging.getLogger(__name__)
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Entry).decode
Found = TypeVar("Found")


class RedisStore:
    """A `Store` on a server, of the platform of that name. Make and use it in one event loop.

    `timeout_s` bounds connecting and each answer, `pause_s` is how long a server that failed is left alone. Raises
    `StartError` when redis-py is not installed or the url is not one.
    """

    def __init__(
        self,
        url: str,
        *,
        platform: str,
        timeout_s: float = TIMEOUT_S,
        pause_s: float = PAUSE_S,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._prefix = f"hanok:{{{platform}}}:cache|"
        self._timeout_s = timeout_s
        self._pause_s = pause_s
        self._wall = wall
        self._monotonic = monotonic
        self._client, self._failures = _connect(url, timeout_s)
        self._silent_until = 0.0
        self._writing: set[asyncio.Task[object]] = set()

    def __repr__(self) -> str:
        return f"RedisStore(prefix={self._prefix!r})"  # no url: it may hold a password

    async def find(self, model: str, key: bytes) -> Entry | None:
        data = await self._ask(lambda: self._client.get(self._name(model, key)))
        if not isinstance(data, bytes):
            return None
        try:
            entry = _decode(data)
        except msgspec.MsgspecError:  # of another version of ours
            return None
        return entry if entry.until > self._wall() else None

    def keep(self, key: bytes, entry: Entry) -> None:
        if len(self._writing) >= WAITING or self._monotonic() < self._silent_until:
            return
        milliseconds = max(1, int((entry.until - self._wall()) * 1000))
        name, data = self._name(entry.model, key), _encode(entry)
        task = asyncio.create_task(self._ask(lambda: self._client.set(name, data, px=milliseconds)))
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def clear(self, model: str | None = None) -> int | None:
        cleared = 0
        try:
            async for names in self._names(model):
                cleared += await self._client.unlink(*names)
        except self._failures as error:
            self._leave_alone(error)
            return None
        return cleared

    async def count(self) -> Mapping[str, StoreCounts] | None:
        """As `Store.count` says; of at most `LOOKED_AT` entries."""
        found: dict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
        looked_at = 0
        try:
            async for names in self._names(None):
                pipeline = self._client.pipeline(transaction=False)
                for name in names:
                    pipeline.strlen(name)
                for name, size in zip(names, await pipeline.execute(), strict=True):
                    model = name.decode().rsplit("|", 2)[1]
                    entries, total = found[model]
                    found[model] = (entries + 1, total + size)
                looked_at += len(names)
                if looked_at >= LOOKED_AT:
                    break
        except self._failures as error:
            self._leave_alone(error)
            return None
        return {model: StoreCounts(*counts) for model, counts in found.items()}

    async def aclose(self) -> None:
        """Wait for what is being written, and close the connections."""
        await asyncio.gather(*self._writing, return_exceptions=True)
        await self._client.aclose(close_connection_pool=True)

    def _name(self, model: str, key: bytes) -> str:
        return f"{self._prefix}{model}|{key.hex()}"

    async def _names(self, model: str | None) -> AsyncIterator[list[bytes]]:
        """The names of entries, some at a time. No character of a platform's or model's name is one of patterns'."""
        pattern = f"{self._prefix}*" if model is None else f"{self._prefix}{model}|*"
        cursor = 0
        while True:
            cursor, names = await self._client.scan(cursor, match=pattern, count=SCANNED)
            if names:
                yield names
            if not cursor:
                return

    async def _ask(self, ask: Callable[[], Awaitable[Found]]) -> Found | None:
        """Ask once; None when the server does not answer, or did not a moment ago."""
        if self._monotonic() < self._silent_until:
            return None
        cancelled = _times_cancelled()
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await ask()
        except self._failures as error:
            self._leave_alone(error)
            return None
        if _times_cancelled() > cancelled:  # redis-py may go on as if nothing had happened
            raise asyncio.CancelledError
        return answer

    def _leave_alone(self, error: Exception) -> None:
        if self._monotonic() >= self._silent_until:
            _log.warning("the cache's Redis does not answer, so nothing is found there: %s", error or type(error))
        self._silent_until = self._monotonic() + self._pause_s


def _times_cancelled() -> int:
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()


def _connect(url: str, timeout_s: float) -> tuple[Any, Any]:
    """A client that connects when it is used, and what it raises when it cannot."""
    try:
        library: Any = importlib.import_module("redis.asyncio")
        errors: Any = importlib.import_module("redis.exceptions")
        backoff: Any = importlib.import_module("redis.backoff")
        retry: Any = importlib.import_module("redis.asyncio.retry")
    except ImportError as error:
        raise StartError(f"redis-py cannot be imported: {error}", hint='pip install "hanok[redis]"') from error
    try:
        pool = library.BlockingConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS,
            timeout=timeout_s,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=retry.Retry(backoff.NoBackoff(), 0),
            protocol=2,
        )
    except ValueError:  # its message may hold a part of the password
        raise StartError(
            "the address of the cache's Redis cannot be read", hint="write redis://[user:password@]host[:port][/db]"
        ) from None
    garbled = (ValueError, TypeError)  # of redis-py, about bytes that are no answer of a Redis
    return library.Redis(connection_pool=pool), (errors.RedisError, OSError, TimeoutError, *garbled)
