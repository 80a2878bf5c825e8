"""This process as a holder of shared accounts: it makes good what dead ones left untold, reports, and leaves.

A holder that dies takes two things along: what it held, and which of its charges the others have not heard of. The
charges are in the ledger, so a successor on the same machine reads them there, tells them in the dead one's stead, and
frees what it held. It does so under a name made from the dead one's, so that nobody can do it twice.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from hanok.errors import StoreError
from hanok.ledger.accounts import Terms, Unit
from hanok.ledger.books import Ledger
from hanok.ledger.entries import Allotment
from hanok.ledger.keys import Key
from hanok.ledger.policies import DAY_S, Policies
from hanok.ledger.shared import SharedAccounts
from hanok.ledger.shares import Shares
from hanok.ledger.stores.holders import HolderFile, Mark
from hanok.wire import Caller, Charge

REPORT_EVERY_S = 0.25
_DAY_OF_IDS = int(DAY_S * 1e6) << 12
_log = logging.getLogger(__name__)

Make = Callable[[str], SharedAccounts]
"""Makes the view that a holder of this name has of the shared accounts."""


class Holder:
    """Takes part in shared accounts under `name`, which no process has or had. `left` are the files of dead holders.

    Those must have been locked before the ledger was started, so that their charges are in it. Raises `StoreError`,
    and what `make` raises.
    """

    def __init__(
        self, make: Make, *, name: str, folder: Path, left: Sequence[HolderFile], ledger: Ledger, policies: Policies
    ) -> None:
        self._make = make
        self._ledger = ledger
        self._policies = policies
        self._left = list(left)
        self._store = make(name)
        self._file = HolderFile.make(folder, Mark(holder=name, begun=ledger.next_id(), own_bits=ledger.own_bits))
        self.shares = Shares(self._store, last_charge=lambda: ledger.last_id, monotonic=time.monotonic)
        self._trouble = ""

    async def live(self) -> None:
        """Report for ever, also what dead holders could not."""
        while True:
            try:
                self._file.tell(await self.shares.report())
                await self._make_good()
                self._complain("")
            except StoreError as error:
                self._complain(str(error))
            except Exception:  # noqa: BLE001 - without reports, what others may spend would stand still
                _log.exception("the shared budgets could not be told; trying again")
            await asyncio.sleep(REPORT_EVERY_S)

    async def leave(self) -> None:
        """Report the last, give back everything, close. What cannot be told is left for a successor."""
        try:
            await self.shares.report()
            await self._store.release(self._file.mark.holder)
        except StoreError as error:
            _log.warning("the shared budgets are left as they were; the next start tells the rest: %s", error)
            self._file.leave()
        else:
            self._file.drop()
        finally:
            for each in self._left:
                each.leave()
            await self._store.aclose()

    async def _make_good(self) -> None:
        while self._left:
            dead = self._left[0]
            store = self._make(f"{dead.mark.holder}+")
            try:
                await self._tell_for(dead, store)
            finally:
                await store.aclose()
            dead.drop()
            self._left.remove(dead)

    async def _tell_for(self, dead: HolderFile, store: SharedAccounts) -> None:
        successor = f"{dead.mark.holder}+"
        if await store.reported(successor) is None:
            told = await store.reported(dead.mark.holder)
            known_up_to = told or dead.told or dead.mark.begun
            charges, spent = await asyncio.to_thread(self._untold, dead.mark, known_up_to)
            known = await store.look(list(spent))  # others begin from what the ledger knows, with these charges in it
            if known:
                spent = {name: amount for name, amount in spent.items() if name in known}
                await store.report(spent, until_charge=charges[-1].id)
                await store.beat()
            if charges:
                _log.warning("told %d charges that %s had not told before it died", len(charges), dead.mark.holder)
        await store.release(dead.mark.holder)
        await store.release(successor)

    def _untold(self, dead: Mark, told: int) -> tuple[list[Charge], Mapping[str, int]]:
        begun = max(dead.begun, told - _DAY_OF_IDS)  # hardly a stream runs for a day
        charges = self._ledger.untold_charges(told, begun=begun, own_bits=dead.own_bits)
        keys = {key.id: key for key in self._ledger.list_keys()}
        return charges, drawn_by(charges, self._policies, keys, self._ledger.allotments())

    def _complain(self, trouble: str) -> None:
        """Once a trouble, not four times a second."""
        if trouble and not self._trouble:
            _log.error("shared budgets: %s; calls go on within what is held", trouble)
        elif self._trouble and not trouble:
            _log.warning("the shared budgets can be reached again")
        self._trouble = trouble


def drawn_by(
    charges: Iterable[Charge],
    policies: Policies,
    keys: Mapping[str, Key],
    allotments: Mapping[tuple[str, str], Allotment],
) -> Counter[str]:
    """What these charges have used of each budget, by the account's id. Pure."""
    drawn: Counter[str] = Counter()
    for charge in charges:
        for terms in _terms(charge, policies, keys.get(charge.key_id), allotments):
            if terms.counts:
                tokens = charge.prompt_tokens + charge.completion_tokens
                drawn[terms.id] += charge.cost_nano_usd if terms.unit == Unit.USD else tokens
    return drawn


def _terms(
    charge: Charge, policies: Policies, key: Key | None, allotments: Mapping[tuple[str, str], Allotment]
) -> Iterator[Terms]:
    caller = Caller(
        key_id=charge.key_id,
        key_name=charge.key_name,
        team=charge.team,
        user=charge.user,
        session=charge.session,
        run=charge.run,
    )
    yield from policies.standing(caller, key, charge.model, charge.at)
    yield from policies.session(caller, charge.at)
    yield from policies.runs(caller, allotments, charge.at)
