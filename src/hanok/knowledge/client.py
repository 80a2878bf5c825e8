"""The store that asks the librarian: connects with the first call, starts a librarian where none runs.

Several calls travel on one connection. When the librarian dies, the next call finds or starts another, and calls that
were on the way are made once more: each of them may be made twice, since rows are written over those of the same id.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

import hanok
from hanok.errors import KeptUnreachable, StoreError
from hanok.knowledge.children import calls
from hanok.knowledge.children.calls import Answer, Card, Request, Settings
from hanok.knowledge.values import Collection, Head, Hit, Query, Row, Shape
from hanok.spec import Loaded

START_LIMIT_S = 60.0
"""How long a librarian may take until it answers."""
TRY_S = 5.0
"""How long one that was started may take until its card is there, before another is."""
LOOK_S = 0.02
WRITE_BYTES = 16 * 1024 * 1024


def open_store(loaded: Loaded) -> LibrarianStore:
    """The store of a platform. Nothing is started or connected before the first call."""
    declared = loaded.platform.milvus
    uri = str(declared.uri) if declared.uri else str(loaded.state.absolute() / "knowledge" / "passages.db")
    token = declared.token.get_secret_value() if declared.token else ""
    return LibrarianStore(loaded.state, Settings(uri=uri, token=token, db=declared.db, timeout_s=declared.timeout_s))


class ConnectionLost(KeptUnreachable):
    """The librarian went away while it was asked."""


class LibrarianStore:
    """Collections of passages, kept by the librarian of a state folder. For one event loop."""

    def __init__(self, state: Path, settings: Settings) -> None:
        self._settings = replace(settings, version=hanok.__version__)
        self._state = state.absolute()
        self._log = self._state / "logs" / "librarian.log"
        self._connecting = asyncio.Lock()
        self._line: _Line | None = None
        self._closed = False

    @cached_property
    def _file(self) -> Path:
        return self._state / f"librarian-{_key(self._settings)}.json"

    @property
    def _is_empty(self) -> bool:
        """Whether nobody needs to be asked: a Lite that nobody has opened yet has nothing in it."""
        if self._closed or self._line is not None or "://" in self._settings.uri:
            return False
        return not Path(self._settings.uri).exists() and self._card() is None

    async def reach(self) -> None:
        """Have a librarian who listens; it may still be opening what it keeps. Raises `StoreError`."""
        await self._connected()

    async def describe(self, name: str) -> Collection | None:
        if self._is_empty:
            return None
        return await self._ask(calls.Describe(name=name), Collection | None)

    async def list_collections(self) -> list[str]:
        return await self._ask(calls.ListCollections(), list[str])

    async def create(self, name: str, shape: Shape) -> None:
        await self._ask(calls.Create(name=name, shape=shape), None)

    async def drop(self, name: str) -> None:
        await self._ask(calls.Drop(name=name), None)

    async def point(self, alias: str, name: str) -> None:
        await self._ask(calls.Point(alias=alias, name=name), None)

    async def write(self, name: str, rows: Sequence[Row]) -> None:
        for batch in _batches(rows):
            await self._ask(calls.Write(name=name, rows=batch), None)

    async def remove(self, name: str, *, document: str, store: str = "", keep: str | None = None) -> None:
        await self._ask(calls.Remove(name=name, document=document, store=store, keep=keep), None)

    async def remove_store(self, name: str, store: str) -> None:
        await self._ask(calls.RemoveStore(name=name, store=store), None)

    async def heads(self, name: str, *, store: str = "") -> list[Head]:
        return await self._ask(calls.Heads(name=name, store=store), list[Head])

    async def passages(
        self, name: str, *, document: str, digest: str, first: int, last: int, readers: Sequence[str], store: str = ""
    ) -> list[Hit]:
        call = calls.Passages(
            name=name,
            document=document,
            digest=digest,
            first=first,
            last=last,
            readers=tuple(readers),
            store=store,
        )
        return await self._ask(call, list[Hit])

    async def search(self, name: str, query: Query) -> list[Hit]:
        condition = None if query.filter is None else bytes(query.filter)
        return await self._ask(calls.Search(name=name, query=replace(query, filter=None), filter=condition), list[Hit])

    async def aclose(self) -> None:
        """Leave the librarian. Calls on their way, and all later ones, raise `StoreError`."""
        self._closed = True
        async with self._connecting:
            if self._line is not None:
                await self._line.aclose()
            self._line = None

    async def _ask(self, call: calls.AnyCall, kind: Any) -> Any:
        try:
            values = await (await self._connected()).ask(call)
        except ConnectionLost:
            values = await (await self._connected()).ask(call)
        found = [calls.decode(value, kind) for value in values]
        return found[0] if len(found) == 1 else [each for part in found for each in part]

    async def _connected(self) -> _Line:
        async with self._connecting:
            if self._closed:
                raise StoreError("the store was closed", hint="ask before the platform stops")
            if self._line is None or self._line.lost:
                if self._line is not None:
                    await self._line.aclose()
                self._line = await self._connect()
            return self._line

    async def _connect(self) -> _Line:
        deadline = asyncio.get_running_loop().time() + START_LIMIT_S
        while asyncio.get_running_loop().time() < deadline:
            if (card := self._card()) and (line := await _Line.join(card)):
                return line
            await asyncio.to_thread(self._start)
            await self._wait_for_another(card)
        raise KeptUnreachable("the librarian, who keeps passages, does not answer", hint=f"look into {self._log}")

    def _card(self) -> Card | None:
        """Where the librarian is, if one lives: it holds the lock as long as it does."""
        try:
            with self._file.with_suffix(".lock").open("rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return None
        except BlockingIOError:
            pass
        except OSError:
            return None
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=Card)
        except (OSError, msgspec.DecodeError):
            return None

    def _start(self) -> None:
        """Start a librarian, which leaves us at once. Blocks for as long as a Python takes to start."""
        if importlib.util.find_spec("pymilvus") is None:
            raise StoreError("knowledge needs the package pymilvus", hint='pip install "hanok[rag]"')
        command = [sys.executable, "-m", "hanok.knowledge.children.librarian", str(self._file)]
        settings = calls.encode(self._settings)
        try:
            self._log.parent.mkdir(parents=True, exist_ok=True)
            with os.fdopen(os.open(self._log, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600), "ab") as log:
                subprocess.run(
                    command, input=settings, stdout=log, stderr=log, start_new_session=True, timeout=START_LIMIT_S
                )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise StoreError(f"the librarian, who keeps passages, cannot be started: {error}") from None

    async def _wait_for_another(self, before: Card | None) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(TRY_S):
                while self._card() in (None, before):
                    await asyncio.sleep(LOOK_S)


class _Line:
    """One connection to a librarian. `lost` says that it is of no use any more."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._numbers = count()
        self._waiting: dict[int, asyncio.Future[list[msgspec.Raw]]] = {}
        self._begun: dict[int, list[msgspec.Raw]] = {}
        self._task = asyncio.create_task(self._receive())
        self.lost = False

    @classmethod
    async def join(cls, card: Card) -> _Line | None:
        """A connection that let us in; None where nobody does."""
        try:
            async with asyncio.timeout(TRY_S):
                reader, writer = await asyncio.open_connection("127.0.0.1", card.port)
                with contextlib.ExitStack() as stack:
                    stack.callback(writer.close)
                    writer.write(calls.frame(card.token.encode()))
                    if await calls.read_frame(reader, calls.TOKEN_LIMIT_BYTES) != calls.GREETING:
                        return None
                    stack.pop_all()
                return cls(reader, writer)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, calls.TooLong):
            return None

    async def ask(self, call: calls.AnyCall) -> list[msgspec.Raw]:
        """The answer's value, a long list in parts. Raises as the librarian did, `ConnectionLost` when it is gone."""
        number = next(self._numbers)
        content = calls.frame(calls.encode(Request(number=number, call=call)))
        waiting = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            if self.lost:
                raise ConnectionLost("the librarian, who keeps passages, is gone")
            self._writer.write(content)
            with contextlib.suppress(OSError):  # the other end is gone: `_receive` says so
                await self._writer.drain()
            return await waiting
        finally:
            del self._waiting[number]
            self._begun.pop(number, None)

    async def aclose(self) -> None:
        self.lost = True
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    async def _receive(self) -> None:
        try:
            while True:
                self._take(calls.decode(await calls.read_frame(self._reader), Answer))
        except (OSError, asyncio.IncompleteReadError, calls.TooLong, msgspec.DecodeError):
            pass
        finally:
            self.lost = True
            for waiting in self._waiting.values():
                if not waiting.done():
                    waiting.set_exception(ConnectionLost("the librarian, who keeps passages, went away meanwhile"))

    def _take(self, answer: Answer) -> None:
        waiting = self._waiting.get(answer.number)
        if waiting is None or waiting.done():  # who asked did not wait for it
            return
        if answer.failure is not None:
            waiting.set_exception(calls.as_error(answer.failure))
        elif answer.more:
            self._begun.setdefault(answer.number, []).append(answer.value)
        else:
            waiting.set_result([*self._begun.pop(answer.number, []), answer.value])


def _key(settings: Settings) -> str:
    """A name for settings that tells nothing of the token among them, in hexadecimal.

    Milvus Lite's is that of its place alone: only one librarian can have it open, however it was started.
    """
    told = settings if "://" in settings.uri else Settings(uri=settings.uri)
    return hashlib.scrypt(calls.encode(told), salt=b"librarian", n=4096, r=8, p=1, dklen=6).hex()


def _batches(rows: Sequence[Row]) -> Iterator[list[Row]]:
    batch: list[Row] = []
    size = 0
    for row in rows:
        weight = 2000 + len(row.vector) + 4 * (len(row.text) + len(row.terms))
        if batch and size + weight > WRITE_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(row)
        size += weight
    if batch:
        yield batch
