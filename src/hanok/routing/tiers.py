"""Which tier a request is of: SIMPLE, MODERATE or COMPLEX. Pure functions over the request, vectors or a model's word.

The rules add up points: for words that name a kind of work, and for the form of the request (its length, code, tools).
What the user said last says most about the work, and instructions stand at a text's beginning or end, so only those
are searched for words: a long prompt costs no more than a short one. The words and points were set on
`tier_examples.BUILT_IN` alone; docs/tiers.md tells how they fare on requests that they have not seen.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from heapq import nsmallest
from math import dist, sqrt
from operator import mul
from typing import Any, Self, cast, get_args

import msgspec

from hanok.routing.tier_words import Kind, find_phrases
from hanok.spec import TierName, TierRules
from hanok.wire import ChatRequest

TIERS: tuple[TierName, ...] = get_args(TierName)
"""From the lowest to the highest."""

HEAD, TAIL = 800, 200
"""Characters of a text that are looked at, at its beginning and its end. Half as many where it is not ASCII:
Korean says as much in half the letters."""
NEIGHBOURS = 5
"""Examples that decide together, each by how similar it is."""
WORD_TOKENS = 8
"""What the asked model may answer with: one word, in whatever tokens it has."""

_MOST_SIGNS = 3
_LONG = ((2000, 2), (300, 1))
_LONG_PROMPT = ((40_000, 2), (8_000, 1))
_MANY_TURNS = 6

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
    head, tail = (HEAD, TAIL) if text.isascii() else (HEAD // 2, TAIL // 2)
    return text if len(text) <= head + tail else f"{text[:head]}\n{text[-tail:]}"


def higher(one: TierName, other: TierName) -> TierName:
    """The higher of two tiers."""
    return one if TIERS.index(one) >= TIERS.index(other) else other


def _word_points(text: str) -> Iterable[tuple[str, float]]:
    """Points for the words found, each kind at most so often, and for code and formulas."""
    counted: Counter[Kind] = Counter()
    for phrase, kind in find_phrases(text).items():
        counted[kind] += 1
        if counted[kind] <= kind.most:
            yield f"says {phrase!r}", kind.points
    if "```" in text:
        yield "holds code", 3
    if _holds_mathematics(text):
        yield "holds mathematics", 3


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
    labelled: list[tuple[TierName, str]] = [(tier, text) for tier in TIERS for text in texts.get(tier, ())]
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
    """The tier of the nearest examples, each counted by how similar it is: the cosine.

    Of vectors of length 1 it follows from their distance d, as 1 - d²/2, and `math.dist` beats any loop of ours.
    Raises `ValueError` when the vector is not one of theirs.
    """
    if not examples or len(vector) != len(examples[0].vector):
        raise ValueError("the vector has other dimensions than those of the examples")
    given = unit(vector)
    distances = [(dist(given, each.vector), index) for index, each in enumerate(examples)]
    nearest = [(1 - distance**2 / 2, examples[index]) for distance, index in nsmallest(NEIGHBOURS, distances)]
    votes = dict.fromkeys(TIERS, 0.0)
    for similarity, example in nearest:
        votes[example.tier] += max(0.0, similarity)
    tier = max(reversed(TIERS), key=votes.__getitem__)  # of equals the highest
    reasons = tuple((f"{example.tier}: {example.text[:80]}", round(similarity, 3)) for similarity, example in nearest)
    return Verdict(tier=tier, classifier="examples", reasons=reasons)


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
