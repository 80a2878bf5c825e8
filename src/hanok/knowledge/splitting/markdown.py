"""Strategy `markdown`: a section is a passage; small neighbours below one heading go together, large ones are cut.

A code fence or a table is cut only where it is longer than a passage may be, and then between lines.
"""

from __future__ import annotations

from collections.abc import Iterator

from hanok.knowledge.splitting.blocks import Block, atoms_of, blocks_of, packed, prefers
from hanok.knowledge.splitting.ends import Span
from hanok.knowledge.splitting.windows import characters
from hanok.knowledge.values import Document


def split_markdown(document: Document, *, size: int) -> Iterator[Span]:
    """Spans of at most `size` characters."""
    for block in _families(blocks_of(document), size):
        if block.end - block.start <= size:
            yield block.start, block.end
        else:
            yield from split_block(document.text, (block.start, block.end), size=size)


def split_block(text: str, span: Span, *, size: int) -> Iterator[Span]:
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


def _families(blocks: list[Block], size: int) -> Iterator[Block]:
    """Sections put together with those after them below the same heading, while all of it is small."""
    begun: Block | None = None
    for block in blocks:
        if begun and block.end - begun.start <= size and _same_parent(begun, block):
            begun = Block(headings=begun.headings, start=begun.start, end=block.end)
            continue
        if begun:
            yield begun
        begun = block
    if begun:
        yield begun


def _same_parent(first: Block, block: Block) -> bool:
    parent = first.headings[:-1]
    return bool(first.headings) and block.headings[: len(parent)] == parent and len(block.headings) > len(parent)
