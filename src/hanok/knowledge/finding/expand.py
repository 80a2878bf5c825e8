"""Gives more of the document around a passage: from it outwards, as far as there is room, nothing told twice."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from hanok.knowledge.store import Store
from hanok.knowledge.values import Hit
from hanok.spec import Retrieve

NEIGHBOURS = 1
WIDEST_SECTION = 12
"""Passages before and after, of a section."""


async def expand(
    store: Store, collection: str, hits: Sequence[Hit], retrieve: Retrieve, *, readers: Sequence[str], of: str = ""
) -> list[Hit]:
    """The hits with more text around them, as declared; those that are told in a better one already are left out."""
    if retrieve.expand == "none":
        return list(hits)
    reach = NEIGHBOURS if retrieve.expand == "neighbours" else WIDEST_SECTION
    told: list[Hit] = []
    for hit in hits:
        if any(_holds(better, hit) for better in told):
            continue
        around = await store.passages(
            collection,
            document=hit.document,
            digest=hit.digest,
            first=max(0, hit.ordinal - reach),
            last=hit.ordinal + reach,
            readers=readers,
            store=of,
        )
        if retrieve.expand == "section":
            around = [each for each in around if each.headings == hit.headings]
        told.append(widen(hit, around, retrieve.expand_characters))
    return told


def widen(hit: Hit, around: Sequence[Hit], most: int) -> Hit:
    """The hit with the text of passages before and after it, in turns, while it has at most that many characters."""
    chosen = {hit.ordinal: hit}
    by_ordinal = {each.ordinal: each for each in around}
    before, after = hit.ordinal - 1, hit.ordinal + 1
    size = len(hit.text)
    while before in by_ordinal or after in by_ordinal:
        for ordinal in (after, before):
            if ordinal in by_ordinal:
                each = by_ordinal.pop(ordinal)
                size += len(each.text)
                if size <= most:
                    chosen[ordinal] = each
        if size > most:
            break
        before, after = before - 1, after + 1
    pieces = [chosen[ordinal] for ordinal in sorted(chosen)]
    return msgspec.structs.replace(
        hit, text=_joined(pieces), start=pieces[0].start, end=max(each.end for each in pieces), page=pieces[0].page
    )


def _joined(pieces: Sequence[Hit]) -> str:
    """Their text; what two share is told once, and what lies between two is a blank line."""
    text, end = pieces[0].text, pieces[0].end
    for each in pieces[1:]:
        if each.start > end:
            text += "\n\n" + each.text
        else:
            text += each.text[end - each.start :]
        end = max(end, each.end)
    return text


def _holds(wide: Hit, hit: Hit) -> bool:
    same = (wide.document, wide.digest) == (hit.document, hit.digest)
    return same and wide.start <= hit.start and hit.end <= wide.end
