"""One ingest of a base, from its declaration to its report: which collection, from which sources, into which store.

What decides how documents become rows names the collection (`recipe`). A base is filled where its alias points. Where
that is another collection than declared, a new one is filled beside it; when that is complete, the alias changes over,
and the old one goes. Answers come from the old one until then, and a run that was killed goes on filling the new one.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial

from hanok.errors import HanokError, KnowledgeError, StoreError
from hanok.knowledge.embedding import embedder_of
from hanok.knowledge.ingesting.embedder import PAUSES_S, Embedder, OpenModels
from hanok.knowledge.ingesting.notes_store import Notes
from hanok.knowledge.ingesting.refusals import Refusals
from hanok.knowledge.ingesting.report import Report
from hanok.knowledge.ingesting.run import Means, OpenSource, ReadPassages, Run
from hanok.knowledge.ranking import terms_of
from hanok.knowledge.recipe import alias_of, anew_of, collection_of, digest_of, is_made_by
from hanok.knowledge.store import Store
from hanok.knowledge.stores.checks import is_same
from hanok.knowledge.values import Collection, Shape
from hanok.spec import Knowledge, Loaded, Model, Terms
from hanok.wire import ANONYMOUS, Caller, json_bytes

KEEP_EVERY_S = 1.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Tools:
    """The sources of a base, and what cuts their documents into passages, `readers` of them at once.

    `warm` begins to start what that needs, where much is to be read.
    """

    sources: Sequence[OpenSource]
    read_passages: ReadPassages
    readers: int
    warm: Callable[[], Awaitable[None]]


_Step = Callable[[], Awaitable[None]]
OpenTools = Callable[[Loaded, Knowledge], AbstractAsyncContextManager[Tools]]


@dataclass(frozen=True, kw_only=True)
class Ingest:
    """What to ingest and with what. `models` is opened when something has to be embedded; `wall` gives Unix seconds.

    `pauses_s` are those before a model that does not answer is asked again.
    """

    loaded: Loaded
    base: Knowledge
    store: Store
    models: OpenModels
    tools: OpenTools
    wall: Callable[[], float]
    caller: Caller = ANONYMOUS
    rebuild: bool = False
    pauses_s: Sequence[float] = PAUSES_S


@dataclass(frozen=True, kw_only=True)
class _Target:
    """The collection to fill, and the one that the alias stands for now."""

    alias: str
    name: str
    standing: Collection | None

    @property
    def is_new(self) -> bool:
        return self.standing is None or self.standing.name != self.name


async def ingest(order: Ingest, *, told: Callable[[Report], None] = lambda _: None) -> Report:
    """Bring a base up to its sources; `told` has the report as it goes, about once a second.

    Raises `KnowledgeError` (`Busy` when somebody does already), `StoreError`, `StartError`. What was written by then is
    kept, and the next run goes on from it.
    """
    notes = Notes(order.loaded.state, order.base.name)
    notes.claim()
    try:
        async with _reporting(order, notes, told) as report:
            await _fill(order, notes, report)
        return report
    finally:
        notes.release()


def declared_mark(base: Knowledge, embedder: Model) -> str:
    """A word for all of a declaration that changes what is in the base: another one means that there is work."""
    sources = [source.model_dump(mode="json") for source in base.sources]
    told = [digest_of(base, embedder), base.parse.model_dump(), sources]
    return hashlib.sha256(json_bytes(told)).hexdigest()[:16]


@contextlib.asynccontextmanager
async def _reporting(order: Ingest, notes: Notes, told: Callable[[Report], None]) -> AsyncGenerator[Report]:
    """A report that is kept while the ingest runs and when it has ended, however it did."""
    last = notes.last()
    report = Report(
        base=order.base.name,
        process=os.getpid(),
        started_at=order.wall(),
        completed_at=last.completed_at if last else 0.0,
        total_documents=last.total_documents if last else 0,
        total_passages=last.total_passages if last else 0,
    )
    keeping = asyncio.create_task(_keep(report, notes, told))
    try:
        notes.keep(report)
        yield report
        report.state, report.completed_at = "done", order.wall()
    except HanokError as error:
        report.state, report.error, report.hint = "failed", error.message, error.hint or ""
        raise
    except asyncio.CancelledError:
        report.state = "stopped"
        raise
    except BaseException as error:
        report.state, report.error = "failed", f"{type(error).__name__}: {error}"
        raise
    finally:
        keeping.cancel()
        report.ended_at, report.waiting = order.wall(), ""
        notes.keep(report)
        told(report)


async def _keep(report: Report, notes: Notes, told: Callable[[Report], None]) -> None:
    """Go on where it cannot be kept for a while: what counts is what is kept in the end."""
    is_kept = True
    while True:
        await asyncio.sleep(KEEP_EVERY_S)
        try:
            notes.keep(report)
            is_kept = True
        except StoreError as error:
            if is_kept:
                _log.warning("how far the ingest is cannot be told: %s", error)
            is_kept = False
        told(report)


async def _fill(order: Ingest, notes: Notes, report: Report) -> None:
    model = embedder_of(order.loaded.platform, order.base)
    digest = digest_of(order.base, model)
    async with order.tools(order.loaded, order.base) as tools:
        if not report.completed_at:
            await tools.warm()  # while the store is reached: there is something to be read for certain
        target = await _target(order, digest)
        report.declared, report.collection = declared_mark(order.base, model), target.name
        refusals = remembered_refusals(order.base, digest, b"" if order.rebuild else notes.refusals())
        embedder = _embedder(order, model, report)
        try:
            await Run(await _means(order, tools, target, embedder, refusals), report).run()
        finally:
            if refusals.changed:
                notes.keep_refusals(refusals.to_json())
    await _change_over(order, target, report)
    await _sum_up(order.store, target, report)


async def _means(order: Ingest, tools: Tools, target: _Target, embedder: Embedder, refusals: Refusals) -> Means:
    ready, make = await _prepare(order, target, embedder)
    return Means(
        store=order.store,
        collection=target.name,
        recipe=order.base,
        sources=tools.sources,
        read_passages=tools.read_passages,
        make_terms=partial(_terms, kind=order.base.index.terms),
        embedder=embedder,
        refusals=refusals,
        ready=ready,
        make=make,
        readers=tools.readers,
        wall=order.wall,
    )


async def _target(order: Ingest, digest: str) -> _Target:
    """The declared recipe's collection; with `rebuild` the one of its two names that does not stand."""
    alias = alias_of(order.loaded.platform.name, order.base.name)
    name = collection_of(alias, digest)
    standing = await order.store.describe(alias)
    if standing is not None and is_made_by(standing.name, name):
        name = anew_of(standing.name) if order.rebuild else standing.name
    return _Target(alias=alias, name=name, standing=standing)


def remembered_refusals(base: Knowledge, digest: str, kept: bytes) -> Refusals:
    """What was refused before and would be again; `digest` is that of the recipe, `kept` what the notes have."""
    recipe = hashlib.sha256(json_bytes([digest, base.parse.model_dump()])).hexdigest()[:16]
    return Refusals(kept, recipe=recipe)


def _embedder(order: Ingest, model: Model, report: Report) -> Embedder:
    def waiting(for_what: str) -> None:
        report.waiting = for_what

    embed = order.base.embed
    return Embedder(
        order.models,
        model=model.name,
        prefix=embed.passage_prefix,
        dimensions=embed.dimensions,
        caller=order.caller,
        pauses_s=order.pauses_s,
        waiting=waiting,
    )


async def _prepare(order: Ingest, target: _Target, embedder: Embedder) -> tuple[_Step, _Step | None]:
    """What holds the model against the collection before the first passage, and what makes one where there is none."""
    found = await order.store.describe(target.name)
    if found is not None:
        return partial(_check, order, embedder, found), None
    shape = await embedder.probe(order.base.index)
    return _nothing, partial(order.store.create, target.name, shape)


async def _check(order: Ingest, embedder: Embedder, found: Collection) -> None:
    shape = await embedder.probe(order.base.index)
    if not is_same(found.shape, shape):
        raise _unfit(order.base.name, shape, found.shape)


def _unfit(base: str, now: Shape, there: Shape) -> KnowledgeError:
    if now.dimensions != there.dimensions:
        what = f"vectors of {now.dimensions} dimensions, and those in {base!r} have {there.dimensions}"
        message = f"the declared model makes {what}: it is not the one that {base!r} was made with"
    else:
        message = f"{base!r} was made with another index than is declared"
    return KnowledgeError(message, hint=f"make it anew: hanok knowledge ingest {base} --rebuild")


async def _nothing() -> None: ...


async def _change_over(order: Ingest, target: _Target, report: Report) -> None:
    """Let the alias stand for what was filled, and drop what it stood for before."""
    told = "; ".join(f"{each.source}: {each.message}" for each in report.silent)
    if target.standing is None and not report.documents and len(report.silent) == len(order.base.sources):
        message = f"nothing was read into {order.base.name!r}, as none of its sources could be: {told}"
        raise KnowledgeError(message, hint=report.silent[0].hint or None)
    if report.silent and target.is_new and target.standing is not None:
        message = f"{order.base.name!r} is not made anew before all of its sources can be read: {told}"
        raise KnowledgeError(message, hint="answers come from the one before; what was ingested now is kept")
    if target.is_new:
        await order.store.point(target.alias, target.name)
    for name in await order.store.list_collections():
        if name.startswith(f"{target.alias}_") and name != target.name:
            await order.store.drop(name)


async def _sum_up(store: Store, target: _Target, report: Report) -> None:
    heads = await store.heads(target.name)
    report.total_documents = len({head.document for head in heads if head.whole})
    report.total_passages = sum(head.passages for head in heads if head.whole)


def _terms(texts: Sequence[str], *, kind: Terms) -> list[str]:
    return [terms_of(text, kind) for text in texts]
