"""The door: lets calls in, hands them to who answers them, and tells them what goes wrong.

One request, one direction: find the route, find the key, read the body, parse it, open an answer, relay it.
Who may come in is decided at the `reception`, what he may use by the ledger's admission, behind `models`. The door
answers OpenAI's own calls for text and tasks; everything else that speaks HTTP is a `Desk`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence, Set
from functools import partial
from typing import Any, NoReturn, Protocol

from hanok.errors import Draining, HanokError, OverLimit, Overloaded
from hanok.gateway.bodies import parse_chat, parse_embedding, parse_moderation, parse_rerank, parse_text
from hanok.gateway.envelope import ErrorAnswer, answer_error, envelope, error_event
from hanok.gateway.giving import JSON_TYPE, Giving
from hanok.gateway.http import Call, Header
from hanok.gateway.openapi import document
from hanok.gateway.reception import Reception
from hanok.gateway.replay import Handle, Replays
from hanok.gateway.runs import Runs
from hanok.ledger import Key
from hanok.telemetry import Metrics
from hanok.telemetry.metrics import CONTENT_TYPE
from hanok.wire import Caller, ChatRequest, Options, TaskRequest, json_bytes

_log = logging.getLogger(__name__)


class Desk(Protocol):
    """Answers whatever comes below its `paths`, as `/v1/files`; in its own words also what goes wrong there.

    `posts` are its model calls, by their exact paths: refused while the house drains, and replayed to who repeats them.
    What is posted to one of its `paths` itself makes something there, and is refused then, too; so is what is posted to
    a path below them that ends in one of `asks`, where a model may be asked.
    """

    paths: Sequence[str]
    posts: Mapping[str, Handle]
    asks: Set[str]

    async def __call__(self, call: Call) -> None: ...

    def also(self, call: Call) -> Sequence[Header]:
        """Headers of everything that is answered here."""
        ...

    def answer_error(self, error: Exception) -> ErrorAnswer: ...

    def error_event(self, failed: ErrorAnswer) -> bytes:
        """What a stream ends with when it fails."""
        ...


Ready = Callable[[], tuple[bool, Mapping[str, Any]]]


class Door:
    """The door.

    `ready` says whether calls can be answered, and why not; `everyones_metrics` are to be shown where this process is
    one of several.
    """

    def __init__(
        self,
        *,
        reception: Reception,
        giving: Giving,
        desks: Sequence[Desk] = (),
        metrics: Metrics,
        everyones_metrics: Callable[[], Awaitable[bytes]] | None = None,
        ready: Ready,
        runs: Runs,
        replays: Replays,
    ) -> None:
        self._reception = reception
        self._giving = giving
        self._metrics = metrics
        self._everyones_metrics = everyones_metrics
        self._ready = ready
        self._runs = runs
        self._replays = replays
        self.draining = False
        self._gets = {
            "/": self._front,
            "/v1/models": self._list_models,
            "/v1/budgets": self._budgets,
            "/health/live": self._live,
            "/health/ready": self._readiness,
            "/metrics": self._show_metrics,
            "/openapi.json": self._show_openapi,
        }
        self.change(desks)

    def change(self, desks: Sequence[Desk]) -> None:
        """Go on with other desks; calls that run are not touched."""
        self._desks = [(path, desk) for desk in desks for path in desk.paths]
        self._posts: dict[str, Handle] = {
            "/v1/chat/completions": self._chat,
            "/v1/completions": self._text,
            "/v1/embeddings": partial(self._perform, parse_embedding),
            "/v1/rerank": partial(self._perform, parse_rerank),
            "/v2/rerank": partial(self._perform, parse_rerank),
            "/rerank": partial(self._perform, parse_rerank),
            "/v1/moderations": partial(self._perform, parse_moderation),
            "/v1/runs": self._allot,
        }
        for desk in desks:
            self._posts |= desk.posts

    async def __call__(self, call: Call) -> None:
        """Answer one call."""
        try:
            await self._route(call)
        except Exception as error:  # noqa: BLE001 - the door answers whatever happens behind it
            await self._fail(call, error)
        except asyncio.CancelledError:
            if not call.cut or call.finished:
                raise
            await self._fail(call, Draining("Hanok shut down before the answer was over", code="draining"))

    async def _route(self, call: Call) -> None:
        path = call.path
        if call.method == "POST" and (post := self._posts.get(path)):
            if self.draining:
                self._refuse_while_draining(call)
            if self._replays.concern(call):
                self._add_headers(call)
                await self._replays.answer(call, self._reception.find_key(call).id, handle=post, fail=self._fail)
            else:
                await post(call)
            return
        if call.method == "GET":
            if get := self._gets.get(path):
                await get(call)
                return
            if path.startswith("/v1/models/"):
                await self._show_model(call)
                return
        if (desk := self._find_desk(path)) is not None:
            if self.draining and call.method == "POST" and _begins_something(desk, path.rstrip("/")):
                self._refuse_while_draining(call)
            await desk(call)
            return
        await self._no_such_door(call)

    def _find_desk(self, path: str) -> Desk | None:
        for below, desk in self._desks:
            if path.startswith(below) and path[len(below) : len(below) + 1] in ("", "/"):
                return desk
        return None

    # what callers ask for

    async def _chat(self, call: Call) -> None:
        reception = self._reception
        key = reception.find_key(call)
        caller = reception.caller(call, key)
        await self._answer(call, parse_chat(await reception.body(call), caller, reception.options(call)), key)

    async def _text(self, call: Call) -> None:
        reception = self._reception
        key = reception.find_key(call)
        caller = reception.caller(call, key)
        await self._answer(call, parse_text(await reception.body(call), caller, reception.options(call)), key)

    async def _answer(self, call: Call, request: ChatRequest, key: Key) -> None:
        self._reception.offer(request.model, "chat", key)
        await self._giving.answer(call, request)

    async def _perform(self, parse: Callable[[bytes, Caller, Options], TaskRequest], call: Call) -> None:
        reception = self._reception
        key = reception.find_key(call)
        caller = reception.caller(call, key)
        request = parse(await reception.body(call), caller, reception.options(call))
        reception.offer(request.model, request.operation, key)
        await self._giving.result(call, request)

    async def _allot(self, call: Call) -> None:
        reception = self._reception
        caller = reception.caller(call, reception.find_key(call))
        await call.reply(200, json_bytes(await self._runs.allot(await reception.body(call), caller)), JSON_TYPE)

    async def _budgets(self, call: Call) -> None:
        caller = self._reception.caller(call, self._reception.find_key(call))
        await call.reply(200, json_bytes({"budgets": await self._runs.budgets(caller)}), JSON_TYPE)

    async def _list_models(self, call: Call) -> None:
        cards = [card.form() for card in self._reception.cards(self._reception.find_key(call))]
        await call.reply(200, json_bytes({"object": "list", "data": cards}), JSON_TYPE)

    async def _show_model(self, call: Call) -> None:
        key = self._reception.find_key(call)
        card = self._reception.card(call.path.removeprefix("/v1/models/"), key)
        await call.reply(200, json_bytes(card.form()), JSON_TYPE)

    async def _live(self, call: Call) -> None:
        await call.reply(200, b'{"status":"live"}', JSON_TYPE)

    async def _readiness(self, call: Call) -> None:
        ready, detail = self._ready()
        ready = ready and not self.draining
        status = "ready" if ready else "draining" if self.draining else "not ready"
        await call.reply(200 if ready else 503, json_bytes({"status": status, **detail}), JSON_TYPE)

    async def _show_metrics(self, call: Call) -> None:
        everyones = self._everyones_metrics
        body = self._metrics.render() if everyones is None else await everyones()
        await call.reply(200, body, (b"content-type", CONTENT_TYPE.encode()))

    async def _show_openapi(self, call: Call) -> None:
        await call.reply(200, await asyncio.to_thread(document), JSON_TYPE)

    async def _front(self, call: Call) -> None:
        doors = {"api": "/v1", "openapi": "/openapi.json", "health": "/health/ready", "metrics": "/metrics"}
        await call.reply(200, json_bytes({"name": "hanok", **doors}), JSON_TYPE)

    # what goes wrong

    async def _fail(self, call: Call, error: Exception) -> None:
        if call.finished:
            _log.exception("request %s to %s failed after its answer", call.request_id, call.path)
            return
        if not isinstance(error, HanokError):
            _log.exception("request %s to %s failed", call.request_id, call.path)
        desk = self._find_desk(call.path)
        failed = answer_error(error) if desk is None else desk.answer_error(error)
        self._metrics.refused(failed.status)
        if isinstance(error, OverLimit | Overloaded) and error.code:
            self._metrics.limited(error.code)
        with contextlib.suppress(Exception):  # the caller may be gone
            if call.begun:  # a stream: its status is spent, so the error is its last event
                await call.end(error_event(failed) if desk is None else desk.error_event(failed))
            else:
                headers = [(name.encode(), value.encode("latin-1")) for name, value in failed.headers.items()]
                await call.reply(failed.status, failed.body, JSON_TYPE, *headers)

    def _refuse_while_draining(self, call: Call) -> NoReturn:
        self._add_headers(call)
        call.keep_alive = False
        raise Draining("Hanok is shutting down", code="draining")

    def _add_headers(self, call: Call) -> None:
        """What is answered before a desk hears of the call is answered as there."""
        if (desk := self._find_desk(call.path)) is not None:
            call.also = desk.also(call)

    async def _no_such_door(self, call: Call) -> None:
        allowed = "POST" if call.path in self._posts else "GET" if call.path in self._gets else None
        if allowed:
            self._metrics.refused(405)
            body = envelope(f"{call.path} takes {allowed}", "invalid_request_error", code="method_not_allowed")
            await call.reply(405, body, JSON_TYPE, (b"allow", allowed.encode()))
        else:
            self._metrics.refused(404)
            meant = _meant(call.path, {*self._posts, *self._gets})
            advice = f"did you mean {meant}?" if meant else "see /openapi.json"
            message = f"there is nothing at {call.path}; {advice}"
            body = envelope(message, "invalid_request_error", code="not_found")
            await call.reply(404, body, JSON_TYPE)


def _begins_something(desk: Desk, path: str) -> bool:
    return path in desk.paths or path.rsplit("/", 1)[-1] in desk.asks


def _meant(path: str, known: Set[str]) -> str | None:
    """The path that a base URL without `/v1`, or with two of them, was to lead to."""
    bare = path.rstrip("/")
    while bare.startswith("/v1/"):
        bare = bare.removeprefix("/v1")
    return next((each for each in (f"/v1{bare}", bare) if each != path and each in known), None)
