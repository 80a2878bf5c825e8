"""What makes two calls the same."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanok.caches.keys import IRRELEVANT, LARGE_BYTES, Keys, canonical_digest
from hanok.caches.rules import Rule, rules_of
from hanok.gateway.bodies import parse_chat
from hanok.spec import Platform
from hanok.wire import Caller, ChatRequest

WHO = Caller(key_id="k", key_name="k")
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
FIELDS = st.dictionaries(st.text().filter(lambda name: name not in IRRELEVANT), VALUES, max_size=6)


def rule(**more: Any) -> Rule:
    return Rule(model="m", seed=b"seed", ttl_s=60, shared=more.pop("shared", False), most_bytes=1000, **more)


def asking(fields: Any, *, shuffled: Any = None, caller: Caller = WHO) -> ChatRequest:
    """A request whose fields come as somebody else may have written them."""
    raw = {name: msgspec.Raw(json.dumps(value, indent=shuffled and 1).encode()) for name, value in fields.items()}
    return ChatRequest("m", raw, caller=caller)


def backwards(value: Any) -> Any:
    """The same value, its names in the other order."""
    if isinstance(value, dict):
        return {name: backwards(each) for name, each in reversed(value.items())}
    return [backwards(each) for each in value] if isinstance(value, list) else value


def same(one: Any, other: Any) -> bool:
    """Equal as JSON: `1`, `1.0` and `true` are three values."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def test_a_large_body_counts_as_it_came_and_is_shared_with_nobody() -> None:
    keys, fields = Keys(), {"messages": [{"role": "user", "content": "x" * LARGE_BYTES}], "seed": 1}
    found = keys.find(rule(), asking(fields))
    assert found is not None
    assert keys.find(rule(), asking(dict(reversed(fields.items())))) == found
    assert keys.find(rule(), asking({**fields, "seed": 2})) != found
    assert keys.find(rule(), asking(backwards(fields))) != found
    assert keys.find(rule(shared=True), asking(fields)) is None


@given(FIELDS, st.booleans())
def test_the_order_of_names_white_space_and_irrelevant_fields_do_not_matter(fields: Any, shared: bool) -> None:
    keys, by = Keys(), rule(shared=shared)
    told = {**fields, "stream": True, "user": "somebody", "metadata": {"a": 1}}
    found = keys.find(by, asking(fields))
    assert found is not None
    assert keys.find(by, asking(backwards(told), shuffled=True)) == found
    assert Keys().find(by, asking(fields)) == found


@given(FIELDS, FIELDS)
def test_other_fields_make_another_key(fields: Any, others: Any) -> None:
    keys, by = Keys(), rule()
    negative_zero = "-0.0" in json.dumps([fields, others])
    equal = keys.find(by, asking(fields)) == keys.find(by, asking(others))
    assert equal == same(fields, others) or negative_zero


def test_team_key_tags_operation_and_model_are_in_the_key() -> None:
    keys, request = Keys(), asking({"messages": []})
    replace = msgspec.structs.replace
    others = [
        request,
        asking({"messages": []}, caller=Caller(key_id="other", key_name="k")),
        asking({"messages": []}, caller=Caller(key_id="k", key_name="k", team="k")),
        replace(request, operation="text"),
        replace(request, options=replace(request.options, tags=frozenset({"eu"}))),
    ]
    found = {keys.find(rule(), each) for each in others} | {keys.find(replace(rule(), seed=b"other"), request)}
    assert len(found) == 6
    shared = {keys.find(rule(shared=True), each) for each in others[:3]}
    assert len(shared) == 1


def test_no_more_bodies_are_remembered_than_allowed() -> None:
    keys = Keys(remembered=10)
    found = [keys.find(rule(), asking({"seed": number})) for number in range(100)]
    assert len(set(found)) == 100
    assert len(keys._known) <= 10


@pytest.mark.parametrize(
    "body", [b'{"a": 1, "a": 2}', b'{"a": [{"b": 1, "b": 1}]}', b'{"a": 1e999}', b'{"a": "\\ud800"}']
)
def test_what_may_be_read_in_two_ways_has_no_key_where_it_is_shared(body: bytes) -> None:
    assert canonical_digest(body, strict=True) is None


def test_a_body_read_at_the_door_has_the_key_of_its_fields() -> None:
    one = parse_chat(b'{"model":"m","messages":[{"role":"user","content":"\\u00e9"}],"temperature":0.5}', WHO)
    other = parse_chat(
        '{"temperature": 0.5, "messages": [{"content": "é", "role": "user"}], "model": "m"}'.encode(), WHO
    )
    assert Keys().find(rule(), one) == Keys().find(rule(), other)


def platform(**serve: Any) -> Platform:
    return Platform.model_validate({"models": [{"name": "m", "cache": True, "serve": serve.pop("serve", serve)}]})


def test_a_model_served_otherwise_has_other_keys() -> None:
    def seed(**serve: Any) -> bytes:
        return rules_of(platform(**serve))["m"].seed

    one = {"engine": "openai", "url": "http://one/v1"}
    known = seed(**one)
    assert seed(**one, key="secret", max_in_flight=3, verify_tls=False) == known
    assert seed(**one, weight=3, price={"input": 1, "output": 1}, tags=["eu"], teams=["red"]) == known
    assert seed(serve=[one, {**one, "max_in_flight": 5}]) == known
    assert seed(serve=[{**one, "role": "prefill"}, {**one, "role": "decode"}]) == known
    two = {"engine": "openai", "url": "http://two/v1"}
    assert seed(serve=[one, two]) == seed(serve=[two, one])
    others = [two, {**one, "model": "x"}, {**one, "headers": {"a": "b"}}, {"engine": "echo"}]
    assert len({known, *(seed(**each) for each in others)}) == 5
