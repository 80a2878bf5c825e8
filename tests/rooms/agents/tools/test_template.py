"""Whatever a model puts into an argument, it fills the place that was left for it and nothing else."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hanok.agents.tools.template import BadArgument, fill_body, fill_url, text_of
from hanok.web.place import place_of

URL = "https://api.example.com:8443/v1/{a}/x-{b}.json?fixed=1&q={c}"
texts = st.text(max_size=12) | st.text(alphabet="./\\%2eE5cF?#&=;@:\r\n\0 {}ab한．／", max_size=12)
values: st.SearchStrategy[Any] = st.recursive(
    texts | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=4,
)


@settings(max_examples=100, deadline=None)
@given(a=values, b=values, c=values)
@example(a="..", b="x", c="")
@example(a="%2e%2e", b="/../", c="&admin=1#")
@example(a="a/../../b", b="x", c="x")
@example(a="..;", b="x", c="x")
@example(a="@evil.example", b="?x=", c="\r\nHost: evil")
@example(a="\ud800", b="\\..\\", c="\ud800")
def test_no_argument_changes_a_host_a_path_or_the_parameters(a: Any, b: Any, c: Any) -> None:
    try:
        url = fill_url(URL, {"a": a, "b": b, "c": c}, {"more": "{c}"})
    except BadArgument:
        return
    place, parts = place_of(url), urlsplit(url)
    assert place.origin == ("https", "api.example.com", 8443)
    assert url.isascii()
    assert url.isprintable()
    segments = parts.path.split("/")
    assert (len(segments), segments[:2], segments[3][:2], segments[3][-5:]) == (4, ["", "v1"], "x-", ".json")
    assert not {".", ".."} & {
        part for each in segments for part in unquote(unquote(each)).replace("\\", "/").split("/")
    }
    assert not parts.fragment
    names = [name for name, _ in parse_qsl(parts.query, keep_blank_values=True)]
    assert names[0] == "fixed"
    assert set(names) <= {"fixed", "q", "more"}
    assert isinstance(c, list) or names.count("q") == (c is not None)
    if not isinstance(c, list) and "\ud800" not in text_of(c):
        assert [each for each in parse_qsl(parts.query, keep_blank_values=True) if each[0] == "q"] in (
            [],
            [("q", text_of(c))],
        )


DOTS = [".", "..", "../x", "a/..", "..\\x", "%2e%2e", "%252e%252e%252fx", "..;a", "．．", "a／．．／b", " .. "]


@pytest.mark.parametrize("text", [*DOTS, "", "a\r\nb", "\0"])
def test_what_would_lead_elsewhere_is_refused_in_a_path(text: str) -> None:
    with pytest.raises(BadArgument, match="`a`"):
        fill_url("https://x.example/{a}/y", {"a": text}, {})


def test_dots_that_meet_in_one_segment_are_refused_too() -> None:
    with pytest.raises(BadArgument):
        fill_url("https://x.example/{a}{b}/y", {"a": ".", "b": "."}, {})
    with pytest.raises(BadArgument):
        fill_url("https://x.example/.{a}/y", {"a": "."}, {})


def test_slashes_and_dots_that_lead_nowhere_are_kept() -> None:
    url = fill_url("https://x.example/repos/{id}/raw", {"id": "a/b.c..d"}, {})
    assert url == "https://x.example/repos/a%2Fb.c..d/raw"


@settings(max_examples=30)
@given(value=values)
def test_a_string_that_is_a_placeholder_alone_is_the_argument_itself(value: Any) -> None:
    assert fill_body({"x": ["{a}", {"y": "{a}"}]}, {"a": value}) == {"x": [value, {"y": value}]}
