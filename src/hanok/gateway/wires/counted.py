"""How many tokens a prompt has: as an engine counts them, or as we guess them from its size, and which of the two."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from hanok.gateway.http import Header
from hanok.wire import BYTES_PER_TOKEN, ChatRequest

COUNTED_BY = b"x-hanok-counted-by"
CountTokens = Callable[[ChatRequest], Awaitable[int | None]]
"""How many tokens a prompt has, asked of an engine; None where none can say."""


async def count_or_guess(count: CountTokens, request: ChatRequest) -> tuple[int, Header]:
    """The number, and the header that says who counted: `engine` or `estimate`."""
    counted = await count(request)
    if counted is not None:
        return counted, (COUNTED_BY, b"engine")
    return max(1, request.prompt_bytes() // BYTES_PER_TOKEN), (COUNTED_BY, b"estimate")
