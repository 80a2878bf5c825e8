"""The layer that admits and charges: reserve, open the answer, watch what it uses, cut it at a limit, settle once.

The charge is written before the last piece is handed on, so a caller who has seen the end has been charged. While a
stream runs, its tab says what it has used so far, so that a crash forgets nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, Self

from hanok.errors import EngineError, HanokError, RequestError, StoreError
from hanok.ledger.accounts import Account
from hanok.ledger.admission import Admission
from hanok.ledger.hold import Hold
from hanok.ledger.standing import describe
from hanok.wire import (
    BYTES_PER_TOKEN,
    Answer,
    Charge,
    ChatRequest,
    Chunk,
    Ending,
    Kept,
    ModelPath,
    Take,
    TaskRequest,
    TaskResult,
    Tier,
    Usage,
    pour,
)
from hanok.wire.forms import cut_events, measure_events

LONG_BYTES = 8
LOOKS = 3
NO_TAB = -1
NOTHING_USED = Usage()


class Books(Protocol):
    """Where charges go, and the tabs of running streams."""

    def next_id(self) -> int: ...
    def record(self, charge: Charge) -> None: ...
    def open_tab(self, charge: Charge, nano_usd_a_token: float) -> int: ...
    def note_tab(self, tab: int, tokens: int) -> None: ...
    def close_tab(self, tab: int) -> None: ...


Watcher = Callable[[Charge, ChatRequest | TaskRequest, bytes | None], None]
"""Is told of every call that ended: its charge, what was asked, and the answer's bytes if they were kept."""


class Metered:
    """A model whose every call is admitted and charged. `keep_bytes` of each answer are kept for the watchers."""

    def __init__(
        self,
        inner: ModelPath,
        *,
        books: Books,
        admission: Admission,
        wall: Callable[[], float],
        monotonic: Callable[[], float],
        watchers: Sequence[Watcher] = (),
        keep_bytes: int = 0,
    ) -> None:
        self.inner = inner
        self.books = books
        self.admission = admission
        self.wall = wall
        self.monotonic = monotonic
        self.watchers = watchers
        self.keep_bytes = keep_bytes
        self.running = 0

    async def open(self, request: ChatRequest) -> MeteredAnswer:
        """Raises `BudgetExceeded` and `RateLimited` besides what any model raises."""
        request, hold = await self.admission.admit(request)
        meter = Meter(self, request, hold)
        try:
            if request.stream:
                meter.open_tab()
            answer = await self.inner.open(request)
            meter.endpoint = answer.endpoint
            if answer.model != request.model:
                await meter.change_model(answer)
            elif hold.tariff.at:
                meter.take_rate()
        except BaseException as error:
            meter.end("failed" if isinstance(error, Exception) else "cancelled", error)
            raise
        return MeteredAnswer(answer, meter)

    async def perform(self, request: TaskRequest) -> MeteredResult:
        """Raises as `open` does."""
        request, hold = await self.admission.admit(request)
        meter = Meter(self, request, hold)
        try:
            result = await self.inner.perform(request)
            meter.model, meter.endpoint, meter.usage = result.model, result.endpoint, result.usage
            meter.rate = hold.tariff.where(result.endpoint)
            if result.model != request.model:
                meter.rate = self.admission.tariff(result.model, request.options).where(result.endpoint)
                meter.hold = await self.admission.move(request, hold, result.model)
        except BaseException as error:
            meter.end("failed" if isinstance(error, Exception) else "cancelled", error)
            raise
        meter.end("ok")
        return MeteredResult(
            result.data,
            result.usage,
            result.model,
            result.endpoint,
            result.kept,
            meter.hold,
            cost_nano_usd=meter.cost_nano_usd,
        )


class MeteredResult(TaskResult, frozen=True):
    """What a task gave, where their call stands with its accounts, and what it cost."""

    hold: Hold | None = None
    tier: Tier | None = None
    cost_nano_usd: int = 0


class Meter:
    """One call's meter: counts what it uses, holds what it has reserved, and writes one charge at the end.

    `tokens` are the completion tokens so far: one an event, or by their text where that is clearly more.
    """

    __slots__ = (
        "_bytes", "_envelope", "_first", "_limited", "_looks", "_metered", "_settled", "_start", "_streams", "_tab",
        "_wall", "cost_nano_usd", "endpoint", "events", "hold", "model", "rate", "request", "said", "tokens",
        "unstreamed", "usage",
    )  # fmt: skip

    def __init__(self, metered: Metered, request: ChatRequest | TaskRequest, hold: Hold) -> None:
        metered.running += 1
        self._metered = metered
        self.request = request
        self.hold = hold
        self.rate = hold.tariff.own
        self.model = request.model
        self.endpoint = ""
        self.usage: Usage | None = None
        self.events = 0
        self.tokens = 0
        self.cost_nano_usd = 0
        self.unstreamed = 0
        self.said: list[bytes] | None = [] if metered.keep_bytes else None
        self._envelope = 1 << 30
        self._looks = 0
        self._bytes = 0
        self._first = 0.0
        self._settled = False
        self._tab = NO_TAB
        self._limited = isinstance(request, ChatRequest) and request.max_tokens is not None
        self._streams = isinstance(request, ChatRequest) and request.stream
        self._wall = metered.wall()
        self._start = metered.monotonic()

    def see(self, chunk: Chunk) -> None:
        """A piece of the answer passes."""
        if not self._first:
            self._first = self._metered.monotonic()
        if chunk.usage is not None:
            self.usage = chunk.usage
        if self.said is not None:
            self._keep(chunk.data)
        if events := chunk.events:
            self.events += events
            self._bytes += len(chunk.data)
            if self._looks < LOOKS:
                self._look(chunk.data)
            self.tokens = self._count()
            if self._tab >= 0:
                self._metered.books.note_tab(self._tab, self.tokens)
        elif chunk.last and not self._streams:
            self.unstreamed = len(chunk.data)

    def _count(self) -> int:
        events = self.events
        text = self._bytes - self._envelope * events
        return events if text <= LONG_BYTES * events else text // BYTES_PER_TOKEN

    def is_beyond(self) -> bool:
        """Whether what is used has used up what is paid for.

        A call with `max_tokens` has all of it paid for, and ends by itself with the last token: one more must come.
        """
        return self.tokens >= self.hold.paid_tokens + self._limited

    async def extend(self) -> Account | None:
        """Reserve more until what is used is paid for; the account that does not pay, if one does not."""
        while self.is_beyond():
            if (refused := await self._metered.admission.extend(self.hold)) is not None:
                return refused
        return None

    async def change_model(self, answer: Answer) -> None:
        """Another model answers than was reserved for: pay its price, or close the answer and raise."""
        admission = self._metered.admission
        tariff = admission.tariff(answer.model, self.request.options)
        self.model, self.rate = answer.model, tariff.where(answer.endpoint)
        try:
            assert isinstance(self.request, ChatRequest)
            self.hold = await admission.readmit(self.request, self.hold, answer.model)
        except BaseException:
            await answer.aclose()
            raise
        self.hold.reprice(self.rate)
        self._open_another_tab()

    def take_rate(self) -> None:
        """Who answers is known, and with that the price."""
        before, self.rate = self.rate, self.hold.tariff.where(self.endpoint)
        self.hold.reprice(self.rate)
        if self.rate is not before:
            self._open_another_tab()

    def _open_another_tab(self) -> None:
        if self._tab >= 0:
            self._metered.books.close_tab(self._tab)
            self.open_tab()

    def open_tab(self) -> None:
        """Write down that this call runs."""
        usage = Usage(prompt_tokens=self.request.prompt_bytes() // BYTES_PER_TOKEN)
        begun = self._charge("failed", usage, "crashed")
        self._tab = self._metered.books.open_tab(begun, self.rate.output_nano_usd)

    def end(self, ending: Ending, error: BaseException | None = None, reason: str = "") -> None:
        """The call is over. The first word counts."""
        if self._settled:
            return
        self._settled = True
        metered = self._metered
        metered.running -= 1
        if ending == "cancelled" and not self.endpoint:  # whoever was asked has read the prompt at least
            self.usage = Usage(prompt_tokens=self.request.prompt_bytes() // BYTES_PER_TOKEN, estimated=True)
        charge = self._charge(ending, self.usage or self.estimate(), reason or _code(error))
        metered.books.record(charge)
        self.cost_nano_usd = charge.cost_nano_usd
        if self._tab >= 0:
            metered.books.close_tab(self._tab)
        hold = self.hold
        if hold.accounts:
            hold.settle(charge.prompt_tokens + charge.completion_tokens, charge.cost_nano_usd)
        if metered.watchers:
            said = None if self.said is None else b"".join(self.said)
            for watch in metered.watchers:
                watch(charge, self.request, said)

    def estimate(self) -> Usage:
        """What was used, where the engine has not told."""
        if not self.endpoint:
            return Usage()
        return Usage(
            prompt_tokens=self.request.prompt_bytes() // BYTES_PER_TOKEN,
            completion_tokens=self.tokens or self.unstreamed // BYTES_PER_TOKEN,
            estimated=True,
        )

    def _charge(self, ending: Ending, usage: Usage, error: str) -> Charge:
        request, caller, first = self.request, self.request.caller, self._first
        tier = request.tier if isinstance(request, ChatRequest) else None
        cost_nano_usd, saved_nano_usd = self.rate.cost_nano_usd(usage), 0
        if usage.kept:
            usage, cost_nano_usd, saved_nano_usd = NOTHING_USED, 0, cost_nano_usd
        elif tier is not None:
            saved_nano_usd = (
                self._metered.admission.tariff(tier.compared_to, request.options).own.cost_nano_usd(usage)
                - cost_nano_usd
            )
        return Charge(
            id=self._metered.books.next_id(),
            at=self._wall,
            key_id=caller.key_id,
            key_name=caller.key_name,
            model=self.model,
            endpoint=self.endpoint,
            operation=request.operation,
            status=ending,
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            cached_tokens=usage.cached_tokens,
            estimated=usage.estimated,
            cost_nano_usd=cost_nano_usd,
            latency_ms=(self._metered.monotonic() - self._start) * 1000,
            first_token_ms=(first - self._start) * 1000 if first else 0.0,
            request_id=caller.request_id,
            team=caller.team,
            user=caller.user,
            session=caller.session,
            run=caller.run,
            error=error,
            cache_write_tokens=usage.cache_write_tokens,
            saved_nano_usd=saved_nano_usd,
            asked=tier.asked if tier else "",
            tier=tier.name if tier else "",
        )

    def _look(self, data: bytes) -> None:
        """Learn from a stream's beginning how many bytes of an event are not text."""
        self._looks += 1
        for size, text in measure_events(data):
            self._envelope = min(self._envelope, size - text)

    def _keep(self, data: bytes) -> None:
        assert self.said is not None
        room = self._metered.keep_bytes - sum(map(len, self.said))
        if room > 0:
            self.said.append(data[:room])


class MeteredAnswer:
    """An answer on its meter.

    `kept` is what a cache of answers had to do with it, where there is one; `tier` why this model was chosen, where we
    chose it.
    """

    __slots__ = ("_cut", "_done", "_inner", "_last", "_meter", "endpoint", "kept", "model", "tier")

    def __init__(self, inner: Answer, meter: Meter) -> None:
        self._inner = inner
        self._meter = meter
        self._last = b""
        self._cut: Account | StoreError | None = None
        self._done = False
        self.model = inner.model
        self.endpoint = inner.endpoint
        self.kept: Kept | None = getattr(inner, "kept", None)
        self.tier: Tier | None = meter.request.tier if isinstance(meter.request, ChatRequest) else None

    @property
    def hold(self) -> Hold:
        """Where the call stands with its accounts."""
        return self._meter.hold

    @property
    def cost_nano_usd(self) -> int:
        """What the call has cost, when it is over."""
        return self._meter.cost_nano_usd

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Chunk:
        if self._cut is not None:
            return await self._end_cut(self._cut)
        meter = self._meter
        try:
            chunk = await self._inner.__anext__()
        except StopAsyncIteration:
            meter.end("ok")
            raise
        except Exception as error:
            meter.end("failed", error)
            raise
        meter.see(chunk)
        if chunk.last:
            meter.end("ok")
        elif chunk.events and meter.is_beyond():
            self._last = chunk.data
            await self._extend()
        return chunk

    async def pour(self, take: Take) -> bool:
        if self._cut is not None:
            take(await self._end_cut(self._cut))
            return True
        meter = self._meter
        beyond = False

        def pass_on(chunk: Chunk) -> bool:
            nonlocal beyond
            meter.see(chunk)
            if chunk.last:
                meter.end("ok")
            elif chunk.events and meter.is_beyond():
                self._last, beyond = chunk.data, True
            return take(chunk) and not beyond

        try:
            over = await pour(self._inner, pass_on)
        except Exception as error:
            meter.end("failed", error)
            raise
        if over:
            meter.end("ok")
        elif beyond:
            await self._extend()
        return over

    async def _extend(self) -> None:
        """Have more paid for, or cut the answer in its turn."""
        try:
            self._cut = await self._meter.extend()
        except StoreError as error:
            self._cut = error

    async def aclose(self) -> None:
        """Ends the call as cancelled if it has not ended."""
        self._meter.end("cancelled")
        await self._inner.aclose()

    async def _end_cut(self, refused: Account | StoreError) -> Chunk:
        """The last chunk of an answer that its budget does not pay for any longer.

        Raises the `StoreError` where nobody could say whether it would.
        """
        if self._done:
            raise StopAsyncIteration
        self._done = True
        meter = self._meter
        assert isinstance(meter.request, ChatRequest)
        await self._inner.aclose()
        if isinstance(refused, StoreError):
            meter.end("cut", reason="books_unreachable")
            raise refused
        usage = meter.usage or meter.estimate()
        meter.end("cut", reason="budget_exceeded")
        detail = {"stopped_by": "budget_exceeded", "budget": describe(refused)}
        return Chunk(cut_events(meter.request, self._last, usage, detail), 0, usage, True)


def _code(error: BaseException | None) -> str:
    if error is None:
        return ""
    if isinstance(error, EngineError | RequestError) and error.code:
        return error.code
    return error.message[:64] if isinstance(error, HanokError) else type(error).__name__
