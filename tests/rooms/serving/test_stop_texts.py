"""What ends an answer: the caller's stop texts, the endpoint's, and those of a model's manner of plain text."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hanok.serving.client import Pool
from hanok.serving.engines.openai import OpenAIEngine
from hanok.spec import Timeouts
from hanok.wire import ChatRequest
from tests.engine import fake_engine

TOOL = {"type": "function", "function": {"name": "f"}}


def stops(**fields: Any) -> Any:
    """The stop texts that the server over there was given."""

    async def ask(url: str) -> None:
        pool = Pool(url, timeouts=Timeouts())
        engine = OpenAIEngine(pool, model="m", endpoint="m#1", served_name="m", stop=["END"], plain_stop=["\n\n"])
        answer = await engine.open(ChatRequest.ask("m", [{"role": "user", "content": "hi"}], **fields))
        await answer.aclose()
        await engine.aclose()

    with fake_engine() as server:
        asyncio.run(ask(server.url))
        return server.calls()[0].json["stop"]


@pytest.mark.parametrize(
    "fields",
    [{}, {"response_format": {"type": "text"}}, {"tools": []}, {"grammar": ""}, {"response_format": "wrong"}],
    ids=str,
)
def test_plain_text_ends_in_the_models_manner(fields: Any) -> None:
    assert stops(stop="mine", **fields) == ["mine", "END", "\n\n"]


@pytest.mark.parametrize(
    "fields",
    [
        {"response_format": {"type": "json_object"}},
        {"response_format": {"type": "json_schema", "json_schema": {}}},
        {"tools": [TOOL]},
        {"grammar": 'root ::= "a"'},
        {"json_schema": {}},
    ],
    ids=str,
)
def test_an_answer_in_a_form_does_not_end_at_an_empty_line(fields: Any) -> None:
    assert stops(stop="mine", **fields) == ["mine", "END"]
