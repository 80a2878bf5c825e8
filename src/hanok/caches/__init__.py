"""Answers that we had: asked the same again, a model need not answer again.

`Cached` is a layer of the model path. `rules` says what platform.yaml declares of a model's cache, `keys` what makes
two calls the same, `replay` turns what was kept into the answer that is wanted now, `semantic` finds questions that
mean the same in other words; `stores` keep.
"""

from hanok.caches.cached import Cached
from hanok.caches.rules import Rule, rules_of
from hanok.caches.semantic import Semantics, load_numpy
from hanok.caches.store import Store, StoreCounts
from hanok.caches.stores.table import open_store

__all__ = ["Cached", "Rule", "Semantics", "Store", "StoreCounts", "load_numpy", "open_store", "rules_of"]
