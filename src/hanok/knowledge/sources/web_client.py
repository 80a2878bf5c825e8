"""Requests out, to pages that others write: Hanok's web client, one request at a time for each host.

What does not answer, or may not be asked for, is a document that is refused; others are taken.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Generator
from contextlib import contextmanager
from weakref import WeakValueDictionary

from hanok.errors import DocumentRefused, WebError
from hanok.knowledge.sources.listing import too_large
from hanok.web import client as web_client
from hanok.web.client import TOTAL_S, Answer, Request, Resolve, look_up
from hanok.web.packing import unpack as unpack_bytes
from hanok.web.place import Place, place_of, without_password

_turns: WeakValueDictionary[tuple[int, str, int], asyncio.Lock] = WeakValueDictionary()

Fits = Callable[[str], bool]


class Web:
    """Asks for pages. With `private`, also in private networks; `resolve` and `tls` are handed in by tests."""

    def __init__(
        self,
        *,
        private: bool = False,
        resolve: Resolve = look_up,
        tls: Callable[[], ssl.SSLContext] = ssl.create_default_context,
        total_s: float = TOTAL_S,
    ) -> None:
        self._client = web_client.Web(private=private, resolve=resolve, tls=tls)
        self._total_s = total_s

    async def ask(self, url: str, *, method: str = "GET", limit_bytes: int, within: Fits | None = None) -> Answer:
        """The answer to that request, whatever its status, after redirects that `within` allows.

        Raises `DocumentRefused` when there is none, or it may not be asked for, or is larger than `limit_bytes`.
        """
        key = (id(asyncio.get_running_loop()), *origin_of(url))
        turn = _turns.setdefault(key, asyncio.Lock())

        def fits(place: Place) -> bool:
            return within is None or within(place.url)

        async with turn:
            with _refusing(url, limit_bytes):
                request = Request(url=url, method=method)
                return await self._client.ask(request, limit_bytes=limit_bytes, within=fits, total_s=self._total_s)


def origin_of(url: str) -> tuple[str, int]:
    """Host and port of a URL. Raises `DocumentRefused` when it is none that may be asked."""
    with _refusing(url, 0):
        place = place_of(url)
        return place.host, place.port


def unpack(data: bytes, limit_bytes: int, url: str) -> bytes:
    """What gzip or zlib packed. Raises `DocumentRefused` when that is larger than `limit_bytes`, or broken."""
    try:
        text = unpack_bytes(data, limit_bytes)
    except ValueError as error:
        raise DocumentRefused(f"{without_password(url)} cannot be read: {error}", code="unreadable") from None
    if len(text) > limit_bytes:
        raise too_large(url, limit_bytes)
    return text


@contextmanager
def _refusing(url: str, limit_bytes: int) -> Generator[None]:
    """What goes wrong within, said of a document."""
    try:
        yield
    except WebError as error:
        if error.code == "too_large":
            raise too_large(without_password(url), limit_bytes) from None
        code = "unreachable" if error.code == "timeout" else error.code
        raise DocumentRefused(error.message, code=code, hint=error.hint) from None
