"""Citations of an answer, read, checked and supplied while it streams.

The text is taken apart into words, spaces, ends of lines and sentences, code, and citations. What it takes to know
which is which is held back and nothing else: a space or a full stop, as a citation may follow; never a sentence. Each
piece is decided by what stands around it, so an answer is the same however it was cut into chunks.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from hanok.knowledge.answering.sentences import CLOSERS, ENDS, WIDE_ENDS, Kind, bare_of, ends, is_row, kind_of
from hanok.knowledge.answering.support import Ground, best, suffices, support

UNCITED = "[uncited]"
"""Stands behind sentences that claim something, have no citation, and are in no passage's words."""
MOST_HELD = 64
"""Longest citation, in characters: what goes on after that is something else."""
_BRACKETS = "[【"
_SPACE = " \t\r"
_WORD = r"(?:passages?|sources?|docs?|documents?|출처|문서|자료|구절)"
_LIST = r"\d{1,3}(?:[ \t]*(?:[,;、，]|[-–~])[ \t]*\d{1,3})*"
_CITATION = re.compile(rf"[\[【][ \t]*(?:(?:{_WORD}[ \t]*[:：]?[ \t]*)?{_LIST}|uncited)[ \t]*[\]】]", re.IGNORECASE)
_MAY_BECOME = re.compile(r"[\[【][ \t]*[^\W\d_]*[ \t]*[:：]?[\d \t,;、，–~-]*", re.IGNORECASE)
_NUMBERS = re.compile(r"(\d{1,3})(?:[ \t]*[-–~][ \t]*(\d{1,3}))?")
_SPACES = re.compile(rf"[{_SPACE}]+")
_LINE_END = re.compile(rf"[{_SPACE}]*\n\s*")
_PLAIN = re.compile(rf"[^\s`\[【{re.escape(ENDS)}]+")
_MARKS = re.compile(rf"[{re.escape(ENDS)}]+[{re.escape(CLOSERS)}]*")
_FENCE = re.compile(r"`{3,}|~{3,}")
_BEFORE_FENCE = " \t-*+>0123456789.)"


@dataclass(frozen=True, kw_only=True)
class Sentence:
    """A sentence of an answer: `text` is `answer[start:end]`, its citations among it.

    `citations` are numbers of passages. `support` is the most of its words that one of those has, or without citations
    any passage. `attributed`: the model gave no citation, and the passage's words did.
    """

    text: str
    start: int
    end: int
    kind: Kind
    citations: tuple[int, ...]
    attributed: bool
    support: float


@dataclass
class _Open:
    """The sentence that is being said: where it began, all of it, and it without citations.

    Where it ends, but citations may follow, `marks` are what it ends with and `trail` are those that did.
    """

    start: int
    said: str = ""
    text: str = ""
    numbers: list[int] = field(default_factory=list[int])
    marks: str = ""
    trail: str = ""
    ending: bool = False
    cited_before: bool = False


class Citing:
    """Checks one answer's citations of passages 1 to `len(grounds)`."""

    def __init__(self, grounds: Sequence[Ground]) -> None:
        self._grounds = grounds
        self._held = ""
        self._new: list[str] = []
        self._told: list[str] = []
        self._length = 0
        self._line = ""
        self._fence = ""
        self._in_code = False
        self._open: _Open | None = None
        self.sentences: list[Sentence] = []

    def feed(self, text: str) -> str:
        """What can be passed on, now that this has come."""
        self._held += text
        while self._held and self._step(final=False):
            pass
        return self._pass_on()

    def end(self) -> str:
        """What was held back, when nothing more comes."""
        while self._held and self._step(final=True):
            pass
        self._close()
        return self._pass_on()

    @property
    def text(self) -> str:
        """The answer as it was passed on."""
        return "".join(self._told)

    def _pass_on(self) -> str:
        said = "".join(self._new)
        self._new.clear()
        self._told.append(said)
        return said

    # one step: False when more must come before anything is known

    def _step(self, *, final: bool) -> bool:
        held = self._held
        if self._fence:
            return self._step_in_fence(final)
        if self._open is not None and self._open.ending:
            return self._step_ending(self._open, final)
        if held[0] in "`~" and not self._line.strip(_BEFORE_FENCE):
            stepped = self._step_fence(final)
            if stepped is not None:
                return stepped
        if (blank := _LINE_END.match(held)) is not None:
            return self._step_line(blank[0], final)
        if held[0] in _SPACE:
            return self._step_space(final)
        if held[0] == "`":
            self._in_code = not self._in_code
            return self._say(1)
        if self._in_code:
            return self._say(1)
        if held[0] in _BRACKETS:
            return self._step_bracket(0, final)
        if held[0] in ENDS:
            return self._step_marks(final)
        plain = _PLAIN.match(held)
        return self._say(plain.end() if plain else 1)

    def _step_in_fence(self, final: bool) -> bool:
        """Code as it is, until a line of nothing but the fence closes it."""
        line, newline, _ = self._held.partition("\n")
        bare = line.strip()
        may_close = not self._line.strip() and (not bare or bare[0] == self._fence[0])
        if may_close and not newline and not final:
            return False
        if may_close and bare.startswith(self._fence) and not bare.strip(self._fence[0]):
            self._fence = ""
        self._put(self._take(len(line) + len(newline)))
        return True

    def _step_fence(self, final: bool) -> bool | None:
        """The line that opens a fence; None when this is none."""
        fence = _FENCE.match(self._held)
        if fence is None:
            short = len(self._held) < 3 and len(set(self._held)) == 1
            return False if short and not final else None
        line, newline, _ = self._held.partition("\n")
        if not newline and not final:
            return False
        self._close()
        self._fence = fence[0]
        self._put(self._take(len(line) + len(newline)))
        return True

    def _step_line(self, blank: str, final: bool) -> bool:
        """The end of a line and of its sentence, unless the next line goes on in small letters or cites it."""
        if len(blank) == len(self._held) and not final:
            return False
        goes_on = self._goes_on(blank, final)
        if goes_on is None:
            return False
        self._in_code = False
        if goes_on and self._open is not None:
            return self._say(len(blank))
        self._close()
        self._put(self._take(len(blank)))
        return True

    def _goes_on(self, blank: str, final: bool) -> bool | None:
        after = self._held[len(blank) :]
        if blank.count("\n") > 1 or self._line.lstrip().startswith(("#", "|")):
            return False
        if after[:1] in ("[", "【") and self._open is not None and not self._open.numbers:
            end = self._citation_end(len(blank), final)
            return None if end is None else end > len(blank) and kind_of(self._open.text) == "claim"
        return after[:1].islower()

    def _step_space(self, final: bool) -> bool:
        """Spaces; those before a citation go with it."""
        spaces = _SPACES.match(self._held)
        assert spaces is not None
        if spaces.end() == len(self._held) and not final:
            return False
        if self._held[spaces.end() : spaces.end() + 1] in ("[", "【") and not self._in_code:
            return self._step_bracket(spaces.end(), final)
        if self._open is not None:
            return self._say(spaces.end())
        self._put(self._take(spaces.end()))
        return True

    def _step_bracket(self, at: int, final: bool) -> bool:
        """A bracket after `at` spaces: a citation, or something else."""
        end = self._citation_end(at, final)
        if end is None:
            return False
        if end == at:
            return self._say(at + 1)
        apart = self._held[end : end + 1]
        opened = self._opened()
        spaces, cited = self._read_citation(at, end, opened)
        opened.said += self._put(spaces + cited if cited or (apart and apart.isalnum()) else "")
        return True

    def _step_marks(self, final: bool) -> bool:
        """A full stop or the like. The sentence ends where what comes next says so."""
        marks = _MARKS.match(self._held)
        assert marks is not None
        bare = self._held[marks.end() :].lstrip(_SPACE)
        if not bare and not final:
            return False
        at = len(self._held) - len(bare)
        end = self._citation_end(at, final) if bare[:1] in ("[", "【") else at
        if end is None:
            return False
        wide = any(mark in WIDE_ENDS for mark in marks[0])
        apart = at > marks.end() or end > at or not bare or bare[0].isspace()
        after = bare[0] if bare and bare[0] != "\n" else ""
        opened = self._opened()
        if not wide and not (apart and ends(opened.text, after)):
            return self._say(marks.end())
        opened.ending, opened.cited_before, opened.marks = True, bool(opened.numbers), self._take(marks.end())
        return True

    def _step_ending(self, opened: _Open, final: bool) -> bool:
        """Citations behind the full stop; whatever else comes, the sentence is over."""
        bare = self._held.lstrip(_SPACE)
        if not bare and not final:
            return False
        at = len(self._held) - len(bare)
        if bare[:1] in ("[", "【") and not opened.cited_before:
            end = self._citation_end(at, final)
            if end is None:
                return False
            if end > at:
                spaces, cited = self._read_citation(at, end, opened)
                opened.trail += spaces + cited if cited else ""
                return True
        self._close()
        return True

    # citations

    def _citation_end(self, at: int, final: bool) -> int | None:
        """Where the citation at `at` ends; `at` itself when there is none, None when that is not known yet."""
        held = self._held
        found = _CITATION.match(held, at)
        if found is not None:
            if found.end() == len(held) and not final:
                return None
            return at if held[found.end() : found.end() + 1] == "(" else found.end()  # a link
        may = _MAY_BECOME.match(held, at)
        unfinished = may is not None and may.end() == len(held) and may.end() - at < MOST_HELD
        return None if unfinished and not final else at

    def _read_citation(self, at: int, end: int, opened: _Open) -> tuple[str, str]:
        """Take a citation and the spaces before it; those of its numbers that there are, as they are written."""
        taken = self._take(end)
        found: list[int] = []
        for first, last in _NUMBERS.findall(taken[at:]):
            found += range(int(first), int(last or first) + 1)
        real = [number for number in dict.fromkeys(found) if 1 <= number <= len(self._grounds)]
        opened.numbers += [number for number in real if number not in opened.numbers]
        return taken[:at], "".join(f"[{number}]" for number in real)

    # what is told

    def _take(self, size: int) -> str:
        taken, self._held = self._held[:size], self._held[size:]
        return taken

    def _put(self, text: str) -> str:
        self._new.append(text)
        self._length += len(text)
        self._line = (self._line + text).rpartition("\n")[2]
        return text

    def _say(self, size: int) -> bool:
        """Pass on that much of what is held, as a part of the sentence."""
        opened = self._opened()
        said = self._put(self._take(size))
        opened.said += said
        opened.text += said
        return True

    def _opened(self) -> _Open:
        if self._open is None:
            self._open = _Open(self._length)
        return self._open

    def _close(self) -> None:
        """The sentence is over: say what it is, and put a citation or a mark behind it where it has none."""
        opened, self._open = self._open, None
        if opened is None:
            return
        text = opened.text + opened.marks
        kind, bare = kind_of(text), bare_of(text)
        numbers, attributed, share = tuple(opened.numbers), False, 0.0
        if numbers:
            share = max(support(bare, self._grounds[number - 1]) for number in numbers)
        elif kind == "claim":
            number, share = best(bare, self._grounds)
            if attributed := suffices(bare, share):
                numbers = (number,)
        opened.said += self._put(_behind(kind, text, numbers, attributed) + opened.marks + opened.trail)
        if kind != "empty":
            self._note(opened, kind, numbers, attributed, share)

    def _note(self, opened: _Open, kind: Kind, numbers: tuple[int, ...], attributed: bool, share: float) -> None:
        said = opened.said
        self.sentences.append(
            Sentence(
                text=said,
                start=opened.start,
                end=opened.start + len(said),
                kind=kind,
                citations=numbers,
                attributed=attributed,
                support=round(share, 3),
            )
        )


def _behind(kind: Kind, text: str, numbers: tuple[int, ...], attributed: bool) -> str:
    """What is put behind a sentence's words, before its full stop."""
    if kind != "claim" or is_row(text) or (numbers and not attributed):
        return ""
    return f" [{numbers[0]}]" if attributed else f" {UNCITED}"
