"""Anthropic's Messages, read: a body as an ordinary chat request.

Form: https://docs.claude.com/en/api/messages (version 2023-06-01), as the `anthropic` SDK sends it. Blocks are
one permissive type, so that what cannot be said in a chat request is refused by its name and place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from hanok.errors import RequestError
from hanok.gateway.bodies import ModelName, Tokens, decode_as, with_user
from hanok.gateway.wires.fields import ENGINES_OWN, invalid, raw, shown, unsupported
from hanok.wire import Caller, ChatRequest, Options

_Json = dict[str, Any]
CacheControl = dict[str, Any]
LOW_BUDGET_TOKENS = 4096
MEDIUM_BUDGET_TOKENS = 16384
"""Budgets for thinking up to these count as low and medium effort: OpenAI's form knows efforts, not tokens."""
_EFFORTS = {"low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "high"}


class Source(msgspec.Struct):
    """Where an image or a document is."""

    type: str
    media_type: str | None = None
    data: str | None = None
    url: str | None = None


class Block(msgspec.Struct):
    """A content block: `text`, `image`, `document`, `thinking`, `tool_use`, `tool_result` or `search_result`."""

    type: str
    text: str | None = None
    source: Source | str | None = None
    title: str | None = None
    thinking: str | None = None
    id: str | None = None
    name: str | None = None
    input: dict[str, Any] | None = None
    tool_use_id: str | None = None
    content: str | list[Block] | None = None
    is_error: bool | None = None
    cache_control: CacheControl | None = None


class Turn(msgspec.Struct):
    """A message. `system` in the middle of a conversation instructs from there on."""

    role: Literal["user", "assistant", "system"]
    content: str | list[Block]


class Tool(msgspec.Struct):
    """A tool of the caller's own. Tools that Anthropic's servers run have other types, and are refused."""

    name: Annotated[str, Meta(min_length=1, max_length=256)]
    type: str | None = None
    description: str | None = None
    input_schema: dict[str, Any] | None = None
    strict: bool | None = None


class ToolChoice(msgspec.Struct):
    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class Thinking(msgspec.Struct):
    """`budget_tokens` becomes an effort: up to 4096 low, up to 16384 medium, else high."""

    type: Literal["enabled", "disabled", "adaptive", "between_tools"]
    budget_tokens: Annotated[int, Meta(ge=1)] | None = None
    display: str | None = None


class OutputFormat(msgspec.Struct):
    type: Literal["json_schema"]
    schema: dict[str, Any]


class OutputConfig(msgspec.Struct):
    effort: str | None = None
    format: OutputFormat | None = None


class Metadata(msgspec.Struct):
    user_id: str | None = None


class _Prompt(msgspec.Struct, kw_only=True):
    model: ModelName
    messages: Annotated[list[Turn], Meta(min_length=1, max_length=100_000)]
    system: str | list[Block] | None = None
    tools: list[Tool] | None = None
    tool_choice: ToolChoice | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None
    output_format: OutputFormat | None = None


class CountBody(_Prompt, kw_only=True):
    """`POST /v1/messages/count_tokens`"""


class MessagesBody(_Prompt, kw_only=True):
    """`POST /v1/messages`"""

    max_tokens: Tokens
    stream: bool | None = None
    stop_sequences: Annotated[list[str], Meta(max_length=1000)] | None = None
    temperature: Annotated[float, Meta(ge=0.0, le=2.0)] | None = None
    top_p: Annotated[float, Meta(ge=0.0, le=1.0)] | None = None
    top_k: Annotated[int, Meta(ge=0)] | None = None
    metadata: Metadata | None = None
    container: Any = None
    mcp_servers: Any = None
    fallbacks: Any = None


_messages = msgspec.json.Decoder(MessagesBody)
_count = msgspec.json.Decoder(CountBody)
_REFUSED = ("container", "mcp_servers", "fallbacks")


class MessagesRequest(msgspec.Struct, frozen=True):
    """A body that was read, and the chat request it comes to."""

    body: _Prompt
    request: ChatRequest

    @property
    def shows_thinking(self) -> bool:
        """Whether thinking belongs into the answer: where it was asked for, as Anthropic does it."""
        thinking = self.body.thinking
        return thinking is not None and thinking.type != "disabled"

    @property
    def omits_thinking(self) -> bool:
        """Whether thinking is shown by empty blocks."""
        return self.body.thinking is not None and self.body.thinking.display == "omitted"

    @property
    def stop_sequences(self) -> Sequence[str]:
        return (isinstance(self.body, MessagesBody) and self.body.stop_sequences) or ()


def parse_messages(data: bytes, caller: Caller, options: Options) -> MessagesRequest:
    """A Messages request. Raises `RequestError` that names the field at fault."""
    body = decode_as(_messages, data)
    for name in _REFUSED:
        if getattr(body, name):
            raise unsupported(name, "this gateway has none of that; run tools yourself and send their results")
    caller = with_user(caller, body.metadata.user_id if body.metadata else None)
    fields = {**_prompt_fields(body), **_sampling_fields(body), **_own_fields(data)}
    request = ChatRequest(
        body.model, fields, "chat", bool(body.stream), True, caller, body.max_tokens, 1, options=options
    )
    return MessagesRequest(body, request)


def parse_count(data: bytes, caller: Caller, options: Options) -> MessagesRequest:
    """A request to count tokens, as the chat request that is counted. Raises `RequestError`."""
    body = decode_as(_count, data)
    return MessagesRequest(body, ChatRequest(body.model, _prompt_fields(body), caller=caller, options=options))


def _own_fields(data: bytes) -> Mapping[str, msgspec.Raw]:
    """Fields that Anthropic does not know but engines do, as the SDK's `extra_body` sends them."""
    given = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
    return {name: given[name] for name in ENGINES_OWN if name in given}


def _sampling_fields(body: MessagesBody) -> dict[str, msgspec.Raw]:
    return raw(
        max_completion_tokens=body.max_tokens,
        stream=body.stream,
        stop=body.stop_sequences or None,
        temperature=body.temperature,
        top_p=body.top_p,
        top_k=body.top_k,
        user=(body.metadata and body.metadata.user_id) or None,
    )


def _prompt_fields(body: _Prompt) -> dict[str, msgspec.Raw]:
    config = body.output_config
    return raw(
        messages=[*_system(body.system, "system"), *_conversation(body.messages)],
        tools=[_tool(tool, f"tools[{place}]") for place, tool in enumerate(body.tools or ())] or None,
        tool_choice=_tool_choice(body),
        parallel_tool_calls=False if body.tool_choice and body.tool_choice.disable_parallel_tool_use else None,
        response_format=_response_format((config and config.format) or body.output_format),
        reasoning_effort=_effort(body),
    )


# messages


def _system(content: str | list[Block] | None, where: str) -> Iterator[_Json]:
    if content:
        yield {"role": "system", "content": _plain(content, where)}


def _conversation(messages: Sequence[Turn]) -> Iterator[_Json]:
    """Chat messages: a turn's results of tools first, each a message of its own, then what else it says."""
    open_calls: set[str] = set()
    numbered = [(f"messages[{place}]", turn) for place, turn in enumerate(messages)]
    for role, turns in groupby(numbered, key=lambda each: each[1].role):
        blocks = [found for where, turn in turns for found in _blocks(turn.content, f"{where}.content")]
        if role == "system":
            yield {"role": "system", "content": _simplest(_texts(blocks))}
        elif role == "assistant":
            _refuse_unanswered(open_calls, blocks)
            message, open_calls = _assistant(blocks)
            yield message
        else:
            yield from _user(blocks, open_calls)
            open_calls = set()
    _refuse_unanswered(open_calls, [("messages", Block("end"))])


_Placed = tuple[str, Block]
"""A block, and where it stands."""


def _blocks(content: str | list[Block], where: str) -> Iterator[_Placed]:
    if isinstance(content, str):
        yield where, Block("text", text=content)
        return
    for place, block in enumerate(content):
        yield f"{where}[{place}]", block


def _refuse_unanswered(open_calls: set[str], blocks: Sequence[_Placed]) -> None:
    if open_calls:
        where = blocks[0][0] if blocks else "messages"
        names = shown(*sorted(open_calls))
        raise invalid(where, f"these tool_use blocks have no tool_result in the next message: {names}")


def _assistant(blocks: Sequence[_Placed]) -> tuple[_Json, set[str]]:
    """The model's own turn, and the calls in it that want results."""
    thoughts, calls, said, ids = list[str](), list[_Json](), list[_Placed](), set[str]()
    for where, block in blocks:
        match block.type:
            case "thinking":
                thoughts.append(block.thinking or "")
            case "redacted_thinking":
                pass  # another provider's, unreadable to everybody else
            case "tool_use":
                calls.append(_call(block, where, ids))
            case "text":
                said.append((where, block))
            case _:
                raise _no_block(block, where, "the model")
    message: _Json = {"role": "assistant", "content": _said(said) or (None if calls else "")}
    if thoughts:
        message["reasoning_content"] = "\n".join(thoughts)
    if calls:
        message["tool_calls"] = calls
    return message, ids


def _said(blocks: Sequence[_Placed]) -> str | list[_Json]:
    if any(block.cache_control for _, block in blocks):
        return _texts(blocks)
    return "".join(_need(block.text, f"{where}.text") for where, block in blocks)


def _call(block: Block, where: str, ids: set[str]) -> _Json:
    own = _need(block.id, f"{where}.id")
    if own in ids:
        raise invalid(f"{where}.id", f"another tool_use of this turn has the id {shown(own)}, too")
    ids.add(own)
    function = {"name": _need(block.name, f"{where}.name"), "arguments": _dump(block.input or {})}
    return {"id": own, "type": "function", "function": function}


def _user(blocks: Sequence[_Placed], open_calls: set[str]) -> Iterator[_Json]:
    """Results of tools as messages, then one message of the rest. Images in results follow with the rest."""
    unanswered, parts = set(open_calls), list[_Json]()
    if not blocks:
        raise invalid("messages", "a message of the user has no content")
    for where, block in blocks:
        if block.type != "tool_result":
            parts += _part(block, where)
            continue
        own = _need(block.tool_use_id, f"{where}.tool_use_id")
        if own not in unanswered:
            again = "is answered twice" if own in open_calls else "is in no tool_use block of the message before"
            raise invalid(f"{where}.tool_use_id", f"{shown(own)} {again}")
        unanswered.discard(own)
        text, images = _result(block, where)
        yield {"role": "tool", "tool_call_id": own, "content": text}
        if images:
            parts += [{"type": "text", "text": f"Images of the tool result {own}:"}, *images]
    _refuse_unanswered(unanswered, blocks)
    if parts:
        yield {"role": "user", "content": _simplest(parts)}


def _result(block: Block, where: str) -> tuple[str, list[_Json]]:
    """A tool's result as text, which is all that chat messages of tools may hold, and its images."""
    parts = [part for place, inner in _blocks(block.content or "", f"{where}.content") for part in _part(inner, place)]
    text = "\n".join(part["text"] for part in parts if part["type"] == "text")
    images = [part for part in parts if part["type"] != "text"]
    if images and not text:
        text = "(see the images)"
    return f"Error: {text}" if block.is_error else text, images


def _part(block: Block, where: str) -> list[_Json]:
    match block.type:
        case "text":
            part: _Json = {"type": "text", "text": _need(block.text, f"{where}.text")}
        case "image":
            part = {"type": "image_url", "image_url": {"url": _image_url(block.source, f"{where}.source")}}
        case "document":
            part = {"type": "text", "text": _document(block, where)}
        case "search_result":
            content = "\n".join(part["text"] for part in _inner_texts(block, where))
            part = {"type": "text", "text": f"{block.title or ''}\n{block.source or ''}\n{content}".strip()}
        case _:
            raise _no_block(block, where, "the user")
    if block.cache_control is not None:
        part["cache_control"] = block.cache_control
    return [part]


def _inner_texts(block: Block, where: str) -> list[_Json]:
    return _texts(list(_blocks(block.content or "", f"{where}.content")))


def _image_url(source: Source | str | None, where: str) -> str:
    if isinstance(source, Source):
        if source.type == "base64":
            media = _need(source.media_type, f"{where}.media_type")
            return f"data:{media};base64,{_need(source.data, f'{where}.data')}"
        if source.type == "url":
            return _need(source.url, f"{where}.url")
        raise unsupported(f"{where}.type", f"images come as base64 or url here, not as {shown(source.type)}")
    raise invalid(where, "is missing")


def _document(block: Block, where: str) -> str:
    source = block.source
    if not isinstance(source, Source) or source.type != "text":
        kind = source.type if isinstance(source, Source) else "none"
        raise unsupported(f"{where}.source", f"documents come as text here, not as {shown(kind)}: no PDFs, no files")
    text = _need(source.data, f"{where}.source.data")
    return f"{block.title}\n\n{text}" if block.title else text


def _texts(blocks: Sequence[_Placed]) -> list[_Json]:
    """Blocks where only text may stand."""
    for where, block in blocks:
        if block.type != "text":
            raise _no_block(block, where, "this place")
    return [part for where, block in blocks for part in _part(block, where)]


def _plain(content: str | list[Block], where: str) -> str | list[_Json]:
    return content if isinstance(content, str) else _simplest(_texts(list(_blocks(content, where))))


def _simplest(parts: list[_Json]) -> str | list[_Json]:
    """A text alone as text: every engine takes that."""
    alone = len(parts) == 1 and parts[0].keys() == {"type", "text"}
    return parts[0]["text"] if alone else parts


def _no_block(block: Block, where: str, who: str) -> RequestError:
    return unsupported(f"{where}.type", f"a block {shown(block.type)} of {who} cannot be passed on to a model")


# tools and settings


def _tool(tool: Tool, where: str) -> _Json:
    if tool.type not in (None, "custom"):
        raise unsupported(
            f"{where}.type", f"{shown(tool.type or '')} is a tool that Anthropic's servers run; there is none here"
        )
    function: _Json = {"name": tool.name, "parameters": tool.input_schema or {"type": "object", "properties": {}}}
    if tool.description is not None:
        function["description"] = tool.description
    if tool.strict is not None:
        function["strict"] = tool.strict
    return {"type": "function", "function": function}


def _tool_choice(body: _Prompt) -> Any:
    choice, names = body.tool_choice, {tool.name for tool in body.tools or ()}
    if choice is None:
        return None
    if not names:
        raise invalid("tool_choice", "there are no tools to choose from")
    if choice.type != "tool":
        return {"auto": "auto", "any": "required", "none": "none"}[choice.type]
    if choice.name not in names:
        raise invalid("tool_choice.name", f"there is no tool {shown(choice.name or '')}")
    return {"type": "function", "function": {"name": choice.name}}


def _response_format(wanted: OutputFormat | None) -> Any:
    if wanted is None:
        return None
    return {"type": "json_schema", "json_schema": {"name": "output", "schema": wanted.schema, "strict": True}}


def _effort(body: _Prompt) -> str | None:
    """OpenAI's word for how long to think, from Anthropic's word or from a budget of tokens."""
    if body.output_config is not None and (effort := body.output_config.effort) is not None:
        if effort not in _EFFORTS:
            raise invalid("output_config.effort", f"is one of {', '.join(_EFFORTS)}")
        return _EFFORTS[effort]
    if body.thinking is None or body.thinking.type != "enabled" or body.thinking.budget_tokens is None:
        return None
    tokens = body.thinking.budget_tokens
    return "low" if tokens <= LOW_BUDGET_TOKENS else "medium" if tokens <= MEDIUM_BUDGET_TOKENS else "high"


def _need(value: str | None, where: str) -> str:
    if value is None:
        raise RequestError(f"{where!r} is missing", param=where, code="invalid_value")
    return value


def _dump(value: Any) -> str:
    return msgspec.json.encode(value).decode()
