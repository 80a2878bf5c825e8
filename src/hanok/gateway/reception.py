"""The reception: who comes in, with what, and whether what he asks for is open to him.

Every desk asks here before it does anything. Headers are read once, into a `Caller` and (rarely) `Options`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from hanok.errors import Forbidden, RequestError, Unauthenticated, UnknownModel, WrongContentType
from hanok.gateway.access import AGENT, KNOWLEDGE, Access
from hanok.gateway.http import Call
from hanok.gateway.runs import RUN_HEADER, read_run
from hanok.ledger import Key
from hanok.telemetry import Trace, TraceStart
from hanok.wire import NO_OPTIONS, Caller, Options

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
CACHE_HEADER = b"cache-control"
TTL_HEADER = b"x-hanok-cache-ttl"
TAGS_HEADER = b"x-hanok-tags"
_JSON = b"application/json"
TAGS = 16
TAG_BYTES = 64
_OPTION_HEADERS = frozenset({CACHE_HEADER, TTL_HEADER, TAGS_HEADER})
_SESSION_NAMES = frozenset(SESSION_HEADERS)
_ASKED_AT = {
    "chat": "/v1/chat/completions",
    "embedding": "/v1/embeddings",
    "rerank": "/v1/rerank",
    "moderation": "/v1/moderations",
}


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


class Reception:
    """Knows keys, what they open, and the models on offer."""

    def __init__(
        self,
        *,
        keys: Keys,
        access: Access,
        cards: Sequence[ModelCard],
        trace: Trace,
        told_headers: Collection[str] = (),
    ) -> None:
        self._keys = keys
        self.change(access=access, cards=cards, trace=trace, told_headers=told_headers)

    def change(
        self, *, access: Access, cards: Sequence[ModelCard], trace: Trace, told_headers: Collection[str] = ()
    ) -> None:
        """Go on with other models, teams and users; `told_headers` are those that rules of routing look at."""
        self._told_headers = tuple(name.encode() for name in sorted(told_headers))
        self._option_headers = _OPTION_HEADERS.union(self._told_headers)
        self._access = access
        self._cards = {card.id: card for card in cards}
        self._trace = trace

    def find_key(self, call: Call) -> Key:
        """The key that was shown, as a bearer or (Anthropic's way) as `x-api-key`. Raises `Unauthenticated`."""
        shown = call.headers.get(b"authorization", b"")
        scheme, _, secret = shown.partition(b" ")
        if scheme.lower() != b"bearer":
            secret = shown = call.headers.get(b"x-api-key", shown)
        key = self._keys.find(secret.strip().decode("latin-1"))
        if key is None:
            message = "this key is not known here, was revoked or has expired" if shown else "no key was given"
            hint = "send `Authorization: Bearer hk-…`; make a key with `hanok keys create NAME`"
            raise Unauthenticated(f"{message}; {hint}", code="invalid_api_key")
        return key

    def caller(self, call: Call, key: Key) -> Caller:
        """Who asks. Raises `RequestError` when the run that is named cannot be one."""
        headers = call.headers
        run = headers.get(RUN_HEADER)
        return self.caller_for(
            key,
            request_id=call.request_id,
            session=_session(headers),
            run=None if run is None else read_run(run.decode("latin-1")),
            trace=self._trace(headers.get(b"traceparent"), headers.get(b"tracestate")),
        )

    def caller_for(
        self, key: Key, *, request_id: str, session: str | None, run: str | None, trace: TraceStart | None = None
    ) -> Caller:
        """Who asks, in a trace of its own unless told otherwise: also for a call that was ordered before."""
        trace = trace or self._trace(None, None)
        return Caller(
            key_id=key.id,
            key_name=key.name,
            team=self._access.team(key),
            user=key.user,
            session=session,
            run=run,
            request_id=request_id,
            trace=trace.trace,
            trace_state=trace.trace_state,
            parent_span=trace.parent_span,
        )

    def options(self, call: Call) -> Options:
        """What the caller asks of Hanok itself. Raises `RequestError` when it cannot be read."""
        if self._option_headers.isdisjoint(call.headers):
            return NO_OPTIONS
        return _options(call.headers, self._told_headers)

    def offer(self, model: str, kind: str, key: Key) -> None:
        """Raise `UnknownModel` unless there is such a model for this kind of call.

        Beyond this point a model's name is one of ours, so that callers cannot fill the ledger and the metrics with
        names of theirs.
        """
        card = self.card(model, key)
        if card.type != kind:
            message = f"the model {model!r} is for {card.type}: ask it at {_ASKED_AT[card.type]}"
            raise UnknownModel(message, param="model", code="model_not_found")

    def card(self, model: str, key: Key) -> ModelCard:
        """The card of that model. Raises `UnknownModel`, and `Forbidden` when the key does not open it.

        A knowledge base or an agent that is not open is not there, under this name as under its own.
        """
        card, is_open = self._cards.get(model), model in self._access.models(key)
        if card is None or (model.startswith((KNOWLEDGE, AGENT)) and not is_open):
            raise UnknownModel(f"there is no model {model!r}; see /v1/models", param="model", code="model_not_found")
        if not is_open:
            raise Forbidden(f"this key does not open the model {model!r}", param="model", code="model_not_allowed")
        return card

    def cards(self, key: Key) -> list[ModelCard]:
        """The models that this key opens."""
        open_to = self._access.models(key)
        return [card for card in self._cards.values() if card.id in open_to]

    def knowledge(self, key: Key) -> frozenset[str]:
        """The names of the knowledge bases that this key opens."""
        return self._access.knowledge(key)

    def agents(self, key: Key) -> frozenset[str]:
        """The names of the agents that this key opens."""
        return self._access.agents(key)

    async def body(self, call: Call) -> bytes:
        """The whole body. Raises `WrongContentType` unless it is said to be JSON, `BodyTooLarge`."""
        content_type = call.headers.get(b"content-type", b"")
        if content_type != _JSON and (plain := content_type.partition(b";")[0].strip().lower()) != _JSON:
            shown = plain.decode("latin-1") or "none"
            message = f"the content type must be application/json, not {shown}"
            raise WrongContentType(message, code="unsupported_media_type")
        return await call.body()


def _session(headers: Headers) -> str | None:
    if _SESSION_NAMES.isdisjoint(headers):
        return None
    for name in SESSION_HEADERS:
        if name in headers:
            return headers[name][:256].decode("latin-1")
    return None


def _options(headers: Mapping[bytes, bytes], told: Sequence[bytes]) -> Options:
    words = {word.strip().lower() for word in headers.get(CACHE_HEADER, b"").split(b",")}
    return Options(
        no_cache=b"no-cache" in words,
        no_store=b"no-store" in words,
        ttl_s=_ttl_s(headers.get(TTL_HEADER)),
        tags=_tags(headers.get(TAGS_HEADER, b"")),
        headers=tuple((name.decode(), headers[name].decode("latin-1")) for name in told if name in headers),
    )


def _ttl_s(given: bytes | None) -> float | None:
    if given is None:
        return None
    if not given.isdigit() or len(given) > 9:
        name = TTL_HEADER.decode()
        raise RequestError(f"{name}: must be whole seconds", param=name, code="invalid_value")
    return float(given)


def _tags(given: bytes) -> frozenset[str]:
    tags = [tag.strip() for tag in given.split(b",") if tag.strip()]
    if len(tags) > TAGS or any(len(tag) > TAG_BYTES for tag in tags):
        name = TAGS_HEADER.decode()
        message = f"{name}: at most {TAGS} tags of {TAG_BYTES} bytes, with commas between"
        raise RequestError(message, param=name, code="invalid_value")
    return frozenset(tag.decode("latin-1") for tag in tags)
