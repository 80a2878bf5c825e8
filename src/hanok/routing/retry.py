"""What to try next, and when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from email.utils import parsedate_to_datetime
from math import isfinite

from hanok.errors import EngineBroken, EngineError, EngineRefused, EngineUnreachable

FIRST_S = 0.1
LONGEST_S = 2.0
WORTH_WAITING_S = 20.0
"""An engine that asks for a longer wait is left alone, and the call goes elsewhere."""
_AGAIN = frozenset({408, 409, 429})


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


def again_s(error: EngineError, *, attempt: int, jitter: float, wall: float) -> float | None:
    """Seconds until the *same* endpoint may be asked again after its failure; None when it may not, by this call.

    What may pass is asked again: no connection, a broken answer, 408, 409, 429 and 5xx. A timeout is not: the engine is
    busy with our request as it is. `attempt` counts from 0, `jitter` is from 0 to 1, `wall` is now in Unix seconds.
    """
    if isinstance(error, EngineRefused):
        if error.refusal.status not in _AGAIN and error.refusal.status < 500:
            return None
        asked = asked_wait_s(error.refusal.headers, wall=wall) or 0.0
        return asked + backoff_s(attempt, jitter=jitter) if asked <= WORTH_WAITING_S else None
    if isinstance(error, EngineUnreachable | EngineBroken):
        return backoff_s(attempt, jitter=jitter)
    return None


def asked_wait_s(headers: Mapping[str, str], *, wall: float) -> float | None:
    """The seconds that an engine asks callers to wait, from `retry-after-ms` or `retry-after` (RFC 9110 10.2.3:

    seconds, or a date, which is compared with `wall`, Unix seconds). None when it does not ask, or not in a way that
    can be read.
    """
    if (milliseconds := _number(headers.get("retry-after-ms", ""))) is not None:
        return milliseconds / 1000
    shown = headers.get("retry-after", "")
    if (seconds := _number(shown)) is not None:
        return seconds
    try:
        return max(0.0, parsedate_to_datetime(shown).timestamp() - wall)
    except (ValueError, OverflowError):
        return None


def backoff_s(attempt: int, *, jitter: float) -> float:
    """Seconds to wait before another attempt: doubling from 0.1 s to 2 s, times `jitter` (0 to 1).

    "Full jitter" of Marc Brooker's "Exponential Backoff And Jitter": callers that failed together come back apart.
    """
    return min(FIRST_S * 2**attempt, LONGEST_S) * jitter


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if isfinite(value) and value >= 0 else None
