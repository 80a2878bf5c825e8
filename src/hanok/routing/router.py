"""Which endpoint of a model answers first, by what was sent there.

`PrefixRouter` keeps a book for each endpoint: what its prefix cache should hold, and the prompts sent there that have
not had their first token. From these and the learned cost of prefilling follows how long a new prompt would take there.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Generic, TypeVar

import msgspec

from hanok.routing.estimate import PrefillCost, features_of
from hanok.routing.prefix import BLOCK_BYTES, PrefixIndex, hash_blocks, seed_of

FIRST_BYTES_A_TOKEN = 4.0
CAPACITY_TOKENS = 250_000

Key = TypeVar("Key", bound=Hashable)

import os,math
K5=float(os.environ.get('K5','0'))
K1=float(os.environ.get('K1','0.5')); K2=float(os.environ.get('K2','0')); K3=float(os.environ.get('K3','0')); K4=float(os.environ.get('K4','0'))


class Prompt(msgspec.Struct, frozen=True, gc=False):
    blocks: tuple[int, ...]
    size: int


class Ticket(Generic[Key]):
    __slots__ = ("book", "cached", "prompt", "state", "sent_at", "tokens", "work_s", "est")


class Book:
    __slots__ = ("index", "pending", "pending_s", "since", "in_flight", "decode_tokens", "capacity_tokens", "batch", "batch_at", "batch_from", "last_evict")

    def __init__(self, capacity: int) -> None:
        self.index = PrefixIndex(capacity)
        self.pending: dict[Ticket, None] = {}
        self.pending_s = 0.0
        self.since = 0.0
        self.in_flight = 0
        self.decode_tokens = 0.0
        self.capacity_tokens = CAPACITY_TOKENS
        self.batch = (0.0, 0.0, 0.0)
        self.batch_at = self.batch_from = 0.0

    def wait_s(self, now: float) -> float:
        if not self.pending:
            return 0.0
        head = next(iter(self.pending))
        return max(0.0, self.pending_s - min(now - self.since, head.work_s))


class PrefixRouter(Generic[Key]):
    def __init__(self, *, block_bytes: int = BLOCK_BYTES) -> None:
        self._block_bytes = block_bytes
        self._books: dict[Key, Book] = {}
        self._bytes = FIRST_BYTES_A_TOKEN * 100
        self._tokens = 100.0
        self.cost = PrefillCost()
        self.rho = 0.0
        self.rho_at = 0.0
        self.errs=[]
        self.mean_work=0.1
        self.reuse_age=60.0


    def tokens_of(self, prompt: Prompt) -> float:
        return max(1.0, prompt.size * self._tokens / self._bytes)

    def book(self, key: Key) -> Book:
        book = self._books.get(key)
        if book is None:
            book = self._books[key] = Book(self._blocks_of(CAPACITY_TOKENS))
        return book

    def _blocks_of(self, tokens: float) -> int:
        return int(tokens * self._bytes / self._tokens / self._block_bytes)

    def resize(self, key: Key, tokens: int) -> None:
        book = self.book(key)
        book.capacity_tokens = tokens
        book.index.resize(self._blocks_of(tokens))

    def cached_of(self, book: Book, prompt: Prompt, tokens: float) -> float:
        n = len(prompt.blocks)
        if not n: return 0.0
        found = book.index.match(prompt.blocks)
        if not found: return 0.0
        return min(tokens - 1, tokens * found / max(n, prompt.size / self._block_bytes))

    def choose(self, candidates: Sequence[Key], prompt: Prompt, now: float) -> Key:
        tokens = self.tokens_of(prompt)
        best = None; lowest = 1e99
        for key in candidates:
            book = self.book(key)
            cached = self.cached_of(book, prompt, tokens)
            work = self.cost.seconds(tokens, cached)
            wait = book.wait_s(now)
            cost = wait + work * (1 + K1)
            ix = book.index
            if K3:
                cost += K3 * self.mean_work * ix.held / ix.capacity
            if K4:
                cost += K4 * self.mean_work * book.in_flight
            if K5:
                new = (tokens-cached)/tokens*len(prompt.blocks)
                room = ix.capacity - len(ix)-ix._taken
                ev = new-room
                if ev > 0:
                    age = now-ix.oldest()
                    cost += K5 * (ev/len(prompt.blocks)*self.cost.seconds(tokens,0)) * math.exp(-max(0,age)/self.reuse_age)
            if K2:
                over = ix.held + (tokens-cached)/tokens*len(prompt.blocks) - ix.capacity
                if over > 0: cost += K2 * self.mean_work * over / len(prompt.blocks)
            if cost < lowest:
                lowest = cost; best = key
        return best

    def sent(self, key: Key, prompt: Prompt, now: float) -> Ticket:
        book = self.book(key)
        t = Ticket()
        t.book = book; t.prompt = prompt
        t.tokens = self.tokens_of(prompt)
        t.cached = self.cached_of(book, prompt, t.tokens)
        t.work_s = self.cost.seconds(t.tokens, t.cached)
        t.est = book.wait_s(now) + t.work_s
        t.sent_at = now
        self.mean_work += .02*(t.work_s-self.mean_work)
        found=book.index.match(prompt.blocks)
        if found>1:
            a=book.index.times.get(prompt.blocks[found-1])
            if a is not None and not book.index._holders.get(prompt.blocks[found-1]): self.reuse_age += .02*(now-a-self.reuse_age)
        t.state = 0
        if not book.pending:
            book.since = now
        book.pending[t] = None
        book.pending_s += t.work_s
        book.index.hold(prompt.blocks)
        book.in_flight += 1
        return t

    def first_token(self, t: Ticket, now: float) -> None:
        book = t.book
        if t.state: return
        t.state = 1
        self.errs.append((t.est, now - t.sent_at))
        f = features_of(t.tokens, t.cached)
        if book.batch[0] and now - book.batch_at > 0.002:
            self.cost.observe(book.batch, book.batch_at - book.batch_from)
            book.batch = (0.0, 0.0, 0.0)
        if not book.batch[0]:
            book.batch_from = max(book.batch_at, t.sent_at)
        b = book.batch
        book.batch = (b[0]+f[0], b[1]+f[1], b[2]+f[2])
        book.batch_at = now
        del book.pending[t]
        book.pending_s = max(0.0, book.pending_s - t.work_s) if book.pending else 0.0
        book.since = now

    def done(self, t: Ticket, now: float, tokens_in: int, tokens_out: int) -> None:
        if t.state == 2: return
        if t.state == 0: self.first_token(t, now)
        t.state = 2
        book = t.book
        book.in_flight -= 1
        if tokens_in:
            self._bytes = 0.999*self._bytes + t.prompt.size
            self._tokens = 0.999*self._tokens + tokens_in
        book.index.release(t.prompt.blocks, self._blocks_of(tokens_out), now)
        c = self._blocks_of(book.capacity_tokens)
        if abs(c - book.index.capacity) > 0.02*c:
            book.index.resize(c)
