"""What a sitemap says: pages, or further sitemaps.

A document type is refused before anything in it is read: sitemaps have none, and entities are how a few bytes of XML
become gigabytes. Format: https://www.sitemaps.org/protocol.html.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from xml.parsers import expat

from hanok.errors import SourceUnreadable


@dataclass(frozen=True, kw_only=True)
class Place:
    """A page or a sitemap, and when it last changed as far as that is told."""

    url: str
    changed: str = ""


@dataclass(frozen=True, kw_only=True)
class Listed:
    """What one sitemap lists: `pages`, or further `sitemaps`."""

    pages: list[Place] = field(default_factory=list[Place])
    sitemaps: list[Place] = field(default_factory=list[Place])


def read_sitemap(data: bytes, url: str) -> Listed:
    """What is in it. Raises `SourceUnreadable` when it is no sitemap."""
    reader = _Reader()
    try:
        reader.read(data)
    except (expat.ExpatError, _NoSitemap, ValueError, LookupError) as error:
        hint = "a sitemap is XML with `urlset` or `sitemapindex`; one page alone is a `url`"
        raise SourceUnreadable(f"{url} is no sitemap: {error}", hint=hint) from None
    return reader.listed


class _NoSitemap(Exception):
    pass


class _Reader:
    """Collects from the parser's events; names are taken without their namespace."""

    def __init__(self) -> None:
        self.listed = Listed()
        self._path: list[str] = []
        self._told: dict[str, str] = {}
        self._parser = expat.ParserCreate()
        self._parser.buffer_text = True
        self._parser.StartDoctypeDeclHandler = self._refuse
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text

    def read(self, data: bytes) -> None:
        try:
            self._parser.Parse(data, True)
        finally:
            # The parser holds on to its handlers, and they to it.
            self._parser.StartDoctypeDeclHandler = self._parser.StartElementHandler = None
            self._parser.EndElementHandler = self._parser.CharacterDataHandler = None

    def _refuse(self, *_told: object) -> None:
        raise _NoSitemap("it has a document type")

    def _start(self, name: str, _attributes: object) -> None:
        name = name.rpartition(":")[2]
        if not self._path and name not in ("urlset", "sitemapindex"):
            raise _NoSitemap(f"it is <{name[:40]}>")
        self._path.append(name)
        if len(self._path) == 2:
            self._told = {}

    def _text(self, text: str) -> None:
        if len(self._path) == 3 and self._path[2] in ("loc", "lastmod"):
            self._told[self._path[2]] = self._told.get(self._path[2], "") + text

    def _end(self, _name: str) -> None:
        place = tuple(self._path)
        self._path.pop()
        url = self._told.get("loc", "").strip().partition("#")[0]
        if place in (("urlset", "url"), ("sitemapindex", "sitemap")) and url:
            into = self.listed.pages if place[0] == "urlset" else self.listed.sitemaps
            into.append(Place(url=url, changed=self._told.get("lastmod", "").strip()))
