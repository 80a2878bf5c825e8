"""What a failure means: which fallbacks may help, whether the endpoint is to blame, when it may be asked again."""

from __future__ import annotations

import json
from email.utils import formatdate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanok.errors import (
    EngineBroken,
    EngineError,
    EngineRefused,
    EngineTimeout,
    EngineUnreachable,
    NoEndpoint,
    Overloaded,
    Refusal,
)
from hanok.routing import again_s, asked_wait_s, fallbacks_for, kind_of
from hanok.routing.failures import is_endpoints_fault
from hanok.spec import Fallbacks


def refused(status: int, body: Any = None, **headers: str) -> EngineRefused:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return EngineRefused("no", refusal=Refusal(status=status, body=data, headers=headers))


def said(message: str = "", **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, **more}}


TOO_LONG = [
    said("This model's maximum context length is 8192 tokens. However, you requested 9000.", code=400),
    said("too long", code="context_length_exceeded"),
    {"object": "error", "message": "The decoder prompt (length 9) is longer than the maximum model length of 8."},
    said("The input (9412 tokens) is longer than the model's context length (8192 tokens)."),
    said("Requested token count exceeds the model's maximum context length of 8192 tokens."),
    said("request (9 tokens) exceeds the available context size (8 tokens)", type="exceed_context_size_error"),
    {
        "type": "error",
        "error": {"type": "invalid_request_error", "message": "prompt is too long: 9 tokens > 8 maximum"},
    },
    said("…", type="ContextWindowExceededError"),
    b"`inputs` tokens + `max_new_tokens` must be <= 4096",
]
FILTERED = [
    said("The response was filtered", code="content_filter"),
    said("no", code="content_policy_violation"),
    said("no", code=None, innererror={"code": "ResponsibleAIPolicyViolation"}),
    said("…", type="ContentPolicyViolationError"),
    said("Output blocked by content filtering policy"),
]
MISTAKES = [
    said("temperature: must be at most 2", code="invalid_value"),
    {"detail": "no"},
    [],
    None,
    b"<html>",
    b"\xff",
]


@pytest.mark.parametrize("body", TOO_LONG)
def test_the_words_of_every_engine_for_a_prompt_that_is_too_long_are_known(body: Any) -> None:
    assert kind_of(refused(400, body)) == "context_window"
    assert kind_of(refused(500, body)) == "error"


@pytest.mark.parametrize("body", FILTERED)
def test_the_words_for_a_prompt_that_a_filter_refused_are_known(body: Any) -> None:
    assert kind_of(refused(400, body)) == "content_policy"


@pytest.mark.parametrize("body", MISTAKES)
def test_another_mistake_of_the_caller_is_no_reason_to_ask_another_model(body: Any) -> None:
    assert kind_of(refused(400, body)) is None


def test_what_is_not_the_callers_mistake_is_an_error_and_another_model_may_do_better() -> None:
    others: list[EngineError] = [EngineUnreachable(""), EngineTimeout(""), EngineBroken(""), NoEndpoint("")]
    others += [Overloaded("", code="queue_full", retry_after_s=1.0), *(refused(status) for status in (401, 429, 503))]
    assert {kind_of(error) for error in others} == {"error"}


def test_each_kind_has_its_own_fallbacks() -> None:
    declared = Fallbacks(error=["a"], context_window=["b", "c"], budget=["d"])
    assert fallbacks_for(declared, "error") == ("a",)
    assert fallbacks_for(declared, "context_window") == ("b", "c")
    assert fallbacks_for(declared, "content_policy") == ()
    assert fallbacks_for(declared, "budget") == ("d",)


@pytest.mark.parametrize(
    ("error", "fault", "again"),
    [
        (EngineUnreachable(""), True, True),
        (EngineBroken(""), True, True),
        (EngineTimeout(""), True, False),
        (refused(500), True, True),
        (refused(408), False, True),
        (refused(409), False, True),
        (refused(429), False, True),
        (refused(400), False, False),
        (refused(401), False, False),
        (refused(404), False, False),
        (NoEndpoint(""), False, False),
    ],
)
def test_what_counts_against_an_endpoint_and_what_is_asked_of_it_again(
    error: EngineError, fault: bool, again: bool
) -> None:
    assert is_endpoints_fault(error) is fault
    assert (again_s(error, attempt=0, jitter=1.0, wall=0.0) is not None) is again


def test_retry_after_is_read_in_all_its_forms() -> None:
    assert asked_wait_s({"retry-after": "7"}, wall=0.0) == 7.0
    assert asked_wait_s({"retry-after": "0.5"}, wall=0.0) == 0.5
    assert asked_wait_s({"retry-after": "7", "retry-after-ms": "250"}, wall=0.0) == 0.25
    assert asked_wait_s({"retry-after": formatdate(1_000_030.0, usegmt=True)}, wall=1_000_000.0) == 30.0
    assert asked_wait_s({"retry-after": formatdate(1_000_000.0, usegmt=True)}, wall=1_000_030.0) == 0.0
    for nonsense in ("", "soon", "-5", "nan", "inf", "Mon, 99 Foo 2020"):
        assert asked_wait_s({"retry-after": nonsense}, wall=0.0) is None


@given(st.text())
def test_no_retry_after_can_do_harm(text: str) -> None:
    seconds = asked_wait_s({"retry-after": text}, wall=0.0)
    assert seconds is None or seconds >= 0.0


def test_a_wait_that_the_engine_asks_for_is_kept_unless_it_is_too_long() -> None:
    short = again_s(refused(429, **{"retry-after": "3"}), attempt=0, jitter=0.5, wall=0.0)
    assert short == 3.05
    assert again_s(refused(503, **{"retry-after": "21"}), attempt=0, jitter=0.5, wall=0.0) is None
