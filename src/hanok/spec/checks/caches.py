"""Caches need a place, and embedders to compare questions."""

from __future__ import annotations

from collections.abc import Iterator

from hanok.spec.checks.findings import Finding, quoted, unknown
from hanok.spec.checks.records import REDIS_SCHEMES
from hanok.spec.tree import Platform


def check_caches(platform: Platform) -> Iterator[Finding]:
    """Where answers are kept, and who compares questions."""
    cache = platform.cache
    if cache.store == "redis" and cache.redis is None and platform.ledger.redis is None:
        hint = "name the server as `redis: redis://…` here or in `ledger`, or use `store: memory`"
        yield Finding(place=("cache", "store"), message="no Redis or Valkey server is named", hint=hint)
    if cache.redis is not None and not cache.redis.get_secret_value().startswith(REDIS_SCHEMES):
        yield Finding(place=("cache", "redis"), message=f"must begin with {' or '.join(REDIS_SCHEMES)}")
    types = {model.name: model.type for model in reversed(platform.models)}
    for index, model in enumerate(platform.models):
        if model.cache is None or model.cache.semantic is None:
            continue
        place = ("models", index, "cache", "semantic")
        embedder = model.cache.semantic.embedder
        if model.type != "chat":
            message = f"{quoted(model.name)} is for {model.type}: only questions in text are compared"
            yield Finding(place=place, message=message, hint="take `semantic` out")
        if embedder not in types:
            embedders = [name for name, kind in types.items() if kind == "embedding"]
            yield unknown("model", embedder, embedders, (*place, "embedder"))
        elif types[embedder] != "embedding":
            message = f"{quoted(embedder)} is a model for {types[embedder]}, not for embedding"
            hint = "name a model with `type: embedding`"
            yield Finding(place=(*place, "embedder"), message=message, hint=hint)
