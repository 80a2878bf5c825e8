"""What a chat model's answer says, read out of OpenAI's form: a whole body or the events of a stream, in one way."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from hanok.errors import EngineBroken, EngineRefused, Refusal


class _Said(msgspec.Struct):
    content: str | list[dict[str, Any]] | None = None


class _Choice(msgspec.Struct):
    index: int = 0
    message: _Said | None = None
    delta: _Said | None = None
    finish_reason: str | None = None

    def text(self) -> str:
        said = self.delta or self.message
        if said is None or said.content is None:
            return ""
        if isinstance(said.content, str):
            return said.content
        return "".join(part.get("text") or "" for part in said.content)


class _Body(msgspec.Struct):
    choices: list[_Choice] | None = None
    hanok: dict[str, Any] | None = None
    error: msgspec.Raw = msgspec.Raw(b"null")


class Piece(msgspec.Struct, frozen=True):
    """Text, OpenAI's reason why it ends there (if it does), and why Hanok cut it (if it did)."""

    text: str
    finish: str | None
    cut: dict[str, Any] | None


_decode = msgspec.json.Decoder(_Body).decode


def read_whole(data: bytes, endpoint: str) -> Piece:
    """A whole answer. Raises `EngineBroken` when it is none, `EngineRefused` when it tells of an error."""
    try:
        body = _decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise EngineBroken(f"{endpoint} sent something that is no chat answer: {error}") from None
    if bytes(body.error) != b"null":
        refusal = Refusal(status=502, body=b'{"error":%b}' % bytes(body.error))
        raise EngineRefused(f"{endpoint} failed midway", refusal=refusal)
    first = [choice for choice in body.choices or () if choice.index == 0]
    finish = next((choice.finish_reason for choice in first if choice.finish_reason), None)
    return Piece("".join(choice.text() for choice in first), finish, body.hanok)


def read_events(events: bytes, endpoint: str) -> Iterator[Piece]:
    """The pieces in whole server-sent events. Raises as `read_whole` does."""
    for line in events.split(b"\n"):
        payload = line[5:].strip() if line.startswith(b"data:") else b""
        if payload and payload != b"[DONE]":
            yield read_whole(payload, endpoint)
