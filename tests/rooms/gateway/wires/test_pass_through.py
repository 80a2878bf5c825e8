"""Chat calls as they are: what OpenAI's SDK sends reaches the engine, and what the engine says reaches the SDK."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from tests.calls import call
from tests.conftest import RunningHouse
from tests.engine import DONE, FakeEngine, fake_engine, stream
from tests.rooms.gateway.wires.chat_answers import FULL_USAGE, call_of, message, piece, tool_call, usage_event

Start = Callable[..., RunningHouse]
TOOL: Any = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}, "strict": True}}
PARTS: Any = [
    {"type": "text", "text": "naïve 漢字 🎉 \u2028", "cache_control": {"type": "ephemeral"}},
    {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"}},
    {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
    {"type": "file", "file": {"file_data": "data:application/pdf;base64,AA", "filename": "a.pdf"}},
]
MESSAGES: Any = [
    {"role": "developer", "content": "Be brief.", "name": "boss"},
    {"role": "user", "content": PARTS},
    {
        "role": "assistant",
        "content": None,
        "reasoning_content": "Hm.",
        "tool_calls": [tool_call("a", "f", '{"x": 1.50}')],
    },
    {"role": "tool", "tool_call_id": "a", "content": [{"type": "text", "text": "done"}]},
]
SETTINGS: dict[str, Any] = {
    "tools": [TOOL],
    "tool_choice": {"type": "function", "function": {"name": "f"}},
    "parallel_tool_calls": False,
    "reasoning_effort": "high",
    "logprobs": True,
    "top_logprobs": 3,
    "logit_bias": {"5": -100},
    "seed": 7,
    "stop": ["A", "B"],
    "metadata": {"a": "b"},
    "modalities": ["text", "audio"],
    "audio": {"voice": "alloy", "format": "wav"},
    "prediction": {"type": "content", "content": "x"},
    "service_tier": "auto",
}
OWN = {"chat_template_kwargs": {"enable_thinking": False}, "top_k": 5, "guided_regex": "[a-z]+"}


@contextmanager
def asking(house: Start, answer: Any) -> Iterator[tuple[openai.OpenAI, FakeEngine, RunningHouse]]:
    with fake_engine(answer) as engine:
        started = house({"name": "m", "serve": {"engine": "openai", "url": engine.url, "model": "fake"}, "retries": 0})
        with openai.OpenAI(base_url=f"{started.url}/v1", api_key=started.key, max_retries=0) as client:
            yield client, engine, started


@pytest.mark.parametrize("streams", [False, True])
def test_every_field_reaches_the_engine_as_it_was_sent(house: Start, streams: bool) -> None:
    answer = stream(piece(content="x"), piece("stop"), DONE) if streams else message(content="x")
    with asking(house, answer) as (client, engine, _):
        made = client.chat.completions.create(
            model="m", messages=MESSAGES, stream=streams, extra_body=OWN, max_completion_tokens=9, **SETTINGS
        )
        if streams:
            assert [each.choices[0].delta.content for each in made] == ["x", None]
    sent = engine.calls()[0].json
    assert sent["messages"] == MESSAGES
    for name, value in {**SETTINGS, **OWN}.items():
        assert sent[name] == value, name
    assert sent["model"] == "fake" and sent["max_completion_tokens"] == sent["max_tokens"] == 9
    expected = {*SETTINGS, *OWN, "messages", "model", "max_tokens", "max_completion_tokens", "stream"}
    assert set(sent) == expected | ({"stream_options"} if streams else set())


def test_numbers_and_texts_keep_their_spelling(house: Start) -> None:
    """Values pass as the bytes they came as: a number that no float holds, an escape that another would write out."""
    odd = b'"huge":12345678901234567890123,"tiny":1.50e-400,"text":"\\u00e9\\/"'
    body = b'{"model":"m","messages":[{"role":"user","content":"x"}],' + odd + b"}"
    with asking(house, message(content="x")) as (_, engine, started):
        assert call(f"{started.url}/v1/chat/completions", "POST", body, started.headers).status == 200
    assert odd in engine.calls()[0].body


SAID: dict[str, Any] = {
    "content": "naïve 漢字 🎉 \u2028",
    "reasoning_content": "Hm.",
    "reasoning": "Hm.",
    "refusal": None,
    "annotations": [{"type": "url_citation", "url_citation": {"url": "https://example.org"}}],
    "audio": {"id": "audio_1", "data": "AAAA", "expires_at": 1, "transcript": "x"},
    "tool_calls": [tool_call("a", "f", '{"x": 1.50}')],
    "vendors_own": {"deep": [1, {"deeper": None}]},
}
LOGPROBS = {"content": [{"token": "x", "logprob": -0.5, "bytes": [120], "top_logprobs": []}], "refusal": None}


def test_a_whole_answer_reaches_the_caller_byte_for_byte(house: Start) -> None:
    answer = message("tool_calls", FULL_USAGE, {"logprobs": LOGPROBS, "stop_reason": 7}, **SAID)
    with asking(house, answer) as (client, engine, started):
        made = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "x"}])
        body = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
        plain = call(f"{started.url}/v1/chat/completions", "POST", body, started.headers)
        direct = call(f"{engine.url}/chat/completions", "POST", body)
    assert plain.body == direct.body
    choice = made.choices[0].model_dump()
    assert choice["logprobs"]["content"] == LOGPROBS["content"] and choice["stop_reason"] == 7
    for name, value in SAID.items():
        found = choice["message"][name]
        assert json.loads(json.dumps(found)) == value or name == "annotations", name
    assert made.usage and made.usage.model_dump()["prompt_tokens_details"]["cached_tokens"] == 30


def test_a_streams_events_reach_the_caller_byte_for_byte(house: Start) -> None:
    events = [
        piece(role="assistant", content=""),
        piece(reasoning_content="Hm."),
        piece(reasoning="Hm.", vendors_own={"deep": [1]}),
        piece(choice={"logprobs": LOGPROBS}, content="naïve 漢字 🎉 \u2028"),
        piece(audio={"id": "audio_1", "data": "AAAA"}),
        piece(tool_calls=[call_of(0, "f", id="a")]),
        piece(tool_calls=[call_of(0, arguments='{"x": ')]),
        piece(tool_calls=[call_of(0, arguments="1.50}"), call_of(1, "g", "{}", id="b")]),
        piece(choice={"stop_reason": "END"}, finish="tool_calls"),
        usage_event(FULL_USAGE),
        DONE,
    ]
    with asking(house, stream(*events)) as (client, _, started):
        body = {"model": "m", "messages": [{"role": "user", "content": "x"}], "stream": True}
        wanted = {**body, "stream_options": {"include_usage": True}}
        path = f"{started.url}/v1/chat/completions"
        assert call(path, "POST", wanted, started.headers).body == b"".join(events)
        assert call(path, "POST", body, started.headers).body == b"".join(events[:-2]) + DONE
        with client.chat.completions.stream(
            model="m", messages=[{"role": "user", "content": "x"}], tools=[TOOL], stream_options={"include_usage": True}
        ) as told:
            final = told.get_final_completion()
    calls = final.choices[0].message.tool_calls or []
    assert [(each.function.name, each.function.arguments) for each in calls] == [("f", '{"x": 1.50}'), ("g", "{}")]
    assert final.usage and final.usage.total_tokens == 120


class Person(BaseModel):
    name: str
    age: int


def test_structured_output_is_parsed_by_the_sdk(house: Start) -> None:
    with asking(house, message(content='{"name":"Ana","age":7}')) as (client, engine, _):
        parsed = client.chat.completions.parse(
            model="m", messages=[{"role": "user", "content": "who?"}], response_format=Person
        )
    assert parsed.choices[0].message.parsed == Person(name="Ana", age=7)
    wanted = engine.calls()[0].json["response_format"]["json_schema"]
    assert wanted["name"] == "Person" and wanted["strict"] is True
