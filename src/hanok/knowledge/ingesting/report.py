"""What an ingest tells: how far it is, and at its end what it has done. Kept as JSON, also while it runs."""

from __future__ import annotations

from typing import Literal

import msgspec

State = Literal["running", "done", "failed", "stopped"]


class RefusedDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A document that was not taken: where people find it, the reason in a word for machines, and in a sentence."""

    path: str
    code: str
    message: str
    hint: str = ""


class SilentSource(msgspec.Struct, frozen=True, kw_only=True):
    """A source that could not say what it has: its documents stay as they are."""

    source: str
    message: str
    hint: str = ""


class Report(msgspec.Struct, kw_only=True):
    """One ingest, while it runs and after. Times are Unix seconds, `process` is the id of who runs it.

    `documents` are those the sources have, of which `changed` were written anew and `noted` found to be the same when
    they were read. `passages` and `bytes` (of documents) were written, `tokens` embedded, as the model counts them.
    `total_documents` and `total_passages` are in the base at the end. `waiting` says what is waited for.
    """

    base: str
    declared: str = ""
    collection: str = ""
    state: State = "running"
    process: int = 0
    started_at: float = 0.0
    ended_at: float = 0.0
    completed_at: float = 0.0
    listed: bool = False
    documents: int = 0
    added: int = 0
    changed: int = 0
    noted: int = 0
    unchanged: int = 0
    removed: int = 0
    passages: int = 0
    bytes: int = 0
    tokens: int = 0
    total_documents: int = 0
    total_passages: int = 0
    refused: list[RefusedDocument] = []
    silent: list[SilentSource] = []
    waiting: str = ""
    error: str = ""
    hint: str = ""

    def seconds(self, now: float) -> float:
        """How long it ran, or has been running; 0 when it never began."""
        if not self.started_at:
            return 0.0
        return max(0.0, (self.ended_at or now) - self.started_at)

    def rate(self, now: float) -> float:
        """Passages written a second."""
        return self.passages / seconds if (seconds := self.seconds(now)) > 0 else 0.0

    def settled(self) -> int:
        """Documents that are done with, one way or the other."""
        return self.added + self.changed + self.noted + self.unchanged + len(self.refused)
