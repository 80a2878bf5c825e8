"""In which order what two legs found is given."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence

import pytest

from hanok.knowledge.ranking import Candidate, Legs, rank, terms_of
from hanok.knowledge.values import EVERYONE, Hit, Query

QUESTION = (1.0, 0.0)


def packed(vector: Sequence[float]) -> bytes:
    return array("f", vector).tobytes()


def at(degrees: float) -> tuple[float, float]:
    """A vector that far from the question's."""
    return math.cos(math.radians(degrees)), math.sin(math.radians(degrees))


def candidate(name: str, *, bm25: float = 0.0, degrees: float = 0.0, text: str | None = None) -> Candidate:
    hit = Hit(
        id=name, document=name, digest="", ordinal=0, path="", title="", text=text or name, headings=(), page=0,
        start=0, end=0, reader=EVERYONE, metadata={}, created_at=0, score=0.0,
    )  # fmt: skip
    return Candidate(hit=hit, terms=terms_of(text or name), vector=packed(at(degrees)), bm25=bm25)


def query(terms: str = "", *, vector: Sequence[float] | None = QUESTION, **more: float) -> Query:
    asked = Query(readers=(EVERYONE,), terms=terms, vector=packed(vector) if vector else None)
    return Query(**{**{name: getattr(asked, name) for name in asked.__struct_fields__}, **more})


def names(hits: Sequence[Hit]) -> list[str]:
    return [hit.id for hit in hits]


def test_nothing_found_is_nothing_given() -> None:
    assert rank(Legs(), query("a")) == []


def test_with_words_alone_their_order_holds_whichever_sign_the_store_gives_scores() -> None:
    for sign in (1, -1):
        legs = Legs(lexical=[candidate("low", bm25=sign * 1.0), candidate("high", bm25=sign * 3.0)])
        hits = rank(legs, query("high", vector=None))
        assert names(hits) == ["high", "low"]
        assert [hit.score for hit in hits] == pytest.approx([1.0, 1 / 3])
        assert [hit.similarity for hit in hits] == [None, None]


def test_with_meaning_alone_the_nearest_comes_first() -> None:
    legs = Legs(dense=[candidate("far", degrees=80), candidate("near", degrees=10), candidate("middle", degrees=40)])
    hits = rank(legs, query())
    assert names(hits) == ["near", "middle", "far"]
    assert hits[0].similarity == pytest.approx(math.cos(math.radians(10)), abs=1e-6)


def test_what_both_legs_found_comes_before_what_one_did_and_stands_there_once() -> None:
    both = candidate("both", bm25=2.0, degrees=10)
    legs = Legs(
        lexical=[both, candidate("words", bm25=2.0, degrees=85)],
        dense=[candidate("meaning", degrees=12), candidate("both", degrees=10)],
    )
    assert names(rank(legs, query("both"))) == ["both", "words", "meaning"]


def test_a_weight_of_nothing_takes_a_leg_out() -> None:
    legs = Legs(lexical=[candidate("words", bm25=2.0, degrees=85)], dense=[candidate("meaning", degrees=12)])
    assert names(rank(legs, query("words", lexical_weight=0.0))) == ["meaning", "words"]
    assert names(rank(legs, query("words", dense_weight=0.0))) == ["words", "meaning"]


def test_a_passage_near_those_that_came_first_is_drawn_up() -> None:
    """Both are as far from the question and have no word of it; one lies beside what words and meaning agree on."""
    best = [candidate(f"best{each}", bm25=3.0, degrees=30 + each) for each in range(3)]
    legs = Legs(lexical=best, dense=[candidate("a stranger", degrees=-40), candidate("beside", degrees=40)])
    order = names(rank(legs, query("best")))
    assert order.index("beside") < order.index("a stranger")


def test_no_more_than_asked_for_are_given() -> None:
    legs = Legs(dense=[candidate(f"passage{each}", degrees=each) for each in range(20)])
    assert len(rank(legs, query(k=7))) == 7


def test_copies_stand_last_also_where_diversity_is_not_asked_for() -> None:
    page = "one two three four five six seven eight nine ten"
    legs = Legs(
        dense=[
            candidate("new", degrees=1, text=page),
            candidate("old", degrees=2, text=f"{page} draft"),
            candidate("other", degrees=60, text="something else"),
        ]
    )
    assert names(rank(legs, query(k=2))) == ["new", "other"]
    hits = rank(legs, query(k=3))
    assert names(hits) == ["new", "other", "old"]
    assert hits[1].score >= hits[2].score


def test_texts_without_any_word_are_no_copies_of_each_other() -> None:
    legs = Legs(dense=[candidate("—", degrees=1), candidate("…", degrees=2), candidate("word", degrees=60)])
    assert names(rank(legs, query(k=2))) == ["—", "…"]


def test_diversity_prefers_what_says_something_else_among_the_best_candidates() -> None:
    legs = Legs(
        dense=[
            candidate("first", degrees=0),
            candidate("alike", degrees=2),
            candidate("other", degrees=-40),
            candidate("last", degrees=80),
        ]
    )
    assert names(rank(legs, query(k=2))) == ["first", "alike"]
    assert names(rank(legs, query(k=2, fetch_k=3, mmr_lambda=0.4))) == ["first", "other"]


def test_scores_never_rise_so_that_who_sorts_by_them_keeps_the_order() -> None:
    legs = Legs(dense=[candidate(f"passage{each}", degrees=each * 7 % 90) for each in range(13)])
    scores = [hit.score for hit in rank(legs, query(k=13, mmr_lambda=0.2))]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)


def test_coverage_is_the_share_of_the_questions_terms() -> None:
    legs = Legs(lexical=[candidate("one", bm25=1.0, text="limits of requests")])
    [hit] = rank(legs, query(terms_of("limits of tokens and requests"), vector=None))
    assert hit.coverage == pytest.approx(3 / 5)


def test_equals_come_in_one_order_whatever_the_store_told_first() -> None:
    same = [candidate(name, bm25=1.0, degrees=5) for name in ("b", "a", "c")]
    assert names(rank(Legs(lexical=same), query("x"))) == names(rank(Legs(lexical=same[::-1]), query("x")))


def test_vectors_of_any_length_even_of_none_are_ranked() -> None:
    nothing = Candidate(hit=candidate("none").hit, terms="", vector=packed((0.0, 0.0)))
    long = Candidate(hit=candidate("long").hit, terms="", vector=packed((30.0, 0.0)))
    hits = rank(Legs(dense=[nothing, long]), query(vector=(5.0, 0.0)))
    assert [(hit.id, hit.similarity) for hit in hits] == [("long", pytest.approx(1.0)), ("none", 0.0)]
