"""What is kept of a model's prompts while calls pass: nothing but what its endpoints should have."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Sequence
from typing import Self

import pytest

from hanok.errors import EngineBroken
from hanok.gateway.prefixes import Prefixes
from hanok.gateway.trials import FollowedAnswer, Trial
from hanok.routing import features_of
from hanok.routing.router import Ticket
from hanok.serving import Endpoint
from hanok.serving.fleet import Load
from hanok.spec import Routing
from hanok.wire import Answer, ChatRequest, Chunk, Usage, pour

TEXT = "once upon a time " * 1000


class Clock:
    def __init__(self) -> None:
        self.now = 1.0

    def __call__(self) -> float:
        return self.now


def endpoints(count: int) -> list[Endpoint]:
    engine: object = None
    return [Endpoint(f"m#{number}", "m", "echo", engine, state="up") for number in range(1, count + 1)]  # type: ignore[arg-type]


def ask(text: str = TEXT, *, stream: bool = True, **more: object) -> ChatRequest:
    return ChatRequest.ask("m", [{"role": "user", "content": text}], stream=stream, **more)


class Model:
    """A model's prompts and two endpoints."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.prefixes = Prefixes("m", routing=Routing(policy="prefix"), monotonic=self.clock)
        self.room = endpoints(2)

    def try_(self, request: ChatRequest, endpoint: Endpoint | None = None) -> tuple[Endpoint, Trial]:
        features = features_of(request, (), self.prefixes.prompt(request))
        chosen = endpoint or self.prefixes.choose(self.room, features, 1)
        return chosen, Trial(chosen, features, self.prefixes, self.clock)

    def new_tokens(self, endpoint: Endpoint) -> float:
        """How much of the prompt the endpoint would compute."""
        trial = self.try_(ask(), endpoint)[1]
        found = trial.new_tokens
        trial.over(None)
        assert found is not None
        return found

    def wait_s(self, endpoint: Endpoint) -> float:
        return self.prefixes.wait_s(endpoint)


class Said:
    """An answer of these chunks, which breaks off if told so."""

    model = "m"
    endpoint = "m#1"

    def __init__(self, chunks: Sequence[Chunk], *, breaks: bool = False) -> None:
        self._chunks = list(chunks)
        self._breaks = breaks

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Chunk:
        if self._chunks:
            return self._chunks.pop(0)
        if self._breaks:
            raise EngineBroken("m#1 broke off")
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self._chunks = []


class Heard:
    """What the core is told of one call."""

    def __init__(self, prefixes: Prefixes, monkeypatch: pytest.MonkeyPatch) -> None:
        self.said: list[object] = []
        tell_first, tell_done = prefixes.first_token, prefixes.done

        def first_token(ticket: Ticket, now: float) -> None:
            self.said.append("first")
            tell_first(ticket, now)

        def done(ticket: Ticket, usage: Usage | None) -> None:
            self.said.append(usage)
            tell_done(ticket, usage)

        monkeypatch.setattr(prefixes, "first_token", first_token)
        monkeypatch.setattr(prefixes, "done", done)


USED = Usage(prompt_tokens=4000, completion_tokens=2)
STREAM = [Chunk(b"a", 1), Chunk(b"b", 1), Chunk(b"", 0, USED), Chunk(b"end", 0, None, True)]


@pytest.mark.parametrize("how", ["iterated", "poured", "with breaks"])
@pytest.mark.parametrize("end", ["over", "broken", "left"])
def test_however_an_answer_is_taken_and_ends_its_trial_hears_one_beginning_and_one_end(
    monkeypatch: pytest.MonkeyPatch, how: str, end: str
) -> None:
    model = Model()
    heard = Heard(model.prefixes, monkeypatch)
    place, trial = model.try_(ask())
    trial.answered()
    answer = FollowedAnswer(Said(STREAM[:2] if end == "broken" else STREAM, breaks=end == "broken"), trial)
    taken = asyncio.run(take_all(answer, how=how, most=2 if end == "left" else 9))
    assert taken == (STREAM if end == "over" else STREAM[:2])
    assert heard.said == ["first", USED if end == "over" else None]
    assert model.wait_s(place) == 0.0


async def take_all(answer: Answer, *, how: str, most: int) -> list[Chunk]:
    """The chunks that came, `most` at most, until the answer is over or breaks."""
    chunks: list[Chunk] = []

    def take(chunk: Chunk) -> bool:
        chunks.append(chunk)
        return how == "poured" and len(chunks) < most

    try:
        if how == "iterated":
            async for chunk in answer:
                if not take(chunk) and len(chunks) == most:
                    break
        else:
            while not await pour(answer, take) and len(chunks) < most:
                assert not chunks[-1].last
    except EngineBroken:
        pass
    finally:
        await answer.aclose()
        await answer.aclose()
    return chunks


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("end", ["over", "failed", "refused", "cancelled"])
def test_however_a_call_ends_nothing_waits_any_longer(stream: bool, end: str) -> None:
    model = Model()
    place, trial = model.try_(ask(stream=stream))
    assert model.wait_s(place) > 0.0
    if end == "over":
        trial.answered()
        trial.over(Usage(prompt_tokens=4000, completion_tokens=3))
    elif end == "cancelled":
        trial.over(None)
    else:
        trial.failed(is_slow=end == "failed")
    trial.over(None)
    assert model.wait_s(place) == 0.0


def test_what_was_sent_is_found_again_and_a_new_life_is_an_empty_one() -> None:
    model = Model()
    place, trial = model.try_(ask())
    trial.answered()
    trial.over(Usage(prompt_tokens=4000))
    assert model.new_tokens(place) < 500
    place.lives += 1
    assert model.new_tokens(place) > 3000


def test_the_first_token_of_an_unstreamed_answer_is_taken_to_come_when_it_was_expected() -> None:
    model = Model()
    place, _ = model.try_(ask(stream=False))
    waited = model.wait_s(place)
    model.clock.now += waited + 0.001
    model.try_(ask("another story " * 1000), model.room[0] if place is model.room[1] else model.room[1])
    features = features_of(ask(), (), model.prefixes.prompt(ask()))
    model.prefixes.choose(model.room, features, 1)
    assert model.wait_s(place) == 0.0


def test_unstreamed_calls_that_are_over_leave_nothing_in_memory() -> None:
    model = Model()
    before = tickets()
    for _ in range(20):
        _, trial = model.try_(ask("short", stream=False))
        trial.answered()
        trial.over(None)
        model.clock.now += 10.0
    assert tickets() <= before + 1


def tickets() -> int:
    """How many are in memory."""
    gc.collect()
    return sum(isinstance(each, Ticket) for each in gc.get_objects())


def test_the_size_of_a_cache_is_as_declared_until_its_engine_tells() -> None:
    model = Model()
    place = model.room[0]
    place.load = Load(at=1.0, cache_tokens=0)
    _, trial = model.try_(ask(), place)
    trial.over(None)
    assert model.new_tokens(place) > 3000, "no room, nothing kept"
    place.load = Load(at=2.0)
    model.try_(ask(), place)[1].over(None)
    assert model.new_tokens(place) < 500


def test_endpoints_that_are_gone_are_forgotten() -> None:
    model = Model()
    place, trial = model.try_(ask())
    model.prefixes.keep([])
    trial.over(None)
    assert model.new_tokens(place) > 3000


def test_a_prompt_is_its_tools_and_messages_by_salt_and_a_picture_counts_as_one() -> None:
    read = Model().prefixes.prompt
    tools = [{"type": "function", "function": {"name": "f", "description": "x" * 3000}}]
    assert read(ask(tools=tools)).blocks != read(ask()).blocks
    assert read(ask(temperature=0.5)).blocks == read(ask()).blocks
    assert not set(read(ask(cache_salt="a")).blocks) & set(read(ask()).blocks)
    url = "data:image/png;base64," + "A" * 200_000
    picture = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]
    assert read(ChatRequest.ask("m", picture)).size < 10_000
