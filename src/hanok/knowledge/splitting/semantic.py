"""Strategy `semantic`: passages end where the meaning changes, by the vectors of neighbouring units.

Asking an embedder costs as much as indexing does, so it is asked only where there is something to decide: a section
that fits into a passage is one. A longer one is laid out in units (a few sentences, a code fence, a table), all units
of a document are embedded, and neighbours that are least alike are parted: everywhere where they are as different as
the most different tenth in the document, and where a passage would be too long. The first half, `lay_out`, is done
where there is no embedder; the second, `settle`, where there is one.
"""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import islice, pairwise
from math import sqrt
from operator import mul

import msgspec

from hanok.knowledge.splitting.ends import Span, sentence_ends
from hanok.knowledge.splitting.markdown import split_portion
from hanok.knowledge.splitting.passages import Places, overlapping, trimmed
from hanok.knowledge.splitting.portions import atoms_of, packed, portions_of, prefers
from hanok.knowledge.splitting.rules import LONGEST, overlap_of, size_of
from hanok.knowledge.splitting.windows import characters
from hanok.knowledge.values import Document, Passage
from hanok.spec import Split

Embed = Callable[[list[str]], Awaitable[list[bytes]]]
"""Vectors of texts, one each, as 32-bit floats."""
MOST_UNITS = 4096
"""Of one document: about a million characters. What comes after them is cut between paragraphs."""
CALL_UNITS = 64
_UNITS_IN_PASSAGE = 6
_PASSAGES_LOOKED_AT = 12
_LEAST_SHARE = 5
_DIFFERENT = 0.9


class Stretch(msgspec.Struct, frozen=True, kw_only=True):
    """A section to be parted: its text, where that begins in the document, and where its units end in the text.

    One unit is a passage that is settled. `headings` are those of the section, `pages` where pages begin in the text,
    as (offset, number), the first at 0.
    """

    text: str
    start: int
    ends: tuple[int, ...]
    headings: tuple[str, ...] = ()
    pages: tuple[tuple[int, int], ...] = ()


def lay_out(document: Document, rule: Split) -> Iterator[Stretch]:
    """The units of a document, in stretches that are not crossed. Asks nobody."""
    size, units_left, places = min(size_of(rule), LONGEST), MOST_UNITS, Places(document)
    for portion in portions_of(document):
        span = trimmed(document.text, (portion.start, portion.end))
        if span[1] - span[0] > size and units_left:
            units = list(islice(_units(document.text, span, size), units_left))
            units_left -= len(units)
            yield _stretch(document, places, (span[0], units[-1][1]), units)
            span = units[-1][1], span[1]
        if span[0] < span[1]:
            cut = [span] if span[1] - span[0] <= size else split_portion(document.text, span, size=size)
            pieces = overlapping(document.text, cut, size=size, overlap=overlap_of(rule))
            yield from (_stretch(document, places, piece, [piece]) for piece in pieces)


async def settle(stretches: Sequence[Stretch], rule: Split, embed: Embed) -> list[Passage]:
    """The passages of what was laid out, in order. Errors of `embed` pass through."""
    distances = await _distances([text for stretch in stretches for text in _texts(stretch)], embed)
    return await asyncio.to_thread(_settled, stretches, distances, rule)


def _settled(stretches: Sequence[Stretch], distances: list[float], rule: Split) -> list[Passage]:
    gaps = list(_gaps(stretches, distances))
    different = _percentile([gap for own_gaps in gaps for gap in own_gaps], _DIFFERENT)
    return [
        passage
        for stretch, own_gaps in zip(stretches, gaps, strict=True)
        for passage in _passages(stretch, own_gaps, different, rule)
    ]


async def split_semantic(document: Document, rule: Split, embed: Embed) -> list[Passage]:
    """Both halves in one place, for a document that is at hand. Errors of `embed` pass through."""
    return await settle(list(lay_out(document, rule)), rule, embed)


def _units(text: str, span: Span, size: int) -> Iterator[Span]:
    """A few sentences or short paragraphs each, one after the other; fences and tables stay whole while they fit."""
    usual = max(1, size // _UNITS_IN_PASSAGE)
    loose: list[Span] = []
    for atom in atoms_of(text, *span):
        if atom[1] - atom[0] <= usual:
            loose.append(atom)
            continue
        if prefers(text, atom) == "sentence":
            loose += _sentences(text, atom, size)
            continue
        yield from packed(loose, usual)
        loose = []
        yield from [atom] if atom[1] - atom[0] <= size else characters(text, *atom, size=size, overlap=0, prefer="line")
    yield from packed(loose, usual)


def _sentences(text: str, span: Span, size: int) -> list[Span]:
    edges = [span[0], *(end for end in sentence_ends(text, *span) if end < span[1]), span[1]]
    return [
        piece
        for start, end in pairwise(edges)
        for piece in (characters(text, start, end, size=size, overlap=0) if end - start > size else [(start, end)])
    ]


def _stretch(document: Document, places: Places, span: Span, units: list[Span]) -> Stretch:
    start, end = span
    later = [(page.start - start, page.number) for page in places.pages_within(span)]
    return Stretch(
        text=document.text[start:end],
        start=start,
        ends=tuple(end - start for _, end in units),
        headings=places.headings_at(start),
        pages=((0, places.page_at(start)), *later),
    )


def _texts(stretch: Stretch) -> list[str]:
    """The units of a stretch; none of one that is settled."""
    if len(stretch.ends) < 2:
        return []
    return [stretch.text[start:end] for start, end in zip((0, *stretch.ends), stretch.ends, strict=False)]


async def _distances(texts: list[str], embed: Embed) -> list[float]:
    """How different each text is from the one before it (1 - cosine), from the second on. Reckoned in a thread."""
    found: list[float] = []
    last: list[array[float]] = []
    for start in range(0, len(texts), CALL_UNITS):
        vectors = await embed(texts[start : start + CALL_UNITS])
        more, last = await asyncio.to_thread(_differences, last, vectors)
        found += more
    return found


def _differences(last: list[array[float]], vectors: list[bytes]) -> tuple[list[float], list[array[float]]]:
    """How different each is from the one before it, the first from `last`; and the last of them, normed."""
    normed = [*last, *map(_normed, vectors)]
    return [1.0 - sum(map(mul, before, own)) for before, own in pairwise(normed)], normed[-1:]


def _normed(vector: bytes) -> array[float]:
    values = array("f", vector)
    length = sqrt(sum(map(mul, values, values))) or 1.0
    return array("f", [value / length for value in values])


def _gaps(stretches: Sequence[Stretch], distances: list[float]) -> Iterator[list[float]]:
    """The distances within each stretch; those from one to the next are left out."""
    first = 0
    for stretch in stretches:
        count = len(_texts(stretch))
        yield distances[first : first + max(0, count - 1)]
        first += count


def _percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))] if values else 0.0


def _passages(stretch: Stretch, gaps: list[float], different: float, rule: Split) -> Iterator[Passage]:
    size, overlap = min(size_of(rule), LONGEST), overlap_of(rule)
    spans = list(_parted((0, *stretch.ends), gaps, different, size))
    for span in overlapping(stretch.text, spans, size=size, overlap=overlap):
        start, end = trimmed(stretch.text, span)
        if start < end:
            page = next(number for offset, number in reversed(stretch.pages) if offset <= start)
            yield Passage(
                text=stretch.text[start:end],
                start=stretch.start + start,
                end=stretch.start + end,
                headings=stretch.headings,
                page=page,
                prefixed=rule.headings,
            )


def _parted(edges: tuple[int, ...], gaps: list[float], different: float, size: int) -> Iterator[Span]:
    """Parts of a stretch, looked at a few passages at a time, so that a long one takes time by its length only.

    What the last part of a look is, only the next look can tell; so it is looked at again.
    """
    first, last = 0, len(edges) - 1
    while first < last:
        ahead = first + 1
        while ahead < last and edges[ahead] - edges[first] < size * _PASSAGES_LOOKED_AT:
            ahead += 1
        parts = _cut(edges, gaps, different, size, first, ahead)
        done = parts if ahead == last or len(parts) == 1 else parts[:-1]
        yield from ((edges[begin], edges[end]) for begin, end in done)
        first = done[-1][1]


def _cut(edges: tuple[int, ...], gaps: list[float], different: float, size: int, first: int, last: int) -> list[Span]:
    """Units from `first` to `last` in parts: where the largest gap is, and again in both parts, until none is left."""
    least, length = size // _LEAST_SHARE, edges[last] - edges[first]
    inner = range(first + 1, last)
    roomy = [at for at in inner if edges[at] - edges[first] >= least and edges[last] - edges[at] >= least]
    candidates = roomy or (list(inner) if length > size else [])
    if not candidates:
        return [(first, last)]
    at = max(candidates, key=lambda at: gaps[at - 1])
    if length <= size and gaps[at - 1] < different:
        return [(first, last)]
    return [
        *_cut(edges, gaps, different, size, first, at),
        *_cut(edges, gaps, different, size, at, last),
    ]
