"""One text for every `ChatModel`: the engines, and the layers round them."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from hanok.gateway import Route, Routed
from hanok.ledger import Admission, Metered, Offer, Policies, PriceList, Total
from hanok.serving.client import Pool
from hanok.serving.engine import Engine
from hanok.serving.engines.echo import EchoEngine
from hanok.serving.engines.openai import OpenAIEngine
from hanok.serving.engines.script import ScriptEngine
from hanok.serving.fleet import Endpoint, Fleet
from hanok.spec import EchoEndpoint, LiteLLMEndpoint, Routing, ScriptEndpoint, Timeouts, Turn
from hanok.wire import Charge, ChatModel, ChatRequest, Chunk, pour
from hanok.wire.forms import read_stream_text, read_whole_text
from tests.engine import DONE, USAGE_EVENT, Asked, delta, fake_engine, stream, whole

TEXT = "one two three"


def echo() -> Engine:
    return EchoEngine(EchoEndpoint(engine="echo"), model="m", endpoint="m#1")


class _Books:
    def __init__(self) -> None:
        self.charges: list[Charge] = []

    def next_id(self) -> int:
        return len(self.charges) + 1

    def record(self, charge: Charge) -> None:
        self.charges.append(charge)

    def open_tab(self, charge: Charge, nano_usd_a_token: float) -> int:
        return -1

    def note_tab(self, tab: int, tokens: int) -> None: ...
    def close_tab(self, tab: int) -> None: ...


class _NothingSpent:
    def total(self, kind: str, subject: str, *, since: float, tenant: str | None = None) -> Total:
        return Total()


def free_admission(*models: str) -> Admission:
    offers = {model: Offer(max_output_tokens=100) for model in models}
    return Admission(Policies(), prices=PriceList({}), offers=offers, totals=_NothingSpent(), wall=time.time)


@contextlib.contextmanager
def an_echo() -> Iterator[ChatModel]:
    yield echo()


@contextlib.contextmanager
def a_script() -> Iterator[ChatModel]:
    yield ScriptEngine(ScriptEndpoint(engine="script", turns=[Turn(say=TEXT)]), model="m", endpoint="m#1")


async def _both(asked: Asked, writer: asyncio.StreamWriter) -> None:
    events = [delta(" " + word if at else word) for at, word in enumerate(TEXT.split())]
    answer = stream(*events, USAGE_EVENT, DONE) if asked.json.get("stream") else whole(TEXT)
    await answer(asked, writer)


@contextlib.contextmanager
def an_openai_url() -> Iterator[ChatModel]:
    with fake_engine(_both) as engine:
        yield OpenAIEngine(Pool(engine.url, timeouts=Timeouts()), model="m", endpoint="m#1", served_name="fake")


@contextlib.contextmanager
def litellms_library() -> Iterator[ChatModel]:
    from hanok.serving.engines.litellm import LiteLLMEngine

    with fake_engine(_both) as engine:
        spec = LiteLLMEndpoint(engine="litellm", model="openai/fake", url=engine.url, key="sk-x")
        made = LiteLLMEngine(spec, model="m", endpoint="m#1", timeouts=Timeouts())
        asyncio.run(made.check())
        yield made


@contextlib.contextmanager
def the_layers() -> Iterator[ChatModel]:
    fleet = Fleet([Endpoint(name="m#1", model="m", kind="echo", engine=echo(), state="up")])
    routed = Routed(fleet, {"m": Route(type="chat", retries=0)})
    yield Metered(routed, books=_Books(), admission=free_admission("m"), wall=time.time, monotonic=time.monotonic)


@contextlib.contextmanager
def the_layers_that_follow_prompts() -> Iterator[ChatModel]:
    """Answers whose ends are told to a trial, poured and iterated as all others."""
    fleet = Fleet([Endpoint(name="m#1", model="m", kind="echo", engine=echo(), state="up")])
    routed = Routed(fleet, {"m": Route(type="chat", retries=0, routing=Routing(policy="prefix"), by_features=True)})
    yield Metered(routed, books=_Books(), admission=free_admission("m"), wall=time.time, monotonic=time.monotonic)


NO_LITELLM = pytest.mark.skipif(
    importlib.util.find_spec("litellm") is None, reason='LiteLLM is not installed: pip install "hanok[providers]"'
)
NOT_OUR_WARNINGS = pytest.mark.filterwarnings("ignore")  # LiteLLM's own, which would count as errors here
MODELS = [
    an_echo,
    a_script,
    an_openai_url,
    the_layers,
    the_layers_that_follow_prompts,
    pytest.param(litellms_library, marks=[NO_LITELLM, NOT_OUR_WARNINGS]),
]
Make = Callable[[], contextlib.AbstractContextManager[ChatModel]]
ASK: list[dict[str, Any]] = [{"role": "system", "content": "short"}, {"role": "user", "content": TEXT}]


async def collect(model: ChatModel, request: ChatRequest) -> list[Chunk]:
    answer = await model.open(request)
    try:
        assert (answer.model, answer.endpoint) == ("m", "m#1")
        return [chunk async for chunk in answer]
    finally:
        await answer.aclose()
        await answer.aclose()  # twice does no harm
        await close(model)


async def close(model: Any) -> None:
    """Engines are closed in the event loop they were used in."""
    if hasattr(model, "aclose"):
        await model.aclose()


@pytest.mark.parametrize("make", MODELS)
def test_a_whole_answer_is_one_chunk_with_its_usage(make: Make) -> None:
    with make() as model:
        (chunk,) = asyncio.run(collect(model, ChatRequest.ask("m", ASK)))
    assert read_whole_text(chunk.data) == TEXT
    assert chunk.last
    assert chunk.usage is not None
    assert chunk.usage.completion_tokens == 3
    body = json.loads(chunk.data)
    assert body["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("make", MODELS)
@pytest.mark.parametrize("wants_usage", [True, False])
def test_a_stream_says_the_same_in_whole_events_and_ends_with_done(make: Make, wants_usage: bool) -> None:
    request = msgspec.structs.replace(ChatRequest.ask("m", ASK, stream=True), wants_usage=wants_usage)
    with make() as model:
        chunks = asyncio.run(collect(model, request))
    data = b"".join(chunk.data for chunk in chunks)
    assert "".join(read_stream_text(data)) == TEXT
    assert data.endswith(b"data: [DONE]\n\n")
    assert all(chunk.data.endswith(b"\n\n") for chunk in chunks if chunk.data)
    assert [chunk.last for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert (b'"usage"' in data) == wants_usage
    usages = [chunk.usage for chunk in chunks if chunk.usage]
    assert [usage.completion_tokens for usage in usages] == [3], "usage is known even where it is not passed on"


async def collect_poured(model: ChatModel, request: ChatRequest, *, breaks: bool) -> list[Chunk]:
    """As `collect`, poured; with `breaks`, one chunk at a time."""
    answer = await model.open(request)
    chunks: list[Chunk] = []

    def take(chunk: Chunk) -> bool:
        chunks.append(chunk)
        return not breaks

    try:
        while not await pour(answer, take):
            assert breaks
        return chunks
    finally:
        await answer.aclose()
        await close(model)


@pytest.mark.parametrize("make", MODELS)
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("breaks", [True, False])
def test_an_answer_poured_is_the_same_as_one_iterated(make: Make, stream: bool, breaks: bool) -> None:
    request = ChatRequest.ask("m", ASK, stream=stream)
    with make() as model:
        chunks = asyncio.run(collect_poured(model, request, breaks=breaks))
    data = b"".join(chunk.data for chunk in chunks)
    assert ("".join(read_stream_text(data)) if stream else read_whole_text(data)) == TEXT
    assert [chunk.last for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert [chunk.usage.completion_tokens for chunk in chunks if chunk.usage] == [3]


@pytest.mark.parametrize("make", MODELS)
def test_an_answer_may_be_closed_before_its_end(make: Make) -> None:
    async def begin(model: ChatModel) -> None:
        answer = await model.open(ChatRequest.ask("m", ASK, stream=True))
        await answer.__anext__()
        await answer.aclose()
        await close(model)

    with make() as model:
        asyncio.run(begin(model))


@pytest.mark.parametrize("make", [an_echo, a_script, the_layers])
def test_max_tokens_cuts_and_says_so(make: Make) -> None:
    with make() as model:
        (chunk,) = asyncio.run(collect(model, ChatRequest.ask("m", ASK, max_tokens=2)))
    body = json.loads(chunk.data)
    assert body["choices"][0]["message"]["content"] == "one two"
    assert body["choices"][0]["finish_reason"] == "length"


def test_a_script_answers_by_what_was_said_then_in_turn() -> None:
    turns = [Turn(say="first"), Turn(say="weather is fine", when="weather"), Turn(say="second")]
    engine = ScriptEngine(ScriptEndpoint(engine="script", turns=turns), model="m", endpoint="m#1")

    def ask(text: str) -> str:
        (chunk,) = asyncio.run(collect(engine, ChatRequest.ask("m", [{"role": "user", "content": text}])))
        return read_whole_text(chunk.data)

    assert [ask("a"), ask("the weather?"), ask("b"), ask("c")] == ["first", "weather is fine", "second", "first"]
