"""The desk for knowledge: `/v1/knowledge`. Lists the bases that a key opens, finds passages in them, answers.

A base that is not open to a key is answered like one that there is not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from types import MappingProxyType
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from hanok.errors import Unknown, WrongMethod
from hanok.gateway.bodies import decode_body
from hanok.gateway.envelope import answer_error, error_event
from hanok.gateway.giving import JSON_TYPE
from hanok.gateway.http import Call, no_headers
from hanok.gateway.knowledge_answers import KnowledgeAnswers
from hanok.gateway.reception import Reception
from hanok.gateway.replay import Handle
from hanok.knowledge.finding.finder import LONGEST_QUESTION
from hanok.knowledge.library import Library, unknown_base
from hanok.knowledge.values import Found, Hit, Question
from hanok.spec import Knowledge as Base
from hanok.wire import Caller, json_bytes

MOST_PASSAGES = 100


def no_filter() -> msgspec.Raw:
    """What a body without filters has. (msgspec takes no union of `Raw` and None.)"""
    return msgspec.Raw(b"null")


class SearchBody(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """`POST /v1/knowledge/{name}/search`. `filters` are in OpenAI's form; what is not given is as the base declares."""

    query: Annotated[str, Meta(min_length=1, max_length=LONGEST_QUESTION)]
    k: Annotated[int, Meta(ge=1, le=MOST_PASSAGES)] | None = None
    filters: msgspec.Raw = msgspec.field(default_factory=no_filter)
    rerank: bool | None = None
    rewrite: bool | None = None

    def question(self, base: str, caller: Caller) -> Question:
        """What is asked of that base."""
        return Question(
            base=base,
            text=self.query,
            caller=caller,
            filter=self.filters,
            k=self.k,
            rerank=self.rerank,
            rewrite=self.rewrite,
            is_call=True,
        )


class Knowledge:
    """The desk."""

    paths: Sequence[str] = ("/v1/knowledge",)
    asks: Set[str] = frozenset(
        (
            "search",
            "answer",
        )
    )
    posts: Mapping[str, Handle] = MappingProxyType({})
    answer_error = staticmethod(answer_error)
    error_event = staticmethod(error_event)
    also = staticmethod(no_headers)

    def __init__(self, library: Library, *, reception: Reception, answers: KnowledgeAnswers) -> None:
        self._library = library
        self._reception = reception
        self._answers = answers

    async def __call__(self, call: Call) -> None:
        """Answer one call. Raises `RequestError` and `StoreError`."""
        key = self._reception.find_key(call)
        open_to = self._reception.knowledge(key)
        caller = self._reception.caller(call, key)
        match call.method, call.path.removeprefix("/v1/knowledge").strip("/").split("/"):
            case "GET", [""]:
                forms = [base_form(base) for base in self._library.bases if base.name in open_to]
                await call.reply(200, json_bytes({"object": "list", "data": forms}), JSON_TYPE)
            case "GET", [name]:
                base = self._opened(name, open_to)
                ingested = await self._library.collection(name) is not None
                await call.reply(200, json_bytes({**base_form(base), "ingested": ingested}), JSON_TYPE)
            case "POST", [name, "search"]:
                await self._search(call, self._opened(name, open_to), caller)
            case "POST", [name, "answer"]:
                await self._answers(call, self._opened(name, open_to).name, key, caller)
            case _, [""] | [_]:
                raise WrongMethod(call.path, "GET")
            case _, [_, "search" | "answer"]:
                raise WrongMethod(call.path, "POST")
            case _:
                raise Unknown(f"there is nothing at {call.path}; see /openapi.json", code="not_found")

    def _opened(self, name: str, open_to: frozenset[str]) -> Base:
        """The base, where it is open. Raises `Unknown`."""
        if name not in open_to:
            raise unknown_base(name)
        return self._library.base(name)

    async def _search(self, call: Call, base: Base, caller: Caller) -> None:
        body = decode_body(await self._reception.body(call), SearchBody)
        found = await self._library.search(body.question(base.name, caller))
        await call.reply(200, json_bytes(found_form(found)), JSON_TYPE)


def base_form(base: Base) -> dict[str, Any]:
    """A base as callers see it."""
    return {"id": base.name, "object": "knowledge", "name": base.name, "description": base.description}


def found_form(found: Found) -> dict[str, Any]:
    """What was found, as callers see it. `notes` say what was left out on the way."""
    return {
        "object": "list",
        "search_query": found.looked_for,
        "data": [hit_form(hit) for hit in found.hits],
        "notes": found.notes,
    }


def hit_form(hit: Hit) -> dict[str, Any]:
    """A passage as callers see it: what it says, how well it fits, and where it stands."""
    return {
        "id": hit.id,
        "object": "knowledge.passage",
        "text": hit.text,
        "score": round(hit.score, 6),
        "similarity": None if hit.similarity is None else round(hit.similarity, 6),
        "coverage": round(hit.coverage, 6),
        "document": hit.document,
        "path": hit.path,
        "title": hit.title,
        "headings": hit.headings,
        "page": hit.page or None,
        "start": hit.start,
        "end": hit.end,
        "metadata": hit.metadata,
    }
