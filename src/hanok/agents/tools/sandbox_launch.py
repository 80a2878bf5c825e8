"""The sandbox: Python of others, run by Monty in processes of their own, without files, network or processes.

Monty is an interpreter written for this, not CPython with things taken away, so that there is nothing to get back. A
worker that breaks down, or is too slow to stop by itself, is killed and replaced; the host only sees an error.

One pool serves a process. It is started when it is first needed, and ends with the last tool that uses it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import pydantic_monty as monty

from hanok.agents.tools.carried import NotCarried, as_json

Function = Callable[[Sequence[Any], Mapping[str, Any]], Coroutine[Any, Any, Any]]
"""What code may call: given its arguments by place and by name, as JSON has them."""
WAIT_S = 10.0
"""Longest wait for a worker that is free."""
GRACE_S = 1.0
"""How long a worker may take to stop by itself when its time is over; then it is killed."""
_TURN_S = 330.0
_RECURSION = 200
_CALLS = 200
_MESSAGE = 1000
_OVER = "time limit exceeded"


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """Of one piece of code: seconds that it may run, bytes that it may hold, characters of its output to keep."""

    time_s: float
    memory_bytes: int
    printed: int = 20_000


class Failed(Exception):
    """The code failed; says how, and in which of its lines. What it had printed is kept."""

    def __init__(self, message: str, *, printed: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.printed = printed


class Refused(Exception):
    """What a called function answers in place of a value: code sees it as a `RuntimeError`."""


@dataclass
class Printed:
    """What code prints, up to a length; the rest is only counted."""

    longest: int
    pieces: list[str] = field(default_factory=list[str])
    length: int = 0

    def __call__(self, _: str, text: str) -> None:
        if self.length < self.longest:
            self.pieces.append(text[: self.longest - self.length])
        self.length += len(text)

    @property
    def text(self) -> str:
        """With a word about what is missing."""
        more = self.length - self.longest
        return "".join(self.pieces) + (f"… ({more:,} more characters)" if more > 0 else "")


class Sandbox:
    """A pool of workers, of one event loop."""

    def __init__(self) -> None:
        self._pool: monty.AsyncMonty | None = None
        self._starting = asyncio.Lock()
        self._users = 0

    def __enter__(self) -> Sandbox:
        self._users += 1
        return self

    async def leave(self) -> None:
        """One user less; the last one ends the workers."""
        self._users -= 1
        async with self._starting:
            if self._users <= 0 and self._pool is not None:
                pool, self._pool = self._pool, None
                await pool.__aexit__(None, None, None)

    async def run(
        self,
        code: str,
        bounds: Bounds,
        *,
        inputs: Mapping[str, Any] | None = None,
        functions: Mapping[str, Function] | None = None,
    ) -> tuple[Any, str]:
        """The value of the last expression, and what was printed. Raises `Failed`."""
        printed = Printed(bounds.printed)
        try:
            async with (await self._started()).checkout(limits=_limits(bounds), os_policy={"sleep": "zero"}) as session:
                return await _drive(session, code, dict(inputs or {}), functions or {}, printed), printed.text
        except monty.MontyCrashedError as error:
            raise Failed(_broken(error, bounds), printed=printed.text) from error
        except (monty.MontySyntaxError, monty.MontyRuntimeError) as error:
            raise Failed(_told(error, bounds), printed=printed.text) from error
        except TimeoutError as error:
            raise Failed(f"no sandbox was free within {WAIT_S:g} s; try again") from error
        except (monty.MontyError, UnicodeError, ValueError, OverflowError, RecursionError) as error:
            raise Failed(f"it cannot be handed to the sandbox: {str(error)[:_MESSAGE]}") from error

    async def _started(self) -> monty.AsyncMonty:
        async with self._starting:
            if self._pool is None:
                pool = monty.AsyncMonty(
                    max_processes=max(4, os.cpu_count() or 1),
                    checkout_timeout=WAIT_S,
                    request_timeout=_TURN_S,
                    feed_duration_limit_grace=GRACE_S,
                )
                await pool.__aenter__()
                self._pool = pool
            return self._pool


_SANDBOXES: WeakKeyDictionary[asyncio.AbstractEventLoop, Sandbox] = WeakKeyDictionary()


def enter_sandbox() -> Sandbox:
    """The one of this event loop, with one user more; `leave` it."""
    return _SANDBOXES.setdefault(asyncio.get_running_loop(), Sandbox()).__enter__()


def _limits(bounds: Bounds) -> monty.ResourceLimits:
    return {
        "max_feed_duration_secs": bounds.time_s,
        "max_memory": bounds.memory_bytes,
        "max_recursion_depth": _RECURSION,
        "max_suspensions": _CALLS,
    }


async def _drive(
    session: monty.AsyncMontySession,
    code: str,
    inputs: dict[str, Any],
    functions: Mapping[str, Function],
    printed: Printed,
) -> Any:
    """Run to the end; where the code calls a function of ours, it waits until that is done."""
    awaited = {name: _awaitable(function) for name, function in functions.items()}
    here = await session.feed_start(code, inputs=inputs, external_lookup=awaited, print_callback=printed)
    while not isinstance(here, monty.MontyComplete):
        if isinstance(here, monty.AsyncFunctionSnapshot) and (function := _called(here, functions)) is not None:
            here = await here.resume(await _answer(function, here.args, here.kwargs))
        else:  # `await function()`, names that are looked up, what an operating system would do
            here = await here.resume_auto()
    return here.output


def _called(here: monty.AsyncFunctionSnapshot, functions: Mapping[str, Function]) -> Function | None:
    """The function of ours that the code waits for, without an `await` of its own."""
    return None if here.is_os_function or here.allow_eager_await else functions.get(here.function_name)


def _awaitable(function: Function) -> Callable[..., Coroutine[Any, Any, Any]]:
    async def awaited(*places: Any, **named: Any) -> Any:
        answer = await _answer(function, places, named)
        if "return_value" not in answer:
            raise RuntimeError(answer["message"])
        return answer["return_value"]

    return awaited


async def _answer(function: Function, places: Sequence[Any], named: Mapping[str, Any]) -> Any:
    try:
        value = await function(as_json(list(places)), as_json(dict(named)))
    except (Refused, NotCarried) as error:
        return {"exc_type": "RuntimeError", "message": str(error)[:_MESSAGE]}
    return {"return_value": value}


def _told(error: monty.MontySyntaxError | monty.MontyRuntimeError, bounds: Bounds) -> str:
    """The exception's type and message, and the line where it arose."""
    text = error.display("type-msg")
    if _OVER in text:
        return f"TimeoutError: it ran for longer than {bounds.time_s:g} s, and was stopped"
    text = text if len(text) <= _MESSAGE else f"{text[:_MESSAGE]}…"
    frame = next((each for each in reversed(error.traceback()) if each.source_line), None)  # not those within `eval`
    return text if frame is None else f"{text}\n  line {frame.line}: {str(frame.source_line).strip()[:200]}"


def _broken(error: monty.MontyCrashedError, bounds: Bounds) -> str:
    if error.timed_out:
        return f"TimeoutError: it ran for longer than {bounds.time_s:g} s, and was stopped"
    return "the sandbox broke down, perhaps because the code needs too much memory; do less at once"
