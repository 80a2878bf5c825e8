"""The load generator: a few connections to one gateway, each sending its next request when its answer is complete.

The ideas that keep it cheap, and so never the narrow place of a measurement: the bytes of the request are built once,
a connection is a bare protocol on uvloop, and while answers arrive their pieces are only laid aside; they are checked
once, when an answer is complete. Every answer is checked: a gateway gets no credit for fast errors.

    python bench/load.py --port 8000 --connections 32 --seconds 3
    python bench/load.py --port 8000 --connections 200 --seconds 3 --stream --chunks 50
    python bench/load.py --port 8000 --connections 1 --seconds 3 --beside-port 9000

prints one JSON object. With --beside-port every request is followed by the same one straight to the engine at that
port, so that both latencies are taken at the same time, under the same noise of the machine. Load goes to 127.0.0.1
only.
"""

import argparse
import asyncio
import gc
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import cast

import httptools
import uvloop

from fake_engine import MODEL, WORD

HOST = "127.0.0.1"
PATH = "/v1/chat/completions"
STALLED = 30.0  # seconds without a byte after which an answer under way counts as lost
CONNECTING_AT_ONCE = 20


def request_body(stream: bool) -> bytes:
    body: dict[str, object] = {
        "model": MODEL,
        "messages": [
            {"role": "system", "content": "You are a helpful assistant that answers in one short sentence."},
            {
                "role": "user",
                "content": "Which animal of the savanna has black and white stripes, and are they unique?",
            },
        ],
        "max_tokens": 128,
        "temperature": 0.7,
    }
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return json.dumps(body).encode()


def request_bytes(port: int, headers: dict[str, str], stream: bool) -> bytes:
    body = request_body(stream)
    lines = [f"POST {PATH} HTTP/1.1", f"Host: {HOST}:{port}", "Content-Type: application/json"]
    lines += [f"Content-Length: {len(body)}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


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
    events: int = 0
    answers: int = 0  # all, also those before and after the time measured
    errors: int = 0
    first_error: str = ""

    def fault(self, what: str) -> None:
        self.errors += 1
        self.first_error = self.first_error or what


class Connection(asyncio.Protocol):
    """One keep-alive connection with at most one request on it. It connects again when the gateway closes it."""

    def __init__(self, port: int, request: bytes, record: Record, fault: Callable[[int, bytes], str | None]) -> None:
        self.port = port
        self.request = request
        self.record = record
        self.fault = fault
        self.then: Callable[[], None] = self.send  # what follows an answer
        self.pieces: list[bytes] = []
        self.on_body = self.pieces.append  # called by the parser
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
            self.started = self.heard = time.perf_counter()
            self.transport.write(self.request)

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
        fault = self.fault(self.parser.get_status_code(), body)
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
    errors: int
    first_error: str
    per_s: float
    events_per_s: float
    p50_ms: float
    p99_ms: float


def percentile_ms(sorted_latencies: list[float], part: float) -> float:
    if not sorted_latencies:
        return 0.0
    return sorted_latencies[min(len(sorted_latencies) - 1, int(part * len(sorted_latencies)))] * 1000


class Run:
    """Connections to one target, and what they saw in the time measured."""

    def __init__(self, connections: list[Connection], record: Record) -> None:
        self.connections = connections
        self.record = record
        self.answers_at_start = 0
        self.events_at_start = 0
        self.report: Report | None = None

    def events(self) -> int:
        """Also of streams that are not complete: with few long streams they'd be a good part of all."""
        return self.record.events + sum(each.unfinished_events() for each in self.connections)

    def begin(self) -> None:
        self.answers_at_start = len(self.record.latencies)
        self.events_at_start = self.events()

    def end(self, seconds: float) -> None:
        measured = self.record.latencies[self.answers_at_start :]
        ordered = sorted(measured)
        self.report = Report(
            seconds=seconds,
            answers=self.record.answers,
            errors=self.record.errors,
            first_error=self.record.first_error,
            per_s=len(measured) / seconds,
            events_per_s=(self.events() - self.events_at_start) / seconds,
            p50_ms=percentile_ms(ordered, 0.50),
            p99_ms=percentile_ms(ordered, 0.99),
        )

    def finish(self) -> Report:
        """Closes, and counts what stopped coming. An answer that is only slow is cut off, and no error."""
        now = time.perf_counter()
        for connection in self.connections:
            if connection.in_flight and now - connection.heard > STALLED:
                self.record.fault(f"an answer stood still for {STALLED:.0f} s")
            connection.close()
        if self.record.answers == 0:
            self.record.fault("not one complete answer in time")
        assert self.report is not None
        self.report.answers, self.report.errors = self.record.answers, self.record.errors
        self.report.first_error = self.record.first_error
        return self.report


async def connect_all(connections: list[Connection]) -> None:
    """A few at a time: all at once can be more than a gateway's listen queue holds."""
    for first in range(0, len(connections), CONNECTING_AT_ONCE):
        await asyncio.gather(*(each.connect() for each in connections[first : first + CONNECTING_AT_ONCE]))


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


async def warm_up(runs: list[Run], warmup: float) -> None:
    """At least until every target gave an answer: before that nothing flows yet, and a slow gateway would seem slower
    than it is."""
    begun = time.perf_counter()
    await asyncio.sleep(warmup)
    while not all(run.record.answers for run in runs) and time.perf_counter() - begun < STALLED:
        await asyncio.sleep(0.01)


async def drive(runs: list[Run], warmup: float, seconds: float, patience: float) -> list[Report]:
    await warm_up(runs, warmup)
    for run in runs:
        run.begin()
    begun = time.perf_counter()
    await asyncio.sleep(seconds)
    took = time.perf_counter() - begun
    for run in runs:
        run.end(took)
    await drain(runs, patience)
    return [run.finish() for run in runs]


def new_run(port: int, headers: dict[str, str], connections: int, stream_chunks: int | None) -> Run:
    request = request_bytes(port, headers, stream_chunks is not None)
    record = Record()

    def fault(status: int, body: bytes) -> str | None:
        if stream_chunks is None:
            return fault_of_completion(status, body)
        return fault_of_stream(status, body, stream_chunks)

    return Run([Connection(port, request, record, fault) for _ in range(connections)], record)


async def load(args: argparse.Namespace) -> dict[str, object]:
    headers: dict[str, str] = dict(header.split(": ", 1) for header in args.header)
    run = new_run(args.port, headers, args.connections, args.chunks if args.stream else None)
    if args.beside_port is None:
        for connection in run.connections:
            connection.send()  # goes out as soon as it is connected
        await connect_all(run.connections)
        (report,) = await drive([run], args.warmup, args.seconds, args.patience)
        return asdict(report)
    beside = new_run(args.beside_port, {}, 1, None)
    (one,), (other,) = run.connections, beside.connections
    one.then, other.then = other.send, one.send
    await connect_all([one, other])
    one.send()
    report, beside_report = await drive([run, beside], args.warmup, args.seconds, args.patience)
    return {**asdict(report), "beside": asdict(beside_report)}


def main() -> None:
    parser = argparse.ArgumentParser(description="Load for one gateway at 127.0.0.1; prints one JSON object.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--header", action="append", default=[], help="'Name: value', any number of times")
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=3.0, help="the time measured (default 3)")
    parser.add_argument("--warmup", type=float, default=0.5, help="load before it, not counted (default 0.5)")
    parser.add_argument(
        "--patience",
        type=float,
        default=35.0,
        help="seconds answers under way may still take after the time measured before they are cut off (default 35)",
    )
    parser.add_argument("--stream", action="store_true", help="ask for streamed answers")
    parser.add_argument("--chunks", type=int, default=50, help="content chunks the engine streams (default 50)")
    parser.add_argument("--beside-port", type=int, help="with one connection: also ask this port, turn by turn")
    args = parser.parse_args()
    if args.beside_port is not None and (args.connections != 1 or args.stream):
        parser.error("--beside-port goes with --connections 1 and without --stream")
    gc.disable()  # a run is short and makes no cycles worth collecting; a collection would show as latency
    try:
        print(json.dumps(uvloop.run(load(args))))
    except OSError as error:  # of the first connections; a later one is tried again and counts as an error
        raise SystemExit(f"cannot connect: {error}") from None


if __name__ == "__main__":
    main()
