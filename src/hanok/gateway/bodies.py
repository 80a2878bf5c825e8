"""Request bodies: what is checked at the door, in OpenAI's names, and how a body becomes a request.

Fields that are not named here pass through untouched. The OpenAPI document is generated from these types. Bodies that
come again and again are read once: most of those that a cache of answers is for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta

from hanok.errors import RequestError
from hanok.wire import NO_OPTIONS, Caller, ChatRequest, Fields, Options, TaskRequest

ModelName = Annotated[str, Meta(min_length=1, max_length=256, description="A model's name, as in /v1/models.")]
Tokens = Annotated[int, Meta(ge=1, le=10**9, description="The most tokens to answer with.")]
Stop = str | list[str]
Penalty = Annotated[float, Meta(ge=-2.0, le=2.0)]


class StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class ContentPart(msgspec.Struct):
    """A piece of a message: `text`, or an image or file that passes through to the engine."""

    type: str
    text: str | None = None


class Message(msgspec.Struct):
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[ContentPart] | None = None
    name: str | None = None
    tool_call_id: str | None = None


class _Sampling(msgspec.Struct, kw_only=True):
    model: ModelName
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Tokens | None = None
    temperature: Annotated[float, Meta(ge=0.0, le=2.0)] | None = None
    top_p: Annotated[float, Meta(ge=0.0, le=1.0)] | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    stop: Stop | None = None
    seed: int | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    user: str | None = None

    def choices(self) -> int:
        """How many answers are made."""
        return self.n or 1


class ChatBody(_Sampling, kw_only=True):
    """`POST /v1/chat/completions`"""

    messages: Annotated[list[Message], Meta(min_length=1)]
    max_completion_tokens: Tokens | None = None


class TextBody(_Sampling, kw_only=True):
    """`POST /v1/completions`"""

    prompt: str | Annotated[list[str | int | list[int]], Meta(min_length=1)]
    best_of: Annotated[int, Meta(ge=1, le=128)] | None = None

    def choices(self) -> int:
        """How many texts are made: for each prompt the best of several; a list of numbers is one prompt."""
        prompts = len(self.prompt) if isinstance(self.prompt, list) and not isinstance(self.prompt[0], int) else 1
        return prompts * max(self.n or 1, self.best_of or 1)


class EmbeddingBody(msgspec.Struct, kw_only=True):
    """`POST /v1/embeddings`"""

    model: ModelName
    input: Annotated[str, Meta(min_length=1)] | Annotated[list[str | int | list[int]], Meta(min_length=1)]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, Meta(ge=1)] | None = None
    user: str | None = None


class Document(msgspec.Struct):
    """A document to order, by its text."""

    text: str


class RerankBody(msgspec.Struct, kw_only=True):
    """`POST /v1/rerank`, as Cohere and Jina have it, and vLLM and llama.cpp after them."""

    model: ModelName
    query: Annotated[str, Meta(min_length=1)]
    documents: Annotated[list[str | Document], Meta(min_length=1, max_length=10_000)]
    top_n: Annotated[int, Meta(ge=1)] | None = None
    return_documents: bool | None = None


class ModerationPart(msgspec.Struct):
    """A text or an image to judge."""

    type: Literal["text", "image_url"]
    text: str | None = None


class ModerationBody(msgspec.Struct, kw_only=True):
    """`POST /v1/moderations`"""

    model: ModelName
    input: str | Annotated[list[str | ModerationPart], Meta(min_length=1)]


_chat = msgspec.json.Decoder(ChatBody)
_text = msgspec.json.Decoder(TextBody)
_embedding = msgspec.json.Decoder(EmbeddingBody)
_rerank = msgspec.json.Decoder(RerankBody)
_moderation = msgspec.json.Decoder(ModerationBody)
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
KNOWN_BYTES = 8 * 1024 * 1024
KNOWN_BODY_BYTES = 64 * 1024
"""Longer bodies are read each time."""
BODY_OVERHEAD_BYTES = 2048
"""What is known of a body takes beside its bytes."""
SEEN_BODIES = 4096
Body = TypeVar("Body")
Form = TypeVar("Form", bound=msgspec.Struct)


def parse_chat(body: bytes, caller: Caller, options: Options = NO_OPTIONS) -> ChatRequest:
    """A chat request. Raises `RequestError` that names the field at fault."""
    return _request(_chats.read(body), "chat", caller, options)


def parse_text(body: bytes, caller: Caller, options: Options = NO_OPTIONS) -> ChatRequest:
    """A text completion request. Raises `RequestError`."""
    return _request(_texts.read(body), "text", caller, options)


def parse_embedding(body: bytes, caller: Caller, options: Options = NO_OPTIONS) -> TaskRequest:
    """An embedding request. Raises `RequestError`."""
    parsed = decode_as(_embedding, body)
    inputs = len(parsed.input) if isinstance(parsed.input, list) else 1
    caller = with_user(caller, parsed.user)
    return TaskRequest(parsed.model, _fields(body), inputs, caller, options=options)


def parse_rerank(body: bytes, caller: Caller, options: Options = NO_OPTIONS) -> TaskRequest:
    """A request for an order of documents. Raises `RequestError`."""
    parsed = decode_as(_rerank, body)
    return TaskRequest(parsed.model, _fields(body), len(parsed.documents), caller, "rerank", options)


def parse_moderation(body: bytes, caller: Caller, options: Options = NO_OPTIONS) -> TaskRequest:
    """A request for a judgement of texts. Raises `RequestError`."""
    parsed = decode_as(_moderation, body)
    inputs = len(parsed.input) if isinstance(parsed.input, list) else 1
    return TaskRequest(parsed.model, _fields(body), inputs, caller, "moderation", options)


def decode_body(body: bytes, form: type[Form]) -> Form:
    """A JSON body as `form`; no body counts as `{}`. Raises `RequestError`."""
    return decode_as(msgspec.json.Decoder(form), body or b"{}")


class _Read(msgspec.Struct, frozen=True):
    """What a body says of a call, whoever makes it."""

    model: str
    fields: Mapping[str, msgspec.Raw]
    stream: bool
    wants_usage: bool
    most: int | None
    choices: int
    user: str | None


class _Bodies:
    """Reads bodies of one form. One that comes for the second time is remembered, and not read again.

    Of the first time only its hash is kept. Beyond `KNOWN_BYTES`, or `SEEN_BODIES` hashes, all is forgotten.
    """

    def __init__(self, decode: Callable[[bytes], ChatBody | TextBody]) -> None:
        self._decode = decode
        self._seen: set[int] = set()
        self._known: dict[bytes, _Read] = {}
        self._bytes = 0

    def read(self, body: bytes) -> _Read:
        """Raises `RequestError`."""
        if len(body) > KNOWN_BODY_BYTES:
            return _read(self._decode(body), _fields(body))
        known = self._known.get(body)
        return self._meet(body) if known is None else known

    def _meet(self, body: bytes) -> _Read:
        parsed, fields = self._decode(body), _fields(body)
        if hash(body) not in self._seen:
            if len(self._seen) >= SEEN_BODIES:
                self._seen.clear()
            self._seen.add(hash(body))
            return _read(parsed, fields)
        self._bytes += len(body) + BODY_OVERHEAD_BYTES
        if self._bytes > KNOWN_BYTES:
            self._known.clear()
            self._bytes = len(body) + BODY_OVERHEAD_BYTES
        known = self._known[body] = _read(parsed, Fields(fields))
        return known


_chats = _Bodies(lambda body: decode_as(_chat, body))
_texts = _Bodies(lambda body: decode_as(_text, body))


def _read(parsed: ChatBody | TextBody, fields: Mapping[str, msgspec.Raw]) -> _Read:
    streaming = parsed.stream_options
    newer = parsed.max_completion_tokens if isinstance(parsed, ChatBody) else None
    return _Read(
        model=parsed.model,
        fields=fields,
        stream=bool(parsed.stream),
        wants_usage=bool(streaming and streaming.include_usage),
        most=parsed.max_tokens if newer is None else max(newer, parsed.max_tokens or 0),
        choices=parsed.choices(),
        user=parsed.user,
    )


def _request(read: _Read, operation: Literal["chat", "text"], caller: Caller, options: Options) -> ChatRequest:
    if read.user:
        caller = with_user(caller, read.user)
    return ChatRequest(
        read.model,
        read.fields,
        operation,
        read.stream,
        read.wants_usage,
        caller,
        read.most,
        read.choices,
        options=options,
    )


def with_user(caller: Caller, user: str | None) -> Caller:
    """The caller, acting for that user unless his key acts for one. Raises `RequestError` when it is no name."""
    if not user or caller.user:  # a key that acts for a user acts for no other
        return caller
    if not user.isprintable():
        raise RequestError("user: must be printable text", param="user", code="invalid_value")
    return msgspec.structs.replace(caller, user=user[:256])


def decode_as(decoder: msgspec.json.Decoder[Body], body: bytes) -> Body:
    """A JSON body. Raises `RequestError` that names the field at fault."""
    try:
        if not body.isascii():
            body.decode()
        return decoder.decode(body)
    except UnicodeDecodeError as error:
        raise RequestError(f"the body is not UTF-8 (byte {error.start})", code="invalid_utf8") from None
    except msgspec.ValidationError as error:
        message, param = _explain(str(error))
        raise RequestError(message, param=param, code="invalid_value") from None
    except msgspec.DecodeError as error:
        raise RequestError(f"the body is not JSON: {error}", code="invalid_json") from None
    except RecursionError:
        raise RequestError("the body is nested too deeply", code="invalid_json") from None


def _explain(message: str) -> tuple[str, str | None]:
    """msgspec's message with the field's path taken out: ("Expected `str`, got `int`", "messages[0].role")."""
    text, found, path = message.partition(" - at `$")
    param = path.rstrip("`").lstrip(".") if found else None
    if text.startswith("Object missing required field"):
        missing = text.rsplit("`", 2)[1]
        param = f"{param}.{missing}" if param else missing
        return f"{param!r} is missing", param
    return (f"{param}: {text[0].lower()}{text[1:]}", param) if param else (text, None)
