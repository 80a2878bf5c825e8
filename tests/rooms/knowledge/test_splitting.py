"""What every strategy promises, whatever the text; and what each of them is for."""

from __future__ import annotations

import asyncio
from array import array

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hanok.knowledge.parsing.outline import markdown_headings, sections_of
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
    return Document(
        title="t", type="documentation", media_type=media_type, text=text, sections=sections, pages=pages
    )


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
    for before, after in zip(found, found[1:], strict=False):
        assert before.start < after.start and before.end < after.end
        assert measure(text[after.start : max(after.start, before.end)]) <= overlap_of(rule)
