"""A desk behind which an ASGI 3 application answers: what others have built for a protocol, at our door.

A call is let in and heard out first: its key is looked at and its whole body read within the door's limit, before the
application hears of it. So an application never meets half a call, and says nothing about keys. It runs in a task of
its own: when its caller goes away it is told so, as ASGI has it (`http.disconnect`), and cancelled only when it does
not end by itself. Protocol: https://asgi.readthedocs.io/en/latest/specs/www.html (2.3, as uvicorn speaks it).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence, Set
from contextvars import Context
from types import MappingProxyType
from typing import Any, cast
from urllib.parse import quote

from hanok.errors import StartError
from hanok.gateway.envelope import ErrorAnswer, answer_error, error_event
from hanok.gateway.http import Call, Handle, Header, no_headers
from hanok.gateway.reception import Reception

LEAVE_S = 5.0
"""How long an application may take to end after its caller has gone."""
LIFESPAN_S = 10.0
"""How long one may take to start, and to stop."""
_VERSION = {"version": "3.0", "spec_version": "2.3"}
_DOORS_OWN = frozenset(
    (b"connection", b"content-length", b"date", b"keep-alive", b"transfer-encoding", b"x-request-id")
)
"""Headers that the door writes itself."""
_NO_BODY = frozenset((204, 304))
_log = logging.getLogger(__name__)

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Admit = Callable[[Call], Mapping[str, Any]]
"""Lets a call in: what the application finds in its `state`. Raises `Unauthenticated`, `Forbidden`."""


class CallerGone(OSError):
    """What an application meets that goes on sending to who has gone."""


def with_key(reception: Reception) -> Admit:
    """Let in who shows a key; the application finds the `key` and its `caller`."""

    def admit(call: Call) -> Mapping[str, Any]:
        key = reception.find_key(call)
        return {"key": key, "caller": reception.caller(call, key)}

    return admit


class AsgiDesk:
    """The desk. `admit` is asked before the application is; `root_path` is what stands before the application's paths.

    `asks` are last parts of paths where a post begins something that a house that drains refuses. Close it in the end.
    """

    posts: Mapping[str, Handle] = MappingProxyType({})
    also = staticmethod(no_headers)

    def __init__(
        self,
        app: App,
        *,
        paths: Sequence[str],
        admit: Admit,
        root_path: str = "",
        asks: Set[str] = frozenset(),
        answer_error: Callable[[Exception], ErrorAnswer] = answer_error,
        error_event: Callable[[ErrorAnswer], bytes] = error_event,
    ) -> None:
        self.paths = paths
        self.asks = asks
        self._answer_error = answer_error
        self._error_event = error_event
        self._app = app
        self._admit = admit
        self._root_path = root_path
        self._lifespan = Lifespan(app)
        self._behind: set[asyncio.Task[None]] = set()

    async def __call__(self, call: Call) -> None:
        """Have one call answered. Raises what `admit` and the application raise, `BodyTooLarge`, `StartError`."""
        state = self._admit(call)
        body = await call.body()
        await self._lifespan.start()
        exchange = _Exchange(call, body)
        scope = make_scope(call, root_path=self._root_path, state={**self._lifespan.state, **state})
        task = asyncio.create_task(_run(self._app, scope, exchange))
        try:
            await exchange.over.wait()
        except asyncio.CancelledError:
            exchange.leave()
            asyncio.get_running_loop().call_later(LEAVE_S, task.cancel)
            self._leave_behind(task, call)
            raise
        if call.finished:
            self._leave_behind(task, call)
        else:
            await exchange.conclude(task)

    def answer_error(self, error: Exception) -> ErrorAnswer:
        """What goes wrong, in the words of who made the desk."""
        return self._answer_error(error)

    def error_event(self, failed: ErrorAnswer) -> bytes:
        """What a stream of events ends with when it fails."""
        return self._error_event(failed)

    async def aclose(self) -> None:
        """End what still runs, then the application."""
        behind = tuple(self._behind)
        for task in behind:
            task.cancel()
        await asyncio.gather(*behind, return_exceptions=True)
        await self._lifespan.stop()

    def _leave_behind(self, task: asyncio.Task[None], call: Call) -> None:
        """What an application does after its answer goes on while the connection takes the next call."""
        self._behind.add(task)

        def ended(task: asyncio.Task[None]) -> None:
            self._behind.discard(task)
            error = None if task.cancelled() else task.exception()
            if error is not None and not isinstance(error, CallerGone):
                _log.error("request %s to %s failed after its answer", call.request_id, call.path, exc_info=error)

        task.add_done_callback(ended)


def make_scope(call: Call, *, root_path: str = "", state: Mapping[str, Any]) -> dict[str, Any]:
    """A call in ASGI's words."""
    return {
        "type": "http",
        "asgi": _VERSION,
        "http_version": "1.0" if call.version_1_0 else "1.1",
        "method": call.method,
        "scheme": "http",
        "path": call.path,
        "raw_path": quote(call.raw_path, safe="/%:@!$&'()*+,;=~[]", encoding="latin-1").encode("ascii"),
        "query_string": call.query.encode("latin-1"),
        "root_path": root_path,
        "headers": list(call.headers.items()),
        "client": call.peer,
        "server": call.server,
        "state": dict(state),
    }


async def _run(app: App, scope: dict[str, Any], exchange: _Exchange) -> None:
    try:
        await app(scope, exchange.receive, exchange.send)
    finally:
        exchange.over.set()


class _Exchange:
    """One call as an application sees it: what it receives, and what it sends.

    `over` is set when the answer is written, the caller has gone, or the application has ended. An answer of one piece
    is told by its `content-length`, and held until that piece is there; anything else begins at once. A 500 of one
    piece is held until the application has ended: frameworks send one before they raise, and then ours is given.
    """

    def __init__(self, call: Call, body: bytes) -> None:
        self.over = asyncio.Event()
        self._call = call
        self._body: bytes | None = body
        self._gone = False
        self._status = 0
        self._headers: list[Header] = []
        self._is_events = False
        self._failure: bytes | None = None

    def leave(self) -> None:
        """The caller has gone."""
        self._gone = True
        self.over.set()

    async def receive(self) -> Message:
        """ASGI's `receive`."""
        body, self._body = self._body, None
        if body is not None:
            return {"type": "http.request", "body": body, "more_body": False}
        await self.over.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """ASGI's `send`. Returns when the caller keeps up. Raises `CallerGone`."""
        if self._gone:
            raise CallerGone
        if message["type"] == "http.response.start" and not self._status:
            await self._start(message["status"], message.get("headers", ()))
        elif message["type"] == "http.response.body" and self._status:
            if not self._call.finished:  # else it has no body, as one to HEAD
                await self._send_piece(message.get("body", b""), last=not message.get("more_body", False))
        else:
            raise RuntimeError(f"the application sent {message['type']} out of turn")

    async def conclude(self, task: asyncio.Task[None]) -> None:
        """The application has ended before its answer has: raise what it raised, or leave a stream cut short."""
        error = RuntimeError("the application was cancelled") if task.cancelled() else task.exception()
        if error is None and self._failure is not None:
            await self._call.reply(self._status, self._failure, *self._headers)
        elif not self._call.begun or (error is not None and self._is_events):
            raise error or RuntimeError("the application gave no answer")
        else:
            _log.error("the answer to %s was cut short", self._call.request_id, exc_info=error)

    async def _start(self, status: int, headers: Sequence[tuple[bytes, bytes]]) -> None:
        call = self._call
        given = {name.lower(): value for name, value in headers}
        self._status = status
        self._headers = [(name, value) for name, value in headers if name.lower() not in _DOORS_OWN]
        self._is_events = given.get(b"content-type", b"").startswith(b"text/event-stream")
        if given.get(b"connection", b"").lower() == b"close":
            call.keep_alive = False
        length = given.get(b"content-length")
        if call.method == "HEAD" or status in _NO_BODY:
            about: list[Header] = [] if length is None or status in _NO_BODY else [(b"content-length", length)]
            await call.reply_head(status, *about, *self._headers)
            self.over.set()
        elif length is None:
            await call.begin(status, *self._headers)

    async def _send_piece(self, body: bytes, *, last: bool) -> None:
        call = self._call
        if last and not call.begun:
            await self._send_whole(body)
            return
        if not call.begun:
            await call.begin(self._status, *self._headers)
        if last:
            await call.end(body)
            self.over.set()
        elif body:  # an empty chunk would be the last
            await call.more(body)

    async def _send_whole(self, body: bytes) -> None:
        if self._status == 500:
            self._failure = body
        else:
            await self._call.reply(self._status, body, *self._headers)
            self.over.set()


class Lifespan:
    """An application's start, with the first call, and its end, with the house.

    Protocol: https://asgi.readthedocs.io/en/latest/specs/lifespan.html. It runs in one task from start to end, since
    that is what task groups need. One that knows no lifespan does without.
    """

    def __init__(self, app: App) -> None:
        self.state: dict[str, Any] = {}
        self._app = app
        self._task: asyncio.Task[None] | None = None
        self._started: asyncio.Future[None] | None = None
        self._stopping = asyncio.Event()

    async def start(self) -> None:
        """Return when it has started; one that could not is tried again by the next call. Raises `StartError`."""
        if self._started is None:
            self._started = asyncio.get_running_loop().create_future()
            self._task = asyncio.create_task(self._live(self._started), context=Context())
        started = self._started
        try:
            async with asyncio.timeout(LIFESPAN_S):
                await asyncio.shield(started)
        except (StartError, TimeoutError) as error:
            self._give_up(started)
            why = str(error) or f"it takes longer than {LIFESPAN_S:g} s"
            raise StartError(f"an application behind the door does not start: {why}") from error

    def _give_up(self, started: asyncio.Future[None]) -> None:
        if self._started is started:
            self._started = None
            if self._task is not None:
                self._task.cancel()

    async def stop(self) -> None:
        """Have it end, if it was started."""
        self._stopping.set()
        if self._task is not None:
            await asyncio.wait((self._task,), timeout=LIFESPAN_S)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _live(self, started: asyncio.Future[None]) -> None:
        messages = iter(("lifespan.startup", "lifespan.shutdown"))

        async def receive() -> Message:
            message = next(messages)
            if message == "lifespan.shutdown":
                await self._stopping.wait()
            return {"type": message}

        async def send(message: Message) -> None:
            if message["type"] == "lifespan.startup.complete":
                _settle(started)
            elif message["type"] == "lifespan.startup.failed":
                _settle(started, StartError(cast("str", message.get("message")) or "it does not say why"))

        scope = {"type": "lifespan", "asgi": {**_VERSION, "spec_version": "2.0"}, "state": self.state}
        try:
            await self._app(scope, receive, send)
        except Exception as error:  # noqa: BLE001 - ASGI: who raises here knows no lifespan
            if started.done():
                _log.error("an application behind the door ended with an error", exc_info=error)
        finally:
            _settle(started)


def _settle(started: asyncio.Future[None], error: Exception | None = None) -> None:
    if started.done():
        return
    if error is None:
        started.set_result(None)
    else:
        started.set_exception(error)
