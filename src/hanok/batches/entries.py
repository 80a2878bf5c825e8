"""What is kept of files and batches: frozen values, and the words for a batch's way.

    validating → in_progress → finalizing → completed
              ↘ failed      ↘ expired
    (asked to stop) cancelling → cancelled

Times are whole Unix seconds, as in OpenAI's API. An owner is a tenant: a key's team, else the key.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

Status = Literal["validating", "failed", "in_progress", "finalizing", "completed", "expired", "cancelling", "cancelled"]
ENDED: frozenset[Status] = frozenset({"failed", "completed", "expired", "cancelled"})
Purpose = Literal["batch", "batch_output"]


class FileEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A file that was uploaded, or that a batch wrote. Nobody sees it after `expires_at`."""

    id: str
    owner: str
    filename: str
    purpose: str
    bytes: int
    created_at: int
    expires_at: int | None = None


class LineError(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong with an input line (counted from 1), or with the file as a whole."""

    code: str
    message: str
    param: str | None = None
    line: int | None = None


class Tokens(msgspec.Struct, frozen=True, kw_only=True):
    """What the answered lines of a batch used."""

    input: int = 0
    cached: int = 0
    output: int = 0

    def __add__(self, other: Tokens) -> Tokens:
        return Tokens(
            input=self.input + other.input, cached=self.cached + other.cached, output=self.output + other.output
        )


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """A batch's lines: all, answered, and failed."""

    total: int = 0
    completed: int = 0
    failed: int = 0


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """A batch as it stands. `key_id` made it, and is charged; `session` and `run` are those its calls are filed under.

    `model` is its lines' model where they have only one. `keep_s` is how long its files are kept.
    """

    id: str
    owner: str
    key_id: str
    input_file_id: str
    endpoint: str
    completion_window: str
    created_at: int
    expires_at: int
    status: Status = "validating"
    metadata: Mapping[str, str] | None = None
    keep_s: int | None = None
    session: str | None = None
    run: str | None = None
    model: str | None = None
    counts: Counts = Counts()
    tokens: Tokens = Tokens()
    errors: tuple[LineError, ...] = ()
    output_file_id: str | None = None
    error_file_id: str | None = None
    in_progress_at: int | None = None
    finalizing_at: int | None = None
    completed_at: int | None = None
    failed_at: int | None = None
    expired_at: int | None = None
    cancelling_at: int | None = None
    cancelled_at: int | None = None

    @property
    def ended(self) -> bool:
        return self.status in ENDED
