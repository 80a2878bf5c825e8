"""Hanok's own policy in the simulator, with what a gateway knows."""
from collections.abc import Sequence
from anchors import Policy, Seen
from hanok.routing.router import Prompt, PrefixRouter
from simulated import GROUP_TOKENS, Request

class Hanok(Policy):
    name = "hanok"
    def __init__(self, engines: Sequence[Seen], seed: int) -> None:
        super().__init__(engines, seed)
        self.router = PrefixRouter(block_bytes=int(GROUP_TOKENS*4.2))
        self.keys = list(self.range)
        for i, e in enumerate(engines):
            self.router.resize(i, e.engine.cache.blocks*16)
        self.tickets = {}
        self.p = None
    def choose(self, request, now):
        self.p = Prompt(request.hashes, int(request.tokens*request.bytes_a_token))
        # ties
        k = self.random.randrange(len(self.keys))
        return self.router.choose(self.keys[k:]+self.keys[:k], self.p, now)
    def sent(self, index, request, now):
        self.tickets[request.number] = self.router.sent(index, self.p, now)
    def first(self, index, request, now):
        self.router.first_token(self.tickets[request.number], now)
    def done(self, index, request, now):
        self.router.done(self.tickets.pop(request.number), now, request.tokens, request.outputs)
