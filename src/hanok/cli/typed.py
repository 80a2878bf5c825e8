"""What a person types, waited for in the event loop: nothing ends a thread that reads."""

from __future__ import annotations

import asyncio
import sys


async def next_line(prompt: str = "› ") -> str:
    """The next line that is typed, after this prompt. Raises `EOFError`."""
    if not sys.stdin.isatty():
        return await asyncio.to_thread(input, prompt)
    sys.stdout.write(prompt)
    sys.stdout.flush()
    loop, typed = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(sys.stdin, typed.set)
    try:
        await typed.wait()
    finally:
        loop.remove_reader(sys.stdin)
    if not (line := sys.stdin.readline()):
        raise EOFError
    return line
