"""Which rule a document is split by: the first whose type and path fit. And what a rule that says no size means."""

from __future__ import annotations

from collections.abc import Sequence

from hanok.knowledge.sources.globs import compile_glob
from hanok.spec import DocumentType, Split, Strategy

LONGEST = 16_000
"""Characters of a passage at most, whatever is declared."""
SIZES: dict[Strategy, int] = {"fixed": 1000, "token": 512, "semantic": 1500, "markdown": 2000, "code": 2000}
"""Where a rule declares none: characters, or tokens for `token`."""
OVERLAPS: dict[Strategy, int] = {"fixed": 100, "token": 50, "semantic": 0, "markdown": 0, "code": 0}


def rule_for(path: str, type_: DocumentType, splits: Sequence[Split]) -> Split:
    """The first rule that fits, by globs as sources have them. `splits` end with one that fits all."""
    return next(split for split in splits if split.type in (None, type_) and _fits(path, split.path))


def size_of(rule: Split) -> int:
    """Longest passage, in the unit of the strategy."""
    return rule.size or SIZES[rule.strategy]


def overlap_of(rule: Split) -> int:
    """What neighbours share, at most half of the size."""
    overlap = OVERLAPS[rule.strategy] if rule.overlap is None else rule.overlap
    return min(overlap, size_of(rule) // 2)


def _fits(path: str, glob: str | None) -> bool:
    return glob is None or bool(compile_glob(glob, below=False).fullmatch(path))
