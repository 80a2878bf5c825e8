"""Model servers on their usual ports of this machine, asked once what they serve."""

from __future__ import annotations

import asyncio

import msgspec

from hanok.errors import EngineError
from hanok.serving.client import Pool
from hanok.spec import Timeouts
from hanok.spec.starter import LOCAL_SERVERS, LocalServer

ANSWER_LIMIT_BYTES = 4 * 1024 * 1024
_QUICK = Timeouts(connect_s=0.3, first_byte_s=1.0, idle_s=1.0)


class _Model(msgspec.Struct):
    id: str


class _Models(msgspec.Struct):
    data: list[_Model]


async def discover() -> list[LocalServer]:
    """Every known local server that answers, with the models it lists."""
    found = await asyncio.gather(*(_ask(server) for server in LOCAL_SERVERS))
    return [server for server in found if server is not None]


async def list_models(pool: Pool) -> tuple[str, ...]:
    """The ids that an OpenAI-compatible server lists. Raises `EngineError`."""
    response = await pool.request("GET", "/models")
    body = await response.whole(ANSWER_LIMIT_BYTES)
    if response.status != 200:
        return ()
    try:
        return tuple(model.id for model in msgspec.json.decode(body, type=_Models).data)
    except msgspec.DecodeError:
        return ()


async def _ask(server: LocalServer) -> LocalServer | None:
    pool = Pool(server.url, timeouts=_QUICK)
    try:
        models = await list_models(pool)
    except EngineError:
        return None
    finally:
        pool.close()
    return LocalServer(title=server.title, url=server.url, models=models)
