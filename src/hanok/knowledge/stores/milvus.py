"""Passages in Milvus: Lite, by the path of a folder that ends in `.db`, in this process; a server by its URI.

One client for both; pymilvus blocks, so its calls run in a few threads. Lite is a folder with a log that is written
through before a call returns, so what was written survives a killed process, as long as one call writes at a time: one
thread writes, and what it has begun it ends, also where nobody waits for it any more. It is flushed every so many
rows, and when writers pause: rows that are not are looked through one by one in Python, 0.3 ms each in every search.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from hanok.errors import StoreError
from hanok.knowledge.filters import Condition, as_expression, holds, quoted, read_filter
from hanok.knowledge.ranking import Candidate, Legs, rank
from hanok.knowledge.stores import milvus_schema as schema
from hanok.knowledge.stores.checks import FLOAT_BYTES, check_name, check_question, check_rows, check_same
from hanok.knowledge.stores.lite_search import LiteSearch, open_lite_search
from hanok.knowledge.stores.milvus_errors import NotThere, import_pymilvus, told
from hanok.knowledge.values import Collection, Head, Hit, Plain, Query, Row, Shape

THREADS = 8
BATCH_BYTES = 8 * 1024 * 1024
"""Of rows in one call: a server takes messages of 64 MiB, and Lite holds others up meanwhile."""
FLUSH_ROWS = 2000
SEARCHED_ROWS = 500
"""What is not flushed from this many on is, before it is searched."""
PAUSE_S = 0.5
"""After the last write, until what it left in Lite's log is flushed."""
_PAGE = 8000
T = TypeVar("T")


@dataclass(frozen=True)
class _Known:
    """What was asked already, by name. `facts` are metadata by their digests, in a collection and vector store.

    When it may have changed another takes its place: who is still asking writes into this one, which nobody reads.
    """

    loaded: set[str] = field(default_factory=set[str])
    shapes: dict[str, Shape] = field(default_factory=dict[str, Shape])
    aliases: dict[str, str] = field(default_factory=dict[str, str])
    facts: dict[tuple[str, str], dict[int, Mapping[str, Plain]]] = field(
        default_factory=dict[tuple[str, str], dict[int, Mapping[str, Plain]]]
    )
    looked_through: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])


class MilvusStore:
    """Collections of passages in Milvus. `uri` is a path that ends in `.db` for Lite, else a server's URL.

    Opened with the first call. `timeout_s` is the longest wait for one call to a server.
    """

    def __init__(self, uri: str, *, token: str = "", db: str = "default", timeout_s: float = 30.0) -> None:
        self._uri, self._token, self._db, self._timeout_s = uri, token, db, timeout_s
        self._lite = "://" not in uri
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="milvus")
        self._opening = threading.Lock()
        self._opened: Any = None
        self._lite_search: LiteSearch | None = None
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="milvus-writer")
        self._unflushed: dict[str, int] = {}
        self._pause: asyncio.TimerHandle | None = None
        self._flushing: asyncio.Task[None] | None = None
        self._known = _Known()

    async def describe(self, name: str) -> Collection | None:
        return await self._or(None, lambda client: self._describe(client, name))

    async def list_collections(self) -> list[str]:
        return sorted(await self._ask(lambda client: client.list_collections()))

    async def create(self, name: str, shape: Shape) -> None:
        check_name(name)
        if self._lite and shape.index.type not in schema.LITE_INDEXES:
            raise StoreError(
                f"Milvus Lite builds no index {shape.index.type}, it has {', '.join(schema.LITE_INDEXES)}",
                hint="choose one of them as `index.type`, or declare a server: `milvus: {uri: http://…}`",
            )
        await self._in_turn(lambda client: self._create(client, name, shape))

    async def drop(self, name: str) -> None:
        await self._in_turn(lambda client: self._forgetting(lambda: self._drop(client, name)))

    async def point(self, alias: str, name: str) -> None:
        check_name(alias)
        await self._in_turn(lambda client: self._forgetting(lambda: self._point(client, alias, name)))

    async def write(self, name: str, rows: Sequence[Row]) -> None:
        try:
            await self._in_turn(lambda client: self._write(client, name, rows))
        finally:
            self._flush_later()

    async def remove(self, name: str, *, document: str, store: str = "", keep: str | None = None) -> None:
        kept = "" if keep is None else f" and digest != {quoted(keep)}"
        await self._delete(name, schema.of_document(document, store) + kept)

    async def remove_store(self, name: str, store: str) -> None:
        await self._delete(name, f"store == {quoted(store)}")

    async def heads(self, name: str, *, store: str = "") -> list[Head]:
        of_store = f"ordinal == 0 and store == {quoted(store)}"
        return await self._or([], lambda client: schema.read_heads(self._all(client, name, of_store, ["head"])))

    async def passages(
        self, name: str, *, document: str, digest: str, first: int, last: int, readers: Sequence[str], store: str = ""
    ) -> list[Hit]:
        if not readers or last < first:
            return []
        whole = f"{schema.of_document(document, store)} and digest == {quoted(digest)}"
        these = f"{whole} and ordinal >= {first} and ordinal <= {last} and {schema.one_of('reader', readers)}"
        found = await self._or([], lambda client: self._all(client, name, these, schema.HIT_FIELDS))
        return sorted(map(schema.as_hit, found), key=lambda hit: hit.ordinal)

    async def search(self, name: str, query: Query) -> list[Hit]:
        condition = read_filter(query.filter)
        if not query.readers:
            return []
        await self._flush_late()
        expression = await self._or(None, lambda client: self._expression(client, name, query, condition))
        if expression is None:
            return []
        legs = await self._or(None, lambda client: self._search_lite(client, name, query, expression))
        return rank(legs or await self._legs(name, query, expression), query)

    async def _legs(self, name: str, query: Query, expression: str) -> Legs:
        lexical, dense = await asyncio.gather(
            self._leg(lambda client: self._by_words(client, name, query, expression), bool(query.terms.strip())),
            self._leg(lambda client: self._by_meaning(client, name, query, expression), bool(query.vector)),
        )
        return Legs(lexical=lexical, dense=dense)

    async def _flush_late(self) -> None:
        """Among 1,400 passages that are not flushed, Lite itself takes a second instead of a tenth of one."""
        late = any(count >= SEARCHED_ROWS for count in list(self._unflushed.values()))
        if not late or not self._lite or self._lite_search is not None:
            return
        with contextlib.suppress(NotThere):
            await self._in_turn(lambda client: self._flush(client, SEARCHED_ROWS))

    async def aclose(self) -> None:
        if self._pause is not None:
            self._pause.cancel()
        if self._flushing is not None:
            await self._flushing
        await asyncio.get_running_loop().run_in_executor(self._writer, self._close)
        for threads in (self._writer, self._threads):
            threads.shutdown(wait=False)

    # What follows runs in threads.

    def _describe(self, client: Any, name: str) -> Collection:
        shape = self._read_shape(client, name)
        real = client.describe_alias(name)["collection_name"] if self._is_alias(client, name) else name
        self._load(client, name)
        counted = client.query(name, output_fields=["count(*)"], consistency_level="Strong")
        return Collection(name=real, shape=shape, passages=int(counted[0]["count(*)"]))

    def _read_shape(self, client: Any, name: str) -> Shape:
        described = client.describe_collection(name)
        shape = schema.read_shape(described, client.describe_index(name, "embedding") or {})
        if shape is None:
            raise StoreError(f"the collection {name} was not made by Hanok", hint="give this one another name")
        return shape

    def _create(self, client: Any, name: str, shape: Shape) -> None:
        if self._is_alias(client, name):
            raise StoreError(f"{name} is an alias already", hint="give the collection another name")
        if client.has_collection(name):
            check_same(name, self._read_shape(client, name), shape)
            return
        session = "Session"  # this process sees what it wrote
        client.create_collection(name, schema=schema.make_schema(shape), consistency_level=session)
        # An index of nothing is there at once: pymilvus would sleep half a second for each before it looks.
        client.create_index(name, schema.make_indexes(shape), sync=False)
        client.load_collection(name)

    def _drop(self, client: Any, name: str) -> None:
        if self._is_alias(client, name) or not client.has_collection(name):
            return
        for alias in client.list_aliases(name)["aliases"]:
            client.drop_alias(alias)
        client.drop_collection(name)

    def _point(self, client: Any, alias: str, name: str) -> None:
        if not client.has_collection(name):
            raise StoreError(f"there is no collection {name}", hint="create it first")
        if self._is_alias(client, alias):
            client.alter_alias(name, alias)
        elif client.has_collection(alias):
            raise StoreError(f"{alias} is a collection already", hint="give the alias another name")
        else:
            client.create_alias(name, alias)

    def _write(self, client: Any, name: str, rows: Sequence[Row]) -> None:
        check_rows(rows, self._shape(client, name))
        records = [schema.as_record(row) for row in {row.id: row for row in rows}.values()]
        real = self._real(client, name)
        for batch in _batches(records):
            client.upsert(name, batch)
            self._unflushed[real] = self._unflushed.get(real, 0) + len(batch)
        for row in rows:
            self._known.facts.setdefault((real, row.store), {})[schema.facts_of(row.metadata)] = row.metadata
        if self._lite and self._unflushed.get(real, 0) >= FLUSH_ROWS:
            self._flush(client, FLUSH_ROWS)

    async def _delete(self, name: str, expression: str) -> None:
        try:
            with contextlib.suppress(NotThere):
                await self._in_turn(lambda client: self._remove(client, name, expression))
        finally:
            self._flush_later()

    def _flush_later(self) -> None:
        """Flush when nobody has written for a while."""
        if self._pause is not None:
            self._pause.cancel()
        if self._lite:
            self._pause = asyncio.get_running_loop().call_later(PAUSE_S, self._begin_flush)

    def _begin_flush(self) -> None:
        self._flushing = asyncio.get_running_loop().create_task(self._flush_all())

    async def _flush_all(self) -> None:
        with contextlib.suppress(StoreError):  # it is in the log all the same
            await self._in_turn(lambda client: self._flush(client, 1))

    def _flush(self, client: Any, at_least: int) -> None:
        for name in [name for name, rows in self._unflushed.items() if rows >= at_least]:
            self._unflushed[name] = 0
            if client.has_collection(name):
                client.flush(name)

    def _remove(self, client: Any, name: str, expression: str) -> None:
        self._load(client, name)
        client.delete(name, filter=expression)
        self._unflushed[self._real(client, name)] = self._unflushed.get(self._real(client, name), 0) + 1

    def _all(self, client: Any, name: str, expression: str, fields: list[str]) -> list[Mapping[str, Any]]:
        """Every record that the expression holds for, in pages."""
        self._load(client, name)
        pages = client.query_iterator(
            name, batch_size=_PAGE, filter=expression, output_fields=fields, consistency_level="Strong"
        )
        try:
            return [record for page in iter(pages.next, []) for record in page]
        finally:
            pages.close()

    def _expression(self, client: Any, name: str, query: Query, condition: Condition | None) -> str | None:
        """What limits both legs; None where nothing can be found."""
        shape = self._shape(client, name)
        if query.vector is not None and len(query.vector) != shape.dimensions * FLOAT_BYTES:
            self._known.shapes.pop(name, None)  # another process may have pointed the alias elsewhere
            check_question(name, query.vector, self._shape(client, name))
        self._load(client, name)
        readable = f"{schema.one_of('reader', query.readers)} and store == {quoted(query.store)}"
        if condition is None:
            return readable
        if not self._lite:
            return f"{readable} and {as_expression(condition)}"
        facts = self._known_facts(client, name, query.store)
        fitting = [fact for fact, metadata in facts.items() if holds(condition, metadata)]
        return f"{readable} and {schema.one_of('facts', fitting)}" if fitting else None

    def _known_facts(self, client: Any, name: str, store: str) -> Mapping[int, Mapping[str, Plain]]:
        """All metadata that documents of a vector store have, by their digests. Lite is written by nobody else."""
        known = self._known
        real = self._real(client, name)
        facts = known.facts.setdefault((real, store), {})  # what is written from now on is in it
        if (real, store) not in known.looked_through:
            found = self._all(client, real, f"ordinal == 0 and store == {quoted(store)}", ["facts", "metadata"])
            facts.update((each["facts"], each["metadata"]) for each in found)
            known.looked_through.add((real, store))
        return dict(facts)

    def _search_lite(self, client: Any, name: str, query: Query, expression: str) -> Legs | None:
        """What both legs find where Lite is of a version that can be searched without its ways; else None."""
        if self._lite_search is None:
            return None
        return self._lite_search.search(self._real(client, name), self._shape(client, name), query, expression)

    async def _leg(self, find: Callable[[Any], list[Candidate]], wanted: bool) -> list[Candidate]:
        return await self._or([], find) if wanted else []

    def _by_words(self, client: Any, name: str, query: Query, expression: str) -> list[Candidate]:
        (found,) = client.search(
            name,
            data=[schema.cut(query.terms, schema.LIMIT_BYTES)],
            anns_field="sparse",
            filter=expression,
            limit=query.fetch_k,
            output_fields=schema.CANDIDATE_FIELDS,
            search_params={"metric_type": "BM25"},
        )
        return [schema.as_candidate(_fields(hit), hit["distance"]) for hit in found]

    def _by_meaning(self, client: Any, name: str, query: Query, expression: str) -> list[Candidate]:
        import numpy

        index = self._shape(client, name).index
        (found,) = client.search(
            name,
            data=[numpy.frombuffer(query.vector or b"", dtype="<f4")],
            anns_field="embedding",
            filter=expression,
            limit=query.fetch_k,
            output_fields=schema.CANDIDATE_FIELDS,
            search_params=schema.searching(index, ef=query.ef, nprobe=query.nprobe, fetch_k=query.fetch_k),
        )
        return [schema.as_candidate(_fields(hit)) for hit in found]

    def _shape(self, client: Any, name: str) -> Shape:
        known = self._known
        shape = known.shapes.get(name)
        if shape is None:
            shape = known.shapes[name] = self._read_shape(client, name)
        return shape

    def _load(self, client: Any, name: str) -> None:
        known = self._known
        if name not in known.loaded:
            client.load_collection(self._real(client, name))  # Lite waits for ever for an alias at times
            known.loaded.add(name)

    def _real(self, client: Any, name: str) -> str:
        """What the alias stands for. Only known for sure on Lite, where nobody else points it elsewhere."""
        known = self._known
        real = known.aliases.get(name)
        if real is None:
            alias = self._is_alias(client, name)
            real = known.aliases[name] = client.describe_alias(name)["collection_name"] if alias else name
        return real

    def _is_alias(self, client: Any, name: str) -> bool:
        try:
            return bool(told(lambda: client.describe_alias(name)))
        except NotThere:
            return False

    def _forgetting(self, change: Callable[[], None]) -> None:
        """Make a change after which names may stand for something else."""
        try:
            change()
        finally:
            if self._lite_search is not None:
                self._lite_search.forget()
            self._known = _Known()

    async def _ask(self, work: Callable[[Any], T]) -> T:
        return await self._run(self._threads, work)

    async def _in_turn(self, work: Callable[[Any], T]) -> T:
        """What writes: in its own thread, one after another."""
        return await self._run(self._writer, work)

    async def _run(self, threads: ThreadPoolExecutor, work: Callable[[Any], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(
            threads, lambda: told(lambda: work(self._client()), self._uri)
        )

    async def _or(self, nothing: T, work: Callable[[Any], T]) -> T:
        """What it finds, or nothing where the collection is not there."""
        try:
            return await self._ask(work)
        except NotThere:
            return nothing

    def _client(self) -> Any:
        with self._opening:
            if self._opened is None:
                client = import_pymilvus().MilvusClient
                if self._lite:
                    Path(self._uri).parent.mkdir(parents=True, exist_ok=True)
                    self._opened = client(uri=self._uri)
                    self._lite_search = open_lite_search(self._uri)
                    # Two calls that are the first for a collection open it twice in Lite, and one waits for ever for
                    # what the other loaded. Listing opens all of them, while everybody else waits here.
                    self._opened.list_collections()
                else:
                    self._opened = client(uri=self._uri, token=self._token, db_name=self._db, timeout=self._timeout_s)
            return self._opened

    def _close(self) -> None:
        with self._opening:
            if self._opened is not None:
                self._opened.close()
            if self._opened is not None and self._lite:
                servers: Any = importlib.import_module("milvus_lite.server_manager")
                servers.server_manager_instance.release_server(self._uri)
            self._opened = self._lite_search = None


def _fields(hit: Any) -> Mapping[str, Any]:
    return {"id": hit["id"], **hit["entity"]}


def _batches(records: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    batch: list[dict[str, Any]] = []
    size = 0
    for record in records:
        size += 1000 + record["embedding"].nbytes + 3 * (len(record["content"]) + len(record["terms"]))
        if batch and size > BATCH_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(record)
    if batch:
        yield batch
