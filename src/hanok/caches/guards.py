"""Differences that vectors hardly see and answers hang on: numbers, negation, names, quotations, opposites. Pure.

Sentence encoders put "which drugs are safe" beside "which drugs are not safe". So what is easily told apart by its
words is told apart here: two questions can only mean the same when their `facts` are equal. English and Korean.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_NUMBER = re.compile(r"\d+(?:[.,:/-]\d+)*")
_QUOTED = re.compile(r"\"([^\"]+)\"|“([^”]+)”|‘([^’]+)’|`([^`]+)`|「([^」]+)」|『([^』]+)』|(?<!\w)'([^']+)'(?!\w)")
_NAME = re.compile(r"(?<![.?!]\s)(?<!^)\b[A-Z][\w.+#-]*")
_LATIN_IN_KOREAN = re.compile(r"[A-Za-z][\w.+#-]*")
_HANGUL = re.compile(r"[가-힣]")

_NUMBERS = {
    word: str(value)
    for value, words in enumerate(
        (
            "zero", "one once", "two twice second", "three third", "four fourth", "five fifth", "six sixth",
            "seven seventh", "eight eighth", "nine ninth", "ten tenth", "eleven", "twelve",
        )
    )
    for word in words.split()
}  # fmt: skip
_NUMBERS |= {"first": "1", "hundred": "100", "thousand": "1000", "million": "1000000", "half": "1/2", "dozen": "12"}
_KOREAN_NUMBER = re.compile(
    r"(?<![가-힣])(한|두|세|네|다섯|여섯|일곱|여덟|아홉|열|첫|둘|셋|넷|하나)(?=\s?(?:번|개|명|가지|살|시|달|째|배|사람|차례|곳|권|마리))"
)
_NEGATIONS = frozenset(
    [
        "not",
        "no",
        "never",
        "none",
        "neither",
        "nor",
        "nobody",
        "nothing",
        "nowhere",
        "without",
        "cannot",
        "cant",
        "dont",
        "doesnt",
        "didnt",
        "isnt",
        "arent",
        "wasnt",
        "werent",
        "wont",
        "wouldnt",
        "shouldnt",
        "couldnt",
        "hasnt",
        "havent",
        "hadnt",
        "aint",
        "except",
        "unless",
        "excluding",
        "lack",
        "lacks",
        "lacking",
        "hardly",
    ]
)
_KOREAN_NEGATION = re.compile(
    r"(?<![가-힣])(?:안|못)(?=\s?[가-힣])|않|없|아니|아닌|아님|지\s?못|지\s?마|지\s?말|말고|제외|빼고|외에|금지|불가|미만|(?<![가-힣])(?:비|무|미|불)(?=[가-힣]{2,})"
)
_OPPOSITES = (
    ("more", "less fewer"), ("most", "least fewest"), ("before", "after"), ("above", "below"), ("over", "under"),
    ("increase increases increased increasing", "decrease decreases decreased decreasing reduce reduces reducing"),
    ("enable enables enabled enabling", "disable disables disabled disabling"), ("start starts begin", "stop stops end"),
    ("open opens opening", "close closes closing"), ("buy buys buying", "sell sells selling"), ("high higher highest",
    "low lower lowest"), ("large larger largest big bigger biggest", "small smaller smallest"), ("max maximum", "min "
    "minimum"), ("add adds adding", "remove removes removing delete deletes"), ("hot hotter", "cold colder"),
    ("first", "last"), ("good better best", "bad worse worst"), ("old older oldest", "new newer newest young younger"),
    ("fast faster fastest", "slow slower slowest"), ("long longer longest", "short shorter shortest"),
    ("true", "false"), ("allow allows allowed", "forbid forbids forbidden deny denies denied"), ("win won", "lose lost"),
    ("male man men husband", "female woman women wife"), ("import imports", "export exports"), ("upload", "download"),
    ("encrypt", "decrypt"), ("install", "uninstall"), ("push", "pull"), ("left", "right"), ("north", "south"),
    ("east", "west"), ("up", "down"), ("in", "out"), ("on", "off"), ("to", "from"), ("cause causes", "cure cures"),
    ("advantages benefits pros", "disadvantages drawbacks cons"), ("laminar", "turbulent"),
)  # fmt: skip
_SIDES = {
    word: (pair, side)
    for pair, sides in enumerate(_OPPOSITES)
    for side, words in enumerate(sides)
    for word in words.split()
}
_KOREAN_OPPOSITES = (
    ("이상", "이하"), ("초과", "미만"), ("증가", "감소"), ("장점", "단점"), ("시작", "종료"), ("최대", "최소"), ("최고", "최저"),
    ("켜", "끄"), ("열", "닫"), ("많", "적"), ("높", "낮"), ("이전", "이후"), ("전에", "후에"), ("남성", "여성"), ("남자", "여자"),
    ("승인", "거부"), ("허용", "금지"), ("성공", "실패"), ("수입", "수출"), ("입력", "출력"), ("설치", "삭제"), ("추가", "삭제"),
    ("빠르", "느리"), ("처음", "마지막"), ("가장 큰", "가장 작은"), ("동쪽", "서쪽"), ("남쪽", "북쪽"), ("왼쪽", "오른쪽"),
    ("찬성", "반대"), ("합격", "불합격"), ("가능", "불가능"), ("상승", "하락"),
)  # fmt: skip
_QUESTIONS = {
    "who": "who", "whom": "who", "whose": "who", "when": "when", "where": "where", "why": "why",
}  # fmt: skip
_KOREAN_QUESTIONS = (
    ("누구", "who"),
    ("누가", "who"),
    ("언제", "when"),
    ("어디", "where"),
    ("왜", "why"),
    ("몇", "many"),
)

Facts = tuple[object, ...]


def facts(text: str) -> Facts:
    """What must be equal in two texts that mean the same."""
    text = unicodedata.normalize("NFKC", text).strip()
    words = [word.lower().replace("’", "'") for word in _WORD.findall(text)]
    korean = _HANGUL.search(text) is not None
    return (
        _numbers(text, words),
        _negations(text, words),
        tuple(sorted("".join(found).lower() for found in _QUOTED.findall(text))),
        _names(text, korean=korean),
        _sides(text, words),
        _questions(text, words),
    )


def _numbers(text: str, words: list[str]) -> tuple[str, ...]:
    """In their order: from 3 to 5 is not from 5 to 3."""
    told = [_NUMBERS[word] for word in words if word in _NUMBERS]
    return (*(number.replace(",", "") for number in _NUMBER.findall(text)), *told, *_KOREAN_NUMBER.findall(text))


def _negations(text: str, words: list[str]) -> int:
    plain = sum(word.replace("'", "") in _NEGATIONS or word.endswith("n't") for word in words)
    return plain + len(_KOREAN_NEGATION.findall(text))


def _names(text: str, *, korean: bool) -> tuple[str, ...]:
    """Words with a capital within a sentence, in their order; in Korean all Latin words."""
    found = (_LATIN_IN_KOREAN if korean else _NAME).findall(text)
    return tuple(name.lower().rstrip(".").removesuffix("'s") for name in found if name not in ("I", "I'm"))


def _sides(text: str, words: list[str]) -> frozenset[object]:
    """Which side of each pair of opposites is told, where only one is."""
    seen = {_SIDES[word] for word in words if word in _SIDES}
    counted = Counter(pair for pair, _ in seen)
    told: set[object] = {(pair, side) for pair, side in seen if counted[pair] == 1}
    for one, other in _KOREAN_OPPOSITES:
        if (one in text) != (other in text):
            told.add(one if one in text else other)
    return frozenset(told)


def _questions(text: str, words: list[str]) -> frozenset[str]:
    asked = {_QUESTIONS[word] for word in words if word in _QUESTIONS}
    if any(
        one == "how" and other in ("many", "much", "long", "old", "far")
        for one, other in zip(words, words[1:], strict=False)
    ):
        asked.add("many")
    return frozenset(asked | {kind for word, kind in _KOREAN_QUESTIONS if word in text})
