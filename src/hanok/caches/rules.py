"""A model's cache as platform.yaml declares it.

A rule's `seed` is a digest of everything in the declaration that makes the model answer as it does, and part of every
key: an answer of yesterday's engine is not found under today's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

import msgspec

from hanok.spec import HeaderRule, Model, Platform, Semantic

VERSION = b"1"
"""Of keys and entries: what was kept under another is not looked for."""
NOT_ANSWERING = frozenset(
    {
        "max_in_flight", "key", "verify_tls", "ca_file", "load_timeout_s", "threads", "parallel", "gpu_layers",
        "delay_ms",
    }
)  # fmt: skip
"""What may change of an endpoint without changing what it answers."""


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """How a model's answers are kept: for `ttl_s` seconds, up to `most_bytes` each, for one tenant or for all.

    `headers` stand for tags; `teams` have endpoints of their own, so that their answers are never others'.
    """

    model: str
    seed: bytes
    ttl_s: float
    shared: bool
    most_bytes: int
    semantic: Semantic | None = None
    headers: Sequence[HeaderRule] = ()
    teams: frozenset[str] = frozenset()


def rules_of(platform: Platform) -> dict[str, Rule]:
    """The rules of all models that have a cache."""
    return {model.name: _rule(model, platform) for model in platform.models if has_cache(model, platform)}


def has_cache(model: Model, platform: Platform) -> bool:
    """Whether the model's answers are kept."""
    return platform.cache.all_models if model.cache is None else model.cache.use


def _rule(model: Model, platform: Platform) -> Rule:
    cache, own = platform.cache, model.cache
    return Rule(
        model=model.name,
        seed=_seed(model),
        ttl_s=own.ttl_s if own and own.ttl_s is not None else cache.ttl_s,
        shared=(own.share if own and own.share else cache.share) == "platform",
        most_bytes=cache.max_answer_kib * 1024,
        semantic=own.semantic if own else None,
        headers=tuple(model.routing.headers),
        teams=frozenset(team for endpoint in model.serve for team in endpoint.teams),
    )


def _seed(model: Model) -> bytes:
    """Of the model's name and its endpoints, whatever their order and however many are the same."""
    serve = sorted({_text(endpoint.model_dump(exclude=set(NOT_ANSWERING))) for endpoint in model.serve})
    return blake2b("\n".join([model.name, model.type, *serve]).encode(), digest_size=32, key=VERSION).digest()


def _text(endpoint: Mapping[str, Any]) -> str:
    return json.dumps(endpoint, sort_keys=True, default=lambda secret: secret.get_secret_value())
