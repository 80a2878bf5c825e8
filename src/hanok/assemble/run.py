"""Starting and stopping the house, and what runs beside calls."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import socket
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial

from hanok.assemble.build import build_house
from hanok.assemble.change import Changes
from hanok.assemble.house import MIB, Crew, House, let_in, providers
from hanok.assemble.knowledge import Upkeep
from hanok.assemble.scaling import Scaling, refuse_scaled
from hanok.errors import StoreError
from hanok.gateway import HttpServer
from hanok.ledger import Holder, HolderFile, Ledger, Policies, left_holders
from hanok.ledger.stores.redis import RedisAccounts
from hanok.routing import order_of_models
from hanok.serving import Endpoint, Fleet, Launch, Roster, declared_openings, make_posts
from hanok.spec import Loaded, Model
from hanok.telemetry import Metrics

KEYS_EVERY_S = 0.25
FORGET_EVERY_S = 60.0
REST_S = 5.0
HOLDERS = "holders"
_log = logging.getLogger(__name__)


def plan(loaded: Loaded) -> list[tuple[Endpoint, Launch | None]]:
    """Every endpoint of the platform, nothing started. Raises `StartError` naming all that is missing."""
    return [(post.endpoint, post.launch) for post in make_posts(loaded, declared_openings(loaded))]


def only(loaded: Loaded, *models: str) -> Loaded:
    """The same platform with just these models and their fallbacks, for a single question: it does not follow changes.

    Where one is a name whose model is picked, with all models that it names, and their fallbacks.
    """
    fallbacks = {each.name: each.fallbacks.all() for each in loaded.platform.models}
    tiers = [auto for auto in loaded.platform.tiers if auto.name in models]
    asked = {name for name in models if name in fallbacks} | {name for auto in tiers for name in auto.models()}
    names = {name for each in asked for name in order_of_models(fallbacks, each)}
    kept = [_comparing_nothing(each) for each in loaded.platform.models if each.name in names]
    gateway = loaded.platform.gateway.model_copy(update={"reload": False})
    update = {"models": kept, "tiers": tiers, "gateway": gateway}
    return replace(loaded, platform=loaded.platform.model_copy(update=update))


def _comparing_nothing(model: Model) -> Model:
    """Questions are compared with those that a process remembers, and one for a single question has none."""
    if model.cache is None or model.cache.semantic is None:
        return model
    return model.model_copy(update={"cache": model.cache.model_copy(update={"semantic": None})})


def http_server(house: House, host: str, port: int, *, listener: socket.socket | None = None) -> HttpServer:
    """A server that lets calls in at the house's door; on a bound `listener`, if there is one."""
    server = HttpServer(
        house.door,
        host=host,
        port=port,
        body_limit=int(house.loaded.platform.gateway.body_limit_mib * MIB),
        new_request_id=lambda: f"req_{random.getrandbits(96):024x}",
        listener=listener,
    )
    house.servers.append(server)
    return server


@contextlib.asynccontextmanager
async def running(loaded: Loaded, *, crew: Crew | None = None) -> AsyncGenerator[House]:
    """Start the engines, the books and the watchers; stop them on the way out. One of a `crew` starts no engines.

    Raises `StartError` and `StoreError`. Engines come up in the background: `house.fleet` tells how they are.
    """
    metrics = Metrics()
    roster = Roster(Fleet(), restarted=metrics.restarted, ports=crew.ports if crew else None)
    exchange = roster.compare(loaded)
    made = make_posts(loaded, exchange.openings, ports=roster.ports)
    ledger = Ledger.of(loaded)
    left = list(left_holders(loaded.state / HOLDERS))
    ledger.start()
    holder = _holder(loaded, ledger, left)
    house = build_house(loaded, ledger=ledger, roster=roster, metrics=metrics, holder=holder, crew=crew)
    roster.apply(exchange, made)
    house.providers |= providers(roster)
    if house.exporter is not None:
        house.exporter.start()
    await house.wing.take_up(loaded)
    let_in(house, loaded.platform)
    changes = Changes(house)
    scaling = Scaling(house, scale=changes.scale, monotonic=time.monotonic)
    house.config.take_up = changes.take_up
    background = _begin_background(house, scaling)
    try:
        yield house
    finally:
        for task in background:
            task.cancel()
        try:
            await asyncio.gather(*background, return_exceptions=True)
            await _leave(house, changes)
        finally:
            await _close_books(house)


def _begin_background(house: House, scaling: Scaling) -> list[asyncio.Task[None]]:
    """All that is done beside calls for as long as the house runs."""
    lives: dict[str, Callable[[], Awaitable[None]]] = {
        "endpoints-relieve": house.roster.relieve,
        "scaling": scaling.live,
        "keys-watch": partial(_follow_keys, house),
        "config-watch": house.config.follow,
        "tiers-learn": house.tiered.learn,
        "batches": house.ordered.runner.live,
        "vector-stores": house.stacks.filler.live,
        "knowledge": _upkeep(house).live,
        "agents": house.wing.live,
        "a2a-pushes": house.a2a.live,
    }
    if house.holder is not None:
        lives["shared-budgets"] = house.holder.live
    return [keep_going(name, live) for name, live in lives.items()]


async def _leave(house: House, changes: Changes) -> None:
    """End what may still ask models, then the engines, then what answers were kept in."""
    await house.ordered.runner.close()
    await house.a2a.aclose()
    await house.wing.aclose()
    await house.roster.close()
    await changes.close()
    await house.caches.store.aclose()
    await house.stacks.close()
    await house.library.store.aclose()
    if house.holder is not None:
        await house.holder.leave()


async def _close_books(house: House) -> None:
    """Write what is still to be written: spans, responses, charges."""
    if house.exporter is not None:
        await asyncio.to_thread(house.exporter.close)
    await asyncio.to_thread(house.responses.close)
    await asyncio.to_thread(house.ledger.close)


def keep_going(name: str, live: Callable[[], Awaitable[None]], *, rest_s: float = REST_S) -> asyncio.Task[None]:
    """Do what is done for ever. What nobody foresaw is logged, and after a rest it goes on."""

    async def go_on() -> None:
        while True:
            try:
                return await live()
            except Exception:  # noqa: BLE001 - the house lives longer than any fault of what runs beside calls
                _log.exception("%s met an error; going on", name)
            await asyncio.sleep(rest_s)

    return asyncio.create_task(go_on(), name=name)


@contextlib.asynccontextmanager
async def engines_running(loaded: Loaded, metrics: Metrics) -> AsyncGenerator[tuple[Fleet, dict[str, int]]]:
    """Only the engines, for a supervisor: the fleet, and the ports of the processes that are started.

    Raises `StartError`.
    """
    refuse_scaled(loaded)
    roster = Roster(Fleet(), restarted=metrics.restarted)
    exchange = roster.compare(loaded)
    made = make_posts(loaded, exchange.openings)
    roster.apply(exchange, made)
    try:
        yield roster.fleet, {post.endpoint.name: post.launch.port for post in made if post.launch is not None}
    finally:
        await roster.close()


def _holder(loaded: Loaded, ledger: Ledger, left: Sequence[HolderFile]) -> Holder | None:
    """This process among those that share budgets, where a place to agree is declared."""
    url = loaded.platform.ledger.redis
    if url is None:
        return None
    return Holder(
        lambda name: RedisAccounts(url.get_secret_value(), platform=loaded.platform.name, holder=name),
        name=f"{socket.gethostname()}-{os.getpid()}-{random.getrandbits(64):016x}",
        folder=loaded.state / HOLDERS,
        left=left,
        ledger=ledger,
        policies=Policies.of(loaded.platform),
    )


def _upkeep(house: House) -> Upkeep:
    return Upkeep(loaded=lambda: house.loaded, models=house.tiered, serves=lambda: bool(house.servers))


async def _follow_keys(house: House) -> None:
    """Take up keys that another process made or revoked."""
    seen = -1
    forgetting = time.monotonic() + FORGET_EVERY_S
    while True:
        try:
            if (version := await asyncio.to_thread(house.ledger.version)) != seen:
                await house.refresh()
                seen = version
            if time.monotonic() > forgetting:
                house.admission.forget()
                forgetting = time.monotonic() + FORGET_EVERY_S
        except StoreError:
            _log.exception("the keys cannot be read; trying again")
        await asyncio.sleep(KEYS_EVERY_S)
