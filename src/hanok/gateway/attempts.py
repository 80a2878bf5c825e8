"""Asking one model: endpoint after endpoint, attempt after attempt, until one answers or none may.

A call first goes to endpoints that it has not asked, at once. When all were asked it waits as `routing.retry` says and
asks one again. What an attempt tells about its endpoint is noted on the endpoint's circuit, for all calls.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from hanok.errors import EngineError, EngineRefused, EngineUnreachable, NoEndpoint
from hanok.gateway.pairs import decode_request, prefill, prompt_tokens
from hanok.gateway.slots import LOADING_AGAIN_S, Slot, Slots
from hanok.gateway.trials import Trial
from hanok.routing import Features, again_s, asked_wait_s, features_of
from hanok.routing.breaker import abandoned, answered, failed, rested
from hanok.routing.failures import is_endpoints_fault
from hanok.routing.retry import WORTH_WAITING_S
from hanok.serving.fleet import CLOSED, Endpoint, Fleet
from hanok.spec import Breaker, HeaderRule
from hanok.wire import ChatRequest, TaskRequest

LONGEST_REST_S = 600.0
"""The longest that an endpoint is left alone because it asked for it."""
NO_FEATURES = Features()
Result = TypeVar("Result")
Asked = TypeVar("Asked", covariant=True)


class Question(Protocol[Asked]):
    """What is asked of endpoints, by whom; and how to throw an answer away that nobody wants."""

    team: str | None
    hedged: bool

    @property
    def request(self) -> ChatRequest | TaskRequest: ...

    def put(self, endpoint: Endpoint, instead: ChatRequest | None = None) -> Coroutine[Any, Any, Asked]:
        """Ask the endpoint; what is asked `instead` of the request says the same."""
        ...

    def drop(self, result: Any) -> Awaitable[None]: ...

    def follow(self, result: Any, trial: Trial) -> Asked:
        """The same answer, whose end is told to the trial."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Clocks:
    """Time and chance, as arguments: seconds of a monotonic clock, Unix seconds, a wait, a number from 0 to 1."""

    monotonic: Callable[[], float]
    wall: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]
    jitter: Callable[[], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempts:
    """How one model is asked. `rules` are of its headers; `by_features` where calls differ in where they may go.

    Prompts of `prefill_tokens` or more are prefilled elsewhere; None where no endpoint is there for that.
    """

    model: str
    slots: Slots
    fleet: Fleet
    clocks: Clocks
    retries: int
    breaker: Breaker
    hedge_after_s: float | None
    load_wait_s: float
    rules: Sequence[HeaderRule] = ()
    by_features: bool = False
    prefill_tokens: int | None = None

    def features_of(self, request: ChatRequest | TaskRequest) -> Features | None:
        """What decides where the call goes; None where nothing does but who is least busy."""
        if not self.by_features and not request.options.tags:
            return None
        prefixes = self.slots.prefixes
        prompt = None if prefixes is None or isinstance(request, TaskRequest) else prefixes.prompt(request)
        return features_of(request, self.rules, prompt)

    def suits(self, request: ChatRequest | TaskRequest) -> bool:
        """Whether an endpoint may take it."""
        if not self.by_features and not request.options.tags:
            return True
        return bool(self.slots.open_to(features_of(request, self.rules)))

    def answer(self, question: Question[Result]) -> Coroutine[Any, Any, tuple[Endpoint, Result]]:
        """Ask until an endpoint answers; its slot stays taken. Raises `EngineError` when none does."""
        return _Asking(self, question).run()


class _Asking(Generic[Result]):
    """One call to one model. `_asked` tells from when on an endpoint that failed may be asked again: perhaps never."""

    __slots__ = ("_asked", "_attempt", "_features", "_how", "_question")

    def __init__(self, how: Attempts, question: Question[Result]) -> None:
        self._how = how
        self._question = question
        self._asked: dict[Endpoint, float] = {}
        self._attempt = 0
        self._features = how.features_of(question.request)

    async def run(self) -> tuple[Endpoint, Result]:
        how = self._how
        error: EngineError | None = None
        for self._attempt in range(how.retries + 1):
            slot = how.slots.take(self._asked, self._features) or await self._next_slot()
            if slot is None:
                break
            try:
                if how.hedge_after_s is None or self._question.hedged:
                    return await self._ask(slot)
                return await self._ask_hedged(slot, how.hedge_after_s)
            except EngineError as failure:
                if not failure.retryable:
                    raise
                error = failure
        raise error or how.slots.no_endpoint()

    async def _next_slot(self) -> Slot | None:
        """A slot when none can be had at once: after a pause, or from the queue. None when it is no use to wait."""
        how = self._how
        if self._features is not None and not self._asked:
            how.slots.require(self._features)
        if not self._asked and await self._loaded() and (slot := how.slots.take(features=self._features)):
            return slot
        while (endpoint := self._soonest()) is not None:
            await how.clocks.sleep(max(0.0, self._asked.pop(endpoint) - how.clocks.monotonic()))
            if slot := how.slots.take(self._asked, self._features):
                return slot
        if how.slots.will_have_room(self._asked, self._features):
            return await how.slots.wait(self._asked, self._question.team, self._features)
        return None

    def _soonest(self) -> Endpoint | None:
        endpoint = min(self._asked, key=self._asked.__getitem__, default=None)
        return None if endpoint is None or self._asked[endpoint] == inf else endpoint

    async def _loaded(self) -> bool:
        """Wait for a model that is still loading; False when there was nothing to wait for. Raises `NoEndpoint`
        where it takes too long, `Overloaded` where too many wait."""
        states = {each.state for each in self._how.slots.open_to(self._features)}
        loads = "starting" in states and states.isdisjoint(("up", "down"))
        if not loads and not self._how.fleet.is_asleep(self._how.model):
            return False
        self._how.slots.let_in(self._how.fleet.asking.get(self._how.model, 0))
        try:
            async with asyncio.timeout(self._how.load_wait_s):
                await self._how.fleet.wake(self._how.model)
        except TimeoutError:
            message = f"the model {self._how.model!r} is still loading"
            raise NoEndpoint(message, hint="try again in a few seconds", retry_after_s=LOADING_AGAIN_S) from None
        return True

    # one endpoint

    async def _ask(self, slot: Slot) -> tuple[Endpoint, Result]:
        """Ask the slot's endpoint; the slot stays taken when it answers."""
        endpoint = slot.endpoint
        trial = None if self._features is None else self._begin(endpoint, self._features)
        try:
            if trial is None or self._how.prefill_tokens is None:
                result = await self._question.put(endpoint)
            else:
                result = await self._put_in_pair(endpoint, trial, self._how.prefill_tokens)
        except EngineError as error:
            self._note(error, slot)
            if trial is not None:
                trial.failed(is_slow=error.retryable)
            self._how.slots.give_back(endpoint)
            raise
        except BaseException:
            endpoint.circuit = abandoned(endpoint.circuit, probe=slot.probe)
            self._how.slots.give_back(endpoint)
            if trial is not None:
                trial.over(None)
            raise
        if endpoint.circuit is not CLOSED:
            self._note_answer(slot)
        if trial is not None:
            trial.answered()
            if trial.follows:
                return endpoint, self._question.follow(result, trial)
        return endpoint, result

    def _begin(self, endpoint: Endpoint, features: Features) -> Trial:
        return Trial(endpoint, features, self._how.slots.prefixes, self._how.clocks.monotonic)

    async def _put_in_pair(self, endpoint: Endpoint, trial: Trial, least_tokens: int) -> Result:
        """Ask a decode endpoint after another has prefilled the prompt, where that is worth it and works."""
        request = self._question.request
        assert isinstance(request, ChatRequest)
        said = None
        new_tokens = prompt_tokens(request) if trial.new_tokens is None else trial.new_tokens
        if endpoint.role == "decode" and new_tokens >= least_tokens:
            said = await self._prefill(request)
            trial.prefilled = said is not None
        return await self._question.put(endpoint, decode_request(request, said))

    async def _prefill(self, request: ChatRequest) -> msgspec.Raw | None:
        how, features = self._how, msgspec.structs.replace(self._features or NO_FEATURES, stream=True)
        slot = how.slots.take_prefill(features)
        if slot is None:
            return None
        endpoint = slot.endpoint
        trial = Trial(endpoint, features, how.slots.prefill_prefixes, how.clocks.monotonic)
        try:
            said = await prefill(endpoint, request)
            trial.answered()
        except EngineError as error:
            self._note_failure(error, slot)
            return None
        except BaseException:
            endpoint.circuit = abandoned(endpoint.circuit, probe=slot.probe)
            raise
        finally:
            trial.over(None)
            how.slots.give_back(endpoint)
        if endpoint.circuit is not CLOSED:
            self._note_answer(slot)
        return said

    def _note_answer(self, slot: Slot) -> None:
        slot.endpoint.circuit = answered(slot.endpoint.circuit, probe=slot.probe)
        if slot.probe:  # the endpoint is back, perhaps with room for those who wait for others
            self._how.slots.hand_out()

    def _note(self, error: EngineError, slot: Slot) -> None:
        """What the failure means for the endpoint, and when this call may ask it again."""
        how, endpoint = self._how, slot.endpoint
        self._note_failure(error, slot)
        wait_s = again_s(error, attempt=self._attempt, jitter=how.clocks.jitter(), wall=how.clocks.wall())
        self._asked[endpoint] = inf if wait_s is None else how.clocks.monotonic() + wait_s

    def _note_failure(self, error: EngineError, slot: Slot) -> None:
        how, endpoint = self._how, slot.endpoint
        now, wall = how.clocks.monotonic(), how.clocks.wall()
        if isinstance(error, EngineUnreachable) and endpoint.state == "up":
            how.fleet.mark(endpoint, "down", error.message)
        if is_endpoints_fault(error):
            endpoint.circuit = failed(
                endpoint.circuit,
                probe=slot.probe,
                now=now,
                failures=how.breaker.failures,
                cooldown_s=how.breaker.cooldown_s,
            )
        else:
            endpoint.circuit = answered(endpoint.circuit, probe=slot.probe)
        rest_s = asked_wait_s(error.refusal.headers, wall=wall) if isinstance(error, EngineRefused) else None
        if rest_s is not None and rest_s > WORTH_WAITING_S and error.retryable:
            endpoint.circuit = rested(endpoint.circuit, until=now + min(rest_s, LONGEST_REST_S))

    # two endpoints

    async def _ask_hedged(self, slot: Slot, after_s: float) -> tuple[Endpoint, Result]:
        """Ask the slot's endpoint and, when it has not answered after a while, another one too. The first wins."""
        tasks = [asyncio.create_task(self._ask(slot))]
        winner: asyncio.Task[tuple[Endpoint, Result]] | None = None
        try:
            done, _ = await asyncio.wait(tasks, timeout=after_s)
            if not done and (other := self._how.slots.take([slot.endpoint, *self._asked], self._features)):
                self._question.hedged = True
                tasks.append(asyncio.create_task(self._ask(other)))
            winner = await _first_to_answer(tasks)
        finally:
            try:
                await self._let_go([each for each in tasks if each is not winner])
            except BaseException:  # cancelled meanwhile: nobody takes the answer
                if winner is not None:
                    await self._let_go([winner])
                raise
        assert winner is not None
        return winner.result()

    async def _let_go(self, losers: Sequence[asyncio.Task[tuple[Endpoint, Result]]]) -> None:
        """Cancel what still runs, which cuts its connection; close an answer that came all the same."""
        for task in losers:
            task.cancel()
        for task in losers:
            await asyncio.wait([task])
            if not task.cancelled() and task.exception() is None:
                endpoint, result = task.result()
                self._how.slots.give_back(endpoint)
                await self._question.drop(result)


async def _first_to_answer(
    tasks: Iterable[asyncio.Task[tuple[Endpoint, Result]]],
) -> asyncio.Task[tuple[Endpoint, Result]]:
    """The first that answers. Raises the first's error when none does, or the caller's mistake at once."""
    running = set(tasks)
    errors: list[BaseException] = []
    while running:
        done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            error = asyncio.CancelledError() if task.cancelled() else task.exception()
            if error is None:
                return task
            errors.append(error)
            if not (isinstance(error, EngineError) and error.retryable):
                raise error
    raise errors[0]
