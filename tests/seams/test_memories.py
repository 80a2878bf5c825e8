"""One text for all places of memories: what is remembered is found by its meaning, by its owner alone."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec
import pytest

from hanok.agents.memory import nearness
from hanok.agents.memory.nearness import cosines, unit
from hanok.agents.memory.remembering import Remembering
from hanok.agents.memory.values import LONGEST_CHARS, Memory, Owner, Vector, owner_of, user_of
from hanok.agents.stores.opening import open_memories
from hanok.agents.stores.redis.memories import RedisMemories
from hanok.agents.tool import Tool, ToolCall, ToolResult
from hanok.agents.tools.memory import LongTermMemory
from hanok.agents.values import Bounds, Run
from hanok.errors import EngineUnreachable, RequestError, StoreError, Unknown
from hanok.spec import Agent, Platform
from hanok.wire import Caller, ModelPath, TaskRequest, TaskResult, json_bytes
from tests.postgres import Postgres
from tests.seams.conftest import fresh_url, raw_redis

T = TypeVar("T")
SUBJECTS = ("tea", "coffee", "train", "plane")


class Embedder:
    """Makes vectors of how often words are in a text: each model's have another length. Remembers what it was asked."""

    def __init__(self) -> None:
        self.dimensions = {"small": 5, "large": 6}
        self.asked: list[tuple[str, str | None, list[str]]] = []
        self.broken = False

    async def perform(self, request: TaskRequest) -> TaskResult:
        if self.broken:
            raise EngineUnreachable("the engine is away")
        texts: list[str] = msgspec.json.decode(bytes(request.fields["input"]))
        self.asked.append((request.model, request.caller.run, texts))
        data = [{"index": each, "embedding": self._vector(request.model, text)} for each, text in enumerate(texts)]
        return TaskResult(json_bytes({"data": data}), None, model=request.model, endpoint=f"{request.model}#1")

    def _vector(self, model: str, text: str) -> list[float]:
        found = [float(text.lower().count(subject)) for subject in SUBJECTS]
        return [*found, *([0.1] * (self.dimensions[model] - len(found)))]


class Bench:
    """Memories with a clock that is set by hand."""

    def __init__(self, remembering: Remembering, embedder: Embedder, runner: asyncio.Runner) -> None:
        self.remembering = remembering
        self.embedder = embedder
        self.now = 1000.0
        self._runner = runner

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(work)

    def remember(self, text: str, owner: Owner | None = None, **more: Any) -> Memory:
        given = {"model": "small", "caller": ANN, **more}
        return self.run(self.remembering.remember(owner or OURS, text, **given))

    def recall(self, query: str, owner: Owner | None = None, *, k: int = 10, model: str = "small") -> list[str]:
        return [each.text for each in self.found(query, owner, k=k, model=model)]

    def found(self, query: str, owner: Owner | None = None, *, k: int = 10, model: str = "small") -> list[Memory]:
        return self.run(self.remembering.recall(owner or OURS, query, k=k, model=model, caller=ANN))

    def all(self, owner: Owner | None = None, **part: Any) -> list[str]:
        return [each.text for each in self.run(self.remembering.memories(owner or OURS, **part))]


ANN = Caller(key_id="k1", key_name="k", team="ours", user="ann")
OURS = owner_of(ANN, "helper", "user")


@pytest.fixture(scope="module", params=["sqlite", "postgres", "redis"])
def url(request: pytest.FixtureRequest) -> str | None:
    return None if request.param == "sqlite" else fresh_url(request, request.param)


@pytest.fixture
def bench(url: str | None, tmp_path: Path) -> Iterator[Bench]:
    with ExitStack() as stack:
        memories = open_memories(tmp_path, url)
        stack.callback(memories.close)
        runner = stack.enter_context(asyncio.Runner())
        embedder = Embedder()
        made: list[Bench] = []
        remembering = Remembering(memories, cast("ModelPath", embedder), clock=lambda: made[0].now)
        made.append(Bench(remembering, embedder, runner))
        made[0].run(remembering.prune())
        for owner in (OURS, *(owner_of(caller, agent, "user") for caller in OTHERS for agent in ("helper", "other"))):
            made[0].run(remembering.forget_all(owner))
        yield made[0]


OTHERS = (
    msgspec.structs.replace(ANN, user="bob"),
    msgspec.structs.replace(ANN, user=None),
    msgspec.structs.replace(ANN, user=None, key_id="k2"),
    msgspec.structs.replace(ANN, user="key:k1"),
    msgspec.structs.replace(ANN, team="theirs"),
    ANN,
)


def test_what_was_told_is_found_by_what_it_means(bench: Bench) -> None:
    bench.remember("Ann drinks tea, and tea alone", tags=["taste", "taste", ""])
    bench.remember("Ann goes by train")
    bench.remember("Tea in the train, then coffee")
    assert bench.recall("which tea?") == [
        "Ann drinks tea, and tea alone",
        "Tea in the train, then coffee",
        "Ann goes by train",
    ]
    best, *_ = bench.found("which tea?", k=1)
    assert (best.tags, best.created_at, best.expires_at) == (("taste",), 1000.0, None)
    assert best.score == pytest.approx(1.0, abs=0.01)
    assert bench.recall("plane") == bench.recall("plane"), "in an order that stays"
    assert bench.recall("tea", k=0) == bench.recall("  ") == []


def test_nothing_is_asked_of_a_model_where_nothing_is_remembered(bench: Bench) -> None:
    assert bench.recall("tea") == []
    assert bench.embedder.asked == []


def test_an_owners_memories_are_his_alone(bench: Bench) -> None:
    memory = bench.remember("Ann drinks tea")
    strangers = [owner_of(caller, "helper", "user") for caller in OTHERS if caller is not ANN]
    strangers += [owner_of(ANN, "other", "user"), owner_of(ANN, "helper", "agent")]
    assert len({OURS, *strangers}) == len(strangers) + 1
    for stranger in strangers:
        assert bench.recall("tea", stranger) == bench.all(stranger) == []
        assert bench.run(bench.remembering.memory(stranger, memory.id)) is None
        assert bench.run(bench.remembering.export(stranger)) == []
        assert not bench.run(bench.remembering.forget(stranger, memory.id))
        assert bench.run(bench.remembering.forget_all(stranger)) == 0
        assert bench.remember("Ann drinks tea", stranger).id != memory.id, "nor can it be guessed from its text"
    assert bench.recall("tea") == ["Ann drinks tea"]


def test_an_agents_own_memory_is_all_of_a_tenants(bench: Bench) -> None:
    bob = msgspec.structs.replace(ANN, user="bob", key_id="k9")
    assert owner_of(ANN, "helper", "agent") == owner_of(bob, "helper", "agent")
    theirs = msgspec.structs.replace(ANN, team="theirs")
    assert owner_of(ANN, "helper", "agent") != owner_of(theirs, "helper", "agent")


def test_what_has_expired_is_not_there(bench: Bench) -> None:
    memory = bench.remember("tea for now", ttl_s=10.0)
    bench.remember("tea for ever")
    assert memory.expires_at == 1010.0
    bench.now = 1009.9
    assert len(bench.recall("tea")) == 2
    bench.now = 1010.0
    assert bench.recall("tea") == bench.all() == ["tea for ever"]
    assert bench.run(bench.remembering.memory(OURS, memory.id)) is None
    assert [each["text"] for each in bench.run(bench.remembering.export(OURS))] == ["tea for ever"]
    assert bench.run(bench.remembering.prune()) == 1
    assert bench.run(bench.remembering.prune()) == 0


def test_the_same_text_again_is_one_memory_that_lives_on(bench: Bench) -> None:
    first = bench.remember("tea", ttl_s=10.0, tags=["old"])
    bench.now = 1005.0
    again = bench.remember(" tea ", ttl_s=10.0, tags=["new"])
    assert again.id == first.id
    bench.now = 1012.0
    (found,) = bench.found("tea")
    assert (found.tags, found.expires_at) == (("new",), 1015.0)


def test_of_more_than_its_limit_the_oldest_go(bench: Bench) -> None:
    bench.remember("tea of another", owner_of(OTHERS[0], "helper", "user"))
    for number in range(5):
        bench.now += 1
        bench.remember(f"tea {number}", limit=3)
    assert bench.all() == ["tea 4", "tea 3", "tea 2"]
    assert bench.all(limit=1, offset=1) == ["tea 3"]
    assert bench.all(owner_of(OTHERS[0], "helper", "user")) == ["tea of another"]


def test_memories_are_exported_and_forgotten(bench: Bench) -> None:
    memory = bench.remember("tea", tags=["a"])
    bench.remember("coffee")
    bench.remember("tea", owner_of(ANN, "other", "user"))
    exported = bench.run(bench.remembering.export(OURS))
    assert {"id": memory.id, "text": "tea", "tags": ["a"], "created_at": 1000.0} in exported
    assert len(exported) == 2
    assert bench.run(bench.remembering.forget(OURS, memory.id))
    assert not bench.run(bench.remembering.forget(OURS, memory.id))
    assert bench.all() == ["coffee"]
    assert bench.run(bench.remembering.forget_user("theirs", user_of("ann", "k1"))) == 0
    assert bench.run(bench.remembering.forget_user("ours", user_of("ann", "k1"))) == 2
    assert bench.all() == bench.all(owner_of(ANN, "other", "user")) == []


def test_vectors_of_another_model_are_made_anew_a_few_at_a_time(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hanok.agents.memory.remembering.RENEWED_AT_ONCE", 2)
    for text in ("tea one", "tea two", "tea three"):
        bench.now += 1
        bench.remember(text)
    bench.embedder.asked.clear()
    assert (
        bench.recall("tea", model="large") == ["tea two", "tea three"] or len(bench.recall("tea", model="large")) == 3
    )
    assert bench.embedder.asked[1][2] == ["tea three", "tea two"], "the latest first"
    assert len(bench.recall("tea", model="large")) == 3
    bench.embedder.asked.clear()
    assert len(bench.recall("tea", model="large")) == 3
    assert [texts for _, _, texts in bench.embedder.asked] == [["tea"]], "the others are there now"
    bench.embedder.dimensions["large"] = 7
    assert len(bench.recall("tea", model="large")) == 2, "the model has another length now"


def test_texts_are_kept_as_databases_take_them(bench: Bench) -> None:
    memory = bench.remember("tea \0 \ud800 'x' % ? \"한옥\"", tags=["\0a", "%s"])
    assert (memory.text, memory.tags) == ("tea  ? 'x' % ? \"한옥\"", ("a", "%s"))
    assert bench.all() == [memory.text]
    assert len(bench.remember("tea" * LONGEST_CHARS).text) == LONGEST_CHARS
    for nothing in ("", " \0 "):
        with pytest.raises(RequestError, match="needs a text"):
            bench.remember(nothing)


def test_the_order_is_the_same_without_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = [unit(struct.pack("<3f", *each)) for each in ((1, 0, 0), (1, 1, 0), (0, 0, 5), (-1, 0, 0))]
    query = unit(struct.pack("<3f", 2, 0, 0))
    with_numpy = cosines(query, vectors)
    monkeypatch.setattr(nearness, "numpy", None)
    assert cosines(query, vectors) == pytest.approx(with_numpy, abs=1e-6)
    assert with_numpy == pytest.approx([1.0, 0.7071, 0.0, -1.0], abs=1e-4)
    assert unit(struct.pack("<2f", 0, 0)) == unit(struct.pack("<2f", float("nan"), 1)) == bytes(8)
    assert cosines(query, []) == []


def test_memories_of_a_newer_release_are_left_alone(tmp_path: Path, postgres: Postgres) -> None:
    fresh = postgres.fresh()
    with closing(open_memories(tmp_path, fresh)) as memories:
        memories.prune(now=0.0)
    postgres.run(fresh, "UPDATE hanok_agents.marks SET number = 99 WHERE name = 'memories'")
    with pytest.raises(StoreError, match="newer Hanok"):
        open_memories(tmp_path, fresh).prune(now=0.0)


def test_nothing_of_a_user_is_left_in_redis_when_he_is_forgotten(request: pytest.FixtureRequest) -> None:
    url = fresh_url(request, "redis")
    with closing(RedisMemories(url)) as memories:
        vector = Vector(model="m", data=bytes(8))
        for id_, expires_at in (("one", 5.0), ("two", None)):
            memories.add(OURS, Memory(id=id_, text="tea", created_at=1.0, expires_at=expires_at), vector, limit=5)
        assert memories.remove_user("ours", OURS.user) == 2
        assert memories.prune(now=9.0) == 0, "it led to nothing"
        memories.add(OURS, Memory(id="three", text="tea", expires_at=5.0), vector, limit=5)
        assert memories.prune(now=9.0) == 1
    with raw_redis(url) as server:
        assert server.keys() == [b"hanok:{}:agents:memories-version"]


def test_many_are_read_a_few_at_a_time(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hanok.agents.stores.redis.memories.LOOKED_AT_ONCE", 3)
    with closing(RedisMemories(fresh_url(request, "redis"))) as memories:
        for number in range(7):
            memory = Memory(id=f"m{number}", text="tea", created_at=float(number))
            memories.add(OURS, memory, Vector(model="m", data=bytes([number] * 4)), limit=9)
        found = dict(memories.vectors(OURS, now=0.0))
        assert {id_: vector.data[0] for id_, vector in found.items()} == {f"m{number}": number for number in range(7)}


# as tools of an agent

EMBEDDING = {"type": "embedding", "serve": {"engine": "sentence-encoder"}}
Declare = Callable[..., tuple[LongTermMemory, Agent]]


@pytest.fixture
def declare(bench: Bench) -> Declare:
    def make(*models: str, **long_term: Any) -> tuple[LongTermMemory, Agent]:
        agent = {"name": "helper", "memory": {"long_term": long_term}}
        declared = [{"name": name, **EMBEDDING} for name in models or ("small", "large")]
        platform = Platform.model_validate({"name": "p", "models": declared, "agents": [agent]})
        return LongTermMemory(bench.remembering, lambda: platform), platform.agents[0]

    return make


def use(bench: Bench, tools: tuple[Tool, ...], name: str, caller: Caller = ANN, **arguments: Any) -> ToolResult:
    (tool,) = (each for each in tools if each.spec.name == name)
    call = ToolCall(
        id="c", name=name, arguments=arguments, caller=caller, run="r", thread="t", step=1, idempotency_key="i"
    )
    return bench.run(tool.use(call))


def test_an_agent_remembers_recalls_and_forgets(bench: Bench, declare: Declare) -> None:
    memory, agent = declare(ttl_s=60, limit=2, k=1)
    tools = memory.tools(agent)
    assert [tool.spec.name for tool in tools] == ["remember", "recall", "forget"]
    assert all(tool.spec.safe for tool in tools)
    told = use(bench, tools, "remember", text="Ann drinks\ntea", tags=["taste"])
    (kept,) = dict(told.data or {})["memories"]
    assert (kept["text"], kept["expires_at"], told.failed) == ("Ann drinks\ntea", 1060.0, False)
    bench.now += 1
    use(bench, tools, "remember", text="Ann goes by train")
    found = use(bench, tools, "recall", query="tea")
    assert found.content == f"- [{kept['id']}] Ann drinks tea (1970-01-01, taste)"
    assert len(use(bench, tools, "recall", query="tea", k=9).content.splitlines()) == 2
    bob = msgspec.structs.replace(ANN, user="bob")
    assert use(bench, tools, "recall", caller=bob, query="tea").content == "Nothing is remembered of this."
    assert use(bench, tools, "forget", caller=bob, id=kept["id"]).failed
    assert not use(bench, tools, "forget", id=kept["id"]).failed
    assert use(bench, tools, "forget", id=kept["id"]).failed
    assert use(bench, tools, "remember", text=" ").failed


def test_an_agent_is_told_what_it_remembers_at_the_start(bench: Bench, declare: Declare) -> None:
    memory, agent = declare(k=1, embed="large")
    use(bench, memory.tools(agent), "remember", text="Ann drinks tea")
    bench.embedder.asked.clear()
    bounds = Bounds(steps=1, tool_calls=1, iterations=1, retries=1, wall_time_s=1.0, depth=1)
    messages = ({"role": "user", "content": [{"type": "text", "text": "Tea?"}]}, {"role": "assistant", "content": "x"})
    run = Run(
        id="r", path="root/r", agent="helper", thread="t", caller=ANN, state="running", input=messages, bounds=bounds
    )
    told = bench.run(memory.recalled(agent, run))
    assert told.startswith("What you remember")
    assert "Ann drinks tea" in told
    assert bench.embedder.asked == [("large", "root/r", ["Tea?"])], "charged to the run"
    bench.embedder.broken = True
    assert bench.run(memory.recalled(agent, run)) == "", "the run goes on without"


def test_agents_without_a_long_memory_or_a_model_for_it_are_told_so(bench: Bench, declare: Declare) -> None:
    memory, agent = declare("large")
    forgetful = Agent.model_validate({"name": "helper"})
    assert memory.tools(forgetful) == ()
    unserved = Agent.model_validate({"name": "helper", "memory": {"long_term": {"embed": "none"}}})
    with pytest.raises(Unknown, match="needs a model that makes vectors"):
        memory.tools(unserved)
    assert len(memory.tools(agent)) == 3
