"""Requests out, to the servers that tools ask: what may be asked, how often, and what is told of it.

Whatever comes back is a `ToolResult` in which no secret stands. A request that is not known to be harmless is made
again only where it certainly reached nobody; it carries the same `Idempotency-Key` whenever it is made.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from functools import partial
from hashlib import sha256

from hanok.agents.tool import ToolCall, ToolResult
from hanok.agents.tools.answers import NotAnswered, content_of, failure_of
from hanok.agents.tools.redaction import Redaction
from hanok.errors import WebError
from hanok.web.client import Answer, Fits, Request, Web
from hanok.web.place import Place, place_of

FIRST_WAIT_S, LONGEST_WAIT_S = 0.25, 10.0
_OWN_TIME = 0.95
"""Of a call's time; in the rest its failure is told."""
_AGAIN = (408, 425, 429, 500, 502, 503, 504)
_USUAL_PORTS = (80, 443)
_SAFE = ("GET", "HEAD")
_AT_ONCE_BYTES = 64 * 1024
"""Answers up to here are read where they come in; longer ones in a thread."""


@dataclass(frozen=True, kw_only=True)
class Clock:
    """Time and chance, as tests set them. Seconds."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    chance: Callable[[], float] = random.random


@dataclass(frozen=True, kw_only=True)
class Manners:
    """How servers are asked: which may be (`fits`), the longest answer, how often more, and what is hidden."""

    fits: Fits
    redaction: Redaction
    max_bytes: int
    retries: int
    timeout_s: float


class Remote:
    """Asks the servers of one tool, or of one document's tools."""

    def __init__(self, *, web: Web, manners: Manners, clock: Clock | None = None) -> None:
        self._web = web
        self._manners = manners
        self._clock = clock or Clock()

    async def ask(self, request: Request, call: ToolCall, *, safe: bool, pointer: str = "") -> ToolResult:
        """The answer as a result, failed where there is none or it is an error."""
        hide = self._manners.redaction.hide
        try:
            host = _checked(request, self._manners.fits).host
            answer = await self._answer(_keyed(request, call), safe=safe)
        except WebError as error:
            return ToolResult(content=hide(_told(error, safe=safe)), failed=True, data={"error": error.code})
        reading = partial(self._result, answer, host, pointer)
        long = len(answer.body) > _AT_ONCE_BYTES
        text, failed = await asyncio.to_thread(reading) if long else reading()
        return ToolResult(content=text, failed=failed, data={"status": answer.status})

    def _result(self, answer: Answer, host: str, pointer: str) -> tuple[str, bool]:
        """The text, and whether it is one of failure."""
        hide = self._manners.redaction.hide
        if answer.status >= 400:
            return f"{host} {hide(failure_of(answer))}{_when(answer)}", True
        if answer.status >= 300:
            return f"{host} {hide(failure_of(answer))}, which leads nowhere", True
        try:
            return hide(content_of(answer, pointer)), False
        except NotAnswered as error:
            return f"{host}: {hide(str(error))}", True

    async def _answer(self, request: Request, *, safe: bool) -> Answer:
        """The answer of the last attempt that there is time for. Raises `WebError` where that got none."""
        until = self._clock.now() + self._manners.timeout_s * _OWN_TIME
        for attempt in range(self._manners.retries):
            outcome, wait_s = await self._attempt(request, until, safe=safe)
            if wait_s is None or self._clock.now() + (wait_s := self._longer(wait_s, attempt)) >= until:
                return _answered(outcome)
            await self._clock.sleep(wait_s)
        return _answered((await self._attempt(request, until, safe=safe))[0])

    async def _attempt(self, request: Request, until: float, *, safe: bool) -> tuple[Answer | WebError, float | None]:
        """What came of it, and how long to wait at least before it is tried again; None where it must not be."""
        manners, left = self._manners, max(until - self._clock.now(), 0.001)
        try:
            answer = await self._web.ask(request, limit_bytes=manners.max_bytes, within=manners.fits, total_s=left)
        except WebError as error:
            again = error.code == "unreachable" and (safe or not error.sent)
            return error, 0.0 if again else None
        again = safe and answer.status in _AGAIN
        return answer, (retry_after_s(answer) or 0.0) if again else None

    def _longer(self, wait_s: float, attempt: int) -> float:
        """Twice as long each time, and not when everybody else comes back."""
        own = min(FIRST_WAIT_S * 2**attempt, LONGEST_WAIT_S) * (0.5 + self._clock.chance())
        return wait_s + own if wait_s else own


def allowed(places: Sequence[Place], hosts: Sequence[str]) -> Fits:
    """Whether a place is of those servers, or of a declared host: `api.example.com`, `*.example.com`, `*`.

    Declared hosts may be asked at the usual ports and at those of `places`; `https` may take the place of `http`.
    """
    ports = {*_USUAL_PORTS, *(place.port for place in places)}
    own = {(place.host.lower(), place.port) for place in places}
    own |= {(host, 443) for host, port in own if port == 80}

    def fits(place: Place) -> bool:
        host = place.host.lower().rstrip(".")
        return (host, place.port) in own or (place.port in ports and any(_is_one(host, each) for each in hosts))

    return fits


def retry_after_s(answer: Answer) -> float | None:
    """Seconds until the server wants to be asked again, as it says (RFC 9110, 10.2.3)."""
    told = answer.headers.get("retry-after", "").strip()
    if told.isascii() and told.isdecimal():
        return float(told[:9])
    try:
        gap = parsedate_to_datetime(told) - parsedate_to_datetime(answer.headers.get("date", ""))
    except (ValueError, TypeError):
        return None
    return max(0.0, gap.total_seconds())


def _is_one(host: str, pattern: str) -> bool:
    name = pattern.lower().strip("[]")
    if name.startswith("*."):
        return host.endswith(name[1:]) and host != name[1:]
    return name in ("*", host)


def _checked(request: Request, fits: Fits) -> Place:
    """Where a request goes. Raises `WebError` where it may not."""
    place = place_of(request.url)
    if not fits(place):
        raise WebError(place.host, "is none of the hosts that this tool may ask", code="moved")
    return place


def _keyed(request: Request, call: ToolCall) -> Request:
    """With a key by which a server knows a request that it has had already (it tells nothing of the run), and the span
    that it belongs to, where there are spans."""
    named = {name.lower() for name in request.headers}
    more: dict[str, str] = {}
    if request.method not in _SAFE and "idempotency-key" not in named:
        more["idempotency-key"] = key_of(call)
    if call.caller.trace is not None and "traceparent" not in named:
        more["traceparent"] = call.caller.trace
    return replace(request, headers={**request.headers, **more}) if more else request


def key_of(call: ToolCall) -> str:
    """What is sent as `Idempotency-Key`: the same whenever the call is made again."""
    return sha256(call.idempotency_key.encode()).hexdigest()[:32]


def _answered(outcome: Answer | WebError) -> Answer:
    if isinstance(outcome, WebError):
        raise outcome
    return outcome


def _told(error: WebError, *, safe: bool) -> str:
    """What is said of no answer: the host alone, for the rest of a URL may hold secrets."""
    try:
        who = place_of(error.url).host
    except WebError:
        who = "its address"
    text = f"{who} {error.why}"
    if error.sent and not safe:
        text += "; it is not known whether it was done"
    return f"{text} ({error.hint})" if error.hint else text


def _when(answer: Answer) -> str:
    wait_s = retry_after_s(answer)
    return "" if wait_s is None else f" (it may be asked again in {wait_s:g} s)"
