"""From spans to passages: what every strategy promises.

A passage is the text between its offsets, without blanks around it; all that is not blank is in one; it knows the
headings and the page where it begins.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator

from hanok.knowledge.splitting.code import split_code
from hanok.knowledge.splitting.ends import Span, after_blanks, overlap_start
from hanok.knowledge.splitting.markdown import split_markdown
from hanok.knowledge.splitting.rules import LONGEST, overlap_of, size_of
from hanok.knowledge.splitting.windows import characters, tokens
from hanok.knowledge.values import Document, Page, Passage
from hanok.spec import Split


def split(document: Document, rule: Split) -> Iterator[Passage]:
    """The passages of a document by any strategy but `semantic`, in order."""
    return passages_of(document, _spans(document, rule), rule)


def _spans(document: Document, rule: Split) -> Iterable[Span]:
    text, size, overlap = document.text, size_of(rule), overlap_of(rule)
    match rule.strategy:
        case "token":
            return tokens(text, 0, len(text), size=size, overlap=overlap)
        case "markdown":
            size = min(size, LONGEST)
            return overlapping(text, split_markdown(document, size=size), size=size, overlap=overlap)
        case "code":
            size, python = min(size, LONGEST), document.media_type.endswith("python")
            return overlapping(text, split_code(text, size=size, python=python), size=size, overlap=overlap)
        case _:
            return characters(text, 0, len(text), size=size, overlap=overlap)


def overlapping(text: str, spans: Iterable[Span], *, size: int, overlap: int) -> Iterator[Span]:
    """Spans of which each begins a little before the end of the one before it, where there is room for that."""
    before: Span | None = None
    for start, end in spans:
        begin = after_blanks(text, start, end)
        if begin == end:
            continue
        earliest = max(start - overlap, end - size, before[0] + 1) if before and overlap else start
        if earliest < start:
            begin = after_blanks(text, overlap_start(text, earliest, start), end)
        yield begin, end
        before = (begin, end)


def passages_of(document: Document, spans: Iterable[Span], rule: Split) -> Iterator[Passage]:
    """Passages between those offsets; those with nothing but blanks are left out."""
    places = Places(document)
    for span in spans:
        start, end = trimmed(document.text, span)
        if start < end:
            yield Passage(
                text=document.text[start:end],
                start=start,
                end=end,
                headings=places.headings_at(start),
                page=places.page_at(start),
                prefixed=rule.headings,
            )


class Places:
    """What lies where in a document."""

    def __init__(self, document: Document) -> None:
        self._sections = document.sections
        self._pages = document.pages
        self._section_starts = [section.start for section in document.sections]
        self._page_starts = [page.start for page in document.pages]

    def headings_at(self, offset: int) -> tuple[str, ...]:
        """The path of headings there."""
        index = bisect_right(self._section_starts, offset) - 1
        return self._sections[index].headings if index >= 0 else ()

    def page_at(self, offset: int) -> int:
        """The number of the page there, 0 where there is none."""
        index = bisect_right(self._page_starts, offset) - 1
        return self._pages[index].number if index >= 0 else 0

    def pages_within(self, span: Span) -> list[Page]:
        """The pages that begin after the first character of a span."""
        first, last = bisect_right(self._page_starts, span[0]), bisect_right(self._page_starts, span[1] - 1)
        return list(self._pages[first:last])


def trimmed(text: str, span: Span) -> Span:
    """The span without the blanks at its ends."""
    start, end = span
    piece = text[start:end]
    return start + len(piece) - len(piece.lstrip()), end - (len(piece) - len(piece.rstrip()))
