"""A house whose agents are reached over A2A, shared by all tests here, and what listens for its pushes."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from a2a.client import Client, ClientConfig, create_client
from a2a.types import a2a_pb2 as pb

from hanok.assemble.house import desks
from hanok.gateway.a2a import A2a
from hanok.gateway.a2a.push_client import Pusher
from hanok.gateway.a2a.push_store import PushStore
from hanok.web.client import Web
from tests.agency import FakeAgency
from tests.calls import Reply, call
from tests.conftest import ECHO, RunningHouse, open_house, wait_until

PLACES = {"hook.example": ["127.0.0.1"], "split.example": ["93.184.215.14", "127.0.0.1"], "inner.example": ["10.1.2.3"]}
"""What names resolve to here."""


@dataclass(frozen=True, kw_only=True)
class Reached:
    """A house, and how it is reached: with the keys of the team red, of blue, and one of red's for the spy alone."""

    house: RunningHouse
    agency: FakeAgency
    pusher: Pusher
    keys: dict[str, str]
    folder: Path

    def headers(self, who: str = "red") -> dict[str, str]:
        return {"authorization": f"Bearer {self.keys[who]}", "content-type": "application/json"}

    def ask(self, path: str, body: Any = None, *, who: str = "red", method: str = "", **headers: str) -> Reply:
        method = method or ("GET" if body is None else "POST")
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return call(f"{self.house.url}{path}", method, body, {**self.headers(who), **given})

    def rpc(self, method: str, params: Any, *, who: str = "red", agent: str = "writer", version: str = "1.0") -> Any:
        """A call of JSON-RPC; without a version it is one of 0.3."""
        body = {"jsonrpc": "2.0", "id": "7", "method": method, "params": params}
        headers = {"a2a-version": version} if version else {}
        reply = self.ask(f"/a2a/{agent}", body, who=who, **headers)
        assert reply.status == 200, reply.body
        return reply.json

    def say(self, text: str, **more: Any) -> Any:
        """The task that comes of a message."""
        who = more.pop("who", "red")
        answer = self.rpc("SendMessage", {"message": words(text, **more)}, who=who)
        return answer["result"]["task"]

    @asynccontextmanager
    async def client(self, *, who: str = "red", agent: str = "writer", **config: Any) -> AsyncGenerator[Client]:
        """The SDK's own client, as it makes itself from the card."""
        async with httpx.AsyncClient(headers=self.headers(who), timeout=20) as http:
            url = f"{self.house.url}/a2a/{agent}"
            async with await create_client(url, ClientConfig(httpx_client=http, **config)) as client:
                yield client

    def with_client(self, do: Callable[[Client], Coroutine[Any, Any, Any]], **config: Any) -> Any:
        async def run() -> Any:
            async with self.client(**config) as client:
                return await do(client)

        return asyncio.run(run())


def words(text: str, *, id_: str = "", **more: Any) -> dict[str, Any]:
    """A message as JSON, each with an id of its own."""
    return {"messageId": id_ or f"m{next(_numbers)}", "role": "ROLE_USER", "parts": [{"text": text}], **more}


def message(text: str, **more: Any) -> pb.SendMessageRequest:
    """The same for the SDK's client."""
    said = pb.Message(message_id=f"m{next(_numbers)}", role=pb.Role.ROLE_USER, parts=[pb.Part(text=text)], **more)
    return pb.SendMessageRequest(message=said)


_numbers = iter(range(1, 1_000_000))


async def take_up(started: RunningHouse, folder: Path) -> tuple[FakeAgency, Pusher, asyncio.Task[None]]:
    """Put agents behind the door of a house that runs."""
    house = started.house
    platform = house.loaded.platform
    agency = FakeAgency(*platform.agents)
    pusher = make_pusher(agency, folder, private=True, wall=time.time)
    desk = A2a(platform.agents, agency=agency, reception=house.reception, pusher=pusher)
    house.door.change([desk, *desks(house, platform)])
    return agency, pusher, asyncio.create_task(pusher.live())


def make_pusher(agency: FakeAgency, folder: Path, *, private: bool, wall: Callable[[], float] = lambda: 1e9) -> Pusher:
    def resolve(host: str, port: int) -> list[str]:
        del port
        return PLACES.get(host) or [host]

    web = Web(private=private, resolve=resolve)
    store = PushStore(folder / "pushes.db")
    return Pusher(agency, store, web=web, wall=wall, worker="test", tries_after_s=(0.0, 0.0))


@pytest.fixture(scope="package")
def reached(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reached]:
    folder = tmp_path_factory.mktemp("a2a")
    platform = {
        "name": "test",
        "gateway": {"body_limit_mib": 2},
        "models": [ECHO],
        "agents": [{"name": "writer", "description": "Writes."}, {"name": "spy", "system_prompt": "a secret"}],
        "teams": [{"name": "red"}, {"name": "blue"}],
    }
    file = folder / "platform.yaml"
    file.write_text(yaml.safe_dump(platform), "utf-8")
    with open_house(file) as running:
        ledger = running.house.ledger
        keys = {
            "red": ledger.create_key("red", team="red").secret,
            "spy": ledger.create_key("spy", team="red", agents=("spy",)).secret,
            "blue": ledger.create_key("blue", team="blue").secret,
            "nobody": "hk-nobody",
        }
        running.run(running.house.refresh())
        agency, pusher, live = running.run(take_up(running, folder))
        yield Reached(house=running, agency=agency, pusher=pusher, keys=keys, folder=folder)

        async def stop() -> None:
            live.cancel()
            await asyncio.gather(live, *agency.tasks, return_exceptions=True)

        running.run(stop())


@dataclass(frozen=True, kw_only=True)
class Hook:
    """A server that pushes come to. `statuses` are what it answers first; afterwards 200."""

    url: str
    heard: list[tuple[dict[str, str], Any]]
    statuses: list[int]

    def states(self) -> list[str]:
        return [body["task"]["status"]["state"] for _, body in self.heard]

    def wait(self, state: str) -> None:
        wait_until(lambda: self.heard and self.states()[-1] == state)


@pytest.fixture
def hook() -> Iterator[Hook]:
    heard: list[tuple[dict[str, str], Any]] = []
    statuses: list[int] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            heard.append(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(statuses.pop(0) if statuses else 200)
            self.send_header("location", "http://127.0.0.1:1/elsewhere")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield Hook(url=f"http://hook.example:{server.server_port}/told", heard=heard, statuses=statuses)
        server.shutdown()
        thread.join()
