"""The books: who holds a key, what each call used, what it cost.

A call becomes one `Charge`. `Metered` wraps a model and writes it; `stores` keep it; `usage` adds it up.
"""

from hanok.ledger.books import Ledger
from hanok.ledger.entries import Allotment, AuditEntry
from hanok.ledger.keys import Key, KeyRing, NewKey, make_key
from hanok.ledger.metered import Metered
from hanok.ledger.prices import FREE, PriceList, Rate
from hanok.ledger.usage import Total, UsageRow

__all__ = [
    "FREE",
    "Allotment",
    "AuditEntry",
    "Key",
    "KeyRing",
    "Ledger",
    "Metered",
    "NewKey",
    "PriceList",
    "Rate",
    "Total",
    "UsageRow",
    "make_key",
]
