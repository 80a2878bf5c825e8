"""A newcomer's first hour: the starter, the real embedded models, an unmodified OpenAI client, the bill."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from tests.calls import call
from tests.conftest import free_port
from tests.journeys.test_hanok_up import Up, hanok, start_up

pytest.importorskip("xllamacpp", reason='the embedded model is not installed: pip install "hanok[local]"')


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    folder = tmp_path_factory.mktemp("first-hour")
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}
    with contextlib.ExitStack() as stack:
        begun = time.monotonic()
        up = start_up(stack, folder, free_port(), env=environment)
        up.wait_for("listens on")
        assert call(f"{up.url}/health/live").status == 200, "HTTP is up while the model loads"
        assert "wrote a starter with the embedded model" in up.said
        print(f"HTTP after {time.monotonic() - begun:.1f} s")
        up.wait_for("Ready.", 90)
        yield up


@pytest.fixture
def client(started: Up) -> Iterator[openai.OpenAI]:
    key = started.headers["authorization"].removeprefix("Bearer ")
    with openai.OpenAI(base_url=f"{started.url}/v1", api_key=key, max_retries=0) as made:
        yield made


def test_the_real_model_answers_an_unmodified_openai_client(client: openai.OpenAI) -> None:
    question = [{"role": "user", "content": "What is the capital of France?"}]
    answer = client.chat.completions.create(model="local", messages=question, temperature=0)  # type: ignore[arg-type]
    assert "Paris" in (answer.choices[0].message.content or "")
    assert not (answer.choices[0].message.content or "").startswith(" ")
    assert answer.model == "local"
    assert answer.usage is not None
    assert answer.usage.completion_tokens > 0


def test_it_streams_and_remembers_the_conversation(client: openai.OpenAI) -> None:
    said = [
        {"role": "user", "content": "My dog is called Rex."},
        {"role": "assistant", "content": "Nice to meet Rex."},
        {"role": "user", "content": "What is my dog called?"},
    ]
    stream = client.chat.completions.create(
        model="local", messages=said, stream=True, temperature=0, stream_options={"include_usage": True}  # type: ignore[arg-type]
    )  # fmt: skip
    chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert "Rex" in text
    assert chunks[-1].usage is not None


def test_the_callers_own_stop_texts_are_kept_beside_the_models(client: openai.OpenAI) -> None:
    question = [{"role": "user", "content": "What is the capital of France?"}]
    answer = client.chat.completions.create(
        model="local", messages=question, temperature=0, stop=["qqq"], max_tokens=60
    )  # type: ignore[arg-type]
    assert "Question:" not in (answer.choices[0].message.content or "")
    assert answer.choices[0].finish_reason == "stop"


def test_text_completions_and_embeddings_work_with_the_same_client(client: openai.OpenAI) -> None:
    text = client.completions.create(model="local", prompt="One, two, three, four,", max_tokens=4, temperature=0)
    assert "five" in text.choices[0].text
    made = client.embeddings.create(model="embed", input=["The cat sleeps.", "고양이가 잔다.", "Prices fell."])
    cat, korean, prices = (item.embedding for item in made.data)
    assert len(cat) == 512
    near, far = (sum(a * b for a, b in zip(cat, other, strict=True)) for other in (korean, prices))
    assert near > far


def test_errors_are_the_clients_own_exceptions(client: openai.OpenAI, started: Up) -> None:
    with pytest.raises(openai.NotFoundError) as missing:
        client.chat.completions.create(model="gpt-9", messages=[{"role": "user", "content": "x"}])
    assert (missing.value.param, missing.value.code) == ("model", "model_not_found")
    stranger = openai.OpenAI(base_url=f"{started.url}/v1", api_key="hk-wrong", max_retries=0)
    with stranger, pytest.raises(openai.AuthenticationError):
        stranger.models.list()
    assert {model.id for model in client.models.list()} == {"local", "embed", "knowledge/docs"}


def test_ask_answers_and_usage_shows_every_call(started: Up) -> None:
    asked = hanok(started.folder, "ask", "What is the capital of France?")
    assert "Paris" in asked.stdout
    rows = json.loads(hanok(started.folder, "usage", "--json").stdout)["rows"]
    assert {row["group"] for row in rows} == {"local", "embed"}
    assert all(row["prompt_tokens"] > 0 for row in rows)
    table = hanok(started.folder, "usage", "--by", "key").stdout
    assert "local" in table


@pytest.mark.slow
def test_a_crashed_engine_comes_back_by_itself(started: Up, client: openai.OpenAI) -> None:
    found = subprocess.run(
        ["pgrep", "-P", str(started.process.pid), "-f", "children.llamacpp"], capture_output=True, text=True, check=True
    )
    os.kill(int(found.stdout.split()[0]), signal.SIGKILL)
    deadline = time.monotonic() + 60
    while True:
        assert time.monotonic() < deadline
        with contextlib.suppress(openai.APIStatusError):
            client.completions.create(model="local", prompt="One,", max_tokens=1)
            break
    text = call(f"{started.url}/metrics").body.decode()
    assert 'hanok_engine_restarts_total{endpoint="local#1"} 1.0' in text


def test_a_model_that_cannot_load_says_why_and_the_rest_runs(tmp_path: Path) -> None:
    (tmp_path / "broken.gguf").write_bytes(b"GGUF but not really")
    (tmp_path / "platform.yaml").write_text(
        "models:\n"
        "  - {name: broken, serve: {engine: llamacpp, model: broken.gguf}}\n"
        "  - {name: echo, serve: {engine: echo}}\n"
    )
    with contextlib.ExitStack() as stack:
        up = start_up(stack, tmp_path, free_port())
        up.wait_for("Ready, but not every model is up")
        assert "broken#1 (llamacpp) is failed" in up.said
        assert "broken-1.log" in up.said
        refused = up.chat("broken")
        assert (refused.status, refused.error["code"]) == (503, "no_endpoint")
        assert up.chat("echo").status == 200
