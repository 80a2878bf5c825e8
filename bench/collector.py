"""A collector of spans that costs next to nothing: it says 200 to every export and counts, and reads nothing.

    python bench/collector.py --port 0

prints one line `{"port": N}` once it listens. `GET /stats` tells how many exports came and how many bytes they had. A
gateway that exports can be measured in front of it without the price of a real collector on the same machine.
"""

import argparse
import asyncio
import contextlib
import json
from dataclasses import asdict, dataclass
from typing import cast

import httptools
import uvloop

TAKEN = b"HTTP/1.1 200 OK\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n"


@dataclass
class Seen:
    """What came so far."""

    requests: int = 0
    bytes: int = 0


class Sink(asyncio.Protocol):
    """One connection of an exporter."""

    def __init__(self, seen: Seen) -> None:
        self.seen = seen
        self.parser = httptools.HttpRequestParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's has the methods, not the base class

    def data_received(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self.transport.close()

    def on_body(self, body: bytes) -> None:
        self.seen.bytes += len(body)

    def on_message_complete(self) -> None:
        if self.parser.get_method() == b"POST":
            self.seen.requests += 1
            self.transport.write(TAKEN)
        else:
            body = json.dumps(asdict(self.seen)).encode()
            head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
            self.transport.write(head.encode() + body)


async def serve(host: str, port: int) -> None:
    seen = Seen()
    server = await asyncio.get_running_loop().create_server(lambda: Sink(seen), host, port)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description="Takes every export of spans and counts it.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: any free one (default)")
    args = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(serve(args.host, args.port))


if __name__ == "__main__":
    main()
