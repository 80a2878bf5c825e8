"""OpenAI's chat completions for answers from documents: the text, its citations as annotations, and all of it besides.

OpenAI has two annotations: `url_citation` for what is on the web, `file_citation` for files. `start_index` and
`end_index` are the sentence that cites, in characters of the message. `knowledge` beside `choices` is the machine form.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from hanok.gateway.given import Given
from hanok.knowledge.answering import Telling
from hanok.wire import ChatRequest, Usage, json_bytes
from hanok.wire.forms import DONE, FinishReason, text_event, usage_event, usage_form, whole_body


def chat_body(request: ChatRequest, telling: Telling[Given], sources: str, usage: Usage, *, created: int) -> bytes:
    """The whole completion."""
    form = telling.form()
    reason = cast("FinishReason", telling.finish)
    body = whole_body(request, telling.text + sources, reason, usage, created=created, annotations=annotations_of(form))
    return _with_besides(body, telling, form)


def text_events(request: ChatRequest, text: str, *, created: int) -> bytes:
    """The event of a stream that brings this text."""
    return text_event(request, text, None, created=created)


def chat_end(request: ChatRequest, telling: Telling[Given], usage: Usage, *, created: int) -> bytes:
    """The last events of a stream: its end with all that is known now, its usage if wanted, `[DONE]`."""
    form = telling.form()
    reason = cast("FinishReason", telling.finish)
    event = text_event(request, None, reason, created=created, annotations=annotations_of(form))
    payload = _with_besides(event.removeprefix(b"data: ").removesuffix(b"\n\n"), telling, form)
    last = usage_event(request, usage, created=created) if request.wants_usage else b""
    return b"data: " + payload + b"\n\n" + last + DONE


def answer_form(telling: Telling[Given], usage: Usage, cost_nano_usd: int) -> dict[str, Any]:
    """The answer in machine form, with what it took."""
    cut = {} if telling.cut is None else {"hanok": telling.cut}
    return {**telling.form(), **cut, "usage": usage_form(usage), "cost_usd": cost_nano_usd / 1e9}


def annotations_of(form: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A citation for each passage that a sentence cites."""
    cited = {each["index"]: each for each in form["citations"]}
    return [_annotation(sentence, cited[number]) for sentence in form["sentences"] for number in sentence["citations"]]


def _annotation(sentence: Mapping[str, Any], citation: Mapping[str, Any]) -> dict[str, Any]:
    place = {"start_index": sentence["start"], "end_index": sentence["end"]}
    document = citation["document"]
    if document.startswith(("http://", "https://")):
        title = citation["title"] or citation["path"]
        return {"type": "url_citation", "url_citation": {**place, "title": title, "url": document}}
    told = {"file_id": document, "filename": citation["path"], "index": sentence["end"], "quote": citation["quote"]}
    return {"type": "file_citation", "file_citation": {**told, **place}}


def _with_besides(body: bytes, telling: Telling[Given], form: Mapping[str, Any]) -> bytes:
    """A JSON object with what Hanok tells besides."""
    told: dict[str, Any] = {"knowledge": form}
    if telling.cut is not None:
        told["hanok"] = telling.cut
    return body[:-1] + b"," + json_bytes(told)[1:]
