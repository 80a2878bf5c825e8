"""Looks at every source again and again, each in a thread of its own, so that none waits for another.

What a source told last is kept until it tells something new or fails; one that fails is asked less and less often. The
threads are daemons: a source that hangs keeps nobody from leaving.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, Self

from hanok.errors import SourceError
from hanok.gpu.monitor.engines import paced
from hanok.gpu.monitor.readings import Told

LONGEST_PAUSE_S = 30.0
NOTHING = Told()


class Source(Protocol):
    """Who tells of GPUs or engines."""

    @property
    def name(self) -> str:
        """What it is called in tables."""
        ...

    def look(self) -> Told:
        """What it tells now. May take long. Raises `SourceError`."""
        ...


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What is known of one source: what it told, or why it does not (`fault`, and a hint what to do)."""

    source: str
    told: Told = NOTHING
    fault: str | None = None
    hint: str | None = None
    at: float | None = None
    """When it told or failed last, in seconds of the monotonic clock."""
    asked_at: float | None = None
    """When the look under way began."""


class Watch:
    """Looks at `sources` every `every_s` seconds from `start` to `close`."""

    def __init__(
        self,
        sources: Sequence[Source],
        *,
        every_s: float,
        patience_s: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sources = sources
        self._every_s = every_s
        self._patience_s = patience_s
        self._monotonic = monotonic
        self._seen = [Seen(source=source.name) for source in sources]
        self._first = [threading.Event() for _ in sources]
        self._closing = threading.Event()

    def __enter__(self) -> Self:
        for number, source in enumerate(self._sources):
            threading.Thread(target=self._watch, args=(number, source), name=f"gpu {source.name}", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()

    def wait_first(self) -> None:
        """Return when every source has told something, or its time is up."""
        end = self._monotonic() + self._patience_s
        for event in self._first:
            event.wait(max(0.0, end - self._monotonic()))

    @property
    def all_told(self) -> bool:
        """Whether every source has told something, or failed, at least once."""
        return all(event.is_set() for event in self._first)

    def seen(self) -> list[Seen]:
        """What is known now. Who has not answered for longer than `patience_s` has failed."""
        now = self._monotonic()
        return [self._judged(each, now) for each in self._seen]

    def _judged(self, seen: Seen, now: float) -> Seen:
        waits_s = 0.0 if seen.asked_at is None else now - seen.asked_at
        if waits_s < self._patience_s:
            return seen
        return replace(seen, told=NOTHING, fault=f"no answer for {waits_s:.0f} s")

    def _watch(self, number: int, source: Source) -> None:
        missed = 0
        while not self._closing.is_set():
            before = self._seen[number]
            self._seen[number] = replace(before, asked_at=self._monotonic())
            seen = self._look(source, before)
            missed = missed + 1 if seen.fault else 0
            self._seen[number] = seen
            self._first[number].set()
            self._closing.wait(min(self._every_s * 2 ** min(missed, 10), max(LONGEST_PAUSE_S, self._every_s)))

    def _look(self, source: Source, before: Seen) -> Seen:
        try:
            told = source.look()
        except SourceError as error:
            return Seen(source=source.name, fault=error.message, hint=error.hint, at=self._monotonic())
        except Exception as error:  # noqa: BLE001 - one source's surprise must not end the watch of it
            return Seen(source=source.name, fault=f"cannot be read: {error!r}", at=self._monotonic())
        now = self._monotonic()
        loads = paced(told.loads, before.told.loads, seconds=now - before.at) if before.at is not None else told.loads
        return Seen(source=source.name, told=replace(told, loads=loads), at=now)
