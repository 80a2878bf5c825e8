"""What a parser process is told and what it answers: frames of MessagePack.

A order is one frame and the file's bytes after it. The answer is a refusal, a whole document, or facts about it, parts
with its passages or stretches, and an end.
"""

from __future__ import annotations

from typing import Any

import msgspec

from hanok.knowledge.framing import frame
from hanok.knowledge.splitting.semantic import Stretch
from hanok.knowledge.values import Document, Entry, Passage
from hanok.spec import DocumentType

PART_CHARACTERS = 250_000
"""About as much as one part has, so that nobody takes long to read it."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """A file to read. `limits` and `splits` are those of the specification, as plain values; None asks for all text."""

    entry: Entry
    size: int
    limits: dict[str, Any]
    splits: list[dict[str, Any]] | None = None


class Refused(msgspec.Struct, frozen=True, kw_only=True, tag_field="is", tag="refused"):
    """The file cannot be taken."""

    code: str
    message: str
    hint: str | None


class Whole(msgspec.Struct, frozen=True, kw_only=True, tag_field="is", tag="whole"):
    """The document."""

    document: Document


class Facts(msgspec.Struct, frozen=True, kw_only=True, tag_field="is", tag="facts"):
    """What a document is that is told in parts; `rule` is the place among the splits of the one that fits."""

    title: str
    type: DocumentType
    media_type: str
    characters: int
    rule: int


class Part(msgspec.Struct, frozen=True, kw_only=True, tag_field="is", tag="part"):
    """Some of its passages, or of its stretches."""

    passages: list[Passage] = []
    stretches: list[Stretch] = []


class End(msgspec.Struct, frozen=True, kw_only=True, tag_field="is", tag="end"):
    """All is told. `leaving` when the process has grown so much that it ends now."""

    leaving: bool


Answer = Refused | Whole | Facts | Part | End
_encoder = msgspec.msgpack.Encoder()
read_order = msgspec.msgpack.Decoder(Order).decode
read_answer = msgspec.msgpack.Decoder(Answer).decode


def framed(value: Order | Answer) -> bytes:
    """A value as a frame."""
    return frame(_encoder.encode(value))
