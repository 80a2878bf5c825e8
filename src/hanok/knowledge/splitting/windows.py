"""Text cut into pieces of at most a size, with or without overlap, counted in characters or in tokens.

There is no tokenizer that fits all models, so tokens are estimated: a Hangul syllable, an ideograph, a sign or an emoji
is one, so are up to three digits, and up to six letters of other scripts. Tokenizers of today find about as many, or
fewer, so that what is declared is what the model gets at most.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache

from hanok.knowledge.splitting.ends import Prefer, Span, after_blanks, best_cut, overlap_start
from hanok.knowledge.splitting.rules import LONGEST

_SYLLABLES = "\u1100-\u11ff\u3040-\u30ff\u3130-\u318f\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\uf900-\ufaff"
_TOKEN = rf"(?:[{_SYLLABLES}]|\d{{1,3}}|(?:(?![{_SYLLABLES}])[^\W\d]){{1,6}}|[^\w\s]|\w)"
_ONE = re.compile(_TOKEN)
_LONGEST_TOKEN = 6


def characters(text: str, start: int, end: int, *, size: int, overlap: int, prefer: Prefer = "sentence") -> list[Span]:
    """Spans of at most `size` characters."""
    size = min(size, LONGEST)
    return list(
        _windows(
            text,
            start,
            end,
            reach=lambda begin: begin + size,
            back=lambda cut: cut - overlap,
            prefer=prefer,
        )
    )


def tokens(text: str, start: int, end: int, *, size: int, overlap: int) -> list[Span]:
    """Spans of at most `size` tokens as `count_tokens` counts them, that begin and end between words."""
    longest = _at_most(size)

    def reach(begin: int) -> int:
        match = longest.match(text, begin, min(end, begin + LONGEST))
        return match.end() if match else begin + LONGEST

    def back(cut: int) -> int:
        if not overlap:
            return cut
        begins = [match.start() for match in _ONE.finditer(text, max(start, cut - overlap * _LONGEST_TOKEN), cut)]
        return begins[-overlap:][0] if begins else cut

    return list(_windows(text, start, end, reach=reach, back=back, prefer="sentence"))


def count_tokens(text: str) -> int:
    """About how many tokens a text is for a model."""
    return len(_ONE.findall(text))


@lru_cache(maxsize=64)
def _at_most(size: int) -> re.Pattern[str]:
    return re.compile(rf"(?:\s*+{_TOKEN}){{1,{size}}}+\s*+")


def _windows(
    text: str,
    start: int,
    end: int,
    *,
    reach: Callable[[int], int],
    back: Callable[[int], int],
    prefer: Prefer,
) -> Iterator[Span]:
    """Each window reaches as far as `reach` says, and the next begins where `back` says, or at the word after that.

    One that would have nothing new, but blanks, begins at what is new instead.
    """
    begin = new = after_blanks(text, start, end)
    while begin < end:
        limit = min(reach(begin), end)
        cut = end if limit >= end else best_cut(text, begin, limit, prefer=prefer)
        if cut <= new and begin < new:
            begin = new
            continue
        yield begin, cut
        new, again = after_blanks(text, cut, end), max(back(cut), begin + 1)
        if new == end:
            return
        begin = after_blanks(text, overlap_start(text, again, cut), end) if again < cut else new
