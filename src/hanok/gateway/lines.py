"""Lines of batches, asked as calls are: by the key that made the batch, as it is now, and with what it opens now."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Collection
from typing import Any, Protocol

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
from hanok.gateway.bodies import parse_chat, parse_embedding, parse_moderation, parse_rerank, parse_text
from hanok.gateway.envelope import answer_error
from hanok.gateway.given import Given, Models
from hanok.gateway.reception import Reception
from hanok.gateway.wires.large import work_on
from hanok.gateway.wires.responses_answer import ResponseWriter
from hanok.gateway.wires.responses_request import chat_request, parse_responses, referred
from hanok.ledger import Key
from hanok.wire import Caller, ChatRequest, Options, TaskRequest, Usage

Parse = Callable[[bytes, Caller, Options], ChatRequest | TaskRequest]


def _parse_response(body: bytes, caller: Caller, options: Options) -> ChatRequest:
    """A Responses request that stands for itself. Raises `RequestError`."""
    asked = parse_responses(body)
    if asked.body.previous_response_id is not None or referred(asked.body):
        message = "lines of a batch refer to no kept responses: put what was said into `input`"
        raise RequestError(message, param="previous_response_id", code="unsupported")
    return chat_request(asked, [], caller, options)


_RESPONSES = "/v1/responses"
_PARSERS: dict[str, tuple[Parse, str]] = {
    "/v1/chat/completions": (parse_chat, "chat"),
    "/v1/completions": (parse_text, "chat"),
    _RESPONSES: (_parse_response, "chat"),
    "/v1/embeddings": (parse_embedding, "embedding"),
    "/v1/moderations": (parse_moderation, "moderation"),
    "/v1/rerank": (parse_rerank, "rerank"),
}
_AS_A_LINE = Options(batch=True)
_FULL = frozenset({429, 503, 529})
_log = logging.getLogger(__name__)


class Keys(Protocol):
    """Who may come in."""

    def by_id(self, id_: str) -> Key | None: ...


class LineAsker:
    """Asks lines at `models`. `wall` gives Unix seconds."""

    endpoints: Collection[str] = tuple(_PARSERS)

    def __init__(self, models: Models, *, reception: Reception, keys: Keys, wall: Callable[[], float]) -> None:
        self._models = models
        self._reception = reception
        self._keys = keys
        self._wall = wall

    def check(self, batch: Batch, body: bytes) -> str:
        """The model that this body asks for. Raises `RequestError` when the door would not let it in."""
        return self._request(batch, body, "").model

    async def ask(self, batch: Batch, body: bytes, request_id: str) -> Outcome | Later:
        """Ask; whatever goes wrong is an outcome, too."""
        try:
            request = await work_on(len(body), self._request, batch, body, request_id)
            if isinstance(request, ChatRequest):
                data, usage = await self._text(request, body if batch.endpoint == _RESPONSES else None)
            else:
                data, usage = await self._task(request)
            return Outcome(status=200, body=await work_on(len(data), _one_line, data), tokens=_tokens(usage))
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

    async def _text(self, request: ChatRequest, response: bytes | None) -> tuple[bytes, Usage | None]:
        """The answer's body; in the form of a response where a Responses request asked for it."""
        answer = await self._models.open(request)
        try:
            chunk = await anext(answer)
            data = chunk.data if response is None else await self._retell(request, response, chunk.data, answer)
            return data, chunk.usage
        finally:
            await answer.aclose()

    async def _retell(self, request: ChatRequest, body: bytes, data: bytes, answer: Given) -> bytes:
        writer = ResponseWriter(
            await work_on(len(body), parse_responses, body),
            name=request.caller.request_id.rpartition("_")[2],
            new_call_id=lambda: f"call_{secrets.token_hex(12)}",
            wall=self._wall,
            keep=_not_kept,
        )
        return await writer.whole(data, answer)

    async def _task(self, request: TaskRequest) -> tuple[bytes, Usage | None]:
        result = await self._models.perform(request)
        return result.data, result.usage


async def _not_kept(response: dict[str, Any]) -> dict[str, Any]:
    """The batch's file keeps it, nothing else."""
    return {**response, "store": False}


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
