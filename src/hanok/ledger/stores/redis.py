"""Shared accounts in Redis (6.2 or newer) or Valkey, through redis-py (extra `redis`). The only file that knows it.

What this process holds and has spent is kept here, as totals, and each contact tells the server totals, not steps. So
a contact whose answer was lost needs no second thought: the next one sets right whatever the server made of it.
Contacts are numbered and go one at a time; the server refuses one that arrives after a later one. When it finds that
its own memory is older than ours (it came back empty, or from an old copy), we tell it everything again.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import importlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hanok.errors import StartError, StoreError
from hanok.ledger.shared import LEASE_S, Granted, Standing, Want, refuse_negative
from hanok.ledger.stores.redis_script import RELEASE, TELL

TIMEOUT_S = 1.0
PAUSE_S = 0.2
FORGET_AFTER_S = 600.0


@dataclass(slots=True)
class _Own:
    """What this process knows of an account: what it holds, what it spent in all, and how much of that was told."""

    held: int = 0
    spent: int = 0
    told: int = 0
    until: float | None = None
    used_at: float = 0.0


class RedisAccounts:
    """`SharedAccounts` on a server. Make and use it in one event loop."""

    def __init__(
        self,
        url: str,
        *,
        platform: str,
        holder: str,
        lease_s: float = LEASE_S,
        settle_s: float | None = None,
        timeout_s: float = TIMEOUT_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Connects with the first contact.

        `holder` is a name that no other process has or had. `settle_s` is how long accounts that last grant nothing
        after the server lost its data, so that everyone can say what he holds: by default `lease_s`; 0 grants at once,
        beyond the limit if need be. `timeout_s` bounds connecting and each answer. Raises `StartError` when redis-py is
        not installed or the url is not one.
        """
        self._holder = holder
        self._prefix = f"hanok:{{{platform}}}:"
        self._lease_s = lease_s
        self._lease_ms = int(lease_s * 1000)
        self._settle_ms = int((lease_s if settle_s is None else settle_s) * 1000)
        self._timeout_s = timeout_s
        self._clock = clock
        self._client, self._errors = _connect(url, timeout_s)
        self._keys = [f"{self._prefix}{key}" for key in (f"holder:{holder}", f"names:{holder}")]
        self._keys += [f"{self._prefix}{key}" for key in ("leases", "born", "settling")]
        self._turn = asyncio.Lock()  # one contact at a time: they are numbered
        self._silent_until = 0.0
        self._seq = self._acked = self._life = 0
        self._restoring = False
        self._until_charge = 0
        self._own: dict[str, _Own] = {}
        self._untold: set[str] = set()
        self._server_time = 0.0
        self._lease_ends = 0.0
        self._tenure = self._losses = 0

    def __repr__(self) -> str:
        return f"RedisAccounts(prefix={self._prefix!r}, holder={self._holder!r})"  # no url: it may hold a password

    @property
    def lease_ends(self) -> float:
        return self._lease_ends

    @property
    def tenure(self) -> int:
        return self._tenure

    @property
    def losses(self) -> int:
        return self._losses

    async def draw(self, wants: Sequence[Want]) -> Sequence[Granted]:
        return await self._tell(wants)

    async def report(self, spent: Mapping[str, int], *, until_charge: int) -> None:
        refuse_negative(spent)
        for account, amount in spent.items():
            own = self._known(account)
            own.spent += amount
            own.held -= min(own.held, amount)
        self._until_charge = max(self._until_charge, until_charge)
        self._untold.update(spent)
        await self._tell_if_it_can_be()

    async def give_back(self, amounts: Mapping[str, int]) -> None:
        refuse_negative(amounts)
        for account, amount in amounts.items():
            own = self._known(account)
            own.held -= min(own.held, amount)
        self._untold.update(amounts)
        await self._tell_if_it_can_be()

    async def reported(self, holder: str) -> int | None:
        found = await self._ask(lambda: self._client.hget(f"{self._prefix}holder:{holder}", "until_charge"))
        return None if found is None else int(found)

    async def beat(self) -> None:
        await self._tell(forget=self._idle())

    async def release(self, holder: str) -> None:
        async with self._turn:
            if holder == self._holder:
                self._lose(self._life + 1)
                self._untold.update(self._own)
            await self._ask(lambda: self._run(_RELEASE, [], [self._prefix, holder]))

    async def look(self, accounts: Sequence[str]) -> Mapping[str, Standing]:
        pipeline = self._client.pipeline(transaction=False)
        for account in accounts:
            pipeline.hmget(self._account(account), "spent", "held")
        rows = await self._ask(pipeline.execute)
        return {
            account: Standing(spent=int(spent or 0), held=int(held or 0))
            for account, (spent, held) in zip(accounts, rows, strict=True)
            if spent is not None or held is not None
        }

    async def aclose(self) -> None:
        await self._client.aclose()

    # one contact

    async def _tell_if_it_can_be(self) -> None:
        with contextlib.suppress(StoreError):
            await self._tell()

    async def _tell(self, wants: Sequence[Want] = (), forget: Sequence[str] = ()) -> list[Granted]:
        """Tell what is untold and draw, one contact after the other."""
        async with self._turn:
            for want in wants:
                self._known(want.account).until = want.until
            for _ in range(3):  # at most: lapsed, then lost, then done
                untold, self._untold = self._untold, set()
                try:
                    answer = await self._contact(untold, wants, forget)
                except BaseException:
                    self._untold |= untold.union(want.account for want in wants)
                    raise
                if answer[0] == b"done":
                    return self._granted(wants, answer[2:])
                self._untold |= untold
                self._understand(answer)
        raise StoreError(f"Redis does not know the holder {self._holder!r} any more, each time it is asked")

    async def _contact(self, untold: set[str], wants: Sequence[Want], forget: Sequence[str]) -> list[Any]:
        began = self._clock()
        self._seq += 1
        told = {account: self._own[account].spent for account in untold}
        forget = [account for account in forget if account not in untold]
        accounts = [*untold, *(want.account for want in wants), *forget]
        keys = [*self._keys, *map(self._account, accounts)]
        lines = [self._heading(len(untold), len(wants)), *map(self._line, untold), *map(_want_line, wants)]
        answer = await self._ask(lambda: self._run(_TELL, keys, [self._prefix, self._holder, *lines]))
        if answer[0] == b"done":
            self._acked, self._restoring = self._seq, False
            self._lease_ends = began + self._lease_s
            self._server_time = int(answer[1]) / 1000
            for account, spent in told.items():
                self._own[account].told = spent
            for account in forget:
                self._drop(account)
        return answer

    def _heading(self, lines: int, wants: int) -> str:
        return (
            f"{self._until_charge or '-'} {self._seq} {self._acked} {self._life} {self._lease_ms} {self._settle_ms}"
            f" {self._restoring:d} {lines} {wants}"
        )

    def _line(self, account: str) -> str:
        own = self._own[account]
        return f"{_milliseconds(own.until)} {own.held} {own.spent} {own.spent - own.told}"

    def _granted(self, wants: Sequence[Want], rows: Iterable[bytes]) -> list[Granted]:
        granted: list[Granted] = []
        for want, row in zip(wants, rows, strict=True):
            amount, spent, held, settles_ms = map(int, row.split())
            self._known(want.account).held += amount
            granted.append(
                Granted(account=want.account, amount=amount, spent=spent, held=held, settles_s=settles_ms / 1000)
            )
        return granted

    def _understand(self, answer: Sequence[Any]) -> None:
        """The server did nothing, for it knows less of us than we thought, or more."""
        if answer[0] == b"lapsed":
            self._lose(answer[1])
        elif answer[0] == b"lost":
            self._restoring = True
            self._losses += 1
            self._untold.update(self._own)
        else:
            raise StoreError(f"another process goes by the name of {self._holder!r} in Redis: names must be unique")

    def _lose(self, life: int) -> None:
        """All that was held here has been freed for others."""
        self._life = life
        self._tenure += 1
        for own in self._own.values():
            own.held = 0

    # the server

    async def _run(self, script: _Script, keys: Sequence[str], fields: Sequence[Any]) -> Any:
        try:
            return await self._client.evalsha(script.sha, len(keys), *keys, *fields)
        except self._errors.NoScriptError:
            return await self._client.eval(script.text, len(keys), *keys, *fields)

    async def _ask(self, ask: Callable[[], Any]) -> Any:
        """Ask once. After a failure nobody asks for `PAUSE_S`, so that those who wait behind it fail at once."""
        if self._clock() < self._silent_until:
            raise StoreError("Redis could not be reached a moment ago")
        cancelled = _times_cancelled()
        try:
            async with asyncio.timeout(2 * self._timeout_s):
                answer = await ask()
        except (self._errors.RedisError, OSError, TimeoutError) as error:
            self._silent_until = self._clock() + PAUSE_S
            raise StoreError(f"Redis does not answer: {error or type(error).__name__}") from error
        if _times_cancelled() > cancelled:  # redis-py may go on as if nothing had happened
            raise asyncio.CancelledError
        return answer

    # what is known here

    def _account(self, account: str) -> str:
        return f"{self._prefix}account:{account}"

    def _known(self, account: str) -> _Own:
        own = self._own.get(account)
        if own is None:
            own = self._own[account] = _Own()
        own.used_at = self._clock()
        return own

    def _idle(self) -> list[str]:
        """Accounts whose window is over, and those not used for long that have nothing open."""
        long_ago = self._clock() - FORGET_AFTER_S
        return [account for account, own in self._own.items() if self._is_over(own) or _is_done(own, long_ago)]

    def _is_over(self, own: _Own) -> bool:
        return own.until is not None and own.until + FORGET_AFTER_S < self._server_time

    def _drop(self, account: str) -> None:
        own = self._own[account]
        if account not in self._untold and own.spent == own.told:
            del self._own[account]


@dataclass(frozen=True, slots=True)
class _Script:
    text: str
    sha: str

    @classmethod
    def of(cls, text: str) -> _Script:
        return cls(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


_TELL = _Script.of(TELL)
_RELEASE = _Script.of(RELEASE)


def _times_cancelled() -> int:
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()


def _is_done(own: _Own, long_ago: float) -> bool:
    return own.used_at < long_ago and not own.held and own.spent == own.told


def _want_line(want: Want) -> str:
    until_ms = _milliseconds(want.until)
    return f"{want.opening} {until_ms} {want.need} {want.wish} {want.limit} {want.lasts:d}"


def _milliseconds(until: float | None) -> int | str:
    return "-" if until is None else int(until * 1000)


def _connect(url: str, timeout_s: float) -> tuple[Any, Any]:
    """A client that connects when it is used, and the library's exceptions."""
    try:
        library: Any = importlib.import_module("redis.asyncio")
        errors: Any = importlib.import_module("redis.exceptions")
        backoff: Any = importlib.import_module("redis.backoff")
        retry: Any = importlib.import_module("redis.asyncio.retry")
    except ImportError as error:
        raise StartError(f"redis-py cannot be imported: {error}", hint='pip install "hanok[redis]"') from error
    try:
        client = library.Redis.from_url(
            url,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=retry.Retry(backoff.NoBackoff(), 0),
            protocol=2,
        )
    except ValueError:  # its message may hold a part of the password
        raise StartError(
            "the address of Redis cannot be read", hint="write redis://[user:password@]host[:port][/db]"
        ) from None
    return client, errors
