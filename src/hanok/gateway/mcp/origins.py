"""Which web pages may call `/mcp`: https://modelcontextprotocol.io/specification/2025-11-25/basic/transports, which has
servers refuse others, since a page can be given the address of a server of its reader's own network by name (DNS
rebinding). So the name that the call itself gives as its host counts for nothing here.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import SplitResult, urlsplit

from hanok.errors import Forbidden

_PORTS = {"http": 80, "https": 443}


def admit_page(origin: bytes | None, *, own: str | None) -> None:
    """Let calls in that come from no web page, from one of this machine, or from one of where the house is reached
    (`own`). Raises `Forbidden`."""
    if origin is None:
        return
    text = origin.decode("latin-1").strip()
    try:
        page = urlsplit(text)
        welcome = _is_program(text, page) or _is_here(page) or (own is not None and _site(page) == _site(urlsplit(own)))
    except ValueError:  # no address at all, or no port
        welcome = False
    if not welcome:
        message = f"pages of {text[:100]!r} may not call this: only those of this machine, and of `gateway.url`"
        raise Forbidden(message, code="origin_not_allowed")


def _is_program(text: str, page: SplitResult) -> bool:
    """Editors and their like name themselves so; a page of the web has http, https or `null`."""
    return text != "null" and page.scheme not in ("", *_PORTS)


def _is_here(page: SplitResult) -> bool:
    host = page.hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _site(page: SplitResult) -> tuple[str, str | None, int | None]:
    return page.scheme, page.hostname, page.port or _PORTS.get(page.scheme)
