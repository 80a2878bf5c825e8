"""Files and batches as OpenAI's own client uses them, at a house that runs."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.calls import call
from tests.conftest import ECHO, RunningHouse
from tests.engine import Asked, FakeEngine, fake_engine, status, whole
from tests.rooms.batches.orders import CHAT, chat_line, client, jsonl, order, wait, written

Start = Callable[..., RunningHouse]
SLOW = {"name": "slow", "serve": {"engine": "echo", "delay_ms": 200}}


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    with fake_engine() as running:
        yield running


def test_a_batch_is_answered_line_by_line(house: Start) -> None:
    started = house(ECHO)
    api = client(started)
    batch = order(api, [chat_line(f"line-{each}", f"say {each}") for each in range(20)], metadata={"for": "test"})
    assert batch.status == "validating"
    assert batch.request_counts is not None
    done = wait(api, batch)
    assert done.status == "completed"
    assert done.request_counts is not None
    assert done.request_counts.model_dump() == {"total": 20, "completed": 20, "failed": 0}
    assert (done.model, done.metadata, done.error_file_id) == ("echo", {"for": "test"}, None)
    assert done.usage is not None
    assert done.usage.total_tokens > 0
    assert done.in_progress_at and done.finalizing_at and done.completed_at
    lines = written(api, done.output_file_id)
    assert sorted(lines) == sorted(f"line-{each}" for each in range(20))
    for each in range(20):
        line = lines[f"line-{each}"]
        assert line["error"] is None
        assert line["response"]["status_code"] == 200
        assert line["response"]["body"]["choices"][0]["message"]["content"] == f"say {each}"
        assert line["id"].startswith("batch_req_")


def test_each_line_has_a_tier_of_its_own_though_the_batch_is_one_session(house: Start) -> None:
    models = [{"name": name, "serve": {"engine": "script", "turns": [{"say": name}]}} for name in ("small", "large")]
    auto = {"name": "auto", "simple": "small", "moderate": "small", "complex": "large"}
    api = client(house(*models, tiers=[auto], batches={"concurrency": 1}))
    asked = {"hard": "Prove this theorem.", "easy": "What is the capital of Peru?"}
    done = wait(api, order(api, [chat_line(name, text, "auto") for name, text in asked.items()]))
    said = {
        name: line["response"]["body"]["choices"][0]["message"]["content"]
        for name, line in written(api, done.output_file_id).items()
    }
    assert said == {"hard": "large", "easy": "small"}


def test_embeddings_and_completions_are_for_batches_too(house: Start, engine: FakeEngine) -> None:
    vectors = {"name": "vectors", "type": "embedding", "serve": {"engine": "openai", "url": engine.url}}
    api = client(house(ECHO, vectors))
    engine.answer = status(200, b'{"object":"list",\n"data":[{"index":0,"embedding":[1.0]}]}')
    text = {"custom_id": "t", "method": "POST", "url": "/v1/completions", "body": {"model": "echo", "prompt": "hi"}}
    done = wait(api, order(api, [text], "/v1/completions"))
    assert written(api, done.output_file_id)["t"]["response"]["body"]["choices"][0]["text"] == "hi"
    vector = {"custom_id": "v", "method": "POST", "url": "/v1/embeddings", "body": {"model": "vectors", "input": "hi"}}
    done = wait(api, order(api, [vector], "/v1/embeddings"))
    assert written(api, done.output_file_id)["v"]["response"]["body"]["data"][0]["embedding"] == [1.0]


def test_responses_are_for_batches_too(house: Start) -> None:
    api = client(house(ECHO))
    line = {"custom_id": "r", "method": "POST", "url": "/v1/responses", "body": {"model": "echo", "input": "hi there"}}
    done = wait(api, order(api, [line], "/v1/responses"))
    body = written(api, done.output_file_id)["r"]["response"]["body"]
    assert (body["object"], body["status"], body["store"]) == ("response", "completed", False)
    assert body["output"][0]["content"][0]["text"] == "hi there"
    assert done.usage is not None
    assert done.usage.total_tokens == body["usage"]["total_tokens"] > 0
    before = {**line, "body": {**line["body"], "previous_response_id": "resp_1"}}  # type: ignore[dict-item]
    assert wait(api, order(api, [before], "/v1/responses")).status == "failed"


def test_a_file_comes_back_as_it_was_sent(house: Start) -> None:
    api = client(house(ECHO))
    data = jsonl([chat_line("a", "ü" * 700_000)])
    file = api.files.create(
        file=("my lines.jsonl", data), purpose="batch", expires_after={"anchor": "created_at", "seconds": 3600}
    )
    assert (file.bytes, file.filename, file.purpose) == (len(data), "my lines.jsonl", "batch")
    assert file.expires_at == file.created_at + 3600
    assert api.files.retrieve(file.id) == file
    assert api.files.content(file.id).content == data
    assert api.files.delete(file.id).deleted
    with pytest.raises(openai.NotFoundError):
        api.files.retrieve(file.id)
    with pytest.raises(openai.NotFoundError):
        api.files.content(file.id)


def test_lists_are_given_page_by_page(house: Start) -> None:
    api = client(house(ECHO))
    ids = [api.files.create(file=("x.jsonl", b"{}\n"), purpose="batch").id for _ in range(5)]
    assert [each.id for each in api.files.list(limit=2, order="asc")] == ids
    assert [each.id for each in api.files.list(limit=2).data] == ids[:2:-1]
    assert list(api.files.list(purpose="other")) == []
    batches = [order(api, [chat_line("a")]).id for _ in range(3)]
    assert [each.id for each in api.batches.list(limit=2)] == batches[::-1]


@pytest.mark.parametrize(
    ("line", "code", "param"),
    [
        (b"no json", "invalid_json_line", None),
        (b"[1]", "invalid_json_line", None),
        (b"\xff", "invalid_json_line", None),
        ({**chat_line("x"), "method": "GET"}, "invalid_method", "method"),
        ({**chat_line("x"), "url": "/v1/embeddings"}, "mismatched_url", "url"),
        ({**chat_line("x"), "custom_id": 3}, "invalid_value", "custom_id"),
        ({"method": "POST", "url": CHAT, "body": {}}, "missing_required_parameter", "custom_id"),
        (chat_line("a"), "duplicate_custom_id", "custom_id"),
        (chat_line("x", model="unknown"), "model_not_found", "body.model"),
        (chat_line("x", temperature=9), "invalid_value", "body.temperature"),
        (chat_line("x", stream=True), "invalid_value", "body.stream"),
        (chat_line("x", "long" * 300_000), "line_too_long", None),
    ],
)
def test_a_batch_with_a_bad_line_fails_and_names_the_line(
    house: Start, line: Any, code: str, param: str | None
) -> None:
    api = client(house(ECHO, gateway={"body_limit_mib": 1}))
    bad = line if isinstance(line, bytes) else json.dumps(line).encode()
    done = wait(api, order(api, jsonl([chat_line("a")]) + b"\n" + bad + b"\n" + jsonl([chat_line("b")])))
    assert (done.status, done.output_file_id, done.error_file_id) == ("failed", None, None)
    assert done.errors is not None
    (error,) = done.errors.data or []
    assert (error.code, error.param, error.line) == (code, param, 3), error


def test_an_empty_file_and_one_with_too_many_lines_fail(house: Start) -> None:
    api = client(house(ECHO))
    empty = wait(api, order(api, b"\n\n"))
    assert empty.errors is not None
    assert [each.code for each in empty.errors.data or []] == ["empty_file"]
    many = wait(api, order(api, [chat_line(str(each)) for each in range(50_001)]))
    assert many.errors is not None
    assert [each.code for each in many.errors.data or []] == ["too_many_tasks"]


def behind(engine: FakeEngine, **more: Any) -> dict[str, Any]:
    return {"name": "m", "retries": 0, "serve": {"engine": "openai", "url": engine.url}, **more}


def by_content(answers: dict[str, Any]) -> Any:
    """Answer each question with its own answer; a list is answered from its beginning to its end."""

    async def answer(asked: Asked, writer: Any) -> None:
        found = answers.get(asked.json["messages"][0]["content"], whole())
        if isinstance(found, list):
            found = found.pop(0) if len(found) > 1 else found[0]
        await found(asked, writer)

    return answer


def test_what_an_engine_refuses_is_in_the_error_file(house: Start, engine: FakeEngine) -> None:
    refusal = b'{"error": {"message": "no such thing",\n "type": "x"}}'
    engine.answer = by_content(
        {"bad": status(400, refusal), "broken": status(500, b"oops"), "none": status(200, b"hm")}
    )
    api = client(house(behind(engine), batches={"retries": 0}))
    lines = [chat_line(each, each, "m") for each in ("good", "bad", "broken", "none")]
    done = wait(api, order(api, lines))
    assert done.status == "completed"
    assert done.request_counts is not None
    assert (done.request_counts.completed, done.request_counts.failed) == (1, 3)
    errors = written(api, done.error_file_id)
    assert {name: each["response"]["status_code"] for name, each in errors.items()} == {
        "bad": 400,
        "broken": 500,
        "none": 502,
    }
    assert errors["bad"]["response"]["body"]["error"]["message"] == "no such thing"
    assert errors["bad"]["error"] is None


def test_a_line_is_asked_again_when_it_fails_and_as_often_as_needed_when_the_engine_is_full(
    house: Start, engine: FakeEngine
) -> None:
    full, broken = status(429, b'{"error": {"message": "slow down"}}'), status(500, b"oops")
    engine.answer = by_content({"full": [full, full, full, whole()], "broken": [broken, whole()], "always": broken})
    api = client(house(behind(engine), batches={"retries": 1}))
    done = wait(api, order(api, [chat_line(each, each, "m") for each in ("full", "broken", "always")]))
    assert sorted(written(api, done.output_file_id)) == ["broken", "full"]
    assert written(api, done.error_file_id)["always"]["response"]["status_code"] == 500
    assert len(engine.calls()) == 4 + 2 + 2


def test_a_cancelled_batch_keeps_what_was_answered(house: Start) -> None:
    api = client(house(SLOW, batches={"concurrency": 2}))
    batch = order(api, [chat_line(str(each), model="slow") for each in range(200)])
    wait(api, batch, lambda each: bool(each.request_counts and each.request_counts.completed))
    assert api.batches.cancel(batch.id).status == "cancelling"
    done = wait(api, batch)
    assert (done.status, bool(done.cancelled_at)) == ("cancelled", True)
    assert done.request_counts is not None
    assert done.request_counts.total == 200
    assert 0 < len(written(api, done.output_file_id)) == done.request_counts.completed < 200
    with pytest.raises(openai.BadRequestError, match="it is cancelled"):
        api.batches.cancel(batch.id)


def test_what_is_wrong_with_an_order_is_told_at_once(house: Start) -> None:
    api = client(house(ECHO))
    file = api.files.create(file=("x.jsonl", jsonl([chat_line("a")])), purpose="batch")
    with pytest.raises(openai.NotFoundError, match="there is no file"):
        api.batches.create(input_file_id="file-none", endpoint=CHAT, completion_window="24h")
    with pytest.raises(openai.BadRequestError, match="`endpoint` is one of"):
        api.batches.create(input_file_id=file.id, endpoint="/v1/videos", completion_window="24h")
    with pytest.raises(openai.BadRequestError, match="completion_window"):
        api.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="soon")  # type: ignore[arg-type]
    with pytest.raises(openai.BadRequestError, match="purpose"):
        api.files.create(file=("x.jsonl", b"x"), purpose="fine-tune")
    with pytest.raises(openai.NotFoundError, match="there is no batch"):
        api.batches.retrieve("batch_none")


def test_nobody_sees_the_files_and_batches_of_others(house: Start) -> None:
    started = house(ECHO, teams=[{"name": "a"}])
    ledger = started.house.ledger
    mine, colleague = (ledger.create_key(name, team="a").secret for name in ("x", "y"))
    started.run(started.house.refresh())
    owner, same_team, stranger = client(started, mine), client(started, colleague), client(started)
    batch = wait(owner, order(owner, [chat_line("a")]))
    assert same_team.batches.retrieve(batch.id) == batch
    assert written(same_team, batch.output_file_id)
    assert list(stranger.batches.list()) == list(stranger.files.list()) == []
    for ask in (
        lambda: stranger.batches.retrieve(batch.id),
        lambda: stranger.batches.cancel(batch.id),
        lambda: stranger.files.retrieve(batch.input_file_id),
        lambda: stranger.files.content(batch.output_file_id or ""),
        lambda: stranger.files.delete(batch.input_file_id),
        lambda: order_of(stranger, batch.input_file_id),
    ):
        with pytest.raises(openai.NotFoundError):
            ask()
    assert owner.files.retrieve(batch.input_file_id)


def order_of(api: openai.OpenAI, file: str) -> Any:
    return api.batches.create(input_file_id=file, endpoint=CHAT, completion_window="24h")


def test_a_key_that_is_revoked_has_its_remaining_lines_refused(house: Start) -> None:
    started = house(SLOW, teams=[{"name": "a"}], batches={"concurrency": 2})
    ledger = started.house.ledger
    first, second = (ledger.create_key(name, team="a") for name in ("x", "y"))
    started.run(started.house.refresh())
    api = client(started, first.secret)
    batch = order(api, [chat_line(str(each), model="slow") for each in range(50)])
    wait(api, batch, lambda each: bool(each.request_counts and each.request_counts.completed))
    ledger.revoke_key("x")
    colleague = client(started, second.secret)
    done = wait(colleague, batch)
    assert done.status == "completed"
    errors = written(colleague, done.error_file_id)
    assert errors and all(each["response"]["status_code"] == 401 for each in errors.values())
    assert "revoked" in next(iter(errors.values()))["response"]["body"]["error"]["message"]
    assert len(errors) + len(written(colleague, done.output_file_id)) == 50


def test_a_spent_budget_fails_the_lines_that_it_does_not_pay_for(house: Start) -> None:
    priced = {**ECHO, "price": {"output": 1_000_000.0}}
    started = house(priced, budgets=[{"of": "key", "usd": 5}])
    api = client(started)
    done = wait(api, order(api, [chat_line(str(each), "x", max_tokens=1) for each in range(8)]))
    assert len(written(api, done.output_file_id)) == 5
    errors = written(api, done.error_file_id)
    assert [each["response"]["body"]["error"]["code"] for each in errors.values()] == ["budget_exceeded"] * 3


def test_lines_that_only_wait_for_each_others_reservations_are_all_answered(house: Start) -> None:
    priced = {**ECHO, "price": {"output": 1_000_000.0}}
    started = house(priced, budgets=[{"of": "key", "usd": 25}])
    api = client(started)
    done = wait(api, order(api, [chat_line(str(each), "x", max_tokens=10) for each in range(12)]))
    assert len(written(api, done.output_file_id)) == 12, written(api, done.error_file_id)


def test_lines_cost_the_share_that_is_declared_for_batches(house: Start) -> None:
    started = house({**ECHO, "price": {"output": 1_000_000.0, "batch": 0.5}})
    api = client(started)
    batch = wait(api, order(api, [chat_line("a", "one two three four")]))
    api.chat.completions.create(model="echo", messages=[{"role": "user", "content": "one two three four"}])
    started.house.ledger.flush()
    rows = {row.group: row.cost_usd for row in started.house.ledger.usage("session")}
    assert rows[batch.id] == pytest.approx(2.0)
    assert sum(rows.values()) == pytest.approx(6.0)


def test_a_files_life_is_no_endless_number(house: Start) -> None:
    api = client(house(ECHO))
    for seconds in ("9" * 5000, "-1", "3599", "2592001"):
        with pytest.raises(openai.BadRequestError, match="seconds"):
            expires: Any = {"anchor": "created_at", "seconds": seconds}
            api.files.create(file=("x.jsonl", b"x"), purpose="batch", expires_after=expires)


def test_a_file_larger_than_the_limit_is_refused(house: Start) -> None:
    started = house(ECHO, batches={"file_limit_mib": 1, "tenant_limit_gib": 0.001})
    api = client(started)
    with pytest.raises(openai.APIStatusError, match="file_limit_mib") as caught:
        api.files.create(file=("x.jsonl", b"x" * (3 * 1024 * 1024)), purpose="batch")
    assert caught.value.status_code == 413
    api.files.create(file=("x.jsonl", b"x" * (700 * 1024)), purpose="batch")
    with pytest.raises(openai.BadRequestError, match="delete some"):
        api.files.create(file=("x.jsonl", b"x" * (700 * 1024)), purpose="batch")
    folder = started.house.loaded.state / "files"
    assert len(list(folder.iterdir())) == 1


PART = b"--x\r\nContent-Disposition: form-data; name="
FORM = "multipart/form-data; boundary=x"


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("application/json", b"{}", 415),
        ("multipart/form-data", b"", 415),
        (FORM, b"", 400),
        (FORM, b"nonsense", 400),
        (FORM, PART + b'"file"\r\n\r\nends in the middle', 400),
        (FORM, PART + b'"purpose"\r\n\r\nbatch\r\n--x--\r\n', 400),
        (FORM, PART + b'"purpose"\r\n\r\n' + b"x" * 100_000 + b"\r\n--x--\r\n", 400),
        (FORM, (PART + b'"purpose"\r\n\r\nbatch\r\n') * 32 + PART + b'"file"\r\n\r\na\r\n--x--\r\n', 400),
        (f"multipart/form-data{';' * 60_000}; boundary=x", PART + b'"file"\r\n\r\na\r\n--x--\r\n', 415),
        (FORM, PART + b'"file"\r\n\r\na\r\n' + PART + b'"file"\r\n\r\nb\r\n--x--\r\n', 400),
        (f"{FORM}{'x' * 500}", b"--x", 400),
    ],
)
def test_what_is_no_form_is_refused(house: Start, content_type: str, body: bytes, status: int) -> None:
    started = house(ECHO)
    headers = {"authorization": f"Bearer {started.key}", "content-type": content_type}
    reply = call(f"{started.url}/v1/files", "POST", body, headers)
    assert (reply.status, bool(reply.error["message"])) == (status, True)
    folder = started.house.loaded.state / "files"
    assert not folder.exists() or not list(folder.iterdir())


def test_a_large_file_with_a_wrong_key_is_answered_and_not_cut_off(house: Start) -> None:
    started = house(ECHO)
    headers = {"authorization": "Bearer hk-wrong", "content-type": FORM}
    body = PART + b'"file"\r\n\r\n' + b"x" * 20_000_000 + b"\r\n--x--\r\n"
    assert call(f"{started.url}/v1/files", "POST", body, headers).status == 401


def test_a_window_that_opens_by_a_reload_lets_waiting_batches_run(
    house: Start, write_platform: Callable[..., Path]
) -> None:
    hour = datetime.now(UTC).hour
    closed = {"from": f"{(hour + 2) % 24:02}:00", "to": f"{(hour + 3) % 24:02}:00"}
    api = client(house(ECHO, batches={"window": closed}))
    batch = wait(api, order(api, [chat_line("a")]), lambda each: each.status == "in_progress")
    assert 3600 < batch.starts_at - datetime.now(UTC).timestamp() <= 2 * 3600  # type: ignore[attr-defined]
    write_platform(ECHO, batches={"window": "always"})
    done = wait(api, batch)
    assert (done.status, done.starts_at) == ("completed", None)  # type: ignore[attr-defined]


def test_how_lines_end_is_counted(house: Start) -> None:
    started = house(ECHO)
    api = client(started)
    wait(api, order(api, [chat_line(str(each)) for each in range(3)]))
    text = call(f"{started.url}/metrics").body.decode()
    assert 'hanok_batch_lines_ended_total{result="completed"} 3.0' in text
    assert 'hanok_batch_lines{state="waiting"} 0.0' in text
    assert 'hanok_requests_total{model="echo",status="ok"} 3.0' in text


def test_an_order_that_is_repeated_with_its_idempotency_key_is_one_batch(house: Start) -> None:
    started = house(ECHO)
    api = client(started)
    file = api.files.create(file=("x.jsonl", jsonl([chat_line("a")])), purpose="batch")
    once = {"extra_headers": {"idempotency-key": "order-1"}}
    made = [
        api.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h", **once)  # type: ignore[arg-type]
        for _ in range(2)
    ]
    assert made[0].id == made[1].id
    assert len(list(api.batches.list())) == 1


def test_a_batch_is_not_harmed_when_its_input_is_deleted(house: Start) -> None:
    api = client(house(SLOW))
    batch = order(api, [chat_line(str(each), model="slow") for each in range(20)])
    api.files.delete(batch.input_file_id)
    done = wait(api, batch)
    assert len(written(api, done.output_file_id)) == 20


def test_a_connection_goes_on_after_a_large_body_that_nobody_read(house: Start) -> None:
    started = house(ECHO)
    connection = http.client.HTTPConnection(started.url.removeprefix("http://"), timeout=10)
    for size in (1_048_000, 1_049_000, 1_200_000, 1_400_000, 5_000_000):
        connection.request("POST", "/v1/files", b"x" * size, {"authorization": "Bearer hk-wrong"})
        response = connection.getresponse()
        assert (response.status, bool(response.read())) == (401, True)
        connection.request("GET", "/health/live")
        assert connection.getresponse().read() == b'{"status":"live"}'
    connection.close()


def test_a_wrong_method_is_told_which_ones_there_are(house: Start) -> None:
    started = house(ECHO)
    reply = call(f"{started.url}/v1/files/file-x", "PUT", b"{}", started.headers)
    assert (reply.status, reply.headers["allow"]) == (405, "GET, DELETE")
    assert call(f"{started.url}/v1/batches/x/cancel", "GET", None, started.headers).status == 405
    assert call(f"{started.url}/v1/batches/x/y", "GET", None, started.headers).status == 404
