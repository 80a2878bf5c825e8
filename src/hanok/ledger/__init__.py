"""The books: who holds a key, what each call used, what it cost.

A call becomes one `Charge`. `Metered` wraps a model and writes it; `stores` keep it; `usage` adds it up.
"""

from hanok.ledger.keys import Key, KeyRing, NewKey, make_key
from hanok.ledger.metered import Metered
from hanok.ledger.prices import FREE, PriceList, Rate
from hanok.ledger.stores.sqlite import Ledger
from hanok.ledger.usage import UsageRow

__all__ = [
    "FREE",
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
