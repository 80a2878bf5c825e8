"""OpenAI's Responses, answered: a chat answer as a `response` object, whole or as typed server-sent events.

Events and their order: https://platform.openai.com/docs/api-reference/responses-streaming: `response.created`,
`response.in_progress`; for each item `output_item.added`, its parts and deltas, `output_item.done`; then
`response.completed` or `response.incomplete`; on failure `response.failed`. Each has the next `sequence_number`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from hanok.errors import HanokError
from hanok.gateway.given import Given
from hanok.gateway.wires.answers import Block, Blocks, Step, Used, read_events, read_piece
from hanok.gateway.wires.responses_request import ResponsesRequest
from hanok.wire import json_bytes

_Json = dict[str, Any]
Keep = Callable[[_Json], Awaitable[_Json]]
"""Keeps a finished response where that is wanted, and gives it back as it is to be told."""
_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
_PARTS = {"text": "output_text", "refusal": "refusal", "thinking": "reasoning_text"}
_DELTAS = {
    "text": "response.output_text",
    "refusal": "response.refusal",
    "thinking": "response.reasoning_text",
    "call": "response.function_call_arguments",
}
_PREFIXES = {"text": "msg", "refusal": "msg", "thinking": "rs", "call": "fc"}


class ResponseWriter:
    """One answer's form. `name` makes its ids; `created_at` is Unix seconds; `wall` gives them."""

    def __init__(
        self,
        asked: ResponsesRequest,
        *,
        name: str,
        new_call_id: Callable[[], str],
        wall: Callable[[], float],
        keep: Keep,
    ) -> None:
        self._asked = asked
        self._name = name
        self._new_call_id = new_call_id
        self._wall = wall
        self._keep = keep
        self._created_at = int(wall())
        self._model = asked.body.model
        self._endpoint = ""
        self._sequence = 0
        self._created = False
        self._blocks = self._sorted()

    async def whole(self, data: bytes, answer: Given) -> bytes:
        """An unstreamed answer. Raises `EngineBroken` and `EngineRefused`."""
        self._endpoint, self._model = answer.endpoint, answer.model
        self._blocks = self._sorted()
        self._blocks.take(read_piece(data, answer.endpoint))
        self._blocks.end()
        return json_bytes(await self._keep(self._finished()))

    # as a Teller of streams

    def begin(self, answer: Given) -> bytes:
        self._endpoint, self._model = answer.endpoint, answer.model
        self._blocks = self._sorted()
        self._created = True
        begun = self._response("in_progress", [])
        return self._event("response.created", response=begun) + self._event("response.in_progress", response=begun)

    def take(self, events: bytes) -> bytes:
        told = [step for piece in read_events(events, self._endpoint) for step in self._blocks.take(piece)]
        return b"".join(map(self._tell, told))

    async def end(self) -> bytes:
        told = b"".join(map(self._tell, self._blocks.end()))
        finished = await self._keep(self._finished())
        return told + self._event(f"response.{finished['status']}", response=finished)

    def fail(self, error: Exception) -> bytes:
        """Says that the response failed; what went wrong exactly is told by the desk's error event."""
        if not self._created:
            return b""
        message = error.message if isinstance(error, HanokError) else "Hanok failed; its log says how"
        failed = {**self._response("failed", []), "error": {"code": "server_error", "message": message}}
        return self._event("response.failed", response=failed)

    def _sorted(self) -> Blocks:
        return Blocks(self._endpoint, new_id=self._new_call_id)

    def _tell(self, step: Step) -> bytes:
        what, block, text = step
        if what == "open":
            return self._open(block)
        if what == "close":
            return self._close(block)
        more: _Json = {"delta": text, **self._place(block)}
        if block.kind == "text":
            more["logprobs"] = []
        return self._event(f"{_DELTAS[block.kind]}.delta", **more)

    def _open(self, block: Block) -> bytes:
        told = self._event("response.output_item.added", output_index=block.index, item=self._begun(block))
        if block.kind == "call":
            return told
        return told + self._event("response.content_part.added", part=_part(block, ""), **self._place(block))

    def _close(self, block: Block) -> bytes:
        place, text = self._place(block), block.text
        done: dict[str, _Json] = {
            "call": {"arguments": text, "name": block.name},
            "refusal": {"refusal": text},
            "text": {"text": text, "logprobs": []},
            "thinking": {"text": text},
        }
        told = self._event(f"{_DELTAS[block.kind]}.done", **done[block.kind], **place)
        if block.kind != "call":
            told += self._event("response.content_part.done", part=_part(block, text), **place)
        return told + self._event("response.output_item.done", output_index=block.index, item=self._item(block))

    def _place(self, block: Block) -> _Json:
        place: _Json = {"item_id": self._id(block), "output_index": block.index}
        return place if block.kind == "call" else {**place, "content_index": 0}

    def _event(self, name: str, /, **fields: Any) -> bytes:
        data = json_bytes({"type": name, "sequence_number": self._sequence, **fields})
        self._sequence += 1
        return b"event: %b\ndata: %b\n\n" % (name.encode(), data)

    # forms

    def _id(self, block: Block) -> str:
        return f"{_PREFIXES[block.kind]}_{self._name}_{block.index}"

    def _begun(self, block: Block) -> _Json:
        """An item that has only begun."""
        match block.kind:
            case "call":
                return {**self._item(block), "status": "in_progress", "arguments": ""}
            case _:
                return {**self._item(block), "status": "in_progress", "content": []}

    def _item(self, block: Block) -> _Json:
        own = self._id(block)
        match block.kind:
            case "call":
                call = {"call_id": block.id, "name": block.name, "arguments": block.text}
                return {"id": own, "type": "function_call", "status": self._item_status(block), **call}
            case "thinking":
                content = [_part(block, block.text)]
                return {"id": own, "type": "reasoning", "summary": [], "content": content, "encrypted_content": None}
            case _:
                content = [self._with_logprobs(_part(block, block.text))]
                said = {"role": "assistant", "status": self._item_status(block), "content": content}
                return {"id": own, "type": "message", **said}

    def _item_status(self, block: Block) -> str:
        """Only the last item can have been cut short."""
        cut = self._blocks.finish in _INCOMPLETE and block is self._blocks.blocks[-1]
        return "incomplete" if cut else "completed"

    def _with_logprobs(self, part: _Json) -> _Json:
        return {**part, "logprobs": self._blocks.logprobs} if self._blocks.logprobs else part

    def _finished(self) -> _Json:
        blocks = self._blocks
        reason = _INCOMPLETE.get(blocks.finish or "")
        form = self._response("incomplete" if reason else "completed", [self._item(block) for block in blocks.blocks])
        form["usage"] = usage_form(blocks.used)
        if reason:
            form["incomplete_details"] = {"reason": reason}
        else:
            form["completed_at"] = int(self._wall())
        if blocks.cut is not None:
            form["hanok"] = blocks.cut
        return form

    def _response(self, status: str, output: list[_Json]) -> _Json:
        body = self._asked.body
        told = self._asked.told
        text = {"format": {"type": "text"}, **(told.text or {})}
        return {
            "id": f"resp_{self._name}",
            "object": "response",
            "created_at": self._created_at,
            "status": status,
            "background": False,
            "error": None,
            "incomplete_details": None,
            "instructions": body.instructions,
            "max_output_tokens": body.max_output_tokens,
            "model": self._model,
            "output": output,
            "parallel_tool_calls": body.parallel_tool_calls is not False,
            "previous_response_id": body.previous_response_id,
            "reasoning": {"effort": None, "summary": None, **(told.reasoning or {})},
            "store": body.store is not False,
            "temperature": body.temperature,
            "text": text,
            "tool_choice": "auto" if told.tool_choice is None else told.tool_choice,
            "tools": told.tools or [],
            "top_p": body.top_p,
            "truncation": body.truncation or "disabled",
            "usage": None,
            "user": body.user,
            "metadata": body.metadata or {},
        }


def usage_form(used: Used | None) -> _Json:
    """Usage as Responses tells it."""
    used = used or Used()
    prompt, completion = used.prompt_tokens or 0, used.completion_tokens or 0
    return {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": used.cached, "cache_write_tokens": used.written},
        "output_tokens": completion,
        "output_tokens_details": {"reasoning_tokens": used.reasoning},
        "total_tokens": prompt + completion,
    }


def _part(block: Block, text: str) -> _Json:
    kind = _PARTS[block.kind]
    match block.kind:
        case "text":
            return {"type": kind, "text": text, "annotations": []}
        case "refusal":
            return {"type": kind, "refusal": text}
        case _:
            return {"type": kind, "text": text}
