"""A page's text, for models: headings, lists, tables and links in Markdown; scripts, styles and navigation left out.

Pages are read once from their beginning to their end, in time that grows with their length alone, whatever they hold.
"""

from __future__ import annotations

import html
import re
from urllib.parse import urljoin, urlsplit

_TOKEN = re.compile(r"<!--|<[!?][^<>]*+>|<(?P<end>/?)(?P<tag>[A-Za-z][\w:-]*+)(?P<more>[^<>]*+)>")
_HREF = re.compile(r"""\bhref\s*+=\s*+(?:"([^"]*)"|'([^']*)'|([^\s"'>]++))""", re.IGNORECASE)
_RAW = {name: re.compile(rf"</{name}\b", re.IGNORECASE) for name in ("script", "style", "textarea", "iframe")}
_DROPPED = frozenset(("noscript", "template", "svg", "nav", "object", "select", "button"))
_PARTS = ("p", "div", "section", "article", "main", "header", "footer", "aside", "figure", "figcaption", "details")
_LISTED = ("ul", "ol", "dl", "dt", "dd", "table", "tr", "br", "hr", "blockquote", "pre", "form", "fieldset", "title")
_BLOCKS = frozenset((*_PARTS, *_LISTED))
_MARKS = {"li": "- ", **{f"h{level}": "#" * level + " " for level in range(1, 7)}}
_SPACES = re.compile(r"\s+")
_EMPTY_LINES = re.compile(r"\n{3,}")


def text_of_html(page: str, url: str) -> str:
    """The page's text; links are absolute, `url` is where it came from."""
    reader = _Reader(url)
    place = 0
    while found := _TOKEN.search(page, place):
        reader.read_text(page[place : found.start()])
        place = _end_of(page, found)
        reader.read_tag(found)
    reader.read_text(page[place:])
    return reader.text()


def _end_of(page: str, found: re.Match[str]) -> int:
    """Where to read on: after comments, and at the end tag of what holds no HTML."""
    if found[0] == "<!--":
        end = page.find("-->", found.end())
        return len(page) if end < 0 else end + 3
    raw = _RAW.get((found["tag"] or "").lower()) if not found["end"] else None
    if not raw:
        return found.end()
    end = raw.search(page, found.end())
    return end.start() if end else len(page)


class _Reader:
    def __init__(self, url: str) -> None:
        self._url = url
        self._pieces: list[str] = []
        self._dropped = ""
        self._depth = 0
        self._preformatted = False
        self._link: tuple[int, str] | None = None

    def text(self) -> str:
        lines = (line.rstrip() for line in "".join(self._pieces).split("\n"))
        return _EMPTY_LINES.sub("\n\n", "\n".join(lines)).strip()

    def read_text(self, text: str) -> None:
        if self._depth or not text:
            return
        text = html.unescape(text)
        if not self._preformatted:
            text = _SPACES.sub(" ", text)
            text = text.lstrip() if self._pieces and self._pieces[-1].endswith(("\n", " ")) else text
        if text:
            self._pieces.append(text)

    def read_tag(self, found: re.Match[str]) -> None:
        tag, ends = (found["tag"] or "").lower(), bool(found["end"])
        if self._depth or tag in _DROPPED:
            self._drop(tag, ends=ends, empty=(found["more"] or "").endswith("/"))
        elif tag in _MARKS:
            self._pieces.append("\n" if ends else f"\n{_MARKS[tag]}")
        elif tag in _BLOCKS:
            self._preformatted = not ends if tag == "pre" else self._preformatted
            self._pieces.append("\n")
        elif tag in ("td", "th") and not ends:
            self._pieces.append(" | ")
        elif tag == "a":
            self._end_link()
            self._link = None if ends else (len(self._pieces), _href(found["more"]))

    def _drop(self, tag: str, *, ends: bool, empty: bool) -> None:
        """What is within is not read; only tags of its own name are counted."""
        if not self._depth:
            self._dropped = tag
        if tag == self._dropped and not empty:
            self._depth = max(0, self._depth + (-1 if ends else 1))

    def _end_link(self) -> None:
        if self._link is None:
            return
        start, href = self._link
        words = "".join(self._pieces[start:]).strip()
        target = _target(self._url, href)
        if words and target and "\n" not in words:
            self._pieces[start:] = [f"[{words}]({target})"]


def _href(more: str) -> str:
    found = _HREF.search(more)
    return html.unescape(found[1] or found[2] or found[3] or "") if found else ""


def _target(url: str, href: str) -> str | None:
    """The absolute URL of a link to another page."""
    if not href or href.startswith("#"):
        return None
    try:
        target = urljoin(url, href.strip())
        return target if urlsplit(target).scheme in ("http", "https") else None
    except ValueError:
        return None
