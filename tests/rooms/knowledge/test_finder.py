"""Questions on their way to passages that a real Milvus Lite keeps."""

from __future__ import annotations

import asyncio
from array import array
from pathlib import Path

import pytest

from hanok.knowledge.finding.finder import Finder, Place
from hanok.knowledge.stores.milvus import MilvusStore
from hanok.knowledge.values import EVERYONE, Question, Row, Shape
from hanok.spec import Platform, Terms
from hanok.wire import Caller
from tests.rooms.knowledge.shelves import Letters

pytest.importorskip("pymilvus", reason="pymilvus is not installed")


def as_asked(text: str, kind: Terms) -> str:
    """Terms that tell what made them."""
    return " ".join(f"{kind}{word}" for word in text.split())


def test_a_question_is_looked_up_by_the_terms_that_its_passages_were_made_with(tmp_path: Path) -> None:
    told = {"name": "docs", "sources": [{"path": "."}], "index": {"terms": "kiwi"}, "retrieve": {"dense_weight": 0}}
    letters = {"name": "letters", "type": "embedding", "serve": {"engine": "openai", "url": "http://x/v1"}}
    (base,) = Platform.model_validate({"name": "t", "models": [letters], "knowledge": [told]}).knowledge

    async def ask() -> list[str]:
        store = MilvusStore(str(tmp_path / "passages.db"))
        await store.create("docs_1", Shape(dimensions=2, index=base.index))
        await store.point("docs", "docs_1")
        row = Row(
            id="p1",
            document="a.md",
            digest="d",
            ordinal=0,
            path="a.md",
            title="A",
            text="휴가 규정",
            terms=as_asked("휴가 규정", "kiwi"),
            vector=array("f", [1.0, 0.5]).tobytes(),
        )
        await store.write("docs_1", [row])
        finder = Finder(models=Letters(), store=store, terms=as_asked, monotonic=lambda: 0.0, wall=lambda: 0.0)
        place = Place(alias="docs", collection="docs_1", recipe=base, embedder="letters")
        collection = await finder.collection("docs")
        assert collection is not None
        question = Question(base="docs", text="휴가", caller=Caller(key_id="k", key_name="k"))
        found = await finder.find(place, collection, (EVERYONE,), question)
        await store.aclose()
        return [hit.id for hit in found.hits]

    assert asyncio.run(ask()) == ["p1"]
