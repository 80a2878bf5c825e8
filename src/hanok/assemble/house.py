"""The house: what runs, and how those of its parts are made from the spec that may change while it runs."""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from hanok.assemble.a2a import A2aWing
from hanok.assemble.agents import Wing
from hanok.assemble.config import Config
from hanok.assemble.library import knowledge_desk
from hanok.assemble.vector_stores import Stacks
from hanok.batches import Asker, Folder, Intake, Runner, Shelf, Tables
from hanok.caches import Cached, Store, open_store
from hanok.gateway import (
    Access,
    Admin,
    Batches,
    Counting,
    Desk,
    Door,
    Files,
    Giving,
    HttpServer,
    Informed,
    MessagesDesk,
    ModelCard,
    Reception,
    Replays,
    ResponsesDesk,
    ResponseStore,
    Route,
    Routed,
    Tiered,
)
from hanok.gateway.access import AGENT, KNOWLEDGE
from hanok.gateway.agents import Delegated
from hanok.gateway.fleet_view import fleet_form
from hanok.knowledge.library import Library
from hanok.ledger import Admission, Allotment, Holder, Key, KeyRing, Ledger, Metered, Offer, PriceList
from hanok.ledger.load import load_known_rates
from hanok.ledger.metered import Watcher
from hanok.serving import Fleet, Roster
from hanok.spec import Endpoint, Loaded, Model, Platform, Telemetry
from hanok.telemetry import CONTENT_LIMIT_BYTES, Deed, Exporter, Metrics, TraceStart, continue_trace, hand_on
from hanok.telemetry.providers import provider_name

MIB = 1024 * 1024
DAY_S = 86_400.0
GIB = 1024 * MIB


@dataclass(frozen=True, kw_only=True)
class Ordered:
    """Files and batches: where they are kept, ordered, and run."""

    shelf: Shelf
    intake: Intake
    runner: Runner


@dataclass(kw_only=True)
class House:
    """Everything that runs: the model path, its books and its fleet, and the door in front.

    `providers` is the provider of each endpoint, by its name; `servers` are those that let calls in at the door;
    `started` is in Unix seconds.
    """

    config: Config
    models: Metered
    caches: Cached
    tiered: Tiered
    routed: Routed
    admission: Admission
    ledger: Ledger
    keys: KeyRing
    fleet: Fleet
    roster: Roster
    metrics: Metrics
    exporter: Exporter | None
    holder: Holder | None
    providers: dict[str, str]
    reception: Reception
    giving: Giving
    door: Door
    replays: Replays
    responses: ResponseStore
    ordered: Ordered
    library: Library
    stacks: Stacks
    informed: Informed
    wing: Wing
    delegated: Delegated
    a2a: A2aWing
    servers: list[HttpServer]
    refreshing: asyncio.Lock
    started: int
    readings: int = 0
    """How often keys and allotments were read."""

    @property
    def loaded(self) -> Loaded:
        """The platform that runs now."""
        return self.config.loaded

    async def refresh(self) -> None:
        """Read the ledger's keys and allotments anew, beside the event loop. Raises `StoreError`."""
        async with self.refreshing:
            while True:
                known = self.readings
                keys = await asyncio.to_thread(self.ledger.list_keys)
                allotments = await asyncio.to_thread(self.ledger.allotments)
                if self.readings == known:  # else somebody has read later than we began to
                    break
            self.know(keys, allotments)

    def tell(self, deed: Deed) -> None:
        """Export what an agent did, or what was searched for, where spans are exported now."""
        if self.exporter is not None:
            self.exporter.tell(deed)

    def take_up_keys(self) -> None:
        """Read the ledger's keys and allotments anew. Raises `StoreError`."""
        self.know(self.ledger.list_keys(), self.ledger.allotments())

    def know(self, keys: list[Key], allotments: dict[tuple[str, str], Allotment]) -> None:
        """Go on with these keys, and these limits of runs."""
        self.readings += 1
        self.keys.replace(keys)
        self.admission.know(keys, allotments)


@dataclass(frozen=True, kw_only=True)
class Crew:
    """What a worker, one of several processes behind one address, knows of the others.

    Engine processes are not its own: it finds them at `ports`. `metrics` gives everyone's, in Prometheus' text format;
    `about` is what `/health/ready` says of the workers.
    """

    ports: Mapping[str, int]
    metrics: Callable[[], Awaitable[bytes]]
    about: Callable[[], Mapping[str, Any]]


def prices(loaded: Loaded) -> PriceList:
    """The rate of every declared model; LiteLLM's map is only read when a model may need it."""
    return price_list(loaded.platform.models)


def price_list(models: Iterable[Model], endpoints: Mapping[str, Endpoint] | None = None) -> PriceList:
    """The rates of these models and of their `endpoints`, by their names; by default as they are called at start."""
    models = list(models)
    needed = any(model.price is None and _may_have_known_price(model) for model in models)
    at = None if endpoints is None else {name: endpoint.price for name, endpoint in endpoints.items()}
    return PriceList.of(models, load_known_rates() if needed else {}, at)


def offers(models: Iterable[Model]) -> dict[str, Offer]:
    """What admission knows of these models."""
    return {
        model.name: Offer(
            max_output_tokens=model.max_output_tokens, instead=tuple(model.fallbacks.budget), type=model.type
        )
        for model in models
    }


def make_store(platform: Platform) -> Store:
    """The store of answers that is declared. Raises `StartError`."""
    return open_store(platform, wall=time.time)


def watch_caches(metrics: Metrics, caches: Cached) -> None:
    """Have what the caches do told by the metrics."""
    metrics.watch_counts(
        "hanok_cache_lookups",
        "Calls looked for in the cache of answers: hit, semantic, miss.",
        ["model", "result"],
        lambda: {
            (model, how): float(count) for model, each in caches.counts.items() for how, count in each.found.items()
        },
    )
    metrics.watch_counts(
        "hanok_cache_kept",
        "Answers that the cache was given to keep.",
        ["model"],
        lambda: {(model,): float(each.kept) for model, each in caches.counts.items()},
    )
    metrics.watch(
        "hanok_cache_bytes",
        "Bytes of answers in this process's memory.",
        ["model"],
        lambda: {(model,): float(each.bytes) for model, each in caches.in_memory().items()},
    )


def routes(platform: Platform) -> dict[str, Route]:
    """The route of every declared model."""
    return {model.name: Route.of(model) for model in platform.models}


def weights(platform: Platform) -> dict[str, float]:
    """Every team's share of queues."""
    return {team.name: team.weight for team in platform.teams}


def cards(platform: Platform, created: int) -> list[ModelCard]:
    """The models as callers see them. `created` is Unix seconds."""
    models = [ModelCard(id=model.name, type=model.type, created=created) for model in platform.models]
    models += [ModelCard(id=auto.name, type="chat", created=created) for auto in platform.tiers]
    if not any(card.type == "chat" for card in models):
        return models
    asked = [f"{KNOWLEDGE}{base.name}" for base in platform.knowledge]
    asked += [f"{AGENT}{agent.name}" for agent in platform.agents]
    return models + [ModelCard(id=name, type="chat", created=created) for name in asked]


def desks(house: House, platform: Platform) -> list[Desk]:
    """Who answers at the door, besides the door itself."""
    made: list[Desk | None] = [_admin(house, platform), _messages(house), _responses(house), *_batch_desks(house)]
    asked = knowledge_desk(house.library, house.informed, giving=house.giving, reception=house.reception)
    made += [asked, house.stacks.desk, house.a2a.desk(platform, house.reception)]
    made += house.wing.desks(reception=house.reception, giving=house.giving, leaving=lambda: house.door.draining)
    return [desk for desk in made if desk is not None]


def _admin(house: House, platform: Platform) -> Admin | None:
    """The admin API, where there is a key for it."""
    key = platform.gateway.admin_key
    if key is None:
        return None
    return Admin(
        key.get_secret_value(),
        wall=time.time,
        ledger=house.ledger,
        admission=house.admission,
        platform=lambda: house.loaded.platform,
        changed=house.refresh,
        configuration=house.config,
        caches=house.caches,
        fleet=lambda: fleet_form(
            house.fleet,
            {model.name: model.routing.policy for model in house.loaded.platform.models},
            now=time.monotonic(),
        ),
    )


def _messages(house: House) -> MessagesDesk:
    """Anthropic's wire."""
    return MessagesDesk(reception=house.reception, giving=house.giving, count=Counting(house.fleet).count)


def _responses(house: House) -> ResponsesDesk:
    """OpenAI's newer wire."""
    return ResponsesDesk(
        reception=house.reception,
        giving=house.giving,
        count=Counting(house.fleet).count,
        store=house.responses,
        wall=time.time,
    )


def response_store(loaded: Loaded) -> ResponseStore:
    """Where answers of `/v1/responses` are kept; the file is made with the first of them."""
    kept = loaded.platform.gateway.responses
    return ResponseStore(
        loaded.state / "responses.db", keep_s=kept.keep_days * DAY_S, limit_bytes=int(kept.limit_mib * MIB)
    )


def _batch_desks(house: House) -> list[Desk]:
    """Files and batches."""
    ordered, reception = house.ordered, house.reception
    runner = ordered.runner
    forget = house.stacks.keeping.forget
    files = Files(ordered.shelf, reception=reception, settings=lambda: runner.settings, forget=forget)
    batches = Batches(
        ordered.intake,
        shelf=ordered.shelf,
        reception=reception,
        settings=lambda: runner.settings,
        starts_at=runner.starts_at,
    )
    return [files, batches]


def make_ordered(
    loaded: Loaded,
    asker: Asker,
    *,
    serves: Callable[[], bool],
    waiting: Callable[[], Mapping[str, int]],
    forget: Callable[[str, str], Awaitable[None]],
) -> Ordered:
    """Files and batches. `waiting` says how many calls wait for each model: those go before lines of batches.

    `forget` is told of a file (and its owner) that has expired.
    """
    tables, folder = Tables(loaded.state / "batches.db"), Folder(loaded.state, wall=time.time)
    runner = Runner(
        loaded.state,
        tables=tables,
        folder=folder,
        asker=asker,
        settings=loaded.platform.batches,
        line_limit=int(loaded.platform.gateway.body_limit_mib * MIB),
        serves=serves,
        gives_way=lambda model: waiting().get(model, 0) > 0,
        forget=forget,
        wall=time.time,
        monotonic=time.monotonic,
        random_hex=_random_hex,
    )
    shelf = Shelf(
        tables=tables,
        folder=folder,
        limit=lambda: int(runner.settings.tenant_limit_gib * GIB),
        wall=time.time,
        random_hex=_random_hex,
    )
    intake = Intake(tables=tables, folder=folder, asker=asker, wake=runner.wake, wall=time.time, random_hex=_random_hex)
    return Ordered(shelf=shelf, intake=intake, runner=runner)


def _random_hex(digits: int) -> str:
    return secrets.token_hex(digits // 2)


def let_in(house: House, platform: Platform) -> None:
    """Let calls in by this platform's models, teams and users, to its desks, from the next call on."""
    house.reception.change(
        access=Access(platform),
        cards=cards(platform, house.started),
        trace=tracing(platform.telemetry),
        told_headers={rule.name for model in platform.models for rule in model.routing.headers},
    )
    house.tiered.change(platform.tiers, platform.models, tracing(platform.telemetry))
    house.caches.semantics.trace = tracing(platform.telemetry)
    house.giving.keep_alive_s = platform.gateway.keep_alive_s
    house.ordered.runner.change(platform.batches, line_limit=int(platform.gateway.body_limit_mib * MIB))
    house.library.change(platform, tracing(platform.telemetry), house.tell)
    house.stacks.change(platform)
    house.informed.change(platform)
    house.wing.trace = tracing(platform.telemetry)
    house.delegated.change(platform, house.wing.agency)
    house.replays.change(retries=platform.gateway.replay_retries)
    kept = platform.gateway.responses
    house.responses.keep_s, house.responses.limit_bytes = kept.keep_days * DAY_S, int(kept.limit_mib * MIB)
    house.door.change(desks(house, platform))


def make_exporter(platform: Platform, providers: dict[str, str]) -> Exporter | None:
    """What exports spans, where anybody takes them; not started. Raises `StartError`."""
    if not platform.telemetry.export:
        return None
    return Exporter(platform.telemetry, service=platform.name, providers=providers, random_bits=random.getrandbits)


def providers(roster: Roster) -> dict[str, str]:
    """The provider of every endpoint, by its name."""
    return {name: provider_name(spec) for name, spec in roster.specs().items()}


def watchers(metrics: Metrics, exporter: Exporter | None) -> list[Watcher]:
    """Who is told of calls that ended."""
    return [metrics.record] if exporter is None else [metrics.record, exporter.record]


def tracing(telemetry: Telemetry) -> Callable[[bytes | None, bytes | None], TraceStart]:
    """How a call's trace begins."""
    if not telemetry.export:
        return hand_on
    return partial(continue_trace, random_bits=random.getrandbits, sample=telemetry.sample)


def kept_bytes(telemetry: Telemetry) -> int:
    """How much of each answer is kept for spans."""
    return CONTENT_LIMIT_BYTES * 4 if telemetry.content else 0


def _may_have_known_price(model: Model) -> bool:
    return any(endpoint.engine in ("openai", "litellm") and endpoint.price is None for endpoint in model.serve)
