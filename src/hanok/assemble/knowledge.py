"""Keeps the declared bases up to their sources: at the start, when platform.yaml changes, and by their schedules.

Each ingest is a process of its own (`knowledge.ingesting.launch`) that embeds through this house. Who ingests holds the
lock of the base, so of several workers one does; what it did, the state folder tells everyone, `/metrics` among them.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from functools import partial

from hanok.errors import HanokError
from hanok.knowledge.embedding import embedder_of
from hanok.knowledge.ingesting import Notes, Report, declared_mark
from hanok.knowledge.ingesting.due import RETRY_S, is_due
from hanok.knowledge.ingesting.launch import EXIT_BUSY, EXIT_DONE, ingest_beside
from hanok.spec import Knowledge, Loaded
from hanok.telemetry import Metrics
from hanok.wire import ModelPath

LOOK_EVERY_S = 1.0
LOOK_AGAIN_S = 60.0
"""After a look that failed."""
_log = logging.getLogger(__name__)


class Upkeep:
    """Ingests what is due. `loaded` gives the platform that runs now; `serves` says whether this process takes calls.

    A process that takes none, as one that was started for a single question, ingests nothing.
    """

    def __init__(self, *, loaded: Callable[[], Loaded], models: ModelPath, serves: Callable[[], bool]) -> None:
        self._loaded = loaded
        self._models = models
        self._serves = serves
        self._started_at = time.time()
        self._looks_again_at = 0.0
        self._at_start: dict[str, str] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._resting: dict[str, float] = {}

    async def live(self) -> None:
        """For ever: look what is due, and ingest it."""
        try:
            while True:
                await asyncio.sleep(LOOK_EVERY_S)
                if self._serves() and time.time() >= self._looks_again_at:
                    await self._look_safely()
        finally:
            await self._stop()

    async def _look_safely(self) -> None:
        try:
            await self._look()
        except Exception:  # noqa: BLE001 - whatever it is, it must not end the upkeep of all bases
            _log.exception("what is to be ingested cannot be told; looking again in %d s", LOOK_AGAIN_S)
            self._looks_again_at = time.time() + LOOK_AGAIN_S

    async def _look(self) -> None:
        loaded = self._loaded()
        for base in loaded.platform.knowledge:
            name, now = base.name, time.time()
            if name in self._running or now < self._resting.get(name, 0.0):
                continue
            if await asyncio.to_thread(self._is_due, loaded, base, now):
                task = asyncio.create_task(self._ingest(loaded, base), name=f"ingest-{name}")
                self._running[name] = task
                task.add_done_callback(lambda _, name=name: self._running.pop(name, None))

    def _is_due(self, loaded: Loaded, base: Knowledge, now: float) -> bool:
        notes = Notes(loaded.state, base.name)
        try:
            declared = declared_mark(base, embedder_of(loaded.platform, base))
            due = is_due(
                notes.last(),
                declared=declared,
                at_start=self._at_start.setdefault(base.name, declared),
                on_start=base.on_start,
                schedule=base.schedule,
                started_at=self._started_at,
                now=now,
            )
            return due and not notes.is_claimed()
        except HanokError as error:
            self._rest(base.name, f"{base.name!r} is not ingested: {error}")
        except Exception as error:  # noqa: BLE001 - of one base: the others are kept up
            self._rest(base.name, f"{base.name!r} is not ingested: {error!r}", exc_info=error)
        return False

    async def _ingest(self, loaded: Loaded, base: Knowledge) -> None:
        try:
            code = await ingest_beside(loaded, base.name, self._models)
        except OSError as error:
            self._rest(base.name, f"{base.name!r} cannot be ingested: {error}")
            return
        except Exception as error:  # noqa: BLE001 - several that a group holds, or one that nobody foresaw
            self._rest(base.name, f"{base.name!r} cannot be ingested: {error!r}", exc_info=error)
            return
        report = Notes(loaded.state, base.name).last()
        if code not in (EXIT_DONE, EXIT_BUSY):
            why = report.error if report is not None and report.error else f"the process ended with {code}"
            self._rest(base.name, f"{base.name!r} was not ingested: {why}")

    def _rest(self, name: str, why: str, *, exc_info: Exception | None = None) -> None:
        _log.error("%s; trying again in %d s", why, RETRY_S, exc_info=exc_info)
        self._resting[name] = time.time() + RETRY_S

    async def _stop(self) -> None:
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def watch_knowledge(metrics: Metrics, loaded: Callable[[], Loaded]) -> None:
    """Have what is in the bases told by the metrics."""
    known = _Known()
    for name, text, read in _GAUGES:
        metrics.watch(name, text, ["base"], partial(_values, loaded, known, read))


class _Known:
    """Reports, read again when their file has changed."""

    def __init__(self) -> None:
        self._reports: dict[str, tuple[int, Report | None]] = {}

    def report(self, notes: Notes) -> Report | None:
        changed_at = notes.changed_at()
        key = str(notes.folder)
        if key not in self._reports or self._reports[key][0] != changed_at:
            self._reports[key] = changed_at, notes.last()
        return self._reports[key][1]


def _values(
    loaded: Callable[[], Loaded], known: _Known, read: Callable[[Notes, Report], float]
) -> Mapping[tuple[str, ...], float]:
    bases = {base.name: Notes(loaded().state, base.name) for base in loaded().platform.knowledge}
    reports = {name: (notes, known.report(notes)) for name, notes in bases.items()}
    return {(name,): read(notes, report) for name, (notes, report) in reports.items() if report is not None}


_GAUGES: tuple[tuple[str, str, Callable[[Notes, Report], float]], ...] = (
    ("hanok_knowledge_documents", "Documents in the base.", lambda _, report: float(report.total_documents)),
    ("hanok_knowledge_passages", "Passages in the base.", lambda _, report: float(report.total_passages)),
    (
        "hanok_knowledge_refused_documents",
        "Documents that the last ingest did not take.",
        lambda _, report: float(len(report.refused)),
    ),
    ("hanok_knowledge_ingesting", "1 while the base is ingested.", lambda notes, _: float(notes.is_claimed())),
    (
        "hanok_knowledge_last_success_timestamp_seconds",
        "When the base was last ingested to the end, in Unix seconds; 0 when it never was.",
        lambda _, report: report.completed_at,
    ),
)
NAMES = tuple(name for name, _, _ in _GAUGES)
