"""Models asked over a pair of sockets: an ingest in a process of its own embeds through the house that started it.

Each frame is MessagePack. What fails travels as a status with OpenAI's error
envelope, as it does over HTTP.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from itertools import count
from typing import Any

import msgspec

from hanok.errors import EngineRefused, EngineUnreachable, HanokError, Refusal
from hanok.knowledge.framing import frame, read_frame
from hanok.wire import Caller, ChatRequest, ModelPath, TaskRequest, TaskResult, Usage, json_bytes

AT_ONCE = 64


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A task for a model; `fields` are those of its body."""

    number: int
    model: str
    inputs: int
    fields: Mapping[str, bytes]


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it: `data`, or the `status` and body of a refusal."""

    number: int
    data: bytes
    endpoint: str = ""
    tokens: int = 0
    status: int = 200
    retry_after_s: float | None = None


_decode_asked = msgspec.msgpack.Decoder(Asked).decode
_decode_answered = msgspec.msgpack.Decoder(Answered).decode
_encode = msgspec.msgpack.Encoder().encode


class PipedModels:
    """The asking end. A `ModelPath` for tasks."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._numbers = count()
        self._waiting: dict[int, asyncio.Future[Answered]] = {}

    async def open(self, request: ChatRequest) -> Any:
        raise NotImplementedError("only tasks are asked here")

    async def perform(self, request: TaskRequest) -> TaskResult:
        """Raises `EngineRefused`, and `EngineUnreachable` when the other end is gone."""
        number = next(self._numbers)
        waiting = self._waiting[number] = asyncio.get_running_loop().create_future()
        fields = {name: bytes(value) for name, value in request.fields.items()}
        send(self._writer, Asked(number=number, model=request.model, inputs=request.inputs, fields=fields))
        try:
            answered = await waiting
        finally:
            del self._waiting[number]
        if answered.status != 200:
            raise _refused(answered)
        usage = Usage(prompt_tokens=answered.tokens)
        return TaskResult(answered.data, usage, request.model, answered.endpoint)

    async def hear(self) -> None:
        """Take answers until the other end is gone."""
        while (told := await receive(self._reader)) is not None:
            answered = _decode_answered(told)
            waiting = self._waiting.get(answered.number)
            if waiting is not None and not waiting.done():
                waiting.set_result(answered)
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(EngineUnreachable("the server that started this ingest is gone"))


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, models: ModelPath, caller: Caller) -> None:
    """The answering end: perform what is asked, for that caller, until the other end is gone."""
    slots = asyncio.Semaphore(AT_ONCE)
    async with asyncio.TaskGroup() as group:
        while (told := await receive(reader)) is not None:
            await slots.acquire()
            task = group.create_task(_answer(_decode_asked(told), writer, models, caller))
            task.add_done_callback(lambda _: slots.release())


async def _answer(asked: Asked, writer: asyncio.StreamWriter, models: ModelPath, caller: Caller) -> None:
    fields = {name: msgspec.Raw(value) for name, value in asked.fields.items()}
    try:
        result = await models.perform(TaskRequest(asked.model, fields, inputs=asked.inputs, caller=caller))
    except HanokError as error:
        answered = _as_answer(asked.number, error)
    else:
        tokens = result.usage.prompt_tokens if result.usage else 0
        answered = Answered(number=asked.number, data=result.data, endpoint=result.endpoint, tokens=tokens)
    send(writer, answered)


def _as_answer(number: int, error: HanokError) -> Answered:
    body = error.refusal.body if isinstance(error, EngineRefused) else _envelope(error)
    return Answered(
        number=number,
        data=body,
        status=getattr(error, "status", 500),
        retry_after_s=getattr(error, "retry_after_s", None),
    )


def _envelope(error: HanokError) -> bytes:
    kind = getattr(error, "type", "server_error")
    return json_bytes({"error": {"message": error.message, "type": kind, "code": getattr(error, "code", None)}})


def _refused(answered: Answered) -> EngineRefused:
    refusal = Refusal(status=answered.status, body=answered.data)
    error = EngineRefused(f"the server answers with status {answered.status}", refusal=refusal)
    error.retry_after_s = answered.retry_after_s
    return error


def send(writer: asyncio.StreamWriter, message: msgspec.Struct) -> None:
    """Say something. If the other is gone, nobody hears it."""
    send_bytes(writer, _encode(message))


def send_bytes(writer: asyncio.StreamWriter, content: bytes) -> None:
    if not writer.is_closing():
        writer.write(frame(content))


async def receive(reader: asyncio.StreamReader) -> bytes | None:
    """The next frame; None when the other is gone."""
    try:
        return await read_frame(reader)
    except (asyncio.IncompleteReadError, OSError):
        return None
