"""A trace replayed against replicas that a rule adds and removes: what would have been, in simulated time.

Events in their order: a call comes, a prompt is read, an answer ends, a replica is up, a decision is due. Calls go to
the replica with the fewest, as under Hanok's `least-busy`; where none is up, or each has `max_in_flight`, they wait in
the pool's own queue and are taken as soon as one may. Pure: no clock, no randomness.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Callable, Sequence
from itertools import count

from hanok.autoscaling.decide import Demand, Past, decide
from hanok.autoscaling.rule import Rule
from hanok.autoscaling.simulation.hardware import Hardware
from hanok.autoscaling.simulation.outcome import Moment, Outcome
from hanok.autoscaling.simulation.replica import Asked, Replica
from hanok.autoscaling.trace import Call
from hanok.errors import PlanError

TOLD_EVERY = 500
_FROM_THE_START = -1.0


def simulate(
    calls: Sequence[Call],
    *,
    hardware: Hardware,
    rule: Rule,
    title: str = "",
    start_s: float | None = None,
    max_in_flight: int | None = None,
    progress: Callable[[int], None] = lambda _done: None,
) -> Outcome:
    """Replay the calls. `start_s` is until an added replica answers, in the place of what the hardware takes.

    `progress` is told now and then how many calls have come. Raises `PlanError` where no call fits into an engine.
    """
    longest = min(hardware.context_tokens, hardware.kv_tokens)
    fitting = [call for call in calls if call.tokens <= longest]
    if not fitting:
        shortest = min(call.tokens for call in calls)
        raise PlanError(
            f"every call is longer than the engine takes: {longest:,} tokens, and the shortest has {shortest:,}",
            hint="raise `deploy.context_tokens`, so that a machine is planned that has room for such calls",
        )
    pool = _Pool(hardware, rule, start_s, max_in_flight or math.inf)
    pool.replay(fitting, progress)
    return pool.outcome(title, left_out=len(calls) - len(fitting))


class _Pool:
    """The replicas of one model, those who wait for one, and what was seen."""

    def __init__(self, hardware: Hardware, rule: Rule, start_s: float | None, max_in_flight: float) -> None:
        self._hardware = hardware
        self._rule = rule
        self._start_s = start_s
        self._max_in_flight = max_in_flight
        self._now = 0.0
        self._past = Past()
        self._replicas: list[Replica] = []
        """All that are asked for, up or starting; those that drain are apart."""
        self._draining: list[Replica] = []
        self._queue: deque[Asked] = deque()
        self._events: list[tuple[float, int, int, Replica]] = []
        self._order = count()
        self._ended: list[Asked] = []
        self._moments: list[Moment] = []
        self._since_s = 0.0
        self._replica_s = self._node_s = 0.0
        self._most = self._changes = 0
        for _ in range(rule.fewest):
            self._add(up_at_s=_FROM_THE_START)

    def replay(self, calls: Sequence[Call], progress: Callable[[int], None]) -> None:
        due = 0.0
        for number, call in enumerate(calls):
            while due <= call.at_s:
                due = self._decide(due)
            self._until(call.at_s)
            self._come(Asked(call))
            if number % TOLD_EVERY == 0:
                progress(number)
        while len(self._ended) < len(calls):
            soonest = self._events[0][0] if self._events else math.inf
            if due <= soonest:
                due = self._decide(due)
            else:
                self._until(soonest)
        self._account()

    def outcome(self, title: str, *, left_out: int) -> Outcome:
        ended, hardware = self._ended, self._hardware
        return Outcome(
            title=title,
            calls=len(ended),
            left_out=left_out,
            prompt_tokens=sum(each.call.prompt for each in ended),
            output_tokens=sum(each.call.output for each in ended),
            ttfts=sorted(each.first_s - each.call.at_s for each in ended),
            waits=sorted(each.begun_s - each.call.at_s for each in ended),
            firsts=sorted((each.call.at_s, each.first_s - each.call.at_s) for each in ended),
            moments=self._moments,
            lasted_s=self._now,
            replica_s=self._replica_s,
            node_s=self._node_s,
            gpus=hardware.gpus,
            most=self._most,
            changes=self._changes,
            usd_hour=hardware.usd_hour,
            spot_usd_hour=hardware.spot_usd_hour,
        )

    def _until(self, moment: float) -> None:
        """Let everything happen that happens before or at a moment."""
        while self._events and self._events[0][0] <= moment:
            at_s, _, version, replica = heapq.heappop(self._events)
            if version in (replica.version, _UP):
                self._now = at_s
                self._note(replica.advance(at_s), replica)
        self._now = moment

    def _come(self, asked: Asked) -> None:
        self._queue.append(asked)
        self._hand_out()

    def _note(self, ended: list[Asked], replica: Replica) -> None:
        """What a replica has done: those it drained for are gone, those who wait may come."""
        self._ended += ended
        self._foresee(replica)
        if not replica.draining:
            self._hand_out()
        elif not replica.in_flight and replica in self._draining:
            self._account()
            self._draining.remove(replica)

    def _hand_out(self) -> None:
        while self._queue and (replica := self._pick()) is not None:
            self._ended += replica.take(self._queue.popleft(), self._now)
            self._foresee(replica)

    def _pick(self) -> Replica | None:
        least, found = self._max_in_flight, None
        for each in self._replicas:
            if each.up_at_s <= self._now and each.in_flight < least:
                least, found = each.in_flight, each
        return found

    def _foresee(self, replica: Replica) -> None:
        if (at_s := replica.next_s) < math.inf:
            heapq.heappush(self._events, (at_s, next(self._order), replica.version, replica))

    def _decide(self, now: float) -> float:
        """One decision. Gives when the next is due."""
        self._until(now)
        before = len(self._replicas)
        self._see()
        decision = decide(self._demand(), replicas=before, past=self._past, rule=self._rule, now=now)
        self._past = decision.past
        self._changes += decision.replicas != before
        for _ in range(before, decision.replicas):
            self._add(up_at_s=now + self._starting_s())
        for _ in range(decision.replicas, before):
            self._remove()
        return now + self._rule.every_s

    def _demand(self) -> Demand:
        """What a monitor tells of the replicas: those that are up."""
        return Demand(
            running=sum(each.running for each in self._replicas),
            waiting=len(self._queue) + sum(each.waiting for each in self._replicas),
            kv_cache=sum(each.kv_share for each in self._replicas),
        )

    def _see(self) -> None:
        for replica in self._replicas:
            self._ended += replica.advance(self._now)
        up = [each for each in self._replicas if each.up_at_s <= self._now]
        demand = self._demand()
        self._moments.append(
            Moment(
                at_s=self._now,
                replicas=len(self._replicas),
                up=len(up),
                running=int(demand.running or 0),
                waiting=int(demand.waiting or 0),
                kv_share=(demand.kv_cache or 0.0) / len(up) if up else 0.0,
            )
        )

    def _starting_s(self) -> float:
        """Of one replica more: a node, where those there are full, and the engine."""
        if self._start_s is not None:
            return self._start_s
        there = len(self._replicas) + len(self._draining)
        new_node = self._hardware.nodes(there + 1) > self._hardware.nodes(there)
        return self._hardware.load_s + (self._hardware.node_start_s if new_node else 0.0)

    def _add(self, *, up_at_s: float) -> None:
        self._account()
        replica = Replica(self._hardware, up_at_s=up_at_s, number=next(self._order))
        self._replicas.append(replica)
        self._most = max(self._most, len(self._replicas))
        heapq.heappush(self._events, (max(0.0, up_at_s), next(self._order), _UP, replica))

    def _remove(self) -> None:
        """Whoever is not up yet goes first, then the youngest, which drains: a ReplicaSet chooses so, too."""
        self._account()
        replica = max(self._replicas, key=lambda each: (each.up_at_s > self._now, each.number))
        self._replicas.remove(replica)
        replica.draining = True
        if replica.in_flight:
            self._draining.append(replica)

    def _account(self) -> None:
        there = len(self._replicas) + len(self._draining)
        passed = self._now - self._since_s
        self._replica_s += there * passed
        self._node_s += self._hardware.nodes(there) * passed
        self._since_s = self._now


_UP = -1
"""In the place of a replica's version: it has come up."""
