"""Where a text may be cut: ends of sentences, of lines, of words; in Korean and English, without a model.

A sentence ends with `.`, `!`, `?`, `…` or their wide forms (and quotes or brackets that close there) before a blank,
or at an empty line; Korean ends its sentences so, too (`…다.`, `…요?`). No end is a full stop after an abbreviation, an
initial or the number of a list item, or before a small letter.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Literal

Span = tuple[int, int]
"""Where something begins and ends in a text, in characters."""
Prefer = Literal["sentence", "line"]

_CLOSERS = "\"'”’»)\\]」』】》*_`"
_SENTENCE = re.compile(
    rf"(?:[.!?…]+[{_CLOSERS}]*(?=\s)|[。！？．][{_CLOSERS}]*)\s*"
    r"|(?:\r\n|\r|\n)[ \t]*(?:\r\n|\r|\n)\s*"
)
_NO_END = re.compile(
    r"(?:^|[\s(\[\"'“‘])(?:e\.g|i\.e|cf|vs|etc|al|approx|resp|Mr|Mrs|Ms|Dr|Prof|St|Fig|Figs|Eq|No|Nos|Vol|pp?|Sec|Ch|Inc"
    r"|Ltd|Corp|Co|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec|[A-Z]|\d{1,3}|[가-하])\.$"
)
_LINE = re.compile(r"\r\n|\r|\n")
_BLANK = re.compile(r"\s+")
_SAYS = re.compile(r"\S")
_LOOK_BACK = 12


def sentence_ends(text: str, start: int, end: int) -> Iterator[int]:
    """Where sentences end (the blanks after them included), between those offsets."""
    for match in _SENTENCE.finditer(text, start, end):
        if not text[match.start()].isspace() and not _is_end(text, match):
            continue
        yield match.end()


def _is_end(text: str, match: re.Match[str]) -> bool:
    mark = match[0].rstrip()
    if mark != ".":
        return True
    after = text[match.end() : match.end() + 1]
    if after.islower() and after.isascii() and "\n" not in match[0]:
        return False
    return not _NO_END.search(text, max(0, match.start() - _LOOK_BACK), match.start() + 1)


def line_ends(text: str, start: int, end: int) -> Iterator[int]:
    """Where lines end, the newline included."""
    return (match.end() for match in _LINE.finditer(text, start, end))


def best_cut(text: str, start: int, limit: int, *, prefer: Prefer) -> int:
    """Where to cut `text[start:limit]`: as late as possible, in its second half at an end of what is preferred.

    Else at the end of a line, of a word, and last of a character.
    """
    middle = start + (limit - start) // 2
    kinds = (sentence_ends, line_ends) if prefer == "sentence" else (line_ends,)
    late = limit - (limit - start) // 8
    for ends in kinds:
        for earliest in (late, middle):
            if found := max(ends(text, earliest, limit), default=0):
                return found
    if text[limit : limit + 1].isspace():
        return limit
    if found := max((match.end() for match in _BLANK.finditer(text, middle, limit)), default=0):
        return found
    return before_joined(text, start, limit)


def before_joined(text: str, start: int, limit: int) -> int:
    """`limit`, or a little before where it would tear what is one sign: an accent, an emoji of several, CR LF."""
    cut = limit
    while cut > start + 1 and limit - cut < 32 and _joined(text, cut):
        cut -= 1
    return limit if cut <= start + 1 or _joined(text, cut) else cut


def _joined(text: str, cut: int) -> bool:
    if cut >= len(text):
        return False
    before, after = text[cut - 1], text[cut]
    if after.isascii():
        return before == "\r" and after == "\n"
    joins = before == "\u200d" or after in "\u200d\ufe0e\ufe0f" or "\U0001f3fb" <= after <= "\U0001f3ff"
    return joins or bool(unicodedata.combining(after))


def after_blanks(text: str, start: int, end: int) -> int:
    """Where something else than blanks begins; `end` where nothing does."""
    match = _SAYS.search(text, start, end)
    return match.start() if match else end


def overlap_start(text: str, earliest: int, cut: int) -> int:
    """Where to begin again before `cut`, not before `earliest`: at a word, or at `cut` when none begins there.

    Text without any blank, as of languages that write none, begins at the first whole sign.
    """
    if text[earliest - 1 : earliest].isspace():
        return earliest
    if blank := _BLANK.search(text, earliest, cut):
        return blank.end()
    while earliest < cut and _joined(text, earliest):
        earliest += 1
    return earliest
