"""The words that the rules of the tiers look for, English and Korean, and how a text is searched for all at once.

English phrases begin a word and may end in the middle of one (` summar`); a space at the end must follow. Korean ones
may stand anywhere, as particles follow them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Kind:
    """Phrases of one kind. Each that is said is worth `points`; at most `most` of them count."""

    points: int
    most: int = 1
    phrases: tuple[str, ...]


COMPLEX = Kind(
    points=5,
    phrases=(
        " analy", " prove ", " proof", " derive", " derivation", " design a", " design the", " architect", " implement",
        " debug", " refactor", " algorithm", " time complexity", " space complexity", " source code", " this code",
        " unit test", " step by step", " root cause", " trade off", " tradeoff", " theorem", " python", " javascript",
        " typescript", " golang", " in go ", " in rust", " in java ", " c++", " sql", " regex", " regular expression",
        " stack trace", " kubernetes", " dockerfile", " vulnerab", " optimi", " gradient", " eigen", " recursive",
        " recursion", " concurren", " logical fallac", " formally", " bash script", " shell script", " pull request",
        "분석", "증명", "설계", "디버깅", "디버그", "리팩터", "리팩토", "알고리즘", "복잡도", "구현", "코드", "파이썬",
        "자바스크립트", "타입스크립트", "쿼리", "스키마", "유도해", "단계별", "추론", "논증", "아키텍처", "최적화",
        "취약점", "근본 원인", "방정식", "미분", "적분", "행렬", "정규식", "정규 표현식", "스크립트", "쿠버네티스",
        "동시성", "재귀", "시나리오", "기울기",
    ),
)  # fmt: skip
"""Work that takes reasoning or code by itself."""
SIGNS = Kind(
    points=2,
    most=3,
    phrases=(
        " compare", " strateg", " risk", " budget", " cause", " plan ", " evidence", " evaluate", " assess",
        " calculate", " compute", " solve", " verif", " legal", " clause", " forecast", " improve", " assumption",
        " constraint",
        " diagnos", " justify", " argue", " argument", " conclu", " function", " program", " class ", " bug", " error",
        " dependenc", " migrat", " hypothes", " scenario", " reasoning", " schema", " query", " test", " api ",
        " milestone",
        "비교", "전략", "위험", "예산", "원인", "계획", "근거", "평가", "계산", "검토", "검증", "법적", "조항", "예측",
        "개선", "가정", "제약", "테스트", "진단", "풀이", "풀어줘", "결론", "함수", "프로그램", "오류", "버그",
        "의존성", "해석", "클래스",
    ),
)  # fmt: skip
"""Signs of such work, which count for it only together."""
WORK = Kind(
    points=2,
    phrases=(
        " summar", " translat", " rewrite", " rephras", " paraphras", " explain", " describe", " draft", " write",
        " compose", " suggest", " recommend", " idea", " pros and cons", " difference between", " overview", " story",
        " poem", " letter", " advice", " how do", " how does", " how can", " how should", " condense", " tone",
        " outline", " itinerary", " brainstorm", " tell me about", " why ", " help me", " notes", " turn these",
        " talk about", " come up with", " introduc", " feel ", " gist", " differences",
        "요약", "간추", "번역", "옮겨", "설명", "써줘", "써 줘", "써주", "작성", "바꿔", "추천", "장점", "단점", "차이",
        "정리", "이야기", "조언", "아이디어", "소개", "초안", "역사", "어떻게", "방법", "왜 ", "원리", "풀어서", "지어",
        "문구", "도와",
    ),
)  # fmt: skip
"""Everyday work with texts, and conversation."""
PLAIN = Kind(
    points=-2,
    phrases=(
        " classify", " extract", " spelling", " spell ", " yes or no", " true or false", " positive or negative",
        " sentiment", " label ", " which of these", " convert ", " synonym", " antonym", " stand for",
        "분류", "추출", "뽑아", "골라", "맞춤법", "띄어쓰기", "긍정", "예 또는 아니오", "약자", "반대말", "반대색",
    ),
)  # fmt: skip
"""Classification, extraction and look-ups."""

_KINDS: dict[str, Kind] = {}
for _kind in (PLAIN, WORK, SIGNS, COMPLEX):  # a phrase of two kinds is of the last
    _KINDS.update(dict.fromkeys((phrase.strip() for phrase in _kind.phrases), _kind))
_ALL = [phrase for kind in (COMPLEX, SIGNS, WORK, PLAIN) for phrase in kind.phrases]


def _any_of(phrases: Iterable[str]) -> str:
    """A pattern for any of them, the longest that fits, as a tree of their letters.

    `one|another|…` would try every phrase at every word; a tree looks at each letter once. A space at a phrase's end
    must follow it, but may begin the next one.
    """
    branches: dict[str, list[str]] = {}
    for phrase in phrases:
        branches.setdefault(phrase[:1], []).append(phrase[1:])
    ways = [
        "(?= )" if letter == " " and rest == [""] else re.escape(letter) + _any_of(rest)
        for letter, rest in branches.items()
        if letter
    ]
    if "" in branches:
        ways.append("")
    return ways[0] if len(ways) == 1 else f"(?:{'|'.join(ways)})"


_ENGLISH = re.compile(f" ({_any_of(each.removeprefix(' ') for each in _ALL if each.isascii())})".encode())
_KOREAN: dict[str, list[str]] = {}
"""Korean phrases by their first two letters. Each letter begins some phrase or other, so a tree would not help."""
for _phrase in _ALL:
    if not _phrase.isascii():
        _KOREAN.setdefault(_phrase[:2], []).append(_phrase)
_KOREAN_BEGINS = re.compile(f"[{''.join({pair[0] for pair in _KOREAN})}](?=[{''.join({pair[1] for pair in _KOREAN})}])")
_WORDS_ONLY = bytes(code if chr(code).isalnum() or code == 0x2B else 0x20 for code in range(128)) + b" " * 128


def find_phrases(text: str) -> dict[str, Kind]:
    """The phrases that are said, each once. English is looked for in bytes, which is several times faster."""
    plain = b" %b " % text.encode("ascii", "ignore").lower().translate(_WORDS_ONLY)
    found = [phrase.decode() for phrase in _ENGLISH.findall(plain)]
    if not text.isascii():
        found += _find_korean(text)
    return {phrase: _KINDS[phrase] for phrase in found}


def _find_korean(text: str) -> Iterable[str]:
    for match in _KOREAN_BEGINS.finditer(text):
        at = match.start()
        for phrase in _KOREAN.get(text[at : at + 2], ()):
            if text.startswith(phrase, at):
                yield phrase.strip()
