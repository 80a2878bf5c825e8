"""The books: who holds a key, what may be used, what each call used, and what it cost.

A call is let in by `Admission`, which reserves in its accounts; `Metered` wraps a model, and writes one `Charge` a
call; `Ledger` keeps them.
"""

from hanok.ledger.accounts import NEVER, Account, Accounts, Unit
from hanok.ledger.admission import Admission, Offer
from hanok.ledger.books import Ledger
from hanok.ledger.entries import Allotment, AuditEntry
from hanok.ledger.hold import Hold
from hanok.ledger.holder import Holder
from hanok.ledger.keys import Key, KeyRing, NewKey, digest, make_key
from hanok.ledger.metered import Metered, MeteredAnswer, MeteredResult
from hanok.ledger.policies import Policies
from hanok.ledger.prices import FREE, PriceList, Rate
from hanok.ledger.shares import Shares
from hanok.ledger.standing import describe, figure, iso, standings
from hanok.ledger.stores.holders import HolderFile, left_holders
from hanok.ledger.usage import Grouping, Total, UsageRow

__all__ = [
    "FREE",
    "NEVER",
    "Account",
    "Accounts",
    "Admission",
    "Allotment",
    "AuditEntry",
    "Grouping",
    "Hold",
    "Holder",
    "HolderFile",
    "Key",
    "KeyRing",
    "Ledger",
    "Metered",
    "MeteredAnswer",
    "MeteredResult",
    "NewKey",
    "Offer",
    "Policies",
    "PriceList",
    "Rate",
    "Shares",
    "Total",
    "Unit",
    "UsageRow",
    "describe",
    "digest",
    "figure",
    "iso",
    "left_holders",
    "make_key",
    "standings",
]
