"""Large bodies are worked on in a thread, so that other calls need not wait for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import ParamSpec, TypeVar

LARGE_BYTES = 256 * 1024
"""What takes some milliseconds to translate: about as long as a thread holds Python's lock."""
Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


async def work_on(
    size: int, work: Callable[Arguments, Result], *arguments: Arguments.args, **more: Arguments.kwargs
) -> Result:
    """`work(…)`, in a thread when it is about so many bytes that it would keep others waiting."""
    if size < LARGE_BYTES:
        return work(*arguments, **more)
    return await asyncio.to_thread(work, *arguments, **more)
