"""What to try next, and when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

FIRST_S = 0.1
LONGEST_S = 2.0


def order_of_models(fallbacks: Mapping[str, Sequence[str]], model: str) -> tuple[str, ...]:
    """The model and its fallbacks, theirs included, in the order to try them; each once."""
    order: dict[str, None] = {}

    def visit(name: str) -> None:
        if name in order:
            return
        order[name] = None
        for fallback in fallbacks.get(name, ()):
            visit(fallback)

    visit(model)
    return tuple(order)


def backoff_s(attempt: int, *, jitter: float) -> float:
    """Seconds to wait before asking the same endpoint again: doubling from 0.1 s to 2 s, times `jitter` (0.5 to 1)."""
    return min(FIRST_S * 2**attempt, LONGEST_S) * jitter
