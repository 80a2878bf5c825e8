"""What a message from outside says: something to an agent, or an answer to what a run waits for."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from typing import Any, cast

from a2a.types import a2a_pb2 as pb
from a2a.utils.errors import ContentTypeNotSupportedError, InvalidParamsError
from google.protobuf.json_format import MessageToDict

from hanok.agents.values import Message
from hanok.wire import json_bytes

_YES = frozenset(("yes", "y", "ok", "approve", "approved"))
_NO = frozenset(("no", "n", "reject", "rejected", "deny", "denied"))
_ANSWERS = ("approve", "reason", "arguments", "text", "value")
HOW = 'send a data part {"answers": {ID: {"approve": true} or {"approve": false, "reason": …} or {"text": …}}}'
Wanted = Mapping[str, Mapping[str, Any]]
Answers = dict[str, dict[str, Any]]


def chat_message(message: pb.Message, *, id_: str) -> Message:
    """A message to an agent in OpenAI's form. Raises `ContentTypeNotSupportedError` for what no model is handed."""
    pieces = [_piece(part) for part in message.parts]
    if all(piece["type"] == "text" for piece in pieces):
        return {"id": id_, "role": "user", "content": "\n".join(piece["text"] for piece in pieces)}
    return {"id": id_, "role": "user", "content": pieces}


def answers_to(message: pb.Message, wanted: Wanted) -> Answers:
    """What the message answers of what is wanted. Raises `InvalidParamsError` that says how to answer."""
    found: Answers = {}
    for data in _data(message.parts):
        found |= _told(data, wanted)
    text = "\n".join(part.text for part in message.parts if part.WhichOneof("content") == "text").strip()
    if not found and text:
        found = _said(text, wanted)
    if not found:
        raise InvalidParamsError(f"this task waits for an answer to {_named(wanted)}; {HOW}")
    if unknown := found.keys() - wanted.keys():
        raise InvalidParamsError(f"nothing is asked under {min(unknown)!r}; this task waits for {_named(wanted)}")
    return found


def _piece(part: pb.Part) -> dict[str, Any]:
    match part.WhichOneof("content"):
        case "text":
            return _text(part.text)
        case "data":
            return _text(json_bytes(_json(part)).decode())
        case "url" if part.media_type.startswith("image/"):
            return {"type": "image_url", "image_url": {"url": part.url}}
        case "raw" if part.media_type.startswith("image/"):
            packed = base64.b64encode(part.raw).decode()
            return {"type": "image_url", "image_url": {"url": f"data:{part.media_type};base64,{packed}"}}
        case "raw" if part.media_type.startswith("text/") or part.media_type == "application/json":
            return _text(part.raw.decode("utf-8", "replace"))
        case None:
            raise InvalidParamsError("a part of the message has no content: give `text`, `data`, `raw` or `url`")
        case kind:
            media = part.media_type or "no media type"
            raise ContentTypeNotSupportedError(f"a {kind} part of {media} cannot be handed to a model")


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _data(parts: Iterable[pb.Part]) -> list[Mapping[str, Any]]:
    found = [_json(part) for part in parts if part.WhichOneof("content") == "data"]
    return [cast("Mapping[str, Any]", each) for each in found if isinstance(each, dict)]


def _json(part: pb.Part) -> object:
    """A part's data. Numbers come as floats: those that are whole were whole."""
    return _whole(MessageToDict(part.data))


def _whole(value: object) -> object:
    match value:
        case float() if value.is_integer():
            return int(value)
        case list():
            return [_whole(each) for each in cast("list[object]", value)]
        case dict():
            return {name: _whole(each) for name, each in cast("dict[str, object]", value).items()}
        case _:
            return value


def _told(data: Mapping[str, Any], wanted: Wanted) -> Answers:
    """`{"answers": {id: answer}}`, or one answer, with its `request` where several are asked; kagent's words too."""
    if isinstance(answers := data.get("answers"), dict):
        given = cast("dict[str, object]", answers).items()
        return {id_: _answer(cast("dict[str, Any]", each)) for id_, each in given if isinstance(each, dict)}
    if (decision := data.get("decision_type")) in ("approve", "reject", "deny"):
        data = {**data, "approve": decision == "approve"}
    answer = _answer(data)
    return {_only(data.get("request"), wanted): answer} if answer else {}


def _said(text: str, wanted: Wanted) -> Answers:
    id_ = _only(None, wanted)
    if wanted[id_].get("kind") != "approval":
        return {id_: {"value": text} if "value" in wanted[id_] else {"text": text}}
    word = text.lower().rstrip(".!")
    if word not in _YES | _NO:
        raise InvalidParamsError(f"say yes or no, or {HOW}")
    return {id_: {"approve": word in _YES}}


def _answer(data: Mapping[str, Any]) -> dict[str, Any]:
    return {name: data[name] for name in _ANSWERS if name in data}


def _only(request: object, wanted: Wanted) -> str:
    """The request that is meant."""
    if request is not None:
        return str(request)
    if len(wanted) != 1:
        raise InvalidParamsError(f"this task waits for several answers, to {_named(wanted)}; {HOW}")
    return next(iter(wanted))


def _named(wanted: Wanted) -> str:
    return ", ".join(f"{id_} ({request.get('kind', 'question')})" for id_, request in wanted.items())
