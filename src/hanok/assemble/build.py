"""The house is put together: every part made once and handed to those that need it. Nothing is started."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

from hanok.assemble.a2a import A2aWing
from hanok.assemble.agents import Wing, new_id
from hanok.assemble.config import Config
from hanok.assemble.gauges import watch_fleet
from hanok.assemble.house import (
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
    response_store,
    routes,
    tracing,
    watch_caches,
    watchers,
    weights,
)
from hanok.assemble.knowledge import watch_knowledge
from hanok.assemble.library import make_library
from hanok.assemble.vector_stores import make_stacks
from hanok.caches import Cached, Semantics, rules_of
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
from hanok.ledger import Admission, Holder, KeyRing, Ledger, Metered, Policies
from hanok.serving import Fleet, Roster
from hanok.spec import Loaded, Platform
from hanok.telemetry import Exporter, Metrics


def build_house(
    loaded: Loaded, *, ledger: Ledger, roster: Roster, metrics: Metrics, holder: Holder | None, crew: Crew | None
) -> House:
    """The house for this platform. Raises `StartError`."""
    platform, fleet = loaded.platform, roster.fleet
    config = Config(loaded, metrics=metrics, wall=time.time)
    by_endpoint: dict[str, str] = {}
    exporter = make_exporter(platform, by_endpoint)
    routed = Routed(fleet, routes(platform), weights=weights(platform))
    admission = _make_admission(loaded, ledger, holder)
    routed.affords = admission.affords
    caches = _make_caches(platform, routed, roster)
    models = _make_metered(platform, caches, ledger=ledger, admission=admission, metrics=metrics, exporter=exporter)
    caches.semantics.models = models
    tiered = Tiered(models, failed=metrics.classifier_failed)
    library = make_library(loaded, tiered)
    informed = Informed(tiered, library)
    delegated = Delegated(informed, new_id=new_id)
    keys = KeyRing(ledger.list_keys())
    started = int(time.time())
    reception = Reception(
        keys=keys, access=Access(platform), cards=cards(platform, started), trace=tracing(platform.telemetry)
    )
    servers: list[HttpServer] = []
    ordered = make_ordered(
        loaded,
        LineAsker(delegated, reception=reception, keys=keys, wall=time.time),
        serves=lambda: bool(servers),
        waiting=routed.waiting,
        forget=lambda file_id, owner: house.stacks.keeping.forget(file_id, owner),
    )
    giving = Giving(delegated, wall=time.time, keep_alive_s=platform.gateway.keep_alive_s)
    replays = Replays(retries=platform.gateway.replay_retries, monotonic=time.monotonic)
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
    _watch(house)
    return house


def _make_admission(loaded: Loaded, ledger: Ledger, holder: Holder | None) -> Admission:
    return Admission(
        Policies.of(loaded.platform),
        prices=prices(loaded),
        offers=offers(loaded.platform.models),
        totals=ledger,
        wall=time.time,
        shares=None if holder is None else holder.shares,
    )


def _make_caches(platform: Platform, routed: Routed, roster: Roster) -> Cached:
    return Cached(
        routed,
        rules=rules_of(platform),
        store=make_store(platform),
        semantics=Semantics(),
        wall=time.time,
        is_declared=roster.is_declared,
    )


def _make_metered(
    platform: Platform,
    caches: Cached,
    *,
    ledger: Ledger,
    admission: Admission,
    metrics: Metrics,
    exporter: Exporter | None,
) -> Metered:
    return Metered(
        caches,
        books=ledger,
        admission=admission,
        wall=time.time,
        monotonic=time.monotonic,
        watchers=watchers(metrics, exporter),
        keep_bytes=kept_bytes(platform.telemetry),
    )


def _watch(house: House) -> None:
    """Have `/metrics` show how it goes in the house."""
    metrics = house.metrics
    watch_fleet(metrics, house.fleet)
    metrics.watch(
        "hanok_ledger_waiting_segments",
        "Journal segments that the ledger's database has not taken.",
        [],
        lambda: {(): float(house.ledger.pending())},
    )
    watch_caches(metrics, house.caches)
    watch_knowledge(metrics, lambda: house.loaded)
    metrics.watch("hanok_in_flight_requests", "Model calls running now.", [], lambda: {(): float(house.models.running)})
    metrics.watch(
        "hanok_waiting_requests",
        "Calls that wait for a slot of a full model.",
        ["model"],
        lambda: {(model,): float(count) for model, count in house.routed.waiting().items()},
    )
    runner = house.ordered.runner
    metrics.watch("hanok_batch_lines", "Lines of batches in hand, by state.", ["state"], runner.lines)
    metrics.watch_lines(lambda: runner.ended)
    metrics.watch_exports(lambda: house.exporter.counts if house.exporter else {})


def _readiness(fleet: Fleet, config: Config, crew: Crew | None) -> Callable[[], tuple[bool, Mapping[str, Any]]]:
    def ready() -> tuple[bool, Mapping[str, Any]]:
        states = {each.name: each.state for each in fleet.endpoints}
        about: Mapping[str, Any] = crew.about() if crew else {}
        serves = "up" in states.values() or any(fleet.is_asleep(model) for model in fleet.replicas)
        return fleet.settled and serves, {"endpoints": states, "config": config.standing(), **about}

    return ready
