"""The ledger: keys, charges, and what was changed by whom, kept in a database with a journal before it.

`record` is a `write` to the journal and returns; a thread moves what has gathered into the database a few times a
second, each segment in one transaction with its name and the totals it adds to. So a segment is counted once, whatever
dies when, and a database that is away for a while costs nothing but journal.
"""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, Self

import msgspec

from hanok.errors import StoreError
from hanok.ledger.entries import Allotment, AuditEntry
from hanok.ledger.keys import NO_LIMITS, POLICY, Key, NewKey, change_key, make_key, rotate_key
from hanok.ledger.stores.database import Database
from hanok.ledger.stores.journal import Journal, Segment
from hanok.ledger.stores.locked import claim
from hanok.ledger.stores.table import find_dialect
from hanok.ledger.stores.tables import Tables, policy_form
from hanok.ledger.stores.tabs import Tabs, left_tabs
from hanok.ledger.usage import Grouping, Kind, Total, UsageRow
from hanok.spec import Allowance, Loaded, Rates
from hanok.wire.charge import Charge

COMMIT_EVERY_S = 0.2
WAITING_SEGMENTS = 16
CLAIMS = 64
"""Segments kept open and locked while the database refuses."""
SEGMENT_CHARGES = 50_000
"""Charges in one segment while it refuses: tens of megabytes, here and when they are read again."""
FORGET_SEGMENTS_S = 86_400.0
"""Names of taken segments are kept this long; a file that appears later still is counted once, by its charges' ids."""

_log = logging.getLogger(__name__)
_EVERYTHING = ("*",)


class Ledger:
    """Keys and charges of one state folder. Safe to use from several threads and several processes."""

    def __init__(
        self,
        folder: Path,
        *,
        database: str | None = None,
        clock: Callable[[], float] = time.time,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        """Open, or make, the ledger: its journal in `folder`, its database there too (SQLite) or at a `database` URL.

        Raises `StoreError` when that cannot be done, `StartError` when the URL needs a package that is not installed.
        """
        self._clock = clock
        self._random_bytes = random_bytes
        self._folder = folder
        self._guard = threading.Lock()  # the open segment
        self._taking = threading.Lock()  # the segments that wait
        self._wake = threading.Event()
        self._closing = False
        self._last_id = 0
        self.own_bits = int.from_bytes(random_bytes(2)) & 0xFFF
        """The low 12 bits of the charge ids of this process; ours alone from `start` on."""
        self._bits_file = -1
        self._journal: Journal | None = None
        self._tabs: Tabs | None = None
        self._writer: threading.Thread | None = None
        self._waiting: list[Segment] = []
        self._some_left = True
        self._trouble = ""
        self._forgotten_at = -math.inf
        dialect = find_dialect(folder, database)
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(
                f"the ledger's folder {folder} cannot be opened: {error}",
                hint="check the folder's permissions, or name another one as `state:` in platform.yaml",
            ) from error
        self._database = Database(dialect)

    @classmethod
    def of(cls, loaded: Loaded) -> Self:
        """The books of a platform. Raises as the constructor does, and `SpecError` where their address is not set."""
        loaded.require("ledger.database")
        database = loaded.platform.ledger.database
        return cls(loaded.state, database=database.get_secret_value() if database else None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # charges

    def start(self) -> None:
        """Take what a crash left behind, then begin to write in the background."""
        self._claim_bits()
        self._journal = Journal(self._folder / "journal", os.getpid(), random_bytes=self._random_bytes)
        self._waiting = self._left_behind()
        self._take_left_tabs()
        try:
            self._tabs = Tabs(self._folder / "tabs" / f"{os.getpid()}-{self._random_bytes(8).hex()}.tabs")
        except StoreError as error:
            _log.error("%s; a crash would forget what streams were running", error)
        self._take_waiting()
        self._writer = threading.Thread(target=self._write_forever, name="ledger-writer", daemon=True)
        self._writer.start()

    def _claim_bits(self) -> None:
        """Take bits for our ids that no other process of this folder has: each holds a lock on a file named by them."""
        for _ in range(CLAIMS):
            self._bits_file = claim(self._folder / "ids" / f"{self.own_bits:03x}")
            if self._bits_file >= 0:
                return
            self.own_bits = int.from_bytes(self._random_bytes(2)) & 0xFFF

    def next_id(self) -> int:
        """A new charge id: microseconds since 1970 in the high bits, this process' own 12 bits below.

        Never twice in this process, and not in two that share the folder.
        """
        self._last_id = max(self._last_id + 4096, (int(self._clock() * 1e6) << 12) | self.own_bits)
        return self._last_id

    def record(self, charge: Charge) -> None:
        """Write a charge down. When this returns, killing the process does not lose it."""
        assert self._journal is not None, "start() first"
        with self._guard:
            self._journal.open.add(charge)

    def open_tab(self, charge: Charge, nano_usd_a_token: float) -> int:
        """Write down that a stream begins; gives its place for `note_tab` and `close_tab`."""
        return -1 if self._tabs is None else self._tabs.open(charge, nano_usd_a_token)

    def note_tab(self, tab: int, tokens: int) -> None:
        """So many completion tokens have been passed on: known even if the process is killed now."""
        if self._tabs is not None:
            self._tabs.note(tab, tokens)

    def close_tab(self, tab: int) -> None:
        """The stream is charged."""
        if self._tabs is not None:
            self._tabs.close(tab)

    def _take_left_tabs(self) -> None:
        """Charge the calls that a crash cut short, but for those that it had time to write into the journal."""
        assert self._journal is not None
        left = list(left_tabs(self._folder / "tabs"))
        cut = [charge for tabs in left for charge in tabs.charges()]
        open_ = {(charge.at, charge.request_id) for charge in cut}
        written = self._journal.charges() if cut else ()
        charged = {call for charge in written if (call := (charge.at, charge.request_id)) in open_}
        for charge in cut:
            if (charge.at, charge.request_id) not in charged:
                self.record(charge)
        for tabs in left:
            tabs.drop()

    def flush(self) -> bool:
        """Move everything recorded so far into the database; False when it did not take it."""
        with self._guard:
            if self._journal is not None and self._is_worth_turning(len(self._journal.open.charges or ())):
                try:
                    self._waiting.append(self._journal.turn())
                except StoreError as error:
                    _log.error("%s", error)
        return self._take_waiting()

    def pending(self) -> int:
        """Segments that the database has not taken: above a few, it is in trouble."""
        return len(self._waiting)

    def close(self) -> None:
        """Write what is left and close. Safe to call twice."""
        if self._closing:
            return
        self._closing = True
        self._wake.set()
        if self._writer is not None:
            self._writer.join()
            self.flush()
            if self._journal is not None and not self._journal.open.charges:
                self._journal.open.drop()
            if self._tabs is not None:
                self._tabs.drop()
        if self._bits_file >= 0:
            os.close(self._bits_file)
        self._database.close()

    def charges_since(self, charge_id: int, own_bits: int) -> list[Charge]:
        """Charges with an id above `charge_id`, made by the process whose ids have these low 12 bits, in order."""
        self._flush_or_raise()
        with self._database.reading() as tables:
            return tables.charges_since(charge_id, own_bits)

    def untold_charges(self, told: int, *, begun: int, own_bits: int) -> list[Charge]:
        """What a dead process with these id bits had not told others, who know its charges up to the id `told`.

        Besides those with a higher id, these are the ones of streams that its death cut short: their ids, all above
        `begun`, are from when the streams began. Raises `StoreError`.
        """
        self._flush_or_raise()
        with self._database.reading() as tables:
            return tables.untold_charges(told, begun=begun, own_bits=own_bits)

    @property
    def last_id(self) -> int:
        """The id that was given out last. All charges of this process up to it are written, or still run."""
        return self._last_id

    # sums

    def usage(self, by: Grouping, *, since: float = 0.0) -> list[UsageRow]:
        """Charges from `since` (Unix seconds) on, added up; the dearest group first, days in order."""
        with self._database.reading() as tables:
            return tables.usage(by, since=since)

    def totals(self, kind: Kind, *, since_day: int) -> dict[str, Total]:
        """What each key (by id), team, user or model spent from a day on (days since 1970-01-01 UTC).

        Includes what this process has recorded. Raises `StoreError`, as for a session or run: only `total` knows these.
        """
        if kind in ("session", "run"):
            raise StoreError(f"there are no daily totals by {kind}", hint="ask for the `total` of one")
        self._flush_or_raise()
        with self._database.reading() as tables:
            return tables.totals(kind, since_day=since_day)

    def total(self, kind: Kind, subject: str, *, since: float, tenant: str | None = None) -> Total:
        """What one subject spent since a moment (Unix seconds), with what this process has recorded.

        Keys (by id), teams, users and models are kept by the day: `since` means the beginning of its day (UTC). A
        session or a run (with those it started) is that of one `tenant`, its team or else its key's id; None: of all.
        """
        self._flush_or_raise()
        with self._database.reading() as tables:
            if kind == "session":
                return tables.session_total(subject, since=since, tenant=tenant)
            if kind == "run":
                return tables.run_total(subject, since=since, tenant=tenant)
            return tables.daily_total(kind, subject, since=since)

    # keys

    def create_key(
        self,
        name: str,
        *,
        team: str | None = None,
        user: str | None = None,
        models: tuple[str, ...] = _EVERYTHING,
        knowledge: tuple[str, ...] = _EVERYTHING,
        agents: tuple[str, ...] = _EVERYTHING,
        expires_at: float | None = None,
        budgets: tuple[Allowance, ...] = (),
        limits: Rates = NO_LIMITS,
        actor: str = "cli",
    ) -> NewKey:
        """Make a key. Raises `StoreError` when one of that name is in use, or what it may do does not hold together."""
        new = make_key(
            name,
            now=self._clock(),
            random_bytes=self._random_bytes,
            team=team,
            user=user,
            models=models,
            knowledge=knowledge,
            agents=agents,
            expires_at=expires_at,
            budgets=budgets,
            limits=limits,
        )
        with self._database.writing() as tables:
            tables.change()
            _refuse_taken(tables, name)
            tables.add_key(new.key)
            self._note(tables, actor, "key.create", new.key, policy_form(new.key, POLICY))
        return new

    def update_key(self, name_or_id: str, *, actor: str = "cli", **changes: Any) -> Key:
        """Change what a key in use may do, or its name. Raises `StoreError` when there is none, or it cannot be so."""
        with self._database.writing() as tables:
            tables.change()
            before = _in_use(tables, name_or_id)
            after = change_key(before, changes, now=self._clock())
            if after.name != before.name:
                _refuse_taken(tables, after.name)
            tables.put_key(after)
            self._note(tables, actor, "key.update", before, policy_form(after, changes))
        return after

    def rotate_key(self, name_or_id: str, *, grace_s: float, actor: str = "cli") -> NewKey:
        """Give a key in use a new secret; the one before opens the door for `grace_s` seconds more.

        The one before that does not any more. Raises `StoreError` when there is no such key.
        """
        with self._database.writing() as tables:
            tables.change()
            key = _in_use(tables, name_or_id)
            new = rotate_key(key, now=self._clock(), grace_s=grace_s, random_bytes=self._random_bytes)
            tables.put_key(new.key)
            self._note(tables, actor, "key.rotate", key, {"grace_s": grace_s})
        return new

    def revoke_key(self, name_or_id: str, *, actor: str = "cli") -> Key:
        """Revoke a key in use. Raises `StoreError` when there is none of that name or id."""
        with self._database.writing() as tables:
            tables.change()
            key = replace(_in_use(tables, name_or_id), revoked_at=self._clock())
            tables.put_key(key)
            self._note(tables, actor, "key.revoke", key, {})
        return key

    def list_keys(self) -> list[Key]:
        """All keys, the oldest first, revoked ones too."""
        with self._database.reading() as tables:
            return tables.list_keys()

    def find_key(self, name_or_id: str) -> Key:
        """The key in use of that name or id. Raises `StoreError` when there is none."""
        with self._database.reading() as tables:
            return _in_use(tables, name_or_id)

    def version(self) -> int:
        """A number that grows when keys or allotments are changed, by whichever process."""
        with self._database.reading() as tables:
            return tables.version()

    # allotments

    def allot(
        self, tenant: str, run: str, *, cost_nano_usd: int | None, tokens: int | None, actor: str = "cli"
    ) -> None:
        """Limit what one run of a tenant (its team, or else its key's id) may spend in all; None does not limit.

        Raises `StoreError` for amounts below zero or beyond 63 bits.
        """
        for amount in (cost_nano_usd, tokens):
            if amount is not None and not 0 <= amount < 2**63:
                raise StoreError(f"a run cannot be allotted {amount}", hint="give 0 or more, or None for no limit")
        allotment = Allotment(cost_nano_usd=cost_nano_usd, tokens=tokens)
        detail = {"tenant": tenant, "cost_nano_usd": cost_nano_usd, "tokens": tokens}
        with self._database.writing() as tables:
            tables.change()
            tables.allot(tenant, run, allotment)
            tables.note(at=self._clock(), actor=actor, action="run.allot", subject=run, detail=detail)

    def allotments(self) -> dict[tuple[str, str], Allotment]:
        """What runs are allotted, by tenant and run."""
        with self._database.reading() as tables:
            return tables.allotments()

    # audit

    def note(self, *, actor: str, action: str, subject: str, detail: Mapping[str, Any]) -> None:
        """Write into the audit log. `detail` is plain JSON, never a secret; raises `StoreError` when it is not."""
        try:
            msgspec.json.encode(detail)
        except (TypeError, ValueError) as error:
            raise StoreError(f"an audit entry cannot hold this: {error}", hint="give plain JSON values") from None
        with self._database.writing() as tables:
            tables.note(at=self._clock(), actor=actor, action=action, subject=subject, detail=detail)

    def audit(self, *, limit: int = 100, before: int | None = None) -> list[AuditEntry]:
        """Entries of the audit log, the newest first; `before` the id of one continues below it."""
        with self._database.reading() as tables:
            return tables.audit(limit=limit, before=before)

    def _note(self, tables: Tables, actor: str, action: str, key: Key, more: Mapping[str, Any]) -> None:
        detail = {"key_id": key.id, **more}
        tables.note(at=self._clock(), actor=actor, action=action, subject=key.name, detail=detail)

    # the writer

    def _write_forever(self) -> None:
        while not self._closing:
            self._wake.wait(COMMIT_EVERY_S)
            try:
                self.flush()
            except Exception:  # noqa: BLE001 - this thread must not end while the house stands
                _log.exception("the ledger's writer failed; it goes on")

    def _flush_or_raise(self) -> None:
        if not self.flush():
            raise StoreError(
                "charges still wait in the journal: the ledger's database does not take them",
                hint="see why in the log; they follow by themselves",
            )

    def _is_worth_turning(self, charges: int) -> bool:
        """While the database refuses, the open segment grows rather than their number."""
        return charges > 0 and (len(self._waiting) < WAITING_SEGMENTS or charges >= SEGMENT_CHARGES)

    def _take_waiting(self) -> bool:
        with self._taking:
            while self._waiting:
                try:
                    self._take_each()
                except (StoreError, OSError) as error:
                    self._set_aside()
                    self._complain(error.message if isinstance(error, StoreError) else str(error))
                    return False
                self._waiting.extend(self._left_behind())
            self._complain("")
        return True

    def _take_each(self) -> None:
        for segment in list(self._waiting):
            self._insert(segment)
            segment.drop()
            self._waiting.remove(segment)

    def _set_aside(self) -> None:
        """Free what the charges that wait hold of memory, and of open files above a few: all of it is on disk."""
        for segment in self._waiting:
            segment.forget()
        for segment in self._waiting[WAITING_SEGMENTS:]:
            if segment.leave():
                self._waiting.remove(segment)
                self._some_left = True

    def _left_behind(self) -> list[Segment]:
        """Some of the segments that nobody holds: of processes that are gone, and those we set aside ourselves."""
        if self._journal is None or not self._some_left:
            return []
        found = list(islice(self._journal.left_behind(), WAITING_SEGMENTS))
        self._some_left = bool(found)
        return found

    def _insert(self, segment: Segment) -> None:
        with self._database.writing() as tables:
            now = self._clock()
            if segment.name is None or tables.take(segment.name, at=now):
                tables.add_charges(segment.read())
            if now - self._forgotten_at > FORGET_SEGMENTS_S / 24:
                tables.forget_segments(before=now - FORGET_SEGMENTS_S)
                self._forgotten_at = now

    def _complain(self, trouble: str) -> None:
        """Once a trouble, not five times a second."""
        if trouble and trouble != self._trouble:
            _log.error("the ledger's database does not take charges (kept in the journal): %s", trouble)
        elif self._trouble and not trouble:
            _log.warning("the ledger's database takes charges again")
        self._trouble = trouble


def _in_use(tables: Tables, name_or_id: str) -> Key:
    found = [key for key in tables.list_keys() if key.revoked_at is None and name_or_id in (key.id, key.name)]
    if not found:
        raise StoreError(f"no key in use is called {name_or_id!r}", hint="see `hanok keys list`")
    return next((key for key in found if key.id == name_or_id), found[0])


def _refuse_taken(tables: Tables, name: str) -> None:
    if any(key.revoked_at is None and key.name == name for key in tables.list_keys()):
        raise StoreError(
            f"a key named {name!r} is in use", hint=f"take another name, or revoke it first: hanok keys revoke {name}"
        )
