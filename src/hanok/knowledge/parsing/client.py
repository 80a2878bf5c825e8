"""Parser processes, asked from the event loop: what a file can do to its reader, it does to one of them.

One is started when there is a file to read, another when a file has been waiting for a while: a start takes half a
second of processor time, in which the first reads hundreds of files. Each reads one at a time, and one that ends while
it does is not started again for the same file: that file is refused, with how the process ended as the reason.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import tempfile
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import IO

from hanok.errors import DocumentRefused, KnowledgeError
from hanok.knowledge.framing import read_frame
from hanok.knowledge.parsing.frames import (
    Answer,
    End,
    Facts,
    Order,
    Part,
    Refused,
    Whole,
    framed,
    read_answer,
)
from hanok.knowledge.parsing.refusals import MIB, OUT_OF_MEMORY, crashed, out_of_memory, timed_out
from hanok.knowledge.splitting.semantic import Embed, Stretch, settle
from hanok.knowledge.values import Document, Entry, Passage
from hanok.spec import DocumentType, Parsing, Split

COMMAND = (sys.executable, "-m", "hanok.knowledge.children.parser")
PATIENCE_S = 30.0
"""How much longer than its own limit a process may be silent: to start, and to give way to others."""
HELP_AFTER_S = 1.0
"""How long a file waits for a process that reads another before one more is started."""
_AT_ONCE_BYTES = MIB // 4
_LAST_WORDS_BYTES = 2000
_END_LIMIT_S = 5.0


@dataclass(frozen=True, kw_only=True)
class Parted:
    """A document that was read and split by `rule`, as far as that needs no embedder. `characters` is its length."""

    title: str
    type: DocumentType
    media_type: str
    characters: int
    rule: Split
    pieces: tuple[Passage, ...] = ()
    stretches: tuple[Stretch, ...] = ()

    async def passages(self, embed: Embed) -> list[Passage]:
        """Its passages, in order. `embed` is asked by the strategy `semantic` alone; its errors pass through."""
        return await settle(self.stretches, self.rule, embed) if self.stretches else list(self.pieces)


class Parsers:
    """Reads files in processes of their own, `processes` at most. Close it when there is nothing more to read.

    A process that waits for a file longer than `idle_s` is ended; None lets it wait. A file that waits for a process
    longer than `help_after_s` has another started.
    """

    def __init__(
        self,
        *,
        processes: int = 2,
        command: Sequence[str] = COMMAND,
        idle_s: float | None = None,
        help_after_s: float = HELP_AFTER_S,
    ) -> None:
        self._command = command
        self._idle_s = idle_s
        self._help_after_s = help_after_s
        self._busy = 0
        self._came_back = asyncio.Event()
        self._ending: set[asyncio.Task[None]] = set()
        self._turns = asyncio.Semaphore(processes)
        self._idle: list[_Parser] = []

    @property
    def waiting(self) -> int:
        """How many processes wait for a file."""
        return len(self._idle)

    async def parse(self, entry: Entry, data: bytes, limits: Parsing) -> Document:
        """The document in a file. Raises `DocumentRefused` when it cannot be taken.

        Raises `KnowledgeError` when no process can be started.
        """
        answers = await self._ask(entry, data, limits, None)
        return next(answer.document for answer in answers if isinstance(answer, Whole))

    async def parse_and_split(self, entry: Entry, data: bytes, limits: Parsing, splits: Sequence[Split]) -> Parted:
        """The passages of the document in a file. Raises as `parse` does."""
        answers = await self._ask(entry, data, limits, splits)
        facts = next(answer for answer in answers if isinstance(answer, Facts))
        parts = [answer for answer in answers if isinstance(answer, Part)]
        return Parted(
            title=facts.title,
            type=facts.type,
            media_type=facts.media_type,
            characters=facts.characters,
            rule=splits[facts.rule],
            pieces=tuple(passage for part in parts for passage in part.passages),
            stretches=tuple(run for part in parts for run in part.stretches),
        )

    async def warm(self) -> None:
        """Have a process that starts while nothing is to be read yet. Raises `KnowledgeError` when that cannot be."""
        if not self._idle and not self._busy:
            self._idle.append(await _Parser.start(self._command))

    async def aclose(self) -> None:
        """End the processes. What is being read is ended by cancelling whoever waits for it."""
        idle, self._idle = self._idle, []
        for parser in idle:
            await parser.kill()  # it has nothing to end
        await asyncio.gather(*self._ending, return_exceptions=True)

    async def _ask(self, entry: Entry, data: bytes, limits: Parsing, splits: Sequence[Split] | None) -> list[Answer]:
        told = None if splits is None else [split.model_dump() for split in splits]
        order = Order(entry=entry, size=len(data), limits=limits.model_dump(), splits=told)
        async with self._process() as parser:
            try:
                async with asyncio.timeout(limits.timeout_s + PATIENCE_S):
                    answers = await parser.ask(order, data)
            except BaseException as error:
                await parser.kill()
                raise _why(entry.path, limits, parser, error) from error
            await self._keep(parser, answers[-1])
        if isinstance(refusal := answers[0], Refused):
            raise DocumentRefused(refusal.message, code=refusal.code, hint=refusal.hint)
        return answers

    @contextlib.asynccontextmanager
    async def _process(self) -> AsyncGenerator[_Parser]:
        async with self._turns:
            await self._wait_for_idle()
            self._busy += 1
            try:
                yield await self._ready()
            finally:
                self._busy -= 1
                self._came_back.set()

    async def _wait_for_idle(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._help_after_s):
                while self._busy and not self._idle:
                    self._came_back.clear()
                    await self._came_back.wait()

    async def _ready(self) -> _Parser:
        while self._idle:
            if (parser := self._idle.pop()).alive:
                return parser
            await parser.kill()
        return await _Parser.start(self._command)

    async def _keep(self, parser: _Parser, last: Answer) -> None:
        if isinstance(last, End) and not last.leaving:
            self._idle.append(parser)
            parser.asked += 1
            if self._idle_s is not None:
                asyncio.get_running_loop().call_later(self._idle_s, self._end_idle, parser, parser.asked)
        else:
            await parser.end()

    def _end_idle(self, parser: _Parser, asked: int) -> None:
        """End a process that was asked nothing since then."""
        if parser in self._idle and parser.asked == asked:
            self._idle.remove(parser)
            ending = asyncio.create_task(parser.end())
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)


def _why(path: str, limits: Parsing, parser: _Parser, error: BaseException) -> BaseException:
    """What the end of a process says of the file that it was reading; other errors are what they are."""
    if isinstance(error, TimeoutError) or parser.code == -signal.SIGALRM:
        return timed_out(path, limits.timeout_s)
    if not isinstance(error, EOFError | OSError):
        return error
    if any(said in parser.last_words for said in OUT_OF_MEMORY):
        return out_of_memory(path)
    code = parser.code or 0
    return crashed(path, f"the parser ended with {f'signal {-code}' if code < 0 else f'exit code {code}'}")


def _unstarted(error: OSError) -> KnowledgeError:
    message = f"no process can be started to read files: {error}"
    return KnowledgeError(message, hint="look how many processes and open files the machine allows, and what runs")


class _Parser:
    """One process, and how to ask it."""

    def __init__(self, process: asyncio.subprocess.Process, errors: IO[bytes]) -> None:
        self._process = process
        self._errors = errors
        self.asked = 0
        """How many files it has read."""
        self.code: int | None = None
        """How it ended by itself while it was asked: None when it did not."""
        self.last_words = ""
        """What it said of its troubles then."""

    @classmethod
    async def start(cls, command: Sequence[str]) -> _Parser:
        """Start one. Raises `KnowledgeError` when that cannot be."""
        try:
            errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        except OSError as error:
            raise _unstarted(error) from error
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                limit=_AT_ONCE_BYTES,
            )
        except OSError as error:
            errors.close()
            raise _unstarted(error) from error
        except BaseException:
            errors.close()
            raise
        return cls(process, errors)

    @property
    def alive(self) -> bool:
        return self._process.returncode is None

    async def ask(self, order: Order, data: bytes) -> list[Answer]:
        """All answers to an order. Raises `EOFError` or `OSError` when the process ends instead."""
        assert self._process.stdin is not None
        self._process.stdin.write(framed(order))
        try:
            for start in range(0, len(data), _AT_ONCE_BYTES):
                self._process.stdin.write(data[start : start + _AT_ONCE_BYTES])
                await self._process.stdin.drain()
            answers = [await self._answer()]
            while not isinstance(answers[-1], End):
                answers.append(await self._answer())
        except (EOFError, OSError):
            self.code, self.last_words = await self._process.wait(), self._heard()
            raise
        return answers

    async def _answer(self) -> Answer:
        assert self._process.stdout is not None
        return read_answer(await read_frame(self._process.stdout))

    async def end(self) -> None:
        """Let it end by itself."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_END_LIMIT_S):
                await self._process.wait()
        await self.kill()

    async def kill(self) -> None:
        """End it now."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        try:
            await self._process.wait()
        finally:
            self._errors.close()

    def _heard(self) -> str:
        self._errors.seek(max(0, self._errors.seek(0, 2) - _LAST_WORDS_BYTES))
        return self._errors.read().decode("utf-8", "replace")
