"""The load generator: a few connections to one gateway, each sending its next request when its answer is complete.

The ideas that keep it cheap, and so never the narrow place of a measurement: the bytes of the request are built once,
a connection is a bare protocol on uvloop, and while answers arrive their pieces are only laid aside; they are checked
once, when an answer is complete. Every answer is checked: a gateway gets no credit for fast errors.

    python bench/load.py --port 8000 --connections 32 --seconds 3
    python bench/load.py --port 8000 --connections 200 --seconds 3 --stream --chunks 50
    python bench/load.py --port 8000 --connections 500 --seconds 3 --slowly --chunks 200 --spread 3.3
    python bench/load.py --port 8000 --connections 16 --mixed --answers 50000 --sessions 10000
    python bench/load.py --port 8000 --connections 1 --seconds 3 --beside-port 9000

prints one JSON object. With --slowly the engine streams at a steady pace and stamps its chunks: how late they are, and
what a gap between two of them has here beyond what it had at the engine, is reported. With --mixed every second answer
of a connection is streamed. With --beside-port every request is followed by the same one straight to the engine at that
port, so that both latencies are taken at the same time, under the same noise of the machine. Every request names a
session (that of its connection, or with --sessions the next of so many) and continues a trace. Load goes to 127.0.0.1
only.
"""

import argparse
import asyncio
import gc
import itertools
import json
import time
from array import array
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import cast

import httptools
import uvloop

from fake_engine import MODEL, SLOWLY, STAMP_DIGITS, WORD

HOST = "127.0.0.1"
PATH = "/v1/chat/completions"
STALLED = 30.0  # seconds without a byte after which an answer under way counts as lost
CONNECTING_AT_ONCE = 20
STAMP = f"{WORD} ".encode()  # stands before the moment a chunk left the engine


def request_body(stream: bool, model: str = MODEL, slowly: bool = False, before: str = "") -> bytes:
    """before: what the system message begins with."""
    pace = f"Answer {SLOWLY}. " if slowly else ""
    body: dict[str, object] = {
        "model": model,
        "messages": [
            {"role": "system", "content": f"{before}You are a helpful assistant that answers in one short sentence."},
            {
                "role": "user",
                "content": f"{pace}Which animal of the savanna has black and white stripes, and are they unique?",
            },
        ],
        "max_tokens": 256,
        "temperature": 0.7,
    }
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return json.dumps(body).encode()


@dataclass(frozen=True)
class Target:
    """Where requests go, and what a gateway wants in them."""

    port: int
    path: str = PATH
    model: str = MODEL
    headers: dict[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class Question:
    """One kind of request, as its bytes around the number of its session, and what is wrong with an answer to it."""

    pieces: tuple[bytes, bytes, bytes]
    streamed: bool
    fault: Callable[[int, bytes], str | None]

    def of_session(self, number: int) -> bytes:
        first, second, third = self.pieces
        digits = b"%06d" % number
        return first + digits + second + digits + third


def question(target: Target, stream_chunks: int | None, slowly: bool = False, before: str = "") -> Question:
    """stream_chunks: how many a streamed answer has; None: it is not streamed."""
    body = request_body(stream_chunks is not None, target.model, slowly, before)
    lines = [f"POST {target.path} HTTP/1.1", f"Host: {HOST}:{target.port}", "Content-Type: application/json"]
    lines += [f"Content-Length: {len(body)}", *(f"{name}: {value}" for name, value in target.headers.items())]
    # The same for every gateway, also for those that make nothing of it. Decimal digits are hexadecimal ones too.
    first = "\r\n".join([*lines, "x-session-id: bench-"]).encode()
    second = b"\r\ntraceparent: 00-4bf92f3577b34da6a3ce929d0e"
    third = b"-00f067aa0ba902b7-01\r\n\r\n" + body

    def fault(status: int, answer: bytes) -> str | None:
        if stream_chunks is None:
            return fault_of_completion(status, answer)
        return fault_of_stream(status, answer, stream_chunks)

    return Question((first, second, third), stream_chunks is not None, fault)


def fault_of_completion(status: int, body: bytes) -> str | None:
    """What is wrong with a whole answer; None: nothing."""
    if status != 200:
        return f"status {status}: {body[:200].decode(errors='replace')}"
    if WORD.encode() not in body or b'"usage"' not in body:
        return f"not the engine's answer: {body[:200].decode(errors='replace')}"
    return None


def fault_of_stream(status: int, body: bytes, chunks: int) -> str | None:
    """What is wrong with a streamed answer; None: nothing."""
    if status != 200:
        return f"status {status}: {body[:200].decode(errors='replace')}"
    words = body.count(WORD.encode())
    if words != chunks:
        return f"{words} of {chunks} chunks arrived"
    if b'"prompt_tokens"' not in body:
        return "the usage asked for is missing"
    if not body.rstrip().endswith(b"[DONE]"):
        return f"the stream does not end in [DONE]: {body[-100:].decode(errors='replace')}"
    return None


@dataclass
class Record:
    """What one target answered."""

    latencies: list[float] = field(default_factory=list[float])
    gaps_ms: "array[float]" = field(default_factory=lambda: array("d"))  # between chunks, beyond the engine's own
    delays_ms: "array[float]" = field(default_factory=lambda: array("d"))  # from the engine to here
    events: int = 0
    answers: int = 0  # all, also those before and after the time measured
    streams: int = 0  # how many of them were streamed
    errors: int = 0
    first_error: str = ""

    def fault(self, what: str) -> None:
        self.errors += 1
        self.first_error = self.first_error or what


class Connection(asyncio.Protocol):
    """One keep-alive connection with at most one request on it. It connects again when the gateway closes it."""

    def __init__(self, port: int, questions: list[Question], sessions: Iterator[int], record: Record) -> None:
        self.port = port
        self.questions = itertools.cycle(questions)
        self.question = questions[0]  # the one under way
        self.sessions = sessions
        self.record = record
        self.then: Callable[[], None] = self.send  # what follows an answer
        self.pieces: list[bytes] = []
        self.on_body = self.pieces.append  # called by the parser
        self.late_ns: int | None = None  # how late the last stamped chunk was
        self.transport: asyncio.Transport | None = None
        self.wanted = False  # a request is to go out as soon as there is a connection
        self.in_flight = False  # a request went out, its answer is not complete
        self.stopped = False  # sends no more; an answer under way may still come
        self.closed = False  # by this side
        self.started = 0.0
        self.heard = 0.0  # when the gateway last sent something
        self.reconnecting: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        await asyncio.get_running_loop().create_connection(lambda: self, HOST, self.port)

    async def connect_again(self) -> None:
        while not self.stopped:
            try:
                await self.connect()
            except OSError as error:
                self.record.fault(f"cannot connect: {error}")
                await asyncio.sleep(0.1)
            else:
                return

    def send(self) -> None:
        self.wanted = self.transport is None
        if self.transport is not None:
            self.in_flight = True
            self.question = next(self.questions)
            request = self.question.of_session(next(self.sessions))
            self.late_ns = None
            self.started = self.heard = time.perf_counter()
            self.transport.write(request)

    def close(self) -> None:
        self.stopped = self.closed = True
        if self.transport is not None:
            self.transport.close()

    def lost(self, why: str) -> None:
        """The answer under way will not come: ask again on the next connection."""
        self.record.fault(why)
        self.in_flight = False
        self.wanted = True

    def unfinished_events(self) -> int:
        return b"".join(self.pieces).count(b"data:")

    def watch_pace(self) -> None:
        """From now on every chunk's stamp is looked at."""
        self.on_body = self.on_stamped_body

    def on_stamped_body(self, body: bytes) -> None:
        self.pieces.append(body)
        now = time.monotonic_ns()
        found = body.find(STAMP)
        while found >= 0:
            digits = body[found + len(STAMP) : found + len(STAMP) + STAMP_DIGITS]
            if len(digits) == STAMP_DIGITS:  # one that was cut in two is let go
                late_ns = now - int(digits)
                self.record.delays_ms.append(late_ns / 1e6)
                if self.late_ns is not None:
                    self.record.gaps_ms.append((late_ns - self.late_ns) / 1e6)
                self.late_ns = late_ns
            found = body.find(STAMP, found + len(STAMP))

    # -- what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's has the methods, not the base class
        self.parser = httptools.HttpResponseParser(self)
        self.pieces.clear()
        if self.wanted:
            self.send()

    def data_received(self, data: bytes) -> None:
        self.heard = time.perf_counter()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError as error:
            self.lost(f"not HTTP: {error}")
            if self.transport is not None:
                self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        if self.in_flight and not self.closed:
            self.lost(f"the connection was closed before its answer was complete ({exc})")
        if not self.stopped:
            self.reconnecting = asyncio.get_running_loop().create_task(self.connect_again())

    # -- what the parser calls

    def on_message_complete(self) -> None:
        took = time.perf_counter() - self.started
        body = b"".join(self.pieces)
        self.pieces.clear()
        self.in_flight = False
        record = self.record
        record.answers += 1
        record.events += body.count(b"data:")
        record.streams += self.question.streamed
        fault = self.question.fault(self.parser.get_status_code(), body)
        if fault is None:
            record.latencies.append(took)
        else:
            record.fault(fault)
        if not self.parser.should_keep_alive() and self.transport is not None:
            self.transport.close()
            self.transport = None
        if not self.stopped:
            self.then()


@dataclass
class Report:
    """The figures of one run, for one target."""

    seconds: float
    answers: int
    streams: int
    events: int  # of all answers, those cut off too
    errors: int
    first_error: str
    per_s: float
    events_per_s: float
    p50_ms: float
    p99_ms: float
    gap_p99_ms: float  # of stamped chunks
    delay_p99_ms: float


def percentile(ordered: list[float], part: float) -> float:
    if not ordered:
        return 0.0
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


class Run:
    """Connections to one target, and what they saw in the time measured."""

    def __init__(self, connections: list[Connection], record: Record) -> None:
        self.connections = connections
        self.record = record
        self.answers_at_start = 0
        self.events_at_start = 0
        self.gaps_at_start = 0
        self.delays_at_start = 0
        self.report: Report | None = None

    def events(self) -> int:
        """Also of streams that are not complete: with few long streams they'd be a good part of all."""
        return self.record.events + sum(each.unfinished_events() for each in self.connections)

    def begin(self) -> None:
        self.answers_at_start = len(self.record.latencies)
        self.events_at_start = self.events()
        self.gaps_at_start = len(self.record.gaps_ms)
        self.delays_at_start = len(self.record.delays_ms)

    def end(self, seconds: float) -> None:
        measured = self.record.latencies[self.answers_at_start :]
        ordered = sorted(measured)
        self.report = Report(
            seconds=seconds,
            answers=self.record.answers,
            streams=self.record.streams,
            events=self.events(),
            errors=self.record.errors,
            first_error=self.record.first_error,
            per_s=len(measured) / seconds,
            events_per_s=(self.events() - self.events_at_start) / seconds,
            p50_ms=percentile(ordered, 0.50) * 1000,
            p99_ms=percentile(ordered, 0.99) * 1000,
            gap_p99_ms=percentile(sorted(self.record.gaps_ms[self.gaps_at_start :]), 0.99),
            delay_p99_ms=percentile(sorted(self.record.delays_ms[self.delays_at_start :]), 0.99),
        )

    def finish(self) -> Report:
        """Closes, and counts what stopped coming. An answer that is only slow is cut off, and no error."""
        now, events = time.perf_counter(), self.events()
        for connection in self.connections:
            if connection.in_flight and now - connection.heard > STALLED:
                self.record.fault(f"an answer stood still for {STALLED:.0f} s")
            connection.close()
        if self.record.answers == 0:
            self.record.fault("not one complete answer in time")
        assert self.report is not None
        self.report.answers, self.report.streams, self.report.events = self.record.answers, self.record.streams, events
        self.report.errors, self.report.first_error = self.record.errors, self.record.first_error
        return self.report


async def connect_all(connections: list[Connection], spread: float = 0.0) -> None:
    """A few at a time: all at once can be more than a gateway's listen queue holds. spread: over so many seconds."""
    turns = range(0, len(connections), CONNECTING_AT_ONCE if spread <= 0 else 1)
    begun = time.perf_counter()
    for turn, first in enumerate(turns):
        await asyncio.gather(*(each.connect() for each in connections[first : first + turns.step]))
        await asyncio.sleep(max(0.0, begun + spread * (turn + 1) / len(turns) - time.perf_counter()))


async def drain(runs: list[Run], patience: float) -> None:
    """Lets the answers under way come, so that they are checked too and the gateway is at rest for what is next."""
    connections = [connection for run in runs for connection in run.connections]
    for connection in connections:
        connection.stopped = True
    begun = time.perf_counter()
    while any(each.in_flight for each in connections):
        waited = time.perf_counter() - begun
        if waited > max(STALLED, patience) or (waited > patience and all(run.record.answers for run in runs)):
            return
        await asyncio.sleep(0.01)


async def warm_up(runs: list[Run], warmup: float, first_answer: float) -> None:
    """At least until every target gave an answer: before that nothing flows yet, and a slow gateway would seem slower
    than it is."""
    begun = time.perf_counter()
    await asyncio.sleep(warmup)
    while not all(run.record.answers for run in runs) and time.perf_counter() - begun < first_answer:
        await asyncio.sleep(0.01)


async def measure(runs: list[Run], seconds: float, answers: int | None) -> None:
    """For so many seconds, or until there are so many answers."""
    begun = time.perf_counter()
    wanted = [len(run.record.latencies) + (answers or 0) for run in runs]
    while answers is not None and time.perf_counter() - begun < seconds:
        if all(len(run.record.latencies) >= each for run, each in zip(runs, wanted, strict=True)):
            return
        await asyncio.sleep(0.002)
    await asyncio.sleep(max(0.0, seconds - (time.perf_counter() - begun)))


async def drive(runs: list[Run], args: argparse.Namespace) -> list[Report]:
    if args.warmup > 0:
        await warm_up(runs, args.warmup, args.first_answer)
    for run in runs:
        run.begin()
    begun = time.perf_counter()
    await measure(runs, args.seconds, args.answers)
    took = max(1e-6, time.perf_counter() - begun)
    for run in runs:
        run.end(took)
    await drain(runs, args.patience)
    return [run.finish() for run in runs]


def new_run(target: Target, connections: int, questions: list[Question], sessions: int | None) -> Run:
    """sessions: every request of any connection belongs to the next of so many; None: each connection is one."""
    record = Record()
    shared = itertools.cycle(range(sessions)) if sessions else None
    return Run(
        [Connection(target.port, questions, shared or itertools.repeat(own), record) for own in range(connections)],
        record,
    )


def questions_for(target: Target, args: argparse.Namespace) -> list[Question]:
    if args.mixed:
        return [question(target, None), question(target, args.chunks)]
    chunks = args.chunks if args.stream or args.slowly else None
    befores = [prompt_of(number, args.prompt_bytes) for number in range(args.prompts)]
    return [question(target, chunks, args.slowly, before) for before in befores]


def prompt_of(number: int, size: int) -> str:
    """So many bytes of text that no other number has."""
    return (f"{number} is one of many numbers. " * (size // 25 + 1))[:size]


async def load(args: argparse.Namespace) -> dict[str, object]:
    headers: dict[str, str] = dict(header.split(": ", 1) for header in args.header)
    target = Target(args.port, args.path, args.model, headers)
    run = new_run(target, args.connections, questions_for(target, args), args.sessions)
    if args.beside_port is None:
        for connection in run.connections:
            if args.slowly:
                connection.watch_pace()
            connection.send()  # goes out as soon as it is connected
        await connect_all(run.connections, args.spread)
        (report,) = await drive([run], args)
        return asdict(report)
    straight = Target(args.beside_port)
    beside = new_run(straight, 1, [question(straight, None)], None)
    (one,), (other,) = run.connections, beside.connections
    one.then, other.then = other.send, one.send
    await connect_all([one, other])
    one.send()
    report, beside_report = await drive([run, beside], args)
    return {**asdict(report), "beside": asdict(beside_report)}


def main() -> None:
    parser = argparse.ArgumentParser(description="Load for one gateway at 127.0.0.1; prints one JSON object.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--header", action="append", default=[], help="'Name: value', any number of times")
    parser.add_argument("--path", default=PATH)
    parser.add_argument("--model", default=MODEL)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--sessions", type=int, help="requests go round so many sessions (default: one a connection)")
    parser.add_argument("--prompt-bytes", type=int, default=0, help="what prompts have beyond a short one (default 0)")
    parser.add_argument("--prompts", type=int, default=1, help="so many different ones, in turn (default 1)")
    parser.add_argument("--seconds", type=float, default=3.0, help="the time measured (default 3)")
    parser.add_argument("--answers", type=int, help="measure only until there are so many, within --seconds")
    parser.add_argument(
        "--warmup", type=float, default=0.5, help="load before it, not counted, in seconds (default 0.5)"
    )
    parser.add_argument(
        "--first-answer",
        type=float,
        default=STALLED,
        help=f"seconds the load before it may go on until there is one whole answer (default {STALLED:.0f})",
    )
    parser.add_argument("--spread", type=float, default=0.0, help="seconds over which connections begin (default 0)")
    parser.add_argument(
        "--patience",
        type=float,
        default=35.0,
        help="seconds answers under way may still take after the time measured before they are cut off (default 35)",
    )
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--stream", action="store_true", help="ask for streamed answers")
    kind.add_argument("--slowly", action="store_true", help="ask for streams at the engine's steady pace")
    kind.add_argument("--mixed", action="store_true", help="every second answer streamed")
    parser.add_argument("--chunks", type=int, default=50, help="content chunks the engine streams (default 50)")
    parser.add_argument("--beside-port", type=int, help="with one connection: also ask this port, turn by turn")
    args = parser.parse_args()
    if args.beside_port is not None and (args.connections != 1 or args.stream or args.slowly or args.mixed):
        parser.error("--beside-port goes with --connections 1, and with whole answers")
    gc.disable()  # a run is short and makes no cycles worth collecting; a collection would show as latency
    try:
        print(json.dumps(uvloop.run(load(args))))
    except OSError as error:  # of the first connections; a later one is tried again and counts as an error
        raise SystemExit(f"cannot connect: {error}") from None


if __name__ == "__main__":
    main()
