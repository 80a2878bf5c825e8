"""What is written at once of all runs of a process: events that have no number yet, receipts and rows."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from hanok.agents.values import Event, Receipt, Run


@dataclass(eq=False)
class Told:
    """An event, which has no number before it is written. One that `passes` is a token that was in a message before: it
    is told, and not kept."""

    event: Event
    passes: bool = False
    tries: int = 0


@dataclass
class Batch:
    events: list[Told] = field(default_factory=list[Told])
    receipts: list[Receipt] = field(default_factory=list[Receipt])
    folds: list[tuple[str, int, int]] = field(default_factory=list[tuple[str, int, int]])
    runs: list[Run] = field(default_factory=list[Run])
    """Rows that changed."""
    waiting: list[asyncio.Future[None]] = field(default_factory=list[asyncio.Future[None]])

    began: dict[str, int] = field(default_factory=dict[str, int])
    """The last numbers of its runs before it was numbered."""
    ended: dict[str, int] = field(default_factory=dict[str, int])
    """And after that."""
    tokens: dict[str, int] = field(default_factory=dict[str, int])
    """The first tokens of runs that have none written."""

    @property
    def holds(self) -> bool:
        return bool(self.events or self.receipts or self.folds or self.runs)

    @property
    def kept(self) -> list[Event]:
        return [told.event for told in self.events if not told.passes]

    @property
    def awaited(self) -> set[str]:
        """Runs of which somebody waits for this write."""
        return {receipt.run for receipt in self.receipts} | {run.id for run in self.runs}
