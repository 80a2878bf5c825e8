"""Anthropic's Messages, answered: a chat answer as a `message`, whole or as server-sent events.

Events and their order: https://docs.claude.com/en/api/messages-streaming: `message_start`; for each block
`content_block_start`, deltas, `content_block_stop`; `message_delta` with the reason and the usage; `message_stop`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from hanok.gateway.given import Given
from hanok.gateway.wires.answers import Block, Blocks, Step, Used, read_events, read_object, read_piece
from hanok.gateway.wires.messages_request import MessagesRequest
from hanok.wire import json_bytes

_Json = dict[str, Any]
PING = b'event: ping\ndata: {"type":"ping"}\n\n'
SIGNATURE = "hanok"
"""Thinking is signed by whoever must know it again. We do not have to: it is passed on as it comes back."""
_REASONS = {"stop": "end_turn", "length": "max_tokens", "content_filter": "refusal"}
_DELTAS = {
    "text": ("text_delta", "text"),
    "refusal": ("text_delta", "text"),
    "thinking": ("thinking_delta", "thinking"),
    "call": ("input_json_delta", "partial_json"),
}


class MessageWriter:
    """One answer's form. `message_id` and `new_call_id` name it and calls without names."""

    def __init__(self, asked: MessagesRequest, *, message_id: str, new_call_id: Callable[[], str]) -> None:
        self._asked = asked
        self._id = message_id
        self._new_call_id = new_call_id
        self._shows = asked.shows_thinking
        self._model = asked.request.model
        self._endpoint = ""
        self._blocks = self._sorted(kept=False)

    async def whole(self, data: bytes, answer: Given) -> bytes:
        """An unstreamed answer. Raises `EngineBroken` and `EngineRefused`."""
        self._endpoint, self._model = answer.endpoint, answer.model
        blocks = self._sorted(kept=True)
        blocks.take(read_piece(data, answer.endpoint))
        blocks.end()
        content = [self._content(block) for block in blocks.blocks]
        return json_bytes({**self._message(), "content": content, **self._ending(blocks), "usage": _usage(blocks.used)})

    # as a Teller of streams

    def begin(self, answer: Given) -> bytes:
        self._endpoint, self._model = answer.endpoint, answer.model
        self._blocks = self._sorted(kept=False)
        message: _Json = {
            **self._message(),
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": _usage(None),
        }
        return _event("message_start", {"message": message})

    def take(self, events: bytes) -> bytes:
        told = [step for piece in read_events(events, self._endpoint) for step in self._blocks.take(piece)]
        return b"".join(map(self._tell, told))

    async def end(self) -> bytes:
        told = b"".join(map(self._tell, self._blocks.end()))
        ending = self._ending(self._blocks)
        more = {"hanok": ending.pop("hanok")} if "hanok" in ending else {}
        delta = {"delta": ending, "usage": _usage(self._blocks.used), **more}
        return told + _event("message_delta", delta) + _event("message_stop", {})

    def fail(self, error: Exception) -> bytes:  # noqa: ARG002 - the error event says it all
        return b""

    def _sorted(self, *, kept: bool) -> Blocks:
        return Blocks(self._endpoint, new_id=self._new_call_id, thinking=self._shows, kept=kept)

    def _message(self) -> _Json:
        return {"id": self._id, "type": "message", "role": "assistant", "model": self._model}

    def _content(self, block: Block) -> _Json:
        match block.kind:
            case "thinking":
                text = "" if self._asked.omits_thinking else block.text
                return {"type": "thinking", "thinking": text, "signature": SIGNATURE}
            case "call":
                return {"type": "tool_use", "id": block.id, "name": block.name, "input": _input(block.text)}
            case _:
                return {"type": "text", "text": block.text, "citations": None}

    def _tell(self, step: Step) -> bytes:
        what, block, text = step
        if what == "more":
            kind, field = _DELTAS[block.kind]
            if block.kind == "thinking" and self._asked.omits_thinking:
                return b""
            return _delta(block, {"type": kind, field: text})
        if what == "open":
            return _event("content_block_start", {"index": block.index, "content_block": _empty(block)})
        signed = _delta(block, {"type": "signature_delta", "signature": SIGNATURE}) if block.kind == "thinking" else b""
        return signed + _event("content_block_stop", {"index": block.index})

    def _ending(self, blocks: Blocks) -> _Json:
        reason, stop = _stop_reason(blocks, self._asked.stop_sequences)
        ending: _Json = {"stop_reason": reason, "stop_sequence": stop}
        if reason == "refusal":
            ending["stop_details"] = {"type": "refusal", "category": None, "explanation": None}
        if blocks.cut is not None:
            ending["hanok"] = blocks.cut
        return ending


def _stop_reason(blocks: Blocks, stop_sequences: Sequence[str]) -> tuple[str, str | None]:
    """Why it ended. Engines that call tools do not all say so, and only some name the text that stopped them."""
    if blocks.finish == "length":
        return "max_tokens", None
    if any(block.kind == "refusal" for block in blocks.blocks):
        return "refusal", None
    if blocks.calls:
        return "tool_use", None
    if blocks.stop in stop_sequences:
        return "stop_sequence", blocks.stop
    return _REASONS.get(blocks.finish or "", "end_turn"), None


def _usage(used: Used | None) -> _Json:
    """Anthropic counts what came out of a cache, and what went into it, beside the rest of the prompt."""
    used = used or Used()
    form: _Json = {
        "input_tokens": max(0, (used.prompt_tokens or 0) - used.cached - used.written),
        "cache_creation_input_tokens": used.written,
        "cache_read_input_tokens": used.cached,
        "output_tokens": used.completion_tokens or 0,
    }
    if used.reasoning:
        form["output_tokens_details"] = {"thinking_tokens": used.reasoning}
    return form


def _input(arguments: str) -> _Json:
    """A call's input. What a model wrote that is no JSON object is handed on under a name that no tool has."""
    found = read_object(arguments)
    return {"INVALID_JSON": arguments} if found is None else found


def _empty(block: Block) -> _Json:
    match block.kind:
        case "thinking":
            return {"type": "thinking", "thinking": "", "signature": ""}
        case "call":
            return {"type": "tool_use", "id": block.id, "name": block.name, "input": {}}
        case _:
            return {"type": "text", "text": "", "citations": None}


def _delta(block: Block, delta: _Json) -> bytes:
    return _event("content_block_delta", {"index": block.index, "delta": delta})


def _event(name: str, fields: _Json) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), json_bytes({"type": name, **fields}))
