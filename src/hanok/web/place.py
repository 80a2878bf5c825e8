"""A URL, taken apart for who asks it: nothing in it is left to be understood in another way further on."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from hanok.errors import WebError

_HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9a-f:.]+(%[A-Za-z0-9]+)?")
_PLAIN = "/%:@!$&'()*+,;=?~-._[]"
_USERINFO = re.compile(r"(?<=://)[^/\s]*@")


@dataclass(frozen=True, kw_only=True)
class Place:
    """What a URL names: `host` in ASCII, `path` with its query, as it is sent."""

    url: str
    scheme: str
    host: str
    port: int
    path: str

    @property
    def origin(self) -> tuple[str, str, int]:
        """Scheme, host and port: who has the same is the same server."""
        return self.scheme, self.host, self.port

    @property
    def authority(self) -> str:
        """The `Host` header: the port only where it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == usual_port(self.scheme) else f"{host}:{self.port}"


def place_of(url: str) -> Place:
    """Raises `WebError` when it is no URL that may be asked."""
    try:
        parts = urlsplit(url)
        port = parts.port
        host = _host(parts)
    except ValueError:
        raise refused(url, "is no URL", code="forbidden_address") from None
    if parts.scheme not in ("http", "https"):
        raise refused(url, "is neither http nor https", code="forbidden_address")
    if "@" in parts.netloc:
        raise refused(url, "has a name or password in it", code="forbidden_address")
    if not _HOST.fullmatch(host) or port == 0:
        raise refused(url, "names no host that can be asked", code="forbidden_address")
    path = quote(parts.path or "/", safe=_PLAIN) + (f"?{quote(parts.query, safe=_PLAIN)}" if parts.query else "")
    return Place(url=url, scheme=parts.scheme, host=host, port=port or usual_port(parts.scheme), path=path)


def usual_port(scheme: str) -> int:
    """80 or 443."""
    return 443 if scheme == "https" else 80


def followed(place: Place, location: str) -> Place:
    """Where a redirect leads. Raises `WebError`."""
    try:
        led = place_of(urljoin(place.url, location).partition("#")[0])
    except ValueError:
        raise refused(place.url, "redirects to what is no URL", code="forbidden_address") from None
    if place.scheme == "https" and led.scheme == "http":
        raise refused(place.url, "redirects from https to http", code="forbidden_address")
    return led


def without_password(place: str) -> str:
    """A URL without the name and password in it; anything else as it is."""
    return _USERINFO.sub("", place)


def refused(url: str, why: str, *, code: str, hint: str | None = None, sent: bool = False) -> WebError:
    """What is said of a URL that is not asked, or does not answer."""
    return WebError(without_password(url), why, code=code, hint=hint, sent=sent)


def _host(parts: SplitResult) -> str:
    """The host in ASCII. Raises `ValueError`."""
    host = parts.hostname or ""
    return host if host.isascii() else host.encode("idna").decode("ascii")
