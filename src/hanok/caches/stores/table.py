"""From what `platform.yaml` says to a store: the one place that knows all of them."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from hanok.caches.store import Store
from hanok.caches.stores.memory import MemoryStore
from hanok.spec import Platform

MIB = 1024 * 1024


def open_store(platform: Platform, *, wall: Callable[[], float]) -> Store:
    """The store that is declared. Raises `StartError` when something it needs is not installed."""
    cache = platform.cache
    if cache.store == "memory":
        return MemoryStore(most_bytes=int(cache.max_mib * MIB), wall=wall)
    url = cache.redis or platform.ledger.redis
    assert url is not None  # spec.checks
    store = import_module("hanok.caches.stores.redis")
    return store.RedisStore(url.get_secret_value(), platform=platform.name, wall=wall)
