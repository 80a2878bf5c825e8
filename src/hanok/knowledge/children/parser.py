"""`python -m hanok.knowledge.children.parser`: reads files that it is given on its input, until that ends.

It may be stopped by any file: the kernel ends it when a file takes too long (SIGALRM) or grows beyond the limit on its
address space, and whoever asked starts another. It gives way to everything else on the machine (nice 10).
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sys
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, TypeVar

from hanok.errors import DocumentRefused
from hanok.knowledge.framing import take_frame
from hanok.knowledge.parsing.frames import (
    PART_CHARACTERS,
    Answer,
    End,
    Facts,
    Order,
    Part,
    Refused,
    Whole,
    framed,
    read_order,
)
from hanok.knowledge.parsing.parse import parse
from hanok.knowledge.parsing.refusals import MIB, crashed, out_of_memory
from hanok.knowledge.splitting.passages import split
from hanok.knowledge.splitting.rules import rule_for
from hanok.knowledge.splitting.semantic import Stretch, lay_out
from hanok.knowledge.values import Document, Passage
from hanok.spec import Parsing, Split

_Piece = TypeVar("_Piece", Passage, Stretch)
_NICE = 10
_RESERVED_BYTES = 384 * MIB
"""Of address space, for the library itself and what its threads set aside without using it."""


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the end of our input ends us, after the file at hand
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError):
        os.nice(_NICE)
    os.environ.update(RAYON_NUM_THREADS="1", TOKIO_WORKER_THREADS="1")
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    with contextlib.suppress(BrokenPipeError):
        _serve(sys.stdin.buffer, answers)


def _serve(orders: BinaryIO, answers: BinaryIO) -> None:
    at_start = _address_space()
    while told := take_frame(orders):
        order = read_order(told)
        data = orders.read(order.size)
        if len(data) < order.size:
            return
        leaving = False
        for answer in _answers(order, data, at_start):
            answers.write(framed(answer))
            leaving = isinstance(answer, End) and answer.leaving
        answers.flush()
        if leaving:
            return


def _answers(order: Order, data: bytes, at_start: int) -> Iterator[Answer]:
    limits = Parsing.model_validate(order.limits)
    signal.setitimer(signal.ITIMER_REAL, limits.timeout_s)
    memory = round(limits.memory_mib * MIB)
    with _limited(memory):
        yield from _result(order, data, limits)
    signal.setitimer(signal.ITIMER_REAL, 0)
    yield End(leaving=_address_space() > at_start + _RESERVED_BYTES + memory // 2)


def _result(order: Order, data: bytes, limits: Parsing) -> list[Answer]:
    path = order.entry.path
    try:
        document = parse(order.entry, data, limits)
        if order.splits is None:
            return [Whole(document=document)]
        return _parted(path, document, [Split.model_validate(split) for split in order.splits])
    except DocumentRefused as error:
        return [_told(error)]
    except MemoryError:
        return [_told(out_of_memory(path))]
    except Exception as error:  # noqa: BLE001 - whatever it is, the next file must be read
        return [_told(crashed(path, f"{type(error).__name__}: {error}"))]


def _told(error: DocumentRefused) -> Refused:
    return Refused(code=error.code, message=error.message, hint=error.hint)


def _parted(path: str, document: Document, splits: list[Split]) -> list[Answer]:
    rule = rule_for(path, document.type, splits)
    facts = Facts(
        title=document.title,
        type=document.type,
        media_type=document.media_type,
        characters=len(document.text),
        rule=splits.index(rule),
    )
    if rule.strategy == "semantic":
        return [facts, *(Part(stretches=stretches) for stretches in _batched(lay_out(document, rule)))]
    return [facts, *(Part(passages=passages) for passages in _batched(split(document, rule)))]


def _batched(pieces: Iterable[_Piece]) -> Iterator[list[_Piece]]:
    batch: list[_Piece] = []
    characters = 0
    for piece in pieces:
        batch.append(piece)
        characters += len(piece.text)
        if characters > PART_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


@contextlib.contextmanager
def _limited(memory_bytes: int) -> Generator[None]:
    """Let the address space grow by no more than that, where the system can tell how large it is."""
    if not (now := _address_space()):
        yield
        return
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    wanted = now + memory_bytes + _RESERVED_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))


def _address_space() -> int:
    """In bytes; 0 where it cannot be told."""
    try:
        pages = Path("/proc/self/statm").read_text().split()[0]
    except OSError:
        return 0
    return int(pages) * resource.getpagesize()


if __name__ == "__main__":
    main()
