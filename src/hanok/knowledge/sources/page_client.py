"""Requests out: one page on the web, and what every page is held to.

Listing asks for the head of a page alone: its ETag or time of change is the version, so that a page which did not
change is not fetched.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from http import HTTPStatus

from hanok.errors import DocumentRefused
from hanok.knowledge.sources.listing import Surroundings, entry_of, needed_for_the_list
from hanok.knowledge.sources.web_client import Answer, Fits, Web
from hanok.knowledge.values import Entry
from hanok.spec import Source

HTML = "text/html"
_NEVER_TEXT = ("audio/", "video/", "image/", "font/")
_MARK = b"\xef\xbb\xbf"
_CODES = {401: "forbidden", 403: "forbidden", 404: "gone", 410: "gone"}


class Page:
    """The page at a URL. `web` is handed in by tests."""

    def __init__(self, source: Source, around: Surroundings, *, web: Web | None = None) -> None:
        self._source = source
        self._around = around
        self._web = web or Web(private=source.private)
        self._within: Fits | None = None

    async def entries(self) -> AsyncIterator[Entry]:
        """The page. Raises `SourceUnreadable` when it does not answer, or says that it is not there."""
        url = self._source.place
        with needed_for_the_list():
            headers = await self._look(url)
        yield entry_of(self._source, uri=url, path=url, version=version_of(headers), media_type=media_type_of(headers))

    async def read(self, entry: Entry, limit_bytes: int) -> bytes:
        """The page's bytes; text in UTF-8, where the server names another encoding."""
        answer = await self._web.ask(entry.uri, limit_bytes=limit_bytes, within=self._within)
        _check_status(answer)
        _check_type(answer, entry)
        return _recoded(answer)

    async def aclose(self) -> None:
        """Nothing is held: each connection ends with its answer."""

    async def _look(self, url: str) -> Mapping[str, str]:
        """The headers of a page, from servers that refuse to tell them alone with the page."""
        answer = await self._web.ask(url, method="HEAD", limit_bytes=0, within=self._within)
        if answer.status >= HTTPStatus.BAD_REQUEST:
            answer = await self._web.ask(url, limit_bytes=self._around.largest_bytes, within=self._within)
            _check_status(answer)
        return answer.headers


def version_of(headers: Mapping[str, str]) -> str:
    """What changes when the page does, as its server tells; "" when it tells nothing."""
    return headers.get("etag") or headers.get("last-modified", "")


def media_type_of(headers: Mapping[str, str]) -> str | None:
    """The type of what a page holds, without parameters."""
    return headers.get("content-type", "").partition(";")[0].strip().lower() or None


def _check_status(answer: Answer) -> None:
    if answer.status == HTTPStatus.OK:
        return
    message = f"{answer.url} answered {answer.status}"
    raise DocumentRefused(message, code=_CODES.get(answer.status, "unreachable"))


def _check_type(answer: Answer, entry: Entry) -> None:
    """Refuse what has no text, and what is no page though it was taken for one when nothing was known of it."""
    told = media_type_of(answer.headers) or ""
    other = entry.media_type == HTML and told.startswith("application/") and "html" not in told and "xml" not in told
    if told.startswith(_NEVER_TEXT) or other:
        raise DocumentRefused(f"{answer.url} is {told}, which is not read from there", code="unsupported_type")


def _recoded(answer: Answer) -> bytes:
    """Text in UTF-8. A mark before HTML outweighs what the page says of itself, as the header does."""
    media_type = media_type_of(answer.headers) or ""
    charset = _charset(answer.headers.get("content-type", ""))
    if not media_type.startswith("text/") or charset in ("", "utf-8", "utf8", "us-ascii"):
        return answer.body
    try:
        text = answer.body.decode(charset, "replace")
    except (LookupError, ValueError):
        return answer.body
    return (_MARK if media_type == HTML else b"") + text.encode()


def _charset(content_type: str) -> str:
    for parameter in content_type.split(";")[1:]:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            return value.strip().strip("\"'").lower()
    return ""
