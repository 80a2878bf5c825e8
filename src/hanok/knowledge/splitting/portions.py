"""The parts of a document that stay together: sections, and in them code fences, tables and paragraphs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from hanok.knowledge.splitting.ends import Prefer, Span
from hanok.knowledge.values import Document

_FENCE = re.compile(r"(?:\A|(?<=[\r\n]))[ ]{0,3}(`{3,}|~{3,})[^\r\n]*(?:\r\n|\r|\n|\Z)")
_GAP = re.compile(r"(?:\r\n|\r|\n)(?:[ \t]*(?:\r\n|\r|\n))+")
_AFTER_HEADING = re.compile(r"[^\r\n]*(?:(?:\r\n|\r|\n)[ ]{0,3}(?:=+|-{2,}|[~^\"'*+#]{3,})[ \t]*(?=[\r\n]|\Z))?")


@dataclass(frozen=True, kw_only=True)
class Portion:
    """A section with something to say, below the path of headings at its beginning."""

    headings: tuple[str, ...]
    start: int
    end: int


def portions_of(document: Document) -> list[Portion]:
    """The sections of a document; one that is a heading and nothing else goes with the one after it."""
    portions: list[Portion] = []
    waiting: Portion | None = None
    for section in document.sections or (Portion(headings=(), start=0, end=len(document.text)),):
        begun = waiting or Portion(headings=section.headings, start=section.start, end=section.end)
        portion = Portion(headings=begun.headings, start=begun.start, end=section.end)
        waiting = portion if _is_bare(document.text, section.start, section.end) else None
        if waiting is None:
            portions.append(portion)
    return [*portions, waiting] if waiting else portions


def _is_bare(text: str, start: int, end: int) -> bool:
    """Whether there is a heading there and nothing below it, or nothing at all."""
    heading = _AFTER_HEADING.match(text, start, end)
    return text[heading.end() if heading else start : end].isspace() or (heading is not None and heading.end() >= end)


def atoms_of(text: str, start: int, end: int) -> Iterator[Span]:
    """Paragraphs (tables and lists are such, having no empty lines) and whole code fences, one after the other."""
    begin, fence, opened = start, "", start
    for match in _FENCE.finditer(text, start, end):
        if not fence:
            yield from _paragraphs(text, begin, match.start())
            fence, opened = match[1], match.start()
        elif match[1].startswith(fence) and not match[0].strip().strip(fence[0]):
            yield opened, match.end()
            fence, begin = "", match.end()
    if fence:
        yield opened, end
    else:
        yield from _paragraphs(text, begin, end)


def _paragraphs(text: str, start: int, end: int) -> Iterator[Span]:
    begin = start
    for gap in _GAP.finditer(text, start, end):
        yield begin, gap.end()
        begin = gap.end()
    if begin < end:
        yield begin, end


def prefers(text: str, span: Span) -> Prefer:
    """Where to cut an atom that is too long: a fence, a table or a list between its lines, prose between sentences."""
    beginning = text[span[0] : span[0] + 100].lstrip()
    return "line" if beginning.startswith(("```", "~~~", "|", "- ", "* ", "+ ", "1. ")) else "sentence"


def packed(spans: Iterable[Span], size: int) -> Iterator[Span]:
    """Neighbours put together, as many as stay within that many characters."""
    begun: Span | None = None
    for span in spans:
        if begun and span[1] - begun[0] <= size:
            begun = (begun[0], span[1])
            continue
        if begun:
            yield begun
        begun = span
    if begun:
        yield begun
