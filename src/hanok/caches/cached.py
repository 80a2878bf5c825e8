"""The layer that gives answers again: the same call is answered by what was answered before.

What was kept is asked for before the model is; what the model answers is kept when it was said to its end, and by the
model that was asked for. A model without a rule costs one look into a table. Calls that are the same at the same time
each ask the model: nobody waits for another's answer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, Literal, Self

import msgspec

from hanok.caches.entry import Entry
from hanok.caches.keys import Keys
from hanok.caches.replay import is_finished, read_stream, replay, without_usage
from hanok.caches.rules import Rule
from hanok.caches.semantic import Place, Semantics
from hanok.caches.store import Store, StoreCounts
from hanok.caches.stores.memory import MemoryStore
from hanok.wire import (
    BYTES_PER_TOKEN,
    Answer,
    ChatRequest,
    Chunk,
    Kept,
    ModelPath,
    Take,
    TaskRequest,
    TaskResult,
    Usage,
    WholeAnswer,
    pour,
)

ENDPOINT = "cache"
"""Who gives a kept answer, in the place of an endpoint's name."""
MISS = Kept(how="miss")
Outcome = Literal["hit", "semantic", "miss"]


class ModelCounts:
    """What a model's cache did since the start."""

    __slots__ = ("found", "kept")

    def __init__(self) -> None:
        self.found: dict[Outcome, int] = {"hit": 0, "semantic": 0, "miss": 0}
        self.kept = 0


class Cached:
    """A model path in front of `inner` that keeps answers. `wall` gives Unix seconds.

    `semantics` finds questions in other words, for models that are declared so; it asks the outermost model path.
    `is_declared` says whether an endpoint is one that is declared now: while platform.yaml changes, an old one may
    still answer.
    """

    def __init__(
        self,
        inner: ModelPath,
        *,
        rules: Mapping[str, Rule],
        store: Store,
        semantics: Semantics,
        wall: Callable[[], float],
        is_declared: Callable[[str], bool],
    ) -> None:
        self.inner = inner
        self.semantics = semantics
        self.counts: dict[str, ModelCounts] = {}
        self._keys = Keys()
        self._wall = wall
        self._is_declared = is_declared
        self.change(rules, store)

    def change(self, rules: Mapping[str, Rule], store: Store) -> None:
        """Go on by other rules, and with another store. What runs is kept where it began."""
        self.rules = rules
        self.store = store
        self.semantics.change(rules)
        for model in rules:
            self.counts.setdefault(model, ModelCounts())

    def fit(self, *, most_bytes: int) -> None:
        """Go on with more or less memory."""
        if isinstance(self.store, MemoryStore):
            self.store.change(most_bytes=most_bytes)

    async def clear(self, model: str | None = None) -> int | None:
        """Forget all answers, or those of a model, and say how many; None when the store is away."""
        self.semantics.clear(model)
        return await self.store.clear(model)

    def in_memory(self) -> Mapping[str, StoreCounts]:
        """What is kept in this process's memory, by model."""
        return self.store.count_now() if isinstance(self.store, MemoryStore) else {}

    def open(self, request: ChatRequest) -> Coroutine[Any, Any, Answer]:
        """Raises as `inner` does."""
        rule = self.rules.get(request.model)
        return self.inner.open(request) if rule is None else self._open(rule, request)

    def perform(self, request: TaskRequest) -> Coroutine[Any, Any, TaskResult]:
        """Raises as `inner` does."""
        rule = self.rules.get(request.model)
        return self.inner.perform(request) if rule is None else self._perform(rule, request)

    async def _open(self, rule: Rule, request: ChatRequest) -> Answer:
        key = self._keys.find(rule, request)
        if key is None:
            return await self.inner.open(request)
        store, counts, place = self.store, self.counts[rule.model], None
        if not request.options.no_cache:
            entry = await store.find(rule.model, key)
            if entry is not None and (answer := self._again(entry, request, "hit")) is not None:
                return answer
            if rule.semantic is not None and (place := await self.semantics.place(rule, request)) is not None:
                near = self.semantics.nearest(place)
                entry = None if near is None else await store.find(rule.model, near)
                if entry is not None and (answer := self._again(entry, request, "semantic")) is not None:
                    return answer
        counts.found["miss"] += 1
        if (ttl_s := _ttl_s(rule, request)) <= 0:
            return KeptAnswer(await self.inner.open(request))
        keeping = _Keeping(self, store, rule, key, ttl_s, place)
        if not request.stream:
            answer = await self.inner.open(request)
            return RecordedAnswer(answer, request, keeping if self._is_from(rule, answer) else None)
        asked = request if request.wants_usage else msgspec.structs.replace(request, wants_usage=True)
        answer = await self.inner.open(asked)
        return RecordedAnswer(answer, request, keeping if self._is_from(rule, answer) else None)

    def _is_from(self, rule: Rule, answer: Answer | TaskResult) -> bool:
        """Whether the model that was asked for gave this answer, as the rule knows it: no fallback, nothing older."""
        now = self.rules.get(rule.model)
        if now is None or now.seed != rule.seed or now.sources != rule.sources:
            return False
        return answer.model == rule.model and self._is_declared(answer.endpoint)

    def _again(self, entry: Entry, request: ChatRequest, how: Literal["hit", "semantic"]) -> GivenAgain | None:
        chunk = replay(entry, request)
        if chunk is None:
            return None
        self.counts[request.model].found[how] += 1
        return GivenAgain(chunk, request.model, self._kept(entry, how))

    def _kept(self, entry: Entry, how: Literal["hit", "semantic"]) -> Kept:
        return Kept(how=how, age_s=max(0, int(self._wall() - entry.at)))

    async def _perform(self, rule: Rule, request: TaskRequest) -> TaskResult:
        key = self._keys.find(rule, request)
        if key is None:
            return await self.inner.perform(request)
        store, counts = self.store, self.counts[rule.model]
        if not request.options.no_cache and (entry := await store.find(rule.model, key)) is not None:
            counts.found["hit"] += 1
            return TaskResult(entry.data, entry.usage, rule.model, ENDPOINT, self._kept(entry, "hit"))
        counts.found["miss"] += 1
        result = await self.inner.perform(request)
        if (ttl_s := _ttl_s(rule, request)) > 0 and self._is_from(rule, result):
            usage = result.usage or Usage(prompt_tokens=request.prompt_bytes() // BYTES_PER_TOKEN, estimated=True)
            _Keeping(self, store, rule, key, ttl_s, None).keep("whole", result.data, b"", usage)
        return msgspec.structs.replace(result, kept=MISS)

    def now(self) -> float:
        """Unix seconds."""
        return self._wall()


class _Keeping(msgspec.Struct, frozen=True):
    """Where and how an answer is to be kept when it has been said to its end."""

    cached: Cached
    store: Store
    rule: Rule
    key: bytes
    ttl_s: float
    place: Place | None

    def keep(self, form: Literal["whole", "stream"], data: bytes, usage_event: bytes, usage: Usage) -> None:
        if len(data) > self.rule.most_bytes:
            return
        now = self.cached.now()
        usage = msgspec.structs.replace(usage, kept=True)
        entry = Entry(
            model=self.rule.model,
            form=form,
            data=data,
            usage=usage,
            at=now,
            until=now + self.ttl_s,
            usage_event=usage_event,
        )
        self.store.keep(self.key, entry)
        self.cached.counts[self.rule.model].kept += 1
        if self.place is not None:
            self.cached.semantics.note(self.place, self.key)


class GivenAgain(WholeAnswer):
    """An answer that we had."""

    __slots__ = ("kept",)

    def __init__(self, chunk: Chunk, model: str, kept: Kept) -> None:
        super().__init__(chunk.data, chunk.usage, model=model, endpoint=ENDPOINT)
        self.kept = kept


class KeptAnswer:
    """A model's answer that was looked for in vain, and is not to be kept."""

    __slots__ = ("endpoint", "inner", "kept", "model")

    def __init__(self, inner: Answer) -> None:
        self.inner = inner
        self.kept = MISS
        self.model = inner.model
        self.endpoint = inner.endpoint

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Chunk:
        return await self.inner.__anext__()

    def pour(self, take: Take) -> Awaitable[bool]:
        return pour(self.inner, take)

    async def aclose(self) -> None:
        await self.inner.aclose()


class RecordedAnswer(KeptAnswer):
    """A model's answer that is kept when it has been said to its end. One that grows too large is not.

    Without `keeping` it is only given as it was asked for.
    """

    __slots__ = ("_keeping", "_pieces", "_request", "_room", "_usage")

    def __init__(self, inner: Answer, request: ChatRequest, keeping: _Keeping | None) -> None:
        super().__init__(inner)
        self._request = request
        self._keeping = keeping
        self._pieces: list[bytes] | None = None if keeping is None else []
        self._room = 0 if keeping is None else keeping.rule.most_bytes
        self._usage: Usage | None = None

    async def __anext__(self) -> Chunk:
        return self._see(await self.inner.__anext__())

    def pour(self, take: Take) -> Awaitable[bool]:
        return pour(self.inner, lambda chunk: take(self._see(chunk)))

    def _see(self, chunk: Chunk) -> Chunk:
        """Record the chunk, and give it as it was asked for."""
        if self._pieces is not None:
            self._record(chunk)
        if chunk.usage is not None and self._request.stream and not self._request.wants_usage:
            return Chunk(without_usage(chunk.data), chunk.events, chunk.usage, chunk.last)
        return chunk

    def _record(self, chunk: Chunk) -> None:
        assert self._pieces is not None
        self._room -= len(chunk.data)
        if self._room < 0:
            self._pieces = None
            return
        self._pieces.append(chunk.data)
        self._usage = chunk.usage or self._usage
        if chunk.last:
            data, self._pieces = b"".join(self._pieces), None
            assert self._keeping is not None
            self._keep(data, self._keeping)

    def _keep(self, data: bytes, keeping: _Keeping) -> None:
        request = self._request
        usage = self._usage or _estimate(request, len(data))
        if not request.stream:
            if is_finished(data, request):
                keeping.keep("whole", data, b"", usage)
        elif (read := read_stream(data, request)) is not None:
            keeping.keep("stream", *read, usage)


def _ttl_s(rule: Rule, request: ChatRequest | TaskRequest) -> float:
    """How long the answer may be kept: as declared, or as the caller says if that is shorter; 0 for not at all."""
    options = request.options
    if options.no_store:
        return 0.0
    return rule.ttl_s if options.ttl_s is None else min(rule.ttl_s, options.ttl_s)


def _estimate(request: ChatRequest, answer_bytes: int) -> Usage:
    """What an answer used whose engine has not told."""
    prompt_tokens = request.prompt_bytes() // BYTES_PER_TOKEN
    return Usage(prompt_tokens=prompt_tokens, completion_tokens=answer_bytes // BYTES_PER_TOKEN, estimated=True)
