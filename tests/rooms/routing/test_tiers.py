"""Which tier a request is of: the pure parts."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hanok.routing.tier_examples import BUILT_IN
from hanok.routing.tiers import (
    TIERS,
    Asked,
    Rules,
    excerpt,
    higher,
    judge_by_examples,
    judge_by_word,
    make_examples,
    read_asked,
)
from hanok.spec import TierRules
from hanok.wire import ChatRequest

RULES = Rules.of(TierRules())


def test_the_rules_sort_the_built_in_examples_which_they_were_set_on() -> None:
    wrong = [
        (tier, text) for tier, texts in BUILT_IN.items() for text in texts if RULES.judge(Asked(text=text)).tier != tier
    ]
    assert wrong == []


def test_the_built_in_examples_are_as_many_of_each_tier_and_none_twice() -> None:
    texts = [text for tier in TIERS for text in BUILT_IN[tier]]
    assert len(texts) == len(set(texts)) == 3 * len(BUILT_IN["simple"])


def test_a_verdict_says_what_counted_and_for_how_much() -> None:
    verdict = RULES.judge(Asked(text="Classify this, then explain: $x^2 \\le 4$", tools=True))
    assert verdict.reasons == (
        ("says 'classify'", -2),
        ("says 'explain'", 2),
        ("holds mathematics", 3),
        ("brings tools", 2),
    )
    assert verdict.tier == "complex"
    assert RULES.judge(Asked(text="")).reasons == ()


def test_thresholds_are_the_platforms_to_set() -> None:
    eager = Rules.of(TierRules(moderate_from=0, complex_from=2))
    assert eager.judge(Asked(text="hello")).tier == "moderate"
    assert eager.judge(Asked(text="summarize")).tier == "complex"


def test_a_word_counts_at_its_beginning_only_and_a_part_of_another_does_not() -> None:
    assert RULES.judge(Asked(text="The psychoanalysts rewrote nothing")).tier == "simple"
    assert RULES.judge(Asked(text="(Analysing this)")).tier == "complex"
    assert RULES.judge(Asked(text="PYTHON이란?")).tier == "complex"


def test_the_middle_of_a_long_text_is_not_searched() -> None:
    text = "a " * 2000 + " prove " + "b " * 2000
    assert all("prove" not in reason for reason, _ in RULES.judge(Asked(text=text)).reasons)
    assert len(excerpt(text)) <= 1001
    assert len(excerpt("가" * 9000)) <= 501


@given(st.text(max_size=300))
def test_any_text_is_of_some_tier(text: str) -> None:
    assert RULES.judge(Asked(text=text)).tier in TIERS


def test_a_prompt_of_ten_kilobytes_is_sorted_in_no_time() -> None:
    """100 µs is the aim (bench/tiers.py measures it); a machine full of other tests is given twenty times that."""
    text = "Please read this report about the weather, and explain its conclusions. " * 140
    request = ChatRequest.ask("auto", [{"role": "user", "content": text}])
    begun = time.process_time()
    for _ in range(50):
        RULES.judge(read_asked(request))
    assert (time.process_time() - begun) / 50 < 0.002


def test_what_the_user_said_last_and_the_form_are_read() -> None:
    picture = {"type": "image_url", "image_url": {"url": "x"}}
    messages = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": None, "tool_calls": []},
        {"role": "user", "content": [{"type": "text", "text": "two"}, picture, {"type": "text", "text": "three"}]},
        {"role": "tool", "tool_call_id": "t", "content": "found"},
    ]
    schema = {"type": "json_schema", "json_schema": {"name": "x"}}
    asked = read_asked(ChatRequest.ask("auto", messages, tools=[{"type": "function"}], response_format=schema))
    assert (asked.text, asked.turns, asked.images, asked.tools, asked.schema) == ("two\nthree", 2, True, True, True)
    plain = read_asked(ChatRequest.ask("auto", [{"role": "system", "content": "only this"}]))
    assert (plain.text, plain.turns, plain.tools, plain.images, plain.schema) == ("only this", 1, False, False, False)


@pytest.mark.parametrize(
    ("said", "tier"),
    [
        ("SIMPLE", "simple"),
        (" **Moderate**\n", "moderate"),
        ('"complex".', "complex"),
        ("complex: it needs code", "complex"),
        ("COMPLEX COMPLEX", "complex"),
        ("", None),
        ("It is SIMPLE", None),
        ("SIMPLE or COMPLEX", None),
        ("simplest", None),
        ("yes", None),
    ],
)
def test_a_models_word_counts_when_it_is_one_tier_and_comes_first(said: str, tier: str | None) -> None:
    verdict = judge_by_word(said)
    assert (verdict.tier if verdict else None) == tier


def test_the_nearest_examples_decide_by_how_similar_they_are() -> None:
    texts = {"simple": ["s1", "s2"], "moderate": ["m1", "m2"], "complex": ["c1", "c2"]}
    vectors = [[1.0, 0.0], [0.9, 0.1], [0.5, 0.5], [0.5, 0.6], [0.0, 5.0], [0.1, 0.9]]
    examples = make_examples(texts, vectors)
    verdict = judge_by_examples([3.0, 0.1], examples)
    assert verdict.tier == "simple"
    assert verdict.reasons[0] == ("simple: s1", 0.999)
    assert judge_by_examples([0.0, 1.0], examples).tier == "complex"


@pytest.mark.parametrize("vectors", [[[1.0]], [[1.0], [1.0], [1.0]], [[1.0], [1.0, 2.0]], [[1.0], [0.0]]])
def test_vectors_that_do_not_fit_the_examples_are_refused(vectors: list[list[float]]) -> None:
    with pytest.raises(ValueError, match=r"."):
        make_examples({"simple": ["a"], "complex": ["b"]}, vectors)


def test_a_vector_of_other_dimensions_is_refused() -> None:
    examples = make_examples({"simple": ["a"]}, [[1.0, 0.0]])
    for vector in ([1.0], [0.0, 0.0]):
        with pytest.raises(ValueError, match=r"dimensions|length"):
            judge_by_examples(vector, examples)
    with pytest.raises(ValueError, match="dimensions"):
        judge_by_examples([1.0], ())


def test_tiers_are_ordered() -> None:
    assert higher("simple", "complex") == higher("complex", "moderate") == "complex"
    assert higher("simple", "moderate") == "moderate"
