"""Anthropic's own SDK, unchanged, against models of all kinds."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import anthropic
import pytest
from pydantic import BaseModel

from tests.calls import Reply, call
from tests.conftest import ECHO, RunningHouse
from tests.engine import DONE, STREAM_HEAD, Answer, Asked, FakeEngine, chunk, event, fake_engine, status, stream, whole
from tests.rooms.gateway.wires.chat_answers import FULL_USAGE, call_of, message, piece, pieces, tool_call, usage_event

Start = Callable[..., RunningHouse]
HELLO: Any = [{"role": "user", "content": "hello"}]
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
WEATHER: Any = {
    "name": "weather",
    "description": "Tells the weather.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


@contextmanager
def asking(house: Start, answer: Answer | None = None, **more: Any) -> Iterator[tuple[anthropic.Anthropic, FakeEngine]]:
    """Anthropic's client at a house with one model, `m`, on an engine that answers so."""
    with fake_engine(answer) as engine:
        model = {"name": "m", "serve": {"engine": "openai", "url": engine.url, "model": "fake"}, "retries": 0}
        started = house(model, ECHO, **more)
        with anthropic.Anthropic(base_url=started.url, api_key=started.key, max_retries=0) as client:
            yield client, engine


def create(client: anthropic.Anthropic, messages: Any = HELLO, **more: Any) -> anthropic.types.Message:
    return client.messages.create(**{"model": "m", "max_tokens": 50, "messages": messages, **more})


def streamed(client: anthropic.Anthropic, messages: Any = HELLO, **more: Any) -> list[Any]:
    return list(client.messages.create(**{"model": "m", "max_tokens": 50, "messages": messages, **more}, stream=True))


def post(house: RunningHouse, body: Any, path: str = "/v1/messages", **headers: str) -> Reply:
    sent = {"x-api-key": house.key, "content-type": "application/json", **headers}
    return call(f"{house.url}{path}", "POST", body, sent)


# text


def test_a_message_is_answered_and_costs_what_a_chat_call_costs(house: Start) -> None:
    with asking(house, message(content="Hi!", usage=FULL_USAGE)) as (client, engine):
        sampling = {"temperature": 0.5, "top_p": 0.9, "top_k": 7}
        answer = create(client, system="Be kind.", stop_sequences=["END"], extra_body=sampling)
    assert answer.content[0].text == "Hi!" and answer.stop_reason == "end_turn" and answer.model == "m"
    assert answer.usage.input_tokens == 60 and answer.usage.output_tokens == 20
    assert answer.usage.cache_read_input_tokens == 30 and answer.usage.cache_creation_input_tokens == 10
    assert answer.usage.output_tokens_details and answer.usage.output_tokens_details.thinking_tokens == 5
    assert answer.id.startswith("msg_") and answer._request_id.startswith("req_")
    asked = engine.calls()[0]
    assert asked.path == "/v1/chat/completions"
    assert asked.json["messages"] == [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "hello"}]
    settings = {name: asked.json[name] for name in ("max_tokens", "temperature", "top_p", "top_k", "stop")}
    assert settings == {"max_tokens": 50, "temperature": 0.5, "top_p": 0.9, "top_k": 7, "stop": ["END"]}


def test_the_key_may_come_as_a_bearer_too(house: Start) -> None:
    started = house(ECHO)
    with anthropic.Anthropic(base_url=started.url, auth_token=started.key, api_key=None) as client:
        assert create(client, model="echo").content[0].text == "hello"


def test_cache_marks_system_blocks_and_several_texts_reach_the_engine_in_parts(house: Start) -> None:
    mark = {"type": "ephemeral"}
    system: Any = [{"type": "text", "text": "a", "cache_control": mark}, {"type": "text", "text": "b"}]
    content: Any = [{"type": "text", "text": "one"}, {"type": "text", "text": "two", "cache_control": mark}]
    with asking(house) as (client, engine):
        create(client, [{"role": "user", "content": content}], system=system)
    assert engine.calls()[0].json["messages"] == [
        {"role": "system", "content": system},
        {"role": "user", "content": content},
    ]


def test_images_come_as_data_or_by_their_address(house: Start) -> None:
    data: Any = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
    address: Any = {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}}
    with asking(house) as (client, engine):
        create(client, [{"role": "user", "content": [data, address, {"type": "text", "text": "What?"}]}])
    first, second, text = engine.calls()[0].json["messages"][0]["content"]
    assert first == {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
    assert second == {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
    assert text == {"type": "text", "text": "What?"}


def test_documents_of_text_are_read_and_the_user_is_named(house: Start) -> None:
    source = {"type": "text", "media_type": "text/plain", "data": "All is well."}
    document: Any = {"type": "document", "title": "Report", "source": source}
    with asking(house) as (client, engine):
        create(client, [{"role": "user", "content": [document]}], metadata={"user_id": "ana"})
    asked = engine.calls()[0].json
    assert asked["messages"][0]["content"] == "Report\n\nAll is well." and asked["user"] == "ana"


@pytest.mark.parametrize(
    ("finish", "choice", "reason", "sequence"),
    [
        ("stop", {}, "end_turn", None),
        ("length", {}, "max_tokens", None),
        ("content_filter", {}, "refusal", None),
        ("stop", {"stop_reason": "END"}, "stop_sequence", "END"),
        ("stop", {"matched_stop": "END"}, "stop_sequence", "END"),
        ("stop", {"stop_reason": 107}, "end_turn", None),
        ("stop", {"stop_reason": "<|im_end|>"}, "end_turn", None),
        ("eos", {}, "end_turn", None),
    ],
)
@pytest.mark.parametrize("streams", [False, True])
def test_why_it_stopped_is_said_in_anthropics_words(
    house: Start, finish: str, choice: Any, reason: str, sequence: str | None, streams: bool
) -> None:
    answer = (
        pieces(piece(content="so"), piece(finish, choice)) if streams else message(finish, choice=choice, content="so")
    )
    with asking(house, answer) as (client, _):
        if streams:
            with client.messages.stream(model="m", max_tokens=5, messages=HELLO, stop_sequences=["END"]) as told:
                found = told.get_final_message()
        else:
            found = create(client, stop_sequences=["END"])
    assert (found.stop_reason, found.stop_sequence) == (reason, sequence)
    assert found.stop_details is None or found.stop_details.type == "refusal"


def test_a_models_refusal_is_text_and_a_reason(house: Start) -> None:
    with asking(house, message(content=None, refusal="I will not.")) as (client, _):
        answer = create(client)
    assert answer.content[0].text == "I will not." and answer.stop_reason == "refusal"


def test_a_conversations_rarer_turns_are_passed_on_too(house: Start) -> None:
    mark = {"type": "ephemeral"}
    found = {"type": "search_result", "title": "Report", "source": "a.txt", "content": [{"type": "text", "text": "ok"}]}
    turns: Any = [
        {"role": "user", "content": [found]},
        {"role": "user", "content": "and?"},
        {"role": "assistant", "content": [{"type": "redacted_thinking", "data": "x"}, {"type": "text", "text": "a"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "b"}]},
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "go on"},
        {"role": "assistant", "content": [{"type": "text", "text": "So", "cache_control": mark}]},
    ]
    with asking(house, message(content=[{"type": "text", "text": "it "}, {"type": "text", "text": "is"}])) as (
        client,
        engine,
    ):
        assert create(client, turns).content[0].text == "it is"
    assert engine.calls()[0].json["messages"] == [
        {
            "role": "user",
            "content": [{"type": "text", "text": "Report\na.txt\nok"}, {"type": "text", "text": "and?"}],
        },
        {"role": "assistant", "content": "ab"},
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "go on"},
        {"role": "assistant", "content": [{"type": "text", "text": "So", "cache_control": mark}]},
    ]


def test_models_are_listed_to_anthropics_sdk(house: Start) -> None:
    with asking(house) as (client, _):
        assert [model.id for model in client.models.list()] == ["m", "echo"]
        assert client.models.retrieve("m").id == "m"


def test_a_large_conversation_is_passed_on_beside_other_calls(house: Start) -> None:
    turns: Any = [{"role": ("user", "assistant")[place % 2], "content": "word " * 20} for place in range(5001)]
    with asking(house) as (client, engine):
        create(client, turns)
    assert len(engine.calls()[0].json["messages"]) == 5001


# streams


def test_a_stream_has_anthropics_events_in_their_order(house: Start) -> None:
    answer = pieces(piece(content="Hi"), piece(content=" there"), piece("stop"), usage=FULL_USAGE)
    with asking(house, answer) as (client, engine):
        events = streamed(client)
    assert [each.type for each in events] == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert events[0].message.content == [] and events[0].message.stop_reason is None
    assert [each.delta.text for each in events[2:4]] == ["Hi", " there"]
    assert events[5].delta.stop_reason == "end_turn" and events[5].usage.input_tokens == 60
    assert engine.calls()[0].json["stream_options"] == {"include_usage": True}


def test_what_a_stream_tells_is_what_a_whole_answer_says(house: Start) -> None:
    call = tool_call("call_1", "weather", '{"city":"Oslo"}')
    said = {"reasoning_content": "Hm.", "content": "Let me see.", "tool_calls": [call]}
    streaming = pieces(
        piece(reasoning_content="H"), piece(reasoning_content="m."), piece(content="Let me see."),
        piece(tool_calls=[call_of(0, "weather", id="call_1")]), piece(tool_calls=[call_of(0, arguments='{"city"')]),
        piece(tool_calls=[call_of(0, arguments=':"Oslo"}')]), piece("tool_calls"),
    )  # fmt: skip
    thinking: Any = {"type": "enabled", "budget_tokens": 1024}
    with asking(house, message("tool_calls", **said)) as (client, engine):
        answer = create(client, tools=[WEATHER], thinking=thinking)
        engine.answer = streaming
        with client.messages.stream(
            model="m", max_tokens=50, messages=HELLO, tools=[WEATHER], thinking=thinking
        ) as told:
            final = told.get_final_message()
    thought, text, use = answer.content
    assert (thought.type, thought.thinking) == ("thinking", "Hm.") and thought.signature
    assert text.text == "Let me see."
    assert (use.type, use.id, use.name, use.input) == ("tool_use", "call_1", "weather", {"city": "Oslo"})
    assert answer.stop_reason == final.stop_reason == "tool_use"
    wholly = [each.model_dump(exclude={"parsed_output"}) for each in answer.content]
    assert [each.model_dump(exclude={"parsed_output"}) for each in final.content] == wholly


def test_a_silent_stream_is_kept_alive_with_pings(house: Start) -> None:
    release = threading.Event()

    async def slow(_: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD)
        await asyncio.to_thread(release.wait, 10)
        for each in (piece(content="late"), piece("stop"), DONE):
            writer.write(chunk(each))
        writer.write(b"0\r\n\r\n")

    with fake_engine(slow) as engine:
        serve = {"engine": "openai", "url": engine.url}
        started = house({"name": "m", "serve": serve}, gateway={"keep_alive_s": 0.05})
        with (
            anthropic.Anthropic(base_url=started.url, api_key=started.key, max_retries=0) as client,
            client.messages.with_streaming_response.create(
                model="m", max_tokens=5, messages=HELLO, stream=True
            ) as response,
        ):
            lines = response.iter_lines()
            assert next(lines) == "event: ping" and next(lines) == 'data: {"type":"ping"}'
            release.set()
            rest = [line for line in lines if line.startswith("event:") and "ping" not in line]
    assert rest[0] == "event: message_start" and rest[-1] == "event: message_stop"


def test_a_budget_that_is_spent_midway_ends_the_message_properly(house: Start) -> None:
    endless = [piece(content=f"word{number} ") for number in range(3000)]
    answer = pieces(*endless, piece("stop"))
    price = {"output": 1_000_000.0}
    with fake_engine(answer) as engine:
        model = {"name": "m", "serve": {"engine": "openai", "url": engine.url}, "price": price}
        started = house({**model, "max_output_tokens": 100_000}, budgets=[{"of": "key", "usd": 60}])
        reply = post(started, {"model": "m", "max_tokens": 50, "messages": HELLO, "stream": True})
    ending = reply.events[-2]
    assert ending["type"] == "message_delta" and ending["delta"]["stop_reason"] == "max_tokens"
    assert ending["hanok"]["stopped_by"] == "budget_exceeded" and ending["hanok"]["budget"]["of"] == "key"
    assert reply.events[-1]["type"] == "message_stop"
    assert reply.events[-3]["type"] == "content_block_stop"


# tools


def test_tools_go_round_with_parallel_calls_errors_and_images(house: Start) -> None:
    calls = [tool_call("a", "weather", '{"city":"Oslo"}'), tool_call("b", "weather", '{"city":"Rome"}')]
    with asking(house, message("tool_calls", content=None, tool_calls=calls)) as (client, engine):
        first = create(client, tools=[WEATHER], tool_choice={"type": "any", "disable_parallel_tool_use": True})
        asked = engine.calls()[0].json
        engine.answer = whole("Cold and warm.")
        image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
        results: Any = [
            {"type": "tool_result", "tool_use_id": "b", "content": [{"type": "text", "text": "warm"}, image]},
            {"type": "tool_result", "tool_use_id": "a", "content": "no such city", "is_error": True},
            {"type": "text", "text": "And?"},
        ]
        turns: Any = [*HELLO, {"role": "assistant", "content": first.content}, {"role": "user", "content": results}]
        second = create(client, turns, tools=[WEATHER], tool_choice={"type": "tool", "name": "weather"})
    assert [use.input for use in first.content] == [{"city": "Oslo"}, {"city": "Rome"}]
    assert asked["tools"][0]["function"]["parameters"] == WEATHER["input_schema"]
    assert asked["tool_choice"] == "required" and asked["parallel_tool_calls"] is False
    assert second.content[0].text == "Cold and warm."
    again = engine.calls()[1].json
    assert again["tool_choice"] == {"type": "function", "function": {"name": "weather"}}
    _, turn, warm, wrong, rest = again["messages"]
    assert turn["tool_calls"] == calls and turn["content"] is None
    assert warm == {"role": "tool", "tool_call_id": "b", "content": "warm"}
    assert wrong == {"role": "tool", "tool_call_id": "a", "content": "Error: no such city"}
    assert [part["type"] for part in rest["content"]] == ["text", "image_url", "text"]


def test_streamed_calls_that_come_mixed_are_told_one_after_another(house: Start) -> None:
    answer = pieces(
        piece(tool_calls=[call_of(0, "f", id="x"), call_of(1, "g", id="x")]),
        piece(tool_calls=[call_of(1, arguments='{"b"')]), piece(tool_calls=[call_of(0, arguments='{"a":1')]),
        piece(tool_calls=[call_of(0, arguments="}")]), piece(tool_calls=[call_of(1, arguments=":2}")]),
        piece("tool_calls"),
    )  # fmt: skip
    with asking(house, answer) as (client, _):
        events = streamed(client, tools=[WEATHER])
        with client.messages.stream(model="m", max_tokens=50, messages=HELLO) as told:
            final = told.get_final_message()
    assert [(use.name, use.input) for use in final.content] == [("f", {"a": 1}), ("g", {"b": 2})]
    assert final.content[0].id == "x" and final.content[1].id.startswith("toolu_")  # two of one name: one is renamed
    blocks = [(each.type, each.index) for each in events if each.type.startswith("content_block_s")]
    assert blocks == [
        ("content_block_start", 0), ("content_block_stop", 0), ("content_block_start", 1), ("content_block_stop", 1)
    ]  # fmt: skip


def test_arguments_that_are_no_object_are_handed_on_as_what_they_are(house: Start) -> None:
    with asking(house, message("tool_calls", content=None, tool_calls=[tool_call("a", "f", '{"city": Os')])) as (c, _):
        assert create(c, tools=[WEATHER]).content[0].input == {"INVALID_JSON": '{"city": Os'}


# thinking


def test_thinking_is_shown_to_who_asks_for_it_and_goes_back_to_the_engine(house: Start) -> None:
    with asking(house, message(content="4", reasoning="2 and 2")) as (client, engine):
        assert [block.type for block in create(client).content] == ["text"]
        asked: Any = {"type": "enabled", "budget_tokens": 20_000}
        thought = create(client, thinking=asked)
        omitted = create(client, thinking={"type": "adaptive", "display": "omitted"})
        turns: Any = [*HELLO, {"role": "assistant", "content": thought.content}, *HELLO]
        create(client, turns, thinking=asked, output_config={"effort": "max"})
    assert thought.content[0].type == "thinking" and thought.content[0].thinking == "2 and 2"
    assert omitted.content[0].type == "thinking" and omitted.content[0].thinking == ""
    assert engine.calls()[1].json["reasoning_effort"] == "high"
    assert "reasoning_effort" not in engine.calls()[2].json
    last = engine.calls()[3].json
    assert last["messages"][1] == {"role": "assistant", "content": "4", "reasoning_content": "2 and 2"}
    assert last["reasoning_effort"] == "high"


# structured output


class Person(BaseModel):
    name: str
    age: int


def test_structured_output_is_asked_for_by_its_schema_and_parsed_by_the_sdk(house: Start) -> None:
    with asking(house, message(content='{"name":"Ana","age":7}')) as (client, engine):
        parsed = client.messages.parse(model="m", max_tokens=50, messages=HELLO, output_format=Person)
    assert parsed.parsed_output == Person(name="Ana", age=7)
    wanted = engine.calls()[0].json["response_format"]
    assert wanted["type"] == "json_schema" and set(wanted["json_schema"]["schema"]["required"]) == {"name", "age"}


# tokens


def test_vllm_counts_tokens_of_messages_and_is_then_known_for_it(house: Start) -> None:
    async def vllm(asked: Asked, writer: asyncio.StreamWriter) -> None:
        counts = asked.path == "/tokenize"
        await status(200 if counts else 404, json.dumps({"count": 42, "tokens": []}).encode())(asked, writer)

    with asking(house, vllm, budgets=[{"of": "key", "usd": 0}]) as (client, engine):
        for _ in range(2):
            assert client.messages.count_tokens(model="m", messages=HELLO, tools=[WEATHER]).input_tokens == 42
    assert [asked.path for asked in engine.calls()] == ["/apply-template", "/tokenize", "/tokenize"]
    assert engine.calls()[1].json["model"] == "fake" and len(engine.calls()[1].json["tools"]) == 1


def test_llama_cpp_counts_tokens_of_what_its_template_writes(house: Start) -> None:
    async def llama(asked: Asked, writer: asyncio.StreamWriter) -> None:
        answers = {"/apply-template": {"prompt": "<user>hello"}, "/tokenize": {"tokens": [1, 2, 3]}}
        await status(200, json.dumps(answers[asked.path]).encode())(asked, writer)

    with asking(house, llama) as (client, engine):
        counted = client.messages.with_raw_response.count_tokens(model="m", messages=HELLO, system="s")
    assert counted.headers["x-hanok-counted-by"] == "engine" and counted.parse().input_tokens == 3
    assert engine.calls()[1].json["content"] == "<user>hello"


@pytest.mark.parametrize("answer", [status(404, b""), status(500, b"oops"), status(200, b'{"tokens": 3}')])
def test_where_no_engine_counts_tokens_are_estimated_and_that_is_said(house: Start, answer: Answer) -> None:
    with asking(house, answer, budgets=[{"of": "key", "usd": 0}]) as (client, _):
        counted = client.messages.with_raw_response.count_tokens(
            model="m", messages=[{"role": "user", "content": "word " * 100}]
        )
    assert counted.headers["x-hanok-counted-by"] == "estimate" and 100 <= counted.parse().input_tokens <= 200


def test_a_prompt_is_not_sent_to_be_counted_where_its_tags_keep_it_from(house: Start) -> None:
    with asking(house) as (client, engine):
        counted = client.messages.with_raw_response.count_tokens(
            model="m", messages=HELLO, extra_headers={"x-hanok-tags": "eu"}
        )
        assert engine.calls() == []
    assert counted.headers["x-hanok-counted-by"] == "estimate"


# what is refused


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools[0].type"),
        ({"tool_choice": {"type": "any"}}, "tool_choice"),
        ({"tools": [WEATHER], "tool_choice": {"type": "tool", "name": "x"}}, "tool_choice.name"),
        ({"mcp_servers": [{"type": "url"}]}, "mcp_servers"),
        ({"container": "c1"}, "container"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": None}, "max_tokens"),
        ({"temperature": 3}, "temperature"),
        ({"output_config": {"effort": "enormous"}}, "output_config.effort"),
        ({"system": [{"type": "image"}]}, "system[0].type"),
        ({"system": 5}, "system"),
        ({"messages": []}, "messages"),
        ({"messages": "hello"}, "messages"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": []}]}, "messages"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
        ({"messages": [{"role": "user", "content": [{}]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "user", "content": [{"type": "magic"}]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "user", "content": [{"type": "image"}]}]}, "messages[0].content[0].source"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "file"}}]}]},
            "messages[0].content[0].source.type",
        ),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {
                                "type": "document",
                                "source": {"type": "base64", "media_type": "application/pdf", "data": "AA"},
                            }
                        ],
                    }
                ]
            },
            "messages[0].content[0].source",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "x", "content": "y"}]}]},
            "messages[0].content[0].tool_use_id",
        ),
        (
            {
                "messages": [
                    {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "f", "input": {}}]},
                    {"role": "user", "content": "never mind"},
                ]
            },
            "messages[1].content",
        ),
        (
            {"messages": [{"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "f"}] * 2}]},
            "messages[0].content[1].id",
        ),
        (
            {
                "messages": [
                    {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "f"}]},
                    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a"}] * 2},
                ]
            },
            "messages[1].content[1].tool_use_id",
        ),
    ],
)
def test_what_cannot_be_passed_on_is_refused_by_its_name(house: Start, more: Any, named: str) -> None:
    started = house(ECHO)
    reply = post(started, {"model": "echo", "max_tokens": 5, "messages": HELLO, **more})
    assert reply.status == 400 and reply.json["type"] == "error", reply.body
    assert reply.error["type"] == "invalid_request_error"
    assert reply.error["param"] == named and named.split(".")[-1].split("[")[0] in reply.error["message"]
    assert reply.headers["request-id"] == reply.headers["x-request-id"]


def test_errors_are_the_sdks_own_exceptions(house: Start) -> None:
    limited = {"limits": [{"of": "key", "requests_per_minute": 3}]}
    with asking(house, status(500, b'{"error":{"message":"sick"}}'), **limited) as (client, engine):
        with pytest.raises(anthropic.InternalServerError, match="sick"):
            create(client)
        engine.answer = status(400, b'{"error":{"message":"too long","type":"invalid_request_error","code":"x"}}')
        with pytest.raises(anthropic.BadRequestError, match="too long") as refused:
            create(client)
        assert refused.value.request_id and refused.value.type == "invalid_request_error"
        with pytest.raises(anthropic.NotFoundError) as missing:
            create(client, model="none")
        assert missing.value.body["error"]["type"] == "not_found_error"
        stranger = client.with_options(api_key="hk-wrong")
        with pytest.raises(anthropic.AuthenticationError):
            create(stranger)
        create(client.with_options(), model="echo")
        with pytest.raises(anthropic.RateLimitError) as late:
            create(client)
        assert late.value.body["error"]["type"] == "rate_limit_error"
        assert int(late.value.response.headers["retry-after"]) > 0


def test_a_spent_budget_is_said_and_not_tried_again(house: Start) -> None:
    with asking(house, budgets=[{"of": "key", "tokens": 1}]) as (client, engine):
        with pytest.raises(anthropic.RateLimitError) as spent:
            create(client.with_options(max_retries=3))
        assert not engine.calls()
    error = spent.value.body["error"]
    assert error["code"] == "budget_exceeded" and error["budget"]["of"] == "key"
    assert spent.value.response.headers["x-should-retry"] == "false"


def test_what_the_sdk_tries_again_succeeds(house: Start) -> None:
    turns = iter([status(503, b"{}", "content-type: application/json\r\nretry-after-ms: 1\r\n"), whole("now")])

    async def answer(asked: Asked, writer: asyncio.StreamWriter) -> None:
        await next(turns)(asked, writer)

    with asking(house, answer) as (client, _):
        assert create(client.with_options(max_retries=1)).content[0].text == "now"


@pytest.mark.parametrize(
    "answer",
    [
        stream(piece(content="Hi"), b"data: nonsense\n\n", DONE),
        stream(piece(content="Hi"), end=b"zz"),
        stream(piece(content="Hi"), event({"error": {"message": "out of memory"}})),
        stream(piece(content="Hi"), event({"choices": [{"delta": {"content": 5}}]}), DONE),
        stream(piece(content="Hi"), usage_event(), DONE),
        stream(piece(content="Hi"), piece(tool_calls=[call_of(0, arguments="{}")]), piece("tool_calls"), DONE),
    ],
    ids=["no JSON", "cut off", "error", "wrong type", "no end", "no name"],
)
def test_an_engine_that_fails_midway_ends_the_stream_with_an_error(house: Start, answer: Answer) -> None:
    with asking(house, answer) as (client, _):
        told: list[Any] = []
        with pytest.raises(anthropic.APIStatusError):
            told.extend(client.messages.create(model="m", max_tokens=5, messages=HELLO, stream=True))
        with (
            client.messages.stream(model="m", max_tokens=5, messages=HELLO) as stream_,
            pytest.raises(anthropic.APIStatusError),
        ):
            stream_.get_final_message()


@pytest.mark.parametrize(
    "body", [b"{}", b'{"choices":[]}', b'{"choices":[{"message":{"content":"x"}}]}', b'{"choices":5}', b"[]"]
)
def test_an_engine_that_answers_nonsense_is_a_bad_gateway(house: Start, body: bytes) -> None:
    with asking(house, status(200, body)) as (client, _), pytest.raises(anthropic.InternalServerError) as broken:
        create(client)
    assert broken.value.status_code == 502 and broken.value.body["error"]["type"] == "api_error"


def test_a_caller_who_goes_away_stops_the_engine(house: Start) -> None:
    async def endless(asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD + chunk(piece(content="Hi")))
        await writer.drain()
        await asked.gone()

    with asking(house, endless) as (client, engine):
        told = client.messages.create(model="m", max_tokens=5, messages=HELLO, stream=True)
        assert next(told).type == "message_start"
        told.close()
        assert engine.gone.wait(5)


def test_strange_texts_pass_unharmed(house: Start) -> None:
    text = 'naïve 漢字 🎉 \u0000 \u2028 "quoted" \\back data: [DONE]\n\ndata: x'
    with asking(house, pieces(piece(content=text), piece("stop"))) as (client, engine):
        with client.messages.stream(model="m", max_tokens=5, messages=[{"role": "user", "content": text}]) as told:
            assert told.get_final_text() == text
        assert engine.calls()[0].json["messages"][0]["content"] == text


def test_other_doors_of_anthropics_are_closed_politely(house: Start) -> None:
    started = house(ECHO)
    batches = post(started, {}, "/v1/messages/batches")
    assert batches.status == 404 and "batches" in batches.error["message"]
    wrong = call(f"{started.url}/v1/messages", headers=started.headers)
    assert wrong.status == 405 and wrong.headers["allow"] == "POST"
    plain = call(f"{started.url}/v1/messages", "POST", b"{}", {"x-api-key": started.key, "content-type": "text/plain"})
    assert plain.status == 415 and plain.json["type"] == "error"
    assert post(started, b"\xff").status == 400 and post(started, b"[" * 100_000).status == 400
    assert post(started, b'{"model":"echo"').error["code"] == "invalid_json"


def test_the_versions_headers_are_taken(house: Start) -> None:
    with asking(house) as (client, engine):
        client.beta.messages.create(model="m", max_tokens=5, messages=HELLO, betas=["files-api-2025-04-14"])
        create(client, extra_body={"seed": 5, "n": 50, "best_of": 9})
    asked = engine.calls()[1].json
    assert asked["seed"] == 5 and "n" not in asked and "best_of" not in asked


def test_what_is_answered_before_the_desk_is_answered_in_its_form(house: Start) -> None:
    body = {"model": "echo", "max_tokens": 5, "messages": HELLO}
    started = house(ECHO)
    named = {"idempotency-key": "k-1"}
    first, again, other = (post(started, each, **named) for each in (body, body, {**body, "max_tokens": 6}))
    started.house.door.draining = True
    drained = post(started, body)
    assert [each.status for each in (first, again, other, drained)] == [200, 200, 422, 503]
    assert again.headers["idempotency-replayed"] == "true" and again.body == first.body
    for each in (first, again, other, drained):
        assert each.headers["request-id"] == each.headers["x-request-id"]
    assert [(each.json["type"], each.json["error"]["type"]) for each in (other, drained)] == [
        ("error", "invalid_request_error"),
        ("error", "overloaded_error"),
    ]
