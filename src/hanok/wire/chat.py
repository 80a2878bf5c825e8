"""The model path's values and its two shapes, `ChatModel` and `TaskModel`.

Every layer (traced, metered, routed, an engine) takes a request and gives back an opened answer, so layers stack
without knowing one another. Opening an answer means its first byte has arrived: whatever fails before may be retried
elsewhere, whatever fails after may not.

Values are msgspec structs: frozen like the house's dataclasses, and several times cheaper to make, which counts for
what is made on every call (docs/decisions/002).
"""

from __future__ import annotations

import base64
import re
import struct
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, Literal, Protocol, Self, cast

import msgspec

Task = Literal["embedding", "rerank", "moderation"]
Operation = Literal["chat", "text"] | Task

json_bytes = msgspec.json.Encoder().encode

_MEDIA = re.compile(rb'"url": ?"data:[a-zA-Z0-9.+-]+/[^",]{1,100},[A-Za-z0-9+/=%_-]*"|"data": ?"[A-Za-z0-9+/=]*"')
_SHORT_BYTES = 64
"""Fields up to this size are settings: numbers, flags, names."""
_MEDIUM_BYTES = 4000
"""What an image or a sound counts for: about a thousand tokens, whatever its bytes."""


BYTES_PER_TOKEN = 4
"""For estimates only: English averages about four bytes a token, Korean about three."""


def text_bytes(raw: bytes) -> int:
    """The size of a prompt in JSON, images and sounds in it counted by their number."""
    pictures = raw.count(b'"image_url"') // 2  # once as the part's type, once as its field
    if not pictures and b'"data"' not in raw:
        return len(raw)
    media = _MEDIA.findall(raw)
    return len(raw) - sum(map(len, media)) + _MEDIUM_BYTES * max(len(media), pictures)


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks: the key that was shown, and what the request said about its user, session, run and trace.

    `run` is a path: `root/child/grandchild` is a run that the run `root/child` started. `trace` is the W3C
    `traceparent` to hand on, which names this call's own span; `parent_span` is the 16 hex digits of the span above it.
    """

    key_id: str
    key_name: str
    team: str | None = None
    user: str | None = None
    session: str | None = None
    run: str | None = None
    request_id: str = ""
    trace: str | None = None
    trace_state: str | None = None
    parent_span: str | None = None

    @property
    def tenant(self) -> str:
        """Whom the caller's sessions, runs, files and kept responses belong to: the team, else the key."""
        return self.team or self.key_id


ANONYMOUS = Caller(key_id="", key_name="")


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller asks of Hanok itself, beside the request: its headers say it, an engine is not told.

    `no_cache` asks for a fresh answer, `no_store` that this one is not kept, `ttl_s` how long (seconds) it may be.
    `tags` narrow the endpoints that may be asked to those that have all of them; `headers` are those that came and may
    stand for tags, by their names in lower case. `batch` marks a line of a batch.
    """

    no_cache: bool = False
    no_store: bool = False
    ttl_s: float | None = None
    tags: frozenset[str] = frozenset()
    batch: bool = False
    headers: tuple[tuple[str, str], ...] = ()


NO_OPTIONS = Options()


class Tier(msgspec.Struct, frozen=True, kw_only=True):
    """Why this model was chosen for a caller who left the choice to us.

    `asked` is the name asked for, as `auto`; `name` the tier that the request was found to be of, by `classifier`;
    `compared_to` the model that would have been asked without tiers: what was saved is the difference to its price.
    """

    asked: str
    name: str
    classifier: str
    compared_to: str


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens as the engine counted them, or as we estimated them when it did not (`estimated`).

    Of the prompt's tokens, `cached_tokens` were read from the engine's prompt cache and `cache_write_tokens` written to
    it. `kept` says that the answer is one that we had: nothing was used now, and this is what was used then.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    estimated: bool = False
    kept: bool = False


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """What a cache of answers had to do with an answer: it was had (for `age_s` seconds), or looked for in vain.

    `hit` is the same call's answer, `semantic` that of a question that means the same.
    """

    how: Literal["hit", "semantic", "miss"]
    age_s: int = 0


class Fields(dict[str, msgspec.Raw]):
    """The fields of a body that comes again and again, with what was worked out of them. Nobody changes these."""

    __slots__ = ("cache_keys", "prompt_bytes")

    cache_keys: object
    """Whatever the cache of answers wants to remember of them."""
    prompt_bytes: int | None

    def __init__(self, fields: Mapping[str, msgspec.Raw]) -> None:
        super().__init__(fields)
        self.cache_keys = self.prompt_bytes = None


class ChatRequest(msgspec.Struct, frozen=True):
    """One call for text. `fields` are the top-level fields of the JSON body, each value as it came.

    `operation` is "chat" (`messages` in) or "text" (`prompt` in). `wants_usage` says whether the caller of a stream
    asked for its usage chunk; engines are always asked for it, because the ledger needs it. `max_tokens` and `choices`
    are what the body says of them (`n`); `cap_tokens` is a limit that a budget puts on an answer without one.
    `tier` is set where Hanok chose the model.
    """

    model: str
    fields: Mapping[str, msgspec.Raw]
    operation: Operation = "chat"
    stream: bool = False
    wants_usage: bool = False
    caller: Caller = ANONYMOUS
    max_tokens: int | None = None
    choices: int = 1
    cap_tokens: int | None = None
    options: Options = NO_OPTIONS
    tier: Tier | None = None

    @classmethod
    def ask(cls, model: str, messages: list[dict[str, Any]], *, stream: bool = False, **options: Any) -> Self:
        """Build a chat request from Python values, as an agent, an evaluation or the CLI does."""
        fields = {name: msgspec.Raw(json_bytes(value)) for name, value in options.items() if value is not None}
        fields["messages"] = msgspec.Raw(json_bytes(messages))
        max_tokens = options.get("max_completion_tokens", options.get("max_tokens"))
        return cls(model, fields, stream=stream, wants_usage=True, max_tokens=max_tokens, choices=options.get("n") or 1)

    @property
    def most_tokens(self) -> int | None:
        """The most tokens that one choice may have, by the caller's word or by the budget's."""
        return self.cap_tokens if self.max_tokens is None else self.max_tokens

    def prompt_bytes(self) -> int:
        """Size of what the model may have to read, in bytes of JSON: the base of an estimate, never of a bill.

        Tools, schemas, documents and templates are read, too, so every longer field counts.
        """
        fields = self.fields
        if not isinstance(fields, Fields):
            return _prompt_bytes(fields)
        if fields.prompt_bytes is None:
            fields.prompt_bytes = _prompt_bytes(fields)
        return fields.prompt_bytes


def _prompt_bytes(fields: Mapping[str, msgspec.Raw]) -> int:
    raw = fields.get("messages") or fields.get("prompt") or b""
    size = text_bytes(bytes(raw))
    for each in fields.values():
        if len(each) > _SHORT_BYTES and each is not raw:
            size += len(each)
    return size


class Chunk(msgspec.Struct, frozen=True):
    """A piece of an answer, as the bytes to pass on.

    For a stream: one or more whole server-sent events, `events` of them carrying text. Otherwise: the whole JSON body.
    `usage` is set on the piece that reported it, `last` on the piece after which nothing follows.
    """

    data: bytes
    events: int = 0
    usage: Usage | None = None
    last: bool = False


class Answer(Protocol):
    """An opened answer: an async iterator of chunks that must be closed, and who gives it.

    `model` is the declared name that serves (another than asked for after a fallback), `endpoint` the one chosen.
    Iteration raises `EngineError` when the engine fails midway.
    """

    model: str
    endpoint: str

    def __aiter__(self) -> Self: ...

    def __anext__(self) -> Awaitable[Chunk]: ...

    async def aclose(self) -> None:
        """Stop the engine's work if it is not done, and free what the answer holds. Safe to call twice."""
        ...


Take = Callable[[Chunk], bool]
"""Takes a chunk and says whether it wants the next one now. What it raises ends the pouring."""


class Pours(Protocol):
    """An answer that can hand its chunks over the moment they come, without waking a task for each."""

    def pour(self, take: Take) -> Awaitable[bool]:
        """Hand chunks to `take` until it wants no more for now, or the answer is over; tell whether it is over.

        Raises as iteration does, and what `take` raises. What comes between two calls waits for the next.
        """
        ...


def pour(answer: Answer | Pours, take: Take) -> Awaitable[bool]:
    """As `Pours.pour`, for any answer."""
    pours = getattr(answer, "pour", None)  # a protocol's `isinstance` takes a hundred times as long
    return _iterate(cast(Answer, answer), take) if pours is None else pours(take)


async def _iterate(answer: Answer, take: Take) -> bool:
    async for chunk in answer:
        if not take(chunk):
            return chunk.last
    return True


class WholeAnswer:
    """An answer that is there at once, in one chunk."""

    __slots__ = ("_chunk", "endpoint", "model")

    def __init__(self, data: bytes, usage: Usage | None, *, model: str, endpoint: str) -> None:
        self._chunk: Chunk | None = Chunk(data, 0, usage, True)
        self.model = model
        self.endpoint = endpoint

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Chunk:
        chunk, self._chunk = self._chunk, None
        if chunk is None:
            raise StopAsyncIteration
        return chunk

    async def aclose(self) -> None:
        self._chunk = None


class ChatModel(Protocol):
    """Anything that can be asked for text: an engine, or a layer round one."""

    def open(self, request: ChatRequest) -> Coroutine[Any, Any, Answer]:
        """Ask, and return when the answer has begun.

        Raises `EngineError` when no answer could be had, `RequestError` when the request is at fault.
        """
        ...


class TaskRequest(msgspec.Struct, frozen=True):
    """One call for something else than text, answered in one piece: vectors, an order of documents, a judgement.

    `fields` are the body's top-level fields as they came; `inputs` is how many texts there are.
    """

    model: str
    fields: Mapping[str, msgspec.Raw]
    inputs: int = 1
    caller: Caller = ANONYMOUS
    operation: Task = "embedding"
    options: Options = NO_OPTIONS

    @classmethod
    def embed(cls, model: str, texts: list[str], **options: Any) -> Self:
        """Build a request for vectors from Python values."""
        fields = {name: msgspec.Raw(json_bytes(value)) for name, value in options.items() if value is not None}
        fields["input"] = msgspec.Raw(json_bytes(texts))
        return cls(model, fields, inputs=len(texts))

    def prompt_bytes(self) -> int:
        """Size of what is to be read, in bytes of JSON: the base of an estimate."""
        return sum(len(bytes(self.fields.get(name, b""))) for name in ("input", "query", "documents"))


class _Vector(msgspec.Struct):
    embedding: str | list[float]
    index: int = 0

    def packed(self) -> bytes:
        if isinstance(self.embedding, list):
            return struct.pack(f"<{len(self.embedding)}f", *self.embedding)
        return base64.b64decode(self.embedding, validate=True)


class _Vectors(msgspec.Struct):
    data: list[_Vector]


_decode_vectors = msgspec.json.Decoder(_Vectors).decode


class TaskResult(msgspec.Struct, frozen=True):
    """A task's JSON body as the bytes to pass on, what it used, and what a cache had to do with it if there is one."""

    data: bytes
    usage: Usage | None
    model: str
    endpoint: str
    kept: Kept | None = None

    def vectors(self) -> list[list[float]]:
        """The vectors, in the order of the inputs: `inputs` lists of as many floats as the model has dimensions."""
        body = msgspec.json.decode(self.data)
        return [item["embedding"] for item in sorted(body["data"], key=lambda item: item["index"])]

    def packed_vectors(self) -> list[bytes]:
        """The vectors, in the order of the inputs, each as 32-bit floats, little-endian: four bytes a dimension.

        Takes both of OpenAI's forms, `float` and `base64`. Raises `ValueError` when these are no vectors.
        """
        try:
            found = sorted(_decode_vectors(self.data).data, key=lambda item: item.index)
            vectors = [each.packed() for each in found]
        except (msgspec.DecodeError, ValueError, struct.error, OverflowError) as error:
            raise ValueError(f"these are no vectors: {error}") from error
        if any(not vector or len(vector) % 4 for vector in vectors):
            raise ValueError("these are no vectors of 32-bit floats")
        return vectors


class TaskModel(Protocol):
    """Anything that performs tasks: turns texts into vectors, orders documents, judges."""

    def perform(self, request: TaskRequest) -> Coroutine[Any, Any, TaskResult]:
        """Perform the task for every input. Raises as `ChatModel.open` does."""
        ...


class ModelPath(ChatModel, TaskModel, Protocol):
    """Both shapes in one object: what the layers between a door and the engines are, and what `assemble` hands out."""
