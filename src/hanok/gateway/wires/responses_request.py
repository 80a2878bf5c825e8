"""OpenAI's Responses, read: a body, and what came before it, as an ordinary chat request.

Form: https://platform.openai.com/docs/api-reference/responses, as the `openai` SDK sends it. Items are one permissive
type, so that what cannot be said in a chat request is refused by its name and place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from hanok.errors import RequestError
from hanok.gateway.bodies import ModelName, Tokens, decode_as, with_user
from hanok.gateway.wires.fields import ENGINES_OWN, invalid, raw, shown, unsupported
from hanok.wire import Caller, ChatRequest, Options

_Json = dict[str, Any]
_PASSED = (*ENGINES_OWN, "prompt_cache_key", "service_tier", "top_k")
_REFUSED = {
    "background": "answers are given while you wait here",
    "conversation": "there are no conversations here: continue with previous_response_id",
    "prompt": "there are no prompt templates here",
    "moderation": "ask /v1/moderations",
}
ROLES = {"user": "user", "assistant": "assistant", "system": "system", "developer": "system"}
"""`developer` is OpenAI's word for `system`, which every engine knows."""


class Part(msgspec.Struct):
    """`input_text`, `output_text`, `refusal`, `input_image`, `input_audio`, `input_file`, or a part of reasoning."""

    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: str | None = None
    detail: str | None = None
    input_audio: dict[str, Any] | None = None
    file_data: str | None = None
    filename: str | None = None


class Item(msgspec.Struct):
    """A message, `function_call`, `function_call_output`, `reasoning` or `item_reference`."""

    type: str | None = None
    role: str | None = None
    content: str | list[Part] | None = None
    id: str | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None
    output: str | list[Part] | None = None
    summary: list[Part] | None = None


class Function(msgspec.Struct):
    """A tool of the caller's own. Tools that OpenAI's servers run have other types, and are refused."""

    type: str
    name: str | None = None
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Choice(msgspec.Struct):
    """A tool that must be called, or with `allowed_tools` those that may be."""

    type: str
    name: str | None = None
    mode: str | None = None
    tools: list[Function] | None = None


class Format(msgspec.Struct):
    type: str
    name: str | None = None
    description: str | None = None
    schema: dict[str, Any] | None = None
    strict: bool | None = None


class Text(msgspec.Struct):
    format: Format | None = None
    verbosity: str | None = None


class Reasoning(msgspec.Struct):
    effort: str | None = None
    summary: str | None = None


MetadataValue = Annotated[str, Meta(max_length=512)]
MetadataName = Annotated[str, Meta(max_length=64)]


class ResponsesBody(msgspec.Struct, kw_only=True):
    """`POST /v1/responses`"""

    model: ModelName
    input: str | list[Item] = ""
    instructions: str | None = None
    tools: list[Function] | None = None
    tool_choice: str | Choice | None = None
    parallel_tool_calls: bool | None = None
    text: Text | None = None
    reasoning: Reasoning | None = None
    max_output_tokens: Tokens | None = None
    temperature: Annotated[float, Meta(ge=0.0, le=2.0)] | None = None
    top_p: Annotated[float, Meta(ge=0.0, le=1.0)] | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    metadata: Annotated[dict[MetadataName, MetadataValue], Meta(max_length=16)] | None = None
    user: str | None = None
    safety_identifier: str | None = None
    previous_response_id: Annotated[str, Meta(max_length=128)] | None = None
    store: bool | None = None
    stream: bool | None = None
    include: list[str] | None = None
    truncation: str | None = None
    background: Any = None
    conversation: Any = None
    prompt: Any = None
    moderation: Any = None


class Told(msgspec.Struct):
    """What is kept of a body, or said again in its response, as it came: unknown fields, too."""

    input: str | list[_Json] = ""
    text: _Json | None = None
    reasoning: _Json | None = None
    tool_choice: Any = None
    tools: list[_Json] | None = None


_decode = msgspec.json.Decoder(ResponsesBody)
_decode_told = msgspec.json.Decoder(Told)
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class _Answered(msgspec.Struct):
    """What is read of a kept response."""

    output: list[Item]


_before = msgspec.json.Decoder(list[Item] | _Answered).decode


class ResponsesRequest(msgspec.Struct, frozen=True):
    """A body that was read. `items` are its own input items, as JSON in the form in which they are kept and listed."""

    body: ResponsesBody
    fields: Mapping[str, msgspec.Raw]
    told: Told
    items: Sequence[_Json]


def parse_responses(data: bytes) -> ResponsesRequest:
    """A Responses request. Raises `RequestError` that names the field at fault."""
    body = decode_as(_decode, data)
    for name, message in _REFUSED.items():
        if getattr(body, name):
            raise unsupported(name, message)
    told = decode_as(_decode_told, data)
    return ResponsesRequest(body, _fields(data), told, _listed(told.input))


def referred(body: ResponsesBody) -> list[str]:
    """The ids of items that the input only refers to."""
    given = [] if isinstance(body.input, str) else body.input
    return [item.id or "" for item in given if item.type == "item_reference"]


def with_referred(asked: ResponsesRequest, found: Mapping[str, _Json]) -> ResponsesRequest:
    """The same request with items in the place of references. Raises `RequestError` when one was not found."""
    items = [_found(item, found, f"input[{place}]") for place, item in enumerate(asked.items)]
    body = msgspec.structs.replace(asked.body, input=msgspec.convert(items, list[Item]))
    return msgspec.structs.replace(asked, body=body, items=items)


def _found(item: _Json, found: Mapping[str, _Json], where: str) -> _Json:
    if item.get("type") != "item_reference":
        return item
    own = str(item.get("id"))
    if own not in found:
        raise invalid(f"{where}.id", f"there is no item {shown(own)} in a response that is kept here")
    return found[own]


def chat_request(asked: ResponsesRequest, before: Sequence[bytes], caller: Caller, options: Options) -> ChatRequest:
    """The chat request that it comes to, after what came `before`: lists of items and responses, as JSON.

    Raises `RequestError`.
    """
    body = asked.body
    caller = with_user(caller, body.user or body.safety_identifier)
    fields = {name: asked.fields[name] for name in _PASSED if name in asked.fields}
    fields |= raw(messages=list(_messages(body, before)), **_tool_fields(body), **_sampling_fields(body))
    most = body.max_output_tokens
    return ChatRequest(body.model, fields, "chat", bool(body.stream), True, caller, most, 1, options=options)


def _listed(given: str | list[_Json]) -> list[_Json]:
    """Input as items, whatever short form it came in."""
    if isinstance(given, str):
        return [_message("user", [{"type": "input_text", "text": given}])] if given else []
    return [_listed_item(item) for item in given]


def _listed_item(item: _Json) -> _Json:
    if "type" not in item and "role" in item:
        item = {**item, "type": "message"}
    if item.get("type") == "message" and isinstance(item.get("content"), str):
        kind = "output_text" if item.get("role") == "assistant" else "input_text"
        return {**item, "content": [{"type": kind, "text": item["content"]}]}
    return item


def _message(role: str, content: list[_Json]) -> _Json:
    return {"type": "message", "role": role, "content": content}


# messages


def _messages(body: ResponsesBody, before: Sequence[bytes]) -> Iterator[_Json]:
    if body.instructions:
        yield {"role": "system", "content": body.instructions}
    turns = _Turns()
    for part in before:
        found = _before(part)
        turns.take("previous_response_id", found.output if isinstance(found, _Answered) else found)
    given = [Item(role="user", content=body.input)] if isinstance(body.input, str) else body.input
    if not isinstance(body.input, str) or body.input:
        turns.take("input", given)
    if not turns.messages:
        raise invalid("input", "there is nothing to answer")
    yield from turns.end()


class _Turns:
    """Chat messages from items. What the model did in one turn, its calls and words, is one message there."""

    def __init__(self) -> None:
        self.messages: list[_Json] = []
        self._thoughts: list[str] = []
        self._open: dict[str, None] = {}
        self._answered: set[str] = set()
        self._beside: list[str] = []
        self._images: list[_Json] = []

    def take(self, where: str, items: Sequence[Item]) -> None:
        for place, item in enumerate(items):
            self._take(item, f"{where}[{place}]")

    def end(self) -> list[_Json]:
        """All messages. Raises `RequestError` when a call has no output."""
        self._end_turn("input")
        return self.messages

    def _take(self, item: Item, where: str) -> None:
        match item.type or ("message" if item.role else None):
            case "message":
                self._take_message(item, where)
            case "function_call":
                self._take_call(item, where)
            case "function_call_output":
                self._take_output(item, where)
            case "reasoning":
                parts = (item.content if isinstance(item.content, list) else None) or item.summary or ()
                self._thoughts += [part.text for part in parts if part.text]
            case kind:
                raise unsupported(f"{where}.type", f"an item {shown(kind or '')} cannot be passed on to a model")

    def _take_message(self, item: Item, where: str) -> None:
        role = ROLES.get(item.role or "")
        if role is None:
            raise invalid(f"{where}.role", f"is one of {', '.join(ROLES)}, not {shown(item.role or '')}")
        if role == "assistant" and self._open and not self._answered:  # said beside its calls
            self._beside.append(_said(item.content, f"{where}.content"))
            return
        self._end_turn(where)
        if role == "assistant":
            self._assistant()["content"] = _said(item.content, f"{where}.content")
        else:
            self._thoughts.clear()
            self.messages.append({"role": role, "content": _content(item.content, f"{where}.content")})

    def _take_call(self, item: Item, where: str) -> None:
        own = _need(item.call_id, f"{where}.call_id")
        if own in self._open:
            raise invalid(f"{where}.call_id", f"another call of this turn has the id {shown(own)}, too")
        if self._answered:  # an answered turn is over: these calls are of the next
            self._end_turn(where)
        last = self.messages[-1] if self.messages else {}
        message = last if last.get("role") == "assistant" and not self._thoughts else self._assistant()
        function = {"name": _need(item.name, f"{where}.name"), "arguments": item.arguments or "{}"}
        message.setdefault("tool_calls", []).append({"id": own, "type": "function", "function": function})
        self._open[own] = None

    def _take_output(self, item: Item, where: str) -> None:
        own = _need(item.call_id, f"{where}.call_id")
        if own not in self._open:
            again = "is answered twice" if own in self._answered else "is no call of the turn before"
            raise invalid(f"{where}.call_id", f"{shown(own)} {again}")
        del self._open[own]
        self._answered.add(own)
        output = item.output if item.output is not None else ""
        content = _content(output, f"{where}.output")
        parts: list[_Json] = [{"type": "text", "text": content}] if isinstance(content, str) else content
        text = "\n".join(part["text"] for part in parts if part["type"] == "text")
        if images := [part for part in parts if part["type"] != "text"]:
            self._images += [{"type": "text", "text": f"Images of the output of {own}:"}, *images]
        self.messages.append({"role": "tool", "tool_call_id": own, "content": text})

    def _assistant(self) -> _Json:
        """A new message of the model's, with what it thought before."""
        message: _Json = {"role": "assistant", "content": None}
        if self._thoughts:
            message["reasoning_content"] = "\n".join(self._thoughts)
            self._thoughts = []
        self.messages.append(message)
        return message

    def _end_turn(self, where: str) -> None:
        """All of a turn's calls must be answered. Messages of tools hold text alone, so their images follow here."""
        if self._open:
            raise invalid(where, f"no function_call_output came for: {shown(*self._open)}")
        if self._beside:
            turn = next(each for each in reversed(self.messages) if each["role"] == "assistant")
            turn["content"] = (turn["content"] or "") + "".join(self._beside)
            self._beside = []
        if self._images:
            self.messages.append({"role": "user", "content": self._images})
            self._images = []
        self._answered = set()


def _said(content: str | list[Part] | None, where: str) -> str:
    if isinstance(content, str):
        return content
    return "".join(_said_part(part, f"{where}[{place}]") for place, part in enumerate(content or ()))


def _said_part(part: Part, where: str) -> str:
    if part.type not in ("output_text", "input_text", "text", "refusal"):
        raise unsupported(f"{where}.type", f"a part {shown(part.type)} of the model cannot be passed on to one")
    return part.refusal or part.text or ""


def _content(content: str | list[Part] | None, where: str) -> str | list[_Json]:
    if content is None:
        raise invalid(where, "is missing")
    if isinstance(content, str):
        return content
    parts = [_part(part, f"{where}[{place}]") for place, part in enumerate(content)]
    if not parts:
        raise invalid(where, "is empty")
    return parts[0]["text"] if len(parts) == 1 and parts[0]["type"] == "text" else parts


def _part(part: Part, where: str) -> _Json:
    match part.type:
        case "input_text" | "output_text" | "text":
            return {"type": "text", "text": _need(part.text, f"{where}.text")}
        case "input_image":
            if part.image_url is None:
                raise unsupported(f"{where}.image_url", "images come by their URL or as data here, not as files")
            image = {"url": part.image_url, **({"detail": part.detail} if part.detail else {})}
            return {"type": "image_url", "image_url": image}
        case "input_audio":
            return {"type": "input_audio", "input_audio": part.input_audio or {}}
        case "input_file":
            if part.file_data is None:
                raise unsupported(f"{where}.file_data", "files come as data here, not by an id or a URL")
            return {"type": "file", "file": {"file_data": part.file_data, "filename": part.filename or "file"}}
        case _:
            raise unsupported(f"{where}.type", f"a part {shown(part.type)} cannot be passed on to a model")


def _need(value: str | None, where: str) -> str:
    if value is None:
        raise RequestError(f"{where!r} is missing", param=where, code="invalid_value")
    return value


# tools and settings


def _tool_fields(body: ResponsesBody) -> _Json:
    tools = [_tool(tool, f"tools[{place}]") for place, tool in enumerate(body.tools or ())]
    choice = body.tool_choice
    if isinstance(choice, Choice):
        tools, choice = _choose(tools, choice)
    elif choice not in (None, "none", "auto", "required"):
        raise invalid("tool_choice", f"is none, auto, required or an object, not {shown(choice)}")
    if not tools:
        if choice not in (None, "none", "auto"):
            raise invalid("tool_choice", "there are no tools to choose from")
        return {}
    return {"tools": tools, "tool_choice": choice, "parallel_tool_calls": body.parallel_tool_calls}


def _tool(tool: Function, where: str) -> _Json:
    if tool.type != "function":
        raise unsupported(f"{where}.type", f"there is no tool {shown(tool.type)} here, only functions of your own")
    function: _Json = {"name": _need(tool.name, f"{where}.name")}
    told = {"description": tool.description, "parameters": tool.parameters, "strict": tool.strict}
    return {"type": "function", "function": function | {key: value for key, value in told.items() if value is not None}}


def _choose(tools: list[_Json], choice: Choice) -> tuple[list[_Json], Any]:
    names = {tool["function"]["name"] for tool in tools}
    if choice.type == "allowed_tools":
        allowed = {each.name for each in choice.tools or ()}
        return [tool for tool in tools if tool["function"]["name"] in allowed], choice.mode or "auto"
    if choice.type != "function":
        raise unsupported("tool_choice.type", f"there is no tool {shown(choice.type)} here, only functions of your own")
    if choice.name not in names:
        raise invalid("tool_choice.name", f"there is no tool {shown(choice.name or '')}")
    return tools, {"type": "function", "function": {"name": choice.name}}


def _sampling_fields(body: ResponsesBody) -> _Json:
    wants_logprobs = bool(body.top_logprobs) or "message.output_text.logprobs" in (body.include or ())
    return {
        "max_completion_tokens": body.max_output_tokens,
        "stream": body.stream,
        "temperature": body.temperature,
        "top_p": body.top_p,
        "logprobs": True if wants_logprobs else None,
        "top_logprobs": body.top_logprobs or None,
        "reasoning_effort": body.reasoning and body.reasoning.effort,
        "verbosity": body.text and body.text.verbosity,
        "response_format": _response_format(body.text and body.text.format),
        "user": body.user,
    }


def _response_format(wanted: Format | None) -> Any:
    if wanted is None or wanted.type == "text":
        return None
    if wanted.type == "json_object":
        return {"type": "json_object"}
    if wanted.type != "json_schema":
        raise unsupported("text.format.type", f"is text, json_object or json_schema, not {shown(wanted.type)}")
    if wanted.schema is None:
        raise RequestError("'text.format.schema' is missing", param="text.format.schema", code="invalid_value")
    told = {"description": wanted.description, "strict": wanted.strict}
    schema = {"name": wanted.name or "output", "schema": wanted.schema}
    return {"type": "json_schema", "json_schema": schema | {k: v for k, v in told.items() if v is not None}}
