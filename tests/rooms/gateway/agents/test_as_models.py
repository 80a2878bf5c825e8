"""Agents asked as if they were models, by any client: what is said, how it streams, what goes wrong."""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

import anthropic
import openai
import pytest

from tests.calls import Reply
from tests.conftest import wait_until
from tests.rooms.gateway.agents.conftest import People


def ask(people: People, text: str, *, who: str = "red", **more: Any) -> Reply:
    headers = {name: more.pop(name) for name in ("x-session-id",) if name in more}
    body = {"model": "agent/writer", "messages": [{"role": "user", "content": text}], **more}
    return people.ask("/v1/chat/completions", body, who=who, **headers)


def client(people: People) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{people.house.url}/v1", api_key=people.keys["red"], max_retries=0)


def test_a_chat_is_answered_by_a_run(people: People) -> None:
    told = ask(people, "good day").json
    (choice,) = told["choices"]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("1: good day", "stop")
    assert told["usage"]["total_tokens"] == 10 and told["model"] == "agent/writer"
    assert (told["hanok"]["state"], told["hanok"]["agent"]) == ("done", "writer")
    assert people.ask(f"/v1/agent-runs/{told['hanok']['run']}").json["answer"] == "1: good day"


def test_tools_are_told_as_reasoning_and_words_as_content(people: People) -> None:
    with client(people) as asked:
        messages: Any = [{"role": "user", "content": "tool please"}]
        options: Any = {"stream": True, "stream_options": {"include_usage": True}}
        pieces = list(asked.chat.completions.create(model="agent/writer", messages=messages, **options))
    deltas = [piece.choices[0].delta for piece in pieces if piece.choices]
    assert deltas[0].role == "assistant"
    thought = "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas)
    assert thought == '→ delete_file {"path":"/tmp/x"}\n← delete_file: gone\n'
    assert [delta.content for delta in deltas if delta.content] == ["it", " is", " gone"]
    assert pieces[-1].usage is not None and pieces[-1].usage.total_tokens == 10
    last: Any = pieces[-2]
    assert last.choices[0].finish_reason == "stop" and last.hanok["tools"][0]["name"] == "delete_file"
    whole = ask(people, "tool please").json["choices"][0]["message"]
    assert (whole["reasoning_content"], whole["content"]) == (thought, "it is gone")


def test_what_was_found_in_documents_is_noted_once(people: People) -> None:
    (noted,) = ask(people, "tool please").json["choices"][0]["message"]["annotations"]
    cited = noted["file_citation"]
    assert (cited["filename"], cited["quote"], cited["end_index"]) == ("a.md", "All of it.", len("it is gone"))
    streamed = ask(people, "tool please", stream=True).events
    assert streamed[-2]["choices"][0]["delta"]["annotations"] == [noted]


def test_the_history_that_is_sent_is_what_the_agent_knows(people: People) -> None:
    history = [{"role": "user", "content": "one"}, {"role": "assistant", "content": "two"}]
    messages = [*history, {"role": "user", "content": "three"}]
    assert ask(people, "", messages=messages).json["choices"][0]["message"]["content"] == "3: three"


@pytest.mark.parametrize("more", [{"x-session-id": "talk"}, {"metadata": {"thread": "other talk"}}])
def test_a_session_has_a_thread_of_its_own(people: People, more: dict[str, Any]) -> None:
    first = ask(people, "one", **more).json
    history = [{"role": "user", "content": "one"}, {"role": "assistant", "content": "1: one"}]
    again = ask(people, "", messages=[*history, {"role": "user", "content": "two"}], **more).json
    assert again["choices"][0]["message"]["content"] == "3: two"
    assert again["hanok"]["thread"] == first["hanok"]["thread"]
    assert ask(people, "one", who="blue", **more).json["choices"][0]["message"]["content"] == "1: one"


@pytest.mark.parametrize("stream", [False, True])
def test_a_run_that_waits_says_for_what(people: People, stream: bool) -> None:
    reply = ask(people, "wait for it", stream=stream)
    if stream:
        said = "".join(each["choices"][0]["delta"].get("content") or "" for each in reply.events[:-1])
        told = reply.events[-2]["hanok"]
    else:
        said, told = reply.json["choices"][0]["message"]["content"], reply.json["hanok"]
    assert said.startswith('May delete_file be called with {"path":"/tmp/x"}?')
    assert f"/v1/agent-runs/{told['run']}/answers" in said
    assert told["state"] == "waiting" and told["wanted"][0]["id"] == "ask_1"


def test_a_question_is_told_as_it_is(people: People) -> None:
    assert ask(people, "ask me").json["choices"][0]["message"]["content"].startswith("Which colour?\n")


def test_a_run_that_meets_a_limit_is_cut_short(people: People) -> None:
    told = ask(people, "limit").json
    (choice,) = told["choices"]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("as far as it came", "length")
    assert told["hanok"]["reason"] == "steps"


@pytest.mark.parametrize("stream", [False, True])
def test_a_run_that_fails_is_an_error(people: People, stream: bool) -> None:
    reply = ask(people, "fail", stream=stream)
    assert (reply.status, reply.error["code"]) == (502, "run_failed")
    assert "the model is not up" in reply.error["message"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_caller_who_goes_away_cancels_the_run(people: People, stream: bool) -> None:
    parts = urlsplit(people.house.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=20)
    messages = [{"role": "user", "content": "slow"}]
    body = {"model": "agent/spy", "stream": stream, "messages": messages}
    connection.request("POST", "/v1/chat/completions", json.dumps(body).encode(), people.headers("red"))
    running = "/v1/agent-runs?agent=spy&state=running"
    wait_until(lambda: people.ask(running).json["data"])
    connection.close()
    wait_until(lambda: not people.ask(running).json["data"])
    assert people.ask("/v1/agent-runs?agent=spy&limit=1").json["data"][0]["state"] == "cancelled"


def test_anthropics_client_asks_an_agent(people: People) -> None:
    with anthropic.Anthropic(base_url=people.house.url, api_key=people.keys["red"], max_retries=0) as asked:
        messages: Any = [{"role": "user", "content": "tool please"}]
        said = asked.messages.create(model="agent/writer", max_tokens=100, messages=messages)
        with asked.messages.stream(model="agent/writer", max_tokens=100, messages=messages) as stream:
            text = "".join(stream.text_stream)
    assert [block.text for block in said.content if block.type == "text"] == ["it is gone"] and text == "it is gone"
    assert said.usage.output_tokens == 3


def test_responses_ask_an_agent(people: People) -> None:
    with client(people) as asked:
        said = asked.responses.create(model="agent/writer", input="one")
        assert (said.output_text, said.status) == ("1: one", "completed")
        again = asked.responses.create(model="agent/writer", input="two", previous_response_id=said.id)
    assert again.output_text == "3: two"


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"tools": [{"type": "function", "function": {"name": "x"}}]}, "tools"),
        ({"n": 2}, "n"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"logprobs": True}, "logprobs"),
        ({"messages": [{"role": "assistant", "content": "I said"}]}, "messages[0]"),
        ({"metadata": {"thread": 7}}, "metadata.thread"),
    ],
)
def test_what_a_run_cannot_give_is_refused_by_its_field(people: People, more: dict[str, Any], param: str) -> None:
    reply = ask(people, "x", **more)
    assert (reply.status, reply.error["param"]) == (400, param)


def test_an_agent_that_is_not_open_is_no_model(people: People) -> None:
    assert ask(people, "x", who="red-narrow").error["code"] == "model_not_found"
    assert people.ask("/v1/completions", {"model": "agent/writer", "prompt": "x"}).error["param"] == "model"
