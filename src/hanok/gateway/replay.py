"""Answering a repeated call with the first one's answer: `Idempotency-Key`, and the retries of SDKs.

What is repeated is known by the key that called and a name: the caller's `Idempotency-Key`, or, for the retries of
SDKs that send none (they count them in `x-stainless-retry-count`), the call itself. The first call is answered as
always while a tape takes down what is sent; whoever repeats it gets the tape. Only whole answers are kept, and none
that a retry might better: not 402, 408, 409, 429 and 5xx. A call that names no key and is no SDK's costs two look-ups.

Form of the header: draft-ietf-httpapi-idempotency-key-header.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import NoReturn

from hanok.errors import IdempotencyReused
from hanok.gateway.http import Call, Header

KEPT_S = 24 * 3600.0
RETRIES_KEPT_S = 600.0
MOST_BYTES = 64 * 1024 * 1024
MOST_BYTES_EACH = 2 * 1024 * 1024
ENTRY_BYTES = 1024
"""What an entry without any body counts: its names, headers and places in tables."""
_NOT_KEPT = frozenset({402, 408, 409, 429})
_KEY = b"idempotency-key"
_COUNT = b"x-stainless-retry-count"
_REPLAYED = (b"idempotency-replayed", b"true")

Handle = Callable[[Call], Awaitable[None]]
Fail = Callable[[Call, Exception], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Name:
    """What a call is known by, and what it asks.

    `looks` when it may be answered from a tape, `kept_s` for how many seconds its own is kept.
    """

    id: bytes
    fingerprint: bytes
    looks: bool
    kept_s: float


class Replays:
    """The tapes, in memory: at most `most_bytes` in all and `most_bytes_each`; those used longest ago go first.

    `retries` says whether SDKs' retries are answered, too. `monotonic` gives seconds.
    """

    def __init__(
        self,
        *,
        retries: bool,
        monotonic: Callable[[], float],
        most_bytes: int = MOST_BYTES,
        most_bytes_each: int = MOST_BYTES_EACH,
    ) -> None:
        self._retries = retries
        self._monotonic = monotonic
        self._most_bytes = most_bytes
        self._most_bytes_each = most_bytes_each
        self._kept: OrderedDict[bytes, Recording] = OrderedDict()
        self._running: dict[bytes, _Running] = {}
        self._bytes = 0

    def change(self, *, retries: bool) -> None:
        """Answer SDKs' retries, or do not, from now on."""
        self._retries = retries

    def concern(self, call: Call) -> bool:
        """Whether the call may be a repetition, or be repeated."""
        return bool(call.headers.get(_KEY)) or (self._retries and _COUNT in call.headers)

    async def answer(self, call: Call, key_id: str, *, handle: Handle, fail: Fail) -> None:
        """Answer from the tape, or let `handle` answer (and `fail` tell what it raises) and keep the tape.

        `key_id` is the key that was let in. Raises `IdempotencyReused` when another call had this idempotency key.
        """
        name = self._name(call, key_id, await call.body())
        while name.looks:
            if (recording := self._find(name)) is not None:
                await recording.play(call)
                return
            if (running := self._running.get(name.id)) is None:
                break
            if running.fingerprint != name.fingerprint:
                _refuse_reuse()
            await running.over.wait()
        await self._record(call, name, handle, fail)

    def _name(self, call: Call, key_id: str, body: bytes) -> Name:
        fingerprint = _digest(call.path.encode(), body)
        if given := call.headers.get(_KEY):
            return Name(id=_digest(b"key", key_id.encode(), given), fingerprint=fingerprint, looks=True, kept_s=KEPT_S)
        again = call.headers[_COUNT] not in (b"", b"0")
        id_ = _digest(b"retry", key_id.encode(), fingerprint)
        return Name(id=id_, fingerprint=fingerprint, looks=again, kept_s=RETRIES_KEPT_S)

    def _find(self, name: Name) -> Recording | None:
        recording = self._kept.get(name.id)
        if recording is None:
            return None
        if recording.until < self._monotonic():
            self._drop(name.id)
            return None
        if recording.fingerprint != name.fingerprint:
            _refuse_reuse()
        self._kept.move_to_end(name.id)
        return recording

    async def _record(self, call: Call, name: Name, handle: Handle, fail: Fail) -> None:
        running = self._running[name.id] = _Running(name.fingerprint)
        tape = call.tape = Tape(self._most_bytes_each)
        try:
            try:
                await handle(call)
            except Exception as error:  # noqa: BLE001 - `fail` answers, and an error may be an answer to keep
                tape.spoiled = tape.spoiled or call.begun
                await fail(call, error)
        finally:  # who hangs up when the answer is whole cancels what is left to do, and may ask again at once
            if tape.worth_keeping():
                self._keep(name, tape)
            call.tape = None
            if self._running.get(name.id) is running:
                del self._running[name.id]
            running.over.set()

    def _keep(self, name: Name, tape: Tape) -> None:
        self._drop(name.id)
        tape.pack()
        until = self._monotonic() + name.kept_s
        recording = Recording(fingerprint=name.fingerprint, until=until, tape=tape)
        self._kept[name.id] = recording
        self._bytes += recording.size()
        while self._bytes > self._most_bytes:
            self._drop(next(iter(self._kept)))

    def _drop(self, id_: bytes) -> None:
        if (recording := self._kept.pop(id_, None)) is not None:
            self._bytes -= recording.size()


class Tape:
    """What is sent to one caller, up to a size. `spoiled` when it must not be kept."""

    __slots__ = ("_most_bytes", "_parts", "_size", "ended", "headers", "spoiled", "status", "streamed")

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._parts: list[bytes] = []
        self._size = 0
        self.status = 0
        self.headers: Sequence[Header] = ()
        self.streamed = False
        self.ended = False
        self.spoiled = False

    # what the call tells

    def begin(self, status: int, headers: Sequence[Header], *, streamed: bool) -> None:
        self.status, self.headers, self.streamed = status, headers, streamed

    def take(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > self._most_bytes:
            self.spoiled = True
            self._parts.clear()
        else:
            self._parts.append(data)

    def end(self) -> None:
        self.ended = True

    # what is made of it

    def worth_keeping(self) -> bool:
        return self.ended and not self.spoiled and self.status < 500 and self.status not in _NOT_KEPT

    def body(self) -> bytes:
        return b"".join(self._parts)

    def pack(self) -> None:
        """Join the many small pieces of a stream."""
        self._parts = [self.body()]

    def size(self) -> int:
        return self._size


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """A kept tape, and until when, in seconds of the monotonic clock."""

    fingerprint: bytes
    until: float
    tape: Tape

    def size(self) -> int:
        return self.tape.size() + ENTRY_BYTES

    async def play(self, call: Call) -> None:
        """Send it again."""
        tape = self.tape
        if not tape.streamed:
            await call.reply(tape.status, tape.body(), *tape.headers, _REPLAYED)
            return
        await call.begin(tape.status, *tape.headers, _REPLAYED)
        await call.more(tape.body())
        await call.end()


class _Running:
    """A call that is being answered, and taped."""

    __slots__ = ("fingerprint", "over")

    def __init__(self, fingerprint: bytes) -> None:
        self.fingerprint = fingerprint
        self.over = asyncio.Event()


def _digest(*parts: bytes) -> bytes:
    digest = blake2b(digest_size=16)
    for part in parts:
        digest.update(len(part).to_bytes(8))
        digest.update(part)
    return digest.digest()


def _refuse_reuse() -> NoReturn:
    message = "this Idempotency-Key was used for another call; use a new one for each call"
    raise IdempotencyReused(message, code="idempotency_key_reused")
