"""Citations of an answer, watched as it streams: the same however it is cut, and never trusted."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanok.knowledge.answering.citations import UNCITED, Citing
from hanok.knowledge.answering.language import SENTENCES, language_of
from hanok.knowledge.answering.support import grounds

PASSAGES = (
    "A budget is hard: what it pays for is reserved before a call begins, and a stream is cut where it ends.",
    "Pod 스케줄링은 kube-scheduler가 맡습니다. 점수가 가장 높은 노드에 배정합니다.",
    "Limits cost 1,000.50 USD, e.g. for GPUs. Version 1.31.2 of the tool prints items[0].",
)


def checked(text: str, *, size: int = 10_000) -> Citing:
    citing = Citing(grounds(PASSAGES))
    passed = "".join(citing.feed(text[at : at + size]) for at in range(0, len(text), size)) + citing.end()
    assert passed == citing.text
    return citing


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("Budgets are hard [1].", "Budgets are hard [1]."),
        ("Budgets are hard [7].", "Budgets are hard [1]."),
        ("Cats are soft [7].", "Cats are soft [uncited]."),
        ("Budgets are hard [1, 3][9].", "Budgets are hard [1][3]."),
        ("Budgets are hard 【1】.", "Budgets are hard [1]."),
        ("Budgets are hard [1-3].", "Budgets are hard [1][2][3]."),
        ("Budgets are hard [Passage 2].", "Budgets are hard [2]."),
        ("Budgets are hard. [1] So be it [2].", "Budgets are hard. [1] So be it [2]."),
        ("Budgets are hard [1]. [2] says more.", "Budgets are hard [1]. [2] says more."),
        ("Budgets fly\n[1]\nMore [2].", "Budgets fly\n[1]\nMore [2]."),
        ("It is cut where it ends.", "It is cut where it ends [1]."),
        ("They cost 1000.5 USD as limits.", "They cost 1000.5 USD as limits [3]."),
        ("Limits cost 2000 USD.", "Limits cost 2000 USD [uncited]."),
        ("See e.g. Budgets and v1.31.2 [3]. Cats fly!", "See e.g. Budgets and v1.31.2 [3]. Cats fly [uncited]!"),
        ("노드에 배정합니다[2]. 고양이가 맡습니다.", "노드에 배정합니다[2]. 고양이가 맡습니다 [uncited]."),
        ("점수가 높은 노드에 배정합니다. 달은 치즈.", "점수가 높은 노드에 배정합니다 [2]. 달은 치즈 [uncited]."),
        ("猫は飛びます。犬も。[1]", "猫は飛びます [uncited]。犬も。[1]"),
        ("# Cats\n\nSteps:\n- Cats fly\n1. Dogs", "# Cats\n\nSteps:\n- Cats fly [uncited]\n1. Dogs [uncited]"),
        ("Use `items[0]. Or [9]` [3].", "Use `items[0]. Or [9]` [3]."),
        ("```py\nx[9] = 1. y\n```\nSee it [3].", "```py\nx[9] = 1. y\n```\nSee it [3]."),
        ("- ```\n  [9]\n  ```\nSure!", "- ```\n  [9]\n  ```\nSure!"),
        ("Read [the page](http://x/[1]) or [1](http://x) [3].", "Read [the page](http://x/[1]) or [1](http://x) [3]."),
        ("Hello! Shall I go on?", "Hello! Shall I go on?"),
        ("I made it up [uncited]", "I made it up [uncited]"),
        ("| cats | fly |\n|---|---|\n| a | b |", "| cats | fly |\n|---|---|\n| a | b |"),
        ("Cats fly [", "Cats fly [ [uncited]"),
        ("", ""),
    ],
)  # fmt: skip
def test_citations_are_read_checked_and_supplied(said: str, told: str) -> None:
    assert checked(said).text == told == checked(said, size=1).text


@pytest.mark.parametrize("sentence", sorted(SENTENCES))
def test_the_sentence_without_information_is_never_marked(sentence: str) -> None:
    citing = checked(f"“{sentence}”")
    assert UNCITED not in citing.text and [each.kind for each in citing.sentences] == ["nothing"]


def test_what_is_attributed_is_told_apart_from_what_the_model_cited() -> None:
    first, second, third = checked("It is cut where it ends. So it is [1]. Cats fly.").sentences
    assert (first.citations, first.attributed, first.support) == ((1,), True, 1.0)
    assert (second.citations, second.attributed) == ((1,), False)
    assert (third.citations, third.attributed) == ((), False)


def test_text_is_passed_on_as_it_comes() -> None:
    citing = Citing(grounds(PASSAGES))
    pieces = [citing.feed(piece) for piece in ("A budget is ", "hard [", "1]", ". It ", "fli", "es")]
    assert [*pieces, citing.end()] == ["A budget is", " hard", "", " [1]. It", " fli", "es", " [uncited]"]


_PIECES = (
    "Cats| fly|. |.|\n|\n\n| |[1]|[9]|[1, 2]|【2】|[|]|1|`|```|~~~|- |# |e.g.|3.5|합니다|노드|。|?|[uncited]|(x)|**"
    '|\r\n|\t|\u00a0|A|, |"'
)
TEXT = st.lists(st.sampled_from(["|", *_PIECES.split("|")]) | st.text(max_size=5), max_size=40).map("".join)


@settings(max_examples=400, deadline=None)
@given(TEXT, st.lists(st.integers(1, 7), max_size=60))
def test_any_chunking_gives_the_same_answer(text: str, sizes: list[int]) -> None:
    whole, pieces = checked(text), Citing(grounds(PASSAGES))
    rest, passed = text, ""
    for size in sizes:
        passed += pieces.feed(rest[:size])
        rest = rest[size:]
    passed += pieces.feed(rest) + pieces.end()
    assert passed == whole.text and pieces.sentences == whole.sentences


@settings(max_examples=300, deadline=None)
@given(TEXT)
def test_sentences_stand_where_they_say_and_cite_only_what_there_is(text: str) -> None:
    citing = checked(text)
    for sentence in citing.sentences:
        assert citing.text[sentence.start : sentence.end] == sentence.text
        assert all(1 <= number <= len(PASSAGES) for number in sentence.citations)
    ends = [sentence.end for sentence in citing.sentences]
    assert ends == sorted(ends)


@pytest.mark.parametrize(
    ("question", "name"),
    [
        ("How do budgets work?", "English"),
        ("Kubernetes에서 Pod 스케줄링은 어떻게 동작하나요?", "Korean"),
        ("予算はどう動きますか?", "Japanese"),
        ("预算如何运作?", "Chinese"),
        ("Wie funktionieren die Budgets?", "German"),
        ("Comment fonctionnent les budgets ?", "French"),
        ("¿Cómo funcionan los presupuestos?", "Spanish"),
        ("Hoe werken de budgetten?", "Dutch"),
        ("budgets", "English"),
        ("", "English"),
    ],
)
def test_the_language_of_a_question_is_known(question: str, name: str) -> None:
    assert language_of(question).name == name
