"""An ingest in a process of its own, so that the loop which answers calls has nothing to do with it but embedding.

The process is told what to ingest over one end of a pair of sockets, and asks there for vectors. When whoever started
it is gone, it ends; what it wrote is kept.
"""

from __future__ import annotations

import asyncio
import contextlib
import pickle
import socket
import sys

from hanok.knowledge.ingesting.pipe import send_bytes, serve
from hanok.spec import Loaded
from hanok.wire import Caller, ModelPath

COMMAND = (sys.executable, "-m", "hanok.knowledge.children.ingester")
EXIT_DONE, EXIT_FAILED, EXIT_BUSY = 0, 1, 3
END_LIMIT_S = 10.0
CALLER = Caller(key_id="", key_name="knowledge")
"""Whom embedding is charged to that nobody asked for by a key."""


async def ingest_beside(loaded: Loaded, base: str, models: ModelPath, *, caller: Caller = CALLER) -> int:
    """Ingest a declared base in a process of its own; the code that it ended with. Its report is in the state folder.

    Cancelled, it ends the process first. Raises `OSError` when none can be started.
    """
    ours, its = socket.socketpair()
    with contextlib.ExitStack() as unless_connected:
        unless_connected.callback(ours.close)
        with its:
            process = await _start(its)
        try:
            ours.setblocking(False)
            reader, writer = await asyncio.open_connection(sock=ours)
            unless_connected.pop_all()
            with contextlib.closing(writer):
                send_bytes(writer, pickle.dumps((loaded, base)))  # secrets among it, which JSON would mask
                await serve(reader, writer, models, caller)
                return await process.wait()
        finally:
            unless_connected.close()  # the process waits for the end of the line
            await asyncio.shield(_end(process))


async def _start(its: socket.socket) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *COMMAND,
        str(its.fileno()),
        stdin=asyncio.subprocess.DEVNULL,
        pass_fds=[its.fileno()],
        start_new_session=True,  # a Ctrl-C is for us to pass on
    )


async def _end(process: asyncio.subprocess.Process) -> None:
    """It ends when the line is closed; if it does not, it is ended."""
    try:
        async with asyncio.timeout(END_LIMIT_S):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
