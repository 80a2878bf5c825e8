"""Korean morphemes, by Kiwi (https://github.com/bab2min/kiwipiepy, LGPL): a little better than pairs, far slower.

Nouns, stems of verbs and adjectives, adverbs, roots and everything that is not Korean stay; particles and endings go.
Tags are those of the Sejong corpus.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from functools import cache
from typing import Any

from hanok.errors import StartError

_TELLING = ("NN", "NR", "VV", "VA", "XR", "MAG", "SL", "SH", "SN", "W_")


def morphemes(text: str) -> Iterator[str]:
    """The morphemes that tell something, in order. Raises `StartError` when Kiwi is not installed."""
    return (str(each.form) for each in _kiwi().tokenize(text) if str(each.tag).startswith(_TELLING))


@cache
def _kiwi() -> Any:
    try:
        return importlib.import_module("kiwipiepy").Kiwi(num_workers=1)
    except ImportError as error:
        raise StartError(
            f"Korean morphemes (`index.terms: kiwi`) need Kiwi, which cannot be imported: {error}",
            hint="pip install kiwipiepy, or `index.terms: bigram`, which needs nothing",
        ) from error
