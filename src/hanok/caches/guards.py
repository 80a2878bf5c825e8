"""Differences that vectors hardly see and answers hang on: numbers, negation, names, quotations, opposites. Pure.

Sentence encoders put "which drugs are safe" beside "which drugs are not safe". So what is easily told apart by its
words is told apart here: `differ` says of two questions that they cannot be counted on to mean the same. English and
Korean; of other languages only numbers, quotations, names and the last rule.

The last rule is the strongest: where one word of meaning is all that differs, that word is the question. Wordings of
different people differ in more.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from itertools import pairwise

import msgspec

_WORD = re.compile(r"[^\W_]+(?:['’][^\W\d_]+)?")
_NUMBER = re.compile(r"\d+(?:[.,:/-]\d+)*")
_QUOTED = re.compile(r"\"([^\"]+)\"|“([^”]+)”|‘([^’]+)’|`([^`]+)`|「([^」]+)」|『([^』]+)』|(?<!\w)'([^']+)'(?!\w)")
_NAME = re.compile(r"(?<![.?!]\s)(?<!^)\b[A-Z][\w.+#-]*")
_LATIN = re.compile(r"[A-Za-z][\w.+#-]*")
_HANGUL = re.compile(r"[가-힣]")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_NUMBER_WORDS = (
    "zero", "one once", "two twice", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven",
    "twelve",
)  # fmt: skip
_VALUES = {word: str(value) for value, words in enumerate(_NUMBER_WORDS) for word in words.split()} | {
    "hundred": "100",
    "thousand": "1000",
    "million": "1000000",
    "half": "1/2",
    "dozen": "12",
}
_KOREAN_NUMBER = re.compile(
    r"(?<![가-힣])(한|두|세|네|다섯|여섯|일곱|여덟|아홉|열|첫|둘|셋|넷|하나)"
    r"(?=\s?(?:번|개|명|가지|살|시|달|째|배|사람|차례|곳|권|마리))"
)
_NEGATIONS = _words(
    "not no never none neither nor nobody nothing nowhere without cannot cant dont doesnt didnt isnt arent wasnt"
    " werent wont wouldnt shouldnt couldnt hasnt havent hadnt aint except unless excluding lack lacks lacking hardly"
)
_KOREAN_NEGATION = re.compile(
    r"(?<![가-힣])(?:안|못)(?=\s?[가-힣])|않|없|아니|아닌|아님|지\s?못|지\s?마|지\s?말"
    r"|말고|제외|빼고|외에|금지|불가|미만"
    r"|안\s?되|안\s?돼"
)
_UN = ("un", "in", "im", "ir", "non", "dis", "mis", "비", "불", "미", "무")
_OPPOSITES = (
    ("more most", "less fewer least fewest"), ("before", "after"), ("above over", "below under"),
    ("increase increases increased increasing bigger",
     "decrease decreases decreased decreasing reduce reduces smaller"),
    ("enable enables enabled enabling", "disable disables disabled disabling"),
    ("start starts begin", "stop stops end"),
    ("open opens opening", "close closes closing"), ("buy buys buying", "sell sells selling"),
    ("high higher highest", "low lower lowest"), ("large larger largest big biggest", "small smaller smallest"),
    ("max maximum", "min minimum"), ("add adds adding create", "remove removes removing delete deletes"),
    ("hot hotter", "cold colder"), ("first", "last"), ("good better best", "bad worse worst"),
    ("old older oldest", "new newer newest young younger"), ("fast faster fastest", "slow slower slowest"),
    ("long longer longest", "short shorter shortest"), ("true", "false"), ("ascending", "descending"),
    ("allow allows allowed", "forbid forbids forbidden deny denies denied"), ("win won", "lose lost"),
    ("male man men husband", "female woman women wife"), ("import imports", "export exports"), ("upload", "download"),
    ("push", "pull"), ("left", "right"), ("north", "south"), ("east", "west"), ("cause causes", "cure cures effects"),
    ("advantages benefits pros", "disadvantages drawbacks cons"), ("boil boiling", "freeze freezing"),
)  # fmt: skip
_SIDES = {
    word: (pair, side)
    for pair, sides in enumerate(_OPPOSITES)
    for side, words in enumerate(sides)
    for word in words.split()
}
_KOREAN_PAIRS = (
    "이상/이하 초과/미만 증가/감소 장점/단점 시작/종료 최대/최소 최고/최저 켜/끄"
    " 여나/닫 열/닫 늘리/줄이 많/적 높/낮 이전/이후 전에/후에 남성/여성 남자/여자"
    " 승인/거부 허용/금지 성공/실패 수입/수출 입력/출력 설치/삭제 추가/삭제 빠르/느리"
    " 빠른/느린 좋/나쁜 처음/마지막 동쪽/서쪽 남쪽/북쪽 왼쪽/오른쪽 찬성/반대 상승/하락"
)
_KOREAN_OPPOSITES = [(one, other) for one, _, other in (pair.partition("/") for pair in _KOREAN_PAIRS.split())]
_KOREAN_ORIGIN = re.compile(r"([가-힣A-Za-z]+)(?:에서|부터|보다)(?![가-힣])")
_ASKED = {"who": "who", "whom": "who", "whose": "who", "when": "when", "where": "where", "why": "why"}
_KOREAN_ASKED = (("누구", "who"), ("누가", "who"), ("언제", "when"), ("어디", "where"), ("왜", "why"))
_AMOUNTS = _words("many much long old far often")
_LIGHT = _words(
    "a an the this that these those my your our their his her its some any i you we they he she it me us them is are am"
    " was were be been being do does did done can could may might will would shall should must have has had having to"
    " of in on at by for from with into about as than then and or but if so there here what which who whom whose when"
    " where why how please tell show explain give know want need like help way ways possible get me kindly just also"
    " really very exactly actually hello hi thanks thank s t m re ve ll d"
    " 좀 그 이 저 것 수 왜 어떻게 무엇 뭐 무슨 어떤 알려 주세요 줘 싶어요 싶습니다"
    " 하나요 인가요 있나요 방법 방법을 방법은 해요 해"
)


class Facts(msgspec.Struct, frozen=True):
    """What is compared of a text."""

    numbers: tuple[str, ...]
    negations: int
    quoted: tuple[str, ...]
    names: tuple[str, ...]
    sides: frozenset[tuple[int, int]]
    asked: frozenset[str]
    origins: frozenset[str]
    words: frozenset[str]


def facts(text: str) -> Facts:
    """What is compared of this text."""
    text = unicodedata.normalize("NFKC", text).strip()
    words = [word.lower().replace("’", "'") for word in _WORD.findall(text)]
    return Facts(
        numbers=_numbers(text, words),
        negations=_negations(text, words),
        quoted=tuple(sorted("".join(found).lower() for found in _QUOTED.findall(text))),
        names=_names(text),
        sides=frozenset(_sides(text, words)),
        asked=frozenset(_asked(text, words)),
        origins=frozenset(_KOREAN_ORIGIN.findall(text)),
        words=frozenset(word.removesuffix("'s") for word in words if not _negates(word)),
    )


def differ(one: Facts, other: Facts) -> bool:
    """Whether two texts cannot be counted on to mean the same. Equal facts say nothing against it."""
    return (
        one.numbers != other.numbers
        or one.negations != other.negations
        or one.quoted != other.quoted
        or one.names != other.names
        or any((pair, 1 - side) in other.sides for pair, side in one.sides)
        or _apart(one.asked, other.asked)
        or _apart(one.origins, other.origins)
        or _by_one_word(one.words, other.words)
    )


def _apart(one: frozenset[str], other: frozenset[str]) -> bool:
    return bool(one and other) and one.isdisjoint(other)


def _by_one_word(one: frozenset[str], other: frozenset[str]) -> bool:
    """Whether they differ by one word of meaning, or by a word and its opposite made with a syllable before it."""
    left, right = _meant(one - other), _meant(other - one)
    for word in set(left):
        if (form := next((each for each in right if _inflected(word, each)), None)) is not None:
            left.remove(word)
            right.remove(form)
    if any(f"{syllable}{word}" in right for word in one for syllable in _UN):
        return True
    if any(f"{syllable}{word}" in left for word in other for syllable in _UN):
        return True
    return max(len(left), len(right)) == 1


def _meant(words: Iterable[str]) -> set[str]:
    return {word for word in words if word not in _LIGHT}


def _inflected(one: str, other: str) -> bool:
    """Whether these look like forms of one word: all but the end is the same."""
    shared = next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    korean = _HANGUL.match(one) is not None
    return shared >= (2 if korean else 3) and shared >= max(len(one), len(other)) / 2


def _numbers(text: str, words: list[str]) -> tuple[str, ...]:
    """In their order: from 3 to 5 is not from 5 to 3."""
    told = [_VALUES[word] for word in words if word in _VALUES]
    return (*(number.replace(",", "") for number in _NUMBER.findall(text)), *told, *_KOREAN_NUMBER.findall(text))


def _negations(text: str, words: list[str]) -> int:
    """One or none: how often it is said is a matter of style."""
    return int(any(map(_negates, words)) or _KOREAN_NEGATION.search(text) is not None)


def _negates(word: str) -> bool:
    return word.replace("'", "") in _NEGATIONS or word.endswith("n't")


def _names(text: str) -> tuple[str, ...]:
    """Words with a capital within a sentence, in their order; in Korean all Latin words."""
    found = (_LATIN if _HANGUL.search(text) else _NAME).findall(text)
    return tuple(name.lower().rstrip(".").removesuffix("s") for name in found if name != "I")


def _sides(text: str, words: list[str]) -> Iterable[tuple[int, int]]:
    """Which side of each pair of opposites is told, where only one is."""
    seen = {_SIDES[word] for word in words if word in _SIDES}
    yield from ((pair, side) for pair, side in seen if (pair, 1 - side) not in seen)
    for pair, (one, other) in enumerate(_KOREAN_OPPOSITES, len(_OPPOSITES)):
        if (one in text) != (other in text):
            yield pair, int(other in text)


def _asked(text: str, words: list[str]) -> Iterable[str]:
    """What kind of thing is asked for."""
    yield from (_ASKED[word] for word in words if word in _ASKED)
    yield from (kind for word, kind in _KOREAN_ASKED if word in text)
    if any(one == "how" and other in _AMOUNTS for one, other in pairwise(words)):
        yield "amount"
