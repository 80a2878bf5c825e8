"""The layer that finds an endpoint: pick, ask, and on failure before the first byte ask another.

Retry and fallback live in this one loop. Once an answer has begun it is never replaced.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self, TypeVar

from hanok.errors import EngineError, EngineTimeout, EngineUnreachable, NoEndpoint, UnknownModel
from hanok.routing import backoff_s, order_of_models, pick_least_busy
from hanok.serving.fleet import Endpoint, Fleet
from hanok.wire import Answer, ChatRequest, Chunk, EmbeddingRequest, Embeddings

LOAD_WAIT_S = 60.0
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """How a declared model is reached: what it makes, how often to try again, what to try instead."""

    type: Literal["chat", "embedding"]
    retries: int
    fallbacks: tuple[str, ...]


class Routed:
    """A model path that ends at the fleet's endpoints."""

    def __init__(
        self,
        fleet: Fleet,
        routes: Mapping[str, Route],
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = lambda: random.uniform(0.5, 1.0),  # noqa: S311 - spreads retries, guards nothing
        load_wait_s: float = LOAD_WAIT_S,
    ) -> None:
        self._fleet = fleet
        self._routes = routes
        self._orders = {name: order_of_models({n: r.fallbacks for n, r in routes.items()}, name) for name in routes}
        self._sleep = sleep
        self._jitter = jitter
        self._load_wait_s = load_wait_s
        self._turn = 0

    async def open(self, request: ChatRequest) -> Answer:
        def ask(endpoint: Endpoint) -> Coroutine[Any, Any, Answer]:
            return endpoint.engine.open(request)

        endpoint, answer = await self._first_that_answers(request.model, "chat", ask)
        return _CountedAnswer(answer, endpoint)

    async def embed(self, request: EmbeddingRequest) -> Embeddings:
        def ask(endpoint: Endpoint) -> Coroutine[Any, Any, Embeddings]:
            return endpoint.engine.embed(request)

        endpoint, embeddings = await self._first_that_answers(request.model, "embedding", ask)
        endpoint.in_flight -= 1
        return embeddings

    async def _first_that_answers(
        self, model: str, kind: str, ask: Callable[[Endpoint], Coroutine[Any, Any, Result]]
    ) -> tuple[Endpoint, Result]:
        """Try the model, then its fallbacks. The endpoint that answered stays counted as busy."""
        route = self._routes.get(model)
        if route is None:
            raise UnknownModel(f"there is no model {model!r}", param="model", code="model_not_found")
        if route.type != kind:
            raise UnknownModel(f"the model {model!r} is for {route.type}", param="model", code="model_not_found")
        error: EngineError | None = None
        for name in self._orders[model]:
            try:
                return await self._try_model(name, self._routes[name].retries, ask)
            except EngineError as failed:
                if not failed.retryable:
                    raise
                error = error or failed  # what went wrong with the model that was asked for says most
        assert error is not None
        raise error

    async def _try_model(
        self, model: str, retries: int, ask: Callable[[Endpoint], Coroutine[Any, Any, Result]]
    ) -> tuple[Endpoint, Result]:
        endpoints = self._fleet.of(model)
        if not any(each.state in ("up", "down") for each in endpoints):
            await self._wait_until_loaded(model, endpoints)
        tried: list[Endpoint] = []
        error: EngineError | None = None
        for attempt in range(retries + 1):
            self._turn += 1
            endpoint = pick_least_busy(endpoints, tried=tried, turn=self._turn)
            if endpoint is None:
                if error is None or isinstance(error, EngineTimeout):
                    break
                await self._sleep(backoff_s(attempt - 1, jitter=self._jitter()))
                tried.clear()
                endpoint = pick_least_busy(endpoints, tried=tried, turn=self._turn)
                if endpoint is None:
                    break
            tried.append(endpoint)
            endpoint.in_flight += 1
            try:
                return endpoint, await ask(endpoint)
            except EngineError as failed:
                endpoint.in_flight -= 1
                if isinstance(failed, EngineUnreachable) and endpoint.state == "up":
                    self._fleet.mark(endpoint, "down", failed.message)
                if not failed.retryable:
                    raise
                error = failed
            except BaseException:
                endpoint.in_flight -= 1
                raise
        raise error or _no_endpoint(model, endpoints)

    async def _wait_until_loaded(self, model: str, endpoints: list[Endpoint]) -> None:
        """A model that is still loading is worth waiting for; one that failed is not."""
        if any(each.state == "starting" for each in endpoints):
            try:
                async with asyncio.timeout(self._load_wait_s):
                    await self._fleet.wait_started([model])
            except TimeoutError:
                raise NoEndpoint(f"the model {model!r} is still loading", hint="try again in a few seconds") from None


def _no_endpoint(model: str, endpoints: list[Endpoint]) -> NoEndpoint:
    reasons = "; ".join(f"{each.name} {each.state}: {each.reason}" for each in endpoints if each.reason)
    return NoEndpoint(f"no endpoint of the model {model!r} can answer" + (f" ({reasons})" if reasons else ""))


class _CountedAnswer:
    """An answer that keeps its endpoint counted as busy until it is closed."""

    __slots__ = ("_endpoint", "_inner", "endpoint", "model")

    def __init__(self, inner: Answer, endpoint: Endpoint) -> None:
        self._inner = inner
        self._endpoint: Endpoint | None = endpoint
        self.model = inner.model
        self.endpoint = inner.endpoint

    def __aiter__(self) -> Self:
        return self

    def __anext__(self) -> Awaitable[Chunk]:
        return self._inner.__anext__()

    async def aclose(self) -> None:
        if self._endpoint is not None:
            self._endpoint.in_flight -= 1
            self._endpoint = None
        await self._inner.aclose()
