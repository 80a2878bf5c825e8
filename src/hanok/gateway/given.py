"""An answer as desks give it, whichever layer made it: what it is, and what is told about it in headers."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Protocol

from hanok.ledger import Hold, MeteredResult
from hanok.wire import Answer, ChatRequest, Kept, TaskRequest, Tier


class Given(Answer, Protocol):
    """An answer that was admitted and is charged.

    `kept` is what a cache of answers had to do with it, `tier` why this model was chosen, `hold` where the call stands
    with its accounts: each None where there is nothing to tell. `cost_nano_usd` is known when the answer is over.
    """

    @property
    def kept(self) -> Kept | None: ...

    @property
    def tier(self) -> Tier | None: ...

    @property
    def hold(self) -> Hold | None: ...

    @property
    def cost_nano_usd(self) -> int: ...


class Models(Protocol):
    """What gives the answers: models that are admitted and charged."""

    def open(self, request: ChatRequest) -> Coroutine[Any, Any, Given]: ...

    def perform(self, request: TaskRequest) -> Coroutine[Any, Any, MeteredResult]: ...
