"""`litellm_settings.cache` and `cache_params` as the block `cache`, and what each model says of it.

LiteLLM keeps the calls of certain kinds, Hanok the answers of certain models: all of them, or those of certain types.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from hanok.migration.reasons import CACHE_PARAMS
from hanok.migration.redis import read_redis
from hanok.migration.secrets import Variables
from hanok.migration.source import Block
from hanok.spec.checks import quoted

_NOT_ON_DISK = "Hanok keeps answers in memory or on Redis: now in memory, lost at a restart"
_STORES = {
    "local": ("memory", None),
    "redis": ("redis", None),
    "redis-semantic": ("redis", None),
    "valkey-semantic": ("redis", None),
    "qdrant-semantic": ("memory", _NOT_ON_DISK),
    "disk": ("memory", _NOT_ON_DISK),
    "s3": ("memory", _NOT_ON_DISK),
    "gcs": ("memory", _NOT_ON_DISK),
    "azure-blob": ("memory", _NOT_ON_DISK),
}
_USUAL_TTLS = {"memory": 600.0, "redis": 60.0}
"""Seconds that LiteLLM keeps an answer, by store, when nothing is written."""
_LONGEST_TTL = 31_536_000.0
_LEAST_THRESHOLD = 0.5
_TYPES = {
    "completion": "chat", "acompletion": "chat", "text_completion": "chat", "atext_completion": "chat",
    "responses": "chat", "aresponses": "chat", "anthropic_messages": "chat", "aanthropic_messages": "chat",
    "embedding": "embedding", "aembedding": "embedding",
    "rerank": None, "arerank": None, "transcription": None, "atranscription": None,
}  # fmt: skip
_EVERY_TYPE = frozenset(("chat", "embedding"))
_USUAL_EMBEDDER = "text-embedding-ada-002"
_OPTIONAL = "is kept only where a call says `use-cache`; in Hanok a model says `cache: true`, and none does yet"


@dataclass(frozen=True, kw_only=True)
class Semantic:
    """A cache that compares questions: `embedder` as the source names the model, and the place that does so."""

    embedder: str
    threshold: float | None
    params: Block
    key: str


@dataclass(frozen=True, kw_only=True)
class Kept:
    """The block `cache`, and the types of models whose answers are kept; all of them where the block says so."""

    block: Mapping[str, Any] = field(default_factory=dict[str, Any])
    types: frozenset[str] = frozenset()
    semantic: Semantic | None = None


def read_cache(router: Block, litellm: Block, variables: Variables, *, has_redis: bool) -> Kept:
    """What LiteLLM's cache becomes; `has_redis` says whether `ledger.redis` names a server."""
    on, by_router = litellm.take_flag("cache"), router.take_flag("cache_responses")
    params = litellm.take_block("cache_params")
    if on:
        return _read(litellm, params, variables, has_redis=has_redis)
    if params.keys:
        litellm.left("cache_params", "LiteLLM keeps no answers without `cache: true`")
    if not by_router:
        return Kept()
    message = "answers stay with the team of the key that asked, or the key; cache.share: platform gives them to all"
    router.changed("cache_responses", message, "cache.all_models")
    return Kept(block={"all_models": True, "store": "redis" if has_redis else "memory"}, types=_EVERY_TYPE)


def _read(litellm: Block, params: Block, variables: Variables, *, has_redis: bool) -> Kept:
    written = bool(params.keys)
    kind = params.take_text("type") or ("local" if written else "redis")
    if kind not in _STORES:
        near = difflib.get_close_matches(kind, _STORES, n=1)
        hint = f": did you mean {quoted(near[0])}?" if near else ""
        params.wrong("type", f"LiteLLM has no cache of type {quoted(kind)}{hint}. There is no cache now")
        return Kept()
    store, message = _STORES[kind]
    if message:
        params.changed("type", message, "cache.store")
    elif "type" in params:
        params.carried("type", "cache.store")
    where = _read_server(litellm, params, variables, has_redis=has_redis) if store == "redis" else {"store": store}
    types = _read_types(params) if _is_on(params) else frozenset[str]()
    block: dict[str, Any] = {"all_models": True} if types >= _EVERY_TYPE else {}
    block |= where | _read_ttl(litellm, params, kind, store)
    message = "answers stay with the team of the key that asked, or the key; cache.share: platform gives them to all"
    litellm.changed("cache", message, "cache")
    semantic = _read_semantic(params, kind)
    params.leave_rest(CACHE_PARAMS)
    return Kept(block=block, types=types, semantic=semantic)


def _read_server(litellm: Block, params: Block, variables: Variables, *, has_redis: bool) -> dict[str, str]:
    named = "host" in params or "url" in params
    use = "for answers; ledger.redis is another, for budgets and limits that several processes share"
    url = read_redis(params, "", variables, to="cache.redis", use=use)
    if url is not None:
        return {"store": "redis", "redis": url}
    if has_redis:
        litellm.changed("cache", "names no server that is carried over: ledger.redis keeps answers", "cache.store")
        return {"store": "redis"}
    if named or "redis_startup_nodes" in params or "sentinel_nodes" in params:
        litellm.changed("cache", "no server that Hanok can use is named: answers are kept in memory", "cache.store")
        return {"store": "memory"}
    host, port = variables.refer("REDIS_HOST", "127.0.0.1"), variables.offer("REDIS_PORT", "6379")
    message = "no host: LiteLLM reads REDIS_HOST, and so does platform.yaml; a password goes before it, as :PASSWORD@"
    litellm.changed("cache", message, "cache.redis")
    return {"store": "redis", "redis": f"redis://{host}:{port}"}


def _is_on(params: Block) -> bool:
    mode = params.take_text("mode")
    if mode is None or mode == "default_on":
        return True
    if mode == "default_off":
        params.changed("mode", f"an answer {_OPTIONAL}", "cache.all_models")
    else:
        params.wrong("mode", f"LiteLLM knows `default_on` and `default_off`, and takes others as this: it {_OPTIONAL}")
    return False


def _read_types(params: Block) -> frozenset[str]:
    """The types of models whose calls LiteLLM keeps."""
    if "supported_call_types" not in params:
        return _EVERY_TYPE
    calls = params.take_names("supported_call_types")
    types = frozenset(kind for call in calls if (kind := _TYPES.get(call)))
    for index, call in enumerate(calls):
        if call not in _TYPES:
            params.wrong(("supported_call_types", index), f"LiteLLM has no call of type {quoted(call)}")
    if types:
        message = f"answers of models for {' and '.join(sorted(types))}; text, chat and responses are one in Hanok"
        params.changed("supported_call_types", message, "models[].cache")
    else:
        params.changed("supported_call_types", "no calls that Hanok keeps: no model has a cache", "cache.all_models")
    return types


def _read_ttl(litellm: Block, params: Block, kind: str, store: str) -> dict[str, float]:
    """Seconds; the first that is written in the order in which LiteLLM looks."""
    names = ("default_in_redis_ttl", "default_redis_ttl") if store == "redis" else ("default_in_memory_ttl",)
    found = [(params, key, params.take_number(key, above=0)) for key in ("ttl", *names)]
    found += [(litellm, key, litellm.take_number(key, above=0)) for key in names[-1:]]
    for block, key, ttl in found:
        if ttl is not None and ttl <= _LONGEST_TTL:
            block.carried(key, "cache.ttl_s")
            return {"ttl_s": ttl}
        if ttl is not None:
            block.changed(key, "Hanok keeps an answer for a year at most", "cache.ttl_s")
            return {"ttl_s": _LONGEST_TTL}
    usual = _USUAL_TTLS[store] if kind in ("local", "redis") else None
    if usual is None:
        return {}
    litellm.changed("cache", f"no ttl: LiteLLM keeps an answer for {usual:g} seconds, and so does this", "cache.ttl_s")
    return {"ttl_s": usual}


def _read_semantic(params: Block, kind: str) -> Semantic | None:
    if not kind.endswith("-semantic"):
        return None
    key = f"{kind.partition('-')[0]}_semantic_cache_embedding_model"
    threshold = params.take_number("similarity_threshold")
    if threshold is None:
        params.wrong("similarity_threshold", "LiteLLM refuses to start without it: Hanok's own was taken")
    elif _LEAST_THRESHOLD <= threshold <= 1:
        params.carried("similarity_threshold", "models[].cache.semantic.threshold", "a cosine in both")
    else:
        message = f"Hanok compares with cosines from {_LEAST_THRESHOLD:g} to 1: the nearest of these was taken"
        params.changed("similarity_threshold", message, "models[].cache.semantic.threshold")
        threshold = min(max(threshold, _LEAST_THRESHOLD), 1.0)
    written = params.take_text(key)
    return Semantic(
        embedder=written or _USUAL_EMBEDDER, threshold=threshold, params=params, key=key if written else "type"
    )


def find_embedder(kept: Kept, types: Mapping[str, str]) -> Kept:
    """The same, without comparing questions where no model for embedding has the embedder's name."""
    semantic = kept.semantic
    if semantic is None:
        return kept
    if types.get(semantic.embedder) == "embedding" and "chat" in kept.types:
        rules = "one plain question only, by stricter rules than a cosine (docs/caches.md); needs the extra `semantic`"
        semantic.params.changed(semantic.key, rules, "models[].cache.semantic.embedder")
        return kept
    if "chat" in kept.types:
        named = quoted(semantic.embedder)
        message = f"questions are not compared: no model for embedding called {named} was carried over"
        semantic.params.left(semantic.key, message)
    return replace(kept, semantic=None)


def cache_of(kind: str, kept: Kept, names: Mapping[str, str]) -> dict[str, Any] | bool | None:
    """What a model for `kind` says of the cache; None where the block at the top says it all."""
    if kind not in kept.types:
        return None
    if kept.semantic is not None and kind == "chat":
        semantic: dict[str, Any] = {"embedder": names[kept.semantic.embedder]}
        if kept.semantic.threshold is not None:
            semantic["threshold"] = kept.semantic.threshold
        return {"semantic": semantic}
    return None if kept.block.get("all_models") else True
