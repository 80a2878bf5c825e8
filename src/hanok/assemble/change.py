"""Taking up another platform while the house runs: first all that may fail is made, then everything changes at once.

Between the first and the last line of `_apply` nothing is awaited, so no call ever meets half of a change.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from hanok.assemble import house as parts
from hanok.assemble.config import Taken
from hanok.assemble.differences import at_next_start, differences, fixed
from hanok.assemble.house import MIB, House
from hanok.assemble.scaling import refuse_scaled
from hanok.caches import Rule, Store, load_numpy, rules_of
from hanok.errors import StartError
from hanok.ledger import Policies, PriceList
from hanok.serving import LAUNCHED, Exchange, Post, make_posts
from hanok.spec import Loaded, Model, Platform
from hanok.telemetry import Exporter


@dataclass(frozen=True, kw_only=True)
class _Prepared:
    """What is made before anything changes."""

    exchange: Exchange
    made: list[Post]
    prices: PriceList
    exporter: Exporter | None
    rules: Mapping[str, Rule]
    store: Store


class Changes:
    """Takes up one platform after another. Models that are gone are remembered: calls of theirs may still run."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._models: dict[str, Model] = {model.name: model for model in house.loaded.platform.models}
        self._closing: set[asyncio.Task[None]] = set()

    async def take_up(self, declared: Loaded) -> Taken:
        """Change to the declared platform, all of it or nothing. Raises `StartError`."""
        house = self._house
        before = house.loaded
        loaded = fixed(before, declared)
        self._models |= {model.name: model for model in (*before.platform.models, *loaded.platform.models)}
        async with house.roster.changing:
            exchange = house.roster.compare(loaded)
            prepared = await asyncio.to_thread(_prepare, house, exchange, self._models.values())
            await house.wing.take_up(loaded)
            self._apply(prepared)
        return Taken(
            loaded=loaded,
            changes=differences(before.platform, loaded.platform),
            at_next_start=at_next_start(before, declared),
        )

    async def scale(self, counts: Mapping[str, int]) -> None:
        """Have so many replicas of these models from now on. Raises `StartError`."""
        house = self._house
        async with house.roster.changing:
            exchange = house.roster.compare(house.loaded, counts)
            prepared = await asyncio.to_thread(_prepare, house, exchange, self._models.values())
            self._apply(prepared)

    async def close(self) -> None:
        """Wait for what is being closed."""
        await asyncio.gather(*self._closing, return_exceptions=True)

    def _apply(self, prepared: _Prepared) -> None:
        house, platform = self._house, prepared.exchange.loaded.platform
        house.roster.apply(prepared.exchange, prepared.made)
        house.routed.change(parts.routes(platform), parts.weights(platform))
        house.admission.change(Policies.of(platform), prepared.prices, parts.offers(self._models.values()))
        self._exchange_store(prepared, platform)
        self._exchange_exporter(prepared.exporter, platform)
        house.wing.change(prepared.exchange.loaded)
        parts.let_in(house, platform)
        for server in house.servers:
            server.change(body_limit=int(platform.gateway.body_limit_mib * MIB))

    def _exchange_store(self, prepared: _Prepared, platform: Platform) -> None:
        """Answers under way are still kept in the old one, where nobody looks for them."""
        caches, old = self._house.caches, self._house.caches.store
        caches.change(prepared.rules, prepared.store)
        if prepared.store is old:
            caches.fit(most_bytes=int(platform.cache.max_mib * MIB))
        else:
            self._close(old.aclose())

    def _exchange_exporter(self, exporter: Exporter | None, platform: Platform) -> None:
        """Calls that end from now on are told to the new one; the old one sends what it has, beside us."""
        house, old = self._house, self._house.exporter
        house.providers |= parts.providers(house.roster)
        if exporter is old:
            return
        if exporter is not None:
            exporter.start()
        house.exporter = exporter
        house.models.watchers = parts.watchers(house.metrics, exporter)
        house.models.keep_bytes = parts.kept_bytes(platform.telemetry)
        if old is not None:
            self._close(asyncio.to_thread(old.close))

    def _close(self, closing: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(closing)
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


def _prepare(house: House, exchange: Exchange, models: Iterable[Model]) -> _Prepared:
    """Make all that may fail, or takes a while. Runs in a thread. Raises `StartError`."""
    platform = exchange.loaded.platform
    if house.roster.ports is not None:
        _refuse_processes(exchange)
        refuse_scaled(exchange.loaded)
    exporter = house.exporter
    if platform.telemetry != house.loaded.platform.telemetry:
        exporter = parts.make_exporter(platform, house.providers)
    rules = rules_of(platform)
    if any(rule.semantic for rule in rules.values()):
        load_numpy()
    return _Prepared(
        exchange=exchange,
        made=make_posts(exchange.loaded, exchange.openings, ports=house.roster.ports),
        prices=parts.price_list(models, exchange.specs()),
        exporter=exporter,
        rules=rules,
        store=_store(house, platform),
    )


def _store(house: House, platform: Platform) -> Store:
    """The store that there is, unless another is declared. Raises `StartError`."""
    before = house.loaded.platform
    same = (before.cache.store, before.cache.redis) == (platform.cache.store, platform.cache.redis)
    return house.caches.store if same else parts.make_store(platform)


def _refuse_processes(exchange: Exchange) -> None:
    """Workers start no engine processes, and those that run serve what they were started for. Raises `StartError`."""
    for opening in exchange.openings:
        if opening.spec.engine in LAUNCHED:
            message = f"the model {opening.model.name!r} needs another engine process, which workers do not start"
            raise StartError(message, hint="start the platform anew, or use one worker")
