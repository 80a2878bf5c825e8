"""One model's prompts and its endpoints' prompt caches: policy `prefix`, fed by the calls that pass.

The core (`routing.router`) knows prompts as hashes of their blocks and endpoints as keys. Here is what it takes to keep
it true: which bytes of a call are its prompt, what an engine says of its cache and its load, that one has begun anew,
how soon the first token came and how many tokens there were. A prompt is hashed once a call, and only for models of
this policy. Of an unstreamed answer nobody sees the first token: it is taken to come when it was expected.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from heapq import heapify, heappop, heappush

import msgspec

from hanok.routing.features import Features
from hanok.routing.policies import least_busy, session
from hanok.routing.router import PrefixRouter, Prompt, Ticket
from hanok.serving.fleet import Endpoint, Load
from hanok.spec import Routing
from hanok.wire import ChatRequest, Usage
from hanok.wire.chat import text_bytes

LONGEST_BYTES = 4 * 1024 * 1024
"""So much of a prompt is hashed: about a million tokens, in some milliseconds."""
LARGE_BYTES = 64 * 1024
"""From this size on a prompt is looked through for images."""
_PARTS = ("tools", "messages", "prompt")
"""In the order in which chat templates put them in front of a model."""
_Seen = tuple[int, Load | None, Routing]
_FEW = 64


class Prefixes:
    """What the endpoints of one model should have in their prompt caches, and what is on its way to them.

    `routing` may be exchanged; it holds from the next call on.
    """

    def __init__(self, model: str, *, routing: Routing, monotonic: Callable[[], float]) -> None:
        self.routing = routing
        self._monotonic = monotonic
        self._router: PrefixRouter[Endpoint] = PrefixRouter(model)
        self._seen: dict[Endpoint, _Seen] = {}
        self._expected: list[tuple[float, int, Ticket]] = []
        """A heap of when first tokens should have come that nobody sees; the number makes ties orderly."""
        self._number = 0
        self._many = _FEW
        """From this length on the heap is cleared of calls that are over."""

    def prompt(self, request: ChatRequest) -> Prompt:
        """The prompt of a request, as the core knows prompts."""
        fields = request.fields
        parts = [memoryview(fields[name]) for name in _PARTS if name in fields]
        salt = fields.get("cache_salt")
        raw = (parts[0] if len(parts) == 1 else memoryview(b"".join(parts)))[:LONGEST_BYTES]
        prompt = self._router.read(raw, salt="" if salt is None else bytes(salt).decode("utf-8", "replace"))
        if len(raw) < LARGE_BYTES:
            return prompt
        return msgspec.structs.replace(
            prompt, size=text_bytes(bytes(raw))
        )  # an image's bytes say nothing of its tokens

    def choose(self, room: Sequence[Endpoint], features: Features, turn: int) -> Endpoint:
        """Who should answer soonest. A prompt too short to tell goes by its session, where the caller names one."""
        prompt = features.prompt
        if prompt is None or not prompt.blocks:
            return (session if features.named else least_busy)(room, features, turn, self.routing)
        for endpoint in room:
            self._look(endpoint)
        now = self._monotonic()
        self._pass_expected(now)
        return self._router.choose(room, prompt, now)

    def _pass_expected(self, now: float) -> None:
        """First tokens that nobody sees, and that should have come by now, have come."""
        while self._expected and self._expected[0][0] <= now:
            self._router.passed(heappop(self._expected)[2], now)

    def wait_s(self, endpoint: Endpoint) -> float:
        """Seconds until all that was sent there should have its first token."""
        return self._router.wait_s(endpoint, self._monotonic())

    def sent(self, endpoint: Endpoint, prompt: Prompt, now: float, *, stream: bool) -> Ticket:
        """The prompt goes to that endpoint now, by `monotonic`."""
        self._look(endpoint)
        self._pass_expected(now)
        ticket = self._router.sent(endpoint, prompt, now)
        if not stream:
            self._expect(ticket, now + self._router.wait_s(endpoint, now))
        return ticket

    def first_token(self, ticket: Ticket, now: float) -> None:
        """Its answer has begun."""
        self._router.first_token(ticket, now)

    def passed(self, ticket: Ticket, now: float) -> None:
        """Its answer has begun, which says nothing of how long prefilling takes there."""
        self._router.passed(ticket, now)

    def done(self, ticket: Ticket, usage: Usage | None) -> None:
        """Its answer is over, or never came."""
        told = usage if usage is not None and not usage.estimated else Usage()
        self._router.done(ticket, self._monotonic(), tokens_in=told.prompt_tokens, tokens_out=told.completion_tokens)

    def keep(self, endpoints: Iterable[Endpoint]) -> None:
        """Forget all others: they are gone."""
        for gone in self._seen.keys() - set(endpoints):
            del self._seen[gone]
            self._router.forget(gone)

    def _expect(self, ticket: Ticket, at: float) -> None:
        self._number += 1
        heappush(self._expected, (at, self._number, ticket))
        if len(self._expected) > self._many:
            self._expected = [each for each in self._expected if not each[2].over]
            heapify(self._expected)
            self._many = _FEW + 2 * len(self._expected)

    def _look(self, endpoint: Endpoint) -> None:
        """Take up what has changed of the endpoint: its life, the size of its cache, its load."""
        seen = self._seen.get(endpoint)
        if seen is None or seen[1] is not endpoint.load or seen[0] != endpoint.lives or seen[2] is not self.routing:
            self._take_up(endpoint, seen)

    def _take_up(self, endpoint: Endpoint, seen: _Seen | None) -> None:
        load = endpoint.load
        self._seen[endpoint] = (endpoint.lives, load, self.routing)
        if seen is not None and seen[0] != endpoint.lives:
            self._router.restarted(endpoint)
        tokens = self.routing.cache_tokens if load is None or load.cache_tokens is None else load.cache_tokens
        self._router.resize(endpoint, tokens)
        self._router.observe(
            endpoint, waiting=load.waiting if load else 0, kv_usage=(load.kv_usage or 0.0) if load else 0.0
        )
