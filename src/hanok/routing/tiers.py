"""Which tier a request is of: SIMPLE, MODERATE or COMPLEX. Pure functions over the request, vectors or a model's word.

The rules add up points: for words that name a kind of work, and for the form of the request (its length, code, tools).
What the user said last says most about the work, and instructions stand at a text's beginning or end, so only those
are searched for words: a long prompt costs no more than a short one. The words and points were set on
`tier_examples.BUILT_IN` alone; docs/tiers.md tells how they fare on requests that they have not seen.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from operator import mul
from typing import Any, Self, cast, get_args

import msgspec

from hanok.spec import TierName, TierRules
from hanok.wire import ChatRequest

TIERS: tuple[TierName, ...] = get_args(TierName)
"""From the lowest to the highest."""

HEAD, TAIL = 800, 200
"""Characters of a text that are searched for words, at its beginning and its end."""
NEIGHBOURS = 5
"""Examples that decide together, each by how similar it is."""
WORD_TOKENS = 8
"""What the asked model may answer with: one word, in whatever tokens it has."""

_MOST_SIGNS = 3
_LONG = ((2000, 2), (300, 1))
_LONG_PROMPT = ((40_000, 2), (8_000, 1))
_MANY_TURNS = 6

# English phrases begin a word (the space before them); Korean ones may stand anywhere, as particles follow them.
_COMPLEX_WORDS = (
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
)  # fmt: skip
"""Work that takes reasoning or code by itself."""
_SIGNS = (
    " compare", " strateg", " risk", " budget", " cause", " plan ", " evidence", " evaluate", " assess", " calculate",
    " compute", " solve", " verif", " legal", " clause", " forecast", " improve", " assumption", " constraint",
    " diagnos", " justify", " argue", " argument", " conclu", " function", " program", " class ", " bug", " error",
    " dependenc", " migrat", " hypothes", " scenario", " reasoning", " schema", " query", " test", " api ",
    " milestone",
    "비교", "전략", "위험", "예산", "원인", "계획", "근거", "평가", "계산", "검토", "검증", "법적", "조항", "예측",
    "개선", "가정", "제약", "테스트", "진단", "풀이", "풀어줘", "결론", "함수", "프로그램", "오류", "버그", "의존성",
    "해석", "클래스",
)  # fmt: skip
"""Signs of such work, which only count for it together."""
_MODERATE_WORDS = (
    " summar", " translat", " rewrite", " rephras", " paraphras", " explain", " describe", " draft", " write",
    " compose", " suggest", " recommend", " idea", " pros and cons", " difference between", " overview", " story",
    " poem", " letter", " advice", " how do", " how does", " how can", " how should", " condense", " tone",
    " outline", " itinerary", " brainstorm", " tell me about", " why ", " help me", " notes", " turn these",
    " talk about", " come up with", " introduc", " feel ", " gist", " differences",
    "요약", "간추", "번역", "옮겨", "설명", "써줘", "써 줘", "써주", "작성", "바꿔", "추천", "장점", "단점", "차이",
    "정리", "이야기", "조언", "아이디어", "소개", "초안", "역사", "어떻게", "방법", "왜 ", "원리", "풀어서", "지어",
    "문구", "도와",
)  # fmt: skip
"""Everyday work with texts, and conversation."""
_SIMPLE_WORDS = (
    " classify", " extract", " spelling", " spell ", " yes or no", " true or false", " positive or negative",
    " sentiment", " label ", " which of these", " convert ", " synonym", " antonym", " stand for",
    "분류", "추출", "뽑아", "골라", "맞춤법", "띄어쓰기", "긍정", "예 또는 아니오", "약자", "반대말", "반대색",
)  # fmt: skip
"""Classification, extraction and look-ups."""
_KINDS: dict[str, tuple[str, ...]] = {}
"""From a phrase to the list above that it is in. Where lists share one, the first holds."""
for _phrases in (_COMPLEX_WORDS, _SIGNS, _MODERATE_WORDS, _SIMPLE_WORDS):
    for _phrase in _phrases:
        _KINDS.setdefault(_phrase.strip(), _phrases)


_POINTS = {_COMPLEX_WORDS: 5, _SIGNS: 2, _MODERATE_WORDS: 2, _SIMPLE_WORDS: -2}


def _any_of(phrases: Iterable[str]) -> str:
    """A pattern for any of them, the longest that fits, as a tree of their letters: each letter of a text is looked at

    once, whereas `one|another|…` would try every phrase at every word. A space at a phrase's end must follow it, but
    may begin the next one.
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


_ALL = [*_COMPLEX_WORDS, *_SIGNS, *_MODERATE_WORDS, *_SIMPLE_WORDS]
_ENGLISH = re.compile(f" ({_any_of(each.removeprefix(' ') for each in _ALL if each.isascii())})".encode())
_KOREAN: dict[str, list[str]] = {}
"""Korean phrases by their first two letters. Each letter begins some phrase or other, so a tree would not help."""
for _phrase in _ALL:
    if not _phrase.isascii():
        _KOREAN.setdefault(_phrase[:2], []).append(_phrase)
_KOREAN_BEGINS = re.compile(f"[{''.join({pair[0] for pair in _KOREAN})}](?=[{''.join({pair[1] for pair in _KOREAN})}])")
_WORDS_ONLY = bytes(code if chr(code).isalnum() or code == 0x2B else 0x20 for code in range(128)) + b" " * 128
_MATHS_SIGNS = re.compile("[∑∫√∂∞≤≥≠∀∃∈∇]")
_FORMULA = re.compile(r"\\(?:frac|sum|int|sqrt|begin|alpha|partial)\b|\b[a-z]\^\{?\d")

_QUESTION = """\
Sort the request between the lines by the work it takes. Do not do the work.
SIMPLE: classification, extraction, a short factual question, a greeting.
MODERATE: a summary, a translation, everyday writing, general conversation.
COMPLEX: analysis, reasoning in several steps, mathematics, planning, code.
Answer with one word: SIMPLE, MODERATE or COMPLEX.
---
{request}
---
One word:"""
_WORD = re.compile(r"[\s\"'`*.:]*(simple|moderate|complex)\b", re.IGNORECASE)
_ANY_WORD = re.compile("simple|moderate|complex", re.IGNORECASE)


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What is looked at of a request: what the user said last, and the request's form.

    `prompt_bytes` is the size of all messages in JSON, `turns` how often the user spoke.
    """

    text: str
    prompt_bytes: int = 0
    turns: int = 1
    tools: bool = False
    schema: bool = False
    images: bool = False


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """A request's tier, by which classifier (`rules`, `examples` or `model`), and why: reasons with their weight.

    The weight is points, for the rules; how similar an example is, from -1 to 1; nothing for a model's word.
    """

    tier: TierName
    classifier: str
    reasons: tuple[tuple[str, float], ...] = ()


class Example(msgspec.Struct, frozen=True):
    """A labelled request with its vector, which has length 1."""

    tier: TierName
    text: str
    vector: Sequence[float]


class _Part(msgspec.Struct):
    type: str = "text"
    text: str | None = None


class _Message(msgspec.Struct):
    role: str = ""
    content: str | list[_Part] | None = None


_decode_messages = msgspec.json.Decoder(list[_Message]).decode


def read_asked(request: ChatRequest) -> Asked:
    """What is looked at of this request. A body that the door let in can be read."""
    fields = request.fields
    if request.operation == "text":
        text = _prompt_text(msgspec.json.decode(fields.get("prompt", b'""')))
        return Asked(text=text, prompt_bytes=len(text.encode("utf-8", "replace")))
    raw = fields.get("messages", b"[]")
    messages = _decode_messages(raw)
    said = [message for message in messages if message.role == "user"] or messages[-1:]
    parts = said[-1].content if said else None
    many = parts if isinstance(parts, list) else []
    return Asked(
        text=parts if isinstance(parts, str) else "\n".join(part.text for part in many if part.text),
        prompt_bytes=memoryview(raw).nbytes,
        turns=len(said),
        tools=_is_given(fields.get("tools")) or _is_given(fields.get("functions")),
        schema=b"json_schema" in bytes(fields.get("response_format", b"")),
        images=any(part.type not in ("text", "input_text") for part in many),
    )


def _prompt_text(prompt: Any) -> str:
    """A text, or the texts of a list; tokens say nothing."""
    if isinstance(prompt, str):
        return prompt
    items = cast("list[object]", prompt) if isinstance(prompt, list) else []
    return "\n".join(item for item in items if isinstance(item, str))


def _is_given(raw: msgspec.Raw | None) -> bool:
    return raw is not None and bytes(raw) not in (b"null", b"[]", b"[ ]")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cue:
    tier: TierName
    words: tuple[str, ...]
    pattern: re.Pattern[str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The rules of one declared name, ready to be used."""

    cues: tuple[_Cue, ...]
    moderate_from: int
    complex_from: int

    @classmethod
    def of(cls, spec: TierRules) -> Self:
        """As they are declared."""
        cues = tuple(
            _Cue(
                tier=cue.tier,
                words=tuple(word.lower() for word in cue.words),
                pattern=None if cue.pattern is None else re.compile(cue.pattern, re.IGNORECASE),
            )
            for cue in spec.cues
        )
        return cls(cues=cues, moderate_from=spec.moderate_from, complex_from=spec.complex_from)

    def judge(self, asked: Asked) -> Verdict:
        """The tier by declared cues, else by points for words and form."""
        if (found := self.find_cue(asked)) is not None:
            return found
        reasons = (*_word_points(excerpt(asked.text)), *_form_points(asked))
        return Verdict(tier=self._tier(reasons), classifier="rules", reasons=reasons)

    def find_cue(self, asked: Asked) -> Verdict | None:
        """What the first declared cue that fits decides."""
        if not self.cues:
            return None
        text = excerpt(asked.text)
        lowered = text.lower()
        for cue in self.cues:
            word = next((word for word in cue.words if word in lowered), None)
            if word is None and cue.pattern is not None and cue.pattern.search(text):
                word = cue.pattern.pattern
            if word is not None:
                return Verdict(tier=cue.tier, classifier="rules", reasons=((f"the declared cue {word!r}", 0.0),))
        return None

    def raise_by_form(self, verdict: Verdict, asked: Asked) -> Verdict:
        """The verdict of a classifier that read only the text, not below what the request's form calls for."""
        points = _form_points(asked)
        least = self._tier(points)
        if higher(verdict.tier, least) == verdict.tier:
            return verdict
        return msgspec.structs.replace(verdict, tier=least, reasons=(*points, *verdict.reasons))

    def _tier(self, reasons: Iterable[tuple[str, float]]) -> TierName:
        points = sum(each for _, each in reasons)
        if points >= self.complex_from:
            return "complex"
        return "moderate" if points >= self.moderate_from else "simple"


def excerpt(text: str) -> str:
    """The beginning and the end of a text: where instructions stand."""
    return text if len(text) <= HEAD + TAIL else f"{text[:HEAD]}\n{text[-TAIL:]}"


def higher(one: TierName, other: TierName) -> TierName:
    """The higher of two tiers."""
    return max(one, other, key=TIERS.index)


def _word_points(text: str) -> Iterable[tuple[str, float]]:
    """Points for the words found, each kind at most so often, and for code and formulas."""
    left = {_COMPLEX_WORDS: 1, _SIGNS: _MOST_SIGNS, _MODERATE_WORDS: 1, _SIMPLE_WORDS: 1}
    for phrase in _find_phrases(text):
        kind = _KINDS[phrase]
        if left[kind] > 0:
            left[kind] -= 1
            yield f"says {phrase!r}", _POINTS[kind]
    if "```" in text:
        yield "holds code", 3
    if _holds_mathematics(text):
        yield "holds mathematics", 3


def _find_phrases(text: str) -> Iterable[str]:
    """The phrases that are said, each once. English is looked for in bytes, which is several times faster."""
    plain = b" %b " % text.encode("ascii", "ignore").lower().translate(_WORDS_ONLY)
    found = [phrase.decode() for phrase in _ENGLISH.findall(plain)]
    if not text.isascii():
        starts = (match.start() for match in _KOREAN_BEGINS.finditer(text))
        found += (
            phrase.strip()
            for at in starts
            for phrase in _KOREAN.get(text[at : at + 2], ())
            if text.startswith(phrase, at)
        )
    return dict.fromkeys(found)


def _holds_mathematics(text: str) -> bool:
    if not text.isascii() and _MATHS_SIGNS.search(text):
        return True
    return ("\\" in text or "^" in text) and _FORMULA.search(text) is not None


def _form_points(asked: Asked) -> tuple[tuple[str, float], ...]:
    points: list[tuple[str, float]] = []
    size = len(asked.text.encode("utf-8", "replace"))
    points += [(f"says more than {limit} bytes", more) for limit, more in _LONG if size > limit][:1]
    longer = [(f"reads more than {limit} bytes", more) for limit, more in _LONG_PROMPT if asked.prompt_bytes > limit]
    points += longer[:1]
    if asked.turns >= _MANY_TURNS:
        points.append((f"the user spoke {_MANY_TURNS} times or more", 1))
    if asked.tools:
        points.append(("brings tools", 2))
    if asked.schema:
        points.append(("asks for a JSON schema", 1))
    if asked.images:
        points.append(("holds images or files", 2))
    return tuple(points)


# by examples


def make_examples(texts: Mapping[TierName, Sequence[str]], vectors: Iterable[Sequence[float]]) -> tuple[Example, ...]:
    """Examples from their texts and, in the same order, their vectors. Raises `ValueError` when these do not match."""
    labelled = [(tier, text) for tier in TIERS for text in texts.get(tier, ())]
    pairs = zip(labelled, vectors, strict=True)
    examples = tuple(Example(tier, text, unit(vector)) for (tier, text), vector in pairs)
    if len({len(each.vector) for each in examples}) > 1:
        raise ValueError("the vectors have different dimensions")
    return examples


def unit(vector: Sequence[float]) -> tuple[float, ...]:
    """The vector at length 1. Raises `ValueError` when it has no direction."""
    length = sqrt(sum(map(mul, vector, vector)))
    if not length > 0:
        raise ValueError("the vector is of length 0")
    return tuple(each / length for each in vector)


def judge_by_examples(vector: Sequence[float], examples: Sequence[Example]) -> Verdict:
    """The tier of the nearest examples, each counted by how similar it is (the cosine).

    Raises `ValueError` when the vector is not one of theirs.
    """
    if not examples or len(vector) != len(examples[0].vector):
        raise ValueError("the vector has other dimensions than those of the examples")
    given = unit(vector)
    nearest = sorted(((sum(map(mul, given, each.vector)), each) for each in examples), key=_first)[-NEIGHBOURS:][::-1]
    votes = dict.fromkeys(TIERS, 0.0)
    for similarity, example in nearest:
        votes[example.tier] += max(0.0, similarity)
    tier = max(reversed(TIERS), key=votes.__getitem__)  # of equals the highest
    reasons = tuple((f"{example.tier}: {example.text[:80]}", round(similarity, 3)) for similarity, example in nearest)
    return Verdict(tier=tier, classifier="examples", reasons=reasons)


def _first(pair: tuple[float, Example]) -> float:
    return pair[0]


# by a model


def question(text: str) -> list[dict[str, Any]]:
    """What a small model is asked about a request."""
    return [{"role": "user", "content": _QUESTION.format(request=excerpt(text))}]


def judge_by_word(said: str) -> Verdict | None:
    """The tier that a model named, when it named one, first, and no other."""
    found = _WORD.match(said)
    if found is None or len({word.lower() for word in _ANY_WORD.findall(said)}) != 1:
        return None
    tier = cast("TierName", found.group(1).lower())
    return Verdict(tier=tier, classifier="model", reasons=((f"the model said {said.strip()[:40]!r}", 0.0),))
