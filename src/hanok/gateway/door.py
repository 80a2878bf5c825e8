"""The door: lets calls in, hands them to the model path, and relays the bytes back.

One request, one direction: find the route, find the key, read the body, parse it, open an answer, relay it.
Who may come in is decided by `access`, what he may use by the ledger's admission, behind `models`.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from hanok.errors import Forbidden, HanokError, OverLimit, Overloaded, Unauthenticated, UnknownModel, WrongContentType
from hanok.gateway.access import Access
from hanok.gateway.bodies import parse_chat, parse_embedding, parse_text
from hanok.gateway.envelope import answer_error, envelope
from hanok.gateway.http import Call, Header
from hanok.gateway.openapi import openapi
from hanok.gateway.relay import relay
from hanok.gateway.replay import Replays
from hanok.gateway.runs import RUN_HEADER, Runs, read_run
from hanok.gateway.standing import standing_headers
from hanok.ledger import Key, Metered, MeteredAnswer, MeteredEmbeddings
from hanok.telemetry import Metrics, TraceStart
from hanok.telemetry.metrics import CONTENT_TYPE
from hanok.wire import Caller, ChatRequest, json_bytes

Headers = dict[bytes, bytes]

SESSION_HEADERS = (
    b"x-session-id",
    b"x-claude-code-session-id",
    b"x-session-affinity",
    b"session-id",
    b"session_id",
    b"x-litellm-session-id",
    b"x-litellm-trace-id",
    b"x-dynamo-session-id",
)
_SESSION_NAMES = frozenset(SESSION_HEADERS)
_JSON = (b"content-type", b"application/json")
_EVENTS = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """A model as `/v1/models` lists it. `created` is Unix seconds."""

    id: str
    type: str
    created: int

    def form(self) -> dict[str, Any]:
        return {"id": self.id, "object": "model", "created": self.created, "owned_by": "hanok", "type": self.type}


class Keys(Protocol):
    """Who may come in."""

    def find(self, secret: str) -> Key | None: ...


class Desk(Protocol):
    """An API of its own, with its own key: the admin API."""

    async def __call__(self, call: Call) -> None: ...


Ready = Callable[[], tuple[bool, Mapping[str, Any]]]
Trace = Callable[[bytes | None, bytes | None], TraceStart]
"""From the `traceparent` and `tracestate` that came in to the trace that the call belongs to."""


class Door:
    """The door.

    `ready` says whether calls can be answered, and why not; `everyones_metrics` are to be shown where this process is
    one of several; `keep_alive_s` is the longest silence in a stream.
    """

    def __init__(
        self,
        models: Metered,
        *,
        keys: Keys,
        access: Access,
        cards: Sequence[ModelCard],
        metrics: Metrics,
        everyones_metrics: Callable[[], Awaitable[bytes]] | None = None,
        ready: Ready,
        runs: Runs,
        admin: Desk | None,
        trace: Trace,
        wall: Callable[[], float],
        replays: Replays,
        keep_alive_s: float,
    ) -> None:
        self._models = models
        self._keys = keys
        self._access = access
        self._cards = {card.id: card for card in cards}
        self._metrics = metrics
        self._everyones_metrics = everyones_metrics
        self._ready = ready
        self._runs = runs
        self._admin = admin
        self._trace = trace
        self._wall = wall
        self._replays = replays
        self._keep_alive_s = keep_alive_s
        self._openapi = json_bytes(openapi())
        self.draining = False
        self._posts = {
            "/v1/chat/completions": self._chat,
            "/v1/completions": self._text,
            "/v1/embeddings": self._embeddings,
            "/v1/runs": self._allot,
        }
        self._gets = {
            "/": self._front,
            "/v1/models": self._list_models,
            "/v1/budgets": self._budgets,
            "/health/live": self._live,
            "/health/ready": self._readiness,
            "/metrics": self._show_metrics,
            "/openapi.json": self._show_openapi,
        }

    async def __call__(self, call: Call) -> None:
        """Answer one call."""
        try:
            await self._route(call)
        except Exception as error:  # noqa: BLE001 - the door answers whatever happens behind it
            await self._fail(call, error)

    def change(
        self, *, access: Access, cards: Sequence[ModelCard], admin: Desk | None, trace: Trace, keep_alive_s: float
    ) -> None:
        """Go on with other models, teams and users, and another admin API; calls that run are not touched."""
        self._access = access
        self._cards = {card.id: card for card in cards}
        self._admin = admin
        self._trace = trace
        self._keep_alive_s = keep_alive_s

    async def _route(self, call: Call) -> None:
        path = call.path
        if call.method == "POST" and (post := self._posts.get(path)):
            if self.draining:
                await self._refuse_while_draining(call)
                return
            if self._replays.concern(call):
                await self._replays.answer(call, self._find_key(call).id, handle=post, fail=self._fail)
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
        if self._admin is not None and path.startswith("/admin/"):
            await self._admin(call)
            return
        await self._no_such_door(call)

    # what callers ask for

    async def _chat(self, call: Call) -> None:
        key = self._find_key(call)
        await self._answer(call, parse_chat(await self._body(call), self._caller(call, key)), key)

    async def _text(self, call: Call) -> None:
        key = self._find_key(call)
        await self._answer(call, parse_text(await self._body(call), self._caller(call, key)), key)

    async def _embeddings(self, call: Call) -> None:
        key = self._find_key(call)
        request = parse_embedding(await self._body(call), self._caller(call, key))
        self._offer(request.model, "embedding", key)
        embeddings = await self._models.embed(request)
        await call.reply(200, embeddings.data, _JSON, *self._about(request.model, embeddings))

    async def _answer(self, call: Call, request: ChatRequest, key: Key) -> None:
        self._offer(request.model, "chat", key)
        opening = self._models.open(request)
        if request.stream:
            headers = partial(self._stream_headers, request.model)
            await relay(call, opening, headers=headers, keep_alive_s=self._keep_alive_s)
        else:
            await self._give_whole(call, request, await opening)

    async def _give_whole(self, call: Call, request: ChatRequest, answer: MeteredAnswer) -> None:
        try:
            chunk = await answer.__anext__()
            await call.reply(200, chunk.data, _JSON, *self._about(request.model, answer))
        finally:
            await answer.aclose()

    def _stream_headers(self, asked: str, answer: MeteredAnswer | None) -> list[Header]:
        return [*_EVENTS] if answer is None else [*_EVENTS, *self._about(asked, answer)]

    def _about(self, asked: str, answer: MeteredAnswer | MeteredEmbeddings) -> list[Header]:
        """Headers of an answer: who gives it, and what is left to the caller."""
        headers = [(b"x-hanok-endpoint", answer.endpoint.encode("ascii"))]
        if answer.model != asked:
            headers.append((b"x-hanok-model", answer.model.encode("ascii")))
        if answer.hold is not None and (accounts := answer.hold.accounts):
            headers += standing_headers(accounts, self._wall())
        return headers

    async def _allot(self, call: Call) -> None:
        caller = self._caller(call, self._find_key(call))
        await call.reply(200, json_bytes(await self._runs.allot(await self._body(call), caller)), _JSON)

    async def _budgets(self, call: Call) -> None:
        caller = self._caller(call, self._find_key(call))
        await call.reply(200, json_bytes({"budgets": await self._runs.budgets(caller)}), _JSON)

    async def _list_models(self, call: Call) -> None:
        open_to = self._access.models(self._find_key(call))
        cards = [card.form() for card in self._cards.values() if card.id in open_to]
        await call.reply(200, json_bytes({"object": "list", "data": cards}), _JSON)

    async def _show_model(self, call: Call) -> None:
        key = self._find_key(call)
        card = self._card(call.path.removeprefix("/v1/models/"), key)
        await call.reply(200, json_bytes(card.form()), _JSON)

    async def _live(self, call: Call) -> None:
        await call.reply(200, b'{"status":"live"}', _JSON)

    async def _readiness(self, call: Call) -> None:
        ready, detail = self._ready()
        ready = ready and not self.draining
        status = "ready" if ready else "draining" if self.draining else "not ready"
        await call.reply(200 if ready else 503, json_bytes({"status": status, **detail}), _JSON)

    async def _show_metrics(self, call: Call) -> None:
        everyones = self._everyones_metrics
        body = self._metrics.render() if everyones is None else await everyones()
        await call.reply(200, body, (b"content-type", CONTENT_TYPE.encode()))

    async def _show_openapi(self, call: Call) -> None:
        await call.reply(200, self._openapi, _JSON)

    async def _front(self, call: Call) -> None:
        doors = {"api": "/v1", "openapi": "/openapi.json", "health": "/health/ready", "metrics": "/metrics"}
        await call.reply(200, json_bytes({"name": "hanok", **doors}), _JSON)

    # who comes in, with what

    def _find_key(self, call: Call) -> Key:
        """The bearer key that was shown. Raises `Unauthenticated`."""
        shown = call.headers.get(b"authorization", b"")
        scheme, _, secret = shown.partition(b" ")
        key = self._keys.find(secret.strip().decode("latin-1")) if scheme.lower() == b"bearer" else None
        if key is None:
            message = "this key is not known here, was revoked or has expired" if shown else "no key was given"
            hint = "send `Authorization: Bearer hk-…`; make a key with `hanok keys create NAME`"
            raise Unauthenticated(f"{message}; {hint}", code="invalid_api_key")
        return key

    def _caller(self, call: Call, key: Key) -> Caller:
        """Who asks. Raises `RequestError` when the run that is named cannot be one."""
        headers = call.headers
        run = headers.get(RUN_HEADER)
        trace = self._trace(headers.get(b"traceparent"), headers.get(b"tracestate"))
        return Caller(
            key_id=key.id,
            key_name=key.name,
            team=self._access.team(key),
            user=key.user,
            session=_session(headers),
            run=None if run is None else read_run(run.decode("latin-1")),
            request_id=call.request_id,
            trace=trace.trace,
            trace_state=trace.trace_state,
            parent_span=trace.parent_span,
        )

    def _offer(self, model: str, kind: str, key: Key) -> None:
        """Raise `UnknownModel` unless there is such a model for this kind of call.

        Beyond this point a model's name is one of ours, so that callers cannot fill the ledger and the metrics with
        names of theirs.
        """
        card = self._card(model, key)
        if card.type != kind:
            makes = "vectors: ask it at /v1/embeddings" if card.type == "embedding" else "text, not vectors"
            raise UnknownModel(f"the model {model!r} makes {makes}", param="model", code="model_not_found")

    def _card(self, model: str, key: Key) -> ModelCard:
        """The card of that model. Raises `UnknownModel`, and `Forbidden` when the key does not open it."""
        card = self._cards.get(model)
        if card is None:
            raise UnknownModel(f"there is no model {model!r}; see /v1/models", param="model", code="model_not_found")
        if model not in self._access.models(key):
            raise Forbidden(f"this key does not open the model {model!r}", param="model", code="model_not_allowed")
        return card

    async def _body(self, call: Call) -> bytes:
        """The whole body, if it is JSON."""
        content_type = call.headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if content_type != b"application/json":
            shown = content_type.decode("latin-1") or "none"
            message = f"the content type must be application/json, not {shown}"
            raise WrongContentType(message, code="unsupported_media_type")
        return await call.body()

    # what goes wrong

    async def _fail(self, call: Call, error: Exception) -> None:
        if call.finished:
            _log.exception("request %s to %s failed after its answer", call.request_id, call.path)
            return
        if not isinstance(error, HanokError):
            _log.exception("request %s to %s failed", call.request_id, call.path)
        failed = answer_error(error)
        self._metrics.refused(failed.status)
        if isinstance(error, OverLimit | Overloaded) and error.code:
            self._metrics.limited(error.code)
        with contextlib.suppress(Exception):  # the caller may be gone
            if call.begun:  # a stream: its status is spent, so the error is its last event
                await call.end(b"data: " + failed.body.replace(b"\n", b" ") + b"\n\n")
            else:
                headers = [(name.encode(), value.encode("latin-1")) for name, value in failed.headers.items()]
                await call.reply(failed.status, failed.body, _JSON, *headers)

    async def _refuse_while_draining(self, call: Call) -> None:
        body = envelope("Hanok is shutting down", "server_error", code="draining")
        self._metrics.refused(503)
        call.keep_alive = False
        await call.reply(503, body, _JSON, (b"retry-after", b"5"))

    async def _no_such_door(self, call: Call) -> None:
        allowed = "POST" if call.path in self._posts else "GET" if call.path in self._gets else None
        if allowed:
            self._metrics.refused(405)
            body = envelope(f"{call.path} takes {allowed}", "invalid_request_error", code="method_not_allowed")
            await call.reply(405, body, _JSON, (b"allow", allowed.encode()))
        else:
            self._metrics.refused(404)
            body = envelope(
                f"there is nothing at {call.path}; see /openapi.json", "invalid_request_error", code="not_found"
            )
            await call.reply(404, body, _JSON)


def _session(headers: Headers) -> str | None:
    if _SESSION_NAMES.isdisjoint(headers):
        return None
    for name in SESSION_HEADERS:
        if name in headers:
            return headers[name][:256].decode("latin-1")
    return None
