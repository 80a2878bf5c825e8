"""Spans out: one receiver, its queue, and the thread that posts to it (OTLP over HTTP, protobuf).

Each receiver has all of this to itself, so that one which is slow or gone costs the others nothing. What waits is
bounded, in spans and in bytes; what finds no room is dropped and counted. The batch under way is sent again while the
receiver says "later" (429, 502, 503, 504, or no connection) and given up when it says "no".

Protocol: https://opentelemetry.io/docs/specs/otlp/#otlphttp.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import logging
import socket
import ssl
import string
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from email.utils import parsedate_to_datetime
from typing import Literal, NamedTuple
from urllib.parse import urlsplit

from hanok import __version__
from hanok.errors import StartError
from hanok.spec import Export
from hanok.telemetry.protobuf import read_fields

TIMEOUT_S = 10.0
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 30.0
LONGEST_RETRY_AFTER_S = 300.0
LONGEST_TRY_S = 600.0
COMPLAIN_EVERY_S = 60.0
BATCH_LIMIT_BYTES = 4 * 1024 * 1024
WAITING_LIMIT_BYTES = 64 * 1024 * 1024
_ANSWER_LIMIT_BYTES = 64 * 1024
SHOWN_LIMIT = 200
_LATER = (429, 502, 503, 504)
_PATHS = {
    "otlp": "/v1/traces",
    "langfuse": "/api/public/otel/v1/traces",
    "langsmith": "/otel/v1/traces",
    "mlflow": "/v1/traces",
}
_TOKEN = {ord(char): None for char in f"{string.ascii_letters}{string.digits}!#$%&'*+-.^_`|~"}
_log = logging.getLogger(__name__)


class Counts(NamedTuple):
    """What became of spans: taken by the receiver, dropped for want of room, refused by it, or still waiting."""

    exported: int
    dropped: int
    failed: int
    waiting: int


class Outcome(NamedTuple):
    """What came of one attempt: `later` is an answer that says so, `unreachable` is no answer at all.

    `said` is what the receiver, or the system, wrote about it; `after_s` the receiver's own wish, -1 when it has none.
    """

    kind: Literal["taken", "refused", "later", "unreachable"]
    text: str = ""
    said: bytes = b""
    after_s: float = -1.0
    rejected: int = 0


class Receiver:
    """One receiver of spans. `offer` and `send` are for one thread; `close` ends what `start` began.

    `envelope` puts encoded spans into a request's body; `batch` is how many at most, `limit` how many may wait.
    Raises `StartError` when a header cannot be sent.
    """

    def __init__(
        self, export: Export, *, name: str, envelope: Callable[[Iterable[bytes]], bytes], batch: int, limit: int
    ) -> None:
        self.name = name
        self._url = urlsplit(_join(export.url, _PATHS[export.to]))
        self._headers = _headers(export)
        self._secrets = _secrets(export)
        self._envelope = envelope
        self._batch = batch
        self._limit = limit
        self._waiting: deque[bytes] = deque()
        self._under_way = 0
        self._bytes_in = self._bytes_out = 0  # each written by one thread alone, so neither needs a lock
        self._exported = self._failed = 0
        self._no_room = self._given_up = 0
        self._connection: http.client.HTTPConnection | None = None
        self._quiet_until = 0.0
        self._wake, self._closing, self._over = threading.Event(), threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"spans-to-{name}", daemon=True)

    @property
    def counts(self) -> Counts:
        """What became of the spans that were offered so far."""
        dropped = self._no_room + self._given_up
        return Counts(self._exported, dropped, self._failed, len(self._waiting) + self._under_way)

    def start(self) -> None:
        self._thread.start()

    def offer(self, spans: Sequence[bytes]) -> None:
        """Take over these spans, as far as there is room. Never waits."""
        for span in spans:
            waiting_bytes = self._bytes_in - self._bytes_out
            if len(self._waiting) + self._under_way >= self._limit or waiting_bytes > WAITING_LIMIT_BYTES:
                self._no_room += 1
                continue
            self._bytes_in += len(span)
            self._waiting.append(span)
        if len(self._waiting) >= self._batch:
            self._wake.set()

    def send(self) -> None:
        """Say that what waits need not wait for a whole batch."""
        self._wake.set()

    def finish(self) -> None:
        """Say that no more is coming: what waits is sent, and the thread ends."""
        self._closing.set()
        self._wake.set()

    def close(self, timeout_s: float) -> None:
        """Wait until what waits is sent, `timeout_s` seconds at most; the rest is dropped and counted."""
        self.finish()
        self._thread.join(max(timeout_s, 0.0))
        self._over.set()
        if self._thread.is_alive() and (connection := self._connection) is not None and connection.sock is not None:
            with contextlib.suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)
        self._thread.join(1.0)

    def _run(self) -> None:
        try:
            while not (self._closing.is_set() and not self._waiting):
                self._wake.wait()
                self._wake.clear()
                while self._waiting and not self._over.is_set():
                    self._deliver(self._take())
                if self._over.is_set():
                    break
        finally:
            self._disconnect()
            self._give_up(0)

    def _take(self) -> list[bytes]:
        """The next batch: as many spans as one request may carry."""
        spans: list[bytes] = []
        size = 0
        while self._waiting and len(spans) < self._batch:
            size += len(self._waiting[0])
            if spans and size > BATCH_LIMIT_BYTES:
                break
            spans.append(self._waiting.popleft())
            self._under_way += 1
        self._bytes_out += sum(map(len, spans))
        return spans

    def _deliver(self, spans: list[bytes]) -> None:
        """Send a batch until the receiver has taken or refused it, or the time is over.

        No batch is tried for ever: one that breaks its receiver must not hold up all that come after it.
        """
        body = self._envelope(spans)
        wait_s, end = FIRST_WAIT_S, time.monotonic() + LONGEST_TRY_S
        while (outcome := self._try(body)).kind in ("later", "unreachable"):
            self._complain(outcome)
            if time.monotonic() >= end or not self._wait(outcome, wait_s):
                self._give_up(len(spans))
                return
            wait_s = min(wait_s * 2, LONGEST_WAIT_S)
        failed = len(spans) if outcome.kind == "refused" else min(outcome.rejected, len(spans))
        self._failed += failed
        self._exported += len(spans) - failed
        self._under_way -= len(spans)
        if failed:
            self._complain(outcome)

    def _wait(self, outcome: Outcome, wait_s: float) -> bool:
        """Wait before the next attempt; False when there shall be none.

        At the end of the house, a receiver that answers is waited for, one that is not there is not.
        """
        if outcome.kind == "unreachable" and self._closing.is_set():
            return False
        over = self._over if outcome.kind == "later" else self._closing
        over.wait(outcome.after_s if outcome.after_s >= 0 else wait_s)
        return not self._over.is_set()

    def _give_up(self, under_way: int) -> None:
        """Drop the batch under way; and all that waits, if this is the end."""
        left = under_way
        if self._closing.is_set():
            left += len(self._waiting)
            self._waiting.clear()
        self._under_way -= under_way
        self._given_up += left
        if left:
            self._say(f"{left} spans were given up")

    def _try(self, body: bytes) -> Outcome:
        """One attempt; a kept connection that turns out to be dead is replaced once."""
        reused = self._connection is not None
        try:
            try:
                return self._post(body)
            except (http.client.RemoteDisconnected, ConnectionError):
                self._disconnect()
                if not reused or self._over.is_set():
                    raise
                return self._post(body)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self._disconnect()
            return Outcome("unreachable", type(error).__name__, str(error).encode("utf-8", "replace"))

    def _post(self, body: bytes) -> Outcome:
        if self._connection is None:
            self._connection = self._connect()
        connection = self._connection
        connection.request("POST", self._url.path, body, self._headers)
        response = connection.getresponse()
        answer = response.read(_ANSWER_LIMIT_BYTES)
        if not response.isclosed():
            self._disconnect()
        return _judge(response, answer)

    def _connect(self) -> http.client.HTTPConnection:
        host = self._url.hostname or ""
        if self._url.scheme == "https":
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(host, self._url.port, timeout=TIMEOUT_S, context=context)
        return http.client.HTTPConnection(host, self._url.port, timeout=TIMEOUT_S)

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _complain(self, outcome: Outcome) -> None:
        """Log what went wrong, once a minute at most."""
        if time.monotonic() >= self._quiet_until:
            self._quiet_until = time.monotonic() + COMPLAIN_EVERY_S
            said = f" ({self._shown(outcome.said)})" if outcome.said else ""
            then = "trying again" if outcome.kind in ("later", "unreachable") else "not sent again"
            self._say(f"{outcome.text}{said}; {then}")

    def _shown(self, said: bytes) -> str:
        """What somebody else wrote, fit for a log line: no secrets, no line breaks, not much of it."""
        text = said.decode("utf-8", "replace")
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text[:SHOWN_LIMIT].encode("unicode_escape").decode("ascii")

    def _say(self, text: str) -> None:
        _log.warning("spans to %s: %s (exported %d, dropped %d, failed %d, waiting %d)", self.name, text, *self.counts)


def _judge(response: http.client.HTTPResponse, answer: bytes) -> Outcome:
    """What an answer means, by OTLP's rules."""
    status = response.status
    if 200 <= status < 300:
        rejected, why = _rejected(answer)
        return Outcome("taken", f"it rejected {rejected} spans", why, rejected=rejected)
    text = f"it answered {status}"
    if status in _LATER:
        return Outcome("later", text, answer, _retry_after_s(response.getheader("retry-after")))
    if 300 <= status < 400:
        return Outcome("refused", f"{text} and points elsewhere", (response.getheader("location") or "").encode())
    return Outcome("refused", text, answer)


def _rejected(answer: bytes) -> tuple[int, bytes]:
    """`ExportTraceServiceResponse.partial_success`: how many spans were rejected, and why."""
    try:
        partial = dict(read_fields(answer)).get(1, b"")
        fields = dict(read_fields(partial)) if isinstance(partial, bytes) else {}
    except ValueError:
        return 0, b""
    count, why = fields.get(1, 0), fields.get(2, b"")
    return (count if isinstance(count, int) else 0), (why if isinstance(why, bytes) else b"")


def _retry_after_s(header: str | None) -> float:
    """Seconds, from seconds or an HTTP date (RFC 9110 section 10.2.3); -1 when there is no such wish."""
    if header is None:
        return -1.0
    try:
        seconds = float(header) if header.strip().isdigit() else parsedate_to_datetime(header).timestamp() - time.time()
    except ValueError:
        return -1.0
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER_S)


def _join(base: str, path: str) -> str:
    """The base URL with the path; what the base already ends with is not said twice."""
    base = base.rstrip("/")
    for end in range(len(path), 0, -1):
        if base.endswith(path[:end]) and path[end : end + 1] in ("", "/"):
            return base + path[end:]
    return base + path


def _headers(export: Export) -> dict[str, str]:
    headers = {"content-type": "application/x-protobuf", "user-agent": f"hanok/{__version__}"}
    headers |= _own_headers(export)
    headers |= {name.lower(): value.get_secret_value() for name, value in export.headers.items()}
    for name, value in headers.items():
        if not (_is_token(name) and value.isascii() and value.isprintable()):
            raise StartError(
                f"telemetry.export: the header {name!r} cannot be sent",
                hint="names and values must be printable ASCII, without line breaks",
            )
    return headers


def _own_headers(export: Export) -> dict[str, str]:
    """The headers that the receiver's kind wants."""
    secret = export.secret_key.get_secret_value() if export.secret_key else ""
    if export.to == "langfuse":
        pair = base64.b64encode(f"{export.public_key}:{secret}".encode()).decode()
        return {"authorization": f"Basic {pair}", "x-langfuse-ingestion-version": "4"}
    if export.to == "langsmith":
        return {"x-api-key": secret} | ({"langsmith-project": export.project} if export.project else {})
    if export.to == "mlflow":
        return {"x-mlflow-experiment-id": export.project or "0"}
    return {}


def _is_token(name: str) -> bool:
    """Whether it is a header's name (RFC 9110 section 5.6.2)."""
    return bool(name) and not name.translate(_TOKEN)


def _secrets(export: Export) -> tuple[str, ...]:
    """What must not reach a log line, the longest first."""
    secrets = [value.get_secret_value() for value in export.headers.values()]
    if export.secret_key is not None:
        secrets.append(export.secret_key.get_secret_value())
    if export.to == "langfuse":
        secrets.append(_own_headers(export)["authorization"].removeprefix("Basic "))
    return tuple(sorted((each for each in secrets if each), key=len, reverse=True))
