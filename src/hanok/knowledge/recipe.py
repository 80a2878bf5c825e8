"""What a collection is called, and when a new one is needed.

An alias stands for a knowledge base; the collection behind it is named after everything that decides how documents
become rows. A change of that is a new collection, filled beside the old one and then pointed at.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

from hanok.spec import Model, Recipe
from hanok.wire import json_bytes

VERSION = 1
"""Of how text, passages and terms are made here: raised when the same recipe makes other rows than before."""

_ANEW = "_b"


def alias_of(platform: str, base: str) -> str:
    """The alias of a knowledge base (or of a platform's vector stores), its own on a server that several share."""
    plain = re.sub(r"[^A-Za-z0-9]", "_", base)
    return f"hanok_{plain}_{hashlib.sha256(f'{platform}/{base}'.encode()).hexdigest()[:8]}"


def collection_of(alias: str, digest: str) -> str:
    """The collection of that alias for a recipe of that digest."""
    return f"{alias}_{digest[:12]}"


def anew_of(collection: str) -> str:
    """The other name of a collection, for one that is made anew by the same recipe."""
    return collection.removesuffix(_ANEW) if collection.endswith(_ANEW) else collection + _ANEW


def is_made_by(name: str, collection: str) -> bool:
    """Whether that collection was made by the recipe that `collection_of` named."""
    return name in (collection, anew_of(collection))


def digest_of(recipe: Recipe, embedder: Model) -> str:
    """SHA-256 in hex of what decides how documents become rows."""
    embed = recipe.embed.model_dump(include={"dimensions", "passage_prefix"})
    told: dict[str, Any] = {
        "version": VERSION,
        "splits": [split.model_dump() for split in recipe.splits],
        "embed": {**embed, "model": embedder.name, "serve": sorted({_served(each) for each in embedder.serve})},
        "index": recipe.index.model_dump(),
    }
    return hashlib.sha256(json_bytes(told)).hexdigest()


def _served(endpoint: Any) -> str:
    """What makes vectors: the engine and its model, not where it stands."""
    return f"{endpoint.engine}:{getattr(endpoint, 'model', None) or ''}"
