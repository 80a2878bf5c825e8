"""What every strategy promises, whatever the text; and what each of them is for."""

from __future__ import annotations

import asyncio
import threading
from array import array
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanok.knowledge.parsing.outline import markdown_headings, sections_of
from hanok.knowledge.splitting import semantic
from hanok.knowledge.splitting.passages import split
from hanok.knowledge.splitting.rules import LONGEST, overlap_of, rule_for, size_of
from hanok.knowledge.splitting.semantic import split_semantic
from hanok.knowledge.splitting.windows import count_tokens
from hanok.knowledge.values import Document, Page, Passage
from hanok.spec import SPLITS, Split, Strategy

STRATEGIES: tuple[Strategy, ...] = ("fixed", "token", "semantic", "markdown", "code")
PIECES = st.sampled_from(
    [
        "안녕하세요. ",
        "한국어 문장입니다! 둘째 문장인가요? ",
        "띄어쓰기없이아주길게이어지는한국어낱말",
        "A sentence ends here. ",
        "Dr. Kim, e.g., said no. ",
        "word ",
        "👨‍👩‍👧‍👦",
        "👍🏽 ",
        "e\u0301",
        "\r\n",
        "\n",
        "\r",
        "\n\n",
        " \t ",
        "\u3000",
        "# Heading\n",
        "\n## 제목 둘\r\n",
        "Title\n=====\n",
        "```python\ndef f():\n\n    return 1\n```\n",
        "~~~\nnever closed\n",
        "| a | b |\n| --- | --- |\n| 1 | 2 |\n",
        "- item\n- item\n",
        "def f(a):\n    return a\n\n\n",
        "class A:\n    def m(self):\n        pass\n\n    def n(self):\n        pass\n",
        "}\n\nfunction g() {\n  x();\n}\n",
        "これは文です。日本語。",
        "x" * 40,
        "\0",
    ]
)
TEXTS = st.lists(st.one_of(PIECES, st.text(max_size=8)), max_size=40).map("".join)


def a_document(text: str, *, pages: tuple[Page, ...] = (), media_type: str = "text/markdown") -> Document:
    sections = sections_of(text, markdown_headings(text))
    return Document(title="t", type="documentation", media_type=media_type, text=text, sections=sections, pages=pages)


async def by_letters(texts: list[str]) -> list[bytes]:
    """Vectors without a model: how often some letters are there."""
    return [array("f", [1.0, *(float(text.count(letter)) for letter in "aeo다요.\n")]).tobytes() for text in texts]


def passages(document: Document, rule: Split) -> list[Passage]:
    if rule.strategy == "semantic":
        return asyncio.run(split_semantic(document, rule, by_letters))
    return list(split(document, rule))


@pytest.mark.parametrize("strategy", STRATEGIES)
@settings(max_examples=150, deadline=None)
@given(text=TEXTS, size=st.integers(16, 120), share=st.floats(0, 0.5), python=st.booleans())
def test_all_that_is_not_blank_is_in_a_passage_and_none_is_longer_or_shares_more_than_declared(
    strategy: Strategy, text: str, size: int, share: float, python: bool
):
    rule = Split(strategy=strategy, size=size, overlap=int(size * share))
    document = a_document(text, media_type="text/x-python" if python else "text/markdown")
    found = passages(document, rule)
    measure = count_tokens if strategy == "token" else len
    covered = bytearray(len(text))
    for passage in found:
        assert passage.text == text[passage.start : passage.end]
        assert passage.text == passage.text.strip() != ""
        assert measure(passage.text) <= size
        covered[passage.start : passage.end] = b"\1" * (passage.end - passage.start)
    assert all(mark or text[at].isspace() for at, mark in enumerate(covered))
    for before, after in pairwise(found):
        assert before.start < after.start and before.end < after.end
        assert measure(text[after.start : max(after.start, before.end)]) <= overlap_of(rule)


def test_a_passage_has_at_most_sixteen_thousand_characters_whatever_is_declared():
    text = "word " * 20_000
    for strategy in STRATEGIES:
        found = passages(a_document(text), Split(strategy=strategy, size=32_768))
        assert max(len(passage.text) for passage in found) <= LONGEST


def test_passages_know_the_headings_and_the_page_where_they_begin():
    text = "# One\n\nfirst\n\n## Two\n\nsecond\n"
    pages = (Page(number=1, start=0, end=14), Page(number=2, start=14, end=len(text)))
    for strategy in ("markdown", "semantic"):
        found = passages(a_document(text, pages=pages), Split(strategy=strategy, size=20))
        assert [(passage.headings, passage.page) for passage in found] == [(("One",), 1), (("One", "Two"), 2)]
        assert found[1].read() == "One › Two\n## Two\n\nsecond"
        unprefixed = passages(a_document(text, pages=pages), Split(strategy=strategy, size=20, headings=False))
        assert unprefixed[1].read() == "## Two\n\nsecond"


def test_fixed_ends_at_sentences_in_english_and_korean_where_it_can():
    text = "Dr. Kim said so. It was, e.g., late. 밤이 늦었습니다. 모두 집에 갔어요! 다음 날 다시 만났다."
    found = [passage.text for passage in passages(a_document(text), Split(strategy="fixed", size=40, overlap=0))]
    assert found == ["Dr. Kim said so. It was, e.g., late.", "밤이 늦었습니다. 모두 집에 갔어요! 다음 날 다시 만났다."]


def test_fixed_overlaps_by_whole_words():
    text = " ".join(f"word{number:03}" for number in range(100))
    found = passages(a_document(text), Split(strategy="fixed", size=80, overlap=20))
    for before, after in pairwise(found):
        assert text[after.start : before.end] in (" ".join(before.text.split()[-2:]), before.text.split()[-1])


def test_token_never_cuts_in_a_word_that_fits():
    text = "internationalization 국제화하기 " * 200
    found = passages(a_document(text), Split(strategy="token", size=50, overlap=10))
    assert {word for passage in found for word in passage.text.split()} == {"internationalization", "국제화하기"}


def test_signs_of_several_characters_stay_whole():
    family = "👨‍👩‍👧‍👦"
    found = passages(a_document(family * 30), Split(strategy="fixed", size=20, overlap=0))
    assert all(len(passage.text) % len(family) == 0 for passage in found)


def test_markdown_puts_small_sections_together_and_keeps_fences_and_tables_whole():
    fence = "```python\n" + "\n\n".join(f"line_{number} = {number}" for number in range(12)) + "\n```\n"
    table = "| a | b |\n| --- | --- |\n" + "| 1 | 2 |\n" * 12
    text = f"# Top\n\n## A\n\nshort\n\n## B\n\nshort\n\n## C\n\n{'long words. ' * 20}\n\n{fence}\n{table}\n"
    found = [passage.text for passage in passages(a_document(text), Split(strategy="markdown", size=300))]
    assert found[0] == "# Top\n\n## A\n\nshort\n\n## B\n\nshort"
    assert any(fence.strip() in passage for passage in found)
    assert any(table.strip() in passage for passage in found)


def test_a_heading_is_never_a_passage_of_its_own():
    text = "# Guide\n\n## Install\n\npip install it\n\n## Use\n\n### Really\n\nuse it\n"
    for strategy in ("markdown", "semantic"):
        found = passages(a_document(text), Split(strategy=strategy, size=40))
        assert [passage.text for passage in found] == [
            "# Guide\n\n## Install\n\npip install it",
            "## Use\n\n### Really\n\nuse it",
        ]


PYTHON = '''"""A module."""

import os


# says hello
@decorated
def hello():
    """Says it.

    And more.
    """
    return "hello, it is a long day today"


class Big:
    """Has members."""

    def one(self):
        return "one one one one one one one one"

    def two(self):
        return "two two two two two two two two"


x = 1
'''


def test_code_keeps_definitions_of_python_whole():
    document = a_document(PYTHON, media_type="text/x-python")
    found = [passage.text for passage in passages(document, Split(strategy="code", size=130))]
    assert found[1].startswith("# says hello\n@decorated\ndef hello") and found[1].endswith('long day today"')
    assert found[2].startswith("class Big:") and found[3].startswith("def two(self)")
    assert found[0] == '"""A module."""\n\nimport os' and found[-1] == "x = 1"


def test_code_keeps_definitions_of_other_languages_whole():
    one = "// adds\nfunction add(a, b) {\n  if (a) {\n    return b;\n  }\n\n  return a + b;\n}\n"
    text = "\n".join([one, one.replace("add", "sub"), one.replace("add", "mul")])
    found = [passage.text for passage in passages(a_document(text), Split(strategy="code", size=100))]
    assert found == [one.strip(), one.replace("add", "sub").strip(), one.replace("add", "mul").strip()]


def test_python_that_is_none_is_split_all_the_same():
    found = passages(
        a_document("def x(:\n  broken\n" * 40, media_type="text/x-python"), Split(strategy="code", size=90)
    )
    assert len(found) > 5


def test_semantic_breaks_where_the_subject_changes():
    cats = "고양이는 귀엽고 조용하며 하루에 열두 시간을 넘게 자는데, 밤이 되면 야옹 하고 운다. " * 6
    taxes = "Taxes are due in May, and whoever pays them late pays a little more to the state. " * 6
    found = passages(a_document(cats + taxes), Split(strategy="semantic", size=500))
    assert any(passage.text.startswith("Taxes are due") for passage in found)
    assert all(("고양이" in passage.text) != ("Tax" in passage.text) for passage in found)


def test_semantic_asks_for_no_vectors_where_sections_fit_and_for_few_at_once_where_not():
    calls: list[int] = []

    async def counted(texts: list[str]) -> list[bytes]:
        calls.append(len(texts))
        return await by_letters(texts)

    rule = Split(strategy="semantic", size=300)
    small = a_document("".join(f"# {number}\n\nA few words on it.\n\n" for number in range(50)))
    asyncio.run(split_semantic(small, rule, counted))
    assert calls == []
    asyncio.run(split_semantic(a_document("A sentence that says something. " * 10_000), rule, counted))
    assert max(calls) <= 64 and sum(calls) <= 4096


def test_the_first_rule_that_fits_type_and_path_holds():
    declared = [
        Split(path="docs/**/*.md", strategy="markdown"),
        Split(path="*.log", strategy="fixed", size=100),
        Split(type="code", path="src/*.py", strategy="code"),
    ]
    rules = (*declared, *SPLITS)
    assert rule_for("docs/a/b/c.md", "documentation", rules) is declared[0]
    assert rule_for("docs/c.md", "documentation", rules) is declared[0]
    assert rule_for("other/c.md", "documentation", rules).strategy == "semantic"
    assert rule_for("deep/down/x.log", "text", rules) is declared[1]
    assert rule_for("src/a.py", "code", rules) is declared[2]
    assert rule_for("src/a/b.py", "code", rules) is SPLITS[0]
    assert rule_for("a.txt", "text", rules) is SPLITS[-1]


def test_a_rule_without_size_has_one_by_its_strategy():
    assert [size_of(Split(strategy=strategy)) for strategy in STRATEGIES] == [1000, 512, 1500, 2000, 2000]
    assert overlap_of(Split(strategy="fixed", overlap=5000)) == 500


def test_distances_are_reckoned_beside_the_event_loop(monkeypatch: pytest.MonkeyPatch):
    threads: set[int] = set()
    normed = semantic._normed  # pyright: ignore[reportPrivateUsage]

    def watched(vector: bytes) -> array[float]:
        threads.add(threading.get_ident())
        return normed(vector)

    monkeypatch.setattr(semantic, "_normed", watched)
    passages(a_document("Cats sleep all day. They hunt at night. " * 40), Split(strategy="semantic", size=300))
    assert threads and threading.get_ident() not in threads
