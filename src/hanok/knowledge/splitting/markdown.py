"""Strategy `markdown`: a section is a passage; small neighbours below one heading go together, large ones are cut.

A code fence or a table is cut only where it is longer than a passage may be, and then between lines.
"""

from __future__ import annotations

from collections.abc import Iterator

from hanok.knowledge.splitting.ends import Span
from hanok.knowledge.splitting.portions import Portion, atoms_of, packed, portions_of, prefers
from hanok.knowledge.splitting.windows import characters
from hanok.knowledge.values import Document


def split_markdown(document: Document, *, size: int) -> Iterator[Span]:
    """Spans of at most `size` characters."""
    for portion in _families(portions_of(document), size):
        if portion.end - portion.start <= size:
            yield portion.start, portion.end
        else:
            yield from split_portion(document.text, (portion.start, portion.end), size=size)


def split_portion(text: str, span: Span, *, size: int) -> Iterator[Span]:
    """One part of a text in spans of at most `size`, between paragraphs as long as they fit."""
    fitting = (
        piece
        for atom in atoms_of(text, *span)
        for piece in (
            [atom]
            if atom[1] - atom[0] <= size
            else characters(text, *atom, size=size, overlap=0, prefer=prefers(text, atom))
        )
    )
    return packed(fitting, size)


def _families(portions: list[Portion], size: int) -> Iterator[Portion]:
    """Sections put together with those after them below the same heading, while all of it is small."""
    begun: Portion | None = None
    for portion in portions:
        if begun and portion.end - begun.start <= size and _same_parent(begun, portion):
            begun = Portion(headings=begun.headings, start=begun.start, end=portion.end)
            continue
        if begun:
            yield begun
        begun = portion
    if begun:
        yield begun


def _same_parent(first: Portion, portion: Portion) -> bool:
    parent = first.headings[:-1]
    return bool(first.headings) and portion.headings[: len(parent)] == parent and len(portion.headings) > len(parent)
