"""Starting and stopping the house, and what runs beside calls."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import socket
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from hanok.assemble.a2a import A2aWing
from hanok.assemble.agents import Wing, new_id
from hanok.assemble.change import Changes
from hanok.assemble.config import Config
from hanok.assemble.gauges import watch_fleet
from hanok.assemble.house import (
    MIB,
    Crew,
    House,
    cards,
    kept_bytes,
    let_in,
    make_exporter,
    make_ordered,
    make_store,
    offers,
    prices,
    providers,
    response_store,
    routes,
    tracing,
    watch_caches,
    watchers,
    weights,
)
from hanok.assemble.knowledge import Upkeep, watch_knowledge
from hanok.assemble.library import make_library
from hanok.assemble.scaling import Scaling, refuse_scaled
from hanok.assemble.vector_stores import make_stacks
from hanok.caches import Cached, Semantics, rules_of
from hanok.errors import StoreError
from hanok.gateway import (
    Access,
    Door,
    Giving,
    HttpServer,
    Informed,
    LineAsker,
    Reception,
    Replays,
    Routed,
    Runs,
    Tiered,
)
from hanok.gateway.agents import Delegated
from hanok.ledger import Admission, Holder, HolderFile, KeyRing, Ledger, Metered, Policies, left_holders
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
    house = _build(loaded, ledger, roster, metrics, _holder(loaded, ledger, left), crew)
    roster.apply(exchange, made)
    house.providers |= providers(roster)
    if house.exporter is not None:
        house.exporter.start()
    await house.wing.take_up(loaded)
    let_in(house, loaded.platform)
    changes = Changes(house)
    scaling = Scaling(house, scale=changes.scale, monotonic=time.monotonic)
    house.config.take_up = changes.take_up
    background = [
        keep_going("endpoints-relieve", roster.relieve),
        keep_going("scaling", scaling.live),
        keep_going("keys-watch", partial(_follow_keys, house)),
        keep_going("config-watch", house.config.follow),
        keep_going("tiers-learn", house.tiered.learn),
        keep_going("batches", house.ordered.runner.live),
        keep_going("vector-stores", house.stacks.filler.live),
        keep_going("knowledge", _upkeep(house).live),
        keep_going("agents", house.wing.live),
        keep_going("a2a-pushes", house.a2a.live),
    ]
    if house.holder is not None:
        background.append(keep_going("shared-budgets", house.holder.live))
    try:
        yield house
    finally:
        for task in background:
            task.cancel()
        try:
            await asyncio.gather(*background, return_exceptions=True)
            await house.ordered.runner.close()
            await house.a2a.aclose()
            await house.wing.aclose()
            await roster.close()
            await changes.close()
            await house.caches.store.aclose()
            await house.stacks.close()
            await house.library.store.aclose()
            if house.holder is not None:
                await house.holder.leave()
        finally:
            if house.exporter is not None:
                await asyncio.to_thread(house.exporter.close)
            await asyncio.to_thread(house.responses.close)
            await asyncio.to_thread(ledger.close)


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


def _build(
    loaded: Loaded, ledger: Ledger, roster: Roster, metrics: Metrics, holder: Holder | None, crew: Crew | None
) -> House:
    platform, fleet = loaded.platform, roster.fleet
    config = Config(loaded, metrics=metrics, wall=time.time)
    watch_fleet(metrics, fleet)
    metrics.watch(
        "hanok_ledger_waiting_segments",
        "Journal segments that the ledger's database has not taken.",
        [],
        lambda: {(): float(ledger.pending())},
    )
    routed = Routed(fleet, routes(platform), weights=weights(platform))
    by_endpoint: dict[str, str] = {}
    exporter = make_exporter(platform, by_endpoint)
    admission = Admission(
        Policies.of(platform),
        prices=prices(loaded),
        offers=offers(platform.models),
        totals=ledger,
        wall=time.time,
        shares=None if holder is None else holder.shares,
    )
    routed.affords = admission.affords
    caches = Cached(
        routed,
        rules=rules_of(platform),
        store=make_store(platform),
        semantics=Semantics(),
        wall=time.time,
        is_declared=roster.is_declared,
    )
    models = Metered(
        caches,
        books=ledger,
        admission=admission,
        wall=time.time,
        monotonic=time.monotonic,
        watchers=watchers(metrics, exporter),
        keep_bytes=kept_bytes(platform.telemetry),
    )
    caches.semantics.models = models
    watch_caches(metrics, caches)
    watch_knowledge(metrics, lambda: config.loaded)
    metrics.watch("hanok_in_flight_requests", "Model calls running now.", [], lambda: {(): float(models.running)})
    metrics.watch(
        "hanok_waiting_requests",
        "Calls that wait for a slot of a full model.",
        ["model"],
        lambda: {(model,): float(count) for model, count in routed.waiting().items()},
    )
    keys = KeyRing(ledger.list_keys())
    started = int(time.time())
    replays = Replays(retries=platform.gateway.replay_retries, monotonic=time.monotonic)
    reception = Reception(
        keys=keys, access=Access(platform), cards=cards(platform, started), trace=tracing(platform.telemetry)
    )
    tiered = Tiered(models, failed=metrics.classifier_failed)
    library = make_library(loaded, tiered)
    informed = Informed(tiered, library)
    delegated = Delegated(informed, new_id=new_id)
    servers: list[HttpServer] = []
    ordered = make_ordered(
        loaded,
        LineAsker(delegated, reception=reception, keys=keys, wall=time.time),
        serves=lambda: bool(servers),
        waiting=routed.waiting,
        forget=lambda file_id, owner: house.stacks.keeping.forget(file_id, owner),
    )
    metrics.watch("hanok_batch_lines", "Lines of batches in hand, by state.", ["state"], ordered.runner.lines)
    metrics.watch_lines(lambda: ordered.runner.ended)
    giving = Giving(delegated, wall=time.time, keep_alive_s=platform.gateway.keep_alive_s)
    door = Door(
        reception=reception,
        giving=giving,
        metrics=metrics,
        everyones_metrics=crew.metrics if crew else None,
        ready=_readiness(fleet, config, crew),
        runs=Runs(ledger=ledger, admission=admission, wall=time.time),
        replays=replays,
    )
    wing = Wing(
        models=informed,
        library=library,
        admission=admission,
        keys=keys,
        serves=lambda: bool(servers),
        metrics=metrics,
        tell=lambda deed: house.tell(deed),
    )
    house = House(
        config=config,
        models=models,
        caches=caches,
        tiered=tiered,
        routed=routed,
        admission=admission,
        ledger=ledger,
        keys=keys,
        fleet=fleet,
        roster=roster,
        metrics=metrics,
        exporter=exporter,
        holder=holder,
        providers=by_endpoint,
        reception=reception,
        giving=giving,
        door=door,
        replays=replays,
        responses=response_store(loaded),
        ordered=ordered,
        library=library,
        stacks=make_stacks(
            loaded,
            library=library,
            shelf=ordered.shelf,
            reception=reception,
            keys=keys,
            models=tiered,
            serves=lambda: bool(servers),
        ),
        informed=informed,
        wing=wing,
        delegated=delegated,
        a2a=A2aWing(loaded, wing),
        servers=servers,
        refreshing=asyncio.Lock(),
        started=started,
    )
    let_in(house, platform)
    metrics.watch_exports(lambda: house.exporter.counts if house.exporter else {})
    return house


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


def _readiness(fleet: Fleet, config: Config, crew: Crew | None) -> Callable[[], tuple[bool, Mapping[str, Any]]]:
    def ready() -> tuple[bool, Mapping[str, Any]]:
        states = {each.name: each.state for each in fleet.endpoints}
        about: Mapping[str, Any] = crew.about() if crew else {}
        serves = "up" in states.values() or any(fleet.is_asleep(model) for model in fleet.replicas)
        return fleet.settled and serves, {"endpoints": states, "config": config.standing(), **about}

    return ready
