"""Spec in, running house out: the only file that knows every room.

    Metered(ledger) → Routed(gateway) → engines(serving)

The HTTP door, the CLI's own questions, and later agents and evaluations hold the same outer object, `House.models`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import socket
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from hanok.errors import StartError, StoreError
from hanok.gateway import Access, Admin, Door, HttpServer, ModelCard, Replays, Route, Routed, Runs
from hanok.ledger import (
    Admission,
    Holder,
    HolderFile,
    KeyRing,
    Ledger,
    Metered,
    Offer,
    Policies,
    PriceList,
    left_holders,
)
from hanok.ledger.load import load_known_rates
from hanok.ledger.stores.redis import RedisAccounts
from hanok.routing import order_of_models
from hanok.serving import Endpoint, EngineProcess, Fleet, Launch, make_endpoint, watch
from hanok.spec import Loaded, Model, Platform, Telemetry
from hanok.telemetry import (
    CONTENT_LIMIT_BYTES,
    Exporter,
    Metrics,
    TraceStart,
    continue_trace,
    hand_on,
    provider_names,
)

KEYS_EVERY_S = 1.0
HOLDERS = "holders"
_MIB = 1024 * 1024
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class House:
    """Everything that runs: the model path, its books and its fleet, and the door in front."""

    loaded: Loaded
    models: Metered
    admission: Admission
    ledger: Ledger
    keys: KeyRing
    fleet: Fleet
    metrics: Metrics
    exporter: Exporter | None
    holder: Holder | None
    door: Door

    def take_up_keys(self) -> None:
        """Read the ledger's keys and allotments anew. Raises `StoreError`."""
        _take_up_keys(self.ledger, self.keys, self.admission)


@dataclass(frozen=True, kw_only=True)
class Crew:
    """What a worker, one of several processes behind one address, knows of the others.

    Engine processes are not its own: it finds them at `ports`. `metrics` gives everyone's, in Prometheus' text format;
    `about` is what `/health/ready` says of the workers.
    """

    ports: Mapping[str, int]
    metrics: Callable[[], Awaitable[bytes]]
    about: Callable[[], Mapping[str, Any]]


def plan(loaded: Loaded, *, ports: Mapping[str, int] | None = None) -> list[tuple[Endpoint, Launch | None]]:
    """Every endpoint of the platform, nothing started; `ports` of engine processes that somebody else starts.

    Raises `StartError` naming all that is missing.
    """
    planned: list[tuple[Endpoint, Launch | None]] = []
    missing: list[StartError] = []
    for model in loaded.platform.models:
        for index in range(len(model.serve)):
            try:
                planned.append(make_endpoint(loaded, model, index, ports=ports))
            except StartError as error:
                missing.append(error)
    if len(missing) == 1:
        raise missing[0]
    if missing:
        hints = "; ".join(dict.fromkeys(error.hint for error in missing if error.hint))
        raise StartError("\n".join(error.message for error in missing), hint=hints or None)
    return planned


def only(loaded: Loaded, model: str) -> Loaded:
    """The same platform with just this model and its fallbacks, for a single question."""
    fallbacks = {each.name: each.fallbacks.all() for each in loaded.platform.models}
    names = order_of_models(fallbacks, model)
    kept = [each for each in loaded.platform.models if each.name in names]
    return loaded.model_copy(update={"platform": loaded.platform.model_copy(update={"models": kept})})


def prices(loaded: Loaded) -> PriceList:
    """The rate of every declared model; LiteLLM's map is only read when a model may need it."""
    models = list(loaded.platform.models)
    needed = any(model.price is None and _may_have_known_price(model) for model in models)
    return PriceList.of(models, load_known_rates() if needed else {})


def http_server(house: House, host: str, port: int, *, listener: socket.socket | None = None) -> HttpServer:
    """A server that lets calls in at the house's door; on a bound `listener`, if there is one."""
    return HttpServer(
        house.door,
        host=host,
        port=port,
        body_limit=int(house.loaded.platform.gateway.body_limit_mib * _MIB),
        new_request_id=lambda: f"req_{random.getrandbits(96):024x}",
        listener=listener,
    )


@contextlib.asynccontextmanager
async def running(loaded: Loaded, *, crew: Crew | None = None) -> AsyncGenerator[House]:
    """Start the engines, the books and the watchers; stop them on the way out. One of a `crew` starts no engines.

    Raises `StartError` and `StoreError`. Engines come up in the background: `house.fleet` tells how they are.
    """
    planned = plan(loaded, ports=crew.ports if crew else None)
    ledger = Ledger.of(loaded)
    left = list(left_holders(loaded.state / HOLDERS))
    ledger.start()
    fleet = Fleet(endpoint for endpoint, _ in planned)
    house = _build(loaded, ledger, fleet, _holder(loaded, ledger, left), crew)
    processes = [
        EngineProcess(launch, endpoint, fleet, restarted=house.metrics.restarted)
        for endpoint, launch in planned
        if launch is not None and crew is None
    ]
    for process in processes:
        process.start()
    if house.exporter is not None:
        house.exporter.start()
    background = [
        asyncio.create_task(watch(fleet, every_s=loaded.platform.gateway.health_every_s), name="fleet-watch"),
        asyncio.create_task(_follow_keys(house), name="keys-watch"),
    ]
    if house.holder is not None:
        background.append(asyncio.create_task(house.holder.live(), name="shared-budgets"))
    try:
        yield house
    finally:
        for task in background:
            task.cancel()
        try:
            await asyncio.gather(*background, return_exceptions=True)
            await asyncio.gather(*(process.stop() for process in processes), return_exceptions=True)
            await asyncio.gather(*(each.engine.aclose() for each in fleet.endpoints), return_exceptions=True)
            if house.holder is not None:
                await house.holder.leave()
        finally:
            if house.exporter is not None:
                await asyncio.to_thread(house.exporter.close)
            await asyncio.to_thread(ledger.close)


@contextlib.asynccontextmanager
async def engines_running(loaded: Loaded, metrics: Metrics) -> AsyncGenerator[tuple[Fleet, dict[str, int]]]:
    """Only the engines, for a supervisor: the fleet, and the ports of the processes that are started.

    Raises `StartError`.
    """
    planned = plan(loaded)
    fleet = Fleet(endpoint for endpoint, _ in planned)
    launches = [(endpoint, launch) for endpoint, launch in planned if launch is not None]
    processes = [EngineProcess(launch, each, fleet, restarted=metrics.restarted) for each, launch in launches]
    for process in processes:
        process.start()
    watching = asyncio.create_task(watch(fleet, every_s=loaded.platform.gateway.health_every_s), name="fleet-watch")
    try:
        yield fleet, {endpoint.name: launch.port for endpoint, launch in launches}
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await asyncio.gather(*(process.stop() for process in processes), return_exceptions=True)
        await asyncio.gather(*(each.engine.aclose() for each in fleet.endpoints), return_exceptions=True)


def _build(loaded: Loaded, ledger: Ledger, fleet: Fleet, holder: Holder | None, crew: Crew | None) -> House:
    platform = loaded.platform
    metrics = Metrics()
    metrics.watch("hanok_endpoint_up", "1 when the endpoint is up.", ["model", "endpoint"], lambda: _up(fleet))
    metrics.watch(
        "hanok_endpoint_in_flight", "Calls running on the endpoint.", ["model", "endpoint"], lambda: _busy(fleet)
    )
    metrics.watch(
        "hanok_ledger_waiting_segments",
        "Journal segments that the ledger's database has not taken.",
        [],
        lambda: {(): float(ledger.pending())},
    )
    routed = Routed(
        fleet,
        {model.name: Route.of(model) for model in platform.models},
        weights={team.name: team.weight for team in platform.teams},
    )
    exporter = _exporter(platform)
    admission = Admission(
        Policies.of(platform),
        prices=prices(loaded),
        offers=_offers(platform),
        totals=ledger,
        wall=time.time,
        shares=None if holder is None else holder.shares,
    )
    models = Metered(
        routed,
        books=ledger,
        admission=admission,
        wall=time.time,
        monotonic=time.monotonic,
        watchers=[metrics.record] if exporter is None else [metrics.record, exporter.record],
        keep_bytes=CONTENT_LIMIT_BYTES * 4 if platform.telemetry.content else 0,
    )
    if exporter is not None:
        metrics.watch_exports(lambda: exporter.counts)
    metrics.watch("hanok_in_flight_requests", "Model calls running now.", [], lambda: {(): float(models.running)})
    keys = KeyRing(ledger.list_keys())

    def changed() -> None:
        _take_up_keys(ledger, keys, admission)

    admin_key = platform.gateway.admin_key
    admin = (
        Admin(
            admin_key.get_secret_value(),
            ledger=ledger,
            admission=admission,
            platform=lambda: loaded.platform,
            changed=changed,
        )
        if admin_key
        else None
    )
    door = Door(
        models,
        keys=keys,
        access=Access(platform),
        cards=[_card(model, int(time.time())) for model in platform.models],
        metrics=metrics,
        everyones_metrics=crew.metrics if crew else None,
        ready=_readiness(fleet, crew),
        runs=Runs(ledger=ledger, admission=admission, wall=time.time, changed=changed),
        admin=admin,
        trace=_tracing(platform.telemetry),
        wall=time.time,
        replays=Replays(retries=platform.gateway.replay_retries, monotonic=time.monotonic),
        keep_alive_s=platform.gateway.keep_alive_s,
    )
    return House(
        loaded=loaded,
        models=models,
        admission=admission,
        ledger=ledger,
        keys=keys,
        fleet=fleet,
        metrics=metrics,
        exporter=exporter,
        holder=holder,
        door=door,
    )


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


def _exporter(platform: Platform) -> Exporter | None:
    if not platform.telemetry.export:
        return None
    return Exporter(
        platform.telemetry,
        service=platform.name,
        providers=provider_names(platform.models),
        random_bits=random.getrandbits,
    )


def _tracing(telemetry: Telemetry) -> Callable[[bytes | None, bytes | None], TraceStart]:
    if not telemetry.export:
        return hand_on
    return partial(continue_trace, random_bits=random.getrandbits, sample=telemetry.sample)


def _take_up_keys(ledger: Ledger, keys: KeyRing, admission: Admission) -> None:
    found = ledger.list_keys()
    keys.replace(found)
    admission.know(found, ledger.allotments())


def _offers(platform: Platform) -> dict[str, Offer]:
    return {
        model.name: Offer(max_output_tokens=model.max_output_tokens, instead=tuple(model.fallbacks.budget))
        for model in platform.models
    }


async def _follow_keys(house: House) -> None:
    """Take up keys that another process made or revoked."""
    seen = -1
    while True:
        try:
            if (version := house.ledger.version()) != seen:
                house.take_up_keys()
                seen = version
            house.admission.forget()
        except StoreError:
            _log.exception("the keys cannot be read; trying again")
        await asyncio.sleep(KEYS_EVERY_S)


def _card(model: Model, created: int) -> ModelCard:
    return ModelCard(id=model.name, type=model.type, created=created)


def _readiness(fleet: Fleet, crew: Crew | None) -> Callable[[], tuple[bool, Mapping[str, Any]]]:
    def ready() -> tuple[bool, Mapping[str, Any]]:
        about: Mapping[str, Any] = crew.about() if crew else {}
        states = {each.name: each.state for each in fleet.endpoints}
        settled = "starting" not in states.values()
        return settled and "up" in states.values(), {"endpoints": states, **about}

    return ready


def _up(fleet: Fleet) -> dict[tuple[str, ...], float]:
    return {(each.model, each.name): float(each.state == "up") for each in fleet.endpoints}


def _busy(fleet: Fleet) -> dict[tuple[str, ...], float]:
    return {(each.model, each.name): float(each.in_flight) for each in fleet.endpoints}


def _may_have_known_price(model: Model) -> bool:
    return any(endpoint.engine in ("openai", "litellm") for endpoint in model.serve)
