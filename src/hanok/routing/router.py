"""Which endpoint of a model answers first, by what was sent there.

`PrefixRouter` keeps a book for each endpoint: what its prefix cache should hold (`prefix.py`), and the prompts sent
there that wait for their first token. With the learned cost of prefilling (`estimate.py`) that says how long a prompt
would wait there, and how long it would then take. The lowest burden wins:

    burden = wait + (1 + WORK) · own prefill + ROOM · mean prefill · share of the cache that running calls hold

The first two are the time to the first token. Own prefill counts more than once because it also delays whoever comes
next: so a session stays where its prompt is cached until waiting there costs clearly more than computing it elsewhere,
and that is all there is to affinity. The last keeps room for running answers, and spreads new prompts over the caches
before they push out what others will ask for again.

An endpoint is any hashable key and the clock is the caller's, so nothing here knows what an endpoint is.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Generic, TypeVar

import msgspec

from hanok.routing.estimate import LEAST_S, PrefillCost, Three, features_of
from hanok.routing.prefix import BLOCK_BYTES, PrefixIndex, hash_blocks, seed_of

WORK = 1.0
ROOM = 1.0
LATE = 0.5
"""A first token that is late by so many seconds is expected to take this part of them longer: engines do get stuck."""
FIRST_BYTES_A_TOKEN = 4.0
KEEP = 0.999
"""How much of what was learned of bytes a token stays with each call."""
CAPACITY_TOKENS = 250_000
"""Room in an engine's cache until its metrics tell."""
SAME_STEP_S = 0.002
"""First tokens this near to each other come from one step of the engine, and what they took is one observation."""
RECENT = 0.02
"""How much the newest prompt counts in the running mean of work."""
SLOWEST = 8.0
"""How much slower or faster than the others an endpoint is taken to be at most."""
RECENT_HERE = 0.98
"""How much an observation of an endpoint's slowness counts when the next one comes."""
ALIKE = 1.3
"""Endpoints that differ by less than this factor are taken to be alike: small differences are mostly noise."""
SAME = 5.0
"""An endpoint is taken to be as fast as the others until it has done the work of some prompts."""

Key = TypeVar("Key", bound=Hashable)


class Prompt(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What routing looks at: the hashes of the prompt's blocks, in order, and its size in bytes."""

    blocks: tuple[int, ...]
    size: int


class Ticket:
    """One call at one endpoint, from `sent` to `done`. The caller keeps it and gives it back."""

    __slots__ = ("book", "cached", "over", "prompt", "sent_at", "started", "tokens", "work_s")

    def __init__(self, book: Book, prompt: Prompt, *, tokens: float, cached: float, work_s: float, now: float) -> None:
        self.book = book
        self.prompt = prompt
        self.tokens = tokens
        self.cached = cached
        self.work_s = work_s
        self.sent_at = now
        self.started = self.over = False


class Book:
    """What is known of one endpoint."""

    __slots__ = (
        "behind_s",
        "capacity_tokens",
        "features",
        "features_from",
        "held",
        "index",
        "last_first",
        "meant_s",
        "others_held",
        "others_waiting",
        "pending",
        "pending_s",
        "ratio",
        "since",
        "slowness",
        "took_s",
        "until",
    )

    def __init__(self, capacity_tokens: int, blocks: int) -> None:
        self.index = PrefixIndex(blocks)
        self.capacity_tokens = capacity_tokens
        self.pending: dict[Ticket, None] = {}
        """Calls without a first token, in the order they were sent: engines serve them so."""
        self.pending_s = self.behind_s = self.until = 0.0
        """What all of them take, and those behind the first; when that one should be through."""
        self.since = self.last_first = self.features_from = 0.0
        """When the first of them began to be prefilled; the last first token; where `features` begin."""
        self.features: Three | None = None
        """The prompts whose first tokens came together last."""
        self.took_s = self.meant_s = 0.0
        """What prefills took here lately, and what they take on the average of all endpoints."""
        self.ratio = self.slowness = 1.0
        self.others_waiting = 0
        self.others_held = self.held = 0.0
        """The share of the cache that running calls hold: others' calls, and all."""

    def wait_s(self, now: float) -> float:
        """How long until all that was sent here has its first token, in seconds."""
        if not self.pending:
            return 0.0
        left_s = self.until - now
        return self.behind_s + (left_s if left_s > 0.0 else -LATE * left_s)

    def own_held(self) -> float:
        """The share of the cache that our calls hold."""
        index = self.index
        return index.held / index.capacity if index.capacity else 1.0

    def wait_for(self, ticket: Ticket, now: float) -> None:
        """This call waits for its first token, behind all others."""
        if not self.pending:
            self.since = now
        self.pending[ticket] = None
        self.pending_s += ticket.work_s
        self._line_up()

    def close(self, ticket: Ticket, now: float) -> None:
        """This call no longer waits for its first token: the next one's prefill began by now."""
        if ticket not in self.pending:
            return
        if next(iter(self.pending)) is ticket or ticket.started:
            self.since = now
        del self.pending[ticket]
        self.pending_s = self.pending_s - ticket.work_s if self.pending else 0.0
        self._line_up()

    def count_held(self) -> None:
        """Take up what is held of the cache after it changed: it is asked for more often than that."""
        self.held = self.others_held + self.own_held()

    def _line_up(self) -> None:
        first_s = next(iter(self.pending)).work_s if self.pending else 0.0
        self.until = self.since + first_s
        self.behind_s = max(0.0, self.pending_s - first_s)


class PrefixRouter(Generic[Key]):
    """The router of one model. `now` is in seconds, on any clock that runs on."""

    def __init__(self, model: str = "", *, block_bytes: int = BLOCK_BYTES) -> None:
        self._model = model
        self._seed = seed_of(model)
        self._block_bytes = block_bytes
        self._books: dict[Key, Book] = {}
        self._bytes = FIRST_BYTES_A_TOKEN * 100
        self._tokens = 100.0
        self._mean_work_s = 0.0
        self._turn = 0
        self.cost = PrefillCost()

    @property
    def bytes_a_token(self) -> float:
        """How many bytes of prompt a token takes, as learned from usage."""
        return self._bytes / self._tokens

    def read(self, prompt: bytes | memoryview, *, salt: str = "") -> Prompt:
        """What to route a prompt by. Prompts with different salts share nothing."""
        seed = seed_of(self._model, salt) if salt else self._seed
        return Prompt(blocks=hash_blocks(prompt, seed=seed, block_bytes=self._block_bytes), size=len(prompt))

    def choose(self, candidates: Sequence[Key], prompt: Prompt, now: float) -> Key:
        """The candidate with the lowest burden; ties go round. Raises ValueError when there is none."""
        if not candidates:
            raise ValueError("there is no endpoint to choose from; ask only while one is up")
        turn = self._turn = (self._turn + 1) % len(candidates)
        in_turn = [*candidates[turn:], *candidates[:turn]]
        burdens = self._burdens([self._book(each) for each in in_turn], prompt, now)
        return in_turn[burdens.index(min(burdens))]

    def estimate_s(self, key: Key, prompt: Prompt, now: float) -> float:
        """Seconds to the first token if the prompt went there now."""
        book = self._book(key)
        tokens = self._tokens_of(prompt)
        return self._wait_s(book, now) + self._work_s(book, tokens, self._cached_of(book, prompt, tokens))

    def wait_s(self, key: Key, now: float) -> float:
        """Seconds until all that went there has its first token."""
        return self._wait_s(self._book(key), now)

    def sent(self, key: Key, prompt: Prompt, now: float) -> Ticket:
        """A call goes there now. Give the ticket to `done` when it is over, however it ends."""
        book = self._book(key)
        tokens = self._tokens_of(prompt)
        cached = self._cached_of(book, prompt, tokens)
        work_s = self._work_s(book, tokens, cached)
        ticket = Ticket(book, prompt, tokens=tokens, cached=cached, work_s=work_s, now=now)
        book.wait_for(ticket, now)
        book.index.hold(prompt.blocks)
        book.count_held()
        self._mean_work_s += RECENT * (work_s - self._mean_work_s) if self._mean_work_s else work_s
        return ticket

    def first_token(self, ticket: Ticket, now: float) -> None:
        """The call's first token has come: learn from how long it took. A second time it does nothing."""
        if ticket.started or ticket.over:
            return
        ticket.started = True
        book = ticket.book
        if book.features is not None and now - book.last_first > SAME_STEP_S:
            self._learn(book, book.features, book.last_first - book.features_from)
            book.features = None
        features = features_of(ticket.tokens, ticket.cached)
        if book.features is None:
            book.features, book.features_from = features, max(book.last_first, ticket.sent_at)
        else:
            calls, new, pairs = book.features
            book.features = calls + 1.0, new + features[1], pairs + features[2]
        book.last_first = now
        book.close(ticket, now)

    def passed(self, ticket: Ticket, now: float) -> None:
        """The call's first token should have come, though nobody tells: it waits no longer, and nothing is learned."""
        if not ticket.started and not ticket.over:
            ticket.started = True
            ticket.book.close(ticket, now)

    def done(self, ticket: Ticket, now: float, *, tokens_in: int = 0, tokens_out: int = 0) -> None:
        """The call is over: answered, failed or cancelled. Tokens as its usage says, 0 when it says nothing.

        A second time it does nothing.
        """
        if ticket.over:
            return
        ticket.over = True
        book, prompt = ticket.book, ticket.prompt
        book.close(ticket, now)
        book.index.release(prompt.blocks, self._blocks_of(tokens_out))
        if tokens_in > 0 and prompt.size > 0:
            self._bytes = KEEP * self._bytes + prompt.size
            self._tokens = KEEP * self._tokens + tokens_in
            self._fit(book)
        book.count_held()

    def resize(self, key: Key, tokens: int) -> None:
        """The endpoint's cache has room for so many tokens: its block size × its number of blocks."""
        book = self._book(key)
        book.capacity_tokens = tokens
        book.index.resize(self._blocks_of(tokens))
        book.count_held()

    def observe(self, key: Key, *, waiting: int, kv_usage: float) -> None:
        """What the endpoint's metrics say now: calls that wait in it, and the share of its cache that is held (0 to 1).

        What is more than own calls account for is other gateways' calls: those that wait count as work ahead.
        """
        book = self._book(key)
        book.others_waiting = max(0, waiting - len(book.pending))
        book.others_held = max(0.0, min(1.0, kv_usage) - book.own_held())
        book.count_held()

    def restarted(self, key: Key) -> None:
        """The endpoint begins afresh: its cache is empty. Calls sent before no longer count."""
        book = self._books.pop(key, None)
        if book is not None:
            self._books[key] = Book(book.capacity_tokens, self._blocks_of(book.capacity_tokens))

    def forget(self, key: Key) -> None:
        """The endpoint is gone."""
        self._books.pop(key, None)

    def _burdens(self, books: Sequence[Book], prompt: Prompt, now: float) -> list[float]:
        """Of every book. Nothing is called here that most endpoints do not need: this is most of what routing costs."""
        tokens, blocks, mean_s = self._tokens_of(prompt), prompt.blocks, self._mean_work_s
        fresh_s = (1.0 + WORK) * self.cost.seconds(tokens, 0.0)
        burdens: list[float] = []
        for book in books:
            burden = mean_s * (book.others_waiting + ROOM * book.held)
            if book.pending:
                burden += book.wait_s(now)
            if found := book.index.match(blocks):
                cached = self._share_of(prompt, found, tokens)
                burden += (1.0 + WORK) * self._work_s(book, tokens, cached)
            else:
                burden += book.slowness * fresh_s
            burdens.append(burden)
        return burdens

    def _wait_s(self, book: Book, now: float) -> float:
        return book.wait_s(now) + book.others_waiting * self._mean_work_s

    def _work_s(self, book: Book, tokens: float, cached: float) -> float:
        return book.slowness * self.cost.seconds(tokens, cached)

    def _book(self, key: Key) -> Book:
        book = self._books.get(key)
        if book is None:
            book = self._books[key] = Book(CAPACITY_TOKENS, self._blocks_of(CAPACITY_TOKENS))
        return book

    def _tokens_of(self, prompt: Prompt) -> float:
        return max(1.0, prompt.size * self._tokens / self._bytes)

    def _cached_of(self, book: Book, prompt: Prompt, tokens: float) -> float:
        found = book.index.match(prompt.blocks)
        return self._share_of(prompt, found, tokens) if found else 0.0

    def _share_of(self, prompt: Prompt, found: int, tokens: float) -> float:
        """Tokens of the prompt in so many of its blocks; never the last, which is always computed."""
        return min(tokens - 1.0, tokens * found / max(len(prompt.blocks), prompt.size / self._block_bytes))

    def _blocks_of(self, tokens: float) -> int:
        return int(tokens * self._bytes / self._tokens / self._block_bytes)

    def _fit(self, book: Book) -> None:
        """Bytes a token have been learned better: so many other blocks fit."""
        blocks = self._blocks_of(book.capacity_tokens)
        if abs(blocks - book.index.capacity) > 0.02 * blocks:
            book.index.resize(blocks)

    def _learn(self, book: Book, features: Three, seconds: float) -> None:
        """From what prefills took here: how slow this endpoint is beside the others, and what prefilling costs."""
        self.cost.observe(features, seconds / book.slowness)
        book.took_s = RECENT_HERE * book.took_s + seconds
        book.meant_s = RECENT_HERE * book.meant_s + self.cost.expect(features)
        trust_s = SAME * self._mean_work_s
        book.ratio = min(SLOWEST, max(1.0 / SLOWEST, (book.took_s + trust_s) / (book.meant_s + trust_s + LEAST_S)))
        typical = sum(each.ratio for each in self._books.values()) / len(self._books)
        slowness = book.ratio / typical
        book.slowness = 1.0 if 1.0 / ALIKE < slowness < ALIKE else slowness
