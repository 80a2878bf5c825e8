"""Lines of batches, asked as calls are: by the key that made the batch, as it is now, and with what it opens now."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from typing import Protocol

import msgspec

from hanok.batches import Batch, Later, Outcome, Tokens
from hanok.errors import (
    BudgetExceeded,
    EngineBroken,
    EngineError,
    EngineRefused,
    EngineUnreachable,
    HanokError,
    NoEndpoint,
    NotNow,
    Overloaded,
    RateLimited,
    RequestError,
    StoreError,
    Unauthenticated,
)
from hanok.gateway.bodies import parse_chat, parse_embedding, parse_text
from hanok.gateway.envelope import answer_error
from hanok.gateway.reception import Reception
from hanok.ledger import Key, Metered
from hanok.wire import Caller, ChatRequest, Options, TaskRequest, Usage

Parse = Callable[[bytes, Caller, Options], ChatRequest | TaskRequest]
_PARSERS: dict[str, tuple[Parse, str]] = {
    "/v1/chat/completions": (parse_chat, "chat"),
    "/v1/completions": (parse_text, "chat"),
    "/v1/embeddings": (parse_embedding, "embedding"),
}
_AS_A_LINE = Options(batch=True)
_FULL = frozenset({429, 503, 529})
_log = logging.getLogger(__name__)


class Keys(Protocol):
    """Who may come in."""

    def by_id(self, id_: str) -> Key | None: ...


class LineAsker:
    """Asks lines at `models`."""

    endpoints: Collection[str] = tuple(_PARSERS)

    def __init__(self, models: Metered, *, reception: Reception, keys: Keys) -> None:
        self._models = models
        self._reception = reception
        self._keys = keys

    def check(self, batch: Batch, body: bytes) -> str:
        """The model that this body asks for. Raises `RequestError` when the door would not let it in."""
        return self._request(batch, body, "").model

    async def ask(self, batch: Batch, body: bytes, request_id: str) -> Outcome | Later:
        """Ask; whatever goes wrong is an outcome, too."""
        try:
            request = self._request(batch, body, request_id)
            data, usage = await (self._text(request) if isinstance(request, ChatRequest) else self._task(request))
            return Outcome(status=200, body=_one_line(data), tokens=_tokens(usage))
        except Exception as error:  # noqa: BLE001 - as at the door
            if not isinstance(error, HanokError):
                _log.exception("line %s of %s failed", request_id, batch.id)
            return _failed(error)

    def _request(self, batch: Batch, body: bytes, request_id: str) -> ChatRequest | TaskRequest:
        key = self._keys.by_id(batch.key_id)
        if key is None:
            message = "the key that made this batch was revoked or has expired"
            raise Unauthenticated(message, code="invalid_api_key")
        caller = self._reception.caller_for(key, request_id=request_id, session=batch.session, run=batch.run)
        parse, kind = _PARSERS[batch.endpoint]
        request = parse(body, caller, _AS_A_LINE)
        if isinstance(request, ChatRequest) and request.stream:
            raise RequestError("lines of a batch are not streamed", param="stream", code="invalid_value")
        self._reception.offer(request.model, kind, key)
        return request

    async def _text(self, request: ChatRequest) -> tuple[bytes, Usage | None]:
        answer = await self._models.open(request)
        try:
            chunk = await anext(answer)
            return chunk.data, chunk.usage
        finally:
            await answer.aclose()

    async def _task(self, request: TaskRequest) -> tuple[bytes, Usage | None]:
        result = await self._models.perform(request)
        return result.data, result.usage


def _one_line(data: bytes) -> bytes:
    try:
        return msgspec.json.format(data, indent=-1)
    except msgspec.DecodeError as error:
        raise EngineBroken(f"the engine's answer is not JSON: {error}") from None


def _tokens(usage: Usage | None) -> Tokens:
    if usage is None:
        return Tokens()
    return Tokens(input=usage.prompt_tokens, cached=usage.cached_tokens, output=usage.completion_tokens)


def _failed(error: Exception) -> Outcome | Later:
    """What to do about it: tell it, ask again some times, or wait for as long as it takes."""
    answer = answer_error(error)
    outcome = Outcome(status=answer.status, body=answer.body)
    match error:
        case BudgetExceeded():
            return Later(outcome=outcome, patient=True, crowded=True)
        case RateLimited() if error.retry_after_s is None:  # larger than the limit is
            return outcome
        case RateLimited() | Overloaded() | NoEndpoint():
            return Later(outcome=outcome, patient=True, after_s=error.retry_after_s)
        case EngineUnreachable() | StoreError() | NotNow():
            return Later(outcome=outcome, patient=True)
        case EngineRefused() if error.status in _FULL:
            return Later(outcome=outcome, patient=True, after_s=_seconds(error.refusal.headers.get("retry-after")))
        case EngineError() if not error.retryable:
            return outcome
        case RequestError():
            return outcome
        case _:
            return Later(outcome=outcome)


def _seconds(header: str | None) -> float | None:
    """`Retry-After` in seconds, where it is that."""
    return float(header) if header is not None and header.isdigit() and len(header) < 6 else None
