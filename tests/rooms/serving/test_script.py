"""Engine `script`, asked through the door as an agent asks: with OpenAI's client, whole and streamed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
import yaml

from hanok.errors import SpecError
from hanok.spec import load
from tests.conftest import RunningHouse, open_house

SEARCH = {"name": "web_search", "arguments": {"query": "호텔 in Seoul", "top_k": 3}}
SCRIPTS: dict[str, dict[str, Any]] = {
    "caller": {"turns": [{"say": "Let me look.", "call": SEARCH}]},
    "twice": {"turns": [{"call": [SEARCH, {"name": "calculator"}]}]},
    "json": {"turns": [{"json": {"label": "billing", "sure": True}}]},
    "null": {"turns": [{"json": None}]},
    "loop": {
        "turns": [
            {"tool": "web_search", "when": "sunny", "say": "Take sunglasses."},
            {"tool": "web_search", "say": "I do not know."},
            {"when": "weather", "call": SEARCH},
        ]
    },
    "tired": {"turns": [{"after": 2, "times": 1, "say": "enough"}, {"say": "more"}, {"say": "last", "times": 2}]},
    "roles": {
        "turns": [
            {"system": "You plan", "schema": "plan", "json": {"steps": ["look"]}},
            {"system": "You plan", "say": "planned"},
            {"say": "somebody else"},
        ]
    },
    "broken": {"turns": [{"when": "boom", "times": 1, "error": 503, "say": "out of luck"}, {"say": "fine"}]},
    "ordered": {
        "ordered": True,
        "turns": [
            {"say": "one"},
            {"say": "two"},
            {"say": "three"},
            {"when": "hello", "times": 1, "say": "hello to you"},
            {"after": 2, "times": 1, "error": 503},
        ],
    },
}


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHouse]:
    file = tmp_path_factory.mktemp("scripts") / "platform.yaml"
    models = [{"name": name, "retries": 0, "serve": {"engine": "script", **script}} for name, script in SCRIPTS.items()]
    file.write_text(yaml.safe_dump({"name": "test", "models": models}), "utf-8")
    with open_house(file) as house:
        yield house


@pytest.fixture(scope="module")
def client(scripts: RunningHouse) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{scripts.url}/v1", api_key=scripts.key, max_retries=0) as made:
        yield made


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def said(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def after_a_call(question: str, result: str) -> list[Any]:
    call = {"id": "c1", "type": "function", "function": {"name": "web_search", "arguments": "{}"}}
    asked = {"role": "assistant", "content": None, "tool_calls": [call]}
    return [user(question), asked, {"role": "tool", "tool_call_id": "c1", "content": result}]


def ask(client: openai.OpenAI, model: str, *messages: Any, **more: Any) -> Any:
    return client.chat.completions.create(model=model, messages=list(messages), **more)


def text_of(client: openai.OpenAI, model: str, *messages: Any) -> str:
    return ask(client, model, *messages).choices[0].message.content


def test_a_turn_calls_a_tool_as_openai_does(client: openai.OpenAI) -> None:
    answer = ask(client, "caller", user("hotels?"))
    choice = answer.choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content == "Let me look."
    (call,) = choice.message.tool_calls
    assert (call.type, call.function.name) == ("function", "web_search")
    assert json.loads(call.function.arguments) == SEARCH["arguments"]
    assert answer.usage.completion_tokens > len(["Let", "me", "look."])


def test_the_same_request_gets_the_same_call_ids_and_another_gets_others(client: openai.OpenAI) -> None:
    ids = [ask(client, "twice", user(text)).choices[0].message.tool_calls for text in ("a", "a", "b")]
    first, again, other = [[call.id for call in calls] for calls in ids]
    assert first == again
    assert len({*first, *other}) == 4


def test_streamed_calls_come_in_pieces_that_add_up_to_the_whole_ones(client: openai.OpenAI) -> None:
    whole = ask(client, "twice", user("x")).choices[0].message.tool_calls
    calls: dict[int, dict[str, str]] = {}
    pieces, reason, usage = 0, None, None
    for chunk in ask(client, "twice", user("x"), stream=True, stream_options={"include_usage": True}):
        usage = chunk.usage or usage
        for choice in chunk.choices:
            reason = choice.finish_reason or reason
            for piece in choice.delta.tool_calls or ():
                pieces += 1
                call = calls.setdefault(piece.index, {"id": piece.id, "name": piece.function.name, "arguments": ""})
                call["arguments"] += piece.function.arguments or ""
    assert reason == "tool_calls"
    assert pieces > 4, "arguments come in pieces"
    assert usage is not None
    assert usage.completion_tokens == pieces
    assert list(calls.values()) == [
        {"id": call.id, "name": call.function.name, "arguments": call.function.arguments} for call in whole
    ]


def test_an_answer_that_is_cut_says_so_even_within_a_call(client: openai.OpenAI) -> None:
    assert ask(client, "twice", user("x"), max_tokens=2).choices[0].finish_reason == "length"


def test_structured_answers_are_said_as_json(client: openai.OpenAI) -> None:
    assert json.loads(text_of(client, "json", user("x"))) == {"label": "billing", "sure": True}
    assert text_of(client, "null", user("x")) == "null"


def test_turns_are_chosen_by_the_tool_whose_result_came_and_by_what_is_in_it(client: openai.OpenAI) -> None:
    (call,) = ask(client, "loop", user("the weather?")).choices[0].message.tool_calls
    assert call.function.name == "web_search"
    assert text_of(client, "loop", *after_a_call("the weather?", "it is sunny")) == "Take sunglasses."
    assert text_of(client, "loop", *after_a_call("the weather?", "no idea")) == "I do not know."
    follow_up = [*after_a_call("the weather?", "sunny"), said("Take sunglasses."), user("nothing of this")]
    assert text_of(client, "loop", *follow_up) == "", "the user spoke last, and no condition holds"


def test_turns_are_chosen_by_what_the_model_is_told_and_by_the_form_that_is_asked_for(client: openai.OpenAI) -> None:
    told = {"role": "system", "content": "You plan work."}
    form = {"type": "json_schema", "json_schema": {"name": "plan", "schema": {"type": "object"}}}
    planned = ask(client, "roles", told, user("x"), response_format=form)
    assert json.loads(planned.choices[0].message.content) == {"steps": ["look"]}
    assert text_of(client, "roles", told, user("x")) == "planned"
    assert text_of(client, "roles", user("x")) == "somebody else"


def test_turns_hold_from_the_nth_call_and_so_often(client: openai.OpenAI) -> None:
    heard = [text_of(client, "tired", user("x")) for _ in range(6)]
    assert heard == ["more", "last", "enough", "last", "more", "last"]


def test_a_turn_may_fail_as_an_engine_does(client: openai.OpenAI) -> None:
    with pytest.raises(openai.InternalServerError, match="out of luck") as caught:
        ask(client, "broken", user("boom"))
    assert caught.value.status_code == 503
    assert text_of(client, "broken", user("boom")) == "fine", "once, as `times` says"


def test_an_ordered_script_finds_its_place_in_each_request(client: openai.OpenAI) -> None:
    begun = [user("a"), said("one"), user("b")]
    assert text_of(client, "ordered", *begun) == "two"
    assert text_of(client, "ordered", *begun) == "two", "asked again after a crash, it says the same"
    assert text_of(client, "ordered", user("a")) == "one", "another conversation has a place of its own"
    greeted = [user("hello"), said("hello to you"), user("hello")]
    assert text_of(client, "ordered", *greeted) == "one", "`times` counts what this conversation has had"
    with pytest.raises(openai.InternalServerError):
        text_of(client, "ordered", *begun, said("two"), user("c"))
    assert text_of(client, "ordered", *begun, said("two"), user("c")) == "three", "an error is had once"


def test_a_prompt_without_a_conversation_is_answered_in_text(scripts: RunningHouse) -> None:
    body = {"model": "caller", "prompt": "hotels?"}
    answer = httpx.post(f"{scripts.url}/v1/completions", json=body, headers=scripts.headers)
    assert answer.json()["choices"][0]["text"] == "Let me look."


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ({"turns": [{"when": "x"}]}, "must have `say`, `call`, `json` or `error`"),
        ({"turns": [{"say": "x", "json": 1}]}, "at most one of `say` and `json`"),
        ({"turns": [{"error": 500, "json": 1}]}, "with `error` may have `say` only"),
        ({"ordered": True, "turns": [{"error": 500}]}, "it needs a condition"),
    ],
)
def test_a_turn_that_says_nothing_or_too_much_is_refused(tmp_path: Path, script: Any, message: str) -> None:
    file = tmp_path / "platform.yaml"
    model = {"name": "m", "retries": 0, "serve": {"engine": "script", **script}}
    file.write_text(yaml.safe_dump({"name": "test", "models": [model]}), "utf-8")
    with pytest.raises(SpecError, match=message):
        load(file)


@pytest.mark.parametrize("form", [7, {"type": "json_schema", "json_schema": {"name": 7}}])
def test_a_format_that_cannot_be_read_is_refused_as_an_engine_would(scripts: RunningHouse, form: Any) -> None:
    body = {"model": "caller", "messages": [{"role": "user", "content": "x"}], "response_format": form}
    answer = httpx.post(
        f"{scripts.url}/v1/chat/completions", json=body, headers={"authorization": f"Bearer {scripts.key}"}
    )
    assert answer.status_code == 400
    assert "cannot be read" in answer.json()["error"]["message"]
