"""What is kept of vector stores: frozen values. Times are whole Unix seconds. An owner is a tenant."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from hanok.knowledge.values import Plain
from hanok.spec import Split

Status = Literal["in_progress", "completed", "failed", "cancelled"]
ErrorCode = Literal["server_error", "unsupported_file", "invalid_file"]
DAY_S = 86_400


class Chunking(msgspec.Struct, frozen=True, kw_only=True):
    """Passages of so many tokens, so many of them shared with the next."""

    size: int
    overlap: int

    def split(self) -> Split:
        """The same as a rule for all documents."""
        return Split(strategy="token", size=self.size, overlap=self.overlap)


class VectorStore(msgspec.Struct, frozen=True, kw_only=True):
    """A vector store. It expires so many days after it was last active."""

    id: str
    owner: str
    name: str = ""
    description: str = ""
    metadata: Mapping[str, str] | None = None
    created_at: int
    last_active_at: int
    expires_days: int | None = None

    @property
    def expires_at(self) -> int | None:
        return None if self.expires_days is None else self.last_active_at + self.expires_days * DAY_S

    def has_expired(self, now: float) -> bool:
        return self.expires_at is not None and self.expires_at <= now


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """How many files there are in each state, and the bytes of their passages."""

    in_progress: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    usage_bytes: int = 0

    @property
    def total(self) -> int:
        return self.in_progress + self.completed + self.failed + self.cancelled


class Attached(msgspec.Struct, frozen=True, kw_only=True):
    """A file in a vector store. `key_id` attached it, and is charged for its vectors.

    `attempt` counts how often it was attached; what is written of it is a version of its own each time. `digest` names
    the version that can be found now, "" when there is none.
    """

    file_id: str
    store: str
    owner: str
    filename: str
    key_id: str
    created_at: int
    attempt: int = 1
    status: Status = "in_progress"
    batch: str | None = None
    attributes: Mapping[str, Plain] = {}
    chunking: Chunking | None = None
    digest: str = ""
    passages: int = 0
    usage_bytes: int = 0
    error_code: ErrorCode | None = None
    error_message: str = ""


class FileBatch(msgspec.Struct, frozen=True, kw_only=True):
    """Files that were attached together."""

    id: str
    store: str
    created_at: int
    cancelled_at: int | None = None
