"""The application's tests: real HTTP, real client, scripted model."""

import os
from pathlib import Path

import pytest
from app import label
from openai import OpenAI


@pytest.fixture
def client() -> OpenAI:
    key = Path(".hanok/local.key").read_text().strip()
    return OpenAI(base_url=f"http://127.0.0.1:{os.environ.get('PORT', '4242')}/v1", api_key=key)


@pytest.mark.parametrize(
    ("letter", "about"),
    [("I want a refund!", "billing"), ("I forgot my password.", "account"), ("Nice weather.", "other")],
)
def test_letters_are_sorted(client: OpenAI, letter: str, about: str) -> None:
    assert label(client, letter) == about
