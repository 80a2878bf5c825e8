"""The layer that finds an endpoint: the model that was asked for, then its fallbacks.

What fails before the first byte is asked for elsewhere (`attempts`: another endpoint, another attempt; here: another
model). Once an answer has begun it is never replaced.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar

from hanok.errors import EngineError, UnknownModel
from hanok.gateway.attempts import Attempts, Clocks, Question
from hanok.gateway.deadline import Deadline
from hanok.gateway.prefixes import Prefixes
from hanok.gateway.slots import Slots
from hanok.gateway.trials import FollowedAnswer, Trial
from hanok.routing import fallbacks_for, kind_of
from hanok.serving.fleet import Endpoint, Fleet
from hanok.spec import Breaker, Fallbacks, Model, ModelType, Queue, Routing
from hanok.spec import Endpoint as EndpointSpec
from hanok.wire import Answer, ChatRequest, Chunk, Take, TaskRequest, TaskResult, pour

LOAD_WAIT_S = 60.0
Result = TypeVar("Result")
Affords = Callable[[ChatRequest | TaskRequest, str], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """How a declared model is reached: what it makes, how often to try again, what to try instead, how long to wait.

    `hedge_after_s` and `total_s` are seconds; None means never, and no limit. `by_features` where it depends on the
    call which endpoint is asked.
    """

    type: ModelType
    retries: int = 2
    fallbacks: Fallbacks = field(default_factory=Fallbacks)
    queue: Queue = field(default_factory=Queue)
    breaker: Breaker = field(default_factory=Breaker)
    hedge_after_s: float | None = None
    total_s: float | None = None
    routing: Routing = field(default_factory=Routing)
    by_features: bool = False
    prefill_tokens: int | None = None

    @classmethod
    def of(cls, model: Model) -> Self:
        """As the model is declared."""
        return cls(
            type=model.type,
            retries=model.retries,
            fallbacks=model.fallbacks,
            queue=model.queue,
            breaker=model.breaker,
            hedge_after_s=model.hedge.after_s if model.hedge else None,
            total_s=model.timeouts.total_s,
            routing=model.routing,
            by_features=_differ(model),
            prefill_tokens=model.routing.prefill_tokens if _has_pairs(model) else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One model's way to its endpoints: its route, its slots, and how it is asked."""

    route: Route
    slots: Slots
    attempts: Attempts


Ways = Mapping[str, Way]


class Routed:
    """A model path that ends at the fleet's endpoints. `weights` are the teams' shares of queues.

    A call keeps the ways that it began with: a change never takes away what it is about to do next.
    """

    def __init__(
        self,
        fleet: Fleet,
        routes: Mapping[str, Route],
        *,
        weights: Mapping[str, float] | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        load_wait_s: float = LOAD_WAIT_S,
    ) -> None:
        self._fleet = fleet
        self._clocks = Clocks(monotonic=monotonic, wall=wall, sleep=sleep, jitter=jitter)
        self._load_wait_s = load_wait_s
        self._ways: Ways = {}
        self.affords: Affords = _anything
        """Whether the caller's budgets pay for another model in the place of the one asked for."""
        self.change(routes, weights or {})

    def change(self, routes: Mapping[str, Route], weights: Mapping[str, float]) -> None:
        """Go on with other models; a model that stays keeps its queue.

        To be called after the fleet has changed: whoever waits is given a slot that there is now, or told that none
        will come.
        """
        old = self._ways
        self._ways = {name: self._way(name, route, weights) for name, route in routes.items()}
        for way in {**old, **self._ways}.values():
            way.slots.hand_out()

    def _way(self, name: str, route: Route, weights: Mapping[str, float]) -> Way:
        if known := self._ways.get(name):
            slots = known.slots
            slots.change(route.queue, weights)
        else:
            slots = Slots(self._fleet, name, queue=route.queue, weights=weights, monotonic=self._clocks.monotonic)
        slots.routing = route.routing
        slots.prefixes = self._prefixes(name, route, slots.prefixes, slots.endpoints)
        slots.prefill_prefixes = self._prefixes(name, route, slots.prefill_prefixes, slots.endpoints)
        attempts = Attempts(
            model=name,
            slots=slots,
            fleet=self._fleet,
            clocks=self._clocks,
            retries=route.retries,
            breaker=route.breaker,
            hedge_after_s=route.hedge_after_s,
            load_wait_s=self._load_wait_s,
            rules=tuple(route.routing.headers),
            by_features=route.by_features,
            prefill_tokens=route.prefill_tokens,
        )
        return Way(route=route, slots=slots, attempts=attempts)

    def _prefixes(
        self, name: str, route: Route, known: Prefixes | None, endpoints: Iterable[Endpoint]
    ) -> Prefixes | None:
        """What is known of a model's prompts goes on, as long as somebody asks for it."""
        if route.routing.policy != "prefix" or not route.by_features:
            return None
        known = known or Prefixes(name, routing=route.routing, monotonic=self._clocks.monotonic)
        known.routing = route.routing
        known.keep(endpoints)
        return known

    async def open(self, request: ChatRequest) -> Answer:
        ways = self._ways
        total_s = _route(ways, request.model, "chat").total_s
        question = _ChatQuestion(request)
        if total_s is None:
            endpoint, answer = await _ask(ways, request.model, question, self.affords)
            return _CountedAnswer(answer, endpoint, ways[endpoint.model].slots)
        deadline = Deadline(request.model, total_s)
        try:
            endpoint, answer = await deadline.within(lambda: _ask(ways, request.model, question, self.affords))
        except BaseException:
            deadline.stop()
            raise
        return _TimedAnswer(answer, endpoint, ways[endpoint.model].slots, deadline)

    async def perform(self, request: TaskRequest) -> TaskResult:
        ways = self._ways
        total_s = _route(ways, request.model, request.operation).total_s
        question = _TaskQuestion(request)
        if total_s is None:
            endpoint, result = await _ask(ways, request.model, question, self.affords)
        else:
            deadline = Deadline(request.model, total_s)
            try:
                endpoint, result = await deadline.within(lambda: _ask(ways, request.model, question, self.affords))
            finally:
                deadline.stop()
        ways[endpoint.model].slots.give_back(endpoint)
        return result

    def waiting(self) -> dict[str, int]:
        """How many calls wait for each model."""
        return {name: way.slots.waiting() for name, way in self._ways.items()}


def _differ(model: Model) -> bool:
    """Whether calls differ in where they may go, or rather go."""
    several = (len(model.serve) > 1 or model.scale is not None) and model.routing.policy != "least-busy"
    return several or bool(model.routing.headers) or any(_has_terms(endpoint) for endpoint in model.serve)


def _has_pairs(model: Model) -> bool:
    return any(endpoint.role == "prefill" for endpoint in model.serve)


def _has_terms(endpoint: EndpointSpec) -> bool:
    return bool(endpoint.weight == 0.0 or endpoint.tags or endpoint.teams or endpoint.role)


def _route(ways: Ways, model: str, kind: str) -> Route:
    way = ways.get(model)
    if way is None:
        raise UnknownModel(f"there is no model {model!r}", param="model", code="model_not_found")
    if way.route.type != kind:
        raise UnknownModel(f"the model {model!r} is for {way.route.type}", param="model", code="model_not_found")
    return way.route


async def _ask(ways: Ways, model: str, question: Question[Result], affords: Affords) -> tuple[Endpoint, Result]:
    """Ask the model, then its fallbacks. The slot on the endpoint that answered stays taken."""
    try:
        return await ways[model].attempts.answer(question)
    except EngineError as error:
        if kind_of(error) is None:
            raise
        failed = error
    return await _ask_another(ways, model, question, failed, affords)


async def _ask_another(
    ways: Ways, model: str, question: Question[Result], first: EngineError, affords: Affords
) -> tuple[Endpoint, Result]:
    """Ask the fallbacks for what went wrong, and theirs, each model once.

    When none answers, what went wrong with the model that was asked for says most.
    """
    asked: set[str] = {model}
    ahead: list[str] = []
    error = first
    while True:
        if (kind := kind_of(error)) is None:
            raise error
        ahead[:0] = fallbacks_for(ways[model].route.fallbacks, kind)
        ahead = [name for name in ahead if name not in asked and affords(question.request, name)]
        ahead = [name for name in ahead if ways[name].attempts.suits(question.request)]
        if not ahead:
            raise first
        model = ahead.pop(0)
        asked.add(model)
        try:
            return await ways[model].attempts.answer(question)
        except EngineError as failed:
            error = failed


def _anything(_request: ChatRequest | TaskRequest, _model: str) -> bool:
    return True


class _ChatQuestion:
    """A request for text, asked of endpoints."""

    __slots__ = ("hedged", "request", "team")

    def __init__(self, request: ChatRequest) -> None:
        self.request = request
        self.team = request.caller.team
        self.hedged = False

    def put(self, endpoint: Endpoint, instead: ChatRequest | None = None) -> Coroutine[Any, Any, Answer]:
        return endpoint.engine.open(instead or self.request)

    def drop(self, result: Answer) -> Awaitable[None]:
        return result.aclose()

    def follow(self, result: Answer, trial: Trial) -> Answer:
        return FollowedAnswer(result, trial)


class _TaskQuestion:
    """A request for a task, asked of endpoints."""

    __slots__ = ("hedged", "request", "team")

    def __init__(self, request: TaskRequest) -> None:
        self.request = request
        self.team = request.caller.team
        self.hedged = False

    def put(self, endpoint: Endpoint, instead: ChatRequest | None = None) -> Coroutine[Any, Any, TaskResult]:  # noqa: ARG002
        return endpoint.engine.perform(self.request)

    async def drop(self, result: TaskResult) -> None:
        """It holds nothing open."""

    def follow(self, result: TaskResult, trial: Trial) -> TaskResult:
        trial.over(result.usage)
        return result


class _CountedAnswer:
    """An answer that keeps its slot until it is closed."""

    __slots__ = ("_endpoint", "_inner", "_slots", "endpoint", "model")

    def __init__(self, inner: Answer, endpoint: Endpoint, slots: Slots) -> None:
        self._inner = inner
        self._endpoint: Endpoint | None = endpoint
        self._slots = slots
        self.model = inner.model
        self.endpoint = inner.endpoint

    def __aiter__(self) -> Self:
        return self

    def __anext__(self) -> Awaitable[Chunk]:
        return self._inner.__anext__()

    def pour(self, take: Take) -> Awaitable[bool]:
        return pour(self._inner, take)

    async def aclose(self) -> None:
        endpoint, self._endpoint = self._endpoint, None
        try:
            await self._inner.aclose()
        finally:
            if endpoint is not None:
                self._slots.give_back(endpoint)


class _TimedAnswer(_CountedAnswer):
    """An answer that must be over in time."""

    __slots__ = ("_deadline",)

    def __init__(self, inner: Answer, endpoint: Endpoint, slots: Slots, deadline: Deadline) -> None:
        super().__init__(inner, endpoint, slots)
        self._deadline = deadline

    def __anext__(self) -> Awaitable[Chunk]:
        return self._deadline.within(self._inner.__anext__)

    def pour(self, take: Take) -> Awaitable[bool]:
        return self._deadline.within(lambda: pour(self._inner, take))

    async def aclose(self) -> None:
        self._deadline.stop()
        await super().aclose()
