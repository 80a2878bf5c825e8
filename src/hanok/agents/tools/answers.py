"""What a server answered, as text for a model: JSON in few characters, pages as text, nothing that is no text."""

from __future__ import annotations

import codecs
import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, cast

from hanok.agents.tools.html_text import text_of_html
from hanok.agents.tools.pointer import Nowhere, at
from hanok.web.client import Answer

PIECE = 500
"""Characters of an error's body that are told."""
_TEXTS = ("javascript", "yaml", "x-yaml", "csv", "x-ndjson", "jsonl", "x-www-form-urlencoded", "graphql", "toml")

_SLOW = ("punycode", "idna", "unicode_escape", "raw_unicode_escape")
"""Encodings that no page is in, and that take long to decode."""


class NotAnswered(ValueError):
    """An answer that has not what counts. Its text is for the model."""


@dataclass(frozen=True, kw_only=True)
class Told:
    """An answer's text, and its JSON where it is JSON."""

    text: str
    json: Any = None
    is_json: bool = False


def content_of(answer: Answer, pointer: str = "") -> str:
    """The answer's text, or the part of its JSON at that pointer (RFC 6901). Raises `NotAnswered`."""
    if not answer.body:
        return f"Done: {status_of(answer.status)}, with nothing in it."
    told = told_by(answer)
    if not pointer:
        return told.text
    if not told.is_json:
        raise NotAnswered(f"its answer is no JSON, and so has no `{pointer}`: {_cut(told.text)}")
    try:
        return _text_of_json(at(told.json, pointer))
    except Nowhere as error:
        there = f"at `{error.seen or '/'}` is {_kind(error.here)}"
        raise NotAnswered(f"its answer has no `{pointer}`; {there}") from None


def failure_of(answer: Answer) -> str:
    """What an error's answer says: its status, and the beginning of what stands in it."""
    status = f"answered {status_of(answer.status)}"
    try:
        text = _cut(told_by(answer).text) if answer.body else ""
    except NotAnswered:
        text = ""
    return f"{status}: {text}" if text else status


def told_by(answer: Answer) -> Told:
    """Raises `NotAnswered` when it is no text."""
    media_type, charset = _type_of(answer)
    text = _decoded(answer.body, charset)
    if media_type == "application/json" or media_type.endswith("+json") or not media_type:
        found = _json_of(text)
        if found is not None:
            return found
    if not _is_text(media_type, answer.body):
        kind = media_type or "something unknown"
        raise NotAnswered(f"answered with {kind} of {len(answer.body):,} bytes, which is no text")
    if "html" in media_type:
        return Told(text=text_of_html(text, answer.url))
    return Told(text=text)


def status_of(status: int) -> str:
    """`404 Not Found`."""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _json_of(text: str) -> Told | None:
    try:
        value = json.loads(text)
        return Told(text=_text_of_json(value), json=value, is_json=True)
    except (ValueError, RecursionError):
        return None


def _text_of_json(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _type_of(answer: Answer) -> tuple[str, str]:
    media_type, *parameters = answer.headers.get("content-type", "").split(";")
    named = (each.partition("=") for each in parameters)
    charset = next((value for name, _, value in named if name.strip().lower() == "charset"), "utf-8")
    return media_type.strip().lower(), charset.strip().strip("\"'")


def _decoded(body: bytes, charset: str) -> str:
    try:
        if codecs.lookup(charset).name in _SLOW:
            charset = "utf-8"
        return body.decode(charset, "replace").removeprefix("\ufeff")
    except (LookupError, ValueError):
        return body.decode("utf-8", "replace").removeprefix("\ufeff")


def _is_text(media_type: str, body: bytes) -> bool:
    kind, _, name = media_type.partition("/")
    if kind == "text" or name.endswith(("+json", "+xml")) or name in ("json", "xml", *_TEXTS):
        return True
    if media_type not in ("", "application/octet-stream") or b"\0" in body:
        return False
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def _kind(value: Any) -> str:
    if isinstance(value, dict):
        return "an object with " + (
            ", ".join(f"`{key}`" for key in list(cast("dict[str, Any]", value))[:10]) or "nothing"
        )
    if isinstance(value, list):
        return f"a list of {len(cast('list[Any]', value))}"
    return f"`{_cut(_text_of_json(value), 60)}`"


def _cut(text: str, length: int = PIECE) -> str:
    text = " ".join(text.split())
    return text if len(text) <= length else f"{text[:length]}…"
