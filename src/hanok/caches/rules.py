"""A model's cache as platform.yaml declares it.

A rule's `seed` is a digest of everything in the declaration that makes the model answer as it does; of its `sources`,
those that a call may be answered by are part of its key: an answer of yesterday's engine is not found under today's,
nor one of an endpoint that has lost a tag under that tag. Who is asked more often, and for how much, does not count.
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
        "delay_ms", "weight", "price", "role", "tags", "teams",
    }
)  # fmt: skip
"""What may change of an endpoint without changing what it answers. Whom it answers is said by its `Source`."""


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint by what it answers, `seed`, and whom: calls with its tags, or without any; of its teams, or all."""

    seed: bytes
    tags: frozenset[str]
    teams: frozenset[str]
    untagged: bool

    def is_open(self, tags: frozenset[str], team: str | None) -> bool:
        """Whether calls with these tags, of this team, come here."""
        return (tags <= self.tags if tags else self.untagged) and (not self.teams or team in self.teams)


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """How a model's answers are kept: for `ttl_s` seconds, up to `most_bytes` each, for one tenant or for all.

    `headers` stand for tags; `teams` have endpoints of their own, so that their answers are never others'.
    """

    model: str
    seed: bytes
    sources: tuple[Source, ...] = ()
    ttl_s: float
    shared: bool
    most_bytes: int
    semantic: Semantic | None = None
    headers: Sequence[HeaderRule] = ()
    teams: frozenset[str] = frozenset()

    def seed_of(self, tags: frozenset[str], team: str | None) -> bytes:
        """Of the model's name and the endpoints that such a call may be answered by, a team's own before others.

        Neither their order counts nor how many are the same.
        """
        open_ = {(each.seed, bool(each.teams)) for each in self.sources if each.is_open(tags, team)}
        return _digest(self.seed, *(seed + b"own" * own for seed, own in sorted(open_)))


def rules_of(platform: Platform) -> dict[str, Rule]:
    """The rules of all models that have a cache."""
    return {model.name: _rule(model, platform) for model in platform.models if has_cache(model, platform)}


def has_cache(model: Model, platform: Platform) -> bool:
    """Whether the model's answers are kept."""
    return platform.cache.all_models if model.cache is None else model.cache.use


def _rule(model: Model, platform: Platform) -> Rule:
    cache, own = platform.cache, model.cache
    sources = _sources(model)
    return Rule(
        model=model.name,
        seed=_digest(model.name, model.type, *sorted({each.seed for each in sources})),
        sources=sources,
        ttl_s=own.ttl_s if own and own.ttl_s is not None else cache.ttl_s,
        shared=(own.share if own and own.share else cache.share) == "platform",
        most_bytes=cache.max_answer_kib * 1024,
        semantic=own.semantic if own else None,
        headers=tuple(model.routing.headers),
        teams=frozenset(team for endpoint in model.serve for team in endpoint.teams),
    )


def _sources(model: Model) -> tuple[Source, ...]:
    return tuple(
        Source(
            seed=_digest(_text(endpoint.model_dump(exclude=set(NOT_ANSWERING)))),
            tags=frozenset(endpoint.tags),
            teams=frozenset(endpoint.teams),
            untagged=endpoint.weight > 0,
        )
        for endpoint in model.serve
        if endpoint.role != "prefill"
    )


def _digest(*texts: str | bytes) -> bytes:
    data = [text.encode() if isinstance(text, str) else text for text in texts]
    return blake2b(b"\n".join(data), digest_size=32, key=VERSION).digest()


def _text(endpoint: Mapping[str, Any]) -> str:
    return json.dumps(endpoint, sort_keys=True, default=lambda secret: secret.get_secret_value())
