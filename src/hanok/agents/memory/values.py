"""Memories and whose they are. Times are Unix seconds."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Literal

from hanok.wire import Caller

LONGEST_CHARS = 4000


@dataclass(frozen=True, kw_only=True)
class Owner:
    """Whose memories: `user` is `user:NAME`, `key:ID` for callers that name no user, or empty for all of a tenant."""

    tenant: str
    agent: str
    user: str = ""


@dataclass(frozen=True, kw_only=True)
class Memory:
    """One thing that was told. `score` (-1 to 1) is how near it is to what was asked, where something was."""

    id: str
    text: str
    tags: tuple[str, ...] = ()
    created_at: float = 0.0
    expires_at: float | None = None
    score: float | None = None

    def form(self) -> dict[str, Any]:
        """As JSON has it."""
        found = {"id": self.id, "text": self.text, "tags": list(self.tags), "created_at": self.created_at}
        more = {"expires_at": self.expires_at, "score": self.score}
        return found | {name: value for name, value in more.items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class Vector:
    """What a text means to a model: 32-bit floats, little-endian, of length 1."""

    model: str
    data: bytes


def owner_of(caller: Caller, agent: str, scope: Literal["user", "agent"]) -> Owner:
    """Whose memory an agent uses for this caller. A user is who the caller says that it calls for."""
    if scope == "agent":
        return Owner(tenant=caller.tenant, agent=agent)
    return Owner(tenant=caller.tenant, agent=agent, user=user_of(caller.user, caller.key_id))


def user_of(user: str | None, key_id: str) -> str:
    """A user, or a key in the place of one."""
    return f"key:{key_id}" if user is None else f"user:{user}"


def id_of(owner: Owner, text: str) -> str:
    """The same text of an owner is one memory, however often it is told."""
    parts = (owner.tenant, owner.agent, owner.user, text)
    digest = hashlib.sha256("\0".join(f"{len(part)}:{part}" for part in parts).encode())
    return f"mem_{digest.hexdigest()[:24]}"


def cleaned(text: str) -> str:
    """A text that every database takes: without U+0000 and halves of characters, at most `LONGEST_CHARS` long."""
    return text.replace("\0", "").encode("utf-8", "replace").decode().strip()[:LONGEST_CHARS]
