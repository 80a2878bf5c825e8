"""Prompts and answers in spans: only when asked for, in OpenTelemetry's form, and never too long."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from hanok.telemetry import CONTENT_LIMIT_BYTES
from hanok.telemetry.content import input_messages, output_messages
from hanok.wire import json_bytes
from tests.engine import DONE, delta, event
from tests.rooms.telemetry.given import charge, chat, embedding
from tests.rooms.telemetry.test_spans import told

HELLO = [{"role": "user", "content": "hello"}]
ANSWER = json_bytes(
    {"id": "c-1", "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}]}
)


def given_to(**fields: Any) -> Any:
    return json.loads(input_messages(chat(**fields)))


def said_in(*choices: Any) -> Any:
    return json.loads(output_messages(json_bytes({"choices": choices}), stream=False).messages)


def test_nothing_of_a_prompt_or_an_answer_is_in_a_span_unless_asked_for() -> None:
    said = told(charge(), chat(messages=[{"role": "user", "content": "a secret word"}]), b"a secret word")
    assert "secret word" not in json.dumps(said)


def test_prompt_and_answer_go_out_under_every_name() -> None:
    said = told(charge(), chat(messages=HELLO), ANSWER, content=True)
    given, answered = said["gen_ai.input.messages"], said["gen_ai.output.messages"]
    assert json.loads(given) == [{"role": "user", "parts": [{"type": "text", "content": "hello"}]}]
    assert json.loads(answered) == [
        {"role": "assistant", "parts": [{"type": "text", "content": "hi"}], "finish_reason": "stop"}
    ]
    assert said["input.value"] == said["gen_ai.prompt"] == given
    assert said["output.value"] == said["gen_ai.completion"] == answered
    assert said["gen_ai.response.finish_reasons"] == ["stop"] and said["gen_ai.response.id"] == "c-1"


def test_tools_reasoning_and_media_have_parts_of_their_own() -> None:
    call = {"id": "t1", "type": "function", "function": {"name": "look", "arguments": '{"at": 1}'}}
    messages = [
        {"role": "user", "content": [
            {"type": "text", "text": "what is this"},
            {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        ]},
        {"role": "assistant", "content": None, "reasoning_content": "hm", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "t1", "content": "a cat"},
    ]  # fmt: skip
    assert [message["parts"] for message in given_to(messages=messages)] == [
        [
            {"type": "text", "content": "what is this"},
            {"type": "uri", "modality": "image", "uri": "https://example.com/a.png"},
            {"type": "text", "content": "[image_url, left out]"},
        ],
        [
            {"type": "reasoning", "content": "hm"},
            {"type": "tool_call", "id": "t1", "name": "look", "arguments": {"at": 1}},
        ],
        [{"type": "tool_call_response", "id": "t1", "response": "a cat"}],
    ]


def test_a_streams_pieces_are_put_together() -> None:
    calls = [
        {"tool_calls": [{"index": 0, "id": "t1", "function": {"name": "look", "arguments": '{"a'}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '": 1}'}}]},
    ]
    events = [delta("he"), delta("llo"), *(event({"choices": [{"index": 1, "delta": each}]}) for each in calls)]
    end = event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    told = output_messages(b"".join([*events, end, DONE]), stream=True)
    one, two = json.loads(told.messages)
    assert one["parts"] == [{"type": "text", "content": "hello"}] and one["finish_reason"] == "stop"
    assert two["parts"] == [{"type": "tool_call", "id": "t1", "name": "look", "arguments": {"a": 1}}]
    assert told.response_id == "c" and told.finish_reasons == ("stop",)


def test_a_stream_that_was_cut_says_what_came() -> None:
    told = output_messages(delta("hello") + delta(" there")[:-20], stream=True)
    assert json.loads(told.messages)[0]["parts"] == [{"type": "text", "content": "hello"}]


def test_text_completions_and_embeddings_are_what_a_user_said() -> None:
    assert json.loads(input_messages(chat(operation="text", prompt="once"))) == given_to(prompt="once")
    assert json.loads(input_messages(embedding(input=["a", "b"])))[0]["parts"] == [
        {"type": "text", "content": "a"}, {"type": "text", "content": "b"}
    ]  # fmt: skip
    assert said_in({"index": 0, "text": "upon a time", "finish_reason": "length"})[0]["finish_reason"] == "length"


def test_what_cannot_be_read_is_kept_as_text_and_an_answer_that_is_none_is_left_out() -> None:
    assert given_to(messages=[{"role": 7}])[0]["parts"][0]["content"] == '[{"role":7}]'
    assert json.loads(input_messages(embedding(input=[[1, 2]])))[0]["parts"][0]["content"] == "[[1,2]]"
    assert output_messages(b"<html>", stream=False).messages == b""
    assert output_messages(b"", stream=True).messages == b""


def test_the_newest_messages_are_kept_when_not_all_fit() -> None:
    messages = [{"role": "user", "content": f"{number} " + "x" * 9000} for number in range(20)]
    data = input_messages(chat(messages=messages))
    kept = json.loads(data)
    assert CONTENT_LIMIT_BYTES - 9100 < len(data) <= CONTENT_LIMIT_BYTES
    assert kept[-1]["parts"][0]["content"].startswith("19 ") and len(kept) == 8


@given(st.lists(st.text(max_size=20), max_size=3), st.sampled_from(["x", "\x00", "한", '"', "\n", "🏠"]))
def test_content_is_json_within_the_limit_whatever_is_in_it(texts: list[str], filler: str) -> None:
    messages = [{"role": "user", "content": text + filler * 70_000} for text in ["", *texts]]
    data = input_messages(chat(messages=messages))
    assert len(data) <= CONTENT_LIMIT_BYTES
    assert json.loads(data)[-1]["parts"][0]["content"].startswith((texts[-1] if texts else filler)[:20])
