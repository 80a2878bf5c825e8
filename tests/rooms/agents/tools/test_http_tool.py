"""Declared HTTP requests as tools, used on real servers: what is sent, and what of the answer a model is told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hanok.agents.tools.http_tool import HttpToolbox
from hanok.errors import SpecError, ToolUnavailable
from hanok.spec import load
from tests.conftest import ECHO
from tests.rooms.agents.tools.calling import declare, opened, use
from tests.website import Site, running_site

ANY = {"type": "object", "properties": {"q": {}, "n": {}}}


@pytest.fixture(scope="module")
def listening() -> Iterator[Site]:
    with running_site() as running:
        yield running


@pytest.fixture
def site(listening: Site) -> Site:
    listening.replies.clear()
    listening.asked.clear()
    listening.bodies.clear()
    return listening


def json_page(site: Site, path: str, value: Any, status: int = 200, **headers: str) -> str:
    return site.page(path, json.dumps(value), status, Content_Type="application/json", **headers)


# What is sent.


def test_arguments_of_a_get_stand_in_its_query(site: Site) -> None:
    json_page(site, "/s?a=b%26c&tags=x&tags=y&deep=true&n=3", {"ok": 1})
    schema = {"type": "object", "properties": {name: {} for name in ("a", "tags", "deep", "n", "none")}}
    arguments = {"a": "b&c", "tags": ["x", "y"], "deep": True, "n": 3, "none": None}
    assert use(f"{site.url}/s", arguments, parameters=schema).content == '{"ok":1}'


def test_a_post_sends_its_arguments_as_json(site: Site) -> None:
    json_page(site, "/search", {"hits": []})
    arguments = {"query": "한옥", "top_k": 3}
    result = use(f"{site.url}/search", arguments, method="POST", parameters={"query": "string", "top_k": "integer"})
    assert not result.failed
    method, _, headers = site.asked[0]
    assert (method, json.loads(site.bodies[0])) == ("POST", arguments)
    assert headers["content-type"] == "application/json"


def test_a_calls_key_is_the_same_each_time_and_tells_nothing_of_the_run(site: Site) -> None:
    for _ in range(2):
        use(json_page(site, "/a", {}), method="DELETE")
    first, second = (headers["idempotency-key"] for _, _, headers in site.asked)
    assert first == second
    assert len(first) == 32
    assert "key-1" not in first


def test_a_call_says_which_span_it_belongs_to_unless_the_declaration_says_another(site: Site) -> None:
    url = json_page(site, "/a", {})
    use(url, trace="00-1-2-01")
    use(url, trace="00-1-2-01", headers={"traceparent": "00-3-4-01"})
    use(url)
    assert [headers.get("traceparent") for _, _, headers in site.asked] == ["00-1-2-01", "00-3-4-01", None]


def test_arguments_that_are_left_out_have_their_declared_defaults(site: Site) -> None:
    schema = {"q": "string", "n": {"type": "integer", "default": 5}, "more": {"default": None}}
    json_page(site, "/s/5?q=x", {})
    assert not use(f"{site.url}/s/{{n}}", {"q": "x"}, parameters=schema).failed
    use(json_page(site, "/p", {}), {"q": "x", "n": 6}, method="POST", parameters=schema)
    assert json.loads(site.bodies[1]) == {"q": "x", "n": 6, "more": None}


def test_placeholders_fill_path_query_and_body_and_keep_their_types(site: Site) -> None:
    json_page(site, "/v1/a%2Fb/x-3?lang=ko&q=two%20words", "said")
    result = use(
        f"{site.url}/v1/{{id}}/x-{{n}}?lang=ko",
        {"id": "a/b", "n": 3, "q": "two words", "f": {"deep": [1, None]}, "on": False},
        method="POST",
        query={"q": "{q}", "left_out": "{missing}"},
        body={"filter": "{f}", "flags": ["{on}", "{missing}"], "text": "q is {q} {{q}}", "fixed": 1, "m": "{missing}"},
    )
    assert result.content == "said"
    expected = {"filter": {"deep": [1, None]}, "flags": [False], "text": "q is two words {q}", "fixed": 1}
    assert json.loads(site.bodies[0]) == expected


def test_arguments_without_a_place_go_where_the_method_takes_them(site: Site) -> None:
    schema = {"type": "object", "properties": {"id": {}, "n": {}}}
    json_page(site, "/x/7?n=1", {})
    json_page(site, "/x/7", {})
    use(f"{site.url}/x/{{id}}", {"id": 7, "n": 1}, method="DELETE", parameters=schema)
    use(f"{site.url}/x/{{id}}", {"id": 7, "n": 1, "made_up": 2}, method="PUT", parameters=schema)
    assert [each[:2] for each in site.asked] == [("DELETE", "/x/7?n=1"), ("PUT", "/x/7")]
    assert site.bodies == [b"", b'{"n":1}']


def test_what_nobody_declared_is_not_sent_into_a_query(site: Site) -> None:
    json_page(site, "/s?q=1", {})
    assert not use(f"{site.url}/s", {"q": 1, "admin": "true"}, parameters=ANY).failed


def test_only_gets_are_safe_unless_that_is_declared() -> None:
    declared = [declare("https://x.example/", method="POST"), declare("https://x.example/", method="POST", safe=True)]
    assert [opened(HttpToolbox(each))[0].spec.safe for each in declared] == [False, True]


def test_an_argument_that_is_missing_from_the_path_is_told_and_nobody_is_asked(site: Site) -> None:
    for arguments, said in (({}, "`id` is missing"), ({"id": None}, "`id` is missing"), ({"id": ""}, "`id` is empty")):
        result = use(f"{site.url}/x/{{id}}", arguments)
        assert result.failed
        assert said in result.content
    assert site.asked == []


def test_headers_that_no_server_would_take_make_the_tool_unavailable_and_are_not_told() -> None:
    for headers in ({"X-Key": "secret\r\nHost: evil"}, {"Host": "secret"}, {"a b": "secret"}, {"X-한": "secret"}):
        with pytest.raises(ToolUnavailable, match="tool api") as refused:
            opened(HttpToolbox(declare("https://x.example/", headers=headers)))
        assert "secret" not in str(refused.value)


def test_an_argument_that_would_be_sent_nowhere_is_told_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "platform.yaml"
    tool = {"name": "api", "type": "http", "url": "https://x.example/", "query": {"q": "{a}"}}
    tools = [{**tool, "parameters": {"a": "string", "b": "string"}}]
    file.write_text(json.dumps({"name": "test", "models": [ECHO], "tools": tools}))
    with pytest.raises(SpecError) as refused:
        load(file, {})
    assert "tools[0].parameters.b: argument 'b' stands nowhere in what is sent" in str(refused.value)


# What is told.


def test_a_pointer_picks_the_part_that_counts(site: Site) -> None:
    url = json_page(site, "/a", {"results": [{"a/b": {"~": "한"}}], "took": 3})
    assert use(url, result="/results").content == '[{"a/b":{"~":"한"}}]'
    assert use(url, result="/results/0/a~1b/~0").content == "한"
    missing = use(url, result="/results/1/x")
    assert missing.failed
    assert missing.content == "127.0.0.1: its answer has no `/results/1/x`; at `/results` is a list of 1"
    assert "an object with `results`, `took`" in use(url, result="/hits").content


def test_an_error_is_told_with_its_status_and_the_beginning_of_what_it_says(site: Site) -> None:
    url = site.page("/a", "<html><title>Oops</title><p>No&nbsp;such city" + "x" * 5000, 404, Content_Type="text/html")
    result = use(url, retries=0)
    assert (result.failed, result.data) == (True, {"status": 404})
    assert result.content.startswith("127.0.0.1 answered 404 Not Found: Oops No such city")
    assert len(result.content) < 600
    assert use(json_page(site, "/b", {"error": "bad q"}, 422)).content.endswith(
        '422 Unprocessable Entity: {"error":"bad q"}'
    )


def test_an_error_that_never_ends_is_told_as_well(site: Site) -> None:
    url = site.page("/a", b"no " * 100_000, 500)
    result = use(url, max_bytes=1000, retries=0)
    assert "answered 500 Internal Server Error: no no no" in result.content


def test_pages_are_told_as_text(site: Site) -> None:
    page = """<!doctype html><html><head><title>Han&shy;ok</title><style>p {a: b}</style></head><body>
    <nav><a href="/x">Menu</a><nav>deep</nav></nav><h1>A  house</h1><p>Warm <b>floors</b>,
    <a href='/w?a=1&amp;b'>walls</a>
    <a href="javascript:x()">run</a><script>if (a<b) document.write("<script>")</script><ul><li>one<li>two</ul>
    <table><tr><th>k<td>v</table><!-- <p>not this</p> --><pre>def f():
    return 1</pre></body></html>"""
    result = use(site.page("/dir/a", page, Content_Type="text/html; charset=utf-8"))
    assert "# A house" in result.content
    assert f"Warm floors, [walls]({site.url}/w?a=1&b) run" in result.content
    assert "- one\n\n- two" in result.content or "- one\n- two" in result.content
    assert "| k | v" in result.content
    assert "def f():\n    return 1" in result.content
    assert not any(word in result.content for word in ("Menu", "deep", "a: b", "document", "not this", "javascript"))


def test_text_in_other_encodings_and_json_of_no_type_are_read(site: Site) -> None:
    assert use(site.page("/a", "한옥".encode("euc-kr"), Content_Type="text/plain; charset=euc-kr")).content == "한옥"
    assert use(site.page("/b", '\ufeff{"a": [1]}')).content == '{"a":[1]}'
    assert use(site.page("/c", "{broken", Content_Type="application/json")).content == "{broken"
    assert use(site.page("/d", "[" * 100_000, Content_Type="application/json")).content == "[" * 100_000
    assert use(site.page("/e", "text", Content_Type="text/plain; charset=punycode")).content == "text"
    assert use(site.page("/f", "<a/>", Content_Type="application/atom+xml")).content == "<a/>"


def test_what_is_no_text_is_refused_with_a_word_about_it(site: Site) -> None:
    result = use(site.page("/a", b"\x89PNG\0\0", Content_Type="image/png"))
    assert (result.failed, result.content) == (True, "127.0.0.1: answered with image/png of 6 bytes, which is no text")
    assert "something unknown of 2 bytes" in use(site.page("/b", b"\0\xff")).content


def test_an_answer_with_nothing_in_it_is_said_to_be_done(site: Site) -> None:
    assert use(site.page("/a", "", 204)).content == "Done: 204 No Content, with nothing in it."
