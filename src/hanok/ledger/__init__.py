"""The books: who holds a key, what each call used, what it cost.

A call becomes one `Charge`. `Metered` wraps a model and writes it; `stores` keep it; `usage` adds it up.
"""

from hanok.ledger.charges import Charge, UsageRow
from hanok.ledger.keys import Key, KeyRing, NewKey, make_key
from hanok.ledger.metered import Metered
from hanok.ledger.prices import FREE, PriceList, Rate
from hanok.ledger.stores.sqlite import Ledger

__all__ = [
    "FREE",
    "Charge",
    "Key",
    "KeyRing",
    "Ledger",
    "Metered",
    "NewKey",
    "PriceList",
    "Rate",
    "UsageRow",
    "make_key",
]
