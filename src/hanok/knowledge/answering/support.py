"""How much of what a sentence says stands in a passage: the share of its words, with their endings off.

A measure of words, not of truth: it finds which passage a sentence was taken from, and that none was. A number that a
passage does not have speaks against it, whatever the words say. Figures and threshold: docs/knowledge-answers.md.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

from hanok.knowledge.ranking.terms import terms_of, terms_of_question

THRESHOLD = 0.6
"""The share from which on a sentence without a citation is given that of the passage."""
FEWEST_TERMS = 3
"""Sentences with fewer terms need all of them: two of three shared words are soon there by chance."""
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


class Ground:
    """A passage's terms and numbers, made once for all sentences."""

    __slots__ = ("numbers", "terms")

    def __init__(self, text: str) -> None:
        self.terms = frozenset(terms_of(text).split())
        self.numbers = numbers(text)


def grounds(texts: Iterable[str]) -> tuple[Ground, ...]:
    """What sentences are held against, passage by passage."""
    return tuple(map(Ground, texts))


def support(sentence: str, ground: Ground) -> float:
    """The share, 0 to 1, of a sentence's terms that the passage has; 0 where a number is not its own."""
    terms = set(terms_of_question(sentence).split())
    if not terms or not numbers(sentence) <= ground.numbers:
        return 0.0
    return len(terms & ground.terms) / len(terms)


def best(sentence: str, all_grounds: Sequence[Ground]) -> tuple[int, float]:
    """The passage (its number, from 1) that supports a sentence most, and how much; 0 when there are none."""
    found = [(support(sentence, ground), -place) for place, ground in enumerate(all_grounds)]
    if not found:
        return 0, 0.0
    share, place = max(found)
    return 1 - place, share


def suffices(sentence: str, share: float) -> bool:
    """Whether that share is enough to take the passage for the sentence's."""
    few = len(set(terms_of_question(sentence).split())) < FEWEST_TERMS
    return share >= (1.0 if few else THRESHOLD)


def telling_terms(text: str) -> frozenset[str]:
    """The terms of a question, or of what was said, without the words that tell nothing."""
    return frozenset(terms_of_question(text).split())


def shared(asked: frozenset[str], text: str) -> float:
    """The share of these terms that a text has."""
    return len(asked.intersection(terms_of(text).split())) / max(1, len(asked))


def numbers(text: str) -> frozenset[str]:
    """The numbers of a text, without commas between their thousands and zeros at their ends: 1,000 is 1000."""
    plain = unicodedata.normalize("NFKC", text)
    return frozenset(_value(found.replace(",", "")) for found in _NUMBER.findall(plain))


def _value(number: str) -> str:
    whole, dot, rest = number.partition(".")
    return number if "." in rest else f"{whole}{dot}{rest}".rstrip("0").rstrip(".") if dot else number
