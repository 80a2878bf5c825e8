"""OpenAI's forms: what is read out of engines' bytes, and what is written."""

from __future__ import annotations

import base64
import json
import struct

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanok.wire import ChatRequest, TaskRequest, TaskResult, Usage, json_bytes
from hanok.wire.forms import (
    read_error_message,
    read_event_usage,
    read_last_user_text,
    read_stream_text,
    read_usage,
    split_events,
)


@given(
    st.lists(st.text(alphabet="ab\n:é", max_size=8).map(lambda text: text.replace("\n\n", "")), max_size=6), st.data()
)
def test_events_are_never_cut_and_nothing_is_lost(lines: list[str], data: st.DataObject) -> None:
    stream = b"".join(f"data: {line}x\n\n".encode() for line in lines)
    seen, rest = b"", b""
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        events, rest = split_events(rest + stream[:size])
        stream = stream[size:]
        assert events.endswith(b"\n\n") or not events
        assert b"\n\n" not in rest
        seen += events
    assert seen + rest == b"".join(f"data: {line}x\n\n".encode() for line in lines)


def test_events_that_end_in_carriage_returns_are_whole_too() -> None:
    assert split_events(b"data: 1\r\n\r\ndata: 2\r\n") == (b"data: 1\r\n\r\n", b"data: 2\r\n")


def test_usage_is_read_with_cached_tokens_and_nothing_else_is_needed() -> None:
    body = b'{"usage":{"prompt_tokens":9,"completion_tokens":4,"prompt_tokens_details":{"cached_tokens":5}},"x":[1]}'
    assert read_usage(body) == Usage(prompt_tokens=9, completion_tokens=4, cached_tokens=5)
    assert read_usage(b'{"usage":{"prompt_tokens":null,"completion_tokens":1}}') == Usage(completion_tokens=1)
    assert read_usage(b"{}") is None
    with pytest.raises(msgspec.DecodeError):
        read_usage(b"oops")


@pytest.mark.parametrize(
    ("reported", "prompt", "read", "written"),
    [
        ('"prompt_tokens":9,"prompt_tokens_details":{"cached_tokens":5,"cache_write_tokens":3}', 9, 5, 3),
        ('"prompt_tokens":9,"prompt_tokens_details":{"cached_tokens":5,"cache_creation_tokens":3}', 9, 5, 3),
        ('"prompt_tokens":9,"cache_read_input_tokens":5,"cache_creation_input_tokens":3', 9, 5, 3),
        ('"prompt_tokens":1,"cache_read_input_tokens":5,"cache_creation_input_tokens":3', 9, 5, 3),
        (
            '"prompt_tokens":9,"prompt_tokens_details":{"cached_tokens":5,"cache_creation_tokens":3},'
            '"cache_read_input_tokens":5,"cache_creation_input_tokens":3',
            9, 5, 3,
        ),
        ('"prompt_tokens":9,"prompt_tokens_details":{"cached_tokens":null},"cache_read_input_tokens":null', 9, 0, 0),
    ],
)  # fmt: skip
def test_what_a_prompt_cache_was_read_and_written_is_part_of_the_prompt(
    reported: str, prompt: int, read: int, written: int
) -> None:
    usage = Usage(prompt_tokens=prompt, cached_tokens=read, cache_write_tokens=written)
    assert read_usage(f'{{"usage":{{{reported}}}}}'.encode()) == usage
    assert read_event_usage(f'{{"choices":[],"usage":{{{reported}}}}}'.encode()) == (usage, True)


def test_an_event_says_whether_it_carries_only_usage() -> None:
    usage = b'"usage":{"prompt_tokens":1,"completion_tokens":2}'
    assert read_event_usage(b'{"choices":[],' + usage + b"}") == (Usage(prompt_tokens=1, completion_tokens=2), True)
    assert read_event_usage(b'{"choices":[{}],' + usage + b"}")[1] is False


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("plain", "plain"),
        ([{"type": "text", "text": "a"}, {"type": "image_url"}, {"type": "text", "text": "b"}], "ab"),
        (None, ""),
    ],
)
def test_the_last_user_text_is_found_in_every_form_of_content(content: object, text: str) -> None:
    messages = [
        {"role": "user", "content": "x"},
        {"role": "user", "content": content},
        {"role": "assistant", "content": "y"},
    ]
    assert read_last_user_text(ChatRequest.ask("m", messages)) == text


def test_limits_are_read_from_either_name() -> None:
    assert ChatRequest.ask("m", [], max_tokens=3).most_tokens == 3
    assert ChatRequest.ask("m", [], max_completion_tokens=4, max_tokens=3).most_tokens == 4
    assert ChatRequest.ask("m", []).most_tokens is None


def test_text_is_read_from_chat_and_text_events() -> None:
    chat = b'data: {"choices":[{"delta":{"content":"a"}},{"delta":{}}]}\n\n'
    text = b'data: {"choices":[{"text":"b"}]}\n\n: comment\n\ndata: [DONE]\n\n'
    assert "".join(read_stream_text(chat + text)) == "ab"


def test_the_message_of_an_error_envelope_is_read_and_other_bodies_are_not() -> None:
    assert read_error_message(b'{"error":{"message":"no","code":5}}') == "no"
    for other in (b"", b"<html>", b'{"error":"no"}', b"[]"):
        assert read_error_message(other) is None


def test_requests_made_from_python_values_leave_out_what_is_none() -> None:
    request = TaskRequest.embed("e", ["a", "b"], dimensions=None, user="u")
    assert (request.inputs, set(request.fields)) == (2, {"input", "user"})
    assert json.loads(bytes(request.fields["input"])) == ["a", "b"]


@pytest.mark.parametrize("form", ["float", "base64"])
def test_vectors_are_packed_from_both_of_openais_forms_in_the_order_of_the_inputs(form: str) -> None:
    vectors = [[1.0, -2.5], [0.5, 3.0]]
    packed = [struct.pack("<2f", *each) for each in vectors]
    told = vectors if form == "float" else [base64.b64encode(each).decode() for each in packed]
    data = [{"index": 1, "embedding": told[1]}, {"index": 0, "embedding": told[0]}]
    result = TaskResult(json_bytes({"data": data}), None, "m", "m#1")
    assert result.packed_vectors() == packed


@pytest.mark.parametrize("embedding", ["no base64!", "AAA=", [], [1e300], None])
def test_what_is_no_vector_is_not_packed(embedding: object) -> None:
    result = TaskResult(json_bytes({"data": [{"index": 0, "embedding": embedding}]}), None, "m", "m#1")
    with pytest.raises(ValueError, match="these are no vectors"):
        result.packed_vectors()
