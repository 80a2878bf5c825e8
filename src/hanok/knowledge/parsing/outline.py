"""The headings of a text, and the sections that they make: Markdown, reStructuredText, AsciiDoc.

A heading is found by its form at the beginning of a line; what stands in a code fence, a literal block or the front
matter is none. Lines end in LF, CRLF or CR.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from hanok.knowledge.values import Section

_LINE = r"(?:\A|(?<=[\r\n]))"
_END = r"[ \t]*(?=[\r\n]|\Z)"
_FRONT_MATTER = re.compile(
    r"\A(---|\+\+\+)[ \t]*(?:\r\n|\r|\n)(.{0,20000}?)(?:\r\n|\r|\n)\1[ \t]*(?:\r\n|\r|\n|\Z)", re.DOTALL
)
_TITLE = re.compile(rf"{_LINE}title[ \t]*[:=][ \t]*([^\r\n]+)", re.IGNORECASE)
_MARKDOWN = re.compile(
    rf"{_LINE}[ ]{{0,3}}(?:(?P<fence>`{{3,}}|~{{3,}})(?P<info>[^\r\n]*)"
    rf"|(?P<marks>\#{{1,6}})(?P<name>(?:[ \t][^\r\n]*)?)(?=[\r\n]|\Z)"
    rf"|(?P<over>[^\s>|#\-=*+`~][^\r\n]*)(?:\r\n|\r|\n)[ ]{{0,3}}(?P<under>=+|-{{2,}}){_END})"
)
_RESTRUCTURED = re.compile(
    rf"{_LINE}(?P<above>(?P<lid>[=\-~^\"'*+#`:.<>_])(?P=lid){{2,}}{_END}(?:\r\n|\r|\n))?"
    rf"[ ]?(?P<name>\S[^\r\n]*)(?:\r\n|\r|\n)(?P<under>(?P<mark>[=\-~^\"'*+#`:.<>_])(?P=mark){{2,}}){_END}"
)
_ASCIIDOC = re.compile(
    rf"{_LINE}(?:(?P<fence>-{{4,}}|\.{{4,}}|`{{3,}}){_END}|(?P<marks>={{1,6}})[ \t]+(?P<name>[^\r\n]+))"
)
_CLOSING = re.compile(r"(?:^|[ \t]+)#+[ \t]*$")
_MARKUP = re.compile(r"!?\[([^\]]*)\]\([^)]*\)|[*`]{1,3}|<[^<>]{1,200}>|\s*\{#[^}]*\}\s*$")
_LONGEST_NAME = 200


@dataclass(frozen=True, kw_only=True)
class Heading:
    """A heading of a level (1 is the outermost) that begins at a character of the text."""

    level: int
    name: str
    start: int


def front_matter_title(text: str) -> str | None:
    """The title in the block between `---` (YAML) or `+++` (TOML) that a text may begin with."""
    block = _FRONT_MATTER.match(text)
    title = _TITLE.search(block[2]) if block else None
    return title[1].strip().strip("\"'").strip() or None if title else None


def markdown_headings(text: str) -> list[Heading]:
    """Headings in both forms of CommonMark: `## name`, and underlined with `=` or `-`."""
    return list(_markdown_headings(text))


def _markdown_headings(text: str) -> Iterator[Heading]:
    fence, block = "", _FRONT_MATTER.match(text)
    for match in _MARKDOWN.finditer(text, block.end() if block else 0):
        if match["fence"]:
            fence = _fence_after(fence, match["fence"], match["info"])
        elif fence:
            continue
        elif match["marks"]:
            yield Heading(level=len(match["marks"]), name=_plain(match["name"] or ""), start=match.start())
        else:
            level = 1 if match["under"][0] == "=" else 2
            yield Heading(level=level, name=_plain(match["over"]), start=match.start())


def _fence_after(open_fence: str, fence: str, info: str) -> str:
    """The fence that is open after this one, "" when none is."""
    if not open_fence:
        return "" if fence[0] == "`" and "`" in info else fence
    closes = fence[0] == open_fence[0] and len(fence) >= len(open_fence) and not info.strip()
    return "" if closes else open_fence


def restructured_headings(text: str) -> list[Heading]:
    """Underlined (and perhaps overlined) titles; a level is a style, in the order in which styles appear."""
    styles: list[str] = []
    found: list[Heading] = []
    for match in _RESTRUCTURED.finditer(text):
        name, under = match["name"].rstrip(), match["under"]
        if len(under) < len(name) or set(name) == {under[0]}:
            continue
        style = under[0] + ("^" if match["above"] else "")
        if style not in styles:
            styles.append(style)
        found.append(Heading(level=styles.index(style) + 1, name=name[:_LONGEST_NAME], start=match.start()))
    return found


def asciidoc_headings(text: str) -> list[Heading]:
    """`== name`, outside of listings."""
    found: list[Heading] = []
    fence = ""
    for match in _ASCIIDOC.finditer(text):
        if match["fence"]:
            fence = "" if fence == match["fence"] else fence or match["fence"]
        elif not fence:
            found.append(Heading(level=len(match["marks"]), name=_plain(match["name"]), start=match.start()))
    return found


def sections_of(text: str, headings: Iterable[Heading]) -> tuple[Section, ...]:
    """Sections that cover all of the text, each with the path of headings to it."""
    sections: list[Section] = []
    path: list[Heading] = []
    start = 0
    for heading in headings:
        if heading.start > start:
            sections.append(_section(path, start, heading.start))
        path = [*(outer for outer in path if outer.level < heading.level), heading]
        start = heading.start
    if text[start:] or not sections:
        sections.append(_section(path, start, len(text)))
    return tuple(sections)


def _section(path: list[Heading], start: int, end: int) -> Section:
    return Section(headings=tuple(heading.name for heading in path if heading.name), start=start, end=end)


def _plain(name: str) -> str:
    """A heading without its markup, short enough to stand before each passage."""
    name = _CLOSING.sub("", name.strip()[: _LONGEST_NAME * 5])
    return _MARKUP.sub(lambda match: match[1] or "", name).strip()[:_LONGEST_NAME]
