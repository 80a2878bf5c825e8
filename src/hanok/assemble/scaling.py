"""Replicas of engines on this machine, as many as their load wants: `autoscaling.decide` asked, and obeyed.

A model without a replica has one started as soon as a call waits; else decisions come every `every_s` seconds. What is
added and removed goes the way of every change of the platform, so that calls end before their engine does.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec

from hanok.assemble.house import House
from hanok.autoscaling import Decision, Demand, Past, Rule, decide
from hanok.errors import StartError
from hanok.serving import Endpoint
from hanok.serving.roster import scaled_place
from hanok.spec import STARTED, Loaded

LONGEST_LOOK_S = 60.0
START_AGAIN_S = 15.0
"""When an engine that could not be started is tried again, where a decision would be later."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class _Model:
    """What is remembered of one model until the next decision."""

    rule: Rule
    due: float
    past: Past
    calls: int = 0
    """That its replicas have been given until then."""


class Scaling:
    """Decides for every scaled model. `scale` is told new numbers of replicas; it may raise `StartError`."""

    def __init__(
        self, house: House, *, scale: Callable[[Mapping[str, int]], Awaitable[None]], monotonic: Callable[[], float]
    ) -> None:
        self._house = house
        self._scale = scale
        self._monotonic = monotonic
        self._models: dict[str, _Model] = {}

    async def live(self) -> None:
        """For ever: decide when it is time, or when a call waits for a model that is asleep."""
        while True:
            self._follow()
            if changes := self._decide_due():
                await self._change(changes)
                continue  # what came meanwhile was not listened to
            soonest = min((each.due for each in self._models.values()), default=None)
            left_s = LONGEST_LOOK_S if soonest is None else max(0.0, soonest - self._monotonic())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left_s):
                    await self._house.fleet.changed()

    def _follow(self) -> None:
        """Take up rules as they are declared now; what was seen under another rule still counts."""
        replicas = self._house.fleet.replicas
        declared = {
            model.name: Rule.of(model.scale)
            for model in self._house.loaded.platform.models
            if model.scale is not None and model.name in replicas
        }
        now, known = self._monotonic(), self._models
        self._models = {
            name: known[name]
            if name in known and known[name].rule == rule
            else replace(known.get(name, _Model(rule=rule, due=now, past=Past(active_at=now))), rule=rule, due=now)
            for name, rule in declared.items()
        }

    def _decide_due(self) -> dict[str, Decision]:
        """Decide for those whose time it is. Gives the decisions that change something."""
        now, fleet = self._monotonic(), self._house.fleet
        waiting = self._house.routed.waiting()
        changes: dict[str, Decision] = {}
        for name, model in self._models.items():
            count = fleet.replicas[name].count
            asked = fleet.asking.get(name, 0)
            if now < model.due and not (asked and fleet.is_asleep(name)):
                continue
            demand = demand_of(fleet.of(name), waiting=waiting.get(name, 0) + asked)
            calls = sum(each.calls for each in fleet.of(name))
            past = replace(model.past, active_at=now) if _is_busy(fleet.of(name), model, calls) else model.past
            decision = decide(demand, replicas=count, past=past, rule=model.rule, now=now)
            self._models[name] = replace(model, due=now + model.rule.every_s, past=decision.past, calls=calls)
            if decision.replicas != count:
                changes[name] = decision
            fleet.note(name, msgspec.structs.replace(fleet.replicas[name], because=decision.because, stuck=False))
        return changes

    async def _change(self, changes: Mapping[str, Decision]) -> None:
        """Each model by itself: that the engine of one cannot be started is no fault of the others."""
        for name, decision in changes.items():
            if (known := self._house.fleet.replicas.get(name)) is None:
                continue  # another platform was taken up meanwhile
            _log.info("%s: %d → %d replicas: %s", name, known.count, decision.replicas, decision.because)
            try:
                await self._scale({name: decision.replicas})
            except StartError as error:
                self._note_stuck(name, error)

    def _note_stuck(self, name: str, error: StartError) -> None:
        _log.error("the number of replicas of %s cannot be changed: %s", name, error)
        fleet = self._house.fleet
        if known := fleet.replicas.get(name):
            soon = self._monotonic() + START_AGAIN_S
            self._models[name] = replace(self._models[name], due=min(self._models[name].due, soon))
            fleet.note(name, msgspec.structs.replace(known, because=error.message, stuck=True))


def _is_busy(endpoints: Sequence[Endpoint], model: _Model, calls: int) -> bool:
    """Whether there was something to do since the last look, be it done already; or nothing could be done yet, because
    the engine loads: who asked may have gone meanwhile, and comes again."""
    loads = bool(endpoints) and all(each.state == "starting" for each in endpoints)
    return loads or calls != model.calls


def demand_of(endpoints: Iterable[Endpoint], *, waiting: int) -> Demand:
    """What the replicas have to do, as their engines tell, and calls that wait before them.

    Calls that came since an engine was looked at are counted as running. An engine that tells of its calls but not of
    its cache wants nothing for it; of one that tells nothing yet, the cache is not known.
    """
    replicas = [each for each in endpoints if each.kind in STARTED]
    loads = [(each.in_flight, each.load) for each in replicas]
    queued = sum(load.waiting for _, load in loads if load)
    running = sum(max(load.running, in_flight - load.waiting) if load else in_flight for in_flight, load in loads)
    up = [each.load for each in replicas if each.state == "up"]
    unknown = any(load is None for load in up)
    kept = sum(load.kv_usage or 0.0 for load in up if load)
    return Demand(running=running, waiting=queued + waiting, kv_cache=None if unknown else kept)


def refuse_scaled(loaded: Loaded) -> None:
    """With several workers nobody sees all calls of a model and starts its engines. Raises `StartError`."""
    for model in loaded.platform.models:
        if scaled_place(model) is not None:
            message = f"the model {model.name!r} has `scale`, and with several workers nobody adds replicas"
            raise StartError(message, hint="write `gateway: {workers: 1}`, or take `scale` out")
