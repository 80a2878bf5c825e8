"""The desk for Anthropic's Messages: `/v1/messages`, and how many tokens a prompt has."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence, Set

from hanok.errors import Unknown, WrongMethod
from hanok.gateway.giving import JSON_TYPE, Giving
from hanok.gateway.http import Call, Header
from hanok.gateway.reception import Reception
from hanok.gateway.replay import Handle
from hanok.gateway.wires.counted import CountTokens, count_or_guess
from hanok.gateway.wires.large import work_on
from hanok.gateway.wires.messages_answer import PING, MessageWriter
from hanok.gateway.wires.messages_errors import answer_anthropic_error, anthropic_error_event
from hanok.gateway.wires.messages_request import parse_count, parse_messages
from hanok.gateway.wires.retelling import give_retold
from hanok.wire import json_bytes

_PATHS = {"/v1/messages", "/v1/messages/count_tokens"}


class MessagesDesk:
    """Answers Anthropic's SDK. `count` asks an engine for a prompt's tokens."""

    paths: Sequence[str] = ("/v1/messages",)
    asks: Set[str] = frozenset()
    answer_error = staticmethod(answer_anthropic_error)
    error_event = staticmethod(anthropic_error_event)

    def __init__(self, *, reception: Reception, giving: Giving, count: CountTokens) -> None:
        self._reception = reception
        self._giving = giving
        self._count = count
        self.posts: Mapping[str, Handle] = {
            "/v1/messages": self._create,
            "/v1/messages/count_tokens": self._count_tokens,
        }

    def also(self, call: Call) -> Sequence[Header]:
        """The request's id, by Anthropic's name."""
        return ((b"request-id", call.request_id.encode()),)

    async def __call__(self, call: Call) -> None:
        """What is no call for an answer. Raises `RequestError`."""
        call.also = self.also(call)
        if call.path in _PATHS:
            raise WrongMethod(call.path, "POST")
        message = f"there is nothing at {call.path}"
        if call.path.startswith("/v1/messages/batches"):
            message = "there are no message batches here: send the messages one by one"
        raise Unknown(message, code="not_found")

    async def _create(self, call: Call) -> None:
        call.also = self.also(call)
        key = self._reception.find_key(call)
        caller = self._reception.caller(call, key)
        data = await self._reception.body(call)
        asked = await work_on(len(data), parse_messages, data, caller, self._reception.options(call))
        self._reception.offer(asked.request.model, "chat", key)
        writer = MessageWriter(asked, message_id=f"msg_{secrets.token_hex(12)}", new_call_id=_new_call_id)
        await give_retold(self._giving, call, asked.request, writer, comment=PING)

    async def _count_tokens(self, call: Call) -> None:
        call.also = self.also(call)
        key = self._reception.find_key(call)
        caller = self._reception.caller(call, key)
        data = await self._reception.body(call)
        asked = await work_on(len(data), parse_count, data, caller, self._reception.options(call))
        self._reception.offer(asked.request.model, "chat", key)
        tokens, header = await count_or_guess(self._count, asked.request)
        await call.reply(200, json_bytes({"input_tokens": tokens}), JSON_TYPE, header)


def _new_call_id() -> str:
    return f"toolu_{secrets.token_hex(12)}"
