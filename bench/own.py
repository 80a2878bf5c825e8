"""Hanok's own policy in the simulator, with what a gateway knows and no more.

Prompts' sizes in bytes, with as many bytes a token as each happens to have; first tokens and ends of its own calls;
usage when they end; the engines' metrics, scraped once a second; the size of their caches. No token counts in advance,
no events, no constants of the hardware.
"""

# ruff: noqa: ARG002 – a policy looks at what it needs of what it is told

from __future__ import annotations

import math
from collections.abc import Sequence

from anchors import Policy, Seen
from hanok.routing.router import PrefixRouter, Prompt, Ticket
from simulated import BLOCK, GROUP_TOKENS, Request

SCRAPED_EVERY_S = 1.0
BYTES_A_TOKEN = 4.2


class Hanok(Policy):
    name = "hanok"

    def __init__(self, engines: Sequence[Seen], seed: int) -> None:
        super().__init__(engines, seed)
        self.router: PrefixRouter[int] = PrefixRouter(block_bytes=int(GROUP_TOKENS * BYTES_A_TOKEN))
        for index, each in enumerate(engines):
            self.router.resize(index, each.engine.cache.blocks * BLOCK)
        self.tickets: dict[int, Ticket] = {}
        self.scraped_at = -1.0

    def choose(self, request: Request, now: float) -> int:
        self._scrape(now)
        return self.router.choose(self.range, self._read(request), now)

    def sent(self, index: int, request: Request, now: float) -> None:
        super().sent(index, request, now)
        self.tickets[request.number] = self.router.sent(index, self._read(request), now)

    def first(self, index: int, request: Request, now: float) -> None:
        self.router.first_token(self.tickets[request.number], now)

    def done(self, index: int, request: Request, now: float) -> None:
        super().done(index, request, now)
        ticket = self.tickets.pop(request.number)
        self.router.done(ticket, now, tokens_in=request.tokens, tokens_out=request.outputs)

    def _read(self, request: Request) -> Prompt:
        return Prompt(blocks=request.hashes, size=int(request.tokens * request.bytes_a_token))

    def _scrape(self, now: float) -> None:
        tick = math.floor(now / SCRAPED_EVERY_S) * SCRAPED_EVERY_S
        if tick > self.scraped_at:
            self.scraped_at = tick
            for index, each in enumerate(self.engines):
                waiting, _, usage = each.at(tick, SCRAPED_EVERY_S)
                self.router.observe(index, waiting=waiting, kv_usage=usage)
