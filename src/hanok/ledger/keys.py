"""Bearer keys. A key is shown once and kept as its SHA-256: 256 random bits need no slow hash."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from hanok.spec import Allowance, Rates

PREFIX = "hk-"
NO_LIMITS = Rates()


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


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """A key just made, with the secret that will not be seen again."""

    key: Key
    secret: str


def make_key(name: str, *, now: float, random_bytes: Callable[[int], bytes]) -> NewKey:
    """Make a key of 256 random bits."""
    secret = PREFIX + random_bytes(32).hex()
    key = Key(
        id="key_" + random_bytes(8).hex(), name=name, digest=digest(secret), shown=secret[:9] + "…", created_at=now
    )
    return NewKey(key=key, secret=secret)


def digest(secret: str) -> bytes:
    """What is stored of a key: 32 bytes."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()


class KeyRing:
    """The keys that open the door now, by digest: one hash and one dictionary look-up a request."""

    def __init__(self, keys: Iterable[Key] = ()) -> None:
        self._keys: dict[bytes, Key] = {}
        self.replace(keys)

    def replace(self, keys: Iterable[Key]) -> None:
        """Take these keys instead; revoked ones do not open."""
        self._keys = {key.digest: key for key in keys if key.revoked_at is None}

    def find(self, secret: str) -> Key | None:
        return self._keys.get(digest(secret))

    def __len__(self) -> int:
        return len(self._keys)
