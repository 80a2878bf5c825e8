"""What makes two calls the same: a digest over all that may change the answer. Pure.

Fields of the body count in their canonical form: the order of names and the white space do not matter. A field that
is written differently in any other way (`1` and `1.0`, left out and `null`) makes another call: that costs a miss,
never a wrong answer. Canonical forms are remembered by the digest of the bytes as they came, because the same call
mostly comes in the same bytes; and with the fields of bodies that come again and again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

import msgspec

from hanok.caches.rules import Rule
from hanok.wire import Caller, ChatRequest, Fields, Options, TaskRequest, json_bytes

IRRELEVANT = frozenset(
    {
        "model",  # counted by itself, as the model that is really asked
        "stream", "stream_options",  # how the answer comes, not what it says
        "user", "safety_identifier", "metadata", "store",  # what the provider notes about the call
        "prompt_cache_key", "prompt_cache_retention", "service_tier",  # how fast and how dear the provider answers
    }
)  # fmt: skip
"""Fields that do not change an answer."""
REMEMBERED = 4096
LARGE_BYTES = 256 * 1024
"""A larger body is not read for its canonical form: that could take the event loop a second for ten megabytes."""
DIGEST_BYTES = 32

_decode = msgspec.json.Decoder().decode
_encode_sorted = msgspec.json.Encoder(order="sorted").encode


class _Known(msgspec.Struct, frozen=True):
    """The key of the last call with these fields."""

    rule: Rule
    told: str
    key: bytes | None


class Keys:
    """Finds keys. Remembers the canonical forms of at most `remembered` bodies, and then begins anew."""

    def __init__(self, remembered: int = REMEMBERED) -> None:
        self._remembered = remembered
        self._known: dict[bytes, bytes | None] = {}

    def find(self, rule: Rule, request: ChatRequest | TaskRequest) -> bytes | None:
        """The key of this call, or None when it cannot be said for certain what it asks."""
        fields = request.fields
        if not isinstance(fields, Fields):
            return self._find(rule, request)
        told = _told(rule, request)
        known = fields.cache_keys
        if not isinstance(known, _Known) or known.rule is not rule or known.told != told:
            known = fields.cache_keys = _Known(rule, told, self._find(rule, request))
        return known.key

    def _find(self, rule: Rule, request: ChatRequest | TaskRequest) -> bytes | None:
        canonical = self._canonical(request.fields, strict=rule.shared)
        return None if canonical is None else _key(rule, request, canonical)

    def _canonical(self, fields: Mapping[str, msgspec.Raw], *, strict: bool) -> bytes | None:
        body = json_bytes({name: fields[name] for name in sorted(fields) if name not in IRRELEVANT})
        came = blake2b(body, digest_size=DIGEST_BYTES, key=b"s" if strict else b"").digest()
        known = self._known
        if came in known:
            return known[came]
        if len(known) >= self._remembered:
            known.clear()
        found = known[came] = canonical_digest(body, strict=strict)
        return found


def scope_key(rule: Rule, request: ChatRequest, fields: Mapping[str, Any]) -> bytes:
    """The key of all calls that are the same but for what `fields` leaves out."""
    return _key(rule, request, blake2b(_encode_sorted(fields), digest_size=DIGEST_BYTES, key=b"scope").digest())


def relevant(fields: Mapping[str, msgspec.Raw]) -> dict[str, Any]:
    """The values of the fields that change answers. Raises `msgspec.MsgspecError`."""
    return {name: _decode(raw) for name, raw in fields.items() if name not in IRRELEVANT}


def canonical_digest(body: bytes, *, strict: bool) -> bytes | None:
    """A digest of what a JSON object says; None when that is not certain.

    Names that stand twice are read one way here, and perhaps another way by an engine. Who does that can only deceive
    himself, unless tenants share their answers: so `strict` refuses them. A large body counts as it came, and says
    nothing certain where that would have to be looked for.
    """
    if len(body) > LARGE_BYTES:
        return None if strict else blake2b(body, digest_size=DIGEST_BYTES, key=b"large").digest()
    try:
        if strict:
            json.loads(body, object_pairs_hook=_each_once)
        return blake2b(_encode_sorted(_decode(body)), digest_size=DIGEST_BYTES).digest()
    except (ValueError, RecursionError, OverflowError):  # msgspec's errors are ValueErrors
        return None


def _key(rule: Rule, request: ChatRequest | TaskRequest, canonical: bytes) -> bytes:
    tags = _tags(rule, request.options)
    digest = blake2b(rule.seed_of(tags, request.caller.team), digest_size=DIGEST_BYTES)
    digest.update(canonical)
    digest.update(_told(rule, request).encode())
    return digest.digest()


def _told(rule: Rule, request: ChatRequest | TaskRequest) -> str:
    """What counts beside body and declaration: the kind of call, whose it is, and its tags."""
    tags = _tags(rule, request.options)
    whose = _tenant(request.caller) if not rule.shared or request.caller.team in rule.teams else ""
    return f"{request.operation}\n{whose}" if not tags else f"{request.operation}\n{whose}\n{sorted(tags)}"


def _tags(rule: Rule, options: Options) -> frozenset[str]:
    """All tags that an endpoint must have, those that headers stand for included."""
    if not rule.headers or not options.headers:
        return options.tags
    return options.tags.union(*(each.tags for each in rule.headers if each.fits(options.headers)))


def _tenant(caller: Caller) -> str:
    return f"key {caller.key_id}" if caller.team is None else f"team {caller.team}"


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands twice")
    return found
