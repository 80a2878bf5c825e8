"""Engines' chat answers, read: pieces of OpenAI's form become steps of blocks.

A wire such as Messages wants its answer as blocks, one after another, each with a beginning and an end. OpenAI's form
has fields that grow side by side. `Blocks` puts these in order: a step opens a block, adds to it, or closes it. A whole
answer is one big piece, so there is one way to read both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Literal

import msgspec

from hanok.errors import EngineBroken, EngineRefused, Refusal

ANSWER_LIMIT_BYTES = 64 * 1024 * 1024
"""The most that is kept of one answer while it is translated."""
Kind = Literal["thinking", "text", "refusal", "call"]
_Count = Annotated[int, msgspec.Meta(ge=0, le=10**12)]


class _PromptDetails(msgspec.Struct):
    cached_tokens: _Count | None = None
    cache_write_tokens: _Count | None = None
    cache_creation_tokens: _Count | None = None


class _CompletionDetails(msgspec.Struct):
    reasoning_tokens: _Count | None = None


class Used(msgspec.Struct):
    """Usage as engines report it."""

    prompt_tokens: _Count | None = None
    completion_tokens: _Count | None = None
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _CompletionDetails | None = None

    @property
    def cached(self) -> int:
        """Tokens of the prompt that came out of the engine's cache."""
        return (self.prompt_tokens_details and self.prompt_tokens_details.cached_tokens) or 0

    @property
    def written(self) -> int:
        """Tokens of the prompt that went into the engine's cache."""
        details = self.prompt_tokens_details
        return (details and (details.cache_write_tokens or details.cache_creation_tokens)) or 0

    @property
    def reasoning(self) -> int:
        """Tokens of the answer that were thought, not said."""
        return (self.completion_tokens_details and self.completion_tokens_details.reasoning_tokens) or 0


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | dict[str, Any] | None = None


class _Call(msgspec.Struct):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None


class _Part(msgspec.Struct):
    text: str | None = None


class Said(msgspec.Struct):
    """What an answer, or a stream's piece of it, says. Engines call thinking `reasoning_content` or `reasoning`."""

    content: str | list[_Part] | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[_Call] | None = None


class _Logprobs(msgspec.Struct):
    content: list[Any] | None = None


class _Choice(msgspec.Struct):
    index: int = 0
    message: Said | None = None
    delta: Said | None = None
    finish_reason: str | None = None
    stop_reason: Any = None
    matched_stop: Any = None
    logprobs: _Logprobs | None = None


class Piece(msgspec.Struct):
    """A whole chat answer, or one event of a stream. `hanok` is what Hanok adds to the end of a stream that it cuts."""

    choices: list[_Choice] | None = None
    usage: Used | None = None
    hanok: dict[str, Any] | None = None
    error: msgspec.Raw | None = None


_decode = msgspec.json.Decoder(Piece).decode


def read_piece(data: bytes, endpoint: str) -> Piece:
    """An answer's JSON. Raises `EngineBroken` when it is no chat answer, `EngineRefused` when it tells of an error."""
    try:
        piece = _decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise EngineBroken(f"{endpoint} sent something that is no chat answer: {error}") from None
    if piece.error is not None and bytes(piece.error) != b"null":
        body = b'{"error":%b}' % bytes(piece.error)
        raise EngineRefused(f"{endpoint} failed midway", refusal=Refusal(status=502, body=body))
    return piece


def read_events(events: bytes, endpoint: str) -> Iterator[Piece]:
    """The pieces in whole server-sent events. Raises as `read_piece` does."""
    for line in events.split(b"\n"):
        if line.startswith(b"data:"):
            payload = line[5:].strip()
            if payload and payload != b"[DONE]":
                yield read_piece(payload, endpoint)


class Block:
    """One block of an answer: what kind, its number, its text or a call's arguments so far, and whom a call calls."""

    __slots__ = ("id", "index", "kind", "name", "parts")

    def __init__(self, kind: Kind, index: int, *, id: str = "", name: str = "") -> None:  # noqa: A002
        self.kind: Kind = kind
        self.index = index
        self.id = id
        self.name = name
        self.parts: list[str] = []

    @property
    def text(self) -> str:
        """All of it so far."""
        return "".join(self.parts)


Step = tuple[Literal["open", "more", "close"], Block, str]
"""What happens to a block; with "more", the text that it grows by."""


class _Waiting:
    """A call of a tool whose turn has not come: another is still being told."""

    __slots__ = ("arguments", "id", "name")

    def __init__(self) -> None:
        self.id = ""
        self.name = ""
        self.arguments: list[str] = []


class Blocks:
    """Puts an answer's pieces in order. `new_id` names calls that have no name of their own, or another's.

    What it has been told: `finish` (OpenAI's reason, None while there is none), `stop` (the text that ended it),
    `used`, `cut` (why Hanok ended it), `logprobs`.
    """

    def __init__(self, endpoint: str, *, new_id: Callable[[], str], thinking: bool = True, kept: bool = True) -> None:
        self._endpoint = endpoint
        self._new_id = new_id
        self._thinking = thinking
        self._kept = kept
        self._open: Block | None = None
        self._call = -1
        self._ids: set[str] = set()
        self._told: set[int] = set()
        self._waiting: dict[int, _Waiting] = {}
        self._bytes = 0
        self.blocks: list[Block] = []
        self.finish: str | None = None
        self.stop: str | None = None
        self.used: Used | None = None
        self.cut: Mapping[str, Any] | None = None
        self.logprobs: list[Any] = []

    def take(self, piece: Piece) -> list[Step]:
        """Take in a piece. Raises `EngineBroken` when more came than is kept."""
        steps: list[Step] = []
        if piece.usage is not None:
            self.used = piece.usage
        if piece.hanok is not None:
            self.cut = piece.hanok
        for choice in piece.choices or ():
            if choice.index == 0:
                self._choose(choice, steps)
        return steps

    def end(self) -> list[Step]:
        """Close what is open; tell what waits. Raises `EngineBroken` when the answer has no end."""
        if self.finish is None:
            raise EngineBroken(f"{self._endpoint} ended its answer without saying why (no finish_reason)")
        steps: list[Step] = []
        while self._waiting:
            self._tell(min(self._waiting), steps, whole=True)
        self._close(steps)
        return steps

    @property
    def calls(self) -> bool:
        """Whether the answer calls tools."""
        return bool(self._ids)

    def _choose(self, choice: _Choice, steps: list[Step]) -> None:
        if (said := choice.delta or choice.message) is not None:
            self._hear(said, steps)
        if choice.finish_reason:
            self.finish = choice.finish_reason
            stop = choice.stop_reason if isinstance(choice.stop_reason, str) else choice.matched_stop
            self.stop = stop if isinstance(stop, str) else None
        if choice.logprobs is not None:
            self.logprobs += choice.logprobs.content or ()

    def _hear(self, said: Said, steps: list[Step]) -> None:
        thought = said.reasoning_content or said.reasoning
        if thought and self._thinking:
            self._grow("thinking", thought, steps)
        content = said.content
        if isinstance(content, list):  # some engines say it in parts
            content = "".join(part.text or "" for part in content)
        if content:
            self._grow("text", content, steps)
        if said.refusal:
            self._grow("refusal", said.refusal, steps)
        for place, call in enumerate(said.tool_calls or ()):
            self._hear_call(place if call.index is None else call.index, call, steps)

    def _grow(self, kind: Kind, text: str, steps: list[Step]) -> None:
        block = self._open
        if block is None or block.kind != kind:
            block = self._begin(Block(kind, len(self.blocks)), steps)
        self._add(block, text, steps)

    def _hear_call(self, number: int, call: _Call, steps: list[Step]) -> None:
        function = call.function or _Function()
        arguments = function.arguments or ""
        if not isinstance(arguments, str):  # some engines send the object itself
            arguments = msgspec.json.encode(arguments).decode()
        if self._call == number and self._open is not None and self._open.kind == "call":
            self._add(self._open, arguments, steps)
            return
        if number in self._told:
            raise EngineBroken(f"{self._endpoint} went back to a call of a tool that it had finished")
        waiting = self._waiting.setdefault(number, _Waiting())
        self._count(len(arguments))
        waiting.id, waiting.name = call.id or waiting.id, waiting.name or function.name or ""
        waiting.arguments.append(arguments)
        if number == min(self._waiting) and waiting.name and self._is_free():
            self._tell(number, steps)

    def _is_free(self) -> bool:
        """Whether another call may begin: none is being told, or its arguments are whole."""
        block = self._open
        if block is None or block.kind != "call":
            return True
        return bool(block.parts) and block.parts[-1].rstrip().endswith("}") and read_object(block.text) is not None

    def _tell(self, number: int, steps: list[Step], *, whole: bool = False) -> None:
        waiting = self._waiting.pop(number)
        if not waiting.name:
            if whole and not any(waiting.arguments):
                return
            raise EngineBroken(f"{self._endpoint} called a tool without saying which")
        own = waiting.id if waiting.id and waiting.id not in self._ids else self._new_id()
        self._ids.add(own)
        self._told.add(number)
        block = self._begin(Block("call", len(self.blocks), id=own, name=waiting.name), steps)
        self._call = number
        arguments = "".join(waiting.arguments)
        self._bytes -= len(arguments)
        self._add(block, arguments, steps)

    def _begin(self, block: Block, steps: list[Step]) -> Block:
        self._close(steps)
        self._open = block
        self.blocks.append(block)
        steps.append(("open", block, ""))
        return block

    def _add(self, block: Block, text: str, steps: list[Step]) -> None:
        if not text:
            return
        if self._kept or block.kind == "call":
            self._count(len(text))
            block.parts.append(text)
        steps.append(("more", block, text))

    def _count(self, size: int) -> None:
        self._bytes += size
        if self._bytes > ANSWER_LIMIT_BYTES:
            raise EngineBroken(f"{self._endpoint} answers with more than {ANSWER_LIMIT_BYTES} bytes")

    def _close(self, steps: list[Step]) -> None:
        block, self._open, self._call = self._open, None, -1
        if block is not None:
            steps.append(("close", block, ""))


def read_object(text: str) -> dict[str, Any] | None:
    """The JSON object that a call's arguments are; nothing at all counts as an empty one. None when they are none."""
    if not text.strip():
        return {}
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError):
        return None
