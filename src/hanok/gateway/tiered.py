"""The layer that picks a model for callers who leave the choice to us: it finds the request's tier and asks its model.

It stands above admission, so everything below sees a call to the model that was picked: its price, its budgets, its
endpoints. A call that names a model passes with one look-up.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Coroutine, Sequence
from typing import Any

import msgspec

from hanok.errors import BudgetExceeded
from hanok.gateway.sorter import Failed, Sorter
from hanok.ledger import Metered, MeteredAnswer, MeteredResult
from hanok.routing.tiers import TIERS, higher
from hanok.spec import Auto, Model, TierName
from hanok.telemetry import Trace
from hanok.wire import Caller, ChatRequest, TaskRequest, Tier

SESSIONS = 10_000
"""Sessions whose tier is remembered; those silent for the longest are forgotten first."""
LEARN_AGAIN_S = 5.0
_log = logging.getLogger(__name__)
_Session = tuple[str, str, str]
"""A declared name, the tenant, the session."""


class Tiered:
    """Picks models by tier. `failed` is told of classifiers that fail; `learn` has to run beside calls."""

    def __init__(self, inner: Metered, *, failed: Failed) -> None:
        self.inner = inner
        self._failed = failed
        self._sorters: dict[str, Sorter] = {}
        self._models: dict[str, Model] = {}
        self._floors: OrderedDict[_Session, TierName] = OrderedDict()
        self._changed = asyncio.Event()

    def change(self, autos: Sequence[Auto], models: Sequence[Model], trace: Trace) -> None:
        """Go on with these names. One that stays as it is, and its classifier's model, keeps what it has learnt."""
        declared = {model.name: model for model in models}
        sorters: dict[str, Sorter] = {}
        for auto in autos:
            sorter = self._sorters.get(auto.name)
            used = auto.classifier_model or ""
            if sorter is None or sorter.auto != auto or self._models.get(used) != declared.get(used):
                sorter = Sorter(auto, self.inner, failed=self._failed)
            sorter.trace = trace
            sorters[auto.name] = sorter
        self._sorters, self._models = sorters, declared
        self._changed.set()

    def open(self, request: ChatRequest) -> Coroutine[Any, Any, MeteredAnswer]:
        """Raises as `Metered.open` does."""
        sorter = self._sorters.get(request.model)
        return self.inner.open(request) if sorter is None else self._open(sorter, request)

    def perform(self, request: TaskRequest) -> Coroutine[Any, Any, MeteredResult]:
        """Tasks name their model."""
        return self.inner.perform(request)

    async def learn(self) -> None:
        """Have the examples' vectors made, as soon as it can be done. Runs until it is cancelled."""
        while True:
            self._changed.clear()
            done = [await _learn(sorter) for sorter in self._sorters.values() if not sorter.is_ready]
            try:
                async with asyncio.timeout(None if all(done) else LEARN_AGAIN_S):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def _open(self, sorter: Sorter, request: ChatRequest) -> MeteredAnswer:
        """Ask the tier's model; where the budget does not pay for it, that of the next lower tier."""
        auto = sorter.auto
        verdict = await sorter.judge(request)
        sticks = auto.sticky and not request.options.batch
        tier = self._stick(auto, request.caller, verdict.tier) if sticks else verdict.tier
        about = Tier(
            asked=auto.name,
            name=tier,
            classifier=verdict.classifier,
            compared_to=auto.compared_to or auto.complex,
        )
        refused: BudgetExceeded | None = None
        for model in models_from(auto, tier):
            try:
                return await self.inner.open(msgspec.structs.replace(request, model=model, tier=about))
            except BudgetExceeded as error:
                refused = refused or error
        assert refused is not None
        raise refused

    def _stick(self, auto: Auto, caller: Caller, tier: TierName) -> TierName:
        """Not below what an earlier call of the session was given."""
        if caller.session is None:
            return tier
        session = (auto.name, caller.tenant, caller.session)
        floors = self._floors
        tier = floors[session] = higher(tier, floors.get(session, tier))
        floors.move_to_end(session)
        if len(floors) > SESSIONS:
            floors.popitem(last=False)
        return tier


def models_from(auto: Auto, tier: TierName) -> list[str]:
    """The tier's model, then those of lower tiers, each once."""
    below = TIERS[: TIERS.index(tier) + 1]
    return list(dict.fromkeys(auto.model_of(each) for each in reversed(below)))


async def _learn(sorter: Sorter) -> bool:
    try:
        await sorter.learn()
    except Exception as error:  # noqa: BLE001 - the rules decide meanwhile
        _log.warning("the examples of %s have no vectors yet: %s", sorter.auto.name, error)
        return False
    return True
