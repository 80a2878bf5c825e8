"""The desk for vector stores: `/v1/vector_stores`, in OpenAI's form. What a tenant made is there for him alone.

A declared knowledge base that a key opens can be looked at and searched here, too, as `kb_` and its name.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence, Set
from typing import Annotated, Any, Literal
from urllib.parse import parse_qs

import msgspec
from msgspec import Meta

from hanok.errors import RequestError, Unknown, WrongMethod
from hanok.gateway.bodies import decode_body
from hanok.gateway.envelope import answer_error, error_event
from hanok.gateway.giving import JSON_TYPE
from hanok.gateway.http import Call, no_headers
from hanok.gateway.knowledge import no_filter
from hanok.gateway.paging import read_page
from hanok.gateway.reception import Reception
from hanok.gateway.replay import Handle
from hanok.knowledge.finding.finder import LONGEST_QUESTION
from hanok.knowledge.library import Library
from hanok.knowledge.values import Question
from hanok.knowledge.vector_stores.entries import Attached, Chunking, Counts, VectorStore
from hanok.knowledge.vector_stores.forms import (
    batch_form,
    content_form,
    file_form,
    page_form,
    results_form,
    store_form,
)
from hanok.knowledge.vector_stores.keeping import Keeping, Ranking, Wish, unknown_store
from hanok.knowledge.vector_stores.record_store import Slice
from hanok.spec import Knowledge, Retrieve
from hanok.wire import Caller, json_bytes

PAGE, LARGEST_PAGE = 20, 100
MOST_FILES = 2000
USUAL_RESULTS = 10
"""What OpenAI gives, where neither a search nor the platform says how many."""
DECLARED = "kb_"
USUAL_SIZE, USUAL_OVERLAP = 800, 400
POLL_MS = b"250"
"""What OpenAI's clients wait between two looks at a file that is being read, in milliseconds."""
_STATES = ("in_progress", "completed", "failed", "cancelled")
FileId = Annotated[str, Meta(min_length=1, max_length=128)]
FileIds = Annotated[list[FileId], Meta(max_length=MOST_FILES)]
Labels = Annotated[
    dict[Annotated[str, Meta(min_length=1, max_length=64)], Annotated[str, Meta(max_length=512)]], Meta(max_length=16)
]
_AttributeName = Annotated[str, Meta(min_length=1, max_length=64)]
Whole = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
"""What passages can bear, and filters ask."""
Attributes = Annotated[
    dict[
        Annotated[str, Meta(min_length=1, max_length=64)], Annotated[str, Meta(max_length=512)] | bool | Whole | float
    ],
    Meta(max_length=16),
]


class ExpiresAfter(msgspec.Struct, kw_only=True):
    """How long a vector store stays that nobody uses."""

    anchor: Literal["last_active_at"]
    days: Annotated[int, Meta(ge=1, le=365)]


class Auto(msgspec.Struct, tag="auto"):
    """Passages as `vector_stores.split` declares."""


class StaticSizes(msgspec.Struct, kw_only=True):
    """Tokens of a passage, and those that it shares with the next."""

    max_chunk_size_tokens: Annotated[int, Meta(ge=100, le=4096)] = USUAL_SIZE
    chunk_overlap_tokens: Annotated[int, Meta(ge=0)] = USUAL_OVERLAP


class Static(msgspec.Struct, tag="static"):
    """Passages of a size."""

    static: StaticSizes


Strategy = Auto | Static


class StoreBody(msgspec.Struct, kw_only=True):
    """`POST /v1/vector_stores`"""

    name: Annotated[str, Meta(max_length=256)] | None = None
    description: Annotated[str, Meta(max_length=2000)] | None = None
    file_ids: FileIds | None = None
    chunking_strategy: Strategy | None = None
    expires_after: ExpiresAfter | None = None
    metadata: Labels | None = None


class StoreChange(msgspec.Struct, kw_only=True):
    """`POST /v1/vector_stores/{id}`: what is not given stays; null takes away."""

    name: Annotated[str, Meta(max_length=256)] | msgspec.UnsetType | None = msgspec.UNSET
    expires_after: ExpiresAfter | msgspec.UnsetType | None = msgspec.UNSET
    metadata: Labels | msgspec.UnsetType | None = msgspec.UNSET


class AttachBody(msgspec.Struct, kw_only=True):
    """`POST /v1/vector_stores/{id}/files`"""

    file_id: FileId
    attributes: Attributes | None = None
    chunking_strategy: Strategy | None = None

    def wish(self) -> Wish:
        """Raises `RequestError`."""
        chunking = as_chunking(self.chunking_strategy)
        return Wish(file_id=self.file_id, attributes=self.attributes or {}, chunking=chunking)


class AttributesBody(msgspec.Struct, kw_only=True):
    """`POST /v1/vector_stores/{id}/files/{file_id}`"""

    attributes: Attributes | None


class AttachManyBody(msgspec.Struct, kw_only=True):
    """`POST /v1/vector_stores/{id}/file_batches`: ids with what holds for all, or files each with its own."""

    file_ids: FileIds | None = None
    files: Annotated[list[AttachBody], Meta(max_length=MOST_FILES)] | None = None
    attributes: Attributes | None = None
    chunking_strategy: Strategy | None = None

    def wishes(self) -> list[Wish]:
        """Raises `RequestError`."""
        if bool(self.file_ids) == bool(self.files):
            raise RequestError("give `file_ids` or `files`, one of them", param="file_ids", code="invalid_value")
        if self.files:
            return [file.wish() for file in self.files]
        chunking = as_chunking(self.chunking_strategy)
        ids = self.file_ids or []
        return [Wish(file_id=id_, attributes=self.attributes or {}, chunking=chunking) for id_ in ids]


class HybridSearch(msgspec.Struct, kw_only=True):
    """What meaning and words count in the order."""

    embedding_weight: Annotated[float, Meta(ge=0)]
    text_weight: Annotated[float, Meta(ge=0)]


class RankingOptions(msgspec.Struct, frozen=True, kw_only=True):
    """`ranker: none` leaves out the model that is declared to order."""

    ranker: Annotated[str, Meta(max_length=64)] | None = None
    score_threshold: Annotated[float, Meta(ge=0, le=1)] | None = None
    hybrid_search: HybridSearch | None = None

    def ranking(self) -> Ranking:
        """Raises `RequestError`."""
        hybrid = self.hybrid_search
        rerank = False if self.ranker == "none" else None
        if hybrid is None:
            return Ranking(rerank=rerank)
        if not hybrid.embedding_weight and not hybrid.text_weight:
            param = "ranking_options.hybrid_search"
            raise RequestError("one of the weights must be above 0", param=param, code="invalid_value")
        return Ranking(rerank=rerank, lexical_weight=hybrid.text_weight, dense_weight=hybrid.embedding_weight)


class StoreSearchBody(msgspec.Struct, kw_only=True):
    """`POST /v1/vector_stores/{id}/search`"""

    query: (
        Annotated[str, Meta(min_length=1, max_length=LONGEST_QUESTION)]
        | Annotated[list[str], Meta(min_length=1, max_length=16)]
    )
    filters: msgspec.Raw = msgspec.field(default_factory=no_filter)
    max_num_results: Annotated[int, Meta(ge=1, le=50)] | None = None
    ranking_options: RankingOptions = RankingOptions()
    rewrite_query: bool = False

    def question(self, base: str, caller: Caller, retrieve: Retrieve) -> Question:
        """What is asked; several queries are one. Without a number of results `retrieve.k` holds where declared."""
        usual = retrieve.k if "k" in retrieve.model_fields_set else USUAL_RESULTS
        text = self.query if isinstance(self.query, str) else "\n".join(self.query)
        return Question(
            base=base,
            text=text,
            caller=caller,
            filter=self.filters,
            k=self.max_num_results or usual,
            rerank=self.ranking_options.ranking().rerank,
            rewrite=self.rewrite_query,
            is_call=True,
        )


def as_chunking(strategy: Strategy | None) -> Chunking | None:
    """None for what is declared. Raises `RequestError`."""
    if not isinstance(strategy, Static):
        return None
    size, overlap = strategy.static.max_chunk_size_tokens, strategy.static.chunk_overlap_tokens
    if overlap * 2 > size:
        message = "`chunk_overlap_tokens` must be at most half of `max_chunk_size_tokens`"
        raise RequestError(message, param="chunking_strategy.static.chunk_overlap_tokens", code="invalid_value")
    return Chunking(size=size, overlap=overlap)


class VectorStores:
    """The desk."""

    paths: Sequence[str] = ("/v1/vector_stores",)
    asks: Set[str] = frozenset(("search",))
    answer_error = staticmethod(answer_error)
    error_event = staticmethod(error_event)
    also = staticmethod(no_headers)

    def __init__(
        self,
        keeping: Keeping,
        *,
        library: Library,
        reception: Reception,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._keeping = keeping
        self._library = library
        self._reception = reception
        self._wall = wall
        self.posts: Mapping[str, Handle] = {"/v1/vector_stores": self._create}

    async def __call__(self, call: Call) -> None:
        """Answer one call. Raises `RequestError` and `StoreError`."""
        key = self._reception.find_key(call)
        caller = self._reception.caller(call, key)
        first, *rest = call.path.removeprefix("/v1/vector_stores").strip("/").split("/")
        if not first:
            if call.method != "GET":
                raise WrongMethod(call.path, "GET, POST")
            await self._list(call, caller)
        elif first.startswith(DECLARED):
            if first.removeprefix(DECLARED) not in self._reception.knowledge(key):
                raise unknown_store(first)
            await self._declared(call, self._library.base(first.removeprefix(DECLARED)), rest, caller)
        else:
            store = await self._keeping.find(first, caller.tenant)
            await self._of_store(call, store, rest, caller)

    async def _of_store(self, call: Call, store: VectorStore, rest: list[str], caller: Caller) -> None:
        match call.method, rest:
            case "GET", []:
                await self._tell(call, store)
            case "POST", []:
                await self._change(call, store)
            case "DELETE", []:
                await self._keeping.delete(store)
                await _reply(call, _deleted(store.id, "vector_store.deleted"))
            case "POST", ["search"]:
                await self._search(call, store, caller)
            case _, ["files", *rest]:
                await self._files(call, store, rest, caller)
            case _, ["file_batches", *rest]:
                await self._batches(call, store, rest, caller)
            case _, []:
                raise WrongMethod(call.path, "GET, POST, DELETE")
            case _, ["search"]:
                raise WrongMethod(call.path, "POST")
            case _:
                raise _nothing(call)

    # vector stores

    async def _create(self, call: Call) -> None:
        caller = self._reception.caller(call, self._reception.find_key(call))
        body = decode_body(await self._reception.body(call), StoreBody)
        chunking = as_chunking(body.chunking_strategy)
        expires = body.expires_after
        fields = {
            "name": body.name or "",
            "description": body.description or "",
            "metadata": body.metadata,
            "expires_days": expires.days if expires else None,
        }
        wishes = [Wish(file_id=id_, chunking=chunking) for id_ in body.file_ids or []]
        await self._keeping.check(wishes, caller.tenant)
        store = await self._keeping.create(caller.tenant, fields)
        if wishes:
            await self._fill(store, wishes, caller)
        await self._tell(call, store)

    async def _fill(self, store: VectorStore, wishes: Sequence[Wish], caller: Caller) -> None:
        """Attach files to a vector store that was just made; where that fails, it is not there either."""
        try:
            await self._keeping.attach(store, wishes, caller)
        except BaseException:
            await asyncio.shield(self._keeping.delete(store))
            raise

    async def _list(self, call: Call, caller: Caller) -> None:
        part = read_slice(call)
        found = await self._keeping.page(caller.tenant, part)
        shown, more = _cut(found, part)
        counts = await self._keeping.counts(shown)
        now = self._wall()
        forms = [store_form(store, count, now=now) for store, count in zip(shown, counts, strict=True)]
        await _reply(call, page_form(forms, more=more))

    async def _change(self, call: Call, store: VectorStore) -> None:
        body = decode_body(await self._reception.body(call), StoreChange)
        fields: dict[str, object] = {}
        if not isinstance(body.name, msgspec.UnsetType):
            fields["name"] = body.name or ""
        if not isinstance(body.metadata, msgspec.UnsetType):
            fields["metadata"] = body.metadata
        if not isinstance(body.expires_after, msgspec.UnsetType):
            fields["expires_days"] = body.expires_after.days if body.expires_after else None
        await self._tell(call, await self._keeping.update(store, fields))

    async def _tell(self, call: Call, store: VectorStore) -> None:
        (counts,) = await self._keeping.counts([store])
        await _reply(call, store_form(store, counts, now=self._wall()))

    async def _search(self, call: Call, store: VectorStore, caller: Caller) -> None:
        body = decode_body(await self._reception.body(call), StoreSearchBody)
        question = body.question(store.id, caller, self._keeping.retrieve)
        found = await self._keeping.search(store, question, body.ranking_options.ranking())
        await _reply(call, results_form(found, body.ranking_options.score_threshold or 0.0))

    async def _declared(self, call: Call, base: Knowledge, rest: list[str], caller: Caller) -> None:
        """A declared knowledge base, to be read only."""
        match call.method, rest:
            case "GET", []:
                await _reply(call, _declared_form(base, await self._library.collection(base.name) is not None))
            case "POST", ["search"]:
                body = decode_body(await self._reception.body(call), StoreSearchBody)
                found = await self._library.search(body.question(base.name, caller, base.retrieve))
                await _reply(call, results_form(found, body.ranking_options.score_threshold or 0.0))
            case _, [] | ["files", *_] | ["file_batches", *_]:
                message = f"{DECLARED}{base.name} is a declared knowledge base: platform.yaml says what is in it"
                raise RequestError(message, param="vector_store_id", code="read_only")
            case _:
                raise _nothing(call)

    # files

    async def _files(self, call: Call, store: VectorStore, rest: list[str], caller: Caller) -> None:
        match call.method, rest:
            case "GET", []:
                await self._list_files(call, store)
            case "POST", []:
                body = decode_body(await self._reception.body(call), AttachBody)
                attached, _ = await self._keeping.attach(store, [body.wish()], caller)
                await _reply(call, file_form(attached[0]))
            case "GET", [id_]:
                await _reply_of_file(call, await self._keeping.file(store, id_))
            case "POST", [id_]:
                await self._change_file(call, store, await self._keeping.file(store, id_), caller)
            case "DELETE", [id_]:
                await self._keeping.detach(await self._keeping.file(store, id_))
                await _reply(call, _deleted(id_, "vector_store.file.deleted"))
            case "GET", [id_, "content"]:
                await _reply(call, content_form(await self._keeping.content(await self._keeping.file(store, id_))))
            case _, []:
                raise WrongMethod(call.path, "GET, POST")
            case _, [_]:
                raise WrongMethod(call.path, "GET, POST, DELETE")
            case _, [_, "content"]:
                raise WrongMethod(call.path, "GET")
            case _:
                raise _nothing(call)

    async def _list_files(self, call: Call, store: VectorStore, batch: str | None = None) -> None:
        part = read_slice(call)
        shown, more = _cut(await self._keeping.files(store, part, batch=batch), part)
        await _reply(call, page_form([file_form(file) for file in shown], more=more))

    async def _change_file(self, call: Call, store: VectorStore, file: Attached, caller: Caller) -> None:
        """Other attributes stand on every passage, so the file is read again."""
        body = decode_body(await self._reception.body(call), AttributesBody)
        wish = Wish(file_id=file.file_id, attributes=body.attributes or {}, chunking=file.chunking)
        attached, _ = await self._keeping.attach(store, [wish], caller)
        await _reply(call, file_form(attached[0]))

    # batches

    async def _batches(self, call: Call, store: VectorStore, rest: list[str], caller: Caller) -> None:
        match call.method, rest:
            case "POST", []:
                body = decode_body(await self._reception.body(call), AttachManyBody)
                attached, batch = await self._keeping.attach(store, body.wishes(), caller, together=True)
                assert batch is not None
                await _reply(call, batch_form(batch, Counts(in_progress=len(attached))))
            case "GET", [id_]:
                batch = await self._keeping.batch(store, id_)
                counts = await self._keeping.batch_counts(batch)
                headers = [(b"openai-poll-after-ms", POLL_MS)] if counts.in_progress else []
                await _reply(call, batch_form(batch, counts), *headers)
            case "POST", [id_, "cancel"]:
                batch = await self._keeping.cancel(await self._keeping.batch(store, id_))
                await _reply(call, batch_form(batch, await self._keeping.batch_counts(batch)))
            case "GET", [id_, "files"]:
                await self._list_files(call, store, (await self._keeping.batch(store, id_)).id)
            case _, [] | [_, "cancel"]:
                raise WrongMethod(call.path, "POST")
            case _, [_] | [_, "files"]:
                raise WrongMethod(call.path, "GET")
            case _:
                raise _nothing(call)


def read_slice(call: Call) -> Slice:
    """The part of a list that a call asks for, one entry longer than it says. Raises `RequestError`."""
    page = read_page(call, limit=PAGE, most=LARGEST_PAGE)
    given = {name: values[-1] for name, values in parse_qs(call.query).items()}
    status = given.get("filter")
    if status is not None and status not in _STATES:
        raise RequestError(f"`filter` is one of {', '.join(_STATES)}", param="filter", code="invalid_value")
    return Slice(limit=page.limit + 1, after=page.after, before=given.get("before"), order=page.order, status=status)


def _cut(found: list[Any], part: Slice) -> tuple[list[Any], bool]:
    """Without the entry too many, and whether there was one."""
    if len(found) < part.limit:
        return found, False
    return (found[1:] if part.before is not None else found[:-1]), True


async def _reply(call: Call, form: Mapping[str, Any], *headers: tuple[bytes, bytes]) -> None:
    await call.reply(200, json_bytes(form), JSON_TYPE, *headers)


async def _reply_of_file(call: Call, file: Attached) -> None:
    headers = [(b"openai-poll-after-ms", POLL_MS)] if file.status == "in_progress" else []
    await _reply(call, file_form(file), *headers)


def _deleted(id_: str, kind: str) -> dict[str, Any]:
    return {"id": id_, "object": kind, "deleted": True}


def _declared_form(base: Knowledge, is_there: bool) -> dict[str, Any]:
    bare = VectorStore(
        id=f"{DECLARED}{base.name}",
        owner="",
        name=base.name,
        description=base.description,
        created_at=0,
        last_active_at=0,
    )
    return store_form(bare, Counts(in_progress=int(not is_there)), now=0)


def _nothing(call: Call) -> Unknown:
    return Unknown(f"there is nothing at {call.path}; see /openapi.json", code="not_found")
