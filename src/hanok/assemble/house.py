"""The house: what runs, and how those of its parts are made from the spec that may change while it runs."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from hanok.assemble.config import Config
from hanok.gateway import (
    Access,
    Admin,
    Desk,
    Door,
    Giving,
    HttpServer,
    ModelCard,
    Reception,
    Replays,
    Route,
    Routed,
)
from hanok.gateway.fleet_view import fleet_form
from hanok.ledger import Admission, Allotment, Holder, Key, KeyRing, Ledger, Metered, Offer, PriceList
from hanok.ledger.load import load_known_rates
from hanok.ledger.metered import Watcher
from hanok.serving import Fleet, Roster
from hanok.spec import Loaded, Model, Platform, Telemetry
from hanok.telemetry import CONTENT_LIMIT_BYTES, Exporter, Metrics, TraceStart, continue_trace, hand_on
from hanok.telemetry.providers import provider_name

MIB = 1024 * 1024


@dataclass(kw_only=True)
class House:
    """Everything that runs: the model path, its books and its fleet, and the door in front.

    `providers` is the provider of each endpoint, by its name; `servers` are those that let calls in at the door;
    `started` is in Unix seconds.
    """

    config: Config
    models: Metered
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
    servers: list[HttpServer]
    refreshing: asyncio.Lock
    started: int

    @property
    def loaded(self) -> Loaded:
        """The platform that runs now."""
        return self.config.loaded

    async def refresh(self) -> None:
        """Read the ledger's keys and allotments anew, beside the event loop. Raises `StoreError`."""
        async with self.refreshing:
            keys = await asyncio.to_thread(self.ledger.list_keys)
            self.know(keys, await asyncio.to_thread(self.ledger.allotments))

    def take_up_keys(self) -> None:
        """Read the ledger's keys and allotments anew. Raises `StoreError`."""
        self.know(self.ledger.list_keys(), self.ledger.allotments())

    def know(self, keys: list[Key], allotments: dict[tuple[str, str], Allotment]) -> None:
        """Go on with these keys, and these limits of runs."""
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


def price_list(models: Iterable[Model]) -> PriceList:
    """The rates of these models."""
    models = list(models)
    needed = any(model.price is None and _may_have_known_price(model) for model in models)
    return PriceList.of(models, load_known_rates() if needed else {})


def offers(models: Iterable[Model]) -> dict[str, Offer]:
    """What admission knows of these models."""
    return {
        model.name: Offer(
            max_output_tokens=model.max_output_tokens, instead=tuple(model.fallbacks.budget), type=model.type
        )
        for model in models
    }


def routes(platform: Platform) -> dict[str, Route]:
    """The route of every declared model."""
    return {model.name: Route.of(model) for model in platform.models}


def weights(platform: Platform) -> dict[str, float]:
    """Every team's share of queues."""
    return {team.name: team.weight for team in platform.teams}


def cards(platform: Platform, created: int) -> list[ModelCard]:
    """The models as callers see them. `created` is Unix seconds."""
    return [ModelCard(id=model.name, type=model.type, created=created) for model in platform.models]


def desks(house: House, platform: Platform) -> list[Desk]:
    """Who answers at the door, besides the door itself."""
    made: list[Desk | None] = [_admin(house, platform)]
    return [desk for desk in made if desk is not None]


def _admin(house: House, platform: Platform) -> Admin | None:
    """The admin API, where there is a key for it."""
    key = platform.gateway.admin_key
    if key is None:
        return None
    return Admin(
        key.get_secret_value(),
        ledger=house.ledger,
        admission=house.admission,
        platform=lambda: house.loaded.platform,
        changed=house.refresh,
        configuration=house.config,
        fleet=lambda: fleet_form(
            house.fleet.endpoints,
            {model.name: model.routing.policy for model in house.loaded.platform.models},
            now=time.monotonic(),
        ),
    )


def let_in(house: House, platform: Platform) -> None:
    """Let calls in by this platform's models, teams and users, to its desks, from the next call on."""
    house.reception.change(
        access=Access(platform),
        cards=cards(platform, house.started),
        trace=tracing(platform.telemetry),
        told_headers={rule.name for model in platform.models for rule in model.routing.headers},
    )
    house.giving.keep_alive_s = platform.gateway.keep_alive_s
    house.replays.change(retries=platform.gateway.replay_retries)
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
    return any(endpoint.engine in ("openai", "litellm") for endpoint in model.serve)
