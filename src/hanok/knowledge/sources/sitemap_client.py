"""Requests out: every page that a sitemap lists on its own host.

`lastmod` is a page's version; pages without one are asked for their heads. What `robots.txt` closes to robots is left
out. A sitemap that cannot be read, also one of many, makes the whole unreadable: a page that it lists is not gone.
"""

from __future__ import annotations

import asyncio
import mimetypes
from collections.abc import AsyncIterator
from contextlib import suppress
from http import HTTPStatus
from urllib.parse import urlsplit

from hanok.errors import DocumentRefused, SourceUnreadable
from hanok.knowledge.sources.choice import Choice
from hanok.knowledge.sources.listing import (
    MIB,
    Surroundings,
    entry_of,
    needed_for_the_list,
    too_many,
)
from hanok.knowledge.sources.page_client import HTML, Page, media_type_of, version_of
from hanok.knowledge.sources.robots import LIMIT_BYTES, Robots
from hanok.knowledge.sources.sitemap import Place, read_sitemap
from hanok.knowledge.sources.web_client import Web, origin_of, unpack
from hanok.knowledge.values import Entry
from hanok.spec import Source

SITEMAP_LIMIT_BYTES = 50 * MIB
"""The protocol's own limit, unpacked."""
SITEMAPS_LIMIT = 1000
DEPTH_LIMIT = 3
"""Sitemaps that list sitemaps that list sitemaps."""
_GZIP = b"\x1f\x8b"
_WEB_TYPES = mimetypes.MimeTypes()
"""Python's own table, not this machine's."""


class Sitemap(Page):
    """The pages of a sitemap. `web` is handed in by tests."""

    def __init__(self, source: Source, around: Surroundings, *, web: Web | None = None) -> None:
        super().__init__(source, around, web=web)
        self._choice = Choice(include=source.include, exclude=source.exclude, known=lambda _path: True)
        self._within = self._is_at_home

    async def entries(self) -> AsyncIterator[Entry]:
        """Its pages. Raises `SourceUnreadable` when it, a sitemap that it lists, or robots.txt does not answer."""
        with needed_for_the_list():
            robots = await self._robots()
        seen: set[str] = set()
        listed = 0
        async for places in self._sitemaps():
            listed += len(places)
            for place in await asyncio.to_thread(self._take, places, robots, seen):
                yield await self._entry(place)
        if listed and not seen:
            message = f"{self._source.place} lists {listed:,} pages, and none that may be taken"
            hint = "pages of other hosts, those that robots.txt closes and those left out by `include` are not taken"
            raise SourceUnreadable(message, hint=hint)

    def _take(self, places: list[Place], robots: Robots, seen: set[str]) -> list[Place]:
        """Those that are documents and not among the URLs `seen`, which grow."""
        taken: list[Place] = []
        for place in places:
            if place.url in seen or not self._is_taken(place.url, robots):
                continue
            seen.add(place.url)
            taken.append(place)
            if len(seen) > self._source.max_documents:
                raise too_many(self._source)
        return taken

    async def _sitemaps(self) -> AsyncIterator[list[Place]]:
        """The pages of each sitemap, one after the other."""
        waiting, seen = [(self._source.place, 1)], {self._source.place}
        while waiting:
            url, depth = waiting.pop(0)
            listed = await asyncio.to_thread(read_sitemap, await self._fetch(url), url)
            yield listed.pages
            new = [each.url for each in listed.sitemaps if each.url not in seen]
            self._check(new, depth, len(seen))
            seen.update(new)
            waiting += [(each, depth + 1) for each in dict.fromkeys(new)]

    def _check(self, new: list[str], depth: int, seen: int) -> None:
        """Raise `SourceUnreadable` where sitemaps are too many, too deep or elsewhere."""
        if elsewhere := next((url for url in new if not self._is_at_home(url)), None):
            raise SourceUnreadable(f"{self._source.place} lists a sitemap of another host: {elsewhere}")
        if new and (depth >= DEPTH_LIMIT or seen + len(new) > SITEMAPS_LIMIT):
            limits = f"{SITEMAPS_LIMIT:,} sitemaps, {DEPTH_LIMIT} levels deep"
            raise SourceUnreadable(f"{self._source.place} lists more than {limits}", hint="name one of those it lists")

    async def _fetch(self, url: str) -> bytes:
        with needed_for_the_list():
            answer = await self._web.ask(url, limit_bytes=SITEMAP_LIMIT_BYTES, within=self._within)
            if answer.status != HTTPStatus.OK:
                raise SourceUnreadable(f"the sitemap {url} answered {answer.status}")
            return unpack(answer.body, SITEMAP_LIMIT_BYTES, url) if answer.body.startswith(_GZIP) else answer.body

    async def _robots(self) -> Robots:
        """The site's rules: none where it has none, and `SourceUnreadable` where it cannot say (RFC 9309, 2.3.1)."""
        parts = urlsplit(self._source.place)
        url = f"{parts.scheme}://{parts.netloc}/robots.txt"
        answer = await self._web.ask(url, limit_bytes=LIMIT_BYTES)
        if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise SourceUnreadable(f"{url} answered {answer.status}, and without it nothing of that host is asked for")
        return Robots(answer.body.decode("utf-8", "replace") if answer.status == HTTPStatus.OK else "", agent="hanok")

    def _is_taken(self, url: str, robots: Robots) -> bool:
        if not self._is_at_home(url):
            return False
        path = urlsplit(url).path.strip("/")
        return robots.allows(url) and self._choice.takes(path)

    def _is_at_home(self, url: str) -> bool:
        """Whether a URL is of the sitemap's host, and not less protected than the sitemap."""
        home = self._source.place
        try:
            (host, port), (own_host, own_port) = origin_of(url), origin_of(home)
        except DocumentRefused:
            return False
        usual = {port, own_port} == {80, 443} and url.startswith("https:")
        return host == own_host and (port == own_port or usual)

    async def _entry(self, place: Place) -> Entry:
        media_type = _WEB_TYPES.guess_type(urlsplit(place.url).path)[0] or HTML
        version = f"lastmod {place.changed}" if place.changed else ""
        if not version:
            with suppress(DocumentRefused):  # it is listed all the same; reading it says why not
                headers = await self._look(place.url)
                version, media_type = version_of(headers), media_type_of(headers) or media_type
        return entry_of(self._source, uri=place.url, path=place.url, version=version, media_type=media_type)
