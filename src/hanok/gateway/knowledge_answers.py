"""`POST /v1/knowledge/{name}/answer`: an answer from documents in machine form, whole or as events.

The events are `passages` (what was found), `delta` (text as it comes), `answer` (all of it, in the form of the whole).
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from hanok.errors import RequestError
from hanok.gateway.access import KNOWLEDGE
from hanok.gateway.bodies import Message, decode_body
from hanok.gateway.given import Given
from hanok.gateway.giving import JSON_TYPE, Giving
from hanok.gateway.http import Call, Header
from hanok.gateway.informed import Informed, InformedAnswer
from hanok.gateway.informed_form import answer_form
from hanok.gateway.reception import Reception
from hanok.gateway.relay import relay
from hanok.knowledge.answering import Asked, Telling, read_conversation
from hanok.knowledge.finding.finder import LONGEST_QUESTION
from hanok.ledger import Key
from hanok.wire import Caller, ChatRequest, Options, Usage, json_bytes

MOST_PASSAGES = 100
MOST_MESSAGES = 100
_NOTHING = msgspec.Raw(b"null")


class AnswerBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What is asked. `messages` are what was said before; what is not given is as the base declares it."""

    question: Annotated[str, Meta(min_length=1, max_length=LONGEST_QUESTION)]
    stream: bool = False
    k: Annotated[int, Meta(ge=1, le=MOST_PASSAGES)] | None = None
    filters: msgspec.Raw = msgspec.field(default_factory=lambda: _NOTHING)
    model: Annotated[str, Meta(min_length=1, max_length=256)] | None = None
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    messages: Annotated[list[Message], Meta(max_length=MOST_MESSAGES)] = []

    def asked(self, base: str, caller: Caller, options: Options) -> Asked:
        """What is asked of that base. Raises `RequestError`."""
        before = [msgspec.to_builtins(message) for message in self.messages]
        request = ChatRequest.ask(f"{KNOWLEDGE}{base}", [*before, {"role": "user", "content": self.question}])
        return Asked(
            base=base,
            talk=read_conversation(request),
            caller=caller,
            options=options,
            stream=self.stream,
            max_tokens=self.max_tokens,
            model=self.model,
            filter=None if bytes(self.filters) == b"null" else self.filters,
            k=self.k,
        )


class KnowledgeAnswers:
    """Answers below a desk's path: the desk has found the key, and that it opens the base."""

    def __init__(self, informed: Informed, *, giving: Giving, reception: Reception) -> None:
        self._informed = informed
        self._giving = giving
        self._reception = reception

    async def __call__(self, call: Call, base: str, key: Key, caller: Caller) -> None:
        """Answer one call. Raises `RequestError`, and what models and searches raise."""
        body = decode_body(await self._reception.body(call), AnswerBody)
        if body.model is not None:
            self._check(body.model, key)
        asked = body.asked(base, caller, self._reception.options(call))
        opening = self._open(asked, AnswerWriter())
        if asked.stream:
            await relay(call, opening, headers=self._headers, keep_alive_s=self._giving.keep_alive_s)
            return
        answer = await opening
        try:
            chunk = await answer.__anext__()
            await call.reply(200, chunk.data, JSON_TYPE, *self._giving.about("", answer))
        finally:
            await answer.aclose()

    def _check(self, model: str, key: Key) -> None:
        if model.startswith(KNOWLEDGE):
            message = "a knowledge base is answered by a model, not by another knowledge base"
            raise RequestError(message, param="model", code="invalid_value")
        self._reception.offer(model, "chat", key)

    def _headers(self, answer: InformedAnswer | None) -> list[Header]:
        return self._giving.stream_headers("", answer)

    async def _open(self, asked: Asked, writer: AnswerWriter) -> InformedAnswer:
        writer.answer = answer = await self._informed.answer(asked, writer)
        return answer


class AnswerWriter:
    """The answer in machine form. `answer`, once it is opened, knows what it costs."""

    def __init__(self) -> None:
        self.answer: InformedAnswer | None = None

    def whole(self, telling: Telling[Given], usage: Usage) -> bytes:
        return json_bytes(self._form(telling, usage))

    def begin(self, telling: Telling[Given]) -> bytes:
        return event("passages", {"passages": telling.passages(), "notes": list(telling.found.notes)})

    def more(self, text: str) -> bytes:
        return event("delta", {"text": text})

    def end(self, telling: Telling[Given], usage: Usage) -> bytes:
        return event("answer", self._form(telling, usage))

    def _form(self, telling: Telling[Given], usage: Usage) -> dict[str, Any]:
        return answer_form(telling, usage, self.answer.cost_nano_usd if self.answer else 0)


def event(name: str, value: Any) -> bytes:
    """One server-sent event."""
    return b"event: %b\ndata: %b\n\n" % (name.encode(), json_bytes(value))
