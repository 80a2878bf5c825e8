"""Parser processes: real ones, that are killed, hang and grow, and what becomes of the next file."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from hanok.errors import DocumentRefused, KnowledgeError
from hanok.knowledge.parsing.client import COMMAND, Parsers
from hanok.knowledge.parsing.frames import Order, framed
from hanok.knowledge.parsing.parse import parse
from hanok.knowledge.splitting.passages import split
from hanok.knowledge.splitting.semantic import split_semantic
from hanok.knowledge.values import Document, Entry
from hanok.spec import SPLITS, Parsing, Split
from tests.rooms.knowledge import files
from tests.rooms.knowledge.test_splitting import by_letters

ODD = """
import os, sys, time
from hanok.knowledge.children import parser
well = parser.parse
def parse(entry, data, limits):
    match entry.path:
        case "killed.md": os.kill(os.getpid(), 9)
        case "loops.md":
            while True: pass
        case "fails.md": raise KeyError("nobody foresaw this")
        case "grows.md": bytearray(8 << 30)
        case "aborts.md":
            print("memory allocation of 123 bytes failed", file=sys.stderr, flush=True)
            os.abort()
        case "prints.md": os.write(1, b"a library speaks")
        case "leaves.md": parser._address_space = lambda: 1 << 60
        case "waits.md":
            print(flush=True, file=open(data.decode(), "w"))
            time.sleep(60)
    return well(entry, data, limits)
parser.parse = parse
parser.main()
"""
"""A parser that does to itself what files do, by their names."""
LIMITS = Parsing(timeout_s=20)


def test_a_parser_that_cannot_be_started_says_so() -> None:
    async def parse_one() -> None:
        parsers = Parsers(command=["/nowhere/parser"])
        await parsers.parse(Entry(uri="a.md", path="a.md"), b"text", LIMITS)

    with pytest.raises(KnowledgeError, match="no process can be started to read files"):
        asyncio.run(parse_one())


def entry(path: str) -> Entry:
    return Entry(uri=path, path=path)


def with_parsers(
    use: Callable[[Parsers], Awaitable[None]], *, odd: bool = False, processes: int = 1, help_after_s: float = 60.0
) -> None:
    async def run() -> None:
        command = (sys.executable, "-c", ODD) if odd else COMMAND
        parsers = Parsers(processes=processes, command=command, help_after_s=help_after_s)
        try:
            await use(parsers)
        finally:
            await parsers.aclose()

    asyncio.run(run())


async def refusal(parsers: Parsers, path: str, data: bytes = b"# text", limits: Parsing = LIMITS) -> DocumentRefused:
    with pytest.raises(DocumentRefused) as refused:
        await parsers.parse(entry(path), data, limits)
    assert refused.value.message.startswith(path)
    return refused.value


def test_a_document_comes_back_as_it_was_read():
    data = files.pptx(("First", ["one"]), ("둘째", ["둘 👩‍💻"]))

    async def use(parsers: Parsers) -> None:
        assert await parsers.parse(entry("a.pptx"), data, LIMITS) == parse(entry("a.pptx"), data, LIMITS)
        assert (await refusal(parsers, "a.png")).code == "unknown_format"
        assert (await refusal(parsers, "a.png")).hint is not None

    with_parsers(use)


def test_a_process_that_waits_too_long_is_ended_and_another_reads_the_next_file():
    async def run() -> None:
        parsers = Parsers(processes=1, idle_s=0.0)
        try:
            for _ in range(2):
                await parsers.parse(entry("a.md"), b"# text", LIMITS)
                async with asyncio.timeout(20):
                    while parsers.waiting:
                        await asyncio.sleep(0.01)
        finally:
            await parsers.aclose()

    asyncio.run(run())


@pytest.mark.parametrize("strategy", ["fixed", "token", "markdown", "code", "semantic"])
def test_passages_are_those_that_the_document_has(strategy: str):
    data = "".join(
        f"# Part {n}\n\n{'A sentence about tea. 차에 관한 문장. ' * (n % 90)}\n\n" for n in range(180)
    ).encode()
    rule = Split.model_validate({"strategy": strategy, "size": 400})

    async def use(parsers: Parsers) -> None:
        parted = await parsers.parse_and_split(entry("a.md"), data, LIMITS, (rule, *SPLITS))
        document = parse(entry("a.md"), data, LIMITS)
        assert (parted.title, parted.type, parted.media_type) == ("Part 0", "documentation", "text/markdown")
        assert (parted.rule, parted.characters) == (rule, len(document.text))
        assert await parted.passages(by_letters) == await expected(document, rule)

    with_parsers(use)


async def expected(document: Document, rule: Split) -> object:
    return (
        await split_semantic(document, rule, by_letters) if rule.strategy == "semantic" else list(split(document, rule))
    )


@pytest.mark.parametrize(
    ("path", "code", "said"),
    [
        ("killed.md", "crashed", "signal 9"),
        ("fails.md", "crashed", "nobody foresaw this"),
        ("grows.md", "out_of_memory", "parse.memory_mib"),
        ("aborts.md", "out_of_memory", "parse.memory_mib"),
    ],
)
def test_a_file_that_breaks_its_parser_is_refused_alone(path: str, code: str, said: str):
    async def use(parsers: Parsers) -> None:
        error = await refusal(parsers, path)
        assert error.code == code and said in error.message
        assert (await parsers.parse(entry("next.md"), b"# next", LIMITS)).title == "next"

    with_parsers(use, odd=True)


def test_a_file_that_takes_too_long_is_refused_and_its_parser_ended():
    async def use(parsers: Parsers) -> None:
        error = await refusal(parsers, "loops.md", limits=Parsing(timeout_s=0.2))
        assert error.code == "timeout" and "0.2 s" in error.message
        assert (await parsers.parse(entry("next.md"), b"# next", LIMITS)).title == "next"

    with_parsers(use, odd=True)


def test_a_library_that_needs_too_much_memory_costs_its_file_only():
    rows = b"a,b,c,d\n" + b"1,22,333,hello world\n" * 900_000

    async def use(parsers: Parsers) -> None:
        assert (await refusal(parsers, "a.csv", rows, Parsing(memory_mib=256))).code == "out_of_memory"
        assert (await parsers.parse(entry("b.csv"), b"a,b\n1,2\n", LIMITS)).type == "table"

    with_parsers(use)


def test_a_parser_that_has_grown_is_relieved_by_another():
    async def use(parsers: Parsers) -> None:
        assert (await parsers.parse(entry("leaves.md"), b"# once", LIMITS)).title == "once"
        assert (await parsers.parse(entry("next.md"), b"# next", LIMITS)).title == "next"

    with_parsers(use, odd=True)


def test_what_a_library_prints_is_no_answer():
    async def use(parsers: Parsers) -> None:
        assert (await parsers.parse(entry("prints.md"), b"# fine", LIMITS)).title == "fine"

    with_parsers(use, odd=True)


def test_whoever_stops_waiting_ends_the_parser_and_the_next_file_has_another(tmp_path: Path):
    sign = tmp_path / "reading"
    os.mkfifo(sign)

    async def use(parsers: Parsers) -> None:
        waiting = asyncio.create_task(parsers.parse(entry("waits.md"), str(sign).encode(), LIMITS))
        await asyncio.to_thread(sign.read_text)  # returns when the parser has opened it
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert (await parsers.parse(entry("next.md"), b"# next", LIMITS)).title == "next"

    with_parsers(use, odd=True)


@pytest.mark.parametrize(("help_after_s", "started"), [(0.0, 2), (60.0, 1)])
def test_many_ask_at_once_each_gets_his_own_and_another_process_starts_for_who_waits_long(
    help_after_s: float, started: int
):
    async def use(parsers: Parsers) -> None:
        await parsers.warm()
        asked = [parsers.parse(entry(f"{n}.md"), f"# {n}".encode(), LIMITS) for n in range(40)]
        assert [document.title for document in await asyncio.gather(*asked)] == [str(n) for n in range(40)]
        assert parsers.waiting == started

    with_parsers(use, processes=2, help_after_s=help_after_s)


def test_a_parser_ends_with_its_input_and_not_by_an_interrupt():
    process = subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None and process.stdout is not None
    order = Order(entry=entry("a.md"), size=1, limits=LIMITS.model_dump())
    process.stdin.write(framed(order) + b"x")
    process.stdin.flush()
    assert process.stdout.read(1)  # it runs
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert process.returncode == 0
