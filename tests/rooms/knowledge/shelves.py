"""A base to ingest without files, parsers or models: texts in a dict, a passage a line, vectors made of characters."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from hanok.errors import DocumentRefused, EngineRefused, Refusal, SourceUnreadable
from hanok.knowledge.ingesting import EmbedUnits, Ingest, OpenSource, Report, Tools, ingest
from hanok.knowledge.ingesting.survey import Survey, survey
from hanok.knowledge.store import Store
from hanok.knowledge.stores.memory import MemoryStore
from hanok.knowledge.values import EVERYONE, Entry, Head, Passage
from hanok.spec import DocumentType, Knowledge, Loaded, Platform
from hanok.wire import ChatRequest, TaskRequest, TaskResult, Usage, json_bytes

DIMENSIONS = 4


class Texts:
    """A source: texts by path, with a version each, that counts what is read of it."""

    def __init__(self, texts: dict[str, str], *, versions: bool = True) -> None:
        self.texts = dict(texts)
        self.versions = versions
        self.touched: dict[str, int] = {}
        self.reader = EVERYONE
        self.type: DocumentType | None = None
        self.metadata: dict[str, str] = {}
        self.reads: list[str] = []
        self.unreadable = ""
        self.moved = ""

    async def entries(self) -> AsyncIterator[Entry]:
        for path, text in list(self.texts.items()):
            version = f"{len(text)}-{hash(text)}-{self.touched.get(path, 0)}" if self.versions else ""
            yield Entry(
                uri=f"texts:{path}",
                path=path,
                version=version,
                type=self.type,
                reader=self.reader,
                metadata=self.metadata,
            )
        if self.unreadable:
            raise SourceUnreadable(self.unreadable)

    async def read(self, entry: Entry, limit_bytes: int) -> bytes:
        self.reads.append(entry.path)
        data = self.texts[entry.path].encode()
        if len(data) > limit_bytes:
            raise DocumentRefused(f"{entry.path} is too large", code="too_large")
        return data

    async def aclose(self) -> None:
        pass


class Letters:
    """A model whose vectors count letters. `fail` is asked before each call and may raise or wait."""

    def __init__(self, dimensions: int = DIMENSIONS) -> None:
        self.dimensions = dimensions
        self.texts: list[str] = []
        self.most_at_once = 0
        self.running = 0
        self.fail: Callable[[list[str]], Any] = lambda _: None

    async def open(self, request: ChatRequest) -> Any:
        raise NotImplementedError

    async def perform(self, request: TaskRequest) -> TaskResult:
        texts: list[str] = msgspec.json.decode(request.fields["input"])
        self.running += 1
        self.most_at_once = max(self.most_at_once, self.running)
        await asyncio.sleep(0)
        self.running -= 1
        self.fail(texts)
        self.texts += texts
        data = [{"index": index, "embedding": self.vector(text)} for index, text in enumerate(texts)]
        return TaskResult(json_bytes({"data": data}), Usage(prompt_tokens=len(texts)), "letters", "letters#1")

    def vector(self, text: str) -> list[float]:
        return [1.0, *(float(text.count("abcdefghij"[at % 10])) for at in range(self.dimensions - 1))]


def refusal(status: int, message: str = "no") -> EngineRefused:
    body = json_bytes({"error": {"message": message}})
    return EngineRefused(message, refusal=Refusal(status=status, body=body))


async def lines(entry: Entry, data: bytes) -> tuple[str, Sequence[Passage]]:
    """A passage for every line, of a table one for all; a document that says so is refused."""
    text = data.decode()
    if "UNREADABLE" in text:
        raise DocumentRefused(f"{entry.path} is damaged", code="damaged")
    passages: list[Passage] = []
    at = 0
    for line in text.splitlines() if entry.type != "table" else [text]:
        passages.append(Passage(text=line, start=at, end=at + len(line)))
        at += len(line) + 1
    return entry.path.removesuffix(".txt"), passages


class Base:
    """A base over such texts, ingested as often as it is told to."""

    def __init__(self, state: Path, *sources: Texts, store: Store | None = None, **declared: Any) -> None:
        self.sources = sources
        self.store: Store = store or MemoryStore()
        self.letters = Letters()
        self.parsed: list[str] = []
        self.state = state
        self.opened = 0
        self.readers = 2
        self.now = 1_000.0
        self.declare(**declared)

    def declare(self, **declared: Any) -> None:
        base = {"name": "docs", "sources": [{"path": "."}], **declared}
        models = [
            {"name": "letters", "type": "embedding", "serve": {"engine": "openai", "url": "http://x/v1"}},
            {"name": "chat", "serve": {"engine": "echo"}},
        ]
        self.platform = Platform.model_validate({"name": "test", "models": models, "knowledge": [base]})
        file = self.state / "platform.yaml"
        self.loaded = Loaded(platform=self.platform, file=file, folder=self.state, state=self.state)

    @contextlib.asynccontextmanager
    async def _tools(self, _loaded: Loaded, _base: Knowledge) -> AsyncGenerator[Tools]:
        sources = [
            OpenSource(mark=f"texts-{index}{source.type or ''}{source.moved}", name=f"texts {index}", opened=source)
            for index, source in enumerate(self.sources)
        ]
        yield Tools(sources=sources, read_passages=self._read, readers=self.readers, warm=self._warm)

    async def _warm(self) -> None: ...

    async def _read(self, entry: Entry, data: bytes, _: EmbedUnits) -> tuple[str, Sequence[Passage]]:
        self.parsed.append(entry.path)
        return await lines(entry, data)

    async def _models(self) -> Letters:
        self.opened += 1
        return self.letters

    def order(self, *, rebuild: bool = False) -> Ingest:
        return Ingest(
            loaded=self.loaded,
            base=self.platform.knowledge[0],
            store=self.store,
            models=self._models,
            tools=self._tools,
            wall=lambda: self.now,
            rebuild=rebuild,
            pauses_s=(0.0, 0.0, 0.0),
        )

    async def ingest(self, *, rebuild: bool = False) -> Report:
        self.now += 1
        return await ingest(self.order(rebuild=rebuild))

    def run(self, *, rebuild: bool = False) -> Report:
        return asyncio.run(self.ingest(rebuild=rebuild))

    def survey(self) -> Survey:
        return asyncio.run(survey(self.loaded, self.platform.knowledge[0], self.store, self._tools))

    @property
    def alias(self) -> str:
        from hanok.knowledge.recipe import alias_of

        return alias_of("test", "docs")

    def heads(self) -> dict[str, Head]:
        found = asyncio.run(self.store.heads(self.alias))
        assert len({head.document for head in found}) == len(found)
        return {head.path: head for head in found}

    def texts(self, *readers: str) -> dict[str, list[str]]:
        """What is in the collection, by path."""
        found: dict[str, list[str]] = {}
        for path, head in self.heads().items():
            hits = asyncio.run(
                self.store.passages(
                    self.alias,
                    document=head.document,
                    digest=head.digest,
                    first=0,
                    last=100_000,
                    readers=readers or (EVERYONE,),
                )
            )
            assert [hit.ordinal for hit in hits] == list(range(len(hits)))
            found[path] = [hit.text for hit in hits]
        return found

    def rows(self) -> int:
        found = asyncio.run(self.store.describe(self.alias))
        return found.passages if found else 0

    def wants(self) -> dict[str, list[str]]:
        return {path: text.splitlines() for source in self.sources for path, text in source.texts.items()}


def counts(report: Report) -> dict[str, int]:
    told = msgspec.structs.asdict(report)
    return {name: told[name] for name in ("added", "changed", "noted", "unchanged", "removed") if told[name]}
