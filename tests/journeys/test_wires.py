"""The real embedded model, asked by Anthropic's SDK and by OpenAI's newer one."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest

from tests.conftest import free_port
from tests.journeys.test_hanok_up import Up, start_up

pytest.importorskip("xllamacpp", reason='the embedded model is not installed: pip install "hanok[local]"')
CAPITAL = "What is the capital of France?"
HELLO: Any = [{"role": "user", "content": CAPITAL}]


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    with contextlib.ExitStack() as stack:
        up = start_up(stack, tmp_path_factory.mktemp("wires"), free_port())
        up.wait_for("Ready.", 90)
        yield up


@pytest.fixture
def key(started: Up) -> str:
    return started.headers["authorization"].removeprefix("Bearer ")


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_openais_sdk_has_json_of_the_embedded_model(started: Up, key: str) -> None:
    schema = {
        "type": "object",
        "properties": {"capital": {"type": "string", "maxLength": 12}},
        "required": ["capital"],
        "additionalProperties": False,
    }
    forms: list[Any] = [
        {"type": "json_schema", "json_schema": {"name": "town", "schema": schema, "strict": True}},
        {"type": "json_object"},
    ]
    with openai.OpenAI(base_url=f"{started.url}/v1", api_key=key, max_retries=0) as client:
        answers = [
            client.chat.completions.create(
                model="local", messages=HELLO, max_tokens=40, temperature=0, response_format=form
            )
            for form in forms
        ]
    said = [answer.choices[0].message.content or "" for answer in answers]
    assert list(json.loads(said[0])) == ["capital"]
    assert said[1].strip().startswith("{")


@pytest.mark.timeout(120)
def test_anthropics_sdk_talks_to_the_embedded_model(started: Up, key: str) -> None:
    with anthropic.Anthropic(base_url=started.url, api_key=key, max_retries=0) as client:
        cold: Any = {"temperature": 0}
        answer = client.messages.create(model="local", max_tokens=30, messages=HELLO, extra_body=cold)
        with client.messages.stream(model="local", max_tokens=30, messages=HELLO, extra_body=cold) as told:
            streamed = told.get_final_message()
        counted = client.messages.with_raw_response.count_tokens(model="local", messages=HELLO)
        cut = client.messages.create(model="local", max_tokens=1, messages=HELLO)
    assert "Paris" in answer.content[0].text and answer.stop_reason == "end_turn"
    assert streamed.content[0].text == answer.content[0].text and streamed.stop_reason == "end_turn"
    prompt = answer.usage.input_tokens + (answer.usage.cache_read_input_tokens or 0)
    assert counted.headers["x-hanok-counted-by"] == "engine" and counted.parse().input_tokens == prompt
    assert cut.stop_reason == "max_tokens" and cut.usage.output_tokens == 1


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_openais_responses_come_from_the_embedded_model(started: Up, key: str) -> None:
    with openai.OpenAI(base_url=f"{started.url}/v1", api_key=key, max_retries=0) as client:
        first = client.responses.create(model="local", input="My dog is called Rex.", temperature=0)
        events = list(
            client.responses.create(
                model="local", input="What is my dog called?", previous_response_id=first.id, temperature=0, stream=True
            )
        )
        ending: Any = events[-1]
        assert ending.type == "response.completed" and "Rex" in ending.response.output_text
        assert client.responses.retrieve(ending.response.id).output_text == ending.response.output_text
