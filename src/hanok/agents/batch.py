"""What is written at once of all runs of a process: events that have no number yet, receipts, rows, and what follows
them."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

from hanok.agents.values import Event, EventType, Receipt, Run
from hanok.errors import KeptUnreachable


@dataclass(eq=False, slots=True)
class Told:
    """An event, which has no number before it is written. One that `passes` is a token that was in a message before: it
    is told, and not kept."""

    run: str
    type: EventType
    data: dict[str, Any]
    at: float
    seq: int = 0
    passes: bool = False
    tries: int = 0

    @property
    def event(self) -> Event:
        """As it is kept, with the number that it has by now."""
        return Event(run=self.run, seq=self.seq, type=self.type, data=self.data, at=self.at)


@dataclass(frozen=True, eq=False)
class Following:
    """What is written elsewhere after the rest, if that is: `write` blocks, and leaves out runs that were lost. `heard`
    is told what came of it before anything else is written, and then who waits."""

    write: Callable[[Set[str]], None]
    heard: Callable[[Exception | None], None]
    awaited: Sequence[asyncio.Future[None]]

    def outcomes(self, failure: Exception | None) -> list[tuple[asyncio.Future[None], Exception | None]]:
        """What came of it, for each that waits."""
        self.heard(failure)
        return [(each, failure) for each in self.awaited]

    def leave(self) -> None:
        """It is not written any more, as the loop ends: nobody waits for it for ever."""
        self.heard(KeptUnreachable("the process ended before it was written", hint="start it again"))
        for each in self.awaited:
            each.cancel()


@dataclass
class Batch:
    events: list[Told] = field(default_factory=list[Told])
    receipts: list[Receipt] = field(default_factory=list[Receipt])
    """Those that somebody waits for."""
    gathered: defaultdict[str, list[Receipt]] = field(default_factory=lambda: defaultdict(list))
    """Those that what follows waits for, by run."""
    folds: list[tuple[str, int, int]] = field(default_factory=list[tuple[str, int, int]])
    runs: list[Run] = field(default_factory=list[Run])
    """Rows that changed."""
    waiting: list[asyncio.Future[None]] = field(default_factory=list[asyncio.Future[None]])
    following: list[Following] = field(default_factory=list[Following])

    began: dict[str, int] = field(default_factory=dict[str, int])
    """The last numbers of its runs before it was numbered."""
    ended: dict[str, int] = field(default_factory=dict[str, int])
    """And after that."""
    tokens: dict[str, int] = field(default_factory=dict[str, int])
    """The first tokens of runs that have none written."""

    @property
    def holds(self) -> bool:
        return bool(self.events or self.receipts or self.gathered or self.folds or self.runs)

    @property
    def is_due(self) -> bool:
        """Whether there is anything to write, or anybody waits."""
        return self.holds or bool(self.waiting or self.following)

    @property
    def finished(self) -> list[Receipt]:
        """All its receipts."""
        return [*(receipt for each in self.gathered.values() for receipt in each), *self.receipts]

    @property
    def kept(self) -> list[Event]:
        return [told.event for told in self.events if not told.passes]

    @property
    def awaited(self) -> set[str]:
        """Runs of which somebody waits for this write."""
        return {receipt.run for receipt in self.receipts} | {run.id for run in self.runs}


async def tell_all(outcomes: Sequence[tuple[asyncio.Future[None], Exception | None]]) -> None:
    """Tell each what came of it, one a turn, so that calls beside runs need not wait for them all."""
    left = deque(outcomes)
    try:
        while left:
            tell(*left.popleft())
            if left:
                await asyncio.sleep(0)
    finally:  # the loop may end meanwhile
        for each in left:
            tell(*each)


def tell(future: asyncio.Future[None], failure: Exception | None) -> None:
    """Tell whoever waits what came of it."""
    if future.done():
        return
    if failure is None:
        future.set_result(None)
    else:
        future.set_exception(failure)
        future.exception()  # nobody needs to ask: what follows fails alike
