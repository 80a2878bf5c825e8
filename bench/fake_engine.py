"""A fake OpenAI engine that costs next to nothing: the thing every gateway of the benchmark is put in front of.

The idea that keeps it simple: every answer is the same bytes every time, built once at the start. A request is parsed
only far enough to know which of these bytes to send, so what the benchmark measures is the gateway, not the engine.

    python bench/fake_engine.py --port 0 --chunks 50 --slow-chunks 200 --interval-ms 15

prints one line `{"port": N}` once it listens. Streams go out as fast as they are read; only a request that says
`slowly` gets a chunk every 15 ms, and in each of them the moment it left (nanoseconds of the machine's monotonic clock,
which every process reads alike), so that whoever receives it knows how late it is. `GET /stats` counts the requests by
path, so that the benchmark can see that a gateway really asked the engine instead of answering from a cache.
"""

import argparse
import asyncio
import contextlib
import json
import time
from collections import Counter, deque
from dataclasses import dataclass
from typing import cast

import httptools
import uvloop

MODEL = "bench-model"
WORD = "zebra"  # stands once in an answer and once in every content chunk: the load generator counts it
SLOWLY = "slowly"  # in a request: stream at a steady pace, with stamps
STAMP_DIGITS = 19  # nanoseconds, in a chunk of a slow stream after the word and a space

JsonObject = dict[str, object]


def http_answer(status: str, body: bytes, kind: str = "application/json") -> bytes:
    head = f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def json_answer(value: JsonObject, status: str = "200 OK") -> bytes:
    return http_answer(status, json.dumps(value, separators=(",", ":")).encode())


def usage(completion_tokens: int) -> JsonObject:
    return {"prompt_tokens": 40, "completion_tokens": completion_tokens, "total_tokens": 40 + completion_tokens}


def completion() -> bytes:
    message = {"role": "assistant", "content": f"A {WORD} has stripes, and no two of them have the same ones."}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return json_answer(
        {
            "id": "chatcmpl-bench-000000000000",
            "object": "chat.completion",
            "created": 1700000000,
            "model": MODEL,
            "choices": [choice],
            "usage": usage(16),
            "system_fingerprint": None,
        }
    )


def sse_frame(event: bytes) -> bytes:
    """One SSE event as one piece of a body in chunked transfer encoding."""
    body = b"data: " + event + b"\n\n"
    return b"%x\r\n%s\r\n" % (len(body), body)


def stream_frames(chunks: int, with_usage: bool, words: str = f" {WORD}") -> tuple[bytes, ...]:
    """Everything a streamed answer consists of, one item for each write."""
    base: JsonObject = {
        "id": "chatcmpl-bench-000000000000",
        "object": "chat.completion.chunk",
        "created": 1700000000,
        "model": MODEL,
    }

    def event(delta: JsonObject, finish: str | None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return sse_frame(json.dumps(base | {"choices": [choice]}, separators=(",", ":")).encode())

    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"
    frames = [head + event({"role": "assistant", "content": ""}, None)]
    frames += [event({"content": words}, None)] * chunks
    frames.append(event({}, "stop"))
    if with_usage:
        last: JsonObject = {**base, "choices": [], "usage": usage(chunks)}
        frames.append(sse_frame(json.dumps(last, separators=(",", ":")).encode()))
    frames.append(sse_frame(b"[DONE]") + b"0\r\n\r\n")
    return tuple(frames)


@dataclass(frozen=True)
class Streams:
    """One kind of stream, with and without usage at its end."""

    plain: tuple[bytes, ...]
    with_usage: tuple[bytes, ...]
    interval: float  # seconds between two chunks; 0: as fast as the reader reads
    stamped: bool = False

    @staticmethod
    def fast(chunks: int) -> "Streams":
        return Streams(stream_frames(chunks, with_usage=False), stream_frames(chunks, with_usage=True), 0.0)

    @staticmethod
    def slow(chunks: int, interval: float) -> "Streams":
        words = f" {WORD} {'0' * STAMP_DIGITS}"
        plain, with_usage = (stream_frames(chunks, with_usage=each, words=words) for each in (False, True))
        return Streams(plain, with_usage, interval, stamped=True)


@dataclass(frozen=True)
class Answers:
    """All the bytes this engine can say."""

    completion: bytes
    fast: Streams
    slow: Streams
    plain: dict[str, bytes]  # answers to GET, by path

    @staticmethod
    def build(fast: Streams, slow: Streams) -> "Answers":
        card: JsonObject = {"id": MODEL, "object": "model", "created": 1700000000, "owned_by": "bench"}
        info: JsonObject = {"model_path": MODEL, "is_generation": True}
        return Answers(
            completion=completion(),
            fast=fast,
            slow=slow,
            plain={
                "/health": json_answer({"status": "ok"}),
                "/v1/models": json_answer({"object": "list", "data": [card]}),
                "/version": json_answer({"version": "0.0.0"}),
                "/get_model_info": json_answer(info),
                "/get_server_info": json_answer(info),
            },
        )


UNSTAMPED = f"{WORD} {'0' * STAMP_DIGITS}".encode()


def stamped(frame: bytes) -> bytes:
    """The frame with the present moment in it, just as long."""
    return frame.replace(UNSTAMPED, b"%s %0*d" % (WORD.encode(), STAMP_DIGITS, time.monotonic_ns()))


class Engine(asyncio.Protocol):
    """One connection. Requests that come while a stream is still going out wait in line (pipelining)."""

    def __init__(self, answers: Answers, seen: Counter[str], loop: asyncio.AbstractEventLoop) -> None:
        self.answers = answers
        self.seen = seen
        self.loop = loop
        self.parser = httptools.HttpRequestParser(self)
        self.body: list[bytes] = []
        self.url = b""
        self.waiting: deque[tuple[str, str, bytes]] = deque()
        self.frames: tuple[bytes, ...] = ()  # the stream going out now; empty: none
        self.next_frame = 0
        self.streams = answers.fast  # the kind of the stream going out now
        self.due = 0.0  # when its next frame is to go out, on the loop's clock
        self.paused = False

    # -- what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's has the methods, not the base class

    def data_received(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self.transport.close()

    def pause_writing(self) -> None:
        self.paused = True

    def resume_writing(self) -> None:
        self.paused = False
        if self.frames:
            self.write_frame()

    # -- what the parser calls

    def on_message_begin(self) -> None:
        self.body.clear()
        self.url = b""

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_body(self, body: bytes) -> None:
        self.body.append(body)

    def on_message_complete(self) -> None:
        path = self.url.decode("latin-1").partition("?")[0]
        self.waiting.append((self.parser.get_method().decode(), path, b"".join(self.body)))
        self.answer_waiting()

    # -- answering

    def answer_waiting(self) -> None:
        while self.waiting and not self.frames:
            method, path, body = self.waiting.popleft()
            self.seen[f"{method} {path}"] += 1
            if method == "POST" and path == "/v1/chat/completions":
                self.answer_chat(body)
            elif path == "/stats":
                self.transport.write(json_answer(dict(self.seen)))
            elif method in ("GET", "HEAD") and path in self.answers.plain:
                self.transport.write(self.answers.plain[path])
            else:
                self.transport.write(json_answer({"error": {"message": f"no {method} {path} here"}}, "404 Not Found"))

    def answer_chat(self, body: bytes) -> None:
        if b'"stream":true' not in body and b'"stream": true' not in body:
            self.transport.write(self.answers.completion)
            return
        self.streams = self.answers.slow if SLOWLY.encode() in body else self.answers.fast
        self.frames = self.streams.with_usage if b"include_usage" in body else self.streams.plain
        self.next_frame = 0
        self.due = self.loop.time()
        self.write_frame()

    def write_frame(self) -> None:
        if self.transport.is_closing():
            return
        frame = self.frames[self.next_frame]
        self.transport.write(stamped(frame) if self.streams.stamped else frame)
        self.next_frame += 1
        if self.next_frame == len(self.frames):
            self.frames = ()
            self.answer_waiting()
        elif self.streams.interval > 0:
            # Counted from the beginning of the stream, so that a late frame does not make all that follow late.
            self.due += self.streams.interval
            self.loop.call_at(self.due, self.go_on)
        else:
            # The next turn of the loop, not at once: writes of one turn would leave as one piece, and an engine
            # sends every token on its own.
            self.loop.call_soon(self.go_on)

    def go_on(self) -> None:
        if self.frames and not self.paused:
            self.write_frame()


async def serve(host: str, port: int, answers: Answers) -> None:
    loop = asyncio.get_running_loop()
    seen: Counter[str] = Counter()
    server = await loop.create_server(lambda: Engine(answers, seen, loop), host, port, backlog=1024)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description="A fake OpenAI engine for benchmarks.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: any free one (default)")
    parser.add_argument("--chunks", type=int, default=50, help="content chunks of a streamed answer (default 50)")
    parser.add_argument("--slow-chunks", type=int, default=50, help="of one asked for slowly (default 50)")
    parser.add_argument("--interval-ms", type=float, default=15.0, help="between two chunks of it (default 15)")
    args = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        answers = Answers.build(Streams.fast(args.chunks), Streams.slow(args.slow_chunks, args.interval_ms / 1000))
        uvloop.run(serve(args.host, args.port, answers))


if __name__ == "__main__":
    main()
