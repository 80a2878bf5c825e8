"""OpenAI's chat completions for runs: content, `reasoning_content` as vLLM has it, and `hanok` for machines.

A run that a limit has stopped is `length`, as any answer that is cut; one that waits for a person is `stop`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from hanok.agents.values import Run
from hanok.gateway.agents.forms import usage_of
from hanok.gateway.agents.talking import Piece, Talk, machine_form, rest_of
from hanok.wire import ChatRequest, json_bytes
from hanok.wire.forms import DONE, FinishReason, delta_event, usage_event, whole_body


def chat_body(request: ChatRequest, run: Run, talk: Talk, *, created: int) -> bytes:
    """The whole completion."""
    noted = annotations_of(talk)
    body = whole_body(request, rest_of(run), _reason(run), usage_of(run.used), created=created, annotations=noted)
    form: dict[str, Any] = msgspec.json.decode(body)
    if talk.reasoning:
        form["choices"][0]["message"]["reasoning_content"] = talk.reasoning
    return json_bytes({**form, "hanok": machine_form(run, talk)})


def piece_event(request: ChatRequest, piece: Piece, *, first: bool, created: int) -> bytes:
    """The event of a stream that brings this piece."""
    role = {"role": "assistant"} if first else {}
    name = "reasoning_content" if piece.reasoning else "content"
    return delta_event(request, {**role, name: piece.text}, created=created)


def chat_end(request: ChatRequest, run: Run, talk: Talk, *, created: int) -> bytes:
    """The last events of a stream: its end with all that is known now, its usage if wanted, `[DONE]`."""
    noted = annotations_of(talk)
    event = delta_event(request, {"annotations": noted} if noted else {}, _reason(run), created=created)
    form: dict[str, Any] = msgspec.json.decode(event.removeprefix(b"data: "))
    last = usage_event(request, usage_of(run.used), created=created) if request.wants_usage else b""
    return b"data: " + json_bytes({**form, "hanok": machine_form(run, talk)}) + b"\n\n" + last + DONE


def annotations_of(talk: Talk) -> list[dict[str, Any]]:
    """The passages that its searches found, as OpenAI tells of files and pages; they belong to the whole message."""
    return [_annotation(each, len(talk.text)) for each in talk.passages]


def _annotation(passage: Mapping[str, Any], end: int) -> dict[str, Any]:
    document = str(passage.get("document") or "")
    path, place = passage.get("path"), {"start_index": 0, "end_index": end}
    if document.startswith(("http://", "https://")):
        title = passage.get("title") or path
        return {"type": "url_citation", "url_citation": {**place, "title": title, "url": document}}
    told = {"file_id": document, "filename": path, "index": end, "quote": passage.get("text")}
    return {"type": "file_citation", "file_citation": {**told, **place}}


def _reason(run: Run) -> FinishReason:
    return "length" if run.state == "limited" else "stop"
