"""Bearer keys. A key is shown once and kept as its SHA-256: 256 random bits need no slow hash."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, cast

from hanok.errors import StoreError
from hanok.spec import Allowance, Rates

PREFIX = "hk-"
NO_LIMITS = Rates()
LATEST = 253_402_300_800.0
"""Unix seconds of the year 10000: what is later was meant in milliseconds."""
LONGEST_NAME = 128
POLICY = ("name", "team", "user", "models", "knowledge", "agents", "expires_at", "budgets", "limits")
"""What may be changed of a key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A key as the ledger knows it. Times are Unix seconds; `shown` is its beginning, to tell keys apart.

    `models`, `knowledge` and `agents` are names or patterns of what it opens. After a rotation the secret before still
    opens the door until `previous_until`.
    """

    id: str
    name: str
    digest: bytes
    shown: str
    created_at: float
    revoked_at: float | None = None
    expires_at: float | None = None
    team: str | None = None
    user: str | None = None
    models: tuple[str, ...] = ("*",)
    knowledge: tuple[str, ...] = ("*",)
    agents: tuple[str, ...] = ("*",)
    budgets: tuple[Allowance, ...] = ()
    limits: Rates = NO_LIMITS
    previous_digest: bytes | None = None
    previous_until: float | None = None


KEY_COLUMNS = tuple(field.name for field in fields(Key))


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """A key just made, with the secret that will not be seen again."""

    key: Key
    secret: str


def make_key(name: str, *, now: float, random_bytes: Callable[[int], bytes], **policy: Any) -> NewKey:
    """Make a key of 256 random bits. Raises `StoreError` when its `policy` (fields of `Key`) does not hold together."""
    secret = _secret(random_bytes)
    id_ = "key_" + random_bytes(8).hex()
    bare = Key(id=id_, name=name, digest=digest(secret), shown=_shown(secret), created_at=now)
    return NewKey(key=change_key(bare, {"name": name, **policy}, now=now), secret=secret)


def change_key(key: Key, changes: Mapping[str, Any], *, now: float) -> Key:
    """The key with another policy. Raises `StoreError` with what is wrong in it."""
    if unknown := sorted(set(changes) - set(POLICY)):
        raise StoreError(f"a key has no {unknown[0]!r} to change", hint=f"what can be changed: {', '.join(POLICY)}")
    for field, value in changes.items():
        if wrong := _what_is_wrong(field, value, now):
            raise StoreError(f"a key cannot have {field} = {_short(value)}", hint=wrong)
    return replace(key, **changes)


def rotate_key(key: Key, *, now: float, grace_s: float, random_bytes: Callable[[int], bytes]) -> NewKey:
    """The key with a new secret; the one before stays good for `grace_s` seconds. Raises `StoreError`."""
    if not _is_time(grace_s) or grace_s < 0:
        raise StoreError(f"a secret cannot stay good for {_short(grace_s)} seconds", hint="give 0 or more seconds")
    secret = _secret(random_bytes)
    rotated = replace(
        key, digest=digest(secret), shown=_shown(secret), previous_digest=key.digest, previous_until=now + grace_s
    )
    return NewKey(key=rotated, secret=secret)


def digest(secret: str) -> bytes:
    """What is stored of a key: 32 bytes."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()


def _secret(random_bytes: Callable[[int], bytes]) -> str:
    return PREFIX + random_bytes(32).hex()


def _shown(secret: str) -> str:
    return secret[:9] + "…"


def _what_is_wrong(field: str, value: object, now: float) -> str | None:
    """What a policy's field should be instead, when it is not."""
    match field:
        case "name" if not _is_name(value):
            return f"a name is printable text of 1 to {LONGEST_NAME} characters"
        case "team" | "user" if value is not None and not _is_name(value):
            return f"printable text of 1 to {LONGEST_NAME} characters, or None"
        case "models" | "knowledge" | "agents" if not _is_tuple_of(value, _is_name):
            return 'a tuple of names or patterns, as ("small-*",)'
        case "expires_at" if value is not None and not (_is_time(value) and cast("float", value) > now):
            return "Unix seconds in the future, or None; to end a key now, revoke it"
        case "budgets" if not _is_tuple_of(value, _is_allowance):
            return "a tuple of Allowance, each with `usd`, or `tokens`, or both"
        case "limits" if type(value) is not Rates:
            return "one Rates"
        case _:
            return None


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= LONGEST_NAME and value.isprintable() and value.strip() == value


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < LATEST


def _is_tuple_of(value: object, fits: Callable[[object], bool]) -> bool:
    return isinstance(value, tuple) and all(map(fits, cast("tuple[object, ...]", value)))


def _is_allowance(value: object) -> bool:
    return type(value) is Allowance and (value.usd is not None or value.tokens is not None)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"


class KeyRing:
    """The keys that open the door now, by digest: one hash, one dictionary look-up and one comparison a request."""

    def __init__(self, keys: Iterable[Key] = (), *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._keys: dict[bytes, tuple[Key, float]] = {}
        self._by_id: dict[str, Key] = {}
        self._revoked: frozenset[str] = frozenset()
        self.replace(keys)

    def replace(self, keys: Iterable[Key]) -> None:
        """Take these keys instead; revoked ones do not open."""
        keys = list(keys)
        in_use = [key for key in keys if key.revoked_at is None]
        self._revoked = frozenset(key.id for key in keys if key.revoked_at is not None)
        found = {key.previous_digest: (key, _until(key, key.previous_until)) for key in in_use if key.previous_digest}
        self._keys = found | {key.digest: (key, _until(key, None)) for key in in_use}
        self._by_id = {key.id: key for key in in_use}

    def find(self, secret: str) -> Key | None:
        """The key that this secret opens now: not revoked, not expired, not rotated away."""
        found = self._keys.get(digest(secret))
        return found[0] if found and self._clock() < found[1] else None

    def by_id(self, id_: str) -> Key | None:
        """The key of that id, if any secret of it opens now."""
        key = self._by_id.get(id_)
        return key if key is not None and self._clock() < _until(key, None) else None

    def ended(self, id_: str) -> Literal["revoked", "expired"] | None:
        """Why the key of that id opens nothing any more; None where it does, or is none of these keys."""
        if id_ in self._revoked:
            return "revoked"
        return "expired" if id_ in self._by_id and self.by_id(id_) is None else None

    def __len__(self) -> int:
        return len(self._by_id)


def _until(key: Key, until: float | None) -> float:
    return min(math.inf if end is None else end for end in (key.expires_at, until))
