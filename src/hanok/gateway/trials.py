"""One endpoint asked by one call, and what is learned from that: how soon it answers, what its cache holds now."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Self

from hanok.gateway.prefixes import Prefixes
from hanok.routing import Features
from hanok.serving.fleet import Endpoint
from hanok.wire import Answer, Chunk, Take, Usage, pour

FAILED_S = 10.0
"""What a failure counts for in the time that an endpoint takes to answer."""


class Trial:
    """Begun when the endpoint is asked. Where prompts count (`follows`) it lasts until the answer is over.

    `prefilled` when another endpoint has read the prompt.
    """

    __slots__ = ("_began", "_endpoint", "_features", "_monotonic", "_prefixes", "_ticket", "prefilled")

    def __init__(
        self, endpoint: Endpoint, features: Features, prefixes: Prefixes | None, monotonic: Callable[[], float]
    ) -> None:
        self._endpoint = endpoint
        self._features = features
        self._monotonic = monotonic
        self._prefixes = prefixes
        self._began = began = monotonic()
        self.prefilled = False
        prompt = features.prompt
        self._ticket = (
            None
            if prefixes is None or prompt is None
            else prefixes.sent(endpoint, prompt, began, stream=features.stream)
        )

    @property
    def follows(self) -> bool:
        return self._ticket is not None

    @property
    def new_tokens(self) -> float | None:
        """About how many tokens of the prompt the endpoint has to compute; None where nobody knows."""
        return None if self._ticket is None else self._ticket.tokens - self._ticket.cached

    def answered(self) -> None:
        """The answer has begun."""
        now = self._hear(0.0)
        if self._prefixes is None or self._ticket is None:
            return
        if self.prefilled:
            self._prefixes.passed(self._ticket, now)
        elif self._features.stream:
            self._prefixes.first_token(self._ticket, now)

    def failed(self, *, is_slow: bool) -> None:
        """It did not answer. Where that is the endpoint's fault it counts as slow, however fast it was in that."""
        if is_slow:
            self._hear(FAILED_S)
        self.over(None)

    def over(self, usage: Usage | None) -> None:
        """Nothing more comes. What is said twice counts once."""
        ticket, self._ticket = self._ticket, None
        if self._prefixes is not None and ticket is not None:
            self._prefixes.done(ticket, usage)

    def _hear(self, least_s: float) -> float:
        now = self._monotonic()
        self._endpoint.heard(max(now - self._began, least_s), stream=self._features.stream, at=now)
        return now


class FollowedAnswer:
    """An answer whose end tells its trial what was used."""

    __slots__ = ("_inner", "_trial", "_usage", "endpoint", "model")

    def __init__(self, inner: Answer, trial: Trial) -> None:
        self._inner = inner
        self._trial = trial
        self._usage: Usage | None = None
        self.model = inner.model
        self.endpoint = inner.endpoint

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Chunk:
        chunk = await self._inner.__anext__()
        self._see(chunk)
        return chunk

    def pour(self, take: Take) -> Awaitable[bool]:
        def pass_on(chunk: Chunk) -> bool:
            self._see(chunk)
            return take(chunk)

        return pour(self._inner, pass_on)

    def _see(self, chunk: Chunk) -> None:
        if chunk.usage is not None:
            self._usage = chunk.usage

    async def aclose(self) -> None:
        try:
            await self._inner.aclose()
        finally:
            self._trial.over(self._usage)
