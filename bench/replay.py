"""A trace, replayed against simulated engines under one policy."""

from __future__ import annotations

import csv
import heapq
import json
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path

from anchors import Policy, Seen
from simulated import GROUP_TOKENS, Engine, Hardware, Request, hit_rate


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a policy achieved: seconds to the first token, and the share of prompt tokens found in caches."""

    ttft_mean_s: float
    ttft_p50_s: float
    ttft_p90_s: float
    ttft_p99_s: float
    hit_rate: float
    preempted: int


def read_trace(path: Path) -> list[Request]:
    """The requests of a Mooncake trace (JSON lines), or of an Azure trace (CSV; no prompt shares anything there)."""
    with path.open(encoding="utf-8") as lines:
        if path.suffix == ".csv":
            return _read_azure(csv.DictReader(lines))
        rows = [json.loads(line) for line in lines if line.strip()]
    return [
        Request(
            number, row["timestamp"] / 1000, row["input_length"], row["output_length"], tuple(map(int, row["hash_ids"]))
        )
        for number, row in enumerate(rows)
    ]


def _read_azure(rows: csv.DictReader[str]) -> list[Request]:
    requests: list[Request] = []
    first: datetime | None = None
    for number, row in enumerate(rows):
        when = datetime.fromisoformat(row["TIMESTAMP"][:26])
        first = first or when
        tokens = int(row["ContextTokens"])
        hashes = tuple(number * 1000 + each for each in range(-(-max(1, tokens) // GROUP_TOKENS)))
        requests.append(Request(number, (when - first).total_seconds(), tokens, int(row["GeneratedTokens"]), hashes))
    return requests


def scaled(requests: Sequence[Request], load: float, seed: int, most_tokens: int) -> list[Request]:
    """The same requests in `load` times the trace's rate, each with its own bytes a token; those too long left out.

    The trace's clock ticks in steps of some seconds: within a step requests are spread evenly at random, by the seed.
    """
    rng = random.Random(seed)
    ticks = sorted({each.at for each in requests})
    gap = min((after - before for before, after in pairwise(ticks)), default=0.0)
    spread = gap if len(ticks) < len(requests) / 2 else 0.0
    chosen: list[Request] = []
    for each in requests:
        if each.tokens + each.outputs > most_tokens:
            continue
        copy = Request(each.number, (each.at + rng.random() * spread) / load, each.tokens, each.outputs, each.hashes)
        copy.bytes_a_token = 4.2 * math.exp(rng.gauss(0.0, 0.12))
        chosen.append(copy)
    chosen.sort(key=lambda request: request.at)
    return chosen


def replay(
    requests: Sequence[Request],
    make: Callable[[Sequence[Seen], int], Policy],
    *,
    hardware: Hardware,
    engines: int,
    seed: int,
    progress: Callable[[int], None] = lambda _done: None,
) -> Outcome:
    """Send every request where the policy says, and see what comes of it."""
    fleet = [Engine(hardware) for _ in range(engines)]
    seen = [Seen(each) for each in fleet]
    policy = make(seen, seed)
    where: dict[int, int] = {}
    firsts: dict[int, float] = {}
    events: list[tuple[float, int]] = []

    def run_until(limit: float) -> None:
        while events and events[0][0] <= limit:
            now, index = heapq.heappop(events)
            engine = fleet[index]
            if engine.ends_at_s != now:
                continue  # the step was shortened since
            for what, request in engine.finish(now):
                if what == "first":
                    firsts[request.number] = now - request.at
                    policy.first(index, request, now)
                else:
                    policy.done(index, request, now)
            seen[index].note(now)
            if engine.ends_at_s < math.inf:
                heapq.heappush(events, (engine.ends_at_s, index))

    for count, request in enumerate(requests):
        run_until(request.at)
        index = policy.choose(request, request.at)
        policy.sent(index, request, request.at)
        engine = fleet[index]
        before = engine.ends_at_s
        engine.arrive(request, request.at)
        seen[index].note(request.at)
        if engine.ends_at_s != before:
            heapq.heappush(events, (engine.ends_at_s, index))
        where[request.number] = index
        if count % 500 == 0:
            progress(count)
    run_until(math.inf)
    if len(firsts) != len(requests):
        raise RuntimeError(f"{len(requests) - len(firsts)} requests were never answered: the simulator is wrong")
    return _outcome(list(firsts.values()), fleet)


def _outcome(waits: list[float], fleet: Sequence[Engine]) -> Outcome:
    waits.sort()
    return Outcome(
        ttft_mean_s=sum(waits) / len(waits),
        ttft_p50_s=waits[len(waits) // 2],
        ttft_p90_s=waits[int(len(waits) * 0.9)],
        ttft_p99_s=waits[int(len(waits) * 0.99)],
        hit_rate=hit_rate(fleet),
        preempted=sum(each.preempted for each in fleet),
    )
