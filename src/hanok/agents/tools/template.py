"""From a declared request and a model's arguments to what is sent.

An argument fills the place that was left for it and nothing else: in a path one segment, in a query one value, in a
body one string or one JSON value. Whatever it holds, it names no other host and no other path, and adds no parameter.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any, cast
from urllib.parse import parse_qsl, quote, unquote

from hanok.spec.tree.templates import PLACEHOLDER, names_in

_LITERAL = "/%:@!$&'()*+,;=~-._"
"""What a declared path keeps as it was written."""
_DECODED = 5
"""Times that somebody further on may decode a path, at most."""
_LEFT_OUT = object()


class BadArgument(ValueError):
    """An argument that cannot stand where it must. Its text is for the model."""


def fill_url(template: str, arguments: Mapping[str, Any], query: Mapping[str, str]) -> str:
    """The URL: the template's own query parameters come first, then those of `query`. Raises `BadArgument`.

    A parameter that names an argument which is not given, or null, is left out.
    """
    place, _, own = template.partition("#")[0].partition("?")
    scheme, _, rest = place.partition("://")
    host, slash, path = rest.partition("/")
    pairs = [*parse_qsl(own, keep_blank_values=True), *query.items()]
    asked = "&".join(_fill_query(pairs, arguments))
    return f"{scheme}://{host}/{fill_path(path, arguments) if slash else ''}{'?' if asked else ''}{asked}"


def fill_path(template: str, arguments: Mapping[str, Any]) -> str:
    """A path with its arguments, each within its own segment. Raises `BadArgument`."""
    return "/".join(_fill_segment(segment, arguments) for segment in template.split("/"))


def fill_body(template: Any, arguments: Mapping[str, Any]) -> Any:
    """A body: a string that is `{name}` alone becomes the argument with its JSON type.

    What names an argument that is not given is left out.
    """
    filled = _fill_value(template, arguments)
    return None if filled is _LEFT_OUT else filled


def pairs_of(name: str, value: Any) -> list[tuple[str, str]]:
    """A query parameter: a list is repeated, null is left out."""
    if value is None:
        return []
    if isinstance(value, list):
        return [(name, text_of(each)) for each in cast("list[Any]", value) if each is not None]
    return [(name, text_of(value))]


def encode_pairs(pairs: Iterable[tuple[str, str]]) -> list[str]:
    """`name=value` of each, percent-encoded."""
    return [f"{encode(name)}={encode(value)}" for name, value in pairs]


def encode(text: str) -> str:
    """Percent-encoded, but for letters, digits and `-._~`."""
    return quote(text, safe="", errors="replace")


def segment_of(name: str, text: str) -> str:
    """An argument as (part of) a path's segment. Raises `BadArgument` where it cannot be one."""
    if not text:
        raise BadArgument(f"`{name}` is empty, and must not be")
    if any(ord(sign) < 32 or ord(sign) == 127 for sign in text):
        raise BadArgument(f"`{name}` has control characters in it, which it must not")
    return encode(text)


def check_segment(name: str, segment: str) -> str:
    """The segment. Raises `BadArgument` where, decoded as often as may be, it would lead to another path."""
    text = segment
    for _ in range(_DECODED):
        parts = unicodedata.normalize("NFKC", text).replace("\\", "/").split("/")
        if any(part.partition(";")[0].strip() in (".", "..") for part in parts):
            raise BadArgument(f"`{name}` must not be `.` or `..`, nor have these between slashes")
        text = unquote(text, errors="replace")
    return segment


def text_of(value: Any) -> str:
    """An argument as text: `true`, `3`, `a,b`; objects in JSON."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, list) and not any(isinstance(each, (list, dict)) for each in cast("list[Any]", value)):
        return ",".join(text_of(each) for each in cast("list[Any]", value))
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _fill_segment(template: str, arguments: Mapping[str, Any]) -> str:
    filled, end, names = "", 0, names_in(template)
    for match in PLACEHOLDER.finditer(template):
        filled += quote(template[end : match.start()], safe=_LITERAL)
        filled += _piece(match["name"], arguments) if match["name"] else encode(f"{{{match['literal']}}}")
        end = match.end()
    filled += quote(template[end:], safe=_LITERAL)
    return check_segment(names[0], filled) if names else filled


def _piece(name: str, arguments: Mapping[str, Any]) -> str:
    if arguments.get(name) is None:
        raise BadArgument(f"`{name}` is missing: it is part of the address")
    return segment_of(name, text_of(arguments[name]))


def _fill_query(pairs: Iterable[tuple[str, str]], arguments: Mapping[str, Any]) -> list[str]:
    filled: list[tuple[str, str]] = []
    for name, template in pairs:
        value = _fill_value(template, arguments)
        filled += [] if value is _LEFT_OUT else pairs_of(name, value)
    return encode_pairs(filled)


def _fill_value(template: Any, arguments: Mapping[str, Any]) -> Any:
    if isinstance(template, str):
        return _fill_text(template, arguments)
    if isinstance(template, dict):
        filled = ((key, _fill_value(each, arguments)) for key, each in cast("dict[str, Any]", template).items())
        return {key: each for key, each in filled if each is not _LEFT_OUT}
    if isinstance(template, list):
        values = (_fill_value(each, arguments) for each in cast("list[Any]", template))
        return [each for each in values if each is not _LEFT_OUT]
    return template


def _fill_text(template: str, arguments: Mapping[str, Any]) -> Any:
    names = names_in(template)
    if any(name not in arguments for name in names):
        return _LEFT_OUT
    if names and template == f"{{{names[0]}}}":
        return arguments[names[0]]
    return PLACEHOLDER.sub(
        lambda match: text_of(arguments[match["name"]]) if match["name"] else f"{{{match['literal']}}}", template
    )
