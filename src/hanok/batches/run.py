"""One batch, from its input to its files: check every line, ask those that were not asked before, publish.

What has been asked is what stands in the result files, so a batch that was interrupted at any moment goes on by reading
them; there is nothing else to remember. A line that was being asked is asked again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Literal

import msgspec
from msgspec.structs import replace

from hanok.batches.asker import Asker, Later
from hanok.batches.entries import Batch, FileEntry, Status
from hanok.batches.forms import Outcome, answered_line, unasked_line
from hanok.batches.lines import Plan, Reader, read_line, read_model
from hanok.batches.stores.folder import Folder, read_lines, read_piece
from hanok.batches.stores.results import Results
from hanok.batches.stores.tables import Tables
from hanok.batches.turns import Turns

FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 60.0
SAVE_EVERY_S = 0.5
LINES_AT_ONCE = 256
BYTES_AT_ONCE = 4 * 1024 * 1024
EXPIRED = "This request could not be executed before the completion window expired."
Reason = Literal["cancelled", "expired"]
Ended = Literal["completed", "failed", "expired"]


@dataclass(frozen=True, kw_only=True)
class Means:
    """What runs share. `lines_at_once`, `retries` and `line_limit` (bytes) may change while they run.

    `wall` gives Unix seconds, `random_hex` that many hex digits; `count` is told how lines end.
    """

    tables: Tables
    folder: Folder
    asker: Asker
    turns: Turns
    lines_at_once: Callable[[], int]
    retries: Callable[[], int]
    line_limit: Callable[[], int]
    wall: Callable[[], float]
    monotonic: Callable[[], float]
    random_hex: Callable[[int], str]
    count: Callable[[Ended, int], None]


class Run:
    """A batch that runs. Cancel `run` to give it back as it is."""

    def __init__(self, batch: Batch, means: Means) -> None:
        self.batch = batch
        self._means = means
        self._input = means.folder.input(batch.id)
        self._reason: Reason | None = None
        self._moved = asyncio.Event()
        self._left = 0
        self._asking = 0
        self._one_less = asyncio.Event()
        self._saved_at = means.monotonic()

    def stop(self, reason: Reason) -> None:
        """End it now; lines that are being asked are given up."""
        if self._reason is None:
            self._reason = reason
            self._moved.set()

    @property
    def left(self) -> int:
        """How many lines have not ended."""
        return self._left

    async def run(self) -> None:
        """To its end. Raises `StoreError`."""
        folder, id_ = self._means.folder, self.batch.id
        if self.batch.status != "finalizing":
            results = await asyncio.to_thread(Results, folder.output(id_), folder.errors(id_))
            try:
                if not await self._work(results):
                    return
            finally:
                await results.close()
        await self._publish()

    async def _work(self, results: Results) -> bool:
        """Check and ask; whether there is something to publish."""
        reader = await self._read(results)
        if self._reason is None and self.batch.status == "validating":
            if reader.errors:
                await self._fail(reader)
                return False
            await self._begin(reader)
        if self._reason is None:
            await self._ask_all(reader.plan, results)
        if self._reason == "expired":
            await self._tell_expired(results)
        counts = results.counts(max(self.batch.counts.total, results.completed + results.failed))
        finalizing = replace(
            self.batch, status="finalizing", finalizing_at=self._now(), counts=counts, tokens=results.tokens
        )
        if self._reason == "cancelled":
            finalizing = replace(finalizing, cancelling_at=self.batch.cancelling_at or self._now())
        await self._save(replace(finalizing, **{f"{self._reason}_at": self._now()} if self._reason else {}))
        return True

    # checking

    async def _read(self, results: Results) -> Reader:
        """Read the input: all lines are checked once, later only found again."""
        means, batch = self._means, self.batch
        check = partial(means.asker.check, batch) if batch.status == "validating" else read_model
        reader = Reader(endpoint=batch.endpoint, check=check, done=results.done)
        limit = means.line_limit()
        lines = read_lines(self._input, limit=limit)
        while self._reason is None and await asyncio.to_thread(_read_some, reader, lines, limit):
            pass
        return reader

    async def _begin(self, reader: Reader) -> None:
        models = reader.plan.models
        counts = replace(self.batch.counts, total=reader.total)
        model = models[0] if len(models) == 1 else None
        await self._save(
            replace(self.batch, status="in_progress", in_progress_at=self._now(), counts=counts, model=model)
        )

    async def _fail(self, reader: Reader) -> None:
        counts = replace(self.batch.counts, total=0)
        await self._save(
            replace(self.batch, status="failed", failed_at=self._now(), counts=counts, errors=tuple(reader.errors))
        )
        await asyncio.to_thread(self._means.folder.end_batch, self.batch.id)

    # asking

    async def _ask_all(self, plan: Plan, results: Results) -> None:
        """Ask every line of the plan, several at once, unless somebody stops it."""
        tasks: set[asyncio.Task[None]] = set()
        failed: list[asyncio.Task[None]] = []

        def end(task: asyncio.Task[None]) -> None:
            tasks.discard(task)
            self._left -= 1
            if task.cancelled() or task.exception() is not None:
                failed.append(task)
            self._moved.set()

        lines = iter(range(len(plan)))
        self._left = len(plan)
        try:
            while self._reason is None and not failed:
                for index in islice(lines, max(0, self._means.lines_at_once() - len(tasks))):
                    task = asyncio.create_task(self._ask_line(*plan[index], results))
                    tasks.add(task)
                    task.add_done_callback(end)
                if not tasks:
                    return
                await self._wait_for_a_move()
                await self._save_progress(results)
        finally:
            for task in (asking := list(tasks)):
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)
        if self._reason is None:
            failed[0].result()

    async def _wait_for_a_move(self) -> None:
        """Until a line has ended, or somebody stops it; now and then all the same."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SAVE_EVERY_S):
                await self._moved.wait()
        self._moved.clear()

    async def _ask_line(self, start: int, end: int, model: str, results: Results) -> None:
        id_ = f"batch_req_{self._means.random_hex(24)}"
        custom_id, outcome = await self._ask(start, end, model, id_)
        text = answered_line(id_, custom_id, id_, outcome)
        await results.add(text, custom_id, answered=outcome.answered, tokens=outcome.tokens)
        self._means.count("completed" if outcome.answered else "failed", 1)

    async def _ask(self, start: int, end: int, model: str, request_id: str) -> tuple[str, Outcome]:
        """Ask until there is an answer, or no sense in asking again."""
        failures, wait_s = 0, FIRST_WAIT_S
        while True:
            custom_id, came = await self._ask_once(start, end, model, request_id)
            if isinstance(came, Outcome):
                return custom_id, came
            failures += not came.patient
            alone = came.crowded and not self._asking  # no reservation but its own is in its way: it does not fit
            if alone or failures > self._means.retries():
                return custom_id, came.outcome
            if came.crowded:
                await self._one_less.wait()
                continue
            await asyncio.sleep(max(wait_s, came.after_s or 0.0))
            wait_s = min(wait_s * 2, LONGEST_WAIT_S)

    async def _ask_once(self, start: int, end: int, model: str, request_id: str) -> tuple[str, Outcome | Later]:
        """Ask when it is this line's turn: only then it is in memory."""
        turns = self._means.turns
        await turns.take(model)
        self._asking += 1
        try:
            line = read_line(await asyncio.to_thread(read_piece, self._input, start, end))
            return line.custom_id, await self._means.asker.ask(self.batch, bytes(line.body), request_id)
        finally:
            self._asking -= 1
            self._one_less.set()
            self._one_less = asyncio.Event()
            turns.give_back(model)

    # ending

    async def _tell_expired(self, results: Results) -> None:
        """Write an error for every line that was not asked in time."""
        lines = read_lines(self._input, limit=self._means.line_limit())
        while some := await asyncio.to_thread(_unasked_ids, lines, results.done):
            ids = [(f"batch_req_{self._means.random_hex(24)}", custom_id) for custom_id in some if custom_id]
            self._means.count("expired", len(ids))
            await asyncio.gather(
                *(
                    results.add(unasked_line(id_, custom_id, "batch_expired", EXPIRED), custom_id, answered=False)
                    for id_, custom_id in ids
                )
            )

    async def _publish(self) -> None:
        """Make files of what was written, and end."""
        folder, batch = self._means.folder, self.batch
        output = await self._publish_one("output", batch.output_file_id)
        errors = await self._publish_one("error", batch.error_file_id)
        status: Status = "cancelled" if batch.cancelled_at else "expired" if batch.expired_at else "completed"
        ended = replace(
            batch,
            status=status,
            completed_at=self._now() if status == "completed" else None,
            output_file_id=output.id if output else None,
            error_file_id=errors.id if errors else None,
        )
        await self._save(ended, *(file for file in (output, errors) if file is not None))
        await asyncio.to_thread(folder.end_batch, batch.id)

    async def _publish_one(self, kind: Literal["output", "error"], id_: str | None) -> FileEntry | None:
        folder, batch = self._means.folder, self.batch
        path = folder.output(batch.id) if kind == "output" else folder.errors(batch.id)
        size = await asyncio.to_thread(folder.publish, path, id_ or "")
        if size is None or id_ is None:
            return None
        now = self._now()
        return FileEntry(
            id=id_,
            owner=batch.owner,
            filename=f"{batch.id}_{kind}.jsonl",
            purpose="batch_output",
            bytes=size,
            created_at=now,
            expires_at=None if batch.keep_s is None else now + batch.keep_s,
        )

    # what is known of it

    async def _save_progress(self, results: Results) -> None:
        now = self._means.monotonic()
        counts = results.counts(self.batch.counts.total)
        if now - self._saved_at >= SAVE_EVERY_S and counts != self.batch.counts:
            self._saved_at = now
            await self._save(replace(self.batch, counts=counts, tokens=results.tokens))

    async def _save(self, batch: Batch, *files: FileEntry) -> None:
        await asyncio.to_thread(self._means.tables.save, batch, files)
        self.batch = batch

    def _now(self) -> int:
        return int(self._means.wall())


def _read_some(reader: Reader, lines: Iterator[tuple[int, bytes | None]], limit: int) -> bool:
    """Read a slice of the input; whether there may be more."""
    size = 0
    for count, (start, text) in enumerate(lines, 1):
        if text is None:
            reader.take_too_long(limit)
        else:
            reader.take(start, text)
            size += len(text)
        if reader.full:
            return False
        if count >= LINES_AT_ONCE or size >= BYTES_AT_ONCE:
            return True
    reader.end()
    return False


def _unasked_ids(lines: Iterator[tuple[int, bytes | None]], done: set[str]) -> list[str]:
    """A slice of the input: the ids of its lines, empty for those that have ended, and for what is no line."""
    return ["" if (id_ := _id(text)) in done else id_ for _, text in islice(lines, LINES_AT_ONCE)]


def _id(text: bytes | None) -> str:
    try:
        return read_line(text or b"").custom_id
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):  # nobody may have checked it
        return ""
