"""Answering with a model that is too small to put things in its own words: it picks sentences and says nothing else.

A grammar (GBNF, as llama.cpp reads it) holds it to whole sentences of the best passages, each with its citation behind
it. So what it says is true to the documents, and an instruction in a passage can at most be quoted. What was tried
before this, and what became of it, is in docs/knowledge-answers.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from hanok.knowledge.answering.prompt import plain
from hanok.knowledge.answering.sentences import CLOSERS, ENDS, WIDE_ENDS, bare_of, ends, kind_of
from hanok.knowledge.answering.support import shared, telling_terms
from hanok.knowledge.values import Hit
from hanok.spec import LlamaCppEndpoint, Model
from hanok.wire import json_bytes

SMALL = "gemma3-270m"
PASSAGES = 3
SENTENCES = 5
"""Sentences to pick from. The model chooses well between few, and each costs it time to read."""
NEAR = 0.7
"""How near a sentence must be to the question, as a share of the nearest: terms that the two have in common."""
LONGEST = 320
"""Characters of a sentence to pick."""
_ASKING = frozenset(["work", "happen", "mean", "explain", "tell", "show", "describ", "know", "much", "mani"])
"""Stems of words that ask for something rather than name it."""
_FENCED = re.compile(r"^[ \t]*(```|~~~).*?(^[ \t]*\1|\Z)", re.MULTILINE | re.DOTALL)
_NO_PROSE = re.compile(r"^[ \t]*(?:#|\||[-=*_]{3,}[ \t]*$).*$", re.MULTILINE)
_ITEM = re.compile(r"\n[ \t]*(?:>[ \t]*)*(?:[-*+•]|\d{1,3}[.)])[ \t]+")
_MARKUP = re.compile(r"\*\*|__|(?<=\])\([^)\s]*\)")
_CITED = re.compile(r"[\[【][\d, ]{1,8}[\]】]")
_END = re.compile(rf"([{re.escape(ENDS)}]+[{re.escape(CLOSERS)}]*)(\s+|(?<=[{WIDE_ENDS}])|$)")


def needs_quoting(model: Model | None) -> bool:
    """Whether a model is the embedded one, wherever it is served."""
    return model is not None and all(isinstance(at, LlamaCppEndpoint) and at.model == SMALL for at in model.serve)


def quote_request(question: str, hits: Sequence[Hit]) -> tuple[list[dict[str, str]], dict[str, Any]] | None:
    """Messages and options for such a model; None when the passages have no sentence to pick."""
    chosen = choose(question, hits)
    if not chosen:
        return None
    by_number = dict.fromkeys(number for number, _ in chosen)
    texts = [" ".join(text for of, text in chosen if of == number) for number in by_number]
    messages = [{"role": "system", "content": "\n".join(reversed(texts))}, {"role": "user", "content": question}]
    return messages, {"temperature": 0, "repeat_penalty": 1.0, "grammar": grammar(chosen)}


def choose(question: str, hits: Sequence[Hit]) -> list[tuple[int, str]]:
    """The sentences to pick from, in the order in which they stand, with the numbers of their passages.

    Those that share most terms with the question, of equals the first: where none shares any, the first of all.
    """
    asked = telling_terms(question)
    asked = asked - _ASKING or asked
    found = [(number, text) for number, hit in enumerate(hits[:PASSAGES], start=1) for text in sentences_of(hit.text)]
    near = [shared(asked, text) for _, text in found]
    least = max(near, default=0.0) * NEAR
    order = sorted((at for at in range(len(found)) if near[at] >= least), key=lambda at: -near[at])
    return [found[at] for at in sorted(order[:SENTENCES])]


def sentences_of(text: str) -> Iterator[str]:
    """The claims of a passage, one after another, without headings, tables and code."""
    prose = _NO_PROSE.sub("\n", _FENCED.sub("\n\n", plain(text)))
    for block in re.split(r"\n\s*\n", _ITEM.sub("\n\n", f"\n{prose}")):
        for sentence in _split(" ".join(_MARKUP.sub("", _CITED.sub("", block)).split())):
            if len(sentence) <= LONGEST and kind_of(sentence) == "claim":
                yield bare_of(sentence)


def grammar(chosen: Sequence[tuple[int, str]]) -> str:
    """One of these sentences, or two that differ, each followed by its number."""
    told = list(dict.fromkeys(json_bytes(f"{text} [{number}]").decode() for number, text in chosen))
    names = [f"s{place}" for place in range(len(told))]
    picks = [_pick(name, [other for other in names if other != name]) for name in names]
    rules = [f"{name} ::= {each}" for name, each in zip(names, told, strict=True)]
    return "\n".join([f"root ::= {' | '.join(picks)}", *rules])


def _pick(name: str, others: Sequence[str]) -> str:
    return f'{name} (" " ({" | ".join(others)}))?' if others else name


def _split(text: str) -> Iterator[str]:
    start = 0
    for mark in _END.finditer(text):
        after = text[mark.end() : mark.end() + 1]
        if any(each in WIDE_ENDS for each in mark[1]) or ends(text[start : mark.start()], after):
            yield text[start : mark.end()].strip()
            start = mark.end()
    if text[start:].strip():
        yield text[start:].strip()
