"""Strategy `semantic`: passages end where the meaning changes, by the vectors of neighbouring units.

Asking an embedder costs as much as indexing does, so it is asked only where there is something to decide: a section
that fits into a passage is one. A longer one is laid out in units (a few sentences, a code fence, a table), all units
of a document are embedded, and neighbours that are least alike are parted: everywhere where they are as different as
the most different tenth in the document, and where a passage would be too long. The first half, `lay_out`, runs where
there is no embedder; the second, `settle`, where there is one.
"""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import islice, pairwise
from math import sqrt
from operator import mul

import msgspec

from hanok.knowledge.splitting.blocks import atoms_of, blocks_of, packed, prefers
from hanok.knowledge.splitting.ends import Span, sentence_ends
from hanok.knowledge.splitting.markdown import split_block
from hanok.knowledge.splitting.passages import Places, overlapping, trimmed
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


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """A section to be parted: its text, where that begins in the document, where its units end in it, both from 0.

    One unit is a passage that is settled. `headings` are those of the section, `pages` where pages begin in the run,
    as (offset, number).
    """

    text: str
    start: int
    ends: tuple[int, ...]
    headings: tuple[str, ...] = ()
    pages: tuple[tuple[int, int], ...] = ()


def lay_out(document: Document, rule: Split) -> Iterator[Run]:
    """The units of a document, in runs that are not crossed. Asks nobody."""
    size, units_left, places = min(size_of(rule), LONGEST), MOST_UNITS, Places(document)
    for block in blocks_of(document):
        span = trimmed(document.text, (block.start, block.end))
        if span[1] - span[0] > size and units_left:
            units = list(islice(_units(document.text, span, size), units_left))
            units_left -= len(units)
            yield _run(document, places, (span[0], units[-1][1]), units)
            span = units[-1][1], span[1]
        if span[0] < span[1]:
            cut = [span] if span[1] - span[0] <= size else split_block(document.text, span, size=size)
            pieces = overlapping(document.text, cut, size=size, overlap=overlap_of(rule))
            yield from (_run(document, places, piece, [piece]) for piece in pieces)


async def settle(runs: Sequence[Run], rule: Split, embed: Embed) -> list[Passage]:
    """The passages of what was laid out, in order. Errors of `embed` pass through."""
    vectors = await _embedded([text for run in runs for text in _texts(run)], embed)
    gaps = _gaps(runs, vectors)
    different = _percentile([gap for gaps_of_run in gaps for gap in gaps_of_run], _DIFFERENT)
    passages: list[Passage] = []
    for run, gaps_of_run in zip(runs, gaps, strict=True):
        passages += _passages(run, gaps_of_run, different, rule)
        await asyncio.sleep(0)  # others have their turn
    return passages


async def split_semantic(document: Document, rule: Split, embed: Embed) -> list[Passage]:
    """Both halves in one place, for a document that is at hand. Errors of `embed` pass through."""
    return await settle(list(lay_out(document, rule)), rule, embed)


def _units(text: str, span: Span, size: int) -> Iterator[Span]:
    """A few sentences each, one after the other; fences and tables stay whole as long as they fit."""
    usual = max(1, size // _UNITS_IN_PASSAGE)
    loose: list[Span] = []
    for atom in atoms_of(text, *span):
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


def _run(document: Document, places: Places, span: Span, units: list[Span]) -> Run:
    start, end = span
    later = [(page.start - start, page.number) for page in places.pages_within(span)]
    return Run(
        text=document.text[start:end],
        start=start,
        ends=tuple(end - start for _, end in units),
        headings=places.headings_at(start),
        pages=((0, places.page_at(start)), *later),
    )


def _texts(run: Run) -> list[str]:
    """The units of a run; none of one that is settled."""
    if len(run.ends) < 2:
        return []
    return [run.text[start:end] for start, end in zip((0, *run.ends), run.ends, strict=False)]


async def _embedded(texts: list[str], embed: Embed) -> list[array[float]]:
    vectors: list[array[float]] = []
    for start in range(0, len(texts), CALL_UNITS):
        vectors += [_normed(vector) for vector in await embed(texts[start : start + CALL_UNITS])]
    return vectors


def _normed(vector: bytes) -> array[float]:
    values = array("f", vector)
    length = sqrt(sum(map(mul, values, values))) or 1.0
    return array("f", [value / length for value in values])


def _gaps(runs: Sequence[Run], vectors: list[array[float]]) -> list[list[float]]:
    """For each run, how different each unit is from the one before it (1 - cosine)."""
    found: list[list[float]] = []
    first = 0
    for run in runs:
        count = len(run.ends) if len(run.ends) > 1 else 0
        own = vectors[first : first + count]
        found.append([1.0 - sum(map(mul, one, other)) for one, other in pairwise(own)])
        first += count
    return found


def _percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))] if values else 0.0


def _passages(run: Run, gaps: list[float], different: float, rule: Split) -> Iterator[Passage]:
    size, overlap = min(size_of(rule), LONGEST), overlap_of(rule)
    spans = list(_parted((0, *run.ends), gaps, different, size))
    for span in overlapping(run.text, spans, size=size, overlap=overlap):
        start, end = trimmed(run.text, span)
        if start < end:
            page = next(number for offset, number in reversed(run.pages) if offset <= start)
            yield Passage(
                text=run.text[start:end],
                start=run.start + start,
                end=run.start + end,
                headings=run.headings,
                page=page,
                prefixed=rule.headings,
            )


def _parted(edges: tuple[int, ...], gaps: list[float], different: float, size: int) -> Iterator[Span]:
    """Parts of a run, looked at a few passages at a time, so that a long one takes time by its length only.

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
