"""A collector for tests: a real HTTP server that reads spans with OpenTelemetry's own protobuf classes."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

Answer = tuple[int, dict[str, str], bytes]
TAKEN: Answer = (200, {}, b"")


@dataclass
class Posted:
    """One request as the collector saw it."""

    path: str
    headers: dict[str, str]
    export: ExportTraceServiceRequest

    @property
    def spans(self) -> list[Span]:
        return [
            span for resource in self.export.resource_spans for scope in resource.scope_spans for span in scope.spans
        ]


@dataclass
class Collector:
    """What it was sent, and how it answers: `answers` first, in order, then always "taken"; nobody before `open`."""

    port: int = 0
    posted: list[Posted] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    open: threading.Event = field(default_factory=threading.Event)
    connections: int = 0
    scheme: str = "http"

    @property
    def url(self) -> str:
        return f"{self.scheme}://localhost:{self.port}"

    @property
    def spans(self) -> list[Span]:
        """Every span that was sent, those of answers other than 200 too."""
        return [span for posted in list(self.posted) for span in posted.spans]


class _Server(ThreadingHTTPServer):
    allow_reuse_address = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that is cut is no error here."""


@contextlib.contextmanager
def collector(
    port: int = 0, *answers: Answer, shut: bool = False, tls: ssl.SSLContext | None = None
) -> Iterator[Collector]:
    """Run a collector in a thread of its own."""
    seen = Collector(answers=list(answers), scheme="https" if tls else "http")
    if not shut:
        seen.open.set()

    connections: list[socket.socket] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 20

        def setup(self) -> None:
            seen.connections += 1
            super().setup()
            connections.append(self.connection)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            seen.posted.append(Posted(self.path, headers, ExportTraceServiceRequest.FromString(body)))
            assert seen.open.wait(20)
            status, more, said = seen.answers.pop(0) if seen.answers else TAKEN
            self.send_response(status)
            for name, value in {"content-length": str(len(said)), **more}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name in the base class
            pass

    server = _Server(("localhost", port), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    seen.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield seen
    finally:
        seen.open.set()
        server.shutdown()
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        server.server_close()
        thread.join(10)


def attributes(span: Span) -> dict[str, Any]:
    """A span's attributes as Python values; a name that comes twice is an error."""
    names = [pair.key for pair in span.attributes]
    assert len(names) == len(set(names)), sorted(names)
    return {pair.key: plain(pair.value) for pair in span.attributes}


def plain(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    return [plain(each) for each in value.array_value.values] if kind == "array_value" else getattr(value, kind or "")


def until(true: Callable[[], bool], what: str = "it", *, timeout_s: float = 15.0) -> None:
    """Wait until something is so."""
    end = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.002)
