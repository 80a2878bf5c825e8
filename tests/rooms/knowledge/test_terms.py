"""What words are looked up by: every store is given the same ones, and none can cut them."""

from __future__ import annotations

import re
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanok.errors import StartError
from hanok.knowledge.ranking import terms_of, terms_of_question
from hanok.knowledge.ranking.terms import LIMIT_BYTES


def found(question: str, passage: str) -> set[str]:
    return set(terms_of_question(question).split()) & set(terms_of(passage).split())


@pytest.mark.parametrize(
    ("question", "passage"),
    [
        ("시크릿", "시크릿은 암호를 담는다"),
        ("HTTP", "HTTP와 gRPC를 쓴다"),
        ("2024", "2024년도 계획"),
        ("running", "It runs."),
        ("cafe", "Das Café"),
        ("CAFÉ", "cafe\u0301"),
        ("half width", "ｈａｌｆ"),
        ("한글", "\u1112\u1161\u11ab\u1100\u1173\u11af 문서"),
        ("日本", "日本語の文書"),
        ("ความหมาย", "การค้นหาตามความหมาย"),
        ("max_in_flight", "the limit is max-in-flight"),
        ("हिन्दी", "हिन्दी में"),
    ],
)
def test_a_word_is_found_in_every_form_that_people_write(question: str, passage: str) -> None:
    assert found(question, passage)


@pytest.mark.parametrize(
    ("question", "passage"), [("파드", "노드"), ("cat", "catalogue"), ("v1", "v2"), ("北京", "東京")]
)
def test_another_word_is_not(question: str, passage: str) -> None:
    assert not found(question, passage)


def test_korean_stands_in_pairs_of_neighbours_and_ends_where_another_script_begins() -> None:
    assert terms_of("쿠버네티스 API서버") == "쿠버 버네 네티 티스 api 서버"
    assert terms_of("제14조") == "제 14 조"


def test_a_question_leaves_out_what_only_makes_it_one() -> None:
    assert terms_of_question("What is the limit of requests?") == "limit request"
    assert "the" in terms_of("the limit").split()


def test_a_question_of_such_words_alone_keeps_them() -> None:
    assert terms_of_question("Who is who?") == "who is who"


def test_capitals_make_a_word_of_it() -> None:
    assert terms_of_question("How does IT reset it?") == "it reset"


@given(st.text(max_size=300))
def test_no_analyzer_can_cut_or_change_a_term(text: str) -> None:
    for term in terms_of(text).split(" "):
        assert re.fullmatch(r"\w*", term)
        assert term == term.lower()


@given(st.text(max_size=60))
def test_a_passage_has_every_term_of_the_question_that_it_quotes(text: str) -> None:
    assert set(terms_of_question(text).split()) <= set(terms_of(text).split())


def test_a_text_too_long_for_a_column_keeps_each_term_once_and_then_is_cut_between_terms() -> None:
    long = terms_of("가나다라 " * 20_000)
    assert long == "가나 나다 다라"
    varied = terms_of(" ".join(f"number{each}" for each in range(10_000)))
    assert LIMIT_BYTES - 20 < len(varied.encode()) <= LIMIT_BYTES
    assert re.fullmatch(r"number\d+", varied.split()[-1])


def test_a_word_without_end_is_cut() -> None:
    assert terms_of("x" * 10_000) == "x" * 64


def test_threads_may_stem_at_once() -> None:
    words = [f"{stem}{ending}" for stem in ("relat", "oper", "condit") for ending in ("ion", "ional", "ing", "e")]
    texts = [" ".join([*words[at:], *words[:at], f"unseen{at}ings"]) for at in range(len(words))] * 20
    with ThreadPoolExecutor(4) as threads:
        told = list(threads.map(terms_of, texts))
    assert [set(each.split()) for each in told] == [set(terms_of(text).split()) for text in texts]


def test_without_kiwi_the_install_line_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from hanok.knowledge.ranking import kiwi

    kiwi._kiwi.cache_clear()
    monkeypatch.setitem(sys.modules, "kiwipiepy", None)  # absent, also where somebody has installed it
    with pytest.raises(StartError, match="pip install kiwipiepy"):
        terms_of("시크릿은 암호를 담는다", "kiwi")


def test_kiwi_leaves_particles_out() -> None:
    pytest.importorskip("kiwipiepy", reason="Kiwi is not installed")
    assert terms_of("시크릿은 암호를 담는다", "kiwi").split()[:2] == ["시크릿", "암호"]
