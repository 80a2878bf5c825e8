"""The words that a text is looked up by, made here so that every store looks up the same ones.

A store sees terms between spaces, and nothing in a term that its analyzer could cut: letters and digits in lower case.
Scripts that join words or put particles behind them (Korean, Chinese, Japanese, Thai, …) become pairs of neighbouring
characters, so that 시크릿 finds 시크릿은; where such a run meets another script it ends, so that HTTP finds HTTP와.
This is what Lucene's `CJKBigramFilter` does. Other words lose their accents, and English ones their endings (Snowball's
English stemmer, https://snowballstem.org/algorithms/english/stemmer.html).

Passages keep all their words; a question leaves out those that only make it a question, unless it has no others or
they are written in capitals, as IT.
"""

from __future__ import annotations

import importlib
import re
import threading
import unicodedata
from collections.abc import Iterable, Iterator
from functools import cache, lru_cache
from typing import Any

from hanok.errors import StartError
from hanok.knowledge.ranking.kiwi import morphemes
from hanok.spec import Terms

LIMIT_BYTES = 65_535
"""The longest text that a column of Milvus holds (VARCHAR), in bytes of UTF-8."""
_LONGEST = 64  # characters of a term; what is longer is no word
# Thai and Lao, Burmese, Hangul letters, Khmer, Japanese, Bopomofo, Chinese, Hangul syllables.
_JOINED = (
    "\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u3005-\u3007\u3040-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\U00020000-\U0003ffff"
)
# Signs that stand on or beside letters within a word: of Latin, Hebrew, Arabic, and the scripts of India.
_MARKS = "\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u0900-\u0963\u0966-\u0dff"
_RUN = re.compile(f"([{_JOINED}]+)|(?:[^\\W_{_JOINED}]|[{_MARKS}])+")
_ASKING = frozenset(
    """
    a about an and any are as at be been being but by can could did do does doing for from had has have having he her
    here him his how i if in into is it its me my no nor of on or our she should so some such than that the their them
    then there these they this those to was we were what when where which while who whom whose why will with would
    you your
    """.split()  # noqa: SIM905
)


def terms_of(text: str, kind: Terms = "bigram") -> str:
    """A passage's terms between single spaces, at most `LIMIT_BYTES`. Raises `StartError` without the analyzer."""
    return _joined(list(_all_terms(text, kind)))


def terms_of_question(text: str, kind: Terms = "bigram") -> str:
    """What to look up for a question, in the same form. Raises `StartError` without the analyzer."""
    telling = " ".join(word for word in text.split() if _tells(word))
    return terms_of(telling, kind) or terms_of(text, kind)


def _tells(word: str) -> bool:
    bare = re.sub(r"\W+", "", word)
    return bare.lower() not in _ASKING or (len(bare) > 1 and bare.isupper())


def _all_terms(text: str, kind: Terms) -> Iterator[str]:
    if kind == "kiwi":
        return (term for word in morphemes(_normal(text)) for term in _words(word))
    return _bigrams(_normal(text))


def _normal(text: str) -> str:
    """One form for each character (full-width letters, ligatures, Hangul typed as single letters), in lower case."""
    return unicodedata.normalize("NFKC", text).lower()


def _bigrams(text: str) -> Iterator[str]:
    for found in _RUN.finditer(text):
        if found[1]:
            yield from _pairs("".join(filter(str.isalnum, found[1])))
        elif term := _stem(found[0][:_LONGEST]):
            yield term


def _words(text: str) -> Iterator[str]:
    """Like `_bigrams`, with runs of joined scripts as they are."""
    for found in _RUN.finditer(text):
        if term := "".join(filter(str.isalnum, found[1][:_LONGEST])) if found[1] else _stem(found[0][:_LONGEST]):
            yield term


def _pairs(run: str) -> Iterable[str]:
    return (run[at : at + 2] for at in range(len(run) - 1)) if len(run) > 1 else (run,) if run else ()


@lru_cache(65_536)
def _stem(word: str) -> str:
    if not word.isascii():
        return "".join(filter(str.isalnum, unicodedata.normalize("NFKD", word)))
    if not word.isalpha():
        return word
    with _stemming:  # it keeps the word that it is at in itself
        return _stemmer().stemWord(word)


_stemming = threading.Lock()


@cache
def _stemmer() -> Any:
    try:
        return importlib.import_module("snowballstemmer").stemmer("english")
    except ImportError as error:
        raise StartError(f"words cannot be stemmed: {error}", hint='pip install "hanok[rag]"') from error


def _joined(terms: list[str]) -> str:
    """Between spaces. What is too long has each term once: how often says little in a text of that length."""
    text = " ".join(terms)
    if len(text.encode()) <= LIMIT_BYTES:
        return text
    short = " ".join(dict.fromkeys(terms)).encode()
    return short.decode() if len(short) <= LIMIT_BYTES else short[:LIMIT_BYTES].rpartition(b" ")[0].decode()
