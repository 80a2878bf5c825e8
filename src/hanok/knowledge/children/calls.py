"""What is said between the librarian and those who ask it: frames of MessagePack, each with its length before it.

The first frame of a connection is the token. Then every call is a `Request` with a number, and its answer, which may
come after those of later calls, an `Answer` with the same. A list that is long comes in several answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, TypeVar

import msgspec

from hanok.errors import HanokError, KeptUnreachable, RequestError, StoreError
from hanok.knowledge import framing
from hanok.knowledge.framing import TooLong
from hanok.knowledge.values import Query, Row, Shape

FRAME_LIMIT_BYTES = 256 * 1024 * 1024
PART_BYTES = 8 * 1024 * 1024
"""Of a list in one answer; an item that is longer than that goes alone."""
TOKEN_LIMIT_BYTES = 256
GREETING = b"librarian"
"""What a librarian says to a token that is right."""
T = TypeVar("T")


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What a librarian is started with, over its stdin. `uri` is Milvus Lite's path, or a server's URL."""

    uri: str
    token: str = ""
    db: str = "default"
    timeout_s: float = 30.0
    version: str = ""


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """Where a librarian is found: what stands in its file, which only its owner can read."""

    pid: int
    port: int
    token: str


class Call(msgspec.Struct, frozen=True, kw_only=True, tag_field="call"):
    """One method of `Store`; its fields are the arguments."""


class Describe(Call, frozen=True, kw_only=True, tag="describe"):
    name: str


class ListCollections(Call, frozen=True, kw_only=True, tag="list_collections"):
    pass


class Create(Call, frozen=True, kw_only=True, tag="create"):
    name: str
    shape: Shape


class Drop(Call, frozen=True, kw_only=True, tag="drop"):
    name: str


class Point(Call, frozen=True, kw_only=True, tag="point"):
    alias: str
    name: str


class Write(Call, frozen=True, kw_only=True, tag="write"):
    name: str
    rows: list[Row]


class Remove(Call, frozen=True, kw_only=True, tag="remove"):
    name: str
    document: str
    store: str = ""
    keep: str | None = None


class RemoveStore(Call, frozen=True, kw_only=True, tag="remove_store"):
    name: str
    store: str


class Heads(Call, frozen=True, kw_only=True, tag="heads"):
    name: str
    store: str = ""


class Passages(Call, frozen=True, kw_only=True, tag="passages"):
    name: str
    document: str
    digest: str
    first: int
    last: int
    readers: tuple[str, ...]
    store: str = ""


class Search(Call, frozen=True, kw_only=True, tag="search"):
    """`filter` is the query's, which is JSON and would be no MessagePack where it stood."""

    name: str
    query: Query
    filter: bytes | None = None


AnyCall = Describe | ListCollections | Create | Drop | Point | Write | Remove | RemoveStore | Heads | Passages | Search


class Request(msgspec.Struct, frozen=True, kw_only=True):
    number: int
    call: AnyCall


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """An error that travels. `kind` is its class, where the asking side knows it."""

    kind: str
    message: str
    hint: str | None = None
    param: str | None = None
    code: str | None = None


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What came of the request of that number. Where `more` is to come, `value` is the beginning of a list."""

    number: int
    value: msgspec.Raw = msgspec.Raw(b"\xc0")
    failure: Failure | None = None
    more: bool = False


async def read_frame(reader: asyncio.StreamReader, limit_bytes: int = FRAME_LIMIT_BYTES) -> bytes:
    """The next frame. Raises `asyncio.IncompleteReadError` at the end, `TooLong` for one beyond the limit."""
    return await framing.read_frame(reader, limit_bytes)


def frame(content: bytes) -> bytes:
    """The content with its length before it. Raises `TooLong`."""
    return framing.frame(content, FRAME_LIMIT_BYTES)


def encode(value: object) -> bytes:
    """As MessagePack."""
    return msgspec.msgpack.encode(value, enc_hook=lambda each: each.model_dump())


def decode(content: bytes | msgspec.Raw, kind: type[T]) -> T:
    """From MessagePack. Raises `msgspec.DecodeError`."""
    return msgspec.msgpack.decode(content, type=kind, dec_hook=lambda tree, value: tree.model_validate(value))


def in_parts(value: object) -> list[msgspec.Raw]:
    """A value as it is sent: a list in several lists where it is long. Raises `TooLong` where an item is."""
    items: Any = value
    parts = [encode(part) for part in _cut(items)] if isinstance(value, list) else [encode(value)]
    for part in parts:
        if len(part) > FRAME_LIMIT_BYTES // 2:
            raise TooLong(f"the answer has {len(part):,} bytes, more than can be sent")
    return [msgspec.Raw(part) for part in parts]


def _cut(items: list[Any]) -> Iterator[list[msgspec.Raw]]:
    part: list[msgspec.Raw] = []
    size = 0
    for item in items:
        encoded = encode(item)
        if part and size + len(encoded) > PART_BYTES:
            yield part
            part, size = [], 0
        part.append(msgspec.Raw(encoded))
        size += len(encoded)
    yield part


def as_failure(error: Exception) -> Failure:
    """An error to be sent."""
    told = error.message if isinstance(error, HanokError) else f"{type(error).__name__}: {error}"
    if isinstance(error, RequestError):
        return Failure(kind="request", message=told, param=error.param, code=error.code)
    kind = "unreachable" if isinstance(error, KeptUnreachable) else "store"
    return Failure(kind=kind, message=told, hint=error.hint if isinstance(error, HanokError) else None)


def as_error(failure: Failure) -> StoreError | RequestError:
    """The error that came."""
    if failure.kind == "request":
        return RequestError(failure.message, param=failure.param, code=failure.code)
    kind = KeptUnreachable if failure.kind == "unreachable" else StoreError
    return kind(failure.message, hint=failure.hint)
