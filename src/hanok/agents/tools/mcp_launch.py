"""MCP servers that are started: a child that speaks over its standard streams, one JSON-RPC message a line.

It gets `PATH`, `HOME`, `LANG` and what is declared for it, nothing else of our environment; its errors go into a log
file of its own; it leads a process group, which ends with us (Linux) or when its input ends. A line that is longer than
is let in is read past, never kept, and whoever waits for it is told.
Framing: https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#stdio
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import shutil
import signal
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import ObjectReceiveStream, ObjectSendStream
from mcp.client._transport import TransportStreams
from mcp.shared.message import SessionMessage
from mcp_types import INTERNAL_ERROR, ErrorData, JSONRPCError, JSONRPCMessage, jsonrpc_message_adapter

from hanok.errors import ToolUnavailable
from hanok.serving.children.leash import on_a_leash

INHERITED = ("PATH", "HOME", "LANG")
POLITE_S = 2.0
"""How long it may take to end when its input ends, and again when it is asked to."""
LOG_LIMIT_BYTES = 10 * 1024 * 1024
_READ_BYTES = 64 * 1024
_LOOK_EVERY_S = 0.01
_ID = re.compile(rb'"id"\s*:\s*(\d{1,18}|"[^"\\]{0,80}")')
_log = logging.getLogger(__name__)
_Inward = ObjectSendStream[SessionMessage | Exception]


class Ended(Exception):
    """The child has ended by itself, or closed its output."""


@asynccontextmanager
async def launched(
    command: Sequence[str], *, env: Mapping[str, str], folder: Path, log: Path, limit_bytes: int
) -> AsyncGenerator[TransportStreams]:
    """Start a server; gives the streams of its messages, as the SDK's transports do.

    Raises `ToolUnavailable` when it cannot be started, `Ended` from within when it ends by itself.
    """
    process = await _start(command, env=env, folder=folder, log=log)
    inward, messages = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    answers, outward = anyio.create_memory_object_stream[SessionMessage](0)
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_hear, process, inward, limit_bytes)
            tasks.start_soon(_speak, process, outward)
            try:
                yield messages, answers
            finally:
                tasks.cancel_scope.cancel()
    finally:
        with anyio.CancelScope(shield=True):
            await _end(process)
        for stream in (inward, messages, answers, outward):
            stream.close()


def environment_for(declared: Mapping[str, str]) -> dict[str, str]:
    """What a server may know of our environment, and what is declared for it."""
    return {name: os.environ[name] for name in INHERITED if name in os.environ} | dict(declared)


async def _start(
    command: Sequence[str], *, env: Mapping[str, str], folder: Path, log: Path
) -> asyncio.subprocess.Process:
    environment = environment_for(env)
    program = shutil.which(str(folder / command[0]) if "/" in command[0] else command[0], path=environment.get("PATH"))
    if program is None:
        raise ToolUnavailable(f"there is no program {command[0]!r} to start", hint="install it, or give its whole path")
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        with _open_log(log) as errors:
            return await asyncio.create_subprocess_exec(
                *on_a_leash([program, *command[1:]]),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                env=environment,
                cwd=folder,
                start_new_session=True,
            )
    except (OSError, ValueError) as error:
        raise ToolUnavailable(f"{command[0]!r} cannot be started: {error}") from None


def _open_log(log: Path) -> Any:
    too_long = log.exists() and log.stat().st_size > LOG_LIMIT_BYTES
    return log.open("wb" if too_long else "ab")


async def _hear(process: asyncio.subprocess.Process, inward: _Inward, limit_bytes: int) -> None:
    async with inward:
        async for message in _messages(process, limit_bytes):
            try:
                await inward.send(SessionMessage(message))
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                return  # nobody listens any more
        code = await _end_of(process)  # before its end is told: who waits for it is to learn why
        raise Ended("has closed its output" if code is None else f"has ended with {_how(code)}")


async def _messages(process: asyncio.subprocess.Process, limit_bytes: int) -> AsyncGenerator[JSONRPCMessage]:
    async for line in _lines(process, limit_bytes):
        if isinstance(line, JSONRPCError):
            yield line
        elif line.strip():
            try:
                yield jsonrpc_message_adapter.validate_json(line, by_name=False)
            except ValueError:
                _log.debug("an MCP server wrote what is no message: %r", line[:200])


async def _lines(process: asyncio.subprocess.Process, limit_bytes: int) -> AsyncGenerator[bytes | JSONRPCError]:
    """Its lines; in the place of one that is too long, the error that whoever waits for it is to get."""
    assert process.stdout is not None
    held, size = bytearray(), 0
    while data := await process.stdout.read(_READ_BYTES):
        *whole, rest = data.split(b"\n")
        for part in whole:
            _hold(held, part, limit_bytes)
            if size + len(part) <= limit_bytes:
                yield bytes(held)
            elif (error := _too_long(held, limit_bytes)) is not None:
                yield error
            held, size = bytearray(), 0
        _hold(held, rest, limit_bytes)
        size += len(rest)
        await asyncio.sleep(0)  # who writes without end must not keep everyone else waiting


def _hold(held: bytearray, data: bytes, limit_bytes: int) -> None:
    """Keep what fits: of a line that is too long, enough to tell whose answer it is."""
    held += data[: max(0, limit_bytes - len(held))]


def _too_long(line: bytes | bytearray, limit_bytes: int) -> JSONRPCError | None:
    found = _ID.search(line[:512])
    if found is None:
        return None
    named = found[1].decode("utf-8", "replace")
    message = f"the answer is longer than {limit_bytes} bytes (`max_bytes`)"
    id_ = named.strip('"') if named.startswith('"') else int(named)
    return JSONRPCError(jsonrpc="2.0", id=id_, error=ErrorData(code=INTERNAL_ERROR, message=message))


async def _speak(process: asyncio.subprocess.Process, outward: ObjectReceiveStream[SessionMessage]) -> None:
    assert process.stdin is not None
    with contextlib.suppress(OSError):  # the reader tells that it has ended
        async with outward:
            async for item in outward:
                line = item.message.model_dump_json(by_alias=True, exclude_unset=True)
                process.stdin.write(line.encode() + b"\n")
                await process.stdin.drain()


async def _end(process: asyncio.subprocess.Process) -> None:
    """End it and its children: by ending its input, politely, then not."""
    assert process.stdin is not None
    process.stdin.close()
    if await _end_of(process) is None:
        _signal(process, signal.SIGTERM)
        await _end_of(process)
    _signal(process, signal.SIGKILL)
    await _end_of(process)
    transport: Any = getattr(process, "_transport", None)
    if transport is not None:  # a grandchild that left the group may hold the pipe open
        transport.close()


async def _end_of(process: asyncio.subprocess.Process) -> int | None:
    """Its exit code, if it ends in time. (`wait` also waits for its pipes, which a grandchild may hold.)"""
    for _ in range(int(POLITE_S / _LOOK_EVERY_S)):
        if process.returncode is not None:
            break
        await asyncio.sleep(_LOOK_EVERY_S)
    return process.returncode


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _how(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
