"""Spans on their way out: to a collector that is well, slow, gone, back again, or of another opinion."""

from __future__ import annotations

import base64
import contextlib
import logging
import random
import threading
from collections.abc import Callable, Iterator
from email.utils import formatdate
from functools import partial
from pathlib import Path
from time import time
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from hanok.errors import StartError
from hanok.spec import Telemetry
from hanok.telemetry import Exporter, client
from tests.conftest import free_port
from tests.rooms.serving.test_client_tls import make_certificate
from tests.rooms.telemetry.collector import attributes, collector, until
from tests.rooms.telemetry.given import TRACE, UNSAMPLED, caller, charge, chat, fresh_caller

Start = Callable[..., Exporter]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start exporters; they are closed with the test."""
    with contextlib.ExitStack() as stack:

        def start(*exports: dict[str, Any], **more: Any) -> Exporter:
            settings = Telemetry.model_validate({"every_s": 0.01, **more, "export": list(exports)})
            exporter = Exporter(settings, service="acme", providers={}, random_bits=random.getrandbits)
            exporter.start()
            stack.callback(exporter.close, 5.0)
            return exporter

        yield start


@pytest.fixture
def said() -> Iterator[list[str]]:
    """The log lines of the room."""
    lines: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    handler, logger = Keep(), logging.getLogger("hanok.telemetry")
    logger.addHandler(handler)
    yield lines
    logger.removeHandler(handler)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries come at once: patched, because waiting for the real ones would only make the suite slow."""
    monkeypatch.setattr(client, "FIRST_WAIT_S", 0.01)
    monkeypatch.setattr(client, "LONGEST_WAIT_S", 0.05)


def record(exporter: Exporter, count: int = 1) -> None:
    for number in range(count):
        exporter.record(charge(id=number), chat(fresh_caller(request_id=f"req_{number}")))


def test_every_call_arrives_once_and_in_batches(start: Start) -> None:
    with collector() as there:
        exporter = start({"url": there.url}, batch=100)
        record(exporter, 1000)
        exporter.close()
        ids = [attributes(span)["hanok.request_id"] for span in there.spans]
        assert ids == [f"req_{number}" for number in range(1000)]
        assert all(len(posted.spans) <= 100 for posted in there.posted)
        assert there.connections == 1, "one connection is kept"
        assert exporter.counts["otlp"] == (1000, 0, 0, 0)


def test_a_call_arrives_without_a_full_batch_and_without_closing(start: Start) -> None:
    with collector() as there:
        exporter = start({"url": there.url})
        record(exporter)
        until(lambda: exporter.counts["otlp"].exported == 1)


def test_calls_that_are_not_sampled_are_not_sent(start: Start) -> None:
    with collector() as there:
        exporter = start({"url": there.url}, sample=0.0)
        exporter.record(charge(), chat(caller(trace=UNSAMPLED)))
        exporter.record(charge(), chat(caller(trace=None)))
        exporter.record(charge(), chat(caller(trace=TRACE)))
        exporter.close()
        assert [span.trace_id.hex() for span in there.spans] == [TRACE[3:35]]
        assert exporter.counts["otlp"] == (1, 0, 0, 0)


def test_a_call_that_came_through_no_door_begins_a_trace(start: Start) -> None:
    with collector() as there:
        exporter = start({"url": there.url})
        exporter.record(charge(), chat(caller(trace=None)))
        exporter.close()
        assert any(there.spans[0].trace_id) and not there.spans[0].parent_span_id


@pytest.mark.parametrize(
    ("export", "path", "headers"),
    [
        ({}, "/v1/traces", {}),
        ({"headers": {"X-Key": "k"}}, "/v1/traces", {"x-key": "k"}),
        (
            {"to": "langfuse", "public_key": "pk-1", "secret_key": "sk-1"},
            "/api/public/otel/v1/traces",
            {
                "authorization": "Basic " + base64.b64encode(b"pk-1:sk-1").decode(),
                "x-langfuse-ingestion-version": "4",
            },
        ),
        (
            {"to": "langsmith", "secret_key": "ls-1", "project": "shop"},
            "/otel/v1/traces",
            {"x-api-key": "ls-1", "langsmith-project": "shop"},
        ),
        ({"to": "mlflow", "project": "7"}, "/v1/traces", {"x-mlflow-experiment-id": "7"}),
        ({"to": "mlflow"}, "/v1/traces", {"x-mlflow-experiment-id": "0"}),
    ],
)
def test_each_kind_of_receiver_has_its_path_and_its_headers(
    start: Start, export: dict[str, Any], path: str, headers: dict[str, str]
) -> None:
    with collector() as there:
        record(exporter := start({"url": there.url, **export}))
        exporter.close()
        assert there.posted[0].path == path
        assert headers.items() <= there.posted[0].headers.items()
        assert there.posted[0].headers["content-type"] == "application/x-protobuf"


@pytest.mark.parametrize("base", ["", "/", "/otel", "/otel/v1", "/otel/v1/traces", "/proxy", "/proxy/otel/"])
def test_a_url_may_name_some_of_the_path_already(start: Start, base: str) -> None:
    with collector() as there:
        record(exporter := start({"to": "langsmith", "url": there.url + base, "secret_key": "k"}))
        exporter.close()
        assert there.posted[0].path == ("/proxy" if "proxy" in base else "") + "/otel/v1/traces"


def test_what_waits_is_sent_when_a_collector_comes_back(start: Start, hasty: None, said: list[str]) -> None:
    port = free_port()
    exporter = start({"url": f"http://localhost:{port}"})
    record(exporter, 20)
    until(lambda: bool(said), "a complaint")
    assert exporter.counts["otlp"] == (0, 0, 0, 20)
    with collector(port) as there:
        until(lambda: exporter.counts["otlp"].exported == 20)
        assert len(there.spans) == 20
    record(exporter, 5)
    with collector(port) as there:
        until(lambda: exporter.counts["otlp"] == (25, 0, 0, 0))
        assert len(there.spans) == 5
    assert len(said) == 1 and "trying again" in said[0], "one complaint a minute"


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_batch_is_sent_again_when_the_collector_says_later(start: Start, hasty: None, status: int) -> None:
    with collector(0, (status, {}, b""), (status, {}, b"busy")) as there:
        record(exporter := start({"url": there.url}))
        until(lambda: exporter.counts["otlp"].exported == 1)
        assert [len(posted.spans) for posted in there.posted] == [1, 1, 1]


@pytest.mark.parametrize("wish", ["0", "date"])
def test_retry_after_is_honoured_before_our_own_patience(
    start: Start, wish: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "FIRST_WAIT_S", 1000.0)  # patched: only the header can end the wait in time
    after = formatdate(time() - 5, usegmt=True) if wish == "date" else wish
    with collector(0, (429, {"retry-after": after}, b"")) as there:
        record(exporter := start({"url": there.url}))
        until(lambda: exporter.counts["otlp"].exported == 1)
        assert len(there.posted) == 2


def test_a_wish_to_wait_is_not_overrun(start: Start, hasty: None) -> None:
    with collector(0, (429, {"retry-after": "300"}, b"")) as there:
        record(exporter := start({"url": there.url}))
        until(lambda: len(there.posted) == 1)
        record(exporter, 30)
        exporter.close(0.2)
        assert len(there.posted) == 1, "our own patience would have tried again many times"
        assert exporter.counts["otlp"] == (0, 31, 0, 0)


def test_what_finds_no_room_is_dropped_and_counted_and_no_call_waits(start: Start) -> None:
    with collector(shut=True) as there:
        exporter = start({"url": there.url}, queue=50, batch=10)
        record(exporter, 10)
        until(lambda: len(there.posted) == 1)
        record(exporter, 800)
        until(lambda: exporter.counts["otlp"] == (0, 760, 0, 50))
        there.open.set()
        until(lambda: exporter.counts["otlp"] == (50, 760, 0, 0))


def test_a_slow_receiver_costs_another_nothing(start: Start) -> None:
    with collector(shut=True) as slow, collector() as quick:
        exporter = start({"url": slow.url}, {"url": quick.url}, batch=10, queue=100)
        for _ in range(10):
            record(exporter, 30)
            until(lambda: exporter.counts["otlp#2"].waiting == 0)
        until(lambda: exporter.counts["otlp#2"] == (300, 0, 0, 0))
        until(lambda: exporter.counts["otlp"] == (0, 200, 0, 100))
        slow.open.set()


def test_content_is_bounded_in_bytes_while_it_waits(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "WAITING_LIMIT_BYTES", 100_000)  # patched: 64 MiB would be slow to fill
    with collector(shut=True) as there:
        exporter = start({"url": there.url}, content=True, batch=1, names="current")
        for _ in range(20):
            exporter.record(charge(), chat(fresh_caller(), messages=[{"role": "user", "content": "x" * 30_000}]))
        until(lambda: exporter.counts["otlp"].dropped >= 15)
        there.open.set()
        until(lambda: exporter.counts["otlp"].exported >= 4)


def test_a_batch_is_bounded_in_bytes_too(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "BATCH_LIMIT_BYTES", 100_000)  # patched: 4 MiB would be slow to fill
    with collector() as there:
        exporter = start({"url": there.url}, content=True, every_s=3600, names="current")
        for size in (30_000, 30_000, 30_000, 30_000, 60_000, 60_000):
            exporter.record(charge(), chat(fresh_caller(), messages=[{"role": "user", "content": "x" * size}]))
        exporter.close()
        assert [len(posted.spans) for posted in there.posted] == [3, 2, 1]


def test_a_refused_batch_is_failed_and_not_sent_again(start: Start, said: list[str]) -> None:
    with collector(0, (400, {}, b"bad span\nid")) as there:
        exporter = start({"url": there.url})
        record(exporter, 3)
        until(lambda: exporter.counts["otlp"].failed == 3)
        record(exporter, 2)
        until(lambda: exporter.counts["otlp"] == (2, 0, 3, 0))
        assert len(there.posted) == 2
    assert len(said) == 1 and r"it answered 400 (bad span\nid); not sent again" in said[0]


def test_spans_that_are_rejected_one_by_one_are_counted(start: Start, said: list[str]) -> None:
    answer = ExportTraceServiceResponse()
    answer.partial_success.rejected_spans = 2
    answer.partial_success.error_message = "too old"
    with collector(0, (200, {}, answer.SerializeToString()), (200, {}, b"not protobuf")) as there:
        exporter = start({"url": there.url})
        record(exporter, 5)
        until(lambda: exporter.counts["otlp"].failed == 2)
        record(exporter)
        until(lambda: exporter.counts["otlp"] == (4, 0, 2, 0))
    assert "rejected 2 spans (too old)" in said[0]


def test_a_redirect_is_refused_and_says_where_to(start: Start, said: list[str]) -> None:
    with collector(0, (308, {"location": "https://elsewhere.example/"}, b"")) as there:
        record(exporter := start({"url": there.url}))
        until(lambda: exporter.counts["otlp"].failed == 1)
    assert "points elsewhere (https://elsewhere.example/)" in said[0]


def test_a_batch_that_is_never_taken_does_not_hold_up_the_others(
    start: Start, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "LONGEST_TRY_S", 0.0)  # patched: ten minutes are long
    with collector(0, (503, {}, b"")) as there:
        exporter = start({"url": there.url})
        record(exporter, 3)
        until(lambda: exporter.counts["otlp"] == (0, 3, 0, 0))
        record(exporter, 2)
        until(lambda: exporter.counts["otlp"] == (2, 3, 0, 0))
    assert "3 spans were given up" in said[-1]


def test_closing_sends_what_waits(start: Start) -> None:
    with collector() as there:
        exporter = start({"url": there.url}, every_s=3600, batch=10_000)
        record(exporter, 500)
        assert not there.posted
        exporter.close()
        assert len(there.spans) == 500
        record(exporter)
        assert exporter.counts["otlp"] == (500, 1, 0, 0), "who comes after is counted"


def test_closing_does_not_wait_for_a_collector_that_is_not_there(start: Start, said: list[str]) -> None:
    exporter = start({"url": f"http://localhost:{free_port()}"})
    record(exporter, 7)
    exporter.close(3600)
    assert exporter.counts["otlp"] == (0, 7, 0, 0)
    assert "7 spans were given up" in said[-1]


def test_closing_gives_a_busy_collector_the_time_there_is(start: Start, hasty: None) -> None:
    with collector(0, (503, {}, b""), (503, {}, b"")) as there:
        exporter = start({"url": there.url}, every_s=3600)
        record(exporter, 7)
        exporter.close(20)
        assert exporter.counts["otlp"] == (7, 0, 0, 0)


def test_closing_cuts_a_collector_that_never_answers(start: Start) -> None:
    with collector(shut=True) as there:
        exporter = start({"url": there.url}, batch=5)
        record(exporter, 7)
        until(lambda: len(there.posted) == 1)
        exporter.close(0.1)
        assert exporter.counts["otlp"] == (0, 7, 0, 0)
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("spans")]


def test_secrets_are_in_no_log_line_and_no_repr(start: Start, said: list[str], hasty: None) -> None:
    secret, header = "sk-very-secret", "tok en\\" + "x" * 40
    basic = base64.b64encode(b"pk-1:" + secret.encode()).decode()
    parrot = f"{'.' * 190}{header} {secret} Basic {basic}".encode()
    export = {
        "to": "langfuse", "public_key": "pk-1", "secret_key": secret, "headers": {"x-more": header}
    }  # fmt: skip
    for answer in [(401, {}, parrot), (503, {}, parrot), (302, {"location": f"/?{secret}"}, b"")]:
        with collector(0, answer) as there:
            exporter = start({**export, "url": there.url})
            record(exporter)
            until(partial(_nothing_waits, exporter))
            text = "".join([*said, repr(exporter), str(vars(exporter))])
            assert "***" in said[-1]
            assert not [each for each in (secret, basic, header[:6]) if each in text]


def _nothing_waits(exporter: Exporter) -> bool:
    return not any(counts.waiting for counts in exporter.counts.values())


def test_what_was_never_started_closes() -> None:
    settings = Telemetry.model_validate({"export": {"url": "http://localhost:1"}})
    Exporter(settings, service="a", providers={}, random_bits=random.getrandbits).close()


def test_a_header_that_cannot_be_sent_stops_the_start_without_showing_it() -> None:
    export = {"url": "http://localhost:1", "headers": {"x-key": "secret\r\nx-other: y"}}
    with pytest.raises(StartError, match="'x-key' cannot be sent") as caught:
        Exporter(
            Telemetry.model_validate({"export": export}), service="a", providers={}, random_bits=random.getrandbits
        )
    assert "secret" not in str(caught.value)


def test_a_call_that_cannot_be_told_is_failed_and_the_others_go_on(start: Start, said: list[str]) -> None:
    with collector() as there:
        exporter = start({"url": there.url})
        exporter.record(charge(), chat(caller(trace="nonsense-01")))
        exporter.record(charge(), chat(caller(trace="")))
        record(exporter)
        until(lambda: exporter.counts["otlp"] == (1, 0, 2, 0))
    assert "cannot be told as a span: ValueError" in said[0]


def test_tls_is_spoken_and_certificates_are_checked(
    start: Start, said: list[str], hasty: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = make_certificate(tmp_path, "localhost")
    with collector(tls=certificate.tls) as there:
        record(exporter := start({"url": there.url}))
        until(lambda: bool(said), "a complaint")
        assert "certificate verify failed" in said[0] and not there.posted
        monkeypatch.setenv("SSL_CERT_FILE", certificate.file)
        until(lambda: exporter.counts["otlp"].exported == 1)
        assert len(there.spans) == 1
