"""OpenAI's SDK, `client.responses`, unchanged, against models that only know chat."""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openai
import pytest
import yaml
from pydantic import BaseModel

from tests.calls import Reply, call
from tests.conftest import ECHO, RunningHouse, open_house
from tests.engine import DONE, STREAM_HEAD, Answer, Asked, FakeEngine, chunk, event, fake_engine, status, stream, whole
from tests.rooms.gateway.wires.chat_answers import FULL_USAGE, call_of, message, piece, pieces, tool_call, usage_event

Start = Callable[..., RunningHouse]
WEATHER: Any = {
    "type": "function",
    "name": "weather",
    "description": "Tells the weather.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    "strict": True,
}
PIXEL = "data:image/png;base64,iVBORw0KGgo="


@contextmanager
def asking(house: Start, answer: Answer | None = None, **more: Any) -> Iterator[tuple[openai.OpenAI, FakeEngine]]:
    """OpenAI's client at a house with one model, `m`, on an engine that answers so."""
    with fake_engine(answer) as engine:
        model = {"name": "m", "serve": {"engine": "openai", "url": engine.url, "model": "fake"}, "retries": 0}
        started = house(model, ECHO, **more)
        with openai.OpenAI(base_url=f"{started.url}/v1", api_key=started.key, max_retries=0) as client:
            yield client, engine


def post(house: RunningHouse, body: Any, **headers: str) -> Reply:
    return call(f"{house.url}/v1/responses", "POST", body, {**house.headers, **headers})


def messages_of(engine: FakeEngine, place: int = -1) -> Any:
    return engine.calls()[place].json["messages"]


# answers


def test_a_text_is_answered_with_a_response(house: Start) -> None:
    with asking(house, message(content="Hi!", usage=FULL_USAGE)) as (client, engine):
        answer = client.responses.create(
            model="m", input="hello", instructions="Be kind.", max_output_tokens=50, temperature=0.5, top_p=0.9,
            reasoning={"effort": "low"}, metadata={"a": "b"}, user="ana", truncation="auto",
            include=["reasoning.encrypted_content"],
        )  # fmt: skip
    assert answer.output_text == "Hi!" and answer.status == "completed" and answer.model == "m"
    assert answer.metadata == {"a": "b"} and answer.instructions == "Be kind." and answer.user == "ana"
    assert answer.usage and answer.usage.input_tokens == 100 and answer.usage.total_tokens == 120
    assert answer.usage.input_tokens_details.cached_tokens == 30
    assert answer.usage.output_tokens_details.reasoning_tokens == 5
    asked = engine.calls()[0].json
    assert asked["messages"] == [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "hello"}]
    names = ("max_tokens", "temperature", "top_p", "reasoning_effort", "user")
    assert [asked[name] for name in names] == [50, 0.5, 0.9, "low", "ana"]
    assert "metadata" not in asked and "include" not in asked


def test_items_of_all_kinds_become_messages(house: Start) -> None:
    items: Any = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [
            {"type": "input_text", "text": "What?"},
            {"type": "input_image", "image_url": PIXEL, "detail": "low"},
            {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
            {"type": "input_file", "file_data": "data:application/pdf;base64,AA", "filename": "a.pdf"},
        ]},
        {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm."}]},
        {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
         "content": [{"type": "output_text", "text": "A dot.", "annotations": []}]},
        {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": "{}"},
        {"type": "function_call", "call_id": "c2", "name": "weather", "arguments": "{\"city\":\"Rome\"}"},
        {"type": "function_call_output", "call_id": "c2", "output": "warm"},
        {"type": "function_call_output", "call_id": "c1", "output": [
            {"type": "input_text", "text": "see"}, {"type": "input_image", "image_url": PIXEL}]},
        {"role": "user", "content": "And?"},
    ]  # fmt: skip
    with asking(house) as (client, engine):
        client.responses.create(model="m", input=items)
    system, user, turn, warm, see, images, last = messages_of(engine)
    assert system == {"role": "system", "content": "Be brief."}
    assert [part["type"] for part in user["content"]] == ["text", "image_url", "input_audio", "file"]
    assert user["content"][1]["image_url"] == {"url": PIXEL, "detail": "low"}
    assert turn["content"] == "A dot." and turn["reasoning_content"] == "Hm."
    assert [each["id"] for each in turn["tool_calls"]] == ["c1", "c2"]
    assert warm == {"role": "tool", "tool_call_id": "c2", "content": "warm"}
    assert see == {"role": "tool", "tool_call_id": "c1", "content": "see"}
    assert images["role"] == "user" and images["content"][1]["image_url"] == {"url": PIXEL}
    assert last == {"role": "user", "content": "And?"}


def test_tools_go_round(house: Start) -> None:
    calls = [tool_call("a", "weather", '{"city":"Oslo"}'), tool_call("b", "weather", '{"city":"Rome"}')]
    said = {"content": "Let me see.", "reasoning_content": "Two cities."}
    with asking(house, message("tool_calls", tool_calls=calls, **said)) as (client, engine):
        first = client.responses.create(
            model="m", input="weather?", tools=[WEATHER], tool_choice="required", parallel_tool_calls=True
        )
        asked = engine.calls()[0].json
        engine.answer = whole("Cold and warm.")
        outputs: Any = [
            {"type": "function_call_output", "call_id": each.call_id, "output": "so so"}
            for each in first.output
            if each.type == "function_call"
        ]
        by_id = client.responses.create(model="m", input=outputs, previous_response_id=first.id, tools=[WEATHER])
        replayed = client.responses.create(
            model="m", input=[{"role": "user", "content": "weather?"}, *first.output, *outputs], tools=[WEATHER]
        )
    assert [item.type for item in first.output] == ["reasoning", "message", "function_call", "function_call"]
    function = {name: WEATHER[name] for name in ("name", "description", "parameters", "strict")}
    assert asked["tools"] == [{"type": "function", "function": function}]
    assert asked["tool_choice"] == "required" and asked["parallel_tool_calls"] is True
    assert by_id.output_text == replayed.output_text == "Cold and warm."
    assert messages_of(engine, 1) == messages_of(engine, 2)
    turn = messages_of(engine)[1]
    assert turn["tool_calls"] == calls and turn["content"] == "Let me see." and turn["reasoning_content"]


@pytest.mark.parametrize(
    ("choice", "sent", "tools"),
    [
        ({"type": "function", "name": "weather"}, {"type": "function", "function": {"name": "weather"}}, 2),
        (
            {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "weather"}]},
            "required",
            1,
        ),
        ("none", "none", 2),
    ],
)
def test_a_tool_may_be_chosen(house: Start, choice: Any, sent: Any, tools: int) -> None:
    with asking(house) as (client, engine):
        answer = client.responses.create(
            model="m", input="x", tools=[WEATHER, {**WEATHER, "name": "time"}], tool_choice=choice
        )
    asked = engine.calls()[0].json
    assert asked["tool_choice"] == sent and len(asked["tools"]) == tools
    assert len(answer.tools) == 2


class Person(BaseModel):
    name: str
    age: int


def test_structured_output_is_parsed_by_the_sdk_whole_and_streamed(house: Start) -> None:
    text = '{"name":"Ana","age":7}'
    with asking(house, message(content=text)) as (client, engine):
        parsed = client.responses.parse(model="m", input="who?", text_format=Person)
        engine.answer = pieces(piece(content=text[:9]), piece(content=text[9:]), piece("stop"))
        with client.responses.stream(model="m", input="who?", text_format=Person) as told:
            for _ in told:
                pass
            final = told.get_final_response()
    assert parsed.output_parsed == final.output_parsed == Person(name="Ana", age=7)
    wanted = engine.calls()[0].json["response_format"]
    assert wanted["json_schema"]["name"] == "Person" and wanted["json_schema"]["strict"] is True
    assert parsed.text and parsed.text.format and parsed.text.format.type == "json_schema"


def test_logprobs_are_handed_on(house: Start) -> None:
    found = [{"token": "Hi", "logprob": -0.5, "bytes": [72, 105], "top_logprobs": []}]
    with asking(house, message(content="Hi", choice={"logprobs": {"content": found}})) as (client, engine):
        answer = client.responses.create(model="m", input="x", include=["message.output_text.logprobs"], top_logprobs=2)
    part: Any = answer.output[0]
    assert part.content[0].logprobs[0].logprob == -0.5
    assert engine.calls()[0].json["logprobs"] is True and engine.calls()[0].json["top_logprobs"] == 2


@pytest.mark.parametrize(("finish", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter")])
@pytest.mark.parametrize("streams", [False, True])
def test_what_is_cut_short_is_incomplete_and_says_why(house: Start, finish: str, reason: str, streams: bool) -> None:
    answer = pieces(piece(content="so"), piece(finish)) if streams else message(finish, content="so")
    with asking(house, answer) as (client, _):
        if streams:
            ending = list(client.responses.create(model="m", input="x", stream=True))[-1]
            assert ending.type == "response.incomplete"
            found = ending.response
        else:
            found = client.responses.create(model="m", input="x")
        assert found.status == "incomplete" and found.incomplete_details and found.incomplete_details.reason == reason
        assert found.output_text == "so" and client.responses.retrieve(found.id).status == "incomplete"


# streams


def test_a_stream_has_typed_events_in_their_order(house: Start) -> None:
    answer = pieces(
        piece(reasoning_content="Hm"), piece(reasoning_content="."), piece(content="Let "), piece(content="me."),
        piece(tool_calls=[call_of(0, "weather", id="call_1")]), piece(tool_calls=[call_of(0, arguments='{"city"')]),
        piece(tool_calls=[call_of(0, arguments=':"Oslo"}')]), piece("tool_calls"), usage=FULL_USAGE,
    )  # fmt: skip
    with asking(house, answer) as (client, _):
        events: list[Any] = list(client.responses.create(model="m", input="x", tools=[WEATHER], stream=True))
        kept = client.responses.retrieve(events[-1].response.id)
    assert [each.type.removeprefix("response.") for each in events] == [
        "created", "in_progress",
        "output_item.added", "content_part.added", "reasoning_text.delta", "reasoning_text.delta",
        "reasoning_text.done", "content_part.done", "output_item.done",
        "output_item.added", "content_part.added", "output_text.delta", "output_text.delta",
        "output_text.done", "content_part.done", "output_item.done",
        "output_item.added", "function_call_arguments.delta", "function_call_arguments.delta",
        "function_call_arguments.done", "output_item.done",
        "completed",
    ]  # fmt: skip
    assert [each.sequence_number for each in events] == list(range(len(events)))
    final = events[-1].response
    assert [item.type for item in final.output] == ["reasoning", "message", "function_call"]
    assert final.output[0].content[0].text == "Hm." and final.output_text == "Let me."
    assert final.output[2].call_id == "call_1" and final.output[2].arguments == '{"city":"Oslo"}'
    assert final.usage.output_tokens == 20 and kept.model_dump() == final.model_dump()
    done = [each for each in events if each.type == "response.output_item.done"]
    assert [each.item.id for each in done] == [item.id for item in final.output]
    assert events[2].item.status == "in_progress" and done[1].item.status == "completed"


def test_a_refusal_is_streamed_as_one(house: Start) -> None:
    with asking(house, pieces(piece(refusal="I "), piece(refusal="won't."), piece("stop"))) as (client, _):
        events: list[Any] = list(client.responses.create(model="m", input="x", stream=True))
    assert [each.delta for each in events if each.type == "response.refusal.delta"] == ["I ", "won't."]
    assert events[-1].response.output[0].content[0].refusal == "I won't."


def test_a_budget_that_is_spent_midway_leaves_an_incomplete_response(house: Start) -> None:
    answer = pieces(*(piece(content=f"word{number} ") for number in range(3000)), piece("stop"))
    with fake_engine(answer) as engine:
        serve = {"engine": "openai", "url": engine.url}
        model = {"name": "m", "serve": serve, "price": {"output": 1_000_000.0}}
        started = house(model, budgets=[{"of": "key", "usd": 300}])
        reply = post(started, {"model": "m", "input": "hello", "stream": True})
    ending = reply.events[-1]
    assert ending["type"] == "response.incomplete"
    assert ending["response"]["incomplete_details"] == {"reason": "max_output_tokens"}
    assert ending["response"]["hanok"]["stopped_by"] == "budget_exceeded"
    assert ending["response"]["output"][0]["status"] == "incomplete"


@pytest.mark.parametrize(
    "answer",
    [
        stream(piece(content="Hi"), b"data: nonsense\n\n", DONE),
        stream(piece(content="Hi"), end=b"zz"),
        stream(piece(content="Hi"), event({"error": {"message": "out of memory"}})),
        stream(piece(content="Hi"), usage_event(), DONE),
    ],
    ids=["no JSON", "cut off", "error", "no end"],
)
def test_an_engine_that_fails_midway_leaves_a_failed_response(house: Start, answer: Answer) -> None:
    told: list[Any] = []
    with asking(house, answer) as (client, _):
        with pytest.raises(openai.APIError) as broken:
            deque(map(told.append, client.responses.create(model="m", input="x", stream=True)))
        with pytest.raises(openai.NotFoundError):
            client.responses.retrieve(told[0].response.id)
    assert broken.value.message and told[-1].type == "response.failed"
    assert told[-1].response.status == "failed" and told[-1].response.error.code == "server_error"


def test_a_caller_who_goes_away_stops_the_engine(house: Start) -> None:
    async def endless(asked: Asked, writer: Any) -> None:
        writer.write(STREAM_HEAD + chunk(piece(content="Hi")))
        await writer.drain()
        await asked.gone()

    with asking(house, endless) as (client, engine):
        told = client.responses.create(model="m", input="x", stream=True)
        assert next(told).type == "response.created"
        told.close()
        assert engine.gone.wait(5)


# what is kept


def test_a_conversation_goes_on_from_any_of_its_responses(house: Start) -> None:
    with asking(house) as (client, engine):
        first = client.responses.create(model="m", input="one", instructions="Be kind.")
        second = client.responses.create(model="m", input="two", previous_response_id=first.id)
        client.responses.create(model="m", input="three", previous_response_id=second.id, store=False)
        client.responses.create(model="m", input="other", previous_response_id=first.id)
    said = {"role": "assistant", "content": "hello there friend"}
    one, two, three, other = ({"role": "user", "content": text} for text in ("one", "two", "three", "other"))
    assert messages_of(engine, 1) == [one, said, two]  # instructions are each call's own
    assert messages_of(engine, 2) == [one, said, two, said, three]
    assert messages_of(engine, 3) == [one, said, other]


def test_items_can_be_listed_and_referred_to(house: Start) -> None:
    items: Any = [{"role": "user", "content": text} for text in ("a", "b", "c")]
    with asking(house) as (client, engine):
        first = client.responses.create(model="m", input=items)
        page = client.responses.input_items.list(first.id, limit=2, order="asc")
        assert [item.content[0].text for item in page.data] == ["a", "b"] and page.has_more
        assert [item.content[0].text for item in page] == ["a", "b", "c"]
        assert [item.content[0].text for item in client.responses.input_items.list(first.id).data] == ["c", "b", "a"]
        reference: Any = [{"type": "item_reference", "id": first.output[0].id}, {"role": "user", "content": "d"}]
        client.responses.create(model="m", input=reference)
        with pytest.raises(openai.BadRequestError, match="no item"):
            client.responses.create(model="m", input=[{"type": "item_reference", "id": "msg_0_0"}])
        with pytest.raises(openai.BadRequestError, match="limit"):
            client.responses.input_items.list(first.id, limit=0)
        with pytest.raises(openai.BadRequestError, match="limit"):
            client.responses.input_items.list(first.id, limit=int("9" * 4000))
        with pytest.raises(openai.BadRequestError, match="after"):
            client.responses.input_items.list(first.id, after="x")
    assert [each["content"] for each in messages_of(engine)] == ["hello there friend", "d"]


def test_short_references_do_not_make_a_long_conversation(house: Start) -> None:
    with asking(house) as (client, engine):
        first = client.responses.create(model="m", input="x" * 1_000_000)
        own = client.responses.input_items.list(first.id).data[0].id
        references: Any = [{"type": "item_reference", "id": own}]
        client.responses.create(model="m", input=references * 2, store=False)
        with pytest.raises(openai.BadRequestError, match="more than 32 MiB"):
            client.responses.create(model="m", input=references * 100, store=False)
        unknown: Any = [{"type": "item_reference", "id": f"msg_{place}_0"} for place in range(2000)]
        with pytest.raises(openai.BadRequestError, match="more than 1000 responses"):
            client.responses.create(model="m", input=unknown)
    assert len(engine.calls()) == 2


def test_what_is_not_to_be_kept_or_is_deleted_is_not_there(house: Start) -> None:
    with asking(house) as (client, _):
        fleeting = client.responses.create(model="m", input="x", store=False)
        assert fleeting.store is False
        kept = client.responses.create(model="m", input="x")
        after = client.responses.create(model="m", input="x", previous_response_id=kept.id)
        client.responses.delete(kept.id)
        for gone in (fleeting.id, kept.id):
            for ask in (client.responses.retrieve, client.responses.delete, client.responses.input_items.list):
                with pytest.raises(openai.NotFoundError):
                    ask(gone)
            with pytest.raises(openai.BadRequestError) as refused:
                client.responses.create(model="m", input="x", previous_response_id=gone)
            assert refused.value.code == "previous_response_not_found"
        with pytest.raises(openai.BadRequestError, match="not kept whole"):
            client.responses.create(model="m", input="x", previous_response_id=after.id)


def test_responses_belong_to_a_team_or_else_to_a_key(house: Start) -> None:
    started = house(ECHO, teams=[{"name": "red"}])

    def client(name: str, team: str | None = None) -> openai.OpenAI:
        key = started.house.ledger.create_key(name, team=team).secret
        started.run(started.house.refresh())
        return openai.OpenAI(base_url=f"{started.url}/v1", api_key=key, max_retries=0)

    with client("a", "red") as one, client("b", "red") as same_team, client("c") as alone, client("d") as stranger:
        reds = one.responses.create(model="echo", input="hello").id
        own = alone.responses.create(model="echo", input="hello").id
        assert same_team.responses.retrieve(reds).id == reds and alone.responses.retrieve(own).id == own
        for other, what in ((stranger, reds), (stranger, own), (same_team, own), (alone, reds)):
            for ask in (other.responses.retrieve, other.responses.delete):
                with pytest.raises(openai.NotFoundError):
                    ask(what)
            with pytest.raises(openai.BadRequestError):
                other.responses.create(model="echo", input="x", previous_response_id=what)
        assert one.responses.retrieve(reds).output_text == "hello"


def test_responses_survive_a_restart_and_a_lost_disk_is_said(write_platform: Any) -> None:
    file: Path = write_platform(ECHO)
    team = {"teams": [{"name": "red"}]}
    file = write_platform(ECHO, **team)
    with open_house(file, "one") as started:
        secret = started.house.ledger.create_key("lasting").secret
        started.run(started.house.refresh())
        with openai.OpenAI(base_url=f"{started.url}/v1", api_key=secret) as client:
            first = client.responses.create(model="echo", input="hello")
    with open_house(file, "two") as started, openai.OpenAI(base_url=f"{started.url}/v1", api_key=secret) as client:
        assert client.responses.retrieve(first.id).output_text == "hello"
        store = started.house.responses
        with sqlite3.connect(store._file) as thief:
            thief.execute("DROP TABLE responses")
        unkept = client.responses.create(model="echo", input="hello")
        assert unkept.output_text == "hello" and unkept.store is False


# what is refused


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"tools": [{"type": "mcp", "server_label": "x"}]}, "tools[0].type"),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": "sometimes"}, "tool_choice"),
        ({"tool_choice": {"type": "function", "name": "x"}}, "tool_choice.name"),
        ({"tool_choice": {"type": "file_search"}}, "tool_choice.type"),
        ({"background": True}, "background"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"prompt": {"id": "p"}}, "prompt"),
        ({"text": {"format": {"type": "json_schema", "name": "x"}}}, "text.format.schema"),
        ({"text": {"format": {"type": "grammar"}}}, "text.format.type"),
        ({"metadata": {"a": 5}}, "metadata[...]"),
        ({"max_output_tokens": -1}, "max_output_tokens"),
        ({"temperature": "hot"}, "temperature"),
        ({"input": 5}, "input"),
        ({"input": ""}, "input"),
        ({"input": []}, "input"),
        ({"input": ["x"]}, "input[0]"),
        ({"input": [{}]}, "input[0].type"),
        ({"input": [{"type": "computer_call"}]}, "input[0].type"),
        ({"input": [{"role": "wizard", "content": "x"}]}, "input[0].role"),
        ({"input": [{"role": "user"}]}, "input[0].content"),
        ({"input": [{"role": "user", "content": []}]}, "input[0].content"),
        ({"input": [{"role": "user", "content": [{"type": "magic"}]}]}, "input[0].content[0].type"),
        ({"input": [{"role": "user", "content": [{"type": "input_text"}]}]}, "input[0].content[0].text"),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "input[0].content[0].image_url"),
        ({"input": [{"role": "user", "content": [{"type": "input_file"}]}]}, "input[0].content[0].file_data"),
        ({"input": [{"type": "function_call_output", "call_id": "x", "output": "y"}]}, "input[0].call_id"),
        ({"input": [{"type": "function_call", "call_id": "x", "name": "f"}]}, "input"),
        ({"input": [{"type": "function_call", "call_id": "x", "name": "f"}] * 2}, "input[1].call_id"),
        ({"previous_response_id": "resp_x"}, "previous_response_id"),
        ({"model": "none"}, "model"),
    ],
)
def test_what_cannot_be_passed_on_is_refused_by_its_name(house: Start, more: Any, named: str) -> None:
    reply = post(house(ECHO), {"model": "echo", "input": "hello", **more})
    assert reply.status == (404 if named == "model" else 400), reply.body
    assert reply.error["type"] == "invalid_request_error"
    assert reply.error["param"] == named, reply.error


@pytest.mark.parametrize("more", ["reasoning", "text", "input_item"])
def test_what_cannot_be_said_again_is_refused_before_it_is_asked(house: Start, more: str) -> None:
    with fake_engine() as engine:
        started = house({"name": "m", "serve": {"engine": "openai", "url": engine.url, "model": "fake"}})
        given = {
            "reasoning": '"reasoning": {"x": 1e400}, "input": "hello"',
            "text": '"text": {"x": 1e400}, "input": "a"',
        }
        own = given.get(more, '"input": [{"role": "user", "content": "hello", "x": 1e400}]')
        reply = call(f"{started.url}/v1/responses", "POST", f'{{"model": "m", {own}}}'.encode(), started.headers)
        assert (reply.status, reply.error["code"], engine.calls()) == (400, "invalid_value", [])


def test_other_calls_are_answered_politely(house: Start) -> None:
    started = house(ECHO)
    with openai.OpenAI(base_url=f"{started.url}/v1", api_key=started.key, max_retries=0) as client:
        assert client.responses.input_tokens.count(model="echo", input="one two").input_tokens == 2
        with pytest.raises(openai.BadRequestError, match="background"):
            client.responses.cancel("resp_x")
        kept = client.responses.create(model="echo", input="x")
        with pytest.raises(openai.BadRequestError, match="streamed again"):
            next(client.responses.retrieve(kept.id, stream=True))
        with pytest.raises(openai.AuthenticationError):
            client.with_options(api_key="hk-wrong").responses.retrieve(kept.id)
    url = f"{started.url}/v1/responses"
    assert call(url, headers=started.headers).status == 405
    assert call(f"{url}/x/y/z", headers=started.headers).status == 404
    put = call(f"{url}/x", "PUT", b"", started.headers)
    assert put.status == 405 and put.headers["allow"] == "GET, DELETE"
    assert call(f"{url}/x").status == 401


def test_an_engine_that_answers_nonsense_is_a_bad_gateway(house: Start) -> None:
    with asking(house, status(200, b'{"choices":[]}')) as (client, _), pytest.raises(openai.APIStatusError) as broken:
        client.responses.create(model="m", input="x")
    assert broken.value.status_code == 502


def test_how_long_responses_are_kept_may_change_while_running(house: Start) -> None:
    started = house(ECHO, gateway={"reload": False})
    kept = post(started, {"model": "echo", "input": "hello"}).json["id"]
    url = f"{started.url}/v1/responses/{kept}"
    assert call(url, headers=started.headers).status == 200
    file = started.house.loaded.file
    platform = yaml.safe_load(file.read_text("utf-8"))
    platform["gateway"] = {"reload": False, "responses": {"keep_days": 1.0e-9}}
    file.write_text(yaml.safe_dump(platform), "utf-8")
    assert any("responses" in change for change in started.run(started.house.config.reload()))
    assert call(url, headers=started.headers).status == 404


def test_the_file_is_made_with_the_first_response_and_is_its_owners_alone(house: Start) -> None:
    started = house(ECHO)
    assert post(started, {"model": "echo", "input": "hello", "store": False}).json["store"] is False
    assert not (started.house.loaded.state / "responses.db").exists()
    assert post(started, {"model": "echo", "input": "hello"}).json["store"] is True
    assert (started.house.loaded.state / "responses.db").stat().st_mode & 0o777 == 0o600


def test_responses_that_cannot_be_read_are_not_called_books(house: Start) -> None:
    started = house(ECHO)
    (started.house.loaded.state / "responses.db").mkdir()
    refused = call(f"{started.url}/v1/responses/resp_1", headers=started.headers)
    assert (refused.status, refused.error["code"], refused.headers["retry-after"]) == (503, "store_unreachable", "5")
    assert "responses.db" in refused.error["message"]
