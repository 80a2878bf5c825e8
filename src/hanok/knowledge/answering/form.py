"""An answer in machine form: what it says, which passages it cites and where they stand, sentence by sentence."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from hanok.knowledge.answering.citations import Sentence
from hanok.knowledge.answering.sentences import ENDS
from hanok.knowledge.answering.support import shared, telling_terms
from hanok.knowledge.values import Hit

LONGEST_QUOTE = 500
"""Characters of a passage that are quoted."""


def passage_form(index: int, hit: Hit) -> dict[str, Any]:
    """A passage as it is put before the model. Offsets are characters of its document's text."""
    return {**_place(index, hit), "start": hit.start, "end": hit.end, "text": hit.text, "score": hit.score}


def citation_forms(hits: Sequence[Hit], sentences: Sequence[Sentence]) -> list[dict[str, Any]]:
    """The passages that are cited, each once, by their numbers.

    `quote` is what of the passage the citing sentences are nearest to, `start` and `end` where that stands in the
    document; where a passage was widened and its pieces do not adjoin, these are the passage's own.
    """
    cited = sorted({number for sentence in sentences for number in sentence.citations})
    return [_citation(number, hits[number - 1], sentences) for number in cited]


def sentence_form(sentence: Sentence) -> dict[str, Any]:
    """A sentence of the answer. `cited` is None where it claims nothing, as a question or a heading."""
    return {
        "text": sentence.text,
        "start": sentence.start,
        "end": sentence.end,
        "citations": list(sentence.citations),
        "attributed": sentence.attributed,
        "cited": bool(sentence.citations) if sentence.citations or sentence.kind == "claim" else None,
        "support": sentence.support,
    }


def source_lines(citations: Sequence[dict[str, Any]]) -> list[str]:
    """One line for each cited passage: its number, path, headings and page."""
    return [f"[{each['index']}] {_where(each)}" for each in citations]


def _where(citation: dict[str, Any]) -> str:
    place = " › ".join(_escaped(each) for each in (citation["path"], *citation["headings"]))
    return f"{place}, p. {citation['page']}" if citation["page"] else place


def _escaped(text: str) -> str:
    """In one line, and with no brackets that Markdown would take for a link."""
    return " ".join(text.split()).replace("[", "(").replace("]", ")")


def _place(index: int, hit: Hit) -> dict[str, Any]:
    return {
        "index": index,
        "document": hit.document,
        "path": hit.path,
        "title": hit.title,
        "page": hit.page or None,
        "headings": list(hit.headings),
    }


def _citation(number: int, hit: Hit, sentences: Sequence[Sentence]) -> dict[str, Any]:
    said = " ".join(sentence.text for sentence in sentences if number in sentence.citations)
    first, last = nearest(hit.text, said)
    adjoins = len(hit.text) == hit.end - hit.start
    start, end = (hit.start + first, hit.start + last) if adjoins else (hit.start, hit.end)
    return {**_place(number, hit), "start": start, "end": end, "quote": hit.text[first:last], "score": hit.score}


def nearest(text: str, said: str) -> tuple[int, int]:
    """The stretch of sentences or lines of a text that shares most terms with what was said, as offsets."""
    asked = telling_terms(said)
    spans = list(_spans(text))
    if not spans:
        return 0, min(len(text), LONGEST_QUOTE)
    shares = [shared(asked, text[start:end]) for start, end in spans]
    best = shares.index(max(shares))
    first = last = best
    while first > 0 and shares[first - 1] >= max(shares) / 2 and spans[last][1] - spans[first - 1][0] <= LONGEST_QUOTE:
        first -= 1
    while (
        last + 1 < len(spans)
        and shares[last + 1] >= max(shares) / 2
        and spans[last + 1][1] - spans[first][0] <= LONGEST_QUOTE
    ):
        last += 1
    return spans[first][0], min(spans[last][1], spans[first][0] + LONGEST_QUOTE)


def _spans(text: str) -> list[tuple[int, int]]:
    """Lines, and in them sentences, without the spaces round them."""
    cuts = [0]
    for at, char in enumerate(text):
        if char == "\n" or (char in ENDS and text[at + 1 : at + 2].isspace()):
            cuts.append(at + 1)
    cuts.append(len(text))
    spans: list[tuple[int, int]] = []
    for start, end in itertools.pairwise(cuts):
        piece = text[start:end]
        if bare := piece.strip():
            first = start + len(piece) - len(piece.lstrip())
            spans.append((first, first + len(bare)))
    return spans
