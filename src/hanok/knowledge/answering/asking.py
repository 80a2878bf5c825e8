"""From a question to an answer on its way: look passages up, put them before the model, check what it says as it comes.

Whoever holds a `ChatModel` can answer from documents: it is the same path that all calls take, in the caller's name, so
budgets, runs and traces hold as for any call.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, Generic, Protocol, Self, TypeVar

import msgspec

from hanok.knowledge.answering.citations import Citing, Sentence
from hanok.knowledge.answering.conversation import SOURCES_MARK, Conversation
from hanok.knowledge.answering.form import citation_forms, passage_form, sentence_form, source_lines
from hanok.knowledge.answering.language import Language, language_of
from hanok.knowledge.answering.pieces import read_events, read_whole
from hanok.knowledge.answering.prompt import make_messages, passage_lines
from hanok.knowledge.answering.quoting import PASSAGES, needs_quoting, quote_request
from hanok.knowledge.answering.relevance import is_relevant
from hanok.knowledge.answering.support import Ground, grounds
from hanok.knowledge.values import Found, Hit, Question
from hanok.spec import Knowledge, Model, Platform
from hanok.wire import NO_OPTIONS, Answer, Caller, ChatRequest, Options, Usage, json_bytes

Given = TypeVar("Given", bound=Answer, covariant=True)
Inner = TypeVar("Inner", bound=Answer)


class Library(Protocol):
    """Finds passages."""

    def search(self, question: Question) -> Coroutine[Any, Any, Found]: ...


class Models(Protocol[Given]):
    """The models that answer, as layers above them know them."""

    def open(self, request: ChatRequest) -> Coroutine[Any, Any, Given]: ...


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of a base. What is None is as the base declares it."""

    base: str
    talk: Conversation
    caller: Caller
    options: Options = NO_OPTIONS
    stream: bool = False
    max_tokens: int | None = None
    model: str | None = None
    filter: msgspec.Raw | None = None
    k: int | None = None


class Answerer(Generic[Inner]):
    """Answers from the declared bases. `secret` is what fences round passages are drawn from."""

    def __init__(self, models: Models[Inner], library: Library, *, secret: bytes | None = None) -> None:
        self._models = models
        self._library = library
        self._secret = secret or secrets.token_bytes(32)
        self._bases: Mapping[str, Knowledge] = {}
        self._declared: Mapping[str, Model] = {}
        self._first = ""

    def change(self, platform: Platform) -> None:
        """Go on with what this platform declares."""
        self._bases = {base.name: base for base in platform.knowledge}
        self._declared = {model.name: model for model in platform.models}
        first = platform.first("chat")
        self._first = first.name if first else ""

    def model_for(self, base: str) -> str:
        """The model that answers for a base, "" when none is declared."""
        return self._bases[base].answer.model or self._first

    async def open(self, asked: Asked) -> Telling[Inner]:
        """Look the question up and ask, and return when the answer has begun. Raises as a library and a model do."""
        base = self._bases[asked.base]
        language = language_of(asked.talk.question)
        found = await self._library.search(_question(asked))
        hits = tuple(found.hits)
        request, held = None, ()
        if is_relevant(hits, base.answer.min_relevance):
            request, held = await asyncio.to_thread(self._prepare, asked, base, hits, language)
        model = asked.model or self.model_for(asked.base)
        opened = None if request is None else await self._models.open(request)
        return Telling(opened, hits, found, language, Citing(held), stream=asked.stream, asked_model=model)

    def _prepare(
        self, asked: Asked, base: Knowledge, hits: Sequence[Hit], language: Language
    ) -> tuple[ChatRequest | None, Sequence[Ground]]:
        """What the model is asked, and what its sentences are held against. Takes 20 ms a long passage: in a thread."""
        request = self._request(asked, base, hits, language)
        if request is None:
            return None, ()
        shown = hits[:PASSAGES] if needs_quoting(self._declared.get(request.model)) else hits
        return request, grounds(map(_ground_text, shown))

    def _request(self, asked: Asked, base: Knowledge, hits: Sequence[Hit], language: Language) -> ChatRequest | None:
        """What the model is asked; None where it could say nothing."""
        name = asked.model or self.model_for(base.name)
        most = min(base.answer.max_tokens, asked.max_tokens or base.answer.max_tokens)
        if needs_quoting(self._declared.get(name)):
            quoting = quote_request(asked.talk.question, hits)
            if quoting is None:
                return None
            messages, options = quoting
            fields: dict[str, msgspec.Raw] = {}
        else:
            instructions = base.answer.instructions
            messages = make_messages(asked.talk, hits, language, instructions=instructions, secret=self._secret)
            options, fields = {}, dict(asked.talk.fields)
        request = ChatRequest.ask(name, messages, stream=asked.stream, max_tokens=most, **options)
        told = {**request.fields, **fields, "model": msgspec.Raw(json_bytes(name))}
        if asked.stream:
            told["stream"] = msgspec.Raw(b"true")
        return msgspec.structs.replace(request, fields=told, caller=asked.caller, options=asked.options)


class Telling(Generic[Inner]):
    """An answer on its way: its checked text, piece by piece; when that is over, `form` tells the rest.

    `opened` is the model's answer, None where there is nothing to ask it about. Close it.
    """

    def __init__(
        self,
        opened: Inner | None,
        hits: Sequence[Hit],
        found: Found,
        language: Language,
        citing: Citing,
        *,
        stream: bool,
        asked_model: str,
    ) -> None:
        self.opened = opened
        self.hits = hits
        self.found = found
        self.language = language
        self.model = asked_model if opened is None else opened.model
        self.usage: Usage | None = None
        self.finish = "stop"
        self.cut: dict[str, Any] | None = None
        self._stream = stream
        self._citing = citing
        self._over = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> str:
        """The next piece of text, which may be empty. Raises as the model's answer does."""
        if self._over:
            raise StopAsyncIteration
        if self.opened is None:
            self._over = True
            return self._citing.feed(self.language.nothing) + self._citing.end()
        try:
            chunk = await self.opened.__anext__()
        except StopAsyncIteration:
            self._over = True
            return self._citing.end()
        if chunk.usage is not None:
            self.usage = chunk.usage
        text = self._read(chunk.data)
        if chunk.last:
            self._over = True
            return text + self._citing.end()
        return text

    async def aclose(self) -> None:
        """Stop the model if it is not done."""
        if self.opened is not None:
            await self.opened.aclose()

    @property
    def text(self) -> str:
        """The answer so far, without a list of sources."""
        return self._citing.text

    @property
    def sentences(self) -> Sequence[Sentence]:
        return self._citing.sentences

    @property
    def has_no_information(self) -> bool:
        """Whether all that is said is that the documents do not tell."""
        kinds = {sentence.kind for sentence in self.sentences}
        return kinds <= {"nothing", "greeting"} and "nothing" in kinds

    def passages(self) -> list[dict[str, Any]]:
        """The passages that were found, in machine form."""
        return [passage_form(number, hit) for number, hit in enumerate(self.hits, start=1)]

    def citations(self) -> list[dict[str, Any]]:
        """The passages that are cited, in machine form."""
        return citation_forms(self.hits, self.sentences)

    def sources(self) -> str:
        """What is put below the text where sources are listed; "" when nothing is cited."""
        lines = source_lines(self.citations())
        return "".join((SOURCES_MARK, self.language.sources, ":\n", "\n".join(lines))) if lines else ""

    def form(self) -> dict[str, Any]:
        """The answer in machine form, when it is over."""
        return {
            "answer": self.text,
            "no_information": self.has_no_information,
            "citations": self.citations(),
            "sentences": [sentence_form(each) for each in self.sentences],
            "finish_reason": self.finish,
            "model": self.model,
            "looked_for": self.found.looked_for,
            "notes": list(self.found.notes),
        }

    def _read(self, data: bytes) -> str:
        endpoint = self.opened.endpoint if self.opened else ""
        told = ""
        for piece in read_events(data, endpoint) if self._stream else [read_whole(data, endpoint)]:
            self.finish = piece.finish or self.finish
            self.cut = piece.cut or self.cut
            told += self._citing.feed(piece.text)
        return told


def _question(asked: Asked) -> Question:
    return Question(base=asked.base, text=asked.talk.question, caller=asked.caller, filter=asked.filter, k=asked.k)


def _ground_text(hit: Hit) -> str:
    """What of a passage a sentence may be taken from: also where it stands."""
    return "\n".join((hit.title, *passage_lines(hit)))
