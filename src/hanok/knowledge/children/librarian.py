"""`python -m hanok.knowledge.children.librarian FILE`: keeps the passages of a platform for all its processes.

FILE is its card: where it is found, and the token that opens it; only its owner can read that. Settings come over
stdin, so that no token stands on a command line. It leaves whoever started it at once, and lives as long as anyone is
connected. Only one runs for the same file, since it holds a lock beside it; another ends without a word, and who
started it finds the first. When the card is not its own any more, or the folder is gone, it ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import os
import secrets
import signal
import sys
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from hanok.errors import HanokError
from hanok.knowledge.children import calls
from hanok.knowledge.children.calls import Answer, Card, Request, Settings
from hanok.knowledge.store import Store
from hanok.knowledge.stores.milvus import MilvusStore
from hanok.ledger.stores.locked import claim

GRACE_S = 2.0
"""How long it stays when the last has left."""
FIRST_GRACE_S = 30.0
"""How long it waits for the first."""
LOOK_S = 0.25
LOCK_TRIES = 50
LOCK_LOOK_S = 0.02
GREETING_LIMIT_S = 5.0
CALLS_AT_ONCE = 64
"""Of one connection; it is not read from while so many run."""
_NICENESS = 5
_log = logging.getLogger("hanok.librarian")


class Librarian:
    """Answers connections out of a store. `connected` counts those that showed the token."""

    def __init__(self, store: Store, token: bytes) -> None:
        self._store = store
        self._token = token
        self._tasks: set[asyncio.Task[Any]] = set()
        self.connected = 0

    async def meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, from its token to its end."""
        self._keep(asyncio.current_task())
        try:
            async with asyncio.timeout(GREETING_LIMIT_S):
                shown = await calls.read_frame(reader, calls.TOKEN_LIMIT_BYTES)
            if hmac.compare_digest(shown, self._token):
                writer.write(calls.frame(calls.GREETING))
                await self._serve(reader, writer)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, calls.TooLong, msgspec.DecodeError) as error:
            if not isinstance(error, asyncio.IncompleteReadError):
                _log.warning("a connection ended: %s", error)
        finally:
            writer.close()

    async def aclose(self) -> None:
        """Hang up, then give up what is being done for whoever was connected: they ask the next librarian for it."""
        while tasks := list(self._tasks):
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _keep(self, task: asyncio.Task[Any] | None) -> None:
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connected += 1
        free = asyncio.Semaphore(CALLS_AT_ONCE)
        try:
            while True:
                request = calls.decode(await calls.read_frame(reader), Request)
                await free.acquire()
                task = asyncio.create_task(self._answer(request, writer))
                self._keep(task)
                task.add_done_callback(lambda _: free.release())
        finally:
            self.connected -= 1

    async def _answer(self, request: Request, writer: asyncio.StreamWriter) -> None:
        answers = await self._results(request)
        with contextlib.suppress(OSError):  # it left
            for answer in answers:
                writer.write(calls.frame(calls.encode(answer)))
                await writer.drain()

    async def _results(self, request: Request) -> list[Answer]:
        try:
            *begun, last = calls.in_parts(await perform(self._store, request.call))
            return [
                *(Answer(number=request.number, value=part, more=True) for part in begun),
                Answer(number=request.number, value=last),
            ]
        except HanokError as error:
            return [Answer(number=request.number, failure=calls.as_failure(error))]
        except Exception as error:  # noqa: BLE001 - a call may fail, the others go on
            _log.exception("a call failed")
            return [Answer(number=request.number, failure=calls.as_failure(error))]


def perform(store: Store, call: calls.AnyCall) -> Awaitable[Any]:
    """The method of the store that a call means, begun."""
    match call:
        case calls.Search(name=name, query=query, filter=condition):
            raw = None if condition is None else msgspec.Raw(condition)
            return store.search(name, replace(query, filter=raw))
        case calls.Describe(name=name):
            return store.describe(name)
        case calls.ListCollections():
            return store.list_collections()
        case calls.Create(name=name, shape=shape):
            return store.create(name, shape)
        case calls.Drop(name=name):
            return store.drop(name)
        case calls.Point(alias=alias, name=name):
            return store.point(alias, name)
        case calls.Write(name=name, rows=rows):
            return store.write(name, rows)
        case calls.RemoveStore(name=name, store=of):
            return store.remove_store(name, of)
        case calls.Heads(name=name, store=of):
            return store.heads(name, store=of)
        case calls.Remove(name=name, document=document, store=of, keep=keep):
            return store.remove(name, document=document, store=of, keep=keep)
        case calls.Passages():
            return store.passages(
                call.name,
                document=call.document,
                digest=call.digest,
                first=call.first,
                last=call.last,
                readers=call.readers,
                store=call.store,
            )


async def serve(file: Path, settings: Settings) -> None:
    """Answer until nobody is connected any more. Nothing when another holds the lock."""
    if not await _alone(file):
        return
    store = MilvusStore(settings.uri, token=settings.token, db=settings.db, timeout_s=settings.timeout_s)
    token = secrets.token_hex(32)
    librarian = Librarian(store, token.encode())
    server = await asyncio.start_server(librarian.meet, "127.0.0.1", 0)
    card = Card(pid=os.getpid(), port=server.sockets[0].getsockname()[1], token=token)
    _publish(file, card)
    warming = asyncio.create_task(_warm(store))
    try:
        await _until_left(librarian, file, card)
    finally:
        server.close()
        _withdraw(file, card)
        await librarian.aclose()
        await asyncio.gather(warming, return_exceptions=True)
        await store.aclose()


async def _alone(file: Path) -> bool:
    """Whether the lock is ours. One that leaves, or looks whether somebody has it, has it for a moment only."""
    for _ in range(LOCK_TRIES):
        if claim(file.with_suffix(".lock")) >= 0:
            return True
        await asyncio.sleep(LOCK_LOOK_S)
    return False


async def _warm(store: Store) -> None:
    """Import and open what takes seconds before somebody asks."""
    try:
        await store.list_collections()
    except HanokError as error:
        _log.warning("%s", error)


async def _until_left(librarian: Librarian, file: Path, card: Card) -> None:
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()
    for end in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(end, asked.set)
    last = loop.time() + FIRST_GRACE_S - GRACE_S
    while not asked.is_set() and read_card(file) == card:
        if librarian.connected:
            last = loop.time()
        if loop.time() - last > GRACE_S:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK_S):
                await asked.wait()


def read_card(file: Path) -> Card | None:
    """The card of the librarian of that file; None where there is none that can be read."""
    try:
        return msgspec.json.decode(file.read_bytes(), type=Card)
    except (OSError, msgspec.DecodeError):
        return None


def _publish(file: Path, card: Card) -> None:
    new = file.with_suffix(".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as opened:
        opened.write(msgspec.json.encode(card))
    new.replace(file)


def _withdraw(file: Path, card: Card) -> None:
    if read_card(file) == card:
        file.unlink(missing_ok=True)


def main() -> None:
    """Read the settings, leave whoever started this, and serve."""
    settings = calls.decode(sys.stdin.buffer.read(), Settings)
    if os.fork():
        os._exit(0)
    os.nice(_NICENESS)
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # numpy's and faiss's, which wait for one another by spinning
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    asyncio.run(serve(Path(sys.argv[1]), settings))


if __name__ == "__main__":
    main()
