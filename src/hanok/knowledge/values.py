"""What the rooms of knowledge hand on: a document as found, as read, and in passages; and what a question finds.

Structs, since most of them travel between processes. Offsets count characters of a document's text, from 0, the end
not included. Vectors are bytes: 32-bit floats, little-endian.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from hanok.spec import DocumentType, Index
from hanok.wire import Caller, Usage

EVERYONE = "*"
"""The reader of passages that whoever may ask the knowledge base may read."""
Plain = str | bool | int | float


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A document that a source has, not read yet.

    `uri` is what it is known by, unique in its base and the same tomorrow; `path` what people are shown. `version`
    changes when the document may have (size and time of a file, an ETag), where that is told without reading it: ""
    when not.
    """

    uri: str
    path: str
    version: str = ""
    media_type: str | None = None
    type: DocumentType | None = None
    reader: str = EVERYONE
    metadata: Mapping[str, Plain] = {}


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """Text below one heading, up to the next of any level; `headings` is the path to it, the outermost first."""

    headings: tuple[str, ...]
    start: int
    end: int


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """One page of paper, or a slide, or a sheet. `number` counts from 1."""

    number: int
    start: int
    end: int


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """A document that was read. `text` is Markdown where its format has structure; `sections` cover all of it."""

    title: str
    type: DocumentType
    media_type: str
    text: str
    sections: tuple[Section, ...] = ()
    pages: tuple[Page, ...] = ()


class Passage(msgspec.Struct, frozen=True, kw_only=True):
    """A piece of a document: `text` is `document.text[start:end]`; `headings` and `page` are those where it begins.

    `page` counts from 1; 0 where there are none. `prefixed` says whether its headings are looked up with it.
    """

    text: str
    start: int
    end: int
    headings: tuple[str, ...] = ()
    page: int = 0
    prefixed: bool = True

    def read(self) -> str:
        """What is embedded and looked up: the path of headings before the text."""
        return f"{' › '.join(self.headings)}\n{self.text}" if self.prefixed and self.headings else self.text


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """What a document's first passage says of the whole.

    `digest` names the version, the same on all its passages; `content` is the SHA-256 of its bytes. A version whose
    passages are not all written is not `whole`. `found` is the source's own version (`Entry.version`), `source` says in
    a word which source it came from, `type` and `media_type` what it was read as (`Entry`), `prefixed` is the first
    passage's (`Passage.prefixed`), `written_at` is in Unix seconds.
    """

    document: str
    path: str
    title: str
    digest: str
    passages: int
    bytes: int
    content: str = ""
    found: str = ""
    source: str = ""
    type: DocumentType | None = None
    media_type: str | None = None
    prefixed: bool = True
    whole: bool = True
    reader: str = EVERYONE
    store: str = ""
    metadata: Mapping[str, Plain] = {}
    written_at: int = 0


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A passage as it is kept. `id` is unique in a collection (at most 64 characters), `ordinal` its place from 0.

    `document` is the entry's `uri`, `terms` what it is looked up by in words, `vector` what by meaning. `store` is the
    vector store that it belongs to, "" in a declared base. `head` stands on the passage of ordinal 0, nowhere else.
    `metadata` is the document's, the same on all its passages.
    """

    id: str
    document: str
    digest: str
    ordinal: int
    path: str
    title: str
    text: str
    terms: str
    vector: bytes
    headings: tuple[str, ...] = ()
    page: int = 0
    start: int = 0
    end: int = 0
    reader: str = EVERYONE
    store: str = ""
    metadata: Mapping[str, Plain] = {}
    created_at: int = 0
    head: Head | None = None


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """What a collection is made like, and what rows must fit."""

    dimensions: int
    index: Index


class Collection(msgspec.Struct, frozen=True, kw_only=True):
    """A collection that there is: its name, shape and number of passages."""

    name: str
    shape: Shape
    passages: int


class Comparison(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One key of the metadata compared, in OpenAI's form of filters. `in` and `nin` take lists."""

    type: Literal["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin"]
    key: str
    value: Plain | list[Plain]


class Compound(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Comparisons that all hold (`and`), or of which one holds or more (`or`). Each is a `Filter` in JSON."""

    type: Literal["and", "or"]
    filters: list[msgspec.Raw]


Filter = Comparison | Compound


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """What is looked for in a collection: by meaning (`vector`), by words (`terms`), or both.

    `readers` are those whose passages may be found: a store gives no others, whatever the filter says. `filter` is in
    JSON, as OpenAI's form has it. The rest is as in `spec.Retrieve`.
    """

    readers: tuple[str, ...]
    vector: bytes | None = None
    terms: str = ""
    store: str = ""
    filter: msgspec.Raw | None = None
    k: int = 5
    fetch_k: int = 20
    lexical_weight: float = 2.0
    dense_weight: float = 1.0
    mmr_lambda: float = 1.0
    ef: int = 64
    nprobe: int = 16


class Hit(msgspec.Struct, frozen=True, kw_only=True):
    """A passage that was found.

    `score` orders the hits of one question (1 is the most one can have) and says nothing beyond; `similarity` is the
    cosine of passage and question where they were compared (else None), `coverage` the share of the question's terms
    that the passage has: those two can be held against a threshold.
    """

    id: str
    document: str
    digest: str
    ordinal: int
    path: str
    title: str
    text: str
    headings: tuple[str, ...]
    page: int
    start: int
    end: int
    reader: str
    metadata: Mapping[str, Plain]
    created_at: int
    score: float
    similarity: float | None = None
    coverage: float = 0.0


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody asks of a knowledge base. What is None is as the base declares it.

    `is_call` says that the caller's call is this search and nothing more: it is told in the span of the call itself.
    """

    base: str
    text: str
    caller: Caller
    filter: msgspec.Raw | None = None
    k: int | None = None
    rerank: bool | None = None
    rewrite: bool | None = None
    is_call: bool = False


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What was found for a question, the best first; `looked_for` is the question as it was looked up.

    `notes` say what was left out on the way, as ordering by a model that did not answer. `usage` and `cost_nano_usd`
    are what the calls to models took together; None where none was counted.
    """

    hits: tuple[Hit, ...]
    looked_for: str
    notes: tuple[str, ...] = ()
    usage: Usage | None = None
    cost_nano_usd: int = 0
